//! Two who want the same of one payment, at once and at different servers: whoever is quicker gets it, and money moves once.
//!
//! Each race is run five hundred times on each database, between servers that are processes of their own; then the provider's books are held
//! against what the API tells.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Payment, Shop, code, say, track::Track};

on_each_database![
    of_two_captures_of_the_whole_one_succeeds,
    of_two_refunds_of_the_whole_one_succeeds,
    of_a_capture_and_a_reversal_one_succeeds,
    of_ten_captures_of_30_on_100_three_succeed,
    one_key_sent_twenty_times_at_once_has_one_effect,
    of_those_who_lock_at_once_one_holds,
    sets_that_overlap_are_locked_whole_or_not_at_all,
];

const ROUNDS: usize = 500;
/// For whoever finds a payment locked and tries again: another's call to the provider takes about as long.
const PAUSE: Duration = Duration::from_millis(20);

const NOTHING_LEFT: &str = "AMOUNT_EXCEEDS_AVAILABLE";

/// One of those in a race: what it sends, and where.
#[derive(Clone)]
struct Runner {
    track: Track,
    /// Which of the servers.
    server: usize,
    mutation: &'static str,
    payment: Payment,
    amount: &'static str,
    key: String,
}

impl Runner {
    async fn tries(&self) -> String {
        self.track.moves(self.server, self.mutation, &self.payment, self.amount, &self.key).await
    }

    /// Tries again under the same key until nobody is in its way: PAYMENT_LOCKED uses up no key (rule I2).
    async fn comes_again(self) -> String {
        for _ in 0..1000 {
            match self.tries().await.as_str() {
                "PAYMENT_LOCKED" => tokio::time::sleep(PAUSE).await,
                answer => return answer.to_owned(),
            }
        }
        panic!("{} stays locked", self.payment.id);
    }
}

/// All of them at once; then those who found the payment locked come again, one after the other, until one is told that nothing is left. Gives each
/// success, each problem once, and how many were locked out at first.
async fn race(runners: Vec<Runner>) -> (Vec<String>, usize) {
    let mut running = JoinSet::new();
    for runner in runners {
        running.spawn(async move { (runner.tries().await, runner) });
    }
    let (locked, first): (Vec<_>, Vec<_>) =
        running.join_all().await.into_iter().partition(|(answer, _)| answer == "PAYMENT_LOCKED");
    let met = locked.len();
    let mut answers: Vec<String> = first.into_iter().map(|(answer, _)| answer).collect();
    for (_, runner) in locked {
        if !answers.iter().any(|answer| answer == NOTHING_LEFT) {
            answers.push(runner.comes_again().await);
        }
    }
    answers.sort();
    answers.dedup_by(|one, other| one == other && one != "SUCCEEDED");
    (answers, met)
}

/// Runs a race between these mutations, each for this amount, on each payment, and expects that of each so many succeed and nothing is left.
async fn races(
    track: &Track,
    payments: &[Payment],
    contenders: &'static [&'static str],
    amount: &'static str,
    successes: usize,
) {
    let begun = Instant::now();
    let done = track.rounds(contenders.len(), payments.to_vec(), move |track, at, payment: Payment| async move {
        let runner = |(place, mutation): (usize, &&'static str)| Runner {
            // By turns each is the first, and at each of the servers.
            server: at + place,
            mutation,
            payment: payment.clone(),
            amount,
            key: format!("{place} {}", payment.id),
            track: track.clone(),
        };
        let mut runners: Vec<Runner> = contenders.iter().enumerate().map(runner).collect();
        runners.rotate_left(at % contenders.len());
        race(runners).await
    });
    let (answers, met): (Vec<Vec<String>>, Vec<usize>) = done.await.into_iter().unzip();
    let close = met.iter().filter(|met| **met > 0).count();
    say(&format!(
        "{} x {}: {close} of {ROUNDS} rounds were close; {:?}",
        contenders.len(),
        contenders[0],
        begun.elapsed()
    ));
    let expected: Vec<&str> = [[NOTHING_LEFT].as_slice(), &vec!["SUCCEEDED"; successes]].concat();
    assert_eq!(counted(answers), BTreeMap::from([(owned(&expected), ROUNDS)]), "{:#?}", track.errors());
    // Where nobody is ever in anybody's way, nothing is proved.
    assert!(close * 100 > ROUNDS, "in {close} of {ROUNDS} rounds only was anybody in anybody's way");
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// How often each comes.
fn counted<T: Ord>(all: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    counts
}

/// Expects that money did the same at the provider for each payment, and that the API tells the same.
async fn each_moved(track: &Track, payments: &[Payment], expected: &[(&str, i64)]) {
    let books = track.books(payments).await;
    assert_eq!(counted(books.into_values()), BTreeMap::from([(moved(expected), payments.len())]));
}

fn moved(movements: &[(&str, i64)]) -> Vec<(String, i64)> {
    movements.iter().map(|(kind, amount)| ((*kind).to_owned(), *amount)).collect()
}

// rules P4, P5, K1, K8
async fn of_two_captures_of_the_whole_one_succeeds(shop: Shop) {
    let track = Track::open(&shop).await;
    let payments = track.authorized(ROUNDS, "29.90").await;

    races(&track, &payments, &["capturePayment"; 2], "29.90", 1).await;

    each_moved(&track, &payments, &[("authorize", 2990), ("capture", 2990)]).await;
}

// rules P4, P5, K1, K8
async fn of_two_refunds_of_the_whole_one_succeeds(shop: Shop) {
    let track = Track::open(&shop).await;
    let payments = track.captured(ROUNDS, "29.90").await;

    races(&track, &payments, &["refundPayment"; 2], "29.90", 1).await;

    each_moved(&track, &payments, &[("authorize_and_capture", 2990), ("refund", 2990)]).await;
}

// rules P4, P5, K1, K8
async fn of_a_capture_and_a_reversal_one_succeeds(shop: Shop) {
    let track = Track::open(&shop).await;
    let payments = track.authorized(ROUNDS, "29.90").await;

    let contenders = &["capturePayment", "reverseAuthorization"];
    races(&track, &payments, contenders, "29.90", 1).await;

    let books = counted(track.books(&payments).await.into_values());
    let won = |kind: &str| books.get(&moved(&[("authorize", 2990), (kind, 2990)])).copied().unwrap_or_default();
    let (captured, reversed) = (won("capture"), won("reverse_authorize"));
    assert_eq!(captured + reversed, ROUNDS, "{books:?}");
    assert!(captured > 0 && reversed > 0, "{captured} captured, {reversed} reversed: one was quicker each time");
}

// rules P4, P5, K1
async fn of_ten_captures_of_30_on_100_three_succeed(shop: Shop) {
    let track = Track::open(&shop).await;
    let payments = track.authorized(ROUNDS, "100.00").await;

    races(&track, &payments, &["capturePayment"; 10], "30.00", 3).await;

    let three = [("authorize", 10000), ("capture", 3000), ("capture", 3000), ("capture", 3000)];
    each_moved(&track, &payments, &three).await;
}

// rules I1, I2
async fn one_key_sent_twenty_times_at_once_has_one_effect(shop: Shop) {
    let track = Track::open(&shop).await;
    let payments = track.payments(ROUNDS, "29.90").await;
    let begun = Instant::now();

    let answers = track
        .rounds(20, payments.clone(), |track, _, payment: Payment| async move {
            let mut sending = JoinSet::new();
            for server in 0..20 {
                let (track, payment) = (track.clone(), payment.clone());
                let (mutation, amount, key) = ("authorizePayment", "29.90", format!("key {}", payment.id));
                sending.spawn(async move { Runner { track, server, mutation, payment, amount, key }.tries().await });
            }
            sending.join_all().await
        })
        .await;

    let mut firsts = counted(answers.iter().flatten().map(String::as_str));
    let (running, again) = (firsts.remove("OPERATION_IN_PROGRESS"), firsts.remove("SUCCEEDED, again"));
    say(&format!(
        "one key 20 times: {running:?} found it running, {again:?} got what came of it; {:?}",
        begun.elapsed()
    ));
    assert_eq!(firsts, BTreeMap::from([("SUCCEEDED", ROUNDS)]), "{:#?}", track.errors());
    assert!(answers.iter().all(|answers| answers.iter().any(|answer| answer == "SUCCEEDED")));
    assert!(running.is_some_and(|running| running > ROUNDS), "hardly any was sent while another was running");
    each_moved(&track, &payments, &[("authorize", 2990)]).await;
}

/// Locks these, in this order, at one of the servers: their tokens, or none.
async fn locks(track: &Track, server: usize, payments: &[&Payment]) -> Option<Vec<(String, String)>> {
    let payload = track.actor(server).locks(payments, json!({})).await;
    let Value::Array(locks) = &payload["locks"] else {
        assert_eq!(code(&payload), "PAYMENT_LOCKED");
        return None;
    };
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    Some(locks.iter().map(|lock| (text(&lock["payment"]["id"]), text(&lock["token"]))).collect())
}

/// Gives these back; all of them must have been held.
async fn unlocks(track: &Track, locks: &[(String, String)]) {
    for some in locks.chunks(100) {
        let named: Vec<Value> = some.iter().map(|(id, token)| json!({ "paymentId": id, "token": token })).collect();
        let input = json!({ "locks": named });
        let payload = track.actor(0).does("unlockPayments", input, "unlockedPaymentIds").await;
        let unlocked = payload["unlockedPaymentIds"].as_array().map(Vec::len);
        assert_eq!(unlocked, Some(some.len()), "{payload}");
    }
}

// rules K2, K5, K8
async fn of_those_who_lock_at_once_one_holds(shop: Shop) {
    let track = Track::open(&shop).await;
    let payments = track.payments(ROUNDS, "29.90").await;

    let held = track
        .rounds(3, payments, |track, _, payment: Payment| async move {
            let mut locking = JoinSet::new();
            for server in 0..3 {
                let (track, payment) = (track.clone(), payment.clone());
                locking.spawn(async move { locks(&track, server, &[&payment]).await });
            }
            locking.join_all().await.into_iter().flatten().collect::<Vec<_>>()
        })
        .await;

    assert_eq!(counted(held.iter().map(Vec::len)), BTreeMap::from([(1, ROUNDS)]), "{:#?}", track.errors());
    unlocks(&track, &held.concat().concat()).await;
}

// rules K4, K2
async fn sets_that_overlap_are_locked_whole_or_not_at_all(shop: Shop) {
    let track = Track::open(&shop).await;
    // Each two have one in common, and no two have the same order.
    const SETS: [[usize; 3]; 3] = [[0, 1, 2], [3, 2, 1], [2, 0, 3]];
    let payments = track.payments(4 * 20, "29.90").await;
    let groups: Vec<Vec<Payment>> = payments.chunks(4).map(<[Payment]>::to_vec).collect();

    let held = track
        .rounds(3, groups, |track, _, group: Vec<Payment>| async move {
            let mut held = vec![];
            for _ in 0..ROUNDS / 20 {
                let mut locking = JoinSet::new();
                for (server, set) in SETS.into_iter().enumerate() {
                    let (track, group) = (track.clone(), group.clone());
                    locking.spawn(async move { locks(&track, server, &set.map(|at| &group[at])).await });
                }
                let taken = locking.join_all().await.into_iter().flatten().collect::<Vec<_>>().concat();
                // Whoever was refused has left nothing locked: the one that the winner did not want is free.
                let left = group.iter().find(|payment| taken.iter().all(|(id, _)| *id != payment.id));
                let left = locks(&track, 0, &[left.expect("one is left")]).await.expect("it is free");
                held.push(taken.len());
                unlocks(&track, &[taken, left].concat()).await;
            }
            held
        })
        .await;

    assert_eq!(counted(held.concat()), BTreeMap::from([(3, ROUNDS)]), "{:#?}", track.errors());
}
