//! What becomes of an attempt whose provider refuses, falls silent, or is cut off: never a second session.

use serde_json::{Value, json};

use crate::support::{Shop, code, eventually};

on_each_database![
    a_refused_session_fails_the_attempt,
    the_key_of_a_refused_session_gives_the_refusal_again,
    a_new_attempt_follows_a_refused_session,
    a_lost_answer_leaves_the_outcome_unknown,
    a_lost_answer_is_looked_up_under_the_same_key,
    a_lost_answer_is_looked_up_under_a_fresh_key,
    a_lost_request_is_sent_under_the_same_reference,
    a_server_error_leaves_the_outcome_unknown,
    a_request_that_was_cut_off_is_taken_up_under_its_key,
];

/// The payload of ada's attempt.
async fn tries(shop: &Shop, order: &str, more: Value) -> Value {
    shop.user("ada").tries_to_pay(order, more).await
}

// rules T1, T3
async fn a_refused_session_fails_the_attempt(shop: Shop) {
    let order = shop.adas_order().await;
    shop.provider_will("create_session", "rejected").await;

    let payload = tries(&shop, &order, json!({})).await;

    let attempt = &payload["attempt"];
    assert_eq!(
        [code(&payload), &attempt["status"], &attempt["payment"]["status"]],
        ["PROVIDER_UNAVAILABLE", "FAILED", "ARCHIVED"]
    );
}

// rule I2
async fn the_key_of_a_refused_session_gives_the_refusal_again(shop: Shop) {
    let order = shop.adas_order().await;
    shop.provider_will("create_session", "rejected").await;
    let first = tries(&shop, &order, json!({ "idempotencyKey": "k" })).await;

    let again = tries(&shop, &order, json!({ "idempotencyKey": "k" })).await;

    assert_eq!([code(&again), &again["attempt"]["id"]], [code(&first), &first["attempt"]["id"]]);
}

async fn a_new_attempt_follows_a_refused_session(shop: Shop) {
    let order = shop.adas_order().await;
    shop.provider_will("create_session", "rejected").await;
    let failed = tries(&shop, &order, json!({})).await;

    let next = tries(&shop, &order, json!({})).await;

    assert_eq!(next["attempt"]["status"], "PENDING");
    assert_ne!(next["attempt"]["id"], failed["attempt"]["id"]);
}

// rules T1, P8
async fn a_lost_answer_leaves_the_outcome_unknown(shop: Shop) {
    let order = shop.adas_order().await;
    shop.provider_will("create_session", "answer_lost").await;

    let payload = tries(&shop, &order, json!({})).await;

    assert_eq!(
        json!([payload["problem"]["code"], payload["problem"]["retryable"], payload["attempt"]["status"]]),
        json!(["OUTCOME_UNKNOWN", true, "CREATED"])
    );
}

/// Meets a fault while a session is opened, asks again, and expects that one attempt and its one session came of it.
async fn ends_in_one_session(shop: &Shop, fault: &str, second_key: &str) {
    let order = shop.adas_order().await;
    shop.provider_will("create_session", fault).await;
    let unknown = tries(shop, &order, json!({ "idempotencyKey": "first" })).await;
    assert_eq!(code(&unknown), "OUTCOME_UNKNOWN");

    let known = tries(shop, &order, json!({ "idempotencyKey": second_key })).await;

    let attempt = &known["attempt"];
    assert_eq!(
        json!([attempt["id"], attempt["status"], shop.count("payment_attempt").await]),
        json!([unknown["attempt"]["id"], "PENDING", 1])
    );
    let session = shop.session_of(attempt["id"].as_str().unwrap()).await;
    assert_eq!(attempt["externalId"], session["id"]);
}

// rule T1
async fn a_lost_answer_is_looked_up_under_the_same_key(shop: Shop) {
    ends_in_one_session(&shop, "answer_lost", "first").await;
}

// rule T1
async fn a_lost_answer_is_looked_up_under_a_fresh_key(shop: Shop) {
    ends_in_one_session(&shop, "answer_lost", "second").await;
}

// rule T1
async fn a_lost_request_is_sent_under_the_same_reference(shop: Shop) {
    ends_in_one_session(&shop, "request_lost", "second").await;
}

// rule P8
async fn a_server_error_leaves_the_outcome_unknown(shop: Shop) {
    ends_in_one_session(&shop, "error_500", "first").await;
}

// rules I2, I3
async fn a_request_that_was_cut_off_is_taken_up_under_its_key(shop: Shop) {
    let order = shop.adas_order().await;
    shop.provider_will("create_session", "slow").await;
    let cut_off = tokio::spawn({
        let (ada, order) = (shop.user("ada"), order.clone());
        async move { ada.tries_to_pay(&order, json!({ "idempotencyKey": "k" })).await }
    });
    let begun = eventually("the session is opened, and not answered", async || {
        let seen = shop.user("ada").looks_at(&order).await;
        let attempt = seen["paymentAttempts"][0]["id"].as_str()?.to_owned();
        shop.session_of(&attempt).await["id"].is_string().then_some(attempt)
    })
    .await;
    cut_off.abort();

    let soon = tries(&shop, &order, json!({ "idempotencyKey": "k" })).await;
    shop.moves_time_by(chrono::Duration::seconds(31));
    let later = tries(&shop, &order, json!({ "idempotencyKey": "k" })).await;

    assert_eq!(
        json!([
            soon["problem"]["code"],
            soon["problem"]["retryable"],
            later["attempt"]["id"],
            later["attempt"]["status"]
        ]),
        json!(["OPERATION_IN_PROGRESS", true, begun, "PENDING"])
    );
}
