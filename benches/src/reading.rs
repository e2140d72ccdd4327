//! The reading job: a page of twenty orders of a random shopper, with their payments and summaries, of a million orders. What it costs here, and what the
//! same rows cost in a bare handler.
//!
//! The servers are asked in turns (A B A B …), by the same clients, on the same database, and compared within each round: the machine is another one a
//! minute later.

mod peer;

use std::time::{Duration, Instant};

use self::peer::Peer;
use crate::{
    floor::Floor,
    latency::Latencies,
    load, machine,
    postgres::Postgres,
    process::{own_work, work_of},
    say,
    server::{self, Server},
    table::{Table, count, megabytes, ms},
};

/// Who is asked for, as `orderpay seed` names them.
const REGULARS: usize = 1000;
const CLIENTS: usize = 16;
const WARMING_UP: Duration = Duration::from_secs(2);

/// How much is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Extent {
    /// How many orders the database holds
    #[arg(long, default_value_t = 1_000_000)]
    orders: u32,
    /// How many times each server is asked
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// For how many seconds each time
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// On a SQLite file instead of a PostgreSQL
    #[arg(long)]
    sqlite: bool,
}

/// What one server did in one round.
struct Round {
    answers: usize,
    time: Duration,
    server: Duration,
    database: Duration,
    load: Duration,
    latencies: Latencies,
}

impl Round {
    /// Processor time for one answer, in µs: the server's and the database's.
    fn each(&self) -> f64 {
        (self.server + self.database).as_secs_f64() * 1e6 / self.answers.max(1) as f64
    }
}

/// All of it, and a document about it.
pub async fn measure(extent: Extent) -> String {
    let postgres = Postgres::start();
    let database = if extent.sqlite { server::sqlite_url(&postgres) } else { postgres.url() };
    say("making orders");
    let begun = Instant::now();
    server::seed(&postgres, &database, extent.orders);
    let seeded_in = begun.elapsed();
    let begun = Instant::now();
    let server = Server::start_over(&postgres, &database);
    let ready_in = begun.elapsed();
    let floor = Floor::start(&database);
    let shoppers = server::mint(&postgres, "user");
    let peers = [Peer::orderpay(&server, &shoppers), Peer::floor(&floor), Peer::fixed(&floor)];
    let mut rounds: Vec<Vec<Round>> = peers.iter().map(|_| vec![]).collect();
    for number in 1..=extent.rounds {
        for (peer, rounds) in peers.iter().zip(&mut rounds) {
            say(&format!("round {number}: {}", peer.name));
            ask(peer, WARMING_UP).await;
            rounds.push(round(peer, &postgres, Duration::from_secs(extent.seconds)).await);
        }
    }
    let memory = server.memory();
    format!(
        "## Reading\n\n{}\n{} orders were made in {:.0} s. The server was ready {} after its start, and holds {} MB after the load ({} MB at most).\n\n\
         {CLIENTS} clients on kept connections, each of whom waits for its answer; {} rounds of {} s each, in turns; median (lowest to highest). \
         Ratios are to the bare handler in the same round. {}.\n",
        table(&peers, &rounds),
        count(extent.orders as usize),
        seeded_in.as_secs_f64(),
        ms(ready_in),
        megabytes(memory.now),
        megabytes(memory.peak),
        extent.rounds,
        extent.seconds,
        machine::describe(&postgres.version())
    )
}

async fn ask(peer: &Peer, lasts: Duration) -> Vec<load::Told<bool>> {
    let asking = peer.clone();
    let told = load::closed(CLIENTS, lasts, move |_, _| {
        let peer = asking.clone();
        async move { peer.ask().await }
    });
    let told = told.await;
    let bad = told.iter().filter(|one| !one.outcome).count();
    assert_eq!(bad, 0, "all are answered by {}", peer.name);
    told
}

async fn round(peer: &Peer, postgres: &Postgres, lasts: Duration) -> Round {
    let (begun, before) = (Instant::now(), [work_of(peer.process), postgres.work(), own_work()]);
    let told = ask(peer, lasts).await;
    let time = begun.elapsed();
    let [server, database, load] =
        [work_of(peer.process) - before[0], postgres.work() - before[1], own_work() - before[2]];
    let latencies = told.iter().map(|one| one.took).collect();
    Round { answers: told.len(), time, server, database, load, latencies }
}

fn table(peers: &[Peer], rounds: &[Vec<Round>]) -> String {
    let mut table = Table::new(&[
        "server",
        "CPU for each: server + database",
        "in all",
        "to the bare handler",
        "pages a second",
        "p50",
        "p99",
        "the load itself",
    ]);
    for (peer, own) in peers.iter().zip(rounds) {
        let per_answer = |work: fn(&Round) -> Duration| {
            let each = own.iter().map(|round| work(round).as_secs_f64() * 1e6 / round.answers.max(1) as f64);
            median(each.collect())
        };
        let ratios: Vec<f64> = own.iter().zip(&rounds[1]).map(|(own, floor)| own.each() / floor.each()).collect();
        let latency = |of: fn(&Latencies) -> Duration| {
            Duration::from_secs_f64(median(own.iter().map(|round| of(&round.latencies).as_secs_f64()).collect()))
        };
        table.row(vec![
            peer.name.to_owned(),
            format!("{:.0} + {:.0} µs", per_answer(|round| round.server), per_answer(|round| round.database)),
            spread(own.iter().map(Round::each).collect(), 0, " µs"),
            spread(ratios, 2, ""),
            format!("{:.0}", median(own.iter().map(|round| round.answers as f64 / round.time.as_secs_f64()).collect())),
            ms(latency(Latencies::p50)),
            ms(latency(Latencies::p99)),
            format!("{:.0} µs", per_answer(|round| round.load)),
        ]);
    }
    table.finish()
}

pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

pub fn spread(mut all: Vec<f64>, digits: usize, unit: &str) -> String {
    all.sort_by(f64::total_cmp);
    let (lowest, highest) = (all[0], all[all.len() - 1]);
    format!("**{:.digits$}**{unit} ({lowest:.digits$} to {highest:.digits$})", all[all.len() / 2])
}
