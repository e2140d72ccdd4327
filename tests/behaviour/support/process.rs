//! The program itself, as a child process.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::setting::{fresh, setting};

/// How long a process may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program with these arguments, and with no settings but those.
pub fn orderpay(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orderpay"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ORDERPAY_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    orderpay(arguments).output().expect("the program runs")
}

/// A process that listens. Dropped, it is killed by its own number.
pub struct Process {
    child: Child,
    log: PathBuf,
    /// `http://127.0.0.1:…`
    pub url: String,
}

impl Process {
    /// Starts it, and waits until it says where it listens.
    pub fn start(arguments: &[&str]) -> Self {
        Self::of(orderpay(arguments))
    }

    /// Starts the program as it is told to, and waits until it says where it listens.
    pub fn of(command: Command) -> Self {
        Self::dared(command, PATIENCE).unwrap_or_else(|log| panic!("it does not listen: {log}"))
    }

    /// The same; gives its log where it ends or takes longer than so long before it listens.
    pub fn dared(command: Command, patience: Duration) -> Result<Self, String> {
        let (mut process, told) = Self::begun(command);
        match told.recv_timeout(patience) {
            Ok(url) => process.url = url,
            Err(_) => return Err(process.log()),
        }
        Ok(process)
    }

    /// Starts the program as it is told to, and waits for nothing; whoever is given too is told where it listens.
    pub fn begun(mut command: Command) -> (Self, mpsc::Receiver<String>) {
        let log = setting().directory.join(fresh("process-"));
        let file = File::create(&log).expect("a log");
        let mut child = command.stdout(Stdio::piped()).stderr(file).spawn().expect("the program starts");
        let stdout = child.stdout.take().expect("its output");
        let (found, told) = mpsc::channel();
        // Reads to the end, so that the process never writes to a closed pipe.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(url) = line.strip_prefix("listening on ") {
                    let _ = found.send(url.to_owned());
                }
            }
        });
        (Self { child, log, url: String::new() }, told)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How much memory it holds, in kilobytes. Linux only.
    pub fn memory(&self) -> u64 {
        let told = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let line = told.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// The errors in its log: faults of ours.
    pub fn errors(&self) -> Vec<String> {
        self.log().lines().filter(|line| line.contains("ERROR")).map(str::to_owned).collect()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("its status")
    }

    /// Asks it to end, as an init system does, and gives how it ended.
    pub fn ends_by_sigterm(mut self) -> ExitStatus {
        self.signal("TERM");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Process {
    /// Stops it where it is, as a machine that hangs: it does nothing from then on, and doesn't know it. Returns once it stands still. Linux only.
    pub fn freezes(&self) {
        self.signal("STOP");
        let deadline = Instant::now() + PATIENCE;
        while !self.stands_still() {
            assert!(Instant::now() < deadline, "it does not stop");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// It goes on where it was stopped.
    pub fn thaws(&self) {
        self.signal("CONT");
    }

    /// Whether each of its threads is stopped.
    fn stands_still(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("its threads");
        threads.flatten().all(|thread| {
            let told = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            told.rsplit_once(')').is_none_or(|(_, state)| state.trim_start().starts_with('T'))
        })
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(sent.is_ok_and(|sent| sent.success()), "the signal is sent");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
