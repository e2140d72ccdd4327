//! PostgreSQL for the tests: a server that is there already, or a cluster that they start themselves, once per process.
//!
//! The cluster listens on a Unix socket in the tests' own directory and never syncs: it need not outlive them.

use std::{
    fmt, fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use sea_orm::ConnectionTrait;
use url::Url;

use super::{
    runtime,
    setting::{database_prefix, fresh, is_root, setting},
};

const SETTINGS: [&str; 8] = [
    "listen_addresses=''",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "max_connections=200",
    "shared_buffers=64MB",
    "log_min_messages=fatal",
];

/// Where PostgreSQL is to be had.
pub enum Source {
    /// A server that is there already: `ORDERPAY_TEST_POSTGRES_URL`.
    Server(Url),
    /// Its programs, in this directory.
    Programs(PathBuf),
    Missing,
}

impl Source {
    pub fn find() -> Self {
        if let Some(url) = environment("ORDERPAY_TEST_POSTGRES_URL") {
            return Self::Server(url.parse().expect("ORDERPAY_TEST_POSTGRES_URL is a URL"));
        }
        let mut places: Vec<PathBuf> =
            std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        places.extend(told_by_pg_config());
        places.extend(installed_by_debian());
        let complete = |place: &PathBuf| ["initdb", "pg_ctl", "postgres"].iter().all(|name| place.join(name).exists());
        match places.into_iter().find(complete) {
            Some(place) => Self::Programs(place),
            None => Self::Missing,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(url) => {
                write!(f, "the PostgreSQL of {}", url.host_str().unwrap_or("ORDERPAY_TEST_POSTGRES_URL"))
            }
            Self::Programs(place) => write!(f, "on a PostgreSQL that they start themselves from {}", place.display()),
            Self::Missing => {
                f.write_str("not on PostgreSQL: neither its programs nor ORDERPAY_TEST_POSTGRES_URL were found")
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "these are the tests' own settings, not the program's")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn told_by_pg_config() -> Option<PathBuf> {
    let told = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(told.stdout).ok()?.trim()))
}

/// The newest first.
fn installed_by_debian() -> Vec<PathBuf> {
    let Ok(versions) = fs::read_dir("/usr/lib/postgresql") else {
        return vec![];
    };
    let mut versions: Vec<PathBuf> = versions.flatten().map(|version| version.path()).collect();
    versions.sort_by_key(|version| {
        let name = version.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        std::cmp::Reverse(name.split('.').next().and_then(|major| major.parse::<u32>().ok()))
    });
    versions.into_iter().map(|version| version.join("bin")).collect()
}

/// A server, and a database on it that is migrated and that nobody uses: every test's database is a copy of it.
pub struct Server {
    url: Url,
    template: String,
}

impl Server {
    /// The one server of this process; `None` where there is no PostgreSQL, and none is required.
    pub fn find() -> Option<&'static Self> {
        static SERVER: OnceLock<Option<Server>> = OnceLock::new();
        SERVER
            .get_or_init(|| match &setting().postgres {
                Source::Server(url) => Some(Self::prepare(url.clone())),
                Source::Programs(place) => Some(Self::prepare(start(place))),
                Source::Missing => {
                    let required = environment("ORDERPAY_TEST_POSTGRES").is_some_and(|value| value == "required");
                    assert!(!required, "PostgreSQL is required, and neither its programs nor a URL were found");
                    None
                }
            })
            .as_ref()
    }

    fn prepare(url: Url) -> Self {
        let server = Self { url, template: database_prefix() };
        server.run(&[
            format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", server.template),
            format!("CREATE DATABASE {}", server.template),
        ]);
        runtime().block_on(async {
            let database = orderpay::db::Database::open(&server.url_of(&server.template), 1).await;
            let database = database.expect("the template opens");
            database.migrate().await.expect("the template is migrated");
            database.close().await.expect("the template closes");
        });
        server
    }

    pub fn url_of(&self, database: &str) -> String {
        let mut url = self.url.clone();
        url.set_path(database);
        url.into()
    }

    /// A fresh copy of the template: its name.
    pub fn create(&self) -> String {
        let name = fresh(&format!("{}_", self.template));
        self.run(&[format!("CREATE DATABASE {name} TEMPLATE {}", self.template)]);
        name
    }

    pub fn remove(&self, name: &str) {
        self.run(&[format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")]);
    }

    fn run(&self, statements: &[String]) {
        runtime().block_on(async {
            let connection = sea_orm::Database::connect(self.url.as_str()).await.expect("PostgreSQL answers");
            for statement in statements {
                connection.execute_unprepared(statement).await.expect(statement);
            }
            connection.close().await.expect("it closes");
        });
    }
}

/// Starts a cluster in the tests' directory; whoever guards that directory ends it.
fn start(programs: &Path) -> Url {
    let setting = setting();
    let data = setting.directory.join("postgres");
    fs::create_dir(&data).expect("a directory for PostgreSQL");
    let somebody = is_root(&setting.directory).then(somebody_else);
    if let Some((user, group)) = somebody {
        chown(&data, Some(user), Some(group)).expect("the directory is handed over");
    }
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(programs.join(program));
        command.args(arguments).arg("-D").arg(&data).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((user, group)) = somebody {
            command.uid(user).gid(group);
        }
        let ended = command.status().expect(program);
        let log = fs::read_to_string(data.join("log")).unwrap_or_default();
        assert!(ended.success(), "{program} failed: {ended}\n{log}");
    };
    run("initdb", &["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
    let place = data.to_str().expect("a path that is text");
    let settings: String = SETTINGS.map(|setting| format!("-c {setting} ")).concat();
    let options = format!("{settings} -c unix_socket_directories='{place}'");
    run("pg_ctl", &["start", "--wait", "--log", &format!("{place}/log"), "--options", &options]);
    let mut url: Url = "postgres://postgres@localhost/postgres".parse().expect("a URL");
    url.query_pairs_mut().append_pair("host", place);
    url
}

/// PostgreSQL refuses to run as root: the user and group that it runs as instead.
fn somebody_else() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let ids_of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(str::parse);
        Some((fields.next()?.ok()?, fields.next()?.ok()?))
    };
    ids_of("postgres").or_else(|| ids_of("nobody")).expect("a user postgres or nobody")
}
