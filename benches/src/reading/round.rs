//! What one of those who are compared did in one round, and what all of its rounds come to.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use super::peer::Peer;
use crate::{
    latency::Latencies,
    load::Told,
    postgres::Postgres,
    process::{own_work, work_of},
    spread::Spread,
    table::ms,
};

pub struct Round {
    pub answers: usize,
    /// How many requests got no page.
    pub unanswered: usize,
    pub time: Duration,
    pub server: Duration,
    pub database: Duration,
    pub load: Duration,
    pub latencies: Latencies,
}

impl Round {
    /// What a server and its database do while a load is on.
    pub async fn of(peer: &Peer, postgres: &Postgres, load: impl Future<Output = Vec<Told<bool>>>) -> Self {
        let (begun, before) = (Instant::now(), [work_of(peer.process), postgres.work(), own_work()]);
        let told = load.await;
        let time = begun.elapsed();
        let [server, database, load] =
            [work_of(peer.process) - before[0], postgres.work() - before[1], own_work() - before[2]];
        let answered = told.iter().filter(|one| one.outcome);
        let latencies: Latencies = answered.map(|one| one.took).collect();
        let (answers, unanswered) = (latencies.len(), told.len() - latencies.len());
        Self { answers, unanswered, time, server, database, load, latencies }
    }

    /// Processor time for one answer, in µs: the server's and the database's.
    pub fn each(&self) -> f64 {
        self.for_each(self.server + self.database)
    }

    fn for_each(&self, work: Duration) -> f64 {
        work.as_secs_f64() * 1e6 / self.answers.max(1) as f64
    }

    fn rate(&self) -> f64 {
        self.answers as f64 / self.time.as_secs_f64()
    }
}

/// All rounds of one of them.
#[derive(Default)]
pub struct Rounds(pub Vec<Round>);

impl Rounds {
    /// A number of each round.
    pub fn spread(&self, of: impl Fn(&Round) -> f64) -> Spread {
        self.0.iter().map(of).collect()
    }

    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.spread(Round::rate).median()
    }

    /// In all rounds.
    pub fn unanswered(&self) -> usize {
        self.0.iter().map(|round| round.unanswered).sum()
    }

    /// How often as much processor time this took as that, in the same round each.
    pub fn ratio_to(&self, other: &Self) -> Spread {
        self.0.iter().zip(&other.0).map(|(own, other)| own.each() / other.each()).collect()
    }

    /// `server + database`, in µs.
    pub fn shares(&self) -> String {
        let [server, database] = [|round: &Round| round.server, |round: &Round| round.database]
            .map(|share| self.spread(|round| round.for_each(share(round))).median());
        format!("{server:.0} + {database:.0} µs")
    }

    pub fn load(&self) -> String {
        format!("{:.0} µs", self.spread(|round| round.for_each(round.load)).median())
    }

    pub fn latency(&self, of: fn(&Latencies) -> Duration) -> String {
        ms(Duration::from_secs_f64(self.spread(|round| of(&round.latencies).as_secs_f64()).median()))
    }
}
