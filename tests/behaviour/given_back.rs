//! What is held for nobody is given back in the end, whatever came between: a capture that was on its way when its order was cancelled, and a provider
//! that does not let itself be asked (rules O7, P8, R1, R3, S1).

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::{Payment, Shop, euros, gate::Gate, outcome_of};

on_each_database![
    what_a_failed_capture_leaves_on_a_cancelled_order_is_given_back,
    what_a_failed_capture_leaves_of_a_used_authorization_is_given_back,
    a_mark_that_is_set_while_somebody_holds_the_lock_is_seen_to,
    a_rest_that_is_to_be_given_back_while_somebody_holds_the_lock_is_seen_to,
    what_a_capture_that_is_written_off_leaves_is_given_back,
    what_a_failed_capture_leaves_on_an_open_order_stays_held,
    what_is_not_wanted_when_its_holder_has_lost_the_lock_is_told_as_it_is,
    what_a_provider_refuses_to_give_back_becomes_a_case,
    what_is_marked_behind_a_refusal_is_given_back_all_the_same,
];

/// A capture of so much that never reached the provider; then its order is cancelled. Gives its reference.
async fn lost_before_the_order_was_cancelled(shop: &Shop, payment: &Payment, amount: &str) -> Value {
    shop.provider_will("run_transaction", "request_lost").await;
    assert_eq!(
        outcome_of(&shop.checkout().captures(payment, amount).await),
        format!("UNKNOWN {amount} OUTCOME_UNKNOWN")
    );
    let reference = shop.back_office().sees_transactions(payment).await.pop().expect("a capture")["reference"].take();
    // Whoever cancels asks after it, and the provider can't say.
    shop.provider_will("find_transaction", "error_500").await;
    shop.checkout().cancels(&payment.order).await;
    assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "CANCELLED");
    reference
}

/// Nothing is held any more, here and at the provider.
async fn nothing_is_held(shop: &Shop, payment: &Payment) {
    let seen = shop.checkout().sees_payment(payment).await;
    let summary = &seen["summary"];
    assert_eq!(summary["amountAuthorized"]["amount"], summary["amountCaptured"]["amount"], "{seen}");
    shop.books_agree(&[payment]).await;
}

async fn what_a_failed_capture_leaves_on_a_cancelled_order_is_given_back(shop: Shop) {
    let payment = shop.authorized().await;
    let capture = lost_before_the_order_was_cancelled(&shop, &payment, "29.90").await;

    shop.hears_of_transaction(&capture, "failed", 2990).await;

    nothing_is_held(&shop, &payment).await;
    assert_eq!(shop.moved().await, ["authorize 2990", "reverse_authorize 2990"]);
}

async fn what_a_failed_capture_leaves_of_a_used_authorization_is_given_back(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().captures(&payment, "10.00").await;
    let capture = lost_before_the_order_was_cancelled(&shop, &payment, "19.90").await;

    shop.hears_of_transaction(&capture, "failed", 1990).await;

    nothing_is_held(&shop, &payment).await;
    assert_eq!(shop.moved().await, ["authorize 2990", "capture 1000", "reverse_authorize 1990"]);
}

/// The provider says that a capture failed while somebody holds the payment's lock. Nobody comes back to it but the reconciler.
async fn failed_under_a_lock(shop: &Shop, payment: &Payment, capture: &Value, cents: i64) {
    let token = shop.checkout().locks_one(payment).await;
    shop.hears_of_transaction(capture, "failed", cents).await;
    assert!(shop.checkout().unlocks(payment, &token).await);
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.reconciles().await;
}

// rules K1, R1
async fn a_mark_that_is_set_while_somebody_holds_the_lock_is_seen_to(shop: Shop) {
    let payment = shop.authorized().await;
    let capture = lost_before_the_order_was_cancelled(&shop, &payment, "29.90").await;

    failed_under_a_lock(&shop, &payment, &capture, 2990).await;

    nothing_is_held(&shop, &payment).await;
}

// rules K1, R1
async fn a_rest_that_is_to_be_given_back_while_somebody_holds_the_lock_is_seen_to(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().captures(&payment, "10.00").await;
    let capture = lost_before_the_order_was_cancelled(&shop, &payment, "19.90").await;

    failed_under_a_lock(&shop, &payment, &capture, 1990).await;

    nothing_is_held(&shop, &payment).await;
}

// rule R3
async fn what_a_capture_that_is_written_off_leaves_is_given_back(shop: Shop) {
    let payment = shop.authorized().await;
    lost_before_the_order_was_cancelled(&shop, &payment, "29.90").await;
    shop.provider_will("find_transaction", "error_500").await;
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.reconciles().await;
    let case = shop.newest_case().await;
    assert_eq!(case["reason"], "OUTCOME_UNKNOWN");

    shop.accountant().decides(&case, "WRITE_OFF", "the bank's statement").await;

    nothing_is_held(&shop, &payment).await;
    assert_eq!(shop.moved().await, ["authorize 2990", "reverse_authorize 2990"]);
}

async fn what_a_failed_capture_leaves_on_an_open_order_stays_held(shop: Shop) {
    let payment = shop.authorized().await;
    shop.provider_will("run_transaction", "declined").await;

    shop.checkout().captures(&payment, "29.90").await;

    assert_eq!(shop.moved().await, ["authorize 2990"]);
    assert_eq!(outcome_of(&shop.checkout().captures(&payment, "29.90").await), "SUCCEEDED 29.90");
}

// rules P7, I3, K5: whoever asked for it is told what came of it, though they can't undo it any more
async fn what_is_not_wanted_when_its_holder_has_lost_the_lock_is_told_as_it_is(shop: Shop) {
    let gate = Gate::to(&shop.url("")).await;
    let behind = shop.second(&["--sandbox-url", &format!("{}/sandbox", gate.url), "--payment-lock-ttl=1s"]).await;
    let payment = behind.payment("tok_ok").await;
    let token = behind.checkout().locks_one(&payment).await;
    gate.shuts();
    let holder = {
        let (behind, payment) = (behind.clone(), payment.clone());
        tokio::spawn(async move {
            let input = json!({ "lockToken": token, "idempotencyKey": "held" });
            behind.checkout().moves("authorizePayment", &payment, "29.90", input).await
        })
    };
    gate.holds_an_answer().await;
    gate.lets_others_pass();
    shop.lets_all_locks_run_out().await;
    shop.provider_will("find_transaction", "error_500").await;
    shop.checkout().cancels(&payment.order).await;
    gate.opens();

    let told = holder.await.expect("an answer");

    assert_eq!(outcome_of(&told), "SUCCEEDED 29.90");
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.reconciles().await;
    nothing_is_held(&shop, &payment).await;
    behind.stop().await;
}

/// An archived payment whose authorization the provider does not let itself be asked to reverse.
async fn refused(shop: &Shop) -> Payment {
    let payment = shop.authorized().await;
    shop.provider_will("run_transaction", "rejected").await;
    shop.checkout().archives(&payment).await;
    payment
}

async fn what_a_provider_refuses_to_give_back_becomes_a_case(shop: Shop) {
    let payment = refused(&shop).await;
    for (round, pause) in (1..).zip([31, 121, 601, 3601]) {
        assert_eq!(shop.cases().await, [""; 0], "round {round}");
        shop.provider_will("run_transaction", "rejected").await;
        shop.moves_time_by(TimeDelta::seconds(pause));
        shop.reconciles().await;
    }
    assert_eq!(shop.cases().await, ["FAILED_REVERSAL"]);

    let case = shop.newest_case().await;
    shop.accountant().decides(&case, "RECHECK", "the bank's statement").await;

    nothing_is_held(&shop, &payment).await;
    assert_eq!(shop.newest_case().await["state"], "RESOLVED");
}

async fn what_is_marked_behind_a_refusal_is_given_back_all_the_same(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    for amount in ["10.00", "19.90"] {
        shop.checkout().authorizes(&payment, amount).await;
    }
    shop.provider_will("run_transaction", "rejected").await;

    shop.checkout().changes_payment(&payment, json!({ "amount": euros("15.00") })).await;

    let moved = shop.moved().await;
    assert_eq!(moved[..2], ["authorize 1000", "authorize 1990"]);
    assert_eq!(moved.len(), 3, "one of the two: {moved:?}");
}
