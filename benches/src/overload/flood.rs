//! Half of what the server can do, then twice as much, then half again: without patience, and with still less of it.

use std::time::Duration;

use super::crowd::{Crowd, Outcome, failures};
use crate::{
    latency::Latencies,
    load::{self, Told},
    process::own_work,
    say,
    server::Server,
    shop::Shop,
    table::{Table, count, ms, percent},
};

const CALM: Duration = Duration::from_secs(15);
const FLOOD: Duration = Duration::from_secs(60);
const STORM: Duration = Duration::from_secs(20);
const AFTERWARDS: Duration = Duration::from_secs(15);
const SECOND: Duration = Duration::from_secs(1);
/// How often a client of the storm repeats at once what was refused.
const REPEATS: usize = 3;
/// So many good seconds in a row are no chance.
const IN_A_ROW: usize = 3;

pub async fn measure(server: &Server, shop: &Shop, capacity: f64) -> String {
    let crowd = Crowd::before(server.address, shop);
    say("calm");
    let calm = asked(&crowd, capacity / 2.0, CALM, 0).await;
    let normal = seconds(&calm).iter().map(Latencies::p99).max().unwrap_or_default();
    let mut table = Table::new(&[
        "load",
        "pages a second, of capacity",
        "worst second",
        "accepted: p50, p99",
        "refused",
        "refused: p50, p99",
        "without Retry-After",
        "failed",
        "the load itself",
        "normal again after",
    ]);
    table.row(row("half, before", capacity, CALM, &calm, None, "-".into()));
    for (name, lasts, repeats) in
        [("twice for 60 s", FLOOD, 0), ("twice, each refusal repeated 3 times at once, for 20 s", STORM, REPEATS)]
    {
        say(name);
        let work = own_work();
        let flood = asked(&crowd, capacity * 2.0, lasts, repeats).await;
        let own = own_work() - work;
        let after = asked(&crowd, capacity / 2.0, AFTERWARDS, repeats).await;
        table.row(row(name, capacity, lasts, &flood, Some(own), recovery(&after, normal)));
        table.row(row("half, afterwards", capacity, AFTERWARDS, &after, None, "-".into()));
    }
    format!(
        "Then requests come as they come, whether or not others are answered; latency is from when each was meant to be sent. Normal is a second whose p99 is \
         no more than in the worst second before: {}.\n\n{}",
        ms(normal),
        table.finish()
    )
}

async fn asked(crowd: &Crowd, rate: f64, lasts: Duration, repeats: usize) -> Vec<Told<Outcome>> {
    let crowd = crowd.clone();
    load::open(rate, lasts, move |_| {
        let crowd = crowd.clone();
        async move { crowd.insist(repeats).await }
    })
    .await
}

/// How long the answers took that were meant to be sent in each second.
fn seconds(told: &[Told<Outcome>]) -> Vec<Latencies> {
    let count = told.iter().map(|one| one.at.as_secs() + 1).max().unwrap_or_default();
    let of = |second| told.iter().filter(move |one| one.at.as_secs() == second).map(|one| one.took);
    (0..count).map(|second| of(second).collect()).collect()
}

/// When three seconds in a row begin that are as those before.
fn recovery(after: &[Told<Outcome>], normal: Duration) -> String {
    let is_normal: Vec<bool> = seconds(after).iter().map(|second| second.p99() <= normal).collect();
    match is_normal.windows(IN_A_ROW).position(|seconds| seconds.iter().all(|good| *good)) {
        Some(second) => format!("{second} s"),
        None => format!("not in {} s", AFTERWARDS.as_secs()),
    }
}

fn row(
    name: &str,
    capacity: f64,
    lasts: Duration,
    told: &[Told<Outcome>],
    own: Option<Duration>,
    recovery: String,
) -> Vec<String> {
    let took = |is: fn(&Outcome) -> bool| -> Latencies {
        told.iter().filter(|one| is(&one.outcome)).map(|one| one.took).collect()
    };
    let served = took(|outcome| *outcome == Outcome::Served);
    let refused = took(|outcome| matches!(outcome, Outcome::Refused { .. }));
    let silent = took(|outcome| *outcome == Outcome::Refused { comes_again: false });
    let rate = in_each_second(told, lasts);
    let mean = rate.iter().sum::<usize>() as f64 / rate.len() as f64;
    let worst = rate.iter().min().copied().unwrap_or_default() as f64;
    vec![
        name.to_owned(),
        format!("{mean:.0}, {}", percent(mean, capacity)),
        percent(worst, capacity),
        format!("{}, {}", ms(served.p50()), ms(served.p99())),
        count(refused.len()),
        format!("{}, {}", ms(refused.p50()), ms(refused.p99())),
        count(silent.len()),
        failures(told),
        own.map_or("-".into(), |own| percent(own.as_secs_f64(), lasts.as_secs_f64()) + " of a core"),
        recovery,
    ]
}

/// How many pages were there in each second of a load.
fn in_each_second(told: &[Told<Outcome>], lasts: Duration) -> Vec<usize> {
    let mut seconds = vec![0; (lasts.as_secs() / SECOND.as_secs()) as usize];
    for one in told.iter().filter(|one| one.outcome == Outcome::Served) {
        if let Some(second) = seconds.get_mut(one.ended().as_secs() as usize) {
            *second += 1;
        }
    }
    seconds
}
