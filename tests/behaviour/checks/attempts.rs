//! Attempts against their transactions, payments, orders and cases.

use chrono::Duration;

use crate::support::{Attempt, Known, Shop};

use super::{decided_case, finds, open_case};

on_each_database![
    success_that_brought_nothing,
    money_for_an_attempt_that_failed,
    success_with_other_money,
    success_with_other_money_that_a_person_decided_on,
    a_conflict_that_nobody_is_told_of,
    an_attempt_that_stays_open_on_a_closed_order,
    an_archived_payment_with_money,
    an_active_payment_of_an_attempt_that_ended,
];

/// An order that was paid on the provider's page.
async fn paid(shop: &Shop) -> Known {
    let known = shop.known_to_ada().await;
    let redirect_url = shop.session_of(&known.attempt).await["redirect_url"].as_str().expect("a page").to_owned();
    let (id, external_id) = (known.attempt.clone(), known.session.clone());
    shop.shopper_pays(&Attempt { id, external_id, redirect_url }).await;
    shop.comes_to_have("orders WHERE status = 'PAID'").await;
    shop.is_sound().await;
    known
}

async fn success_that_brought_nothing(shop: Shop) {
    let known = paid(&shop).await;

    let attempt = format!("{}: is SUCCEEDED, and none of its 29.90 EUR came into the ledger", known.attempt);
    let order = format!("{}: is PAID, and 0.00 EUR of its 29.90 EUR were ever captured", known.order);
    finds(&shop, "UPDATE payment_transaction SET status = 'FAILED'", &[&attempt, &order]).await;
}

async fn money_for_an_attempt_that_failed(shop: Shop) {
    let known = paid(&shop).await;
    let transaction = transaction(&shop, &known).await;

    let money = format!("{}: is EXPIRED, and {transaction} moved 29.90 EUR for it", known.attempt);
    let payment = format!("{}: is EXPIRED, and its payment {} is ACTIVE", known.attempt, known.payment);
    finds(&shop, "UPDATE payment_attempt SET status = 'EXPIRED'", &[&money, &payment]).await;
}

async fn success_with_other_money(shop: Shop) {
    let known = paid(&shop).await;
    let transaction = transaction(&shop, &known).await;

    let fault = format!("{}: is for 20.00 EUR, and {transaction} moved 29.90 EUR for it", known.attempt);
    finds(&shop, "UPDATE payment_attempt SET amount_minor = 2000", &[&fault]).await;
}

async fn success_with_other_money_that_a_person_decided_on(shop: Shop) {
    let known = paid(&shop).await;
    let about = format!("'AMOUNT_MISMATCH', [{}], [{}], NULL", known.payment, known.attempt);
    shop.plants("UPDATE payment_attempt SET amount_minor = 2000").await;

    shop.plants(&open_case(&about)).await;
    assert_eq!(shop.faults().await.len(), 1, "an open case decides nothing");
    shop.plants("DELETE FROM reconciliation_case").await;
    finds(&shop, &decided_case(&about, "ACCEPT"), &[]).await;
}

async fn a_conflict_that_nobody_is_told_of(shop: Shop) {
    let known = shop.known_to_ada().await;
    let fault = format!("{}: is CONFLICTED, and there is no case", known.attempt);
    finds(&shop, "UPDATE payment_attempt SET status = 'CONFLICTED'", &[&fault]).await;

    let about = format!("'PAID_TWICE', [{}], [{}], NULL", known.payment, known.attempt);
    finds(&shop, &open_case(&about), &[]).await;
}

async fn an_attempt_that_stays_open_on_a_closed_order(shop: Shop) {
    let known = shop.known_to_ada().await;
    let now = shop.now().format("%Y-%m-%dT%H:%M:%S%.6f+00:00");
    finds(&shop, &format!("UPDATE orders SET status = 'CANCELLED', cancelled_at = '{now}'"), &[]).await;

    shop.moves_time_by(Duration::minutes(61));

    let faults = shop.faults().await;
    let fault = format!("{}: is PENDING, and its order is CANCELLED since ", known.attempt);
    assert!(faults.len() == 1 && faults[0].starts_with(&fault), "{faults:?}");
}

async fn an_archived_payment_with_money(shop: Shop) {
    let known = paid(&shop).await;

    let fault = format!("{}: is SUCCEEDED, and its payment {} is ARCHIVED", known.attempt, known.payment);
    finds(&shop, "UPDATE payment SET status = 'ARCHIVED'", &[&fault]).await;
}

async fn an_active_payment_of_an_attempt_that_ended(shop: Shop) {
    let known = shop.known_to_ada().await;

    let fault = format!("{}: is CANCELLED, and its payment {} is ACTIVE", known.attempt, known.payment);
    finds(&shop, "UPDATE payment_attempt SET status = 'CANCELLED'", &[&fault]).await;
    let open = format!("{}: is PENDING, and its payment {} is ARCHIVED", known.attempt, known.payment);
    shop.plants("UPDATE payment_attempt SET status = 'PENDING'").await;
    finds(&shop, "UPDATE payment SET status = 'ARCHIVED'", &[&open]).await;
}

async fn transaction(shop: &Shop, known: &Known) -> String {
    let payment = crate::support::Payment { id: known.payment.clone(), order: known.order.clone() };
    super::transactions(shop, &payment).await.pop().expect("a transaction")
}
