//! The database alone: PostgreSQL's own load asks for the rows of a page by the bare handler's statement, and nobody makes anything of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{question::PER_PAGE, round::Round};
use crate::{
    floor,
    postgres::Postgres,
    process::{Running, work_of_ended},
    server::CONNECTIONS,
};

/// How long the processes of closed connections may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Pgbench<'a> {
    postgres: &'a Postgres,
    regulars: u32,
    script: PathBuf,
}

impl<'a> Pgbench<'a> {
    pub fn new(postgres: &'a Postgres, regulars: u32) -> Self {
        let script = postgres.directory().join("page.sql");
        let statement = floor::statement().replace("$1", "'regular-' || :n").replace("$2", ":rows");
        fs::write(&script, format!("\\set n random(1, :regulars)\n{statement};\n")).expect("a script");
        Self { postgres, regulars, script }
    }

    /// As many connections as a server has, each asking as soon as it is answered. Nobody else may be asking meanwhile.
    pub async fn round(&self, lasts: Duration) -> Round {
        let log = tempfile::tempdir_in(self.postgres.directory()).expect("a directory");
        let processes = self.postgres.processes();
        let (begun, before) = (Instant::now(), [self.postgres.work(), work_of_ended()]);
        let ended = Running::start(self.command(lasts, log.path()).stdout(Stdio::null())).ended().await;
        let time = begun.elapsed();
        assert!(ended.success(), "pgbench: {ended}");
        self.closed(processes).await;
        let [database, load] = [self.postgres.work() - before[0], work_of_ended() - before[1]];
        let latencies = latencies(log.path());
        Round {
            answers: latencies.len(),
            unanswered: 0,
            time,
            server: Duration::ZERO,
            database,
            load,
            latencies: latencies.into_iter().collect(),
        }
    }

    fn command(&self, lasts: Duration, log: &Path) -> Command {
        let mut command = self.postgres.client("pgbench");
        command.args(["--no-vacuum", "--protocol=prepared", "--log"]);
        command.arg(format!("--log-prefix={}", log.join("page").display()));
        command.arg(format!("--client={CONNECTIONS}")).arg(format!("--time={}", lasts.as_secs()));
        command.arg(format!("--define=regulars={}", self.regulars)).arg(format!("--define=rows={}", PER_PAGE + 1));
        command.arg(format!("--file={}", self.script.display())).arg("orderpay");
        command
    }

    /// Its connections have ended once there are no more processes than before.
    async fn closed(&self, processes: usize) {
        let begun = Instant::now();
        while self.postgres.processes() > processes && begun.elapsed() < PATIENCE {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The third word of each line of its logs, in µs.
fn latencies(directory: &Path) -> Vec<Duration> {
    let logs = fs::read_dir(directory).expect("logs").flatten();
    let logs = logs.map(|log| fs::read_to_string(log.path()).expect("a log"));
    let took = |line: &str| line.split(' ').nth(2)?.parse().ok().map(Duration::from_micros);
    logs.flat_map(|log| log.lines().filter_map(took).collect::<Vec<_>>()).collect()
}
