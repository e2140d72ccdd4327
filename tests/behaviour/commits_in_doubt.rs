//! The connection to PostgreSQL breaks off while a commit is on its way, so that nobody knows whether it was done: the client is not told that nothing
//! came of it, a retry is told the truth, and nothing is done twice (rules I3, P6; test P10).
//!
//! `cargo test` does it 40 times; `ORDERPAY_TEST_DOUBTS=500` as often as that.

mod link;

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};

use self::link::{Link, Lost};
use crate::support::{
    Database, Engine, Payment, Shop,
    cluster::Cluster,
    dice::{Dice, seed},
    environment, euros, outcome, runtime, say, tea,
    track::all_powerful,
};

/// So many on one database.
const BATCH: usize = 20;
const LONG: Duration = Duration::from_secs(30);
/// How often a client asks again.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// What a client may ask for, and what is there before.
const ASKED: [&str; 8] = [
    "createOrder",
    "createPayment",
    "authorizePayment",
    "authorizeAndCapturePayment",
    "capturePayment",
    "reverseAuthorization",
    "refundPayment",
    "creditPayment",
];

#[test]
fn a_commit_in_doubt_is_no_refusal_and_is_done_once() {
    let Some(cluster) = Cluster::start() else { return };
    let count = environment("ORDERPAY_TEST_DOUBTS").and_then(|count| count.parse().ok()).unwrap_or(2 * BATCH);
    let seed = environment("ORDERPAY_TEST_SEED").and_then(|seed| seed.parse().ok()).unwrap_or_else(seed);
    say(&format!("commits in doubt: seed {seed}"));
    let (mut dice, mut hits) = (Dice(seed), [0; 2]);
    while hits.iter().sum::<usize>() < count {
        let name = cluster.create();
        runtime().block_on(async {
            let link = Link::to(cluster.address).await;
            let url = Cluster::url_at(link.address, &name);
            let shop = Shop::open_with(Database { engine: Engine::Postgres, url, name: name.clone() }, &[]).await;
            for _ in 0..BATCH {
                let lost = dice.pick(&[Lost::Commit, Lost::Acknowledgement]);
                if doubts(&shop, &link, &mut dice, lost).await {
                    hits[usize::from(lost == Lost::Acknowledgement)] += 1;
                }
            }
            shop.reconciles().await;
            shop.stop().await;
            shop.was_left_sound().await;
        });
    }
    say(&format!("commits in doubt: {} never arrived, {} were never acknowledged", hits[0], hits[1]));
}

/// One mutation during which a commit is in doubt, unless it makes fewer of them. Gives whether one was.
async fn doubts(shop: &Shop, link: &Link, dice: &mut Dice, lost: Lost) -> bool {
    let mutation = dice.pick(&ASKED);
    let (payment, input) = before(shop, mutation).await;
    let orders = shop.count("orders").await;
    let commits = dice.pick(&[0, 0, 1, 1, 2]);
    link.is_cut_after(commits, lost);

    let first = asks(shop, mutation, &input).await;
    let was_cut = link.was_cut();
    let what = format!("{mutation}, {lost:?} after {commits}");
    let known = ["ok", "SUCCEEDED", "OUTCOME_UNKNOWN", "INTERNAL", "UNAVAILABLE"];
    assert!(known.contains(&first.as_str()), "{what}: the client is told {first}");

    // The client comes back when the time of whoever it asked is up.
    shop.moves_time_by(TimeDelta::seconds(30));
    shop.lets_all_locks_run_out().await;
    let again = asks_until_told(shop, mutation, &input).await;
    assert!(["ok", "SUCCEEDED"].contains(&again.as_str()), "{what}: first {first}, then {again}");
    match payment {
        Some(payment) => {
            let ledger = shop.back_office().sees_ledger(&payment).await;
            let done = ledger.iter().filter(|line| line.contains("SUCCEEDED 7.00")).count();
            assert_eq!((done, ledger.iter().any(|line| !line.contains("SUCCEEDED"))), (1, false), "{what}: {ledger:?}");
            assert_eq!(movements(shop, &payment).await, ledger.len(), "{what}");
        }
        None if mutation == "createOrder" => assert_eq!(shop.count("orders").await, orders + 1, "{what}"),
        None => {
            let order = input["orderId"].as_str().expect("an order");
            let seen = shop.user("ada").looks_at(order).await;
            assert_eq!(seen["payments"].as_array().map(Vec::len), Some(1), "{what}");
        }
    }
    was_cut
}

/// What there is before, and the input.
async fn before(shop: &Shop, mutation: &str) -> (Option<Payment>, Value) {
    let key = shop.fresh_key();
    if mutation == "createOrder" {
        return (None, json!({ "owner": { "kind": "USER", "id": "ada" }, "cart": tea(), "idempotencyKey": key }));
    }
    if mutation == "createPayment" {
        let input = json!({
            "orderId": shop.adas_order().await, "provider": "sandbox", "amount": euros("29.90"), "methodToken": "tok_ok",
            "idempotencyKey": key,
        });
        return (None, input);
    }
    let payment = shop.payment("tok_ok").await;
    let service = all_powerful(shop);
    let needed = match mutation {
        "capturePayment" | "reverseAuthorization" => Some("authorizePayment"),
        "refundPayment" | "creditPayment" => Some("authorizeAndCapturePayment"),
        _ => None,
    };
    if let Some(needed) = needed {
        let payload = service.moves(needed, &payment, "29.90", json!({})).await;
        assert_eq!(payload["outcome"]["status"], "SUCCEEDED");
    }
    let input = json!({ "paymentId": payment.id, "amount": euros("7.00"), "idempotencyKey": key });
    (Some(payment), input)
}

/// The status of the outcome, or the code of the problem or error.
async fn asks(shop: &Shop, mutation: &str, input: &Value) -> String {
    let selection =
        if mutation.starts_with("create") && mutation != "creditPayment" { "__typename" } else { "outcome { status }" };
    let answer = all_powerful(shop).dares(mutation, input.clone(), selection, LONG).await.expect("the server lives");
    match (outcome(&answer).as_str(), answer["data"][mutation]["outcome"]["status"].as_str()) {
        ("ok", Some(status)) => status.to_owned(),
        (word, _) => word.to_owned(),
    }
}

async fn asks_until_told(shop: &Shop, mutation: &str, input: &Value) -> String {
    let mut told = String::new();
    for _ in 0..TRIES {
        told = asks(shop, mutation, input).await;
        if !["OUTCOME_UNKNOWN", "OPERATION_IN_PROGRESS", "PAYMENT_LOCKED"].contains(&told.as_str()) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    told
}

/// How often money moved for this payment.
async fn movements(shop: &Shop, payment: &Payment) -> usize {
    let rows = shop.back_office().sees_transactions(payment).await;
    let moved = shop.movements().await;
    moved.iter().filter(|(reference, ..)| rows.iter().any(|row| row["reference"] == **reference)).count()
}
