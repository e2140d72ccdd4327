//! What the system tells of a process: how much it has worked, and how much memory it holds. Linux only.

use std::{
    fs,
    ops::Sub,
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use tokio::time::sleep;

/// Each of these is a hundredth of a second: what Linux tells its programs, whatever it counts in itself.
const TICK: Duration = Duration::from_millis(10);

/// How often it is looked whether somebody has ended.
const GLANCE: Duration = Duration::from_millis(20);

/// A process that is ended when it is dropped, and so when something panics.
pub struct Running(pub Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display())))
    }

    /// Waits until it has ended of itself.
    pub async fn ended(mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.0.try_wait().expect("its status") {
                return status;
            }
            sleep(GLANCE).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How long processors have worked for somebody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work(pub Duration);

impl Sub for Work {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// For one process, with all of its threads.
pub fn work_of(process: u32) -> Work {
    stat(process).map_or(Work::default(), |stat| stat.own)
}

/// For this process.
pub fn own_work() -> Work {
    work_of(std::process::id())
}

/// For a process, its children that live, and those that it has seen end.
pub fn work_of_family(parent: u32) -> Work {
    let children = processes().filter(|stat| stat.parent == parent).map(|stat| stat.own.0);
    let ended = stat(parent).map_or(Duration::ZERO, |stat| stat.own.0 + stat.children.0);
    Work(children.sum::<Duration>() + ended)
}

/// For the children of this process that it has seen end.
pub fn work_of_ended() -> Work {
    stat(std::process::id()).map_or(Work::default(), |stat| stat.children)
}

/// How many children a process has, those that are ending among them.
pub fn children_of(parent: u32) -> usize {
    processes().filter(|stat| stat.parent == parent).count()
}

struct Stat {
    parent: u32,
    own: Work,
    children: Work,
}

fn processes() -> impl Iterator<Item = Stat> {
    let numbers = fs::read_dir("/proc").expect("/proc").flatten();
    numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(stat)
}

/// `None` where there is no process of this number any more.
fn stat(process: u32) -> Option<Stat> {
    let told = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let (_, after_name) = told.rsplit_once(')')?;
    let words: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |from: usize| {
        Some(Work(TICK * words.get(from..from + 2)?.iter().filter_map(|word| word.parse::<u32>().ok()).sum()))
    };
    Some(Stat { parent: words.get(1)?.parse().ok()?, own: ticks(11)?, children: ticks(13)? })
}

/// What a process holds of memory, in kilobytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    pub now: u64,
    /// The most since it began, or since [`forget_peak`].
    pub peak: u64,
}

pub fn memory_of(process: u32) -> Memory {
    let told = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kilobytes = |name: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
    };
    Memory { now: kilobytes("VmRSS:"), peak: kilobytes("VmHWM:") }
}

/// From now on the peak is a new one. Where the system does not let us, it stays the highest of all.
pub fn forget_peak(process: u32) {
    let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
}
