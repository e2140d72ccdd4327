//! A PostgreSQL cluster of one's own, which can be killed and started again.
//!
//! Its first process is a child that is waited for, so that a killed one does not stand in the way of the next. It forgets nothing that it
//! acknowledged when its processes die; the machine's own death it would not outlive.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use sea_orm::{ConnectOptions, ConnectionTrait};

use super::{
    postgres,
    programs::Programs,
    runtime,
    setting::{fresh, setting},
};

const SETTINGS: [&str; 9] = [
    "listen_addresses=127.0.0.1",
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=on",
    "autovacuum=off",
    "max_connections=200",
    "shared_buffers=64MB",
    "log_min_messages=log",
    "max_wal_size=256MB",
];
/// How long it may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// A cluster that runs, or was killed. Dropped, it is killed.
pub struct Cluster {
    programs: Programs,
    data: PathBuf,
    /// Where it listens; the same after each restart. Its Unix socket is in its own directory.
    pub address: SocketAddr,
    postmaster: Option<Child>,
}

impl Cluster {
    /// Makes one and starts it; returns once it answers. `None` where PostgreSQL's programs are not to be had.
    pub fn start() -> Option<Self> {
        let Some(programs) = Programs::find() else { return postgres::missing() };
        let data = setting().directory.join(fresh("postgres-"));
        programs.lay_out(&data);
        let port = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = port.local_addr().expect("its address");
        drop(port);
        let mut cluster = Self { programs, data, address, postmaster: None };
        cluster.restart();
        Some(cluster)
    }

    /// The address of a database for whoever reaches the cluster at this address, which may be a proxy's.
    pub fn url_at(address: SocketAddr, database: &str) -> String {
        format!("postgres://postgres@{address}/{database}")
    }

    /// The address of a database on its Unix socket.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost:{}/{database}?host={}", self.address.port(), self.data.display())
    }

    /// An empty database: its name.
    pub fn create(&self) -> String {
        let name = fresh("orderpay_");
        let sql = format!("CREATE DATABASE {name}");
        assert!(runtime().block_on(self.does(&sql)), "{sql}");
        name
    }

    /// Starts it again over the same data, unless it runs. Returns once it answers.
    pub fn restart(&mut self) {
        if self.postmaster.is_none() {
            let mut command = self.programs.command("postgres", &self.data);
            for setting in SETTINGS {
                command.args(["-c", setting]);
            }
            command.arg("-p").arg(self.address.port().to_string()).arg("-k").arg(&self.data);
            let log = File::options().create(true).append(true).open(self.log_file()).expect("a log");
            self.postmaster = Some(command.stderr(Stdio::from(log)).spawn().expect("postgres"));
        }
        let begun = Instant::now();
        while !runtime().block_on(self.does("SELECT 1")) {
            let postmaster = self.postmaster.as_mut().expect("it was started");
            let ended = postmaster.try_wait().expect("its status");
            assert_eq!(ended, None, "postgres ended: {}", self.log());
            assert!(begun.elapsed() < PATIENCE, "postgres does not answer: {}", self.log());
            thread::sleep(PAUSE);
        }
    }

    /// Kills all of its processes at once. Returns when none of them holds its memory any more.
    pub fn kill(&mut self) {
        let Some(mut postmaster) = self.postmaster.take() else { return };
        let id = postmaster.id().to_string();
        // One that stands still has no more children.
        signal("STOP", std::slice::from_ref(&id));
        let children = children_of(&id);
        let mut all = vec![id];
        all.extend(children.iter().cloned());
        signal("KILL", &all);
        postmaster.wait().expect("its end");
        let begun = Instant::now();
        while children.iter().any(|child| is_alive(child)) {
            assert!(begun.elapsed() < PATIENCE, "a process of PostgreSQL's outlives its killing");
            thread::sleep(PAUSE);
        }
    }

    /// Ends it as its keeper would: connections are cut, and nothing has to be recovered afterwards.
    pub fn stop(&mut self) {
        let Some(mut postmaster) = self.postmaster.take() else { return };
        signal("INT", &[postmaster.id().to_string()]);
        postmaster.wait().expect("its end");
    }

    /// Makes a directory that it may keep tables in.
    pub fn owns(&self, directory: &Path) {
        fs::create_dir(directory).expect("a directory");
        let owner = fs::metadata(&self.data).expect("its own directory");
        chown(directory, Some(owner.uid()), Some(owner.gid())).expect("it is handed over");
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    /// Whether this could be done.
    async fn does(&self, sql: &str) -> bool {
        let mut options = ConnectOptions::new(self.url("postgres"));
        options.max_connections(1).sqlx_logging(false).connect_timeout(Duration::from_secs(5));
        let Ok(connection) = sea_orm::Database::connect(options).await else { return false };
        let done = connection.execute_unprepared(sql).await.is_ok();
        let _ = connection.close().await;
        done
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to processes by their numbers. Those that are gone are gone.
fn signal(name: &str, processes: &[String]) {
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill \"$@\" 2>/dev/null", "kill", &format!("-{name}")]).args(processes);
    kill.status().expect("sh");
}

fn children_of(parent: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let numbers = all.filter_map(|entry| entry.file_name().into_string().ok());
    numbers.filter(|number| stat(number).is_some_and(|stat| stat.parent == parent)).collect()
}

/// One that nobody waited for holds nothing any more.
fn is_alive(process: &str) -> bool {
    stat(process).is_some_and(|stat| stat.state != "Z" && stat.state != "X")
}

struct Stat {
    state: String,
    parent: String,
}

/// What the system tells of a process, if there is one of this number. Linux only.
fn stat(process: &str) -> Option<Stat> {
    let told = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, after_name) = told.rsplit_once(')')?;
    let mut words = after_name.split_whitespace().map(str::to_owned);
    Some(Stat { state: words.next()?, parent: words.next()? })
}
