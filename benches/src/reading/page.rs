//! The newest page of a shopper drawn at random: what each of them takes for it, in turns.

use super::{
    Extent,
    contestant::{CLIENTS, Contestant},
    question::PER_PAGE,
    round::{Round, Rounds},
    stand::Stand,
};
use crate::{
    latency::Latencies,
    say,
    server::CONNECTIONS,
    table::{Table, count},
};

/// The places of those among the contestants of whom more is asked afterwards.
const ORDERPAY: usize = 0;
const BARE_HANDLER: usize = 1;

/// A section about it, and how many pages a second the server and the bare handler did.
pub async fn measure(stand: &Stand, extent: &Extent) -> (String, [f64; 2]) {
    let mut contestants = Vec::from([stand.orderpay(), stand.bare_handler(), stand.fixed()].map(Contestant::Server));
    contestants.extend(stand.pgbench().map(Contestant::Database));
    contestants.extend(stand.postgraphile().map(Contestant::Server));
    let mut rounds: Vec<Rounds> = contestants.iter().map(|_| Rounds::default()).collect();
    for number in 1..=extent.rounds {
        for (contestant, rounds) in contestants.iter().zip(&mut rounds) {
            say(&format!("round {number}: {}", contestant.name()));
            rounds.0.push(contestant.round(&stand.postgres, extent.lasts()).await);
        }
    }
    let text = format!(
        "### A page\n\nThe newest {PER_PAGE} orders of one of {} shoppers, with their payments and what those add up to. The bare handler reads \
         the columns that the answer needs of the same rows by one statement, and answers in the same shape. {CLIENTS} clients on kept connections, \
         each of whom waits for its answer, for {} s; ratios are to the bare handler in the same round. orderpay checks a token, rights and limits for each, as always, but \
         lets a shopper ask more often than usual, since there are few of them here. Each server has {CONNECTIONS} connections to the database{}\n\n{}",
        count(stand.seeded.regulars as usize),
        extent.seconds,
        told_of_others(stand),
        table(&contestants, &rounds),
    );
    (text, [ORDERPAY, BARE_HANDLER].map(|place| rounds[place].rate()))
}

fn told_of_others(stand: &Stand) -> String {
    let mut told = match stand.pgbench() {
        Some(_) => ", and pgbench is as many clients (`-M prepared`)",
        None => ", which is SQLite and works within it",
    }
    .to_owned();
    if stand.postgraphile().is_some() {
        told += "; PostGraphile is one process with the amber preset, whose summaries come from a function of the database, and it checks no token and no \
                 rights";
    }
    told + "."
}

fn table(contestants: &[Contestant<'_>], rounds: &[Rounds]) -> String {
    let mut table = Table::new(&[
        "server",
        "CPU for each: server + database",
        "in all",
        "to the bare handler",
        "pages a second",
        "p50",
        "p99",
        "p99.9",
        "memory",
        "the load itself",
    ]);
    for (contestant, own) in contestants.iter().zip(rounds) {
        table.row(vec![
            contestant.name().to_owned(),
            own.shares(),
            own.spread(Round::each).tell(0, " µs"),
            own.ratio_to(&rounds[BARE_HANDLER]).tell(2, ""),
            format!("{:.0}", own.rate()),
            own.latency(Latencies::p50),
            own.latency(Latencies::p99),
            own.latency(Latencies::p999),
            contestant.memory(),
            own.load(),
        ]);
    }
    table.finish()
}
