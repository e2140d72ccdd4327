//! A PostgreSQL cluster of one's own, set as one would be that keeps what it acknowledges. It is ended when it is dropped.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use crate::process::{Work, children_of, work_of_family};

const SETTINGS: [&str; 7] = [
    "listen_addresses=127.0.0.1",
    "fsync=on",
    "synchronous_commit=on",
    "shared_buffers=512MB",
    "max_connections=100",
    "max_wal_size=2GB",
    "log_min_messages=warning",
];
/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Postgres {
    programs: PathBuf,
    directory: TempDir,
    port: u16,
    postmaster: Option<Child>,
}

impl Postgres {
    /// An empty one, in a new directory. Returns once it answers.
    pub fn start() -> Self {
        let programs = programs();
        let directory = tempfile::Builder::new().prefix("orderpay-benches-").tempdir().expect("a directory");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let mut postgres = Self { programs, directory, port, postmaster: None };
        postgres.lay_out();
        postgres.launch();
        postgres.sql("CREATE DATABASE orderpay", "postgres");
        postgres
    }

    /// Where others keep things that go away with it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn url(&self) -> String {
        self.url_of("orderpay")
    }

    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// For questions that no tool answers.
    pub async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.url_of(database)).await.expect("a connection")
    }

    pub fn version(&self) -> String {
        let told = Command::new(self.programs.join("postgres")).arg("--version").output().expect("postgres");
        let told = String::from_utf8_lossy(&told.stdout).replace("(PostgreSQL) ", "");
        told.split_whitespace().take(2).collect::<Vec<_>>().join(" ").replace("postgres", "PostgreSQL")
    }

    /// How long processors have worked for it.
    pub fn work(&self) -> Work {
        work_of_family(self.postmaster.as_ref().expect("it runs").id())
    }

    /// How many processes it consists of: one for each connection, and a few of its own.
    pub fn processes(&self) -> usize {
        children_of(self.postmaster.as_ref().expect("it runs").id())
    }

    /// Runs statements in a database of it.
    pub fn sql(&self, statements: &str, database: &str) {
        let mut psql = self.psql(database);
        let ended = psql.args(["--quiet", "--command", statements]).status().expect("psql");
        assert!(ended.success(), "psql: {ended}");
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = self.client("psql");
        command.args(["--no-psqlrc", "--set=ON_ERROR_STOP=1"]).arg(format!("--dbname={database}"));
        command.stdout(Stdio::null());
        command
    }

    /// Another program of PostgreSQL's, which connects.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.args(["--host=127.0.0.1", "--username=postgres"]).arg(format!("--port={}", self.port));
        command.stdin(Stdio::null());
        command
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("postgres")
    }

    /// A program that works on its data, run by the data's owner.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.arg("-D").arg(self.data()).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        let owner = fs::metadata(self.data()).expect("its directory");
        if owner.uid() != rustix::process::getuid().as_raw() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        command
    }

    fn lay_out(&self) {
        fs::create_dir(self.data()).expect("a directory for PostgreSQL");
        // It refuses to run as root.
        if rustix::process::getuid().is_root() {
            let (user, group) = somebody_else();
            fs::set_permissions(self.directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .expect("its parent can be entered");
            chown(self.data(), Some(user), Some(group)).expect("the directory is handed over");
        }
        let mut initdb = self.command("initdb");
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        let ended = initdb.status().expect("initdb");
        assert!(ended.success(), "initdb: {ended}");
    }

    fn launch(&mut self) {
        let mut command = self.command("postgres");
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.arg("-p").arg(self.port.to_string()).arg("-k").arg(self.data());
        let log = File::create(self.directory.path().join("postgres.log")).expect("a log");
        self.postmaster = Some(command.stderr(log).spawn().expect("postgres"));
        let begun = Instant::now();
        while !self
            .psql("postgres")
            .stderr(Stdio::null())
            .args(["--command", "SELECT 1"])
            .status()
            .expect("psql")
            .success()
        {
            assert!(begun.elapsed() < PATIENCE, "PostgreSQL does not answer");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Postgres {
    /// As its keeper would: connections are cut, and it ends in order.
    fn drop(&mut self) {
        if let Some(mut postmaster) = self.postmaster.take() {
            let _ = kill_process(Pid::from_child(&postmaster), Signal::INT);
            let _ = postmaster.wait();
        }
    }
}

/// The newest that is installed as Debian does it, or what is in the path.
fn programs() -> PathBuf {
    let mut places: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|place| place.path().join("bin"))
        .collect();
    places.sort();
    places.reverse();
    let told = Command::new("pg_config").arg("--bindir").output().ok();
    places.extend(told.map(|told| PathBuf::from(String::from_utf8_lossy(&told.stdout).trim())));
    let is_complete = |place: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|name| place.join(name).exists());
    places.into_iter().find(is_complete).expect("PostgreSQL's programs initdb, postgres and psql are needed")
}

fn somebody_else() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let ids_of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(str::parse);
        Some((fields.next()?.ok()?, fields.next()?.ok()?))
    };
    ids_of("postgres").or_else(|| ids_of("nobody")).expect("a user postgres or nobody")
}
