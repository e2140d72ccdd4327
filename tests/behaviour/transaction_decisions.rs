//! What each decision about a transaction comes to: tables, which are the policy (rule R3). Their lines are those of `decisions`, with the payment's
//! whole ledger in place of the attempt.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    decisions::table,
    support::{Database, News, Payment, Shop, fresh_file, news_of_transaction, outcome_of},
};

on_each_database![
    what_is_unanswered,
    what_came_once_too_often,
    what_came_otherwise_than_was_asked_for,
    what_contradicts_what_was_said_before,
    what_could_not_be_given_back,
];

/// A sale whose answer was lost, and its reference.
async fn unanswered_sale(shop: &Shop) -> (Payment, Value) {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "answer_lost").await;
    shop.checkout().sells(&payment, "29.90").await;
    let reference = shop.back_office().sees_transactions(&payment).await[0]["reference"].clone();
    (payment, reference)
}

/// A sale that was unanswered is found, while the provider can be asked or not.
async fn seen_to(shop: &Shop, fault: Option<&str>) {
    if let Some(fault) = fault {
        shop.provider_will("find_transaction", fault).await;
    }
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.reconciles().await;
}

/// One cent less moved than was asked for.
async fn one_cent_less(shop: &Shop, bank: &Database, mutation: &str) -> Payment {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "answer_lost").await;
    shop.checkout().moves(mutation, &payment, "29.90", json!({})).await;
    let reference = shop.back_office().sees_transactions(&payment).await[0]["reference"].clone();
    let of = format!("WHERE reference = '{}'", reference.as_str().expect("a reference"));
    let look = bank.look().await;
    look.run(&format!("UPDATE sandbox_transaction SET amount_moved = 2989 {of}")).await;
    look.run(&format!(
        "UPDATE sandbox_movement SET amount = 2989 WHERE transaction_id = (SELECT id FROM sandbox_transaction {of})"
    ))
    .await;
    shop.hears_of_transaction(&reference, "succeeded", 2989).await;
    payment
}

/// The shop, with a provider of its own whose books a test may change.
async fn with_a_bank(shop: &Shop) -> (Shop, Database) {
    let url = fresh_file("bank");
    (shop.second(&["--sandbox-database-url", &url]).await, Database::at(&url))
}

/// An order of ada's on one of whose transactions there is such a case.
async fn unanswered_dispute(shop: &Shop, name: &str) -> String {
    let (checkout, office) = (shop.checkout(), shop.back_office());
    match name {
        "OUTCOME_UNKNOWN of a sale" => {
            let (payment, _) = unanswered_sale(shop).await;
            seen_to(shop, Some("error_500")).await;
            payment.order
        }
        "OUTCOME_UNKNOWN of a capture" => {
            let payment = shop.authorized().await;
            shop.provider_will("run_transaction", "answer_lost").await;
            checkout.captures(&payment, "29.90").await;
            seen_to(shop, Some("error_500")).await;
            payment.order
        }
        "OUTCOME_UNKNOWN of a refund" => {
            let payment = shop.captured().await;
            shop.provider_will("run_transaction", "answer_lost").await;
            office.refunds(&payment, "29.90").await;
            seen_to(shop, Some("error_500")).await;
            payment.order
        }
        other => panic!("{other}"),
    }
}

// rules R3, P8
async fn what_is_unanswered(shop: Shop) {
    let cases = ["OUTCOME_UNKNOWN of a sale", "OUTCOME_UNKNOWN of a capture", "OUTCOME_UNKNOWN of a refund"];
    let table = table(&shop, cases, unanswered_dispute).await;

    insta::allow_duplicates! {
        insta::assert_snapshot!(table, @r"
        OUTCOME_UNKNOWN of a sale
          ACCEPT    RESOLVED; PAID, due 0.00; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; ORDER_ALREADY_PAID
          REFUND    RESOLVED; AWAITING_PAYMENT, due 29.90; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90 REVERSED + REFUND SUCCEEDED 29.90 REVERSAL_TRANSACTION, ACTIVE; 0.00 0.00 0.00; authorize_and_capture 2990, refund 2990; attempt of 29.90
          WRITE_OFF RESOLVED; AWAITING_PAYMENT, due 29.90; AUTHORIZE_AND_CAPTURE FAILED 29.90, ACTIVE; 0.00 0.00 0.00; authorize_and_capture 2990; attempt of 29.90
          RECHECK   RESOLVED; PAID, due 0.00; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; ORDER_ALREADY_PAID
        OUTCOME_UNKNOWN of a capture
          ACCEPT    RESOLVED; PAID, due 0.00; AUTHORIZE SUCCEEDED 29.90 + CAPTURE SUCCEEDED 29.90, ACTIVE; 29.90 0.00 0.00; authorize 2990, capture 2990; ORDER_ALREADY_PAID
          REFUND    RESOLVED; AWAITING_PAYMENT, due 0.00; AUTHORIZE SUCCEEDED 29.90 + CAPTURE SUCCEEDED 29.90 + REFUND SUCCEEDED 29.90, ACTIVE; 0.00 29.90 0.00; authorize 2990, capture 2990, refund 2990; NOTHING_DUE
          WRITE_OFF RESOLVED; AWAITING_PAYMENT, due 0.00; AUTHORIZE SUCCEEDED 29.90 + CAPTURE FAILED 29.90, ACTIVE; 0.00 0.00 0.00; authorize 2990, capture 2990; NOTHING_DUE
          RECHECK   RESOLVED; PAID, due 0.00; AUTHORIZE SUCCEEDED 29.90 + CAPTURE SUCCEEDED 29.90, ACTIVE; 29.90 0.00 0.00; authorize 2990, capture 2990; ORDER_ALREADY_PAID
        OUTCOME_UNKNOWN of a refund
          ACCEPT    RESOLVED; PAID, due 0.00; AUTHORIZE SUCCEEDED 29.90 + CAPTURE SUCCEEDED 29.90 + REFUND SUCCEEDED 29.90, ACTIVE; 0.00 29.90 0.00; authorize 2990, capture 2990, refund 2990; ORDER_ALREADY_PAID
          REFUND    INVALID_INPUT; PAID, due 0.00; AUTHORIZE SUCCEEDED 29.90 + CAPTURE SUCCEEDED 29.90 + REFUND UNKNOWN 29.90, ACTIVE; 29.90 0.00 29.90; authorize 2990, capture 2990, refund 2990; ORDER_ALREADY_PAID
          WRITE_OFF RESOLVED; PAID, due 0.00; AUTHORIZE SUCCEEDED 29.90 + CAPTURE SUCCEEDED 29.90 + REFUND FAILED 29.90, ACTIVE; 29.90 0.00 0.00; authorize 2990, capture 2990, refund 2990; ORDER_ALREADY_PAID
          RECHECK   RESOLVED; PAID, due 0.00; AUTHORIZE SUCCEEDED 29.90 + CAPTURE SUCCEEDED 29.90 + REFUND SUCCEEDED 29.90, ACTIVE; 0.00 29.90 0.00; authorize 2990, capture 2990, refund 2990; ORDER_ALREADY_PAID
        ");
    }
}

/// An order of ada's on one of whose transactions there is such a case.
async fn unwanted_dispute(shop: &Shop, name: &str) -> String {
    let checkout = shop.checkout();
    match name {
        "PAID_TWICE by a sale" => {
            let (order, attempt) = shop.open_attempt().await;
            shop.hears(&News::that(&attempt, "failed")).await;
            let payment = shop.payment_on(&order, "29.90", "tok_ok").await;
            shop.provider_will("run_transaction", "answer_lost").await;
            checkout.sells(&payment, "29.90").await;
            shop.hears(&News::that(&attempt, "succeeded")).await;
            seen_to(shop, None).await;
            order
        }
        "CONTRADICTING_RESULT, a sale for a cancelled order" => {
            let (payment, _) = unanswered_sale(shop).await;
            checkout.cancels(&payment.order).await;
            seen_to(shop, None).await;
            payment.order
        }
        other => panic!("{other}"),
    }
}

// rules R3, T5, O7; the provider's page first: once the clock was moved often enough, its news is too old
async fn what_came_once_too_often(shop: Shop) {
    let cases = ["PAID_TWICE by a sale", "CONTRADICTING_RESULT, a sale for a cancelled order"];
    let table = table(&shop, cases, unwanted_dispute).await;

    insta::allow_duplicates! {
        insta::assert_snapshot!(table, @r"
        PAID_TWICE by a sale
          ACCEPT    RESOLVED; PAID, due 0.00; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; ORDER_ALREADY_PAID
          REFUND    RESOLVED; PAID, due 0.00; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90 + REFUND SUCCEEDED 29.90, ACTIVE; 0.00 29.90 0.00; authorize_and_capture 2990, refund 2990; ORDER_ALREADY_PAID
          WRITE_OFF RESOLVED; PAID, due 0.00; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; ORDER_ALREADY_PAID
          RECHECK   OPEN; PAID, due 0.00; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; ORDER_ALREADY_PAID
        CONTRADICTING_RESULT, a sale for a cancelled order
          ACCEPT    RESOLVED; CANCELLED, due 0.00; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; ORDER_CANCELLED
          REFUND    RESOLVED; CANCELLED, due 0.00; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90 + REFUND SUCCEEDED 29.90, ACTIVE; 0.00 29.90 0.00; authorize_and_capture 2990, refund 2990; ORDER_CANCELLED
          WRITE_OFF RESOLVED; CANCELLED, due 0.00; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; ORDER_CANCELLED
          RECHECK   OPEN; CANCELLED, due 0.00; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; ORDER_CANCELLED
        ");
    }
}

/// An order of ada's on one of whose transactions there is such a case.
async fn mismatch_dispute(shop: &Shop, bank: &Database, name: &str) -> String {
    match name {
        "AMOUNT_MISMATCH of a sale" => one_cent_less(shop, bank, "authorizeAndCapturePayment").await.order,
        "AMOUNT_MISMATCH of a hold" => one_cent_less(shop, bank, "authorizePayment").await.order,
        "CURRENCY_MISMATCH of a sale" => {
            let (payment, reference) = unanswered_sale(shop).await;
            let told = news_of_transaction("evt_in_dollars", &reference, "succeeded", 2990).replace("EUR", "USD");
            assert_eq!(shop.webhook(&told).await, 204);
            payment.order
        }
        other => panic!("{other}"),
    }
}

// rules R3, P2, M3
async fn what_came_otherwise_than_was_asked_for(shop: Shop) {
    let (shop, bank) = with_a_bank(&shop).await;
    let cases = ["AMOUNT_MISMATCH of a sale", "AMOUNT_MISMATCH of a hold", "CURRENCY_MISMATCH of a sale"];
    let table = table(&shop, cases, async |shop: &Shop, name: &str| mismatch_dispute(shop, &bank, name).await).await;

    insta::allow_duplicates! {
        insta::assert_snapshot!(table, @r"
        AMOUNT_MISMATCH of a sale
          ACCEPT    RESOLVED; AWAITING_PAYMENT, due 0.01; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.89, ACTIVE; 29.89 0.00 0.00; authorize_and_capture 2989; attempt of 0.01
          REFUND    RESOLVED; AWAITING_PAYMENT, due 29.90; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.89 REVERSED + REFUND SUCCEEDED 29.89 REVERSAL_TRANSACTION, ACTIVE; 0.00 0.00 0.00; authorize_and_capture 2989, refund 2989; attempt of 29.90
          WRITE_OFF RESOLVED; AWAITING_PAYMENT, due 29.90; AUTHORIZE_AND_CAPTURE FAILED 29.90, ACTIVE; 0.00 0.00 0.00; authorize_and_capture 2989; attempt of 29.90
          RECHECK   OPEN; AWAITING_PAYMENT, due 29.90; AUTHORIZE_AND_CAPTURE UNKNOWN 29.90, ACTIVE; 0.00 0.00 29.90; authorize_and_capture 2989; ATTEMPT_CONFLICTED
        AMOUNT_MISMATCH of a hold
          ACCEPT    RESOLVED; AWAITING_PAYMENT, due 0.01; AUTHORIZE SUCCEEDED 29.89, ACTIVE; 0.00 0.00 0.00; authorize 2989; attempt of 0.01
          REFUND    RESOLVED; AWAITING_PAYMENT, due 29.90; AUTHORIZE SUCCEEDED 29.89 REVERSED + REVERSE_AUTHORIZE SUCCEEDED 29.89 REVERSAL_TRANSACTION, ACTIVE; 0.00 0.00 0.00; authorize 2989, reverse_authorize 2989; attempt of 29.90
          WRITE_OFF RESOLVED; AWAITING_PAYMENT, due 29.90; AUTHORIZE FAILED 29.90, ACTIVE; 0.00 0.00 0.00; authorize 2989; attempt of 29.90
          RECHECK   OPEN; AWAITING_PAYMENT, due 29.90; AUTHORIZE UNKNOWN 29.90, ACTIVE; 0.00 0.00 29.90; authorize 2989; ATTEMPT_CONFLICTED
        CURRENCY_MISMATCH of a sale
          ACCEPT    INVALID_INPUT; AWAITING_PAYMENT, due 29.90; AUTHORIZE_AND_CAPTURE UNKNOWN 29.90, ACTIVE; 0.00 0.00 29.90; authorize_and_capture 2990; ATTEMPT_CONFLICTED
          REFUND    INVALID_INPUT; AWAITING_PAYMENT, due 29.90; AUTHORIZE_AND_CAPTURE UNKNOWN 29.90, ACTIVE; 0.00 0.00 29.90; authorize_and_capture 2990; ATTEMPT_CONFLICTED
          WRITE_OFF RESOLVED; AWAITING_PAYMENT, due 29.90; AUTHORIZE_AND_CAPTURE FAILED 29.90, ACTIVE; 0.00 0.00 0.00; authorize_and_capture 2990; attempt of 29.90
          RECHECK   RESOLVED; PAID, due 0.00; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; ORDER_ALREADY_PAID
        ");
    }
    shop.stop().await;
}

/// An order of ada's on one of whose transactions there is such a case.
async fn contradiction(shop: &Shop, bank: &Database, name: &str) -> String {
    let (checkout, office) = (shop.checkout(), shop.back_office());
    match name {
        "CONTRADICTING_RESULT, a sale that failed succeeded" => {
            let payment = shop.payment("tok_declined_hard").await;
            checkout.sells(&payment, "29.90").await;
            let reference = office.sees_transactions(&payment).await[0]["reference"].clone();
            bank.carries_out(reference.as_str().expect("a reference")).await;
            shop.hears_of_transaction(&reference, "succeeded", 2990).await;
            payment.order
        }
        "CONTRADICTING_RESULT, a hold that succeeded failed" => {
            let payment = shop.authorized().await;
            let reference = office.sees_transactions(&payment).await[0]["reference"].clone();
            shop.hears_of_transaction(&reference, "failed", 2990).await;
            payment.order
        }
        "CONTRADICTING_RESULT, a sale that paid the order failed" => {
            let payment = shop.payment("tok_ok").await;
            checkout.sells(&payment, "29.90").await;
            let reference = office.sees_transactions(&payment).await[0]["reference"].clone();
            shop.hears_of_transaction(&reference, "failed", 2990).await;
            payment.order
        }
        other => panic!("{other}"),
    }
}

// rules R3, P2, P4
async fn what_contradicts_what_was_said_before(shop: Shop) {
    let (shop, bank) = with_a_bank(&shop).await;
    let cases = [
        "CONTRADICTING_RESULT, a sale that failed succeeded",
        "CONTRADICTING_RESULT, a hold that succeeded failed",
        "CONTRADICTING_RESULT, a sale that paid the order failed",
    ];
    let table = table(&shop, cases, async |shop: &Shop, name: &str| contradiction(shop, &bank, name).await).await;

    insta::allow_duplicates! {
        insta::assert_snapshot!(table, @r"
        CONTRADICTING_RESULT, a sale that failed succeeded
          ACCEPT    RESOLVED; PAID, due 0.00; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; ORDER_ALREADY_PAID
          REFUND    RESOLVED; AWAITING_PAYMENT, due 29.90; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90 REVERSED + REFUND SUCCEEDED 29.90 REVERSAL_TRANSACTION, ACTIVE; 0.00 0.00 0.00; authorize_and_capture 2990, refund 2990; attempt of 29.90
          WRITE_OFF RESOLVED; AWAITING_PAYMENT, due 29.90; AUTHORIZE_AND_CAPTURE FAILED 29.90, ACTIVE; 0.00 0.00 0.00; authorize_and_capture 2990; attempt of 29.90
          RECHECK   OPEN; AWAITING_PAYMENT, due 29.90; AUTHORIZE_AND_CAPTURE FAILED 29.90, ACTIVE; 0.00 0.00 0.00; authorize_and_capture 2990; ATTEMPT_CONFLICTED
        CONTRADICTING_RESULT, a hold that succeeded failed
          ACCEPT    RESOLVED; AWAITING_PAYMENT, due 29.90; AUTHORIZE FAILED 29.90, ACTIVE; 0.00 0.00 0.00; authorize 2990; attempt of 29.90
          REFUND    INVALID_INPUT; AWAITING_PAYMENT, due 0.00; AUTHORIZE SUCCEEDED 29.90, ACTIVE; 0.00 0.00 0.00; authorize 2990; ATTEMPT_CONFLICTED
          WRITE_OFF RESOLVED; AWAITING_PAYMENT, due 0.00; AUTHORIZE SUCCEEDED 29.90, ACTIVE; 0.00 0.00 0.00; authorize 2990; NOTHING_DUE
          RECHECK   RESOLVED; AWAITING_PAYMENT, due 0.00; AUTHORIZE SUCCEEDED 29.90, ACTIVE; 0.00 0.00 0.00; authorize 2990; NOTHING_DUE
        CONTRADICTING_RESULT, a sale that paid the order failed
          ACCEPT    INVALID_INPUT; PAID, due 0.00; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; ORDER_ALREADY_PAID
          REFUND    INVALID_INPUT; PAID, due 0.00; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; ORDER_ALREADY_PAID
          WRITE_OFF RESOLVED; PAID, due 0.00; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; ORDER_ALREADY_PAID
          RECHECK   RESOLVED; PAID, due 0.00; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; ORDER_ALREADY_PAID
        ");
    }
    shop.stop().await;
}

/// An order of ada's on one of whose transactions there is such a case.
async fn stuck_reversal(shop: &Shop, bank: &Database, name: &str) -> String {
    let checkout = shop.checkout();
    match name {
        "FAILED_REVERSAL of a hold" => {
            let payment = shop.authorized().await;
            shop.provider_will("run_transaction", "declined").await;
            checkout.archives(&payment).await;
            payment.order
        }
        "FAILED_REVERSAL of a sale" => {
            let payment = one_cent_less(shop, bank, "authorizeAndCapturePayment").await;
            shop.provider_will("run_transaction", "declined").await;
            let refunded = shop.accountant().decides(&shop.newest_case().await, "REFUND", "not wanted").await;
            assert_eq!(outcome_of(&refunded), "null");
            payment.order
        }
        other => panic!("{other}"),
    }
}

// rules R3, S1
async fn what_could_not_be_given_back(shop: Shop) {
    let (shop, bank) = with_a_bank(&shop).await;
    let cases = ["FAILED_REVERSAL of a hold", "FAILED_REVERSAL of a sale"];
    let table = table(&shop, cases, async |shop: &Shop, name: &str| stuck_reversal(shop, &bank, name).await).await;

    insta::allow_duplicates! {
        insta::assert_snapshot!(table, @r"
        FAILED_REVERSAL of a hold
          ACCEPT    RESOLVED; AWAITING_PAYMENT, due 29.90; AUTHORIZE SUCCEEDED 29.90 REVERSED + REVERSE_AUTHORIZE FAILED 29.90 REVERSAL_TRANSACTION, ARCHIVED; 0.00 0.00 0.00; authorize 2990; attempt of 29.90
          REFUND    INVALID_INPUT; AWAITING_PAYMENT, due 29.90; AUTHORIZE SUCCEEDED 29.90 FAILED_REVERSAL + REVERSE_AUTHORIZE FAILED 29.90 REVERSAL_TRANSACTION, ARCHIVED; 0.00 0.00 0.00; authorize 2990; attempt of 29.90
          WRITE_OFF RESOLVED; AWAITING_PAYMENT, due 29.90; AUTHORIZE SUCCEEDED 29.90 FAILED_REVERSAL + REVERSE_AUTHORIZE FAILED 29.90 REVERSAL_TRANSACTION, ARCHIVED; 0.00 0.00 0.00; authorize 2990; attempt of 29.90
          RECHECK   RESOLVED; AWAITING_PAYMENT, due 29.90; AUTHORIZE SUCCEEDED 29.90 REVERSED + REVERSE_AUTHORIZE FAILED 29.90 REVERSAL_TRANSACTION + REVERSE_AUTHORIZE SUCCEEDED 29.90 REVERSAL_TRANSACTION, ARCHIVED; 0.00 0.00 0.00; authorize 2990, reverse_authorize 2990; attempt of 29.90
        FAILED_REVERSAL of a sale
          ACCEPT    RESOLVED; AWAITING_PAYMENT, due 29.90; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.89 REVERSED + REFUND FAILED 29.89 REVERSAL_TRANSACTION, ACTIVE; 0.00 0.00 0.00; authorize_and_capture 2989; attempt of 29.90
          REFUND    INVALID_INPUT; AWAITING_PAYMENT, due 29.90; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.89 FAILED_REVERSAL + REFUND FAILED 29.89 REVERSAL_TRANSACTION, ACTIVE; 0.00 0.00 0.00; authorize_and_capture 2989; attempt of 29.90
          WRITE_OFF RESOLVED; AWAITING_PAYMENT, due 29.90; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.89 FAILED_REVERSAL + REFUND FAILED 29.89 REVERSAL_TRANSACTION, ACTIVE; 0.00 0.00 0.00; authorize_and_capture 2989; attempt of 29.90
          RECHECK   RESOLVED; AWAITING_PAYMENT, due 29.90; AUTHORIZE_AND_CAPTURE SUCCEEDED 29.89 REVERSED + REFUND FAILED 29.89 REVERSAL_TRANSACTION + REFUND SUCCEEDED 29.89 REVERSAL_TRANSACTION, ACTIVE; 0.00 0.00 0.00; authorize_and_capture 2989, refund 2989; attempt of 29.90
        ");
    }
    shop.stop().await;
}
