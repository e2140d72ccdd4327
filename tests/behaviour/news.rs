//! News of sessions: money is taken in once, whatever the order in which news arrives.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Attempt, News, Shop, code};

on_each_database![
    a_paid_session_pays_the_order,
    paying_is_told_to_the_outbox,
    a_declined_session_fails_the_attempt,
    a_new_attempt_after_a_decline_pays_the_order,
    a_late_failure_does_not_undo_a_payment,
    a_success_after_a_failure_pays_the_order,
    a_success_ends_the_newer_attempt_at_the_provider,
    a_report_by_the_checkout_pays_the_order,
    a_report_of_known_news_changes_nothing,
    a_webhook_after_the_report_changes_nothing,
    a_report_of_the_same_event_changes_nothing,
    a_report_of_an_unknown_session_is_a_problem,
    news_of_an_unknown_session_waits_for_it,
    pairs_of_news_end_alike_in_either_order_and_at_once,
];

// rules T4, O6, S2, S7
async fn a_paid_session_pays_the_order(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;

    shop.shopper_pays(&attempt).await;

    let order = shop.user("ada").looks_at(&order).await;
    let shown = json!({
        "status": order["status"],
        "amountDue": order["amountDue"]["amount"],
        "attempt": order["paymentAttempts"][0]["status"],
        "captured": order["payments"][0]["summary"],
        "ofOrder": order["paymentSummary"],
        "snapshotIsOfCart": order["snapshot"]["cart"]["digest"] == order["cart"]["digest"],
        "snapshotIsOfAttempt": order["snapshot"]["paymentAttempt"]["id"] == attempt.id.as_str(),
        "paidAtSnapshot": order["paidAt"] == order["snapshot"]["takenAt"],
    });
    insta::allow_duplicates! {
        insta::assert_snapshot!(serde_json::to_string_pretty(&shown).unwrap(), @r#"
        {
          "amountDue": "0.00",
          "attempt": "SUCCEEDED",
          "captured": {
            "amountCaptured": {
              "amount": "29.90"
            },
            "fullyCaptured": true
          },
          "ofOrder": {
            "amountCaptured": {
              "amount": "29.90",
              "currency": "EUR"
            },
            "amountPending": {
              "amount": "0.00"
            },
            "fullyCaptured": true
          },
          "paidAtSnapshot": true,
          "snapshotIsOfAttempt": true,
          "snapshotIsOfCart": true,
          "status": "PAID"
        }
        "#);
    }
}

// rule T4
async fn paying_is_told_to_the_outbox(shop: Shop) {
    let (_, attempt) = shop.open_attempt().await;
    shop.database().await.run("DELETE FROM outbox").await;

    shop.hears(&News::that(&attempt, "succeeded")).await;

    let topics = shop.database().await.texts("SELECT DISTINCT topic FROM outbox ORDER BY topic", "topic").await;
    assert_eq!(topics, ["ORDER", "PAYMENT", "PAYMENT_ATTEMPT"]);
}

// rule T3
async fn a_declined_session_fails_the_attempt(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;

    shop.shopper_declines(&attempt).await;

    assert_eq!(shop.statuses(&order).await, json!(["AWAITING_PAYMENT", ["FAILED"], ["ARCHIVED"]]));
    let seen = shop.user("ada").looks_at(&order).await;
    let failure = &seen["paymentAttempts"][0]["failure"];
    assert_eq!([&failure["code"], &failure["decline"]], ["card_declined", "SOFT"]);
}

async fn a_new_attempt_after_a_decline_pays_the_order(shop: Shop) {
    let (order, declined) = shop.open_attempt().await;
    shop.shopper_declines(&declined).await;

    let next = shop.user("ada").attempts_to_pay(&order).await;
    shop.shopper_pays(&next).await;

    let expected = json!(["PAID", ["FAILED", "SUCCEEDED"], ["ARCHIVED", "ACTIVE"]]);
    assert_eq!(shop.statuses(&order).await, expected);
}

// rule T3
async fn a_late_failure_does_not_undo_a_payment(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    shop.hears(&News::that(&attempt, "succeeded")).await;

    shop.hears(&News::that(&attempt, "failed")).await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
}

// rule T3
async fn a_success_after_a_failure_pays_the_order(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    shop.hears(&News::that(&attempt, "failed")).await;

    shop.hears(&News::that(&attempt, "succeeded")).await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
    assert_eq!(shop.user("ada").looks_at(&order).await["paymentAttempts"][0]["failure"], Value::Null);
}

// rule T2
async fn a_success_ends_the_newer_attempt_at_the_provider(shop: Shop) {
    let (order, older) = shop.open_attempt().await;
    shop.hears(&News::that(&older, "failed")).await;
    let newer = shop.user("ada").attempts_to_pay(&order).await;

    shop.hears(&News::that(&older, "succeeded")).await;

    let expected = json!(["PAID", ["SUCCEEDED", "CANCELLED"], ["ACTIVE", "ARCHIVED"]]);
    assert_eq!(shop.statuses(&order).await, expected);
    assert_eq!(shop.session_of(&newer.id).await["status"], "cancelled");
}

// rule T3
async fn a_report_by_the_checkout_pays_the_order(shop: Shop) {
    let (_, attempt) = shop.open_attempt().await;

    let payload = shop.checkout().reports(&attempt.external_id, "SUCCEEDED", "29.90").await;

    assert_eq!(
        json!([payload["alreadyProcessed"], payload["attempt"]["status"], payload["order"]["status"]]),
        json!([false, "SUCCEEDED", "PAID"])
    );
}

// rule T3
async fn a_report_of_known_news_changes_nothing(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    shop.shopper_pays(&attempt).await;
    let before = (shop.user("ada").looks_at(&order).await, shop.rows().await);

    let payload = shop.checkout().reports(&attempt.external_id, "SUCCEEDED", "29.90").await;

    assert_eq!((code(&payload), &payload["alreadyProcessed"]), (&Value::Null, &json!(true)));
    assert_eq!((shop.user("ada").looks_at(&order).await, shop.rows().await), before);
}

// rule W3: the other way round
async fn a_webhook_after_the_report_changes_nothing(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    shop.checkout().reports(&attempt.external_id, "SUCCEEDED", "29.90").await;
    let before = shop.user("ada").looks_at(&order).await;

    shop.shopper_pays(&attempt).await;

    let after = shop.user("ada").looks_at(&order).await;
    assert_eq!((after, shop.count("payment_transaction").await), (before, 1));
}

// rule T3
async fn a_report_of_the_same_event_changes_nothing(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    let news = News::that(&attempt, "processing");
    shop.hears(&news).await;
    let before = shop.user("ada").looks_at(&order).await;

    // Under another id this failure would end the attempt.
    let event = json!({ "eventId": news.event_id });
    let payload = shop.checkout().reports_with(&attempt.external_id, "FAILED", "29.90", event).await;

    let after = shop.user("ada").looks_at(&order).await;
    assert_eq!((&payload["alreadyProcessed"], after), (&json!(true), before));
}

async fn a_report_of_an_unknown_session_is_a_problem(shop: Shop) {
    let payload = shop.checkout().reports("sbx_unknown", "SUCCEEDED", "29.90").await;

    assert_eq!(
        json!([payload["problem"]["code"], payload["attempt"], payload["order"], payload["alreadyProcessed"]]),
        json!(["ATTEMPT_NOT_FOUND", null, null, false])
    );
}

// rule W2
async fn news_of_an_unknown_session_waits_for_it(shop: Shop) {
    let order = shop.adas_order().await;
    shop.provider_will("create_session", "answer_lost").await;
    let unknown = shop.user("ada").tries_to_pay(&order, json!({})).await;
    let session = shop.session_of(unknown["attempt"]["id"].as_str().unwrap()).await;
    shop.hears(&News::of_session(session["id"].as_str().unwrap(), "succeeded")).await;
    assert_eq!(shop.statuses(&order).await, json!(["AWAITING_PAYMENT", ["CREATED"], ["ACTIVE"]]));

    shop.user("ada").tries_to_pay(&order, json!({})).await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
    assert_eq!(shop.count("provider_event WHERE state = 'PARKED'").await, 0);
}

/// News of this kind.
fn news_that(attempt: &Attempt, kind: &'static str) -> News {
    match kind {
        "too little" => News::that(attempt, "succeeded").received(2989, "EUR"),
        "other currency" => News::that(attempt, "succeeded").received(2990, "USD"),
        status => News::that(attempt, status),
    }
}

/// Where an attempt stands after news of these kinds, one after the other, with all that was booked for it.
async fn end_of(shop: &Shop, told: [&'static str; 2]) -> Value {
    forgets_bookings(shop).await;
    let (order, attempt) = shop.open_attempt().await;
    for kind in told {
        shop.hears(&news_that(&attempt, kind)).await;
    }
    came_to(shop, &order).await
}

/// The same, where five copies of each come at once.
async fn end_of_both_at_once(shop: &Shop, told: [&'static str; 2]) -> Value {
    forgets_bookings(shop).await;
    let (order, attempt) = shop.open_attempt().await;
    let both = told.map(|kind| news_that(&attempt, kind));
    let mut telling = JoinSet::new();
    for at in 0..10 {
        let (shop, body) = (shop.clone(), both[at % 2].body());
        // A provider comes again until it is acknowledged.
        telling.spawn(async move { while shop.webhook(&body).await != 204 {} });
    }
    telling.join_all().await;
    came_to(shop, &order).await
}

async fn came_to(shop: &Shop, order: &str) -> Value {
    let booked = [shop.count("payment_transaction").await, shop.count("order_snapshot").await];
    let statuses = shop.statuses(order).await;
    json!([statuses, booked, shop.count("reconciliation_case").await])
}

/// The rows that the pair before left are none of this pair's.
async fn forgets_bookings(shop: &Shop) {
    shop.is_tampered_with();
    shop.audit_trail_can_be_changed().await;
    for table in ["payment_audit", "payment_transaction", "order_snapshot", "reconciliation_case"] {
        shop.database().await.run(&format!("DELETE FROM {table}")).await;
    }
}

// rules T3, T6, W3; test P11
async fn pairs_of_news_end_alike_in_either_order_and_at_once(shop: Shop) {
    let kinds = ["processing", "succeeded", "failed", "cancelled", "expired", "too little", "other currency"];
    let ends_without_money = ["failed", "cancelled", "expired"];
    for (at, one) in kinds.into_iter().enumerate() {
        for other in kinds[at + 1..].iter().copied() {
            let forth = end_of(&shop, [one, other]).await;
            let others = [end_of(&shop, [other, one]).await, end_of_both_at_once(&shop, [one, other]).await];
            if ends_without_money.contains(&one) && ends_without_money.contains(&other) {
                // Two ends without money: the first that was told stays, and nothing else differs.
                let but_the_word = |end: &Value| json!([end[0][0], end[0][2], end[1], end[2]]);
                assert_eq!(
                    others.each_ref().map(but_the_word),
                    [(); 2].map(|()| but_the_word(&forth)),
                    "{one}, {other}"
                );
            } else {
                assert_eq!(others, [forth.clone(), forth], "{one}, {other}");
            }
        }
    }
}
