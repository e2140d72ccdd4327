//! A server that may be told to die.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::moment::{Moment, moments};
use crate::support::{
    Shop,
    mall::to_serve,
    process::Process,
    setting::{fresh, setting},
};

/// Nobody is there: what the provider has to tell is told by the test, when it is time.
const NOBODY: &str = "--public-url=http://127.0.0.1:9";
/// Whoever has one and waits for a second one waits for itself (test L16).
const ONE_CONNECTION: &str = "--database-connections=1";
/// What such a wait ends with.
const NO_CONNECTION: &str = "Failed to acquire connection";
/// Where old changes are removed, now and then.
const BY_ITSELF: &str = "src/service/outbox.rs";
/// How long it may take to die, where it does.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(5);

pub struct Victim {
    process: Process,
    /// The shop as it shows it.
    pub shop: Shop,
    log: PathBuf,
    /// So many points it had passed when it began to listen.
    skipped: usize,
}

impl Victim {
    /// A server on the shop's database that dies at this moment, or lives.
    pub fn start(shop: &Shop, settings: &[&str], dies_at: Option<&Moment>) -> Self {
        let log = setting().directory.join(fresh("points-"));
        let mut command =
            to_serve(shop.database_url(), &shop.url("/sandbox"), &[&[NOBODY, ONE_CONNECTION], settings].concat());
        command.env("ORDERPAY_CRASH_LOG", &log);
        if let Some(moment) = dies_at {
            command.env("ORDERPAY_CRASH_AT", moment.to_string());
        }
        let process = Process::of(command);
        let mut victim = Self { shop: shop.at(&process.url, &shop.url("/sandbox")), process, log, skipped: 0 };
        victim.skipped = victim.log().lines().count();
        victim
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it has passed since it began to listen, but what each server does by itself.
    pub fn passed(&self) -> Vec<Moment> {
        let mut passed = moments(&self.log(), self.skipped);
        passed.retain(|moment| !moment.point.contains(BY_ITSELF));
        passed
    }

    /// Whether it comes to die, by itself.
    pub async fn dies(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.process.ended() {
                assert_eq!(status.code(), None, "it ended without dying: {}", self.process.log());
                return true;
            }
            tokio::time::sleep(PAUSE).await;
        }
        false
    }

    /// Waits until it has passed something, and nothing more for as long as this.
    pub async fn comes_to_rest(&self, quiet: Duration) {
        let (begun, mut since) = (Instant::now(), Instant::now());
        let mut count = 0;
        while begun.elapsed() < PATIENCE && (count == 0 || since.elapsed() < quiet) {
            tokio::time::sleep(PAUSE).await;
            let passed = self.passed().len();
            if passed != count {
                (count, since) = (passed, Instant::now());
            }
        }
    }

    /// The faults of ours that it has logged, and what had to wait for a connection in vain.
    pub fn errors(&self) -> Vec<String> {
        let log = self.process.log();
        let is_fault = |line: &&str| line.contains("ERROR") && !line.contains("a person has to decide");
        log.lines().filter(|line| is_fault(line) || line.contains(NO_CONNECTION)).map(str::to_owned).collect()
    }
}
