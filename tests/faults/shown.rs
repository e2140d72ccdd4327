//! What the API shows of each payment is compared with its own ledger, by the tests' own arithmetic (rules S1 to S5, P4).

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    books::Books,
    stage::{SERVERS, Stage},
    support::{
        books::{broken_bounds, summary_of},
        cents,
        track::all_powerful,
    },
    wrong::{Kind, Wrong},
};

const WIDTH: usize = 6;
const ORDER: &str = "query($id: ID!) { order(id: $id) { status payments { id amount { amount } summary {
    amountAuthorized { amount } amountCaptured { amount } amountRefunded { amount } amountCredited { amount }
    amountAvailableForAuthorize { amount } amountAvailableForAuthorizeAndCapture { amount } amountAvailableForCapture { amount }
    amountAvailableForReverseAuthorization { amount } amountAvailableForRefund { amount } totalEverCaptured { amount }
    amountPending { amount } amountStuckInReversal { amount } fullyAuthorized fullyCaptured partiallyCaptured fullyRefunded }
    transactions { id kind status managementState amount { amount } parent { id } reference source sourceEntityId } } } }";

/// Asks for each order. What is shown is what the database holds, row by row.
pub async fn look(stage: &Arc<Stage>, books: &Books) -> Vec<Wrong> {
    let places = Arc::new(Semaphore::new(WIDTH));
    let mut held: BTreeSet<String> =
        books.transactions.iter().map(|row| format!("{} {} {}", row.reference, row.status, row.amount)).collect();
    let mut looking = JoinSet::new();
    for (at, order) in books.orders.iter().enumerate() {
        let (stage, places, id) = (Arc::clone(stage), Arc::clone(&places), format!("ord_{}", order.id));
        looking.spawn(async move {
            let _place = places.acquire().await.expect("a place");
            let actor = all_powerful(&stage.servers[at % SERVERS].shop);
            let seen = actor.sees(ORDER, json!({ "id": id })).await;
            seen["order"]["payments"].as_array().expect("payments").clone()
        });
    }
    let mut wrong = vec![];
    for payment in looking.join_all().await.iter().flatten() {
        wrong.extend(wrong_with(payment));
        for row in payment["transactions"].as_array().expect("transactions") {
            let text = |field: &str| row[field].as_str().expect(field);
            let shown = format!("{} {} {}", text("reference"), text("status"), cents(&row["amount"]));
            if !held.remove(&shown) {
                wrong.push(Wrong::new(Kind::Contradiction, format!("{shown} is shown, and not held")));
            }
        }
    }
    wrong.extend(held.into_iter().map(|row| Wrong::new(Kind::Contradiction, format!("{row} is held, and not shown"))));
    wrong
}

fn wrong_with(payment: &Value) -> Vec<Wrong> {
    let rows = payment["transactions"].as_array().expect("transactions");
    let (amount, id) = (cents(&payment["amount"]), &payment["id"]);
    let mut wrong: Vec<Wrong> = broken_bounds(amount, rows)
        .into_iter()
        .map(|broken| Wrong::new(Kind::WrongSum, format!("{id}: {broken}")))
        .collect();
    let expected = summary_of(amount, rows);
    if payment["summary"] != expected {
        let what = format!("{id} shows {}, and its ledger comes to {expected}: {rows:?}", payment["summary"]);
        wrong.push(Wrong::new(Kind::WrongSum, what));
    }
    wrong
}
