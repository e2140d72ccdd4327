//! Nobody pays an order twice, and no success is lost, although two sessions or two reports cross.

use serde_json::{Value, json};

use crate::support::{Attempt, News, Shop, code, eventually, outcome_of, tea};

on_each_database![
    a_retry_on_an_order_paid_meanwhile_opens_no_session,
    a_session_that_opens_on_an_order_paid_meanwhile_is_ended,
    a_success_is_not_lost_to_a_reused_event_id,
    two_reports_in_one_request_show_each_its_own_result,
    an_attempt_whose_news_never_came_is_asked_after,
    nobody_is_sent_to_a_session_that_could_not_be_ended,
    one_event_id_for_two_sessions_pays_both,
    money_that_was_refused_is_not_accepted_by_a_copy_of_the_report,
    what_was_not_sent_is_not_sent_while_nobody_has_decided_about_other_money,
];

/// An attempt that the checkout gave up although its page is still open in the shopper's browser: the provider did not end it.
async fn given_up_but_open(shop: &Shop) -> (String, Attempt) {
    let (order, attempt) = shop.open_attempt().await;
    shop.provider_will("cancel_session", "error_500").await;
    shop.checkout().reports(&attempt.external_id, "CANCELLED", "29.90").await;
    (order, attempt)
}

// rules T1, T2, I3
async fn a_retry_on_an_order_paid_meanwhile_opens_no_session(shop: Shop) {
    let (order, first) = given_up_but_open(&shop).await;
    shop.provider_will("create_session", "request_lost").await;
    let ada = shop.user("ada");
    let second = ada.tries_to_pay(&order, json!({ "idempotencyKey": "second" })).await;
    assert_eq!(code(&second), "OUTCOME_UNKNOWN");
    shop.shopper_pays(&first).await;

    let at_once = ada.tries_to_pay(&order, json!({ "idempotencyKey": "second" })).await;
    // By then nobody can be waiting for the lost answer any more.
    shop.moves_time_by(chrono::Duration::seconds(60));
    let later = ada.tries_to_pay(&order, json!({ "idempotencyKey": "second" })).await;

    assert_eq!([code(&at_once), code(&later)], ["OUTCOME_UNKNOWN", "ORDER_ALREADY_PAID"]);
    let session = shop.session_of(second["attempt"]["id"].as_str().unwrap()).await;
    assert_eq!(session["error"]["code"], "session_not_found", "{session}");
}

// rule T5
async fn a_session_that_opens_on_an_order_paid_meanwhile_is_ended(shop: Shop) {
    let (order, first) = given_up_but_open(&shop).await;
    shop.provider_will("create_session", "slow").await;
    let ada = shop.user("ada");
    let second = ada.tries_to_pay(&order, json!({}));
    let paid = async {
        shop.comes_to_have("payment_attempt WHERE status = 'CREATED'").await;
        shop.shopper_pays(&first).await;
    };

    let (second, ()) = tokio::join!(second, paid);

    assert_eq!([code(&second), &second["attempt"]["redirectUrl"]], [&json!("ORDER_ALREADY_PAID"), &Value::Null]);
    let id = second["attempt"]["id"].as_str().unwrap();
    eventually("its session is cancelled", async || (shop.session_of(id).await["status"] == "cancelled").then_some(()))
        .await;
}

// rules T3, T4
async fn a_success_is_not_lost_to_a_reused_event_id(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    let event = json!({ "eventId": "1" });
    shop.checkout().reports_with(&attempt.external_id, "PROCESSING", "29.90", event.clone()).await;

    let payload = shop.checkout().reports_with(&attempt.external_id, "SUCCEEDED", "29.90", event).await;

    assert_eq!([&payload["alreadyProcessed"], &payload["order"]["status"]], [&json!(false), &json!("PAID")]);
    let mut again = News::that(&attempt, "succeeded");
    again.event_id = "1".into();
    shop.hears(&again).await;
    let ada = shop.user("ada").looks_at(&order).await;
    assert_eq!(ada["paymentSummary"]["amountCaptured"]["amount"], "29.90");
}

async fn two_reports_in_one_request_show_each_its_own_result(shop: Shop) {
    let (_, attempt) = shop.open_attempt().await;
    let document = "mutation ($first: UpdateAttemptToPayInput!, $second: UpdateAttemptToPayInput!) {
        first: updateAttemptToPay(input: $first) { order { ...shown } }
        second: updateAttemptToPay(input: $second) { order { ...shown } } }
        fragment shown on Order { status paymentAttempts { status } paymentSummary { amountCaptured { amount } } }";
    let report = |status: &str| json!({ "attemptExternalId": attempt.external_id, "status": status, "totalAmount": "29.90", "currency": "EUR" });
    let reports = json!({ "first": report("PROCESSING"), "second": report("SUCCEEDED") });

    let patient = shop.second(&["--max-mutations=2"]).await;
    let answer = patient.checkout().sees(document, reports).await;
    patient.stop().await;

    let shown = |status: &str, attempt: &str, amount: &str| {
        let captured = json!({ "amountCaptured": { "amount": amount } });
        json!({ "order": { "status": status, "paymentAttempts": [{ "status": attempt }], "paymentSummary": captured } })
    };
    assert_eq!(answer["first"], shown("AWAITING_PAYMENT", "PROCESSING", "0.00"));
    assert_eq!(answer["second"], shown("PAID", "SUCCEEDED", "29.90"));
}

// rule W3
async fn an_attempt_whose_news_never_came_is_asked_after(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    shop.shopper_pays_with(&attempt, "tok_no_webhook").await;

    let again = shop.user("ada").tries_to_pay(&order, json!({})).await;

    assert_eq!(code(&again), "ORDER_ALREADY_PAID");
    assert_eq!(shop.user("ada").looks_at(&order).await["status"], "PAID");
}

// rule T5
async fn nobody_is_sent_to_a_session_that_could_not_be_ended(shop: Shop) {
    let (order, first) = given_up_but_open(&shop).await;
    let ada = shop.user("ada");
    let second = ada.tries_to_pay(&order, json!({ "idempotencyKey": "second" })).await;
    shop.provider_will("cancel_session", "error_500").await;
    shop.shopper_pays(&first).await;

    let open = &ada
        .sees("query ($id: ID!) { order(id: $id) { paymentAttempts { status redirectUrl } } }", json!({ "id": order }))
        .await["order"]["paymentAttempts"][1];
    assert_eq!(*open, json!({ "status": "PENDING", "redirectUrl": null }));
    let again = ada.tries_to_pay(&order, json!({ "idempotencyKey": "second" })).await;
    assert_eq!([code(&again), &again["attempt"]["redirectUrl"]], [&json!("ORDER_ALREADY_PAID"), &Value::Null]);

    // Whoever asks next finds the provider able to end it.
    let fresh = ada.tries_to_pay(&order, json!({})).await;
    assert_eq!(code(&fresh), "ORDER_ALREADY_PAID");
    let session = shop.session_of(second["attempt"]["id"].as_str().unwrap()).await;
    assert_eq!(session["status"], "cancelled");
}

// rules T3, W2
async fn one_event_id_for_two_sessions_pays_both(shop: Shop) {
    let ((one, first), (other, second)) = (shop.open_attempt().await, shop.open_attempt().await);
    let event = json!({ "eventId": "1" });

    shop.checkout().reports_with(&first.external_id, "SUCCEEDED", "29.90", event.clone()).await;
    shop.checkout().reports_with(&second.external_id, "SUCCEEDED", "29.90", event).await;

    let ada = shop.user("ada");
    assert_eq!([&ada.looks_at(&one).await["status"], &ada.looks_at(&other).await["status"]], ["PAID", "PAID"]);
}

// rule T5
async fn money_that_was_refused_is_not_accepted_by_a_copy_of_the_report(shop: Shop) {
    let (order, attempt) = given_up_but_open(&shop).await;
    let mut dearer = tea();
    dearer["shippingTotal"] = json!("5.00");
    shop.checkout().changes_cart(&order, dearer).await;
    let news = News::that(&attempt, "succeeded");
    shop.hears(&news).await;
    shop.checkout().changes_cart(&order, tea()).await;

    shop.hears(&news).await;
    shop.hears(&news.told_anew()).await;

    let order = shop.user("ada").looks_at(&order).await;
    assert_eq!([&order["status"], &order["paymentAttempts"][0]["status"]], ["AWAITING_PAYMENT", "CONFLICTED"]);
}

// rules T5, P8, R1: to charge once more could be to charge twice
async fn what_was_not_sent_is_not_sent_while_nobody_has_decided_about_other_money(shop: Shop) {
    let (order, attempt) = given_up_but_open(&shop).await;
    let payment = shop.payment_on(&order, "29.90", "tok_ok").await;
    shop.provider_will("run_transaction", "request_lost").await;
    assert_eq!(outcome_of(&shop.checkout().sells(&payment, "29.90").await), "UNKNOWN 29.90 OUTCOME_UNKNOWN");
    shop.shopper_pays_with(&attempt, "tok_wrong_amount").await;
    let case = shop.newest_case().await;
    assert_eq!(case["reason"], "AMOUNT_MISMATCH");

    shop.moves_time_by(chrono::TimeDelta::seconds(31));
    shop.reconciles().await;

    let ledger = shop.back_office().sees_ledger(&payment).await;
    assert_eq!(
        (ledger, shop.moved().await),
        (vec!["AUTHORIZE_AND_CAPTURE FAILED 29.90".to_owned()], vec!["authorize_and_capture 2989".to_owned()])
    );
    shop.accountant().decides(&case, "REFUND", "the bank's statement").await;
    assert_eq!(outcome_of(&shop.checkout().sells(&payment, "29.90").await), "SUCCEEDED 29.90");
    assert_eq!(shop.moved().await, ["authorize_and_capture 2989", "refund 2989", "authorize_and_capture 2990"]);
    assert_eq!(shop.user("ada").looks_at(&order).await["status"], "PAID");
}
