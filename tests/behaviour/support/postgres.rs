//! PostgreSQL for the tests: a server that is there already, or a cluster that they start themselves, once per process.
//!
//! The cluster listens on a Unix socket in the tests' own directory and never syncs: it need not outlive them.

use std::{fmt, fs, sync::OnceLock};

use sea_orm::ConnectionTrait;
use url::Url;

use super::{
    environment,
    programs::Programs,
    runtime,
    setting::{database_prefix, fresh, setting},
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
    /// Its programs.
    Programs(Programs),
    Missing,
}

impl Source {
    pub fn find() -> Self {
        match (environment("ORDERPAY_TEST_POSTGRES_URL"), Programs::find()) {
            (Some(url), _) => Self::Server(url.parse().expect("ORDERPAY_TEST_POSTGRES_URL is a URL")),
            (None, Some(programs)) => Self::Programs(programs),
            (None, None) => Self::Missing,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(url) => {
                write!(f, "the PostgreSQL of {}", url.host_str().unwrap_or("ORDERPAY_TEST_POSTGRES_URL"))
            }
            Self::Programs(programs) => {
                write!(f, "on a PostgreSQL that they start themselves from {}", programs.place().display())
            }
            Self::Missing => {
                f.write_str("not on PostgreSQL: neither its programs nor ORDERPAY_TEST_POSTGRES_URL were found")
            }
        }
    }
}

/// There is no PostgreSQL: nothing where none is required, and a failure where one is.
pub fn missing<T>() -> Option<T> {
    let required = environment("ORDERPAY_TEST_POSTGRES").is_some_and(|value| value == "required");
    assert!(!required, "PostgreSQL is required, and was not found");
    None
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
                Source::Programs(programs) => Some(Self::prepare(start(programs))),
                Source::Missing => missing(),
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
fn start(programs: &Programs) -> Url {
    let data = setting().directory.join("postgres");
    programs.lay_out(&data);
    let place = data.to_str().expect("a path that is text");
    let settings: String = SETTINGS.map(|setting| format!("-c {setting} ")).concat();
    let options = format!("{settings} -c unix_socket_directories='{place}'");
    let mut pg_ctl = programs.command("pg_ctl", &data);
    pg_ctl.args(["start", "--wait", "--log", &format!("{place}/log"), "--options", &options]);
    let ended = pg_ctl.status().expect("pg_ctl");
    let log = fs::read_to_string(data.join("log")).unwrap_or_default();
    assert!(ended.success(), "pg_ctl failed: {ended}\n{log}");
    let mut url: Url = "postgres://postgres@localhost/postgres".parse().expect("a URL");
    url.query_pairs_mut().append_pair("host", place);
    url
}
