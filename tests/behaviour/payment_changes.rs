//! Payments made, changed and archived: what that does to what they hold, and to nothing else.

use entity::id::OrderId;
use serde_json::{Value, json};

use crate::support::{Payment, Shop, code, euros, outcome_of, sums, writing_nothing};

on_each_database![
    a_payment_is_made_once_for_a_key,
    a_payment_is_as_it_was_asked_for_and_holds_nothing,
    a_payment_in_another_currency_than_its_order_is_refused,
    a_payment_by_an_unknown_provider_is_refused,
    a_payment_for_an_order_that_is_not_there_is_refused,
    a_payment_for_a_paid_order_is_refused,
    a_payment_for_a_cancelled_order_is_refused,
    what_is_shown_of_a_payment_may_change,
    another_amount_gives_back_what_was_authorized,
    the_rest_of_what_was_partly_captured_is_given_back,
    the_same_amount_gives_nothing_back,
    an_amount_below_what_was_captured_is_refused,
    an_amount_below_what_may_have_been_captured_is_refused,
    an_amount_in_another_currency_is_refused,
    the_amount_that_was_asked_for_on_a_providers_page_stays,
    the_amount_of_a_payment_on_a_paid_order_stays,
    a_change_of_a_stale_version_is_refused,
    a_change_within_a_lock_leaves_it_held,
];

// rule I2
async fn a_payment_is_made_once_for_a_key(shop: Shop) {
    let order = shop.adas_order().await;
    let (checkout, key) = (shop.checkout(), json!({ "idempotencyKey": "k" }));
    let first = checkout.makes_payment_with(&order, key.clone()).await;

    let again = writing_nothing(&shop, async || checkout.makes_payment_with(&order, key.clone()).await).await;
    let other = json!({ "idempotencyKey": "k", "amount": euros("1.00") });
    let reused = checkout.makes_payment_with(&order, other).await;
    let other_method = json!({ "idempotencyKey": "k", "methodToken": "tok_async" });
    let reused_too = checkout.makes_payment_with(&order, other_method).await;

    assert_eq!(again, first);
    assert_eq!([code(&reused), code(&reused_too)], ["IDEMPOTENCY_KEY_REUSED"; 2]);
    assert_eq!(shop.count("payment").await, 1);
}

// rule P1
async fn a_payment_is_as_it_was_asked_for_and_holds_nothing(shop: Shop) {
    let order = shop.adas_order().await;

    let display = json!({ "brand": "Visa", "last4": "4242" });
    let made = shop.checkout().makes_payment_with(&order, json!({ "display": display })).await;

    let payment = &made["payment"];
    let told =
        json!([payment["status"], payment["amount"], payment["provider"], payment["display"], payment["version"]]);
    assert_eq!(told, json!(["ACTIVE", euros("29.90"), "sandbox", display, 1]));
    let payment = Payment { id: payment["id"].as_str().expect("an id").to_owned(), order };
    assert_eq!(shop.back_office().sees_ledger(&payment).await, [""; 0]);
    shop.books_agree(&[&payment]).await;
}

/// `createPayment` is refused for this reason, and nothing is written.
async fn making_refused(shop: &Shop, order: &str, more: Value, why: &str) {
    let checkout = shop.checkout();
    let payload = writing_nothing(shop, async || checkout.makes_payment_with(order, more).await).await;
    assert_eq!([code(&payload), &payload["payment"]], [&json!(why), &Value::Null]);
}

// rule M3
async fn a_payment_in_another_currency_than_its_order_is_refused(shop: Shop) {
    let dollars = json!({ "amount": "29.90", "currency": "USD" });
    making_refused(&shop, &shop.adas_order().await, json!({ "amount": dollars }), "CURRENCY_MISMATCH").await;
}

// rule P10
async fn a_payment_by_an_unknown_provider_is_refused(shop: Shop) {
    making_refused(&shop, &shop.adas_order().await, json!({ "provider": "barter" }), "PROVIDER_UNSUPPORTED").await;
}

async fn a_payment_for_an_order_that_is_not_there_is_refused(shop: Shop) {
    let nowhere = OrderId::new(shop.now()).to_string();
    making_refused(&shop, &nowhere, json!({}), "ORDER_NOT_FOUND").await;
}

async fn a_payment_for_a_paid_order_is_refused(shop: Shop) {
    let paid = shop.captured().await;
    making_refused(&shop, &paid.order, json!({}), "ORDER_ALREADY_PAID").await;
}

async fn a_payment_for_a_cancelled_order_is_refused(shop: Shop) {
    let order = shop.adas_order().await;
    shop.checkout().cancels(&order).await;
    making_refused(&shop, &order, json!({}), "ORDER_CANCELLED").await;
}

async fn what_is_shown_of_a_payment_may_change(shop: Shop) {
    let payment = shop.authorized().await;
    let before = shop.checkout().sees_payment(&payment).await;

    let display = json!({ "brand": "Mastercard", "last4": "0001" });
    let changed = shop.checkout().changes_payment(&payment, json!({ "display": display })).await;

    let after = &changed["payment"];
    assert_eq!(after["display"], display);
    assert_eq!(after["version"].as_i64(), before["version"].as_i64().map(|version| version + 1));
    assert_eq!([&after["amount"], &after["summary"]], [&before["amount"], &before["summary"]]);
    shop.books_agree(&[&payment]).await;
}

// rule S1
async fn another_amount_gives_back_what_was_authorized(shop: Shop) {
    let payment = shop.authorized().await;
    let checkout = shop.checkout();

    let changed = checkout.changes_payment(&payment, json!({ "amount": euros("15.00") })).await;

    assert_eq!(changed["payment"]["amount"], euros("15.00"));
    assert_eq!(sums(&changed["payment"]["summary"]), ["0.00"; 4]);
    assert_eq!(changed["payment"]["summary"]["amountAvailableForAuthorize"]["amount"], "15.00");
    let ledger = shop.back_office().sees_ledger(&payment).await;
    let reversed = ["AUTHORIZE SUCCEEDED 29.90 REVERSED", "REVERSE_AUTHORIZE SUCCEEDED 29.90 REVERSAL_TRANSACTION"];
    assert_eq!(ledger, reversed);
    assert_eq!(shop.moved().await, ["authorize 2990", "reverse_authorize 2990"]);
    assert_eq!(outcome_of(&checkout.authorizes(&payment, "15.00").await), "SUCCEEDED 15.00");
    shop.books_agree(&[&payment]).await;
}

// rules S1, S2: what was captured of an authorization counts on, and so does the authorization
async fn the_rest_of_what_was_partly_captured_is_given_back(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().captures(&payment, "10.00").await;

    let changed = shop.checkout().changes_payment(&payment, json!({ "amount": euros("15.00") })).await;

    let summary = &changed["payment"]["summary"];
    assert_eq!(sums(summary), ["10.00", "10.00", "0.00", "0.00"]);
    let available = ["amountAvailableForAuthorize", "amountAvailableForCapture"].map(|sum| &summary[sum]["amount"]);
    assert_eq!(available, ["5.00", "0.00"]);
    shop.books_agree(&[&payment]).await;
}

async fn the_same_amount_gives_nothing_back(shop: Shop) {
    let payment = shop.authorized().await;

    let changed = shop.checkout().changes_payment(&payment, json!({ "amount": euros("29.90") })).await;

    assert_eq!(sums(&changed["payment"]["summary"]), ["29.90", "0.00", "0.00", "0.00"]);
    assert_eq!(shop.moved().await, ["authorize 2990"]);
}

/// `updatePayment` is refused with this change, and all is as it was. Gives the payload.
async fn change_refused(shop: &Shop, payment: &Payment, change: Value, why: &str) -> Value {
    let checkout = shop.checkout();
    let payload =
        shop.leaving_all_as_it_was(&[payment], async || checkout.changes_payment(payment, change).await).await;
    assert_eq!([code(&payload), &payload["payment"]], [&json!(why), &Value::Null]);
    payload
}

/// The amount is refused by name, in words that contain these.
async fn amount_refused(shop: &Shop, payment: &Payment, amount: &str, words: &str) {
    let payload = change_refused(shop, payment, json!({ "amount": euros(amount) }), "INVALID_INPUT").await;
    let field = &payload["problem"]["fields"][0];
    assert_eq!(field["path"], json!(["amount"]));
    assert!(field["message"].as_str().is_some_and(|message| message.contains(words)), "{field}");
}

async fn an_amount_below_what_was_captured_is_refused(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().captures(&payment, "10.00").await;
    // What was refunded was captured all the same (rule S4).
    shop.back_office().refunds(&payment, "4.00").await;

    amount_refused(&shop, &payment, "9.99", "less than 10.00 EUR").await;
    let changed = shop.checkout().changes_payment(&payment, json!({ "amount": euros("10.00") })).await;

    assert_eq!(sums(&changed["payment"]["summary"]), ["10.00", "6.00", "4.00", "0.00"]);
    shop.books_agree(&[&payment]).await;
}

// rules P8, R2: still unanswered after the provider was asked once more
async fn an_amount_below_what_may_have_been_captured_is_refused(shop: Shop) {
    let payment = shop.authorized().await;
    shop.provider_will("run_transaction", "answer_lost").await;
    shop.checkout().captures(&payment, "10.00").await;
    shop.provider_will("find_transaction", "error_500").await;

    let refused = shop.checkout().changes_payment(&payment, json!({ "amount": euros("9.99") })).await;

    assert_eq!(code(&refused), "INVALID_INPUT");
    assert_eq!(shop.moved().await, ["authorize 2990", "capture 1000"]);
}

// rule M3
async fn an_amount_in_another_currency_is_refused(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let dollars = json!({ "amount": { "amount": "1.00", "currency": "USD" } });
    change_refused(&shop, &payment, dollars, "CURRENCY_MISMATCH").await;
}

async fn the_amount_that_was_asked_for_on_a_providers_page_stays(shop: Shop) {
    let known = shop.known_to_ada().await;
    let payment = Payment { id: known.payment, order: known.order };
    amount_refused(&shop, &payment, "1.00", "provider's page").await;
}

// rule O5
async fn the_amount_of_a_payment_on_a_paid_order_stays(shop: Shop) {
    let payment = shop.captured().await;
    change_refused(&shop, &payment, json!({ "amount": euros("40.00") }), "ORDER_ALREADY_PAID").await;
}

async fn a_change_of_a_stale_version_is_refused(shop: Shop) {
    let payment = shop.authorized().await;
    let version = shop.checkout().sees_payment(&payment).await["version"].take();
    for change in [json!({ "amount": euros("1.00") }), json!({ "display": {} })] {
        let change = crate::support::with(change, json!({ "expectedVersion": 1 }));
        let payload = change_refused(&shop, &payment, change, "STALE_VERSION").await;
        assert_eq!(payload["problem"]["currentVersion"], version);
    }
}

// rule K1
async fn a_change_within_a_lock_leaves_it_held(shop: Shop) {
    let payment = shop.authorized().await;
    let checkout = shop.checkout();
    let token = checkout.locks_one(&payment).await;

    for change in [json!({ "amount": euros("15.00") }), json!({ "display": {} })] {
        change_refused(&shop, &payment, change.clone(), "PAYMENT_LOCKED").await;
        let change = crate::support::with(change, json!({ "lockToken": token }));
        let changed = checkout.changes_payment(&payment, change).await;
        assert_eq!(changed["problem"], Value::Null);
    }

    assert!(checkout.unlocks(&payment, &token).await);
    shop.books_agree(&[&payment]).await;
}
