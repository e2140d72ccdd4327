//! Attempts whose provider fell silent, or whose news never came: each comes to an end all the same, and no session stays open that must not be paid
//! (rules R1, T1, T2, T5, W3).

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::{Attempt, Database, News, Payment, Shop, code, fresh_file, outcome_of};

on_each_database![
    a_session_whose_answer_was_lost_is_found,
    a_session_that_was_never_opened_is_given_up,
    an_attempt_that_somebody_has_locked_is_left_alone_and_looked_up_after,
    money_that_nobody_told_of_pays_the_order,
    what_the_shopper_did_and_nobody_told_ends_the_attempt,
    a_session_that_time_ended_ends_the_attempt_as_soon_as_its_time_is_up,
    a_session_that_the_provider_forgot_ends_the_attempt_once_its_time_is_up,
    an_attempt_that_waits_for_its_shopper_goes_on_waiting,
    a_session_of_a_paid_order_is_ended_once_the_provider_can,
    a_session_is_ended_for_whoever_paid_in_another_way,
    a_session_beside_money_that_waits_for_a_person_is_ended,
    a_success_that_slips_in_before_the_end_is_a_case,
    a_session_that_was_opened_for_an_order_paid_meanwhile_is_ended,
];

/// The shop, with a provider of its own whose books a test may change.
struct Bank {
    shop: Shop,
    books: Database,
}

impl Bank {
    async fn of(shop: &Shop) -> Self {
        let url = fresh_file("bank");
        let shop = shop.second(&["--sandbox-database-url", &url]).await;
        Self { shop, books: Database::at(&url) }
    }

    async fn changes(&self, sql: &str) {
        self.books.look().await.run(sql).await;
    }
}

/// ada's attempt met this fault; its order and its id.
async fn unanswered(shop: &Shop, fault: &str) -> (String, String) {
    let order = shop.adas_order().await;
    shop.provider_will("create_session", fault).await;
    let payload = shop.user("ada").tries_to_pay(&order, json!({ "idempotencyKey": "k" })).await;
    assert_eq!(code(&payload), "OUTCOME_UNKNOWN");
    if fault == "answer_lost" {
        shop.kept_news_never_came().await;
    }
    (order, payload["attempt"]["id"].as_str().expect("an attempt").to_owned())
}

/// It is left alone for 30 s, and then seen to.
async fn seen_to_after_thirty_seconds(shop: &Shop, order: &str) {
    let before = shop.statuses(order).await;
    shop.moves_time_by(TimeDelta::seconds(28));
    shop.reconciles().await;
    assert_eq!(shop.statuses(order).await, before);
    shop.moves_time_by(TimeDelta::seconds(2));
    shop.reconciles().await;
}

// rules R1, T1, I3
async fn a_session_whose_answer_was_lost_is_found(shop: Shop) {
    let (order, attempt) = unanswered(&shop, "answer_lost").await;

    seen_to_after_thirty_seconds(&shop, &order).await;

    assert_eq!(shop.statuses(&order).await, json!(["AWAITING_PAYMENT", ["PENDING"], ["ACTIVE"]]));
    shop.reconciles().await;
    assert_eq!(shop.user("ada").sees_operation("k").await["state"], "SUCCEEDED");
    let known = shop.user("ada").tries_to_pay(&order, json!({ "idempotencyKey": "k" })).await;
    assert_eq!(
        json!([known["attempt"]["id"], known["attempt"]["externalId"]]),
        json!([attempt, shop.session_of(&attempt).await["id"]])
    );
    assert_eq!((shop.count("payment_attempt").await, shop.count("reconciliation_case").await), (1, 0));
}

// rules R1, T1, I3
async fn a_session_that_was_never_opened_is_given_up(shop: Shop) {
    let (order, attempt) = unanswered(&shop, "request_lost").await;

    seen_to_after_thirty_seconds(&shop, &order).await;

    assert_eq!(shop.statuses(&order).await, json!(["AWAITING_PAYMENT", ["FAILED"], ["ARCHIVED"]]));
    assert_eq!(shop.session_of(&attempt).await["error"]["code"], "session_not_found");
    shop.reconciles().await;
    let ada = shop.user("ada");
    let operation = ada.sees_operation("k").await;
    assert_eq!(json!([operation["state"], operation["problem"]["code"]]), json!(["REFUSED", "PROVIDER_UNAVAILABLE"]));
    let again = ada.tries_to_pay(&order, json!({ "idempotencyKey": "k" })).await;
    assert_eq!(json!([code(&again), again["attempt"]["id"]]), json!(["PROVIDER_UNAVAILABLE", attempt]));
    shop.shopper_pays(&ada.attempts_to_pay(&order).await).await;
    assert_eq!(ada.looks_at(&order).await["status"], "PAID");
}

// rules K1, K2
async fn an_attempt_that_somebody_has_locked_is_left_alone_and_looked_up_after(shop: Shop) {
    let (order, _) = unanswered(&shop, "answer_lost").await;
    let payment = shop.user("ada").looks_at(&order).await["payments"][0]["id"].as_str().expect("an id").to_owned();
    let payment = Payment { id: payment, order: order.clone() };
    let locked = shop.checkout().locks(&[&payment], json!({ "ttlSeconds": 300 })).await;
    shop.moves_time_by(TimeDelta::seconds(31));

    shop.reconciles().await;

    assert_eq!(shop.statuses(&order).await, json!(["AWAITING_PAYMENT", ["CREATED"], ["ACTIVE"]]));
    assert_eq!(shop.cases().await, [""; 0], "nobody was asked");
    assert!(shop.checkout().unlocks(&payment, locked["locks"][0]["token"].as_str().expect("a token")).await);
    shop.moves_time_by(TimeDelta::seconds(6));
    shop.reconciles().await;
    assert_eq!(shop.statuses(&order).await, json!(["AWAITING_PAYMENT", ["PENDING"], ["ACTIVE"]]));
}

// rules W3, T4
async fn money_that_nobody_told_of_pays_the_order(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    shop.shopper_pays_with(&attempt, "tok_no_webhook").await;

    seen_to_after_thirty_seconds(&shop, &order).await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
    assert_eq!((shop.money_moved(&attempt.id).await, shop.count("order_snapshot").await), (vec![2990], 1));
}

// rule W3: what is signed by a clock that is so far behind ours is not taken for news
async fn what_the_shopper_did_and_nobody_told_ends_the_attempt(shop: Shop) {
    let mut attempts = vec![];
    for _ in 0..3 {
        attempts.push(shop.open_attempt().await);
    }
    shop.moves_time_by(TimeDelta::minutes(6));
    let pressed =
        [("decline", "tok_ok", "FAILED"), ("cancel", "tok_ok", "CANCELLED"), ("pay", "tok_declined_hard", "FAILED")];
    for ((order, attempt), (button, method, _)) in attempts.iter().zip(pressed) {
        assert_eq!(shop.shopper_presses(attempt, button, method).await, 303);
        assert_eq!(shop.statuses(order).await, json!(["AWAITING_PAYMENT", ["PENDING"], ["ACTIVE"]]));
    }

    shop.reconciles().await;

    for ((order, _), (.., end)) in attempts.iter().zip(pressed) {
        assert_eq!(shop.statuses(order).await, json!(["AWAITING_PAYMENT", [end], ["ARCHIVED"]]));
    }
}

/// So often the session is asked after before half an hour is over.
async fn waits_half_an_hour(shop: &Shop) {
    for pause in [31, 121, 601] {
        shop.moves_time_by(TimeDelta::seconds(pause));
        assert_eq!(shop.reconciles().await, 1);
    }
    // The next check would be an hour later.
    shop.moves_time_by(TimeDelta::seconds(17 * 60));
    assert_eq!(shop.reconciles().await, 0);
}

// rules R1, T3
async fn a_session_that_time_ended_ends_the_attempt_as_soon_as_its_time_is_up(shop: Shop) {
    let bank = Bank::of(&shop).await;
    let (order, _) = bank.shop.open_attempt().await;
    waits_half_an_hour(&bank.shop).await;
    bank.changes("UPDATE sandbox_session SET status = 'expired'").await;

    bank.shop.moves_time_by(TimeDelta::seconds(32));
    bank.shop.reconciles().await;

    assert_eq!(bank.shop.statuses(&order).await, json!(["AWAITING_PAYMENT", ["EXPIRED"], ["ARCHIVED"]]));
    bank.shop.stop().await;
}

// rule R1
async fn a_session_that_the_provider_forgot_ends_the_attempt_once_its_time_is_up(shop: Shop) {
    let bank = Bank::of(&shop).await;
    let (order, _) = bank.shop.open_attempt().await;
    bank.changes("DELETE FROM sandbox_session").await;
    bank.shop.moves_time_by(TimeDelta::minutes(29));
    bank.shop.reconciles().await;
    assert_eq!(bank.shop.statuses(&order).await, json!(["AWAITING_PAYMENT", ["PENDING"], ["ACTIVE"]]));

    bank.shop.moves_time_by(TimeDelta::minutes(2));
    bank.shop.reconciles().await;

    assert_eq!(bank.shop.statuses(&order).await, json!(["AWAITING_PAYMENT", ["EXPIRED"], ["ARCHIVED"]]));
    bank.shop.stop().await;
}

async fn an_attempt_that_waits_for_its_shopper_goes_on_waiting(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    let before = shop.user("ada").looks_at(&order).await;
    for fault in ["error_500", "answer_lost", "rejected"] {
        shop.provider_will("find_session", fault).await;
        shop.moves_time_by(TimeDelta::minutes(11));
        shop.reconciles().await;
    }

    assert_eq!(shop.user("ada").looks_at(&order).await, before);
    assert_eq!(shop.cases().await, [""; 0]);
    assert_eq!(shop.session_of(&attempt.id).await["status"], "open");
}

/// An order on which an older attempt was given up although its page is open, and a newer one is open; the provider can't end a session.
async fn two_sessions(shop: &Shop) -> (String, Attempt, Attempt) {
    let (order, older) = shop.open_attempt().await;
    shop.hears(&News::that(&older, "failed")).await;
    let newer = shop.user("ada").attempts_to_pay(&order).await;
    (order, older, newer)
}

/// The newer session can still be paid at the provider, though nobody is sent there; the reconciler ends it.
async fn is_ended_later(shop: &Shop, order: &str, newer: &Attempt, end: Value) {
    assert_eq!(shop.session_of(&newer.id).await["status"], "open");
    let document = "query($id: ID!) { paymentAttempt(id: $id) { status redirectUrl } }";
    let seen = shop.user("ada").sees(document, json!({ "id": newer.id })).await;
    assert_eq!(seen["paymentAttempt"], json!({ "status": "PENDING", "redirectUrl": null }));
    shop.provider_will("cancel_session", "error_500").await;
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.reconciles().await;
    assert_eq!(shop.session_of(&newer.id).await["status"], "open");

    shop.moves_time_by(TimeDelta::seconds(121));
    shop.reconciles().await;

    assert_eq!(shop.statuses(order).await, end);
    assert_eq!(shop.session_of(&newer.id).await["status"], "cancelled");
}

// rules T2, T5; P22: at the most one session stays active
async fn a_session_of_a_paid_order_is_ended_once_the_provider_can(shop: Shop) {
    let (order, older, newer) = two_sessions(&shop).await;
    shop.provider_will("cancel_session", "error_500").await;
    shop.shopper_pays(&older).await;

    let end = json!(["PAID", ["SUCCEEDED", "CANCELLED"], ["ACTIVE", "ARCHIVED"]]);
    is_ended_later(&shop, &order, &newer, end).await;

    assert_eq!(shop.shopper_presses(&newer, "pay", "tok_ok").await, 410);
    assert_eq!(shop.moved().await, ["authorize_and_capture 2990"]);
}

// rules T2, T5
async fn a_session_is_ended_for_whoever_paid_in_another_way(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "answer_lost").await;
    shop.checkout().sells(&payment, "29.90").await;
    // Asked after, the provider says that it failed; later it says that it did not.
    let reference = shop.back_office().sees_transactions(&payment).await[0]["reference"].clone();
    shop.hears_of_transaction(&reference, "failed", 2990).await;
    let attempt = shop.user("ada").attempts_to_pay(&payment.order).await;
    shop.provider_will("cancel_session", "request_lost").await;

    shop.hears_of_transaction(&reference, "succeeded", 2990).await;
    let accountant = shop.accountant();
    assert_eq!(shop.session_of(&attempt.id).await["status"], "open");
    accountant.decides(&shop.newest_case().await, "ACCEPT", "It is on the bank's statement.").await;
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.reconciles().await;

    assert_eq!(shop.statuses(&payment.order).await, json!(["PAID", ["CANCELLED"], ["ACTIVE", "ARCHIVED"]]));
    assert_eq!(shop.session_of(&attempt.id).await["status"], "cancelled");
}

// rules T2, T5
async fn a_session_beside_money_that_waits_for_a_person_is_ended(shop: Shop) {
    let (order, older, newer) = two_sessions(&shop).await;
    shop.provider_will("cancel_session", "error_500").await;
    shop.shopper_pays_with(&older, "tok_wrong_amount").await;

    let end = json!(["AWAITING_PAYMENT", ["CONFLICTED", "CANCELLED"], ["ACTIVE", "ARCHIVED"]]);
    is_ended_later(&shop, &order, &newer, end).await;

    assert_eq!(shop.cases().await, ["AMOUNT_MISMATCH"]);
}

// rules T2, T5
async fn a_success_that_slips_in_before_the_end_is_a_case(shop: Shop) {
    let (order, older, newer) = two_sessions(&shop).await;
    shop.provider_will("cancel_session", "error_500").await;
    shop.shopper_pays(&older).await;
    shop.provider_will("cancel_session", "succeed_first").await;
    shop.moves_time_by(TimeDelta::seconds(31));

    shop.reconciles().await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED", "CONFLICTED"], ["ACTIVE", "ACTIVE"]]));
    assert_eq!((shop.cases().await, shop.money_moved(&newer.id).await), (vec!["PAID_TWICE".to_owned()], vec![2990]));
}

// rules T1, T2, I3
async fn a_session_that_was_opened_for_an_order_paid_meanwhile_is_ended(shop: Shop) {
    let (order, older) = shop.open_attempt().await;
    shop.hears(&News::that(&older, "failed")).await;
    shop.provider_will("create_session", "answer_lost").await;
    let ada = shop.user("ada");
    let newer = ada.tries_to_pay(&order, json!({ "idempotencyKey": "newer" })).await["attempt"]["id"].take();
    let newer = newer.as_str().expect("an attempt");
    shop.kept_news_never_came().await;
    shop.provider_will("find_session", "error_500").await;
    shop.shopper_pays(&older).await;
    assert_eq!(shop.statuses(&order).await[1], json!(["SUCCEEDED", "CREATED"]));

    seen_to_after_thirty_seconds(&shop, &order).await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED", "CANCELLED"], ["ACTIVE", "ARCHIVED"]]));
    assert_eq!(shop.session_of(newer).await["status"], "cancelled");
    shop.reconciles().await;
    assert_eq!(ada.sees_operation("newer").await["problem"]["code"], "ORDER_ALREADY_PAID");
    let again = ada.tries_to_pay(&order, json!({ "idempotencyKey": "newer" })).await;
    assert_eq!(outcome_of(&again), "ORDER_ALREADY_PAID");
}
