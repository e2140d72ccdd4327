//! `orderpay check`: each fault that it knows, planted where no server would leave it, is named; and where none is planted, none is.

mod attempts;
mod audit;
mod holds;
mod money;
mod program;
mod states;
mod waiting;

use crate::support::{Payment, Shop};

/// The ids of a payment's transactions, oldest first.
async fn transactions(shop: &Shop, payment: &Payment) -> Vec<String> {
    let rows = shop.back_office().sees_transactions(payment).await;
    rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

/// This moment, as the database writes it.
fn now(shop: &Shop) -> String {
    format!("'{}'", shop.now().format("%Y-%m-%dT%H:%M:%S%.6f+00:00"))
}

/// Writes an open case into the database: `about` is its reason, payment, attempt and transaction.
fn open_case(about: &str) -> String {
    case(about, "'OPEN', NULL, NULL")
}

/// Writes a case into it that somebody has decided so.
fn decided_case(about: &str, resolution: &str) -> String {
    case(about, &format!("'RESOLVED', '{resolution}', p.created_at"))
}

fn case(about: &str, state: &str) -> String {
    format!(
        "INSERT INTO reconciliation_case
            (id, created_at, reason, payment_id, attempt_id, transaction_id, state, resolution, resolved_at)
        SELECT p.id, p.created_at, {about}, {state} FROM payment p LIMIT 1"
    )
}

/// Plants something, and expects exactly these faults. That a ledger was changed past its audit trail shows beside them, and is looked at in `audit`.
async fn finds(shop: &Shop, sql: &str, faults: &[&str]) {
    shop.plants(sql).await;
    let expected = sorted(faults.iter().map(|fault| (*fault).to_owned()).collect());
    assert_eq!(sorted(beside_the_trail(shop.faults().await)), expected, "{sql}");
}

fn beside_the_trail(mut faults: Vec<String>) -> Vec<String> {
    faults.retain(|fault| !fault.contains("audit trail"));
    faults
}

fn sorted(mut faults: Vec<String>) -> Vec<String> {
    faults.sort();
    faults
}
