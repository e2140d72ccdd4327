//! What follows on a decision about a case: money that can't be given back at once, news that comes once more, and the order that is still to be paid
//! (rule R3).

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    cases::{one_cent_short, payment_of},
    support::{Actor, Database, News, Payment, Shop, code, fresh_file, outcome_of, sums},
};

on_each_database![
    a_refund_that_the_provider_refuses_is_a_case_that_may_be_tried_again,
    a_second_payment_that_could_not_be_given_back_may_be_tried_again,
    a_second_payment_that_was_given_back_by_hand_is_in_the_books_as_given_back,
    a_refund_that_is_unanswered_is_settled_by_the_reconciler,
    a_recheck_that_is_not_answered_leaves_the_case_open,
    the_same_news_after_a_session_was_written_off_opens_nothing_and_books_nothing,
    the_same_news_after_a_transaction_was_written_off_opens_nothing_and_books_nothing,
    other_news_after_an_outcome_was_written_off_is_a_case_of_its_own,
    money_whose_room_is_taken_is_not_accepted_and_may_be_given_back,
    a_reversal_that_came_to_a_good_end_after_all_is_in_the_books_as_such,
    once_it_was_given_back_the_order_may_be_paid,
    the_rest_of_what_was_accepted_may_be_paid,
];

// rules R3, S1
async fn a_refund_that_the_provider_refuses_is_a_case_that_may_be_tried_again(shop: Shop) {
    let (order, _, case) = one_cent_short(&shop).await;
    let payment = payment_of(&order, &case);
    let accountant = shop.accountant();
    shop.provider_will("run_transaction", "declined").await;

    let decided = accountant.decides(&case, "REFUND", "not wanted").await;

    assert_eq!(decided["case"]["state"], "RESOLVED");
    for _ in 0..2 {
        let stuck = shop.newest_case().await;
        assert_eq!([&stuck["reason"], &stuck["state"]], ["FAILED_REVERSAL", "OPEN"]);
        let summary = shop.checkout().sees_payment(&payment).await["summary"].take();
        assert_eq!(summary["amountStuckInReversal"]["amount"], "29.89");
        shop.provider_will("run_transaction", "declined").await;
        assert_eq!(accountant.decides(&stuck, "RECHECK", "once more").await["case"]["state"], "RESOLVED");
    }
    assert_eq!(shop.moved().await, ["authorize_and_capture 2989"]);
    let stuck = shop.newest_case().await;
    accountant.decides(&stuck, "RECHECK", "the bank says it works now").await;
    assert_eq!(shop.moved().await, ["authorize_and_capture 2989", "refund 2989"]);
    assert_eq!(shop.cases().await, [""; 0]);
    shop.books_agree(&[&payment]).await;
}

/// An order that was paid on the page, and once more by a sale; with the payment of the sale, and the case of it.
async fn paid_twice(shop: &Shop) -> (Payment, Value) {
    let (order, attempt) = shop.open_attempt().await;
    shop.hears(&News::that(&attempt, "failed")).await;
    let payment = shop.payment_on(&order, "29.90", "tok_ok").await;
    shop.provider_will("run_transaction", "answer_lost").await;
    shop.checkout().sells(&payment, "29.90").await;
    shop.hears(&News::that(&attempt, "succeeded")).await;
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.reconciles().await;
    let case = shop.newest_case().await;
    assert_eq!(case["reason"], "PAID_TWICE");
    (payment, case)
}

// rules R3, P9
async fn a_second_payment_that_could_not_be_given_back_may_be_tried_again(shop: Shop) {
    let (payment, case) = paid_twice(&shop).await;
    let accountant = shop.accountant();
    shop.provider_will("run_transaction", "declined").await;

    accountant.decides(&case, "REFUND", "paid twice").await;
    let stuck = shop.newest_case().await;
    assert_eq!([&stuck["reason"], &stuck["state"]], ["FAILED_REVERSAL", "OPEN"]);
    accountant.decides(&stuck, "RECHECK", "once more").await;

    let ledger = shop.back_office().sees_ledger(&payment).await;
    assert_eq!(ledger, ["AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90", "REFUND FAILED 29.90", "REFUND SUCCEEDED 29.90"]);
    assert_eq!(
        (shop.moved().await, shop.cases().await),
        (vec!["authorize_and_capture 2990".to_owned(), "refund 2990".to_owned()], vec![])
    );
    assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "PAID");
    shop.books_agree(&[&payment]).await;
}

// rules R3, P4: it is not to be refunded once more
async fn a_second_payment_that_was_given_back_by_hand_is_in_the_books_as_given_back(shop: Shop) {
    let (payment, case) = paid_twice(&shop).await;
    shop.provider_will("run_transaction", "declined").await;
    shop.accountant().decides(&case, "REFUND", "paid twice").await;

    shop.accountant().decides(&shop.newest_case().await, "ACCEPT", "sent by bank transfer").await;

    let refused = shop.back_office().refunds(&payment, "0.01").await;
    assert_eq!([code(&refused), &refused["problem"]["available"]["amount"]], ["AMOUNT_EXCEEDS_AVAILABLE", "0.00"]);
    assert_eq!(sums(&shop.checkout().sees_payment(&payment).await["summary"]), ["0.00", "0.00", "29.90", "0.00"]);
    shop.summary_agrees(&payment).await;
}

// rules P8, R1
async fn a_refund_that_is_unanswered_is_settled_by_the_reconciler(shop: Shop) {
    let (order, _, case) = one_cent_short(&shop).await;
    let payment = payment_of(&order, &case);
    for fault in ["answer_lost", "request_lost"] {
        shop.provider_will("run_transaction", fault).await;
    }

    let decided = shop.accountant().decides(&case, "REFUND", "not wanted").await;
    assert_eq!(decided["case"]["state"], "RESOLVED");
    assert_eq!(shop.user("ada").tries_to_pay(&order, json!({})).await["attempt"]["amount"]["amount"], "29.90");
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.reconciles().await;

    assert_eq!(shop.moved().await, ["authorize_and_capture 2989", "refund 2989"]);
    shop.books_agree(&[&payment]).await;
    assert_eq!(shop.cases().await, [""; 0]);
}

// rule R3
async fn a_recheck_that_is_not_answered_leaves_the_case_open(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "answer_lost").await;
    shop.checkout().authorizes(&payment, "29.90").await;
    shop.provider_will("find_transaction", "error_500").await;
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.reconciles().await;
    let case = shop.newest_case().await;
    let accountant = shop.accountant();

    for checks in 2..4 {
        shop.provider_will("find_transaction", "error_500").await;
        let asked = accountant.decides(&case, "RECHECK", "is it there?").await;
        assert_eq!(json!([asked["case"]["state"], asked["case"]["checks"]]), json!(["OPEN", checks]));
        assert_eq!(asked["case"]["resolvedBy"], Value::Null);
    }
    let known = accountant.decides(&case, "RECHECK", "is it there?").await;
    let again = accountant.decides(&case, "RECHECK", "is it there?").await;

    assert_eq!([&known["case"]["state"], &known["case"]["resolvedBy"]], ["RESOLVED", "server"]);
    assert_eq!(again, known);
    shop.books_agree(&[&payment]).await;
}

/// Nothing new came of it: no row but that of an event, no case, no money.
async fn changes_nothing(shop: &Shop, payment: &Payment, tell: impl AsyncFnOnce()) {
    let state = async || {
        let mut rows = shop.rows().await;
        rows.remove("provider_event");
        let ledger = shop.back_office().sees_ledger(payment).await;
        (rows, ledger, shop.statuses(&payment.order).await, shop.movements().await, shop.cases().await)
    };
    let before = state().await;
    tell().await;
    assert_eq!(state().await, before);
}

// rules T3, R3
async fn the_same_news_after_a_session_was_written_off_opens_nothing_and_books_nothing(shop: Shop) {
    for (minor, currency) in [(2989, "EUR"), (2990, "USD")] {
        let (order, attempt) = shop.open_attempt().await;
        let news = News::that(&attempt, "succeeded").received(minor, currency);
        shop.hears(&news).await;
        let case = shop.newest_case().await;
        shop.accountant().decides(&case, "WRITE_OFF", "it never came").await;

        changes_nothing(&shop, &payment_of(&order, &case), async || {
            shop.hears(&news).await;
            shop.hears(&news.told_anew()).await;
            shop.moves_time_by(TimeDelta::seconds(31));
            shop.reconciles().await;
        })
        .await;

        let next = shop.user("ada").tries_to_pay(&order, json!({})).await;
        assert_eq!(next["attempt"]["amount"]["amount"], "29.90");
    }
}

// rules P2, R3
async fn the_same_news_after_a_transaction_was_written_off_opens_nothing_and_books_nothing(shop: Shop) {
    let payment = shop.payment("tok_wrong_amount").await;
    shop.checkout().sells(&payment, "29.90").await;
    let reference = shop.back_office().sees_transactions(&payment).await[0]["reference"].clone();
    shop.accountant().decides(&shop.newest_case().await, "WRITE_OFF", "given back by hand").await;

    changes_nothing(&shop, &payment, async || {
        shop.hears_of_transaction(&reference, "succeeded", 2989).await;
        shop.hears_of_transaction(&reference, "succeeded", 2989).await;
        shop.moves_time_by(TimeDelta::hours(2));
        shop.reconciles().await;
    })
    .await;
}

// rules P2, R3: what was written off as nothing, and was something
async fn other_news_after_an_outcome_was_written_off_is_a_case_of_its_own(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "answer_lost").await;
    shop.checkout().sells(&payment, "29.90").await;
    shop.provider_will("find_transaction", "error_500").await;
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.reconciles().await;
    shop.accountant().decides(&shop.newest_case().await, "WRITE_OFF", "nobody knows of it").await;
    let row = shop.back_office().sees_transactions(&payment).await.remove(0);
    assert_eq!([&row["status"], &row["failure"]["code"]], ["FAILED", "written_off"]);

    shop.hears_of_transaction(&row["reference"], "succeeded", 2990).await;
    let case = shop.newest_case().await;
    assert_eq!([&case["reason"], &case["state"]], ["CONTRADICTING_RESULT", "OPEN"]);
    shop.accountant().decides(&case, "ACCEPT", "it came after all").await;

    assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "PAID");
    shop.books_agree(&[&payment]).await;
}

// rules P4, P5, R3
async fn money_whose_room_is_taken_is_not_accepted_and_may_be_given_back(shop: Shop) {
    let url = fresh_file("bank");
    let shop = shop.second(&["--sandbox-database-url", &url]).await;
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "declined").await;
    assert_eq!(outcome_of(&shop.checkout().sells(&payment, "29.90").await), "FAILED 29.90");
    assert_eq!(outcome_of(&shop.checkout().sells(&payment, "29.90").await), "SUCCEEDED 29.90");
    let failed = shop.back_office().sees_transactions(&payment).await.remove(0)["reference"].take();
    Database::at(&url).carries_out(failed.as_str().expect("a reference")).await;
    shop.hears_of_transaction(&failed, "succeeded", 2990).await;
    let case = shop.newest_case().await;

    let accepted = shop.accountant().decides(&case, "ACCEPT", "it came").await;
    assert_eq!([code(&accepted), &accepted["problem"]["available"]["amount"]], ["AMOUNT_EXCEEDS_AVAILABLE", "0.00"]);
    assert_eq!(shop.case_again(&case).await, case);
    shop.accountant().decides(&case, "REFUND", "it came twice").await;

    assert_eq!(shop.moved().await, ["authorize_and_capture 2990", "authorize_and_capture 2990", "refund 2990"]);
    assert_eq!(sums(&shop.checkout().sees_payment(&payment).await["summary"]), ["0.00", "29.90", "0.00", "0.00"]);
    shop.books_agree(&[&payment]).await;
    shop.stop().await;
}

/// ada pays what is left of her order, on the page.
async fn pays_what_is_left(shop: &Shop, ada: &Actor, order: &str, payments: usize) {
    let attempt = ada.attempts_to_pay(order).await;
    shop.shopper_pays(&attempt).await;
    let seen = ada.looks_at(order).await;
    assert_eq!(seen["status"], "PAID");
    let payments: Vec<Payment> = (0..payments)
        .map(|at| Payment {
            id: seen["payments"][at]["id"].as_str().expect("a payment").to_owned(),
            order: order.to_owned(),
        })
        .collect();
    shop.books_agree(&payments.iter().collect::<Vec<_>>()).await;
}

async fn once_it_was_given_back_the_order_may_be_paid(shop: Shop) {
    let (order, _, case) = one_cent_short(&shop).await;
    shop.accountant().decides(&case, "REFUND", "she pays by card instead").await;

    pays_what_is_left(&shop, &shop.user("ada"), &order, 2).await;

    assert_eq!(shop.moved().await, ["authorize_and_capture 2989", "refund 2989", "authorize_and_capture 2990"]);
}

async fn the_rest_of_what_was_accepted_may_be_paid(shop: Shop) {
    let (order, _, case) = one_cent_short(&shop).await;
    shop.accountant().decides(&case, "ACCEPT", "she pays the cent").await;

    pays_what_is_left(&shop, &shop.user("ada"), &order, 2).await;

    assert_eq!(shop.moved().await, ["authorize_and_capture 2989", "authorize_and_capture 1"]);
}

// rules R3, S1, P2
async fn a_reversal_that_came_to_a_good_end_after_all_is_in_the_books_as_such(shop: Shop) {
    let payment = shop.authorized().await;
    shop.provider_will("run_transaction", "declined").await;
    shop.checkout().archives(&payment).await;
    assert_eq!(shop.cases().await, ["FAILED_REVERSAL"]);
    let reversal = shop.back_office().sees_transactions(&payment).await.pop().expect("a reversal")["reference"].take();
    shop.hears_of_transaction(&reversal, "succeeded", 2990).await;

    shop.accountant().decides(&shop.newest_case().await, "ACCEPT", "the bank's statement").await;

    let undone = ["AUTHORIZE SUCCEEDED 29.90 REVERSED", "REVERSE_AUTHORIZE SUCCEEDED 29.90 REVERSAL_TRANSACTION"];
    assert_eq!(shop.back_office().sees_ledger(&payment).await, undone);
    assert_eq!(
        (shop.cases().await, sums(&shop.checkout().sees_payment(&payment).await["summary"])),
        (vec![], ["0.00"; 4])
    );
}
