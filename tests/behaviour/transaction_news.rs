//! What a provider's webhook tells of a transaction: it counts once, in whatever order it comes, and it never changes what was the last word.

use serde_json::{Value, json};

use crate::support::{Payment, Shop, eventually, outcome_of, sums};

on_each_database![
    a_lost_answer_that_the_webhook_told_is_known_under_its_key,
    a_webhook_that_comes_three_times_counts_once,
    webhooks_out_of_order_end_the_same,
    a_failure_after_a_success_changes_nothing_and_waits_for_a_person,
    a_success_after_a_failure_changes_nothing_and_waits_for_a_person,
    a_contradiction_that_a_recheck_did_not_bear_out_may_come_again,
    money_that_the_webhook_tells_of_pays_the_order,
];

/// A payment of which 29.90 were asked for, and the answer did not come although the money moved.
async fn unanswered(shop: &Shop, mutation: &str) -> Payment {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "answer_lost").await;
    let payload = shop.checkout().moves(mutation, &payment, "29.90", json!({ "idempotencyKey": "first" })).await;
    assert_eq!(outcome_of(&payload), "UNKNOWN 29.90 OUTCOME_UNKNOWN");
    payment
}

// rules P7, I3
async fn a_lost_answer_that_the_webhook_told_is_known_under_its_key(shop: Shop) {
    let payment = unanswered(&shop, "authorizePayment").await;
    let reference = shop.back_office().sees_transactions(&payment).await[0]["reference"].clone();
    shop.hears_of_transaction(&reference, "succeeded", 2990).await;
    assert_eq!(sums(&shop.checkout().sees_payment(&payment).await["summary"]), ["29.90", "0.00", "0.00", "0.00"]);

    let known =
        shop.checkout().moves("authorizePayment", &payment, "29.90", json!({ "idempotencyKey": "first" })).await;

    assert_eq!(outcome_of(&known), "SUCCEEDED 29.90");
    assert_eq!(shop.checkout().sees_operation("first").await["state"], "SUCCEEDED");
    shop.books_agree(&[&payment]).await;
}

// rules O6, P7
async fn money_that_the_webhook_tells_of_pays_the_order(shop: Shop) {
    let payment = unanswered(&shop, "authorizeAndCapturePayment").await;
    let reference = shop.back_office().sees_transactions(&payment).await[0]["reference"].clone();

    shop.hears_of_transaction(&reference, "succeeded", 2990).await;

    let order = shop.user("ada").looks_at(&payment.order).await;
    assert_eq!([&order["status"], &order["snapshot"]["paymentAttempt"]], [&json!("PAID"), &Value::Null]);
    shop.books_agree(&[&payment]).await;
}

/// Each of the two ends as a success that counts once.
async fn settles_by_webhooks(shop: &Shop, method: &str, told: i64) {
    let (held, sold) = (shop.payment(method).await, shop.payment(method).await);
    assert_eq!(outcome_of(&shop.checkout().authorizes(&held, "29.90").await), "PENDING 29.90");
    assert_eq!(outcome_of(&shop.checkout().sells(&sold, "29.90").await), "PENDING 29.90");

    for payment in [&held, &sold] {
        shop.comes_to_rest(payment).await;
    }
    eventually("all is told", async || (shop.count("provider_event").await == told).then_some(())).await;

    assert_eq!(shop.back_office().sees_ledger(&held).await, ["AUTHORIZE SUCCEEDED 29.90"]);
    assert_eq!(shop.back_office().sees_ledger(&sold).await, ["AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90"]);
    assert_eq!((shop.count("order_snapshot").await, shop.cases().await), (1, vec![]));
    shop.books_agree(&[&held, &sold]).await;
}

// rule W2: for each, that it is pending and three copies of that it succeeded
async fn a_webhook_that_comes_three_times_counts_once(shop: Shop) {
    settles_by_webhooks(&shop, "tok_duplicate_webhook", 4).await;
}

// rules W3, P2
async fn webhooks_out_of_order_end_the_same(shop: Shop) {
    settles_by_webhooks(&shop, "tok_reordered_webhooks", 4).await;
}

/// The provider contradicts itself: nothing changes, and a person is asked once.
async fn contradicts(shop: &Shop, payment: &Payment, says: &str) {
    let before = (shop.back_office().sees_ledger(payment).await, shop.checkout().sees_payment(payment).await);
    let reference = shop.back_office().sees_transactions(payment).await[0]["reference"].clone();

    shop.hears_of_transaction(&reference, says, 2990).await;
    shop.hears_of_transaction(&reference, says, 2990).await;

    let after = (shop.back_office().sees_ledger(payment).await, shop.checkout().sees_payment(payment).await);
    assert_eq!(after, before);
    assert_eq!(shop.cases().await, ["CONTRADICTING_RESULT"]);
}

// rule P2
async fn a_failure_after_a_success_changes_nothing_and_waits_for_a_person(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.checkout().sells(&payment, "29.90").await;

    contradicts(&shop, &payment, "failed").await;

    assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "PAID");
}

// rule P2
async fn a_success_after_a_failure_changes_nothing_and_waits_for_a_person(shop: Shop) {
    let payment = shop.payment("tok_declined_hard").await;
    shop.checkout().sells(&payment, "29.90").await;

    contradicts(&shop, &payment, "succeeded").await;

    assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "AWAITING_PAYMENT");
}

// rules P2, R3
async fn a_contradiction_that_a_recheck_did_not_bear_out_may_come_again(shop: Shop) {
    let payment = shop.payment("tok_declined_hard").await;
    assert!(outcome_of(&shop.checkout().sells(&payment, "29.90").await).starts_with("FAILED"));
    let reference = shop.back_office().sees_transactions(&payment).await[0]["reference"].clone();
    for _ in 0..2 {
        shop.hears_of_transaction(&reference, "succeeded", 2990).await;
        let case = shop.newest_case().await;
        assert_eq!([&case["reason"], &case["state"]], ["CONTRADICTING_RESULT", "OPEN"]);

        shop.accountant().decides(&case, "RECHECK", "asked again").await;

        assert_eq!(shop.newest_case().await["state"], "RESOLVED");
    }
    assert_eq!(shop.count("reconciliation_case").await, 2);
}
