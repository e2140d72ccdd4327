//! Attempts to pay: one open attempt an order, for what is due and nothing else.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Shop, code};

on_each_database![
    an_attempt_opens_a_session_for_the_amount_due,
    the_redirect_leads_to_the_providers_page,
    a_service_may_start_the_attempt_for_the_shopper,
    asked_again_the_open_attempt_is_given_back,
    the_same_key_gives_the_same_attempt,
    a_key_is_not_good_for_another_attempt,
    an_attempt_after_a_changed_cart_asks_for_the_new_amount,
    the_shopper_is_not_charged_another_amount_than_they_were_shown,
    the_shopper_is_charged_the_amount_that_they_were_shown,
    a_foreign_return_address_is_refused,
    an_unknown_provider_is_refused,
    nothing_is_attempted_where_nothing_is_due,
    a_paid_order_is_not_attempted,
    a_cancelled_order_is_not_attempted,
    clicks_at_once_open_one_session,
];

/// The payload of ada's attempt.
async fn tries(shop: &Shop, order: &str, more: Value) -> Value {
    shop.user("ada").tries_to_pay(order, more).await
}

// rule T1
async fn an_attempt_opens_a_session_for_the_amount_due(shop: Shop) {
    let order = shop.adas_order().await;

    let payload = tries(&shop, &order, json!({})).await;

    let attempt = &payload["attempt"];
    let session = shop.session_of(attempt["id"].as_str().unwrap()).await;
    assert_eq!(
        json!([attempt["status"], attempt["provider"], attempt["amount"], payload["replayed"], session["amount"]]),
        json!(["PENDING", "sandbox", { "amount": "29.90", "currency": "EUR" }, false, 2990])
    );
    assert_eq!(attempt["externalId"], session["id"]);
}

async fn the_redirect_leads_to_the_providers_page(shop: Shop) {
    let attempt = shop.user("ada").attempts_to_pay(&shop.adas_order().await).await;

    let page = shop.client().get(&attempt.redirect_url).send().await.unwrap();

    assert_eq!(page.status(), 200);
    let html = page.text().await.unwrap();
    assert!(html.contains("29.90 EUR"), "{html}");
}

// rule A3
async fn a_service_may_start_the_attempt_for_the_shopper(shop: Shop) {
    let order = shop.adas_order().await;

    let payload = shop.service(&["attempts:write"]).tries_to_pay(&order, json!({})).await;

    assert_eq!(code(&payload), &Value::Null);
}

// rule T2
async fn asked_again_the_open_attempt_is_given_back(shop: Shop) {
    let order = shop.adas_order().await;
    let first = tries(&shop, &order, json!({})).await;

    let again = tries(&shop, &order, json!({})).await;

    assert_eq!((&again["replayed"], &again["attempt"]), (&json!(true), &first["attempt"]));
}

// rule I2
async fn the_same_key_gives_the_same_attempt(shop: Shop) {
    let order = shop.adas_order().await;
    let first = tries(&shop, &order, json!({ "idempotencyKey": "k" })).await;

    let again = tries(&shop, &order, json!({ "idempotencyKey": "k" })).await;

    assert_eq!((&again["replayed"], &again["attempt"]), (&json!(true), &first["attempt"]));
}

// rule I2
async fn a_key_is_not_good_for_another_attempt(shop: Shop) {
    let order = shop.adas_order().await;
    tries(&shop, &order, json!({ "idempotencyKey": "k" })).await;

    let other = json!({ "idempotencyKey": "k", "returnUrl": "https://shop.example/elsewhere" });
    let refused = tries(&shop, &order, other).await;

    assert_eq!(code(&refused), "IDEMPOTENCY_KEY_REUSED");
}

async fn an_attempt_after_a_changed_cart_asks_for_the_new_amount(shop: Shop) {
    let (order, declined) = shop.open_attempt().await;
    shop.shopper_declines(&declined).await;
    let cup = json!({ "sku": "CUP", "name": "Cup", "quantity": 1, "unitPrice": "14.40" });
    shop.checkout().changes_cart(&order, json!({ "currency": "EUR", "lines": [cup] })).await;

    let next = tries(&shop, &order, json!({})).await;

    assert_eq!(next["attempt"]["amount"]["amount"], "14.40");
}

async fn the_shopper_is_not_charged_another_amount_than_they_were_shown(shop: Shop) {
    let order = shop.adas_order().await;

    let shown = json!({ "amount": "24.90", "currency": "EUR" });
    let refused = tries(&shop, &order, json!({ "expectedAmount": shown })).await;

    let problem = &refused["problem"];
    assert_eq!(
        json!([problem["code"], problem["expected"], problem["amountDue"], shop.count("payment_attempt").await]),
        json!(["AMOUNT_DUE_CHANGED", shown, { "amount": "29.90", "currency": "EUR" }, 0])
    );
}

async fn the_shopper_is_charged_the_amount_that_they_were_shown(shop: Shop) {
    let order = shop.adas_order().await;

    let shown = json!({ "amount": "29.90", "currency": "EUR" });
    let payload = tries(&shop, &order, json!({ "expectedAmount": shown })).await;

    assert_eq!((code(&payload), &payload["attempt"]["amount"]), (&Value::Null, &shown));
}

// rule A7
async fn a_foreign_return_address_is_refused(shop: Shop) {
    let order = shop.adas_order().await;

    let refused = tries(&shop, &order, json!({ "returnUrl": "https://shop.example.evil/thanks" })).await;

    let problem = &refused["problem"];
    assert_eq!(
        json!([problem["code"], problem["fields"][0]["path"], shop.count("payment_attempt").await]),
        json!(["INVALID_INPUT", ["returnUrl"], 0])
    );
}

// rule P10
async fn an_unknown_provider_is_refused(shop: Shop) {
    let order = shop.adas_order().await;

    let refused = tries(&shop, &order, json!({ "provider": "paypal" })).await;

    assert_eq!((code(&refused), shop.count("payment_attempt").await), (&json!("PROVIDER_UNSUPPORTED"), 0));
}

// rule M4
async fn nothing_is_attempted_where_nothing_is_due(shop: Shop) {
    let sample = json!({ "sku": "SAMPLE", "name": "Sample", "quantity": 1, "unitPrice": "0.00" });
    let cart = json!({ "currency": "EUR", "lines": [sample] });
    let order = shop.checkout().creates_order_of(&shop.user("ada"), cart).await;

    let refused = tries(&shop, &order, json!({})).await;

    assert_eq!((code(&refused), shop.count("payment_attempt").await), (&json!("NOTHING_DUE"), 0));
}

async fn a_paid_order_is_not_attempted(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    shop.shopper_pays(&attempt).await;

    let refused = tries(&shop, &order, json!({})).await;

    assert_eq!((code(&refused), shop.count("payment_attempt").await), (&json!("ORDER_ALREADY_PAID"), 1));
}

async fn a_cancelled_order_is_not_attempted(shop: Shop) {
    let order = shop.adas_order().await;
    shop.checkout().cancels(&order).await;

    let refused = tries(&shop, &order, json!({})).await;

    assert_eq!((code(&refused), shop.count("payment_attempt").await), (&json!("ORDER_CANCELLED"), 0));
}

// rule T2
async fn clicks_at_once_open_one_session(shop: Shop) {
    let order = shop.adas_order().await;
    let mut clicks = JoinSet::new();
    for _ in 0..6 {
        let (ada, order) = (shop.user("ada"), order.clone());
        clicks.spawn(async move { ada.attempts_to_pay(&order).await });
    }

    let mut attempts = clicks.join_all().await;

    attempts.dedup();
    assert_eq!((attempts.len(), shop.count("payment_attempt").await), (1, 1));
}
