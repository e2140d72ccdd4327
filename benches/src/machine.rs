//! What the numbers were taken on.

use std::{fs, process::Command, thread};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many files, and so connections, as the system lets us and our children open.
pub fn open_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where that is refused, it stays what it was; the document tells how many there are.
    let _ = setrlimit(Resource::Nofile, most);
}

pub fn files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// A sentence for the document.
pub fn describe(postgres: &str) -> String {
    let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = told.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model).to_owned();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let commit = first_line(Command::new("git").args(["describe", "--always", "--dirty"]));
    let rust = first_line(Command::new("rustc").arg("--version"));
    format!(
        "{cores} cores ({model}), shared by the server, PostgreSQL and the load; {postgres}; {rust}; commit {commit}"
    )
}

fn first_line(command: &mut Command) -> String {
    let told = command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    told.lines().next().unwrap_or("unknown").to_owned()
}
