//! The provider's page with each of its test methods: what goes wrong with real money goes wrong here too, and ends well.

use serde_json::{Value, json};

use crate::support::{Shop, eventually};

on_each_database![
    a_webhook_that_comes_three_times_pays_once,
    webhooks_out_of_order_pay_the_order,
    without_a_webhook_the_checkouts_report_pays_the_order,
    a_wrong_amount_waits_for_a_decision,
    money_on_its_way_shows_as_processing_and_pays_the_order,
    a_soft_decline_is_told_as_such,
    a_hard_decline_is_told_as_such,
    a_cancelled_session_cancels_the_attempt,
    a_session_is_paid_once,
    the_shopper_is_sent_back_to_the_shop,
];

// rule T3
async fn a_webhook_that_comes_three_times_pays_once(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;

    shop.shopper_pays_with(&attempt, "tok_duplicate_webhook").await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
    assert_eq!([shop.count("payment_transaction").await, shop.count("order_snapshot").await], [1, 1]);
}

// rule T3
async fn webhooks_out_of_order_pay_the_order(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;

    shop.shopper_pays_with(&attempt, "tok_reordered_webhooks").await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
}

// rule W3
async fn without_a_webhook_the_checkouts_report_pays_the_order(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    shop.shopper_pays_with(&attempt, "tok_no_webhook").await;
    assert_eq!(shop.statuses(&order).await, json!(["AWAITING_PAYMENT", ["PENDING"], ["ACTIVE"]]));

    shop.checkout().reports(&attempt.external_id, "SUCCEEDED", "29.90").await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
}

// rule T5
async fn a_wrong_amount_waits_for_a_decision(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;

    shop.shopper_pays_with(&attempt, "tok_wrong_amount").await;

    assert_eq!(shop.statuses(&order).await, json!(["AWAITING_PAYMENT", ["CONFLICTED"], ["ACTIVE"]]));
    let reported = shop.database().await.number("SELECT reported_minor AS n FROM reconciliation_case").await;
    assert_eq!(vec![reported], shop.money_moved(&attempt.id).await);
}

// rule T3
async fn money_on_its_way_shows_as_processing_and_pays_the_order(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;

    shop.shopper_pays_with(&attempt, "tok_async").await;

    assert_eq!(shop.statuses(&order).await, json!(["AWAITING_PAYMENT", ["PROCESSING"], ["ACTIVE"]]));
    eventually("the order is paid", async || {
        (shop.statuses(&order).await == json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]])).then_some(())
    })
    .await;
}

async fn failure_after(shop: &Shop, method: &str) -> Value {
    let (order, attempt) = shop.open_attempt().await;
    shop.shopper_pays_with(&attempt, method).await;
    let order = shop.user("ada").looks_at(&order).await;
    let attempt = &order["paymentAttempts"][0];
    json!([attempt["status"], attempt["failure"]["code"], attempt["failure"]["decline"]])
}

// rule P9
async fn a_soft_decline_is_told_as_such(shop: Shop) {
    assert_eq!(failure_after(&shop, "tok_declined_soft").await, json!(["FAILED", "card_declined", "SOFT"]));
}

// rule P9
async fn a_hard_decline_is_told_as_such(shop: Shop) {
    assert_eq!(failure_after(&shop, "tok_declined_hard").await, json!(["FAILED", "card_declined", "HARD"]));
}

async fn a_cancelled_session_cancels_the_attempt(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;

    shop.shopper_presses(&attempt, "cancel", "tok_ok").await;

    assert_eq!(shop.statuses(&order).await, json!(["AWAITING_PAYMENT", ["CANCELLED"], ["ARCHIVED"]]));
}

async fn a_session_is_paid_once(shop: Shop) {
    let (_, attempt) = shop.open_attempt().await;
    shop.shopper_pays(&attempt).await;

    let again = shop.shopper_presses(&attempt, "pay", "tok_ok").await;

    assert_eq!((again, shop.money_moved(&attempt.id).await), (410, vec![2990]));
}

// rule A7
async fn the_shopper_is_sent_back_to_the_shop(shop: Shop) {
    let (_, attempt) = shop.open_attempt().await;

    let form = shop.client().post(&attempt.redirect_url).body("outcome=pay");
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let answer = form.send().await.unwrap();

    let back = answer.headers()["location"].to_str().unwrap();
    assert_eq!(back, format!("https://shop.example/thanks?session={}", attempt.external_id));
}
