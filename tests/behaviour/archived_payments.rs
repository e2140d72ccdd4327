//! Payments that came to nothing: what they held is given back, and where that can't be, somebody is told.

use serde_json::{Value, json};

use crate::support::{Payment, Shop, code, euros, eventually, mall::Mall, outcome_of, sums};

on_each_database![
    an_archived_payment_gives_back_what_it_held,
    an_archived_payment_gives_back_the_rest_of_what_was_captured_and_refunded,
    a_payment_that_holds_captured_money_is_not_archived,
    a_payment_that_may_hold_captured_money_is_not_archived,
    a_payment_archived_again_is_as_it_was,
    a_payment_of_an_open_attempt_is_not_archived,
    nothing_is_begun_on_an_archived_payment,
    an_authorization_that_comes_after_its_payment_was_archived_is_given_back,
    an_authorization_that_comes_after_its_payments_amount_changed_is_given_back,
    a_reversal_that_is_refused_waits_for_a_person,
    a_reversal_that_is_unanswered_is_settled_by_whoever_comes_next,
    the_rest_of_an_authorization_that_cannot_be_given_back_waits_for_a_person,
    no_more_is_captured_than_a_smaller_payment_is_for,
    what_an_archived_payment_still_holds_is_given_back_in_the_end,
    what_never_reached_the_provider_is_not_sent_for_an_archived_payment,
    no_alarm_is_raised_while_what_a_change_gave_up_is_unanswered,
];

// rule S1
async fn an_archived_payment_gives_back_what_it_held(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let checkout = shop.checkout();
    checkout.authorizes(&payment, "20.00").await;
    checkout.authorizes(&payment, "9.90").await;

    let archived = checkout.archives(&payment).await;

    assert_eq!(archived["payment"]["status"], "ARCHIVED");
    assert_eq!(sums(&archived["payment"]["summary"]), ["0.00"; 4]);
    assert_eq!(shop.moved().await[2..], ["reverse_authorize 2000", "reverse_authorize 990"]);
    let ledger = shop.back_office().sees_ledger(&payment).await;
    assert_eq!(ledger[..2], ["AUTHORIZE SUCCEEDED 20.00 REVERSED", "AUTHORIZE SUCCEEDED 9.90 REVERSED"]);
    shop.books_agree(&[&payment]).await;
}

// rules S1, S4
async fn an_archived_payment_gives_back_the_rest_of_what_was_captured_and_refunded(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().captures(&payment, "10.00").await;
    shop.back_office().refunds(&payment, "10.00").await;

    let archived = shop.checkout().archives(&payment).await;

    assert_eq!(archived["payment"]["status"], "ARCHIVED");
    assert_eq!(sums(&archived["payment"]["summary"]), ["10.00", "0.00", "10.00", "0.00"]);
    assert_eq!(shop.moved().await.last().map(String::as_str), Some("reverse_authorize 1990"));
    shop.books_agree(&[&payment]).await;
}

/// `archivePayment` is refused for this reason, and all is as it was. Gives the problem.
async fn archiving_refused(shop: &Shop, payment: &Payment, why: &str) -> Value {
    let checkout = shop.checkout();
    let payload = shop.leaving_all_as_it_was(&[payment], async || checkout.archives(payment).await).await;
    assert_eq!([code(&payload), &payload["payment"]], [&json!(why), &Value::Null]);
    payload["problem"].clone()
}

// no money lies where nobody looks
async fn a_payment_that_holds_captured_money_is_not_archived(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().captures(&payment, "10.00").await;
    shop.back_office().refunds(&payment, "9.99").await;

    let problem = archiving_refused(&shop, &payment, "INVALID_INPUT").await;
    let field = &problem["fields"][0];
    assert_eq!(field["path"], json!(["paymentId"]));
    let words = field["message"].as_str().expect("a message");
    assert!(words.contains("0.01 EUR") && words.contains("refund it first"), "{words}");

    shop.back_office().refunds(&payment, "0.01").await;
    assert_eq!(shop.checkout().archives(&payment).await["payment"]["status"], "ARCHIVED");
    shop.books_agree(&[&payment]).await;
}

// rules P8, R2
async fn a_payment_that_may_hold_captured_money_is_not_archived(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "answer_lost").await;
    shop.checkout().sells(&payment, "10.00").await;
    // Asked once more, it does not say either.
    shop.provider_will("find_transaction", "error_500").await;

    archiving_refused_only(&shop, &payment, "OUTCOME_UNKNOWN").await;
    archiving_refused_only(&shop, &payment, "INVALID_INPUT").await;
}

/// `archivePayment` is refused for this reason; what was unanswered may have been answered by it.
async fn archiving_refused_only(shop: &Shop, payment: &Payment, why: &str) {
    let payload = shop.checkout().archives(payment).await;
    assert_eq!(code(&payload), why);
    assert_eq!(shop.checkout().sees_payment(payment).await["status"], "ACTIVE");
}

async fn a_payment_archived_again_is_as_it_was(shop: Shop) {
    let payment = shop.authorized().await;
    let first = shop.checkout().archives(&payment).await;

    let again = shop.leaving_all_as_it_was(&[&payment], async || shop.checkout().archives(&payment).await).await;

    assert_eq!(again, first);
}

// rule T2
async fn a_payment_of_an_open_attempt_is_not_archived(shop: Shop) {
    let known = shop.known_to_ada().await;
    let payment = Payment { id: known.payment, order: known.order };

    archiving_refused(&shop, &payment, "ORDER_HAS_OPEN_ATTEMPT").await;
}

// rule P1
async fn nothing_is_begun_on_an_archived_payment(shop: Shop) {
    let payment = shop.authorized().await;
    let (checkout, office) = (shop.checkout(), shop.back_office());
    checkout.captures(&payment, "10.00").await;
    office.refunds(&payment, "10.00").await;
    checkout.archives(&payment).await;

    let refused = shop
        .leaving_all_as_it_was(&[&payment], async || {
            [
                checkout.authorizes(&payment, "0.01").await,
                checkout.sells(&payment, "0.01").await,
                checkout.captures(&payment, "0.01").await,
                checkout.reverses(&payment, "0.01").await,
                office.refunds(&payment, "0.01").await,
                office.credits(&payment, "0.01").await,
                checkout.changes_payment(&payment, json!({ "amount": euros("1.00") })).await,
                checkout.changes_payment(&payment, json!({ "display": {} })).await,
            ]
        })
        .await;

    assert_eq!(refused.each_ref().map(code), ["PAYMENT_ARCHIVED"; 8]);
}

/// The provider tells of an authorization once it is not wanted any more: it is given back, and no money is held.
async fn is_given_back(shop: &Shop, payment: &Payment) {
    let reversed = ["AUTHORIZE SUCCEEDED 29.90 REVERSED", "REVERSE_AUTHORIZE SUCCEEDED 29.90 REVERSAL_TRANSACTION"];
    eventually("it is reversed", async || (shop.back_office().sees_ledger(payment).await == reversed).then_some(()))
        .await;
    eventually("whoever reversed it is done", async || {
        (shop.count("payment_lock WHERE token_hash IS NOT NULL").await == 0).then_some(())
    })
    .await;
    assert_eq!(shop.moved().await, ["authorize 2990", "reverse_authorize 2990"]);
    shop.books_agree(&[payment]).await;
}

/// A payment with an authorization that the provider has taken, and will tell the end of.
async fn pending(shop: &Shop) -> Payment {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "pending").await;
    assert_eq!(outcome_of(&shop.checkout().authorizes(&payment, "29.90").await), "PENDING 29.90");
    payment
}

// rules S1, T3
async fn an_authorization_that_comes_after_its_payment_was_archived_is_given_back(shop: Shop) {
    let payment = pending(&shop).await;

    let archived = shop.checkout().archives(&payment).await;

    assert_eq!(archived["payment"]["status"], "ARCHIVED");
    is_given_back(&shop, &payment).await;
}

// rule S1
async fn an_authorization_that_comes_after_its_payments_amount_changed_is_given_back(shop: Shop) {
    let payment = pending(&shop).await;

    let changed = shop.checkout().changes_payment(&payment, json!({ "amount": euros("15.00") })).await;

    assert_eq!(changed["problem"], Value::Null);
    is_given_back(&shop, &payment).await;
    assert_eq!(outcome_of(&shop.checkout().authorizes(&payment, "15.00").await), "SUCCEEDED 15.00");
}

// rules S1, R3
async fn a_reversal_that_is_refused_waits_for_a_person(shop: Shop) {
    let payment = shop.authorized().await;
    shop.provider_will("run_transaction", "declined").await;

    let archived = shop.checkout().archives(&payment).await;

    assert_eq!(archived["payment"]["status"], "ARCHIVED");
    let summary = &archived["payment"]["summary"];
    assert_eq!(sums(summary), ["0.00"; 4]);
    assert_eq!(summary["amountStuckInReversal"]["amount"], "29.90");
    let ledger = shop.back_office().sees_ledger(&payment).await;
    let stuck = ["AUTHORIZE SUCCEEDED 29.90 FAILED_REVERSAL", "REVERSE_AUTHORIZE FAILED 29.90 REVERSAL_TRANSACTION"];
    assert_eq!((ledger, shop.cases().await), (stuck.map(str::to_owned).to_vec(), vec!["FAILED_REVERSAL".to_owned()]));
    shop.books_agree(&[&payment]).await;
}

// rules P8, R2
async fn a_reversal_that_is_unanswered_is_settled_by_whoever_comes_next(shop: Shop) {
    let payment = shop.authorized().await;
    shop.provider_will("run_transaction", "answer_lost").await;
    let archived = shop.checkout().archives(&payment).await;
    assert_eq!(sums(&archived["payment"]["summary"]), ["0.00", "0.00", "0.00", "29.90"]);

    let again = shop.checkout().archives(&payment).await;

    assert_eq!(sums(&again["payment"]["summary"]), ["0.00"; 4]);
    assert_eq!(shop.moved().await, ["authorize 2990", "reverse_authorize 2990"]);
    shop.books_agree(&[&payment]).await;
}

/// A payment of which 10.00 of 29.90 were captured, and the rest of which the provider will not let go of.
async fn holding_on_to_the_rest(shop: &Shop) -> Payment {
    let payment = shop.authorized().await;
    shop.checkout().captures(&payment, "10.00").await;
    shop.provider_will("run_transaction", "declined").await;
    payment
}

// rules S1, R3: like any other authorization that is not wanted and not given back
async fn the_rest_of_an_authorization_that_cannot_be_given_back_waits_for_a_person(shop: Shop) {
    let payment = holding_on_to_the_rest(&shop).await;

    shop.checkout().changes_payment(&payment, json!({ "amount": euros("15.00") })).await;

    assert_eq!(shop.cases().await, ["FAILED_REVERSAL"]);
}

// rules P1, P4, S5
async fn no_more_is_captured_than_a_smaller_payment_is_for(shop: Shop) {
    let payment = holding_on_to_the_rest(&shop).await;
    let checkout = shop.checkout();
    checkout.changes_payment(&payment, json!({ "amount": euros("15.00") })).await;

    let refused = checkout.captures(&payment, "5.01").await;

    assert_eq!(code(&refused), "AMOUNT_EXCEEDS_AVAILABLE");
    assert_eq!(shop.moved().await, ["authorize 2990", "capture 1000"]);
}

// rules S1, R2: a reversal of a part was unanswered when the payment was archived, and failed after that
async fn what_an_archived_payment_still_holds_is_given_back_in_the_end(shop: Shop) {
    let payment = shop.authorized().await;
    let checkout = shop.checkout();
    shop.provider_will("run_transaction", "request_lost").await;
    checkout.reverses(&payment, "10.00").await;
    // Asked after while it is archived, the provider does not say; later it knows nothing of it, and declines it.
    shop.provider_will("find_transaction", "error_500").await;
    checkout.archives(&payment).await;
    shop.provider_will("run_transaction", "declined").await;

    checkout.archives(&payment).await;

    let seen = checkout.sees_payment(&payment).await;
    assert_eq!([&seen["status"], &seen["summary"]["amountAuthorized"]["amount"]], ["ARCHIVED", "0.00"]);
}

// rules P6, S1: it is not wanted any more; once nobody can be about to send it, it is known to have come to nothing
async fn what_never_reached_the_provider_is_not_sent_for_an_archived_payment(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let key = json!({ "idempotencyKey": "k" });
    shop.provider_will("run_transaction", "request_lost").await;
    shop.checkout().moves("authorizePayment", &payment, "29.90", key.clone()).await;
    shop.provider_will("find_transaction", "error_500").await;
    shop.checkout().archives(&payment).await;

    let soon = shop.checkout().moves("authorizePayment", &payment, "29.90", key.clone()).await;
    shop.moves_time_by(chrono::Duration::minutes(1));
    let later = shop.checkout().moves("authorizePayment", &payment, "29.90", key).await;

    assert_eq!(outcome_of(&soon), "UNKNOWN 29.90 OUTCOME_UNKNOWN");
    assert!(outcome_of(&later).starts_with("FAILED 29.90"), "{later}");
    assert_eq!(sums(&later["payment"]["summary"]), ["0.00"; 4]);
    assert_eq!(shop.moved().await, [""; 0]);
}

// rule S5: a broken bound is a fault of ours, and nothing here is one
async fn no_alarm_is_raised_while_what_a_change_gave_up_is_unanswered(shop: Shop) {
    let Mall { sandbox, servers: [server], shops: [shop] } = Mall::<1>::open(&shop).await;
    let (used, waiting) = (shop.authorized().await, shop.payment("tok_async").await);
    shop.checkout().captures(&used, "10.00").await;
    shop.checkout().authorizes(&waiting, "29.90").await;
    shop.provider_will("run_transaction", "request_lost").await;

    for payment in [&used, &waiting] {
        let changed = shop.checkout().changes_payment(payment, json!({ "amount": euros("15.00") })).await;
        assert_ne!(sums(&changed["payment"]["summary"])[3], "0.00", "{changed}");
        shop.summary_agrees(payment).await;
    }

    assert_eq!(server.errors(), [""; 0]);
    drop(sandbox);
}
