//! Sessions whose attempts had come to an end without them: given up before the provider opened them, written off, or said to have ended by somebody
//! else. What becomes of them is found out; none stays open, and no money is lost (rules T1, T2, T3, T5, W2).

use chrono::TimeDelta;
use serde_json::json;

use crate::support::{Attempt, Shop, code};

on_each_database![
    a_session_that_was_opened_late_is_ended,
    money_of_a_session_that_was_opened_late_pays_the_order,
    money_of_a_session_that_was_opened_late_is_a_case_where_another_one_paid,
    a_session_that_was_opened_late_leaves_a_newer_attempt_alone,
    a_session_that_was_opened_late_is_ended_once_nobody_holds_the_lock,
    a_session_whose_attempt_was_written_off_is_ended,
    money_of_a_session_whose_attempt_was_written_off_pays_the_order,
    a_session_that_a_service_says_is_over_is_ended,
    money_of_a_session_that_a_service_says_is_over_pays_the_order,
    a_session_that_can_not_be_ended_when_its_time_is_up_is_asked_after,
    an_attempt_whose_way_was_taken_back_is_not_given_back,
];

const GIVEN_UP: [&str; 1] = ["FAILED"];

/// An order of ada's on which an attempt was given up, because the provider knew of no session; then it opens one all the same.
async fn opened_late(shop: &Shop) -> (String, Attempt) {
    let order = shop.adas_order().await;
    shop.provider_will("create_session", "request_lost").await;
    let payload = shop.user("ada").tries_to_pay(&order, json!({})).await;
    assert_eq!(code(&payload), "OUTCOME_UNKNOWN");
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.reconciles().await;
    assert_eq!(shop.statuses(&order).await, json!(["AWAITING_PAYMENT", GIVEN_UP, ["ARCHIVED"]]));
    let session = shop.provider_opens_late(payload["attempt"]["id"].as_str().expect("an attempt")).await;
    (order, session)
}

/// What was kept is tried again after five seconds.
async fn tried_again(shop: &Shop) {
    shop.moves_time_by(TimeDelta::seconds(5));
    shop.reconciles().await;
}

async fn nothing_is_left(shop: &Shop, cases: usize) {
    assert_eq!(shop.count("provider_event WHERE state = 'PARKED'").await, 0);
    assert_eq!(shop.cases().await.len(), cases);
}

async fn a_session_that_was_opened_late_is_ended(shop: Shop) {
    let (order, late) = opened_late(&shop).await;

    tried_again(&shop).await;

    assert_eq!(shop.session_of(&late.id).await["status"], "cancelled");
    assert_eq!(shop.statuses(&order).await, json!(["AWAITING_PAYMENT", GIVEN_UP, ["ARCHIVED"]]));
    nothing_is_left(&shop, 0).await;
}

// rule T3: money that moved wins over earlier bad news
async fn money_of_a_session_that_was_opened_late_pays_the_order(shop: Shop) {
    let (order, late) = opened_late(&shop).await;
    shop.shopper_pays(&late).await;

    tried_again(&shop).await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
    assert_eq!((shop.money_moved(&late.id).await, shop.count("order_snapshot").await), (vec![2990], 1));
    nothing_is_left(&shop, 0).await;
}

// rule T5
async fn money_of_a_session_that_was_opened_late_is_a_case_where_another_one_paid(shop: Shop) {
    let (order, late) = opened_late(&shop).await;
    let newer = shop.user("ada").attempts_to_pay(&order).await;
    shop.shopper_pays(&newer).await;
    shop.shopper_pays(&late).await;

    tried_again(&shop).await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["CONFLICTED", "SUCCEEDED"], ["ACTIVE", "ACTIVE"]]));
    assert_eq!(shop.newest_case().await["reason"], "PAID_TWICE");
    nothing_is_left(&shop, 1).await;
}

// rule T2
async fn a_session_that_was_opened_late_leaves_a_newer_attempt_alone(shop: Shop) {
    let (order, late) = opened_late(&shop).await;
    let newer = shop.user("ada").attempts_to_pay(&order).await;

    tried_again(&shop).await;

    assert_eq!(shop.session_of(&late.id).await["status"], "cancelled");
    shop.shopper_pays(&newer).await;
    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["FAILED", "SUCCEEDED"], ["ARCHIVED", "ACTIVE"]]));
    nothing_is_left(&shop, 0).await;
}

// rule K1
async fn a_session_that_was_opened_late_is_ended_once_nobody_holds_the_lock(shop: Shop) {
    let (order, late) = opened_late(&shop).await;
    let payment = shop.user("ada").looks_at(&order).await["payments"][0]["id"].as_str().expect("an id").to_owned();
    let payment = crate::support::Payment { id: payment, order };
    let token = shop.checkout().locks_one(&payment).await;

    tried_again(&shop).await;

    assert_eq!(shop.session_of(&late.id).await["status"], "open");
    assert!(shop.checkout().unlocks(&payment, &token).await);
    shop.moves_time_by(TimeDelta::seconds(30));
    shop.reconciles().await;
    assert_eq!(shop.session_of(&late.id).await["status"], "cancelled");
    nothing_is_left(&shop, 0).await;
}

/// An order of ada's on which the provider opened a session, whose answer was lost; it can't be asked, and somebody decides that nothing came of it. It
/// meets this fault when it is asked then.
async fn written_off(shop: &Shop, fault: Option<&str>) -> (String, String) {
    let order = shop.adas_order().await;
    shop.provider_will("create_session", "answer_lost").await;
    let payload = shop.user("ada").tries_to_pay(&order, json!({})).await;
    let attempt = payload["attempt"]["id"].as_str().expect("an attempt").to_owned();
    shop.kept_news_never_came().await;
    shop.provider_will("find_session", "error_500").await;
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.reconciles().await;
    if let Some(fault) = fault {
        shop.provider_will("find_session", fault).await;
    }
    let case = shop.newest_case().await;
    assert_eq!(case["reason"], "OUTCOME_UNKNOWN");
    shop.accountant().decides(&case, "WRITE_OFF", "the bank's statement").await;
    assert_eq!(shop.statuses(&order).await, json!(["AWAITING_PAYMENT", GIVEN_UP, ["ARCHIVED"]]));
    (order, attempt)
}

// rules R3, T2
async fn a_session_whose_attempt_was_written_off_is_ended(shop: Shop) {
    let (_, attempt) = written_off(&shop, None).await;

    assert_eq!(shop.session_of(&attempt).await["status"], "cancelled");
}

// rules R3, T3
async fn money_of_a_session_whose_attempt_was_written_off_pays_the_order(shop: Shop) {
    let (order, attempt) = written_off(&shop, Some("error_500")).await;
    let session = shop.session_of(&attempt).await;
    assert_eq!(session["status"], "open");
    let text = |field: &str| session[field].as_str().expect(field).to_owned();
    let session = Attempt { id: attempt, external_id: text("id"), redirect_url: text("redirect_url") };
    shop.shopper_pays(&session).await;
    shop.comes_to_have("provider_event WHERE state = 'PARKED'").await;

    tried_again(&shop).await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
    assert_eq!(shop.money_moved(&session.id).await, [2990]);
}

// rule T2
async fn a_session_that_a_service_says_is_over_is_ended(shop: Shop) {
    for told in ["FAILED", "CANCELLED", "EXPIRED"] {
        let (order, attempt) = shop.open_attempt().await;

        let payload = shop.checkout().reports(&attempt.external_id, told, "29.90").await;

        assert_eq!(payload["attempt"]["status"], told);
        assert_eq!(shop.session_of(&attempt.id).await["status"], "cancelled");
        assert_eq!(shop.statuses(&order).await, json!(["AWAITING_PAYMENT", [told], ["ARCHIVED"]]));
    }
}

// rules T2, T3, W3: the webhook of the payment never came
async fn money_of_a_session_that_a_service_says_is_over_pays_the_order(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    shop.shopper_pays_with(&attempt, "tok_no_webhook").await;

    let payload = shop.checkout().reports(&attempt.external_id, "CANCELLED", "29.90").await;

    assert_eq!(json!([payload["attempt"]["status"], payload["order"]["status"]]), json!(["SUCCEEDED", "PAID"]));
    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
}

// rules T2, O7: that it refuses to cancel says nothing of how it stands
async fn a_session_that_can_not_be_ended_when_its_time_is_up_is_asked_after(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    shop.shopper_pays_with(&attempt, "tok_no_webhook").await;
    shop.moves_time_by(TimeDelta::minutes(31));
    shop.provider_will("cancel_session", "rejected").await;

    let refused = shop.checkout().cancels(&order).await;

    assert_eq!(code(&refused), "ORDER_ALREADY_PAID");
    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
}

// rule T2: nobody could pay it
async fn an_attempt_whose_way_was_taken_back_is_not_given_back(shop: Shop) {
    let (order, hidden) = shop.open_attempt().await;
    shop.database().await.run("UPDATE payment_attempt SET redirect_url = NULL, client_secret = NULL").await;

    let newer = shop.user("ada").attempts_to_pay(&order).await;

    assert_ne!(newer.id, hidden.id);
    assert_eq!(shop.session_of(&hidden.id).await["status"], "cancelled");
    shop.shopper_pays(&newer).await;
    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["CANCELLED", "SUCCEEDED"], ["ARCHIVED", "ACTIVE"]]));
}
