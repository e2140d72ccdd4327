//! The same page at a fixed rate, which is less than can be done: how long an answer takes from the moment at which it was meant to be asked for, whether
//! or not others are answered.

use std::time::Duration;

use super::{
    Extent,
    round::{Round, Rounds},
    stand::Stand,
};
use crate::{
    latency::Latencies,
    say,
    table::{Table, count},
};

/// How much of what it can do is asked of each.
const SHARE: f64 = 0.6;
const WARMING_UP: Duration = Duration::from_secs(1);

pub async fn measure(stand: &Stand, extent: &Extent, capacities: [f64; 2]) -> String {
    let peers = [stand.orderpay(), stand.bare_handler()];
    let rates = capacities.map(|capacity| capacity * SHARE);
    let mut rounds = [Rounds::default(), Rounds::default()];
    for number in 1..=extent.rounds {
        for ((peer, rate), rounds) in peers.iter().zip(rates).zip(&mut rounds) {
            say(&format!("round {number}: {} at a fixed rate", peer.name));
            peer.open(rate, WARMING_UP).await;
            rounds.0.push(Round::of(peer, &stand.postgres, peer.open(rate, extent.lasts())).await);
        }
    }
    let mut table = Table::new(&[
        "server",
        "pages a second",
        "p50",
        "p99",
        "p99.9",
        "longest",
        "refused or failed, in all",
        "CPU for each: server + database",
        "in all",
        "the load itself",
    ]);
    for ((peer, rate), own) in peers.iter().zip(rates).zip(&rounds) {
        table.row(vec![
            peer.name.to_owned(),
            format!("{rate:.0}"),
            own.latency(Latencies::p50),
            own.latency(Latencies::p99),
            own.latency(Latencies::p999),
            own.latency(Latencies::longest),
            count(own.unanswered()),
            own.shares(),
            own.spread(Round::each).tell(0, " µs"),
            own.load(),
        ]);
    }
    format!(
        "### At a fixed rate\n\nThe same page, {:.0} % as often as each of them could, evenly for {} s. Latency is from the moment at which a request was \
         meant to be sent.\n\n{}",
        SHARE * 100.0,
        extent.seconds,
        table.finish()
    )
}
