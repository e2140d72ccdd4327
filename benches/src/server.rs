//! The server: built as it is released, run as in production. It is ended when it is dropped.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::{
    postgres::Postgres,
    process::{Memory, Work, forget_peak, memory_of, work_of},
    say,
    token::Mint,
};

/// How many it holds to its database by itself, and so whoever is compared with it.
pub const CONNECTIONS: u32 = 8;
/// With a key there is no development mode.
const SECRET: &str = "benches-sign-with-this-and-nobody-else-does";
/// What the provider signs its news with.
pub const WEBHOOK_SECRET: &str = "benches-sign-webhooks-with-this-one";
/// What production sets and most loads don't touch: the payment provider runs elsewhere, and is not asked.
const PROVIDER: [(&str, &str); 3] = [
    ("ORDERPAY_PROVIDERS", "sandbox"),
    ("ORDERPAY_SANDBOX_URL", "http://127.0.0.1:9"),
    ("ORDERPAY_SANDBOX_WEBHOOK_SECRET", WEBHOOK_SECRET),
];

/// Builds the program without the features that tests turn on.
pub fn build() {
    say("building the server");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let arguments = ["build", "--release", "--locked", "--quiet", "--bin", "orderpay"];
    let built = Command::new(cargo).args(arguments).current_dir(root()).status().expect("cargo");
    assert!(built.success(), "cargo build: {built}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this is a member of a workspace")
}

/// Where cargo puts programs: beside this one.
fn program() -> PathBuf {
    let own = std::env::current_exe().expect("where this program is");
    own.with_file_name("orderpay")
}

/// With no settings but those that production needs: all limits are what they are by themselves.
fn command(postgres: &Postgres, database: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ORDERPAY_") {
            command.env_remove(name);
        }
    }
    command.env("ORDERPAY_DATABASE_URL", database).env("ORDERPAY_JWT_SECRET", SECRET).envs(PROVIDER);
    command.args(arguments).current_dir(postgres.directory()).stdin(Stdio::null());
    command
}

/// Signs tokens of this kind of caller.
pub fn mint(postgres: &Postgres, kind: &str) -> Mint {
    let told =
        command(postgres, &postgres.url(), &["token", "--kind", kind, "--sub", "somebody", "--ttl", "1d"]).output();
    let told = told.expect("orderpay token");
    assert!(told.status.success(), "orderpay token: {}", String::from_utf8_lossy(&told.stderr));
    Mint::like(String::from_utf8_lossy(&told.stdout).trim(), SECRET)
}

/// The address of a database in a file beside the cluster.
pub fn sqlite_url(postgres: &Postgres) -> String {
    format!("sqlite://{}?mode=rwc", postgres.directory().join("orders.db").display())
}

/// Whose orders there are, as `orderpay seed` shares them out.
#[derive(Clone, Copy, Debug)]
pub struct Seeded {
    pub orders: u32,
    /// How many have sixty each: `regular-1` and so on.
    pub regulars: u32,
    /// How many of them belong to `whale`.
    pub of_whale: u32,
}

/// Fills an empty database with so many orders, of users as many as a twentieth of them and one who has a tenth.
pub fn seed(postgres: &Postgres, database: &str, orders: u32) -> Seeded {
    let (users, of_whale) = (orders / 20, orders / 10);
    let numbers = [orders, users, of_whale].map(|number| number.to_string());
    let mut command =
        command(postgres, database, &["seed", "--orders", &numbers[0], "--users", &numbers[1], "--whale", &numbers[2]]);
    let ended = command.stdout(Stdio::null()).status().expect("orderpay seed");
    assert!(ended.success(), "orderpay seed: {ended}");
    let regulars = 1000.min(users.saturating_sub(1) / 2).min((orders - of_whale) / 60 / 2);
    Seeded { orders, regulars, of_whale }
}

/// Panics unless nothing is wrong with a whole database.
pub fn verify(postgres: &Postgres, database: &str) {
    let told = command(postgres, database, &["check"]).output().expect("orderpay check");
    let what = String::from_utf8_lossy(&told.stdout);
    let first: Vec<&str> = what.lines().take(3).chain(what.lines().last()).collect();
    assert!(told.status.success(), "orderpay check of {database}: {first:#?}");
}

/// What a server says on its standard output once it listens.
pub fn told_address(child: &mut Child) -> Option<SocketAddr> {
    let mut lines = BufReader::new(child.stdout.take()?).lines().map_while(Result::ok);
    lines.find_map(|line| line.strip_prefix("listening on http://")?.parse().ok())
}

pub struct Server {
    child: Child,
    log: PathBuf,
    pub address: SocketAddr,
}

impl Server {
    /// On a port of its own choice.
    pub fn start(postgres: &Postgres) -> Self {
        Self::start_at(postgres, ([127, 0, 0, 1], 0).into())
    }

    pub fn start_at(postgres: &Postgres, address: SocketAddr) -> Self {
        Self::start_as(postgres, &postgres.url(), address, &[])
    }

    /// Over a database that may be another than PostgreSQL's, with settings of its own beside those that production needs.
    pub fn start_with(postgres: &Postgres, database: &str, settings: &[(&str, &str)]) -> Self {
        Self::start_as(postgres, database, ([127, 0, 0, 1], 0).into(), settings)
    }

    fn start_as(postgres: &Postgres, database: &str, address: SocketAddr, settings: &[(&str, &str)]) -> Self {
        let mut command = command(postgres, database, &["serve", "--listen", &address.to_string()]);
        command.envs(settings.iter().copied());
        Self::listening(postgres, command)
    }

    /// The sandbox provider, as a process of its own that forgets everything when it ends.
    pub fn start_sandbox(postgres: &Postgres) -> Self {
        let mut command = command(postgres, &postgres.url(), &["sandbox", "--listen", "127.0.0.1:0"]);
        command.env_remove("ORDERPAY_SANDBOX_URL").env("ORDERPAY_SANDBOX_DATABASE_URL", "sqlite::memory:");
        Self::listening(postgres, command)
    }

    /// Returns once it listens.
    fn listening(postgres: &Postgres, mut command: Command) -> Self {
        let log = tempfile::Builder::new().prefix("server-").suffix(".log").tempfile_in(postgres.directory());
        let log = log.and_then(|log| log.keep().map_err(Into::into)).expect("a log").1;
        let file = File::create(&log).expect("a log");
        let mut child = command.stdout(Stdio::piped()).stderr(file).spawn().expect("the server starts");
        let told = told_address(&mut child);
        let mut server = Self { child, log, address: ([127, 0, 0, 1], 0).into() };
        server.address = told.unwrap_or_else(|| panic!("the server does not listen: {}", server.log()));
        server
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn work(&self) -> Work {
        work_of(self.child.id())
    }

    pub fn memory(&self) -> Memory {
        memory_of(self.child.id())
    }

    pub fn forget_peak(&self) {
        forget_peak(self.child.id());
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it has logged of faults of its own.
    pub fn faults(&self) -> Vec<String> {
        let log = self.log();
        log.lines().filter(|line| line.contains("panicked") || line.contains(" ERROR ")).map(str::to_owned).collect()
    }

    /// Asks it to end, as an init system does, and gives how it ended.
    pub async fn ends_by_sigterm(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("the signal is sent");
        loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return status;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
