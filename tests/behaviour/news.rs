//! News of sessions: money is taken in once and only where it fits, whatever the order in which news arrives.

use serde_json::{Value, json};

use crate::support::{Attempt, News, Shop, code};

on_each_database![
    a_paid_session_pays_the_order,
    paying_is_told_to_the_outbox,
    a_declined_session_fails_the_attempt,
    a_new_attempt_after_a_decline_pays_the_order,
    a_late_failure_does_not_undo_a_payment,
    a_success_after_a_failure_pays_the_order,
    a_success_ends_the_newer_attempt_at_the_provider,
    a_wrong_amount_is_kept_and_not_accepted,
    another_currency_is_kept_and_not_accepted,
    money_for_a_changed_cart_is_kept_and_not_accepted,
    money_for_a_paid_order_is_kept_and_not_accepted,
    money_for_a_cancelled_order_is_kept_and_not_accepted,
    a_case_keeps_the_report_word_for_word,
    the_same_wrong_amount_twice_is_one_case,
    no_new_attempt_is_made_while_a_case_is_open,
    a_report_by_the_checkout_pays_the_order,
    a_report_of_known_news_changes_nothing,
    a_report_of_the_same_event_changes_nothing,
    a_report_of_a_wrong_amount_is_a_problem,
    a_report_of_an_unknown_session_is_a_problem,
    news_of_an_unknown_session_waits_for_it,
    pairs_of_news_end_alike_in_either_order,
];

/// An order of ada's and the attempt that is open on it.
async fn open_attempt(shop: &Shop) -> (String, Attempt) {
    let order = shop.checkout().creates_order_for(&shop.user("ada")).await;
    let attempt = shop.user("ada").attempts_to_pay(&order).await;
    (order, attempt)
}

/// The statuses of ada's order, its attempts and its payments, oldest first.
async fn statuses(shop: &Shop, order: &str) -> Value {
    let order = shop.user("ada").looks_at(order).await;
    let of = |list: &str| -> Vec<Value> {
        let items = order[list].as_array().expect(list);
        items.iter().map(|item| item["status"].clone()).collect()
    };
    json!([order["status"], of("paymentAttempts"), of("payments")])
}

async fn case_reasons(shop: &Shop) -> Vec<String> {
    shop.database().await.texts("SELECT reason FROM reconciliation_case ORDER BY created_at", "reason").await
}

// rules T4, O6, S2, S7
async fn a_paid_session_pays_the_order(shop: Shop) {
    let (order, attempt) = open_attempt(&shop).await;

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
    insta::assert_snapshot!(serde_json::to_string(&shown).unwrap().replace(',', ",\n"), @r#"
    {"amountDue":"0.00",
    "attempt":"SUCCEEDED",
    "captured":{"amountCaptured":{"amount":"29.90"},
    "fullyCaptured":true},
    "ofOrder":{"amountCaptured":{"amount":"29.90",
    "currency":"EUR"},
    "amountPending":{"amount":"0.00"},
    "fullyCaptured":true},
    "paidAtSnapshot":true,
    "snapshotIsOfAttempt":true,
    "snapshotIsOfCart":true,
    "status":"PAID"}
    "#);
}

// rule T4
async fn paying_is_told_to_the_outbox(shop: Shop) {
    let (_, attempt) = open_attempt(&shop).await;
    shop.database().await.run("DELETE FROM outbox").await;

    shop.hears(&News::that(&attempt, "succeeded")).await;

    let topics = shop.database().await.texts("SELECT DISTINCT topic FROM outbox ORDER BY topic", "topic").await;
    assert_eq!(topics, ["ORDER", "PAYMENT", "PAYMENT_ATTEMPT"]);
}

// rule T3
async fn a_declined_session_fails_the_attempt(shop: Shop) {
    let (order, attempt) = open_attempt(&shop).await;

    shop.shopper_declines(&attempt).await;

    assert_eq!(statuses(&shop, &order).await, json!(["AWAITING_PAYMENT", ["FAILED"], ["ARCHIVED"]]));
    let seen = shop.user("ada").looks_at(&order).await;
    let failure = &seen["paymentAttempts"][0]["failure"];
    assert_eq!([&failure["code"], &failure["decline"]], ["card_declined", "SOFT"]);
}

async fn a_new_attempt_after_a_decline_pays_the_order(shop: Shop) {
    let (order, declined) = open_attempt(&shop).await;
    shop.shopper_declines(&declined).await;

    let next = shop.user("ada").attempts_to_pay(&order).await;
    shop.shopper_pays(&next).await;

    let expected = json!(["PAID", ["FAILED", "SUCCEEDED"], ["ARCHIVED", "ACTIVE"]]);
    assert_eq!(statuses(&shop, &order).await, expected);
}

// rule T3
async fn a_late_failure_does_not_undo_a_payment(shop: Shop) {
    let (order, attempt) = open_attempt(&shop).await;
    shop.hears(&News::that(&attempt, "succeeded")).await;

    shop.hears(&News::that(&attempt, "failed")).await;

    assert_eq!(statuses(&shop, &order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
}

// rule T3
async fn a_success_after_a_failure_pays_the_order(shop: Shop) {
    let (order, attempt) = open_attempt(&shop).await;
    shop.hears(&News::that(&attempt, "failed")).await;

    shop.hears(&News::that(&attempt, "succeeded")).await;

    assert_eq!(statuses(&shop, &order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
    assert_eq!(shop.user("ada").looks_at(&order).await["paymentAttempts"][0]["failure"], Value::Null);
}

// rule T2
async fn a_success_ends_the_newer_attempt_at_the_provider(shop: Shop) {
    let (order, older) = open_attempt(&shop).await;
    shop.hears(&News::that(&older, "failed")).await;
    let newer = shop.user("ada").attempts_to_pay(&order).await;

    shop.hears(&News::that(&older, "succeeded")).await;

    let expected = json!(["PAID", ["SUCCEEDED", "CANCELLED"], ["ACTIVE", "ARCHIVED"]]);
    assert_eq!(statuses(&shop, &order).await, expected);
    assert_eq!(shop.session_of(&newer.id).await["status"], "cancelled");
}

/// The attempt is in conflict, its one case has this reason, and no money was booked.
async fn is_a_case(shop: &Shop, order: &str, reason: &str, expected: Value) {
    assert_eq!(statuses(shop, order).await, expected);
    assert_eq!((case_reasons(shop).await, shop.count("order_snapshot").await), (vec![reason.to_owned()], 0));
}

// rule T5
async fn a_wrong_amount_is_kept_and_not_accepted(shop: Shop) {
    let (order, attempt) = open_attempt(&shop).await;
    let before = shop.user("ada").looks_at(&order).await["version"].take();

    shop.hears(&News::that(&attempt, "succeeded").received(2989, "EUR")).await;

    is_a_case(&shop, &order, "AMOUNT_MISMATCH", json!(["AWAITING_PAYMENT", ["CONFLICTED"], ["ACTIVE"]])).await;
    assert_eq!(shop.user("ada").looks_at(&order).await["version"], before);
}

// rule T5
async fn another_currency_is_kept_and_not_accepted(shop: Shop) {
    let (order, attempt) = open_attempt(&shop).await;

    shop.hears(&News::that(&attempt, "succeeded").received(2990, "USD")).await;

    is_a_case(&shop, &order, "CURRENCY_MISMATCH", json!(["AWAITING_PAYMENT", ["CONFLICTED"], ["ACTIVE"]])).await;
}

// rules T4, T5
async fn money_for_a_changed_cart_is_kept_and_not_accepted(shop: Shop) {
    let (order, attempt) = open_attempt(&shop).await;
    shop.hears(&News::that(&attempt, "failed")).await;
    // The same amount for another cart.
    let cup = json!({ "sku": "CUP", "name": "Cup", "quantity": 1, "unitPrice": "29.90" });
    shop.checkout().changes_cart(&order, json!({ "currency": "EUR", "lines": [cup] })).await;

    shop.hears(&News::that(&attempt, "succeeded")).await;

    is_a_case(&shop, &order, "CART_CHANGED", json!(["AWAITING_PAYMENT", ["CONFLICTED"], ["ACTIVE"]])).await;
}

// rule T5
async fn money_for_a_paid_order_is_kept_and_not_accepted(shop: Shop) {
    let (order, older) = open_attempt(&shop).await;
    shop.hears(&News::that(&older, "failed")).await;
    let newer = shop.user("ada").attempts_to_pay(&order).await;
    shop.shopper_pays(&newer).await;

    shop.hears(&News::that(&older, "succeeded")).await;

    let expected = json!(["PAID", ["CONFLICTED", "SUCCEEDED"], ["ACTIVE", "ACTIVE"]]);
    assert_eq!(statuses(&shop, &order).await, expected);
    assert_eq!((case_reasons(&shop).await, shop.count("payment_transaction").await), (vec!["PAID_TWICE".into()], 1));
}

// rules O7, T5
async fn money_for_a_cancelled_order_is_kept_and_not_accepted(shop: Shop) {
    let (order, attempt) = open_attempt(&shop).await;
    shop.checkout().cancels(&order).await;

    shop.hears(&News::that(&attempt, "succeeded")).await;

    is_a_case(&shop, &order, "CONTRADICTING_RESULT", json!(["CANCELLED", ["CONFLICTED"], ["ACTIVE"]])).await;
}

// rules T5, R3
async fn a_case_keeps_the_report_word_for_word(shop: Shop) {
    let (_, attempt) = open_attempt(&shop).await;
    let news = News::that(&attempt, "succeeded").received(1, "EUR");

    shop.hears(&news).await;

    let reports = shop.database().await.texts("SELECT report FROM reconciliation_case", "report").await;
    assert_eq!(reports, [news.body()]);
}

// rule T3
async fn the_same_wrong_amount_twice_is_one_case(shop: Shop) {
    let (_, attempt) = open_attempt(&shop).await;
    let news = News::that(&attempt, "succeeded").received(1, "EUR");
    shop.hears(&news).await;

    shop.hears(&news.told_anew()).await;

    assert_eq!(shop.count("reconciliation_case").await, 1);
}

// rule T2: who may have paid already is not asked to pay again
async fn no_new_attempt_is_made_while_a_case_is_open(shop: Shop) {
    let (order, attempt) = open_attempt(&shop).await;
    shop.hears(&News::that(&attempt, "succeeded").received(1, "EUR")).await;

    let refused = shop.user("ada").tries_to_pay(&order, json!({})).await;

    assert_eq!((code(&refused), shop.count("payment_attempt").await), (&json!("ATTEMPT_CONFLICTED"), 1));
}

// rule T3
async fn a_report_by_the_checkout_pays_the_order(shop: Shop) {
    let (_, attempt) = open_attempt(&shop).await;

    let payload = shop.checkout().reports(&attempt.external_id, "SUCCEEDED", "29.90").await;

    assert_eq!(
        json!([payload["alreadyProcessed"], payload["attempt"]["status"], payload["order"]["status"]]),
        json!([false, "SUCCEEDED", "PAID"])
    );
}

// rule T3
async fn a_report_of_known_news_changes_nothing(shop: Shop) {
    let (order, attempt) = open_attempt(&shop).await;
    shop.shopper_pays(&attempt).await;
    let before = (shop.user("ada").looks_at(&order).await, shop.rows().await);

    let payload = shop.checkout().reports(&attempt.external_id, "SUCCEEDED", "29.90").await;

    assert_eq!((code(&payload), &payload["alreadyProcessed"]), (&Value::Null, &json!(true)));
    assert_eq!((shop.user("ada").looks_at(&order).await, shop.rows().await), before);
}

// rule T3
async fn a_report_of_the_same_event_changes_nothing(shop: Shop) {
    let (order, attempt) = open_attempt(&shop).await;
    let news = News::that(&attempt, "failed");
    shop.hears(&news).await;
    let before = shop.user("ada").looks_at(&order).await;

    // The event was about a failure; what is said of it now does not count.
    let event = json!({ "eventId": news.event_id });
    let payload = shop.checkout().reports_with(&attempt.external_id, "SUCCEEDED", "29.90", event).await;

    let after = shop.user("ada").looks_at(&order).await;
    assert_eq!((&payload["alreadyProcessed"], after), (&json!(true), before));
}

// rule T5
async fn a_report_of_a_wrong_amount_is_a_problem(shop: Shop) {
    let (_, attempt) = open_attempt(&shop).await;

    let payload = shop.checkout().reports(&attempt.external_id, "SUCCEEDED", "29.89").await;

    assert_eq!(
        json!([payload["problem"]["code"], payload["attempt"]["status"], payload["order"]["status"]]),
        json!(["ATTEMPT_CONFLICTED", "CONFLICTED", "AWAITING_PAYMENT"])
    );
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
    let order = shop.checkout().creates_order_for(&shop.user("ada")).await;
    shop.provider_will("create_session", "answer_lost").await;
    let unknown = shop.user("ada").tries_to_pay(&order, json!({})).await;
    let session = shop.session_of(unknown["attempt"]["id"].as_str().unwrap()).await;
    shop.hears(&News::of_session(session["id"].as_str().unwrap(), "succeeded")).await;
    assert_eq!(statuses(&shop, &order).await, json!(["AWAITING_PAYMENT", ["CREATED"], ["ACTIVE"]]));

    shop.user("ada").tries_to_pay(&order, json!({})).await;

    assert_eq!(statuses(&shop, &order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
    assert_eq!(shop.count("provider_event WHERE state = 'PARKED'").await, 0);
}

/// Where an attempt stands after news of these kinds, with all that was booked for it.
async fn end_of(shop: &Shop, told: [&'static str; 2]) -> Value {
    let (order, attempt) = open_attempt(shop).await;
    for kind in told {
        shop.hears(&match kind {
            "too little" => News::that(&attempt, "succeeded").received(2989, "EUR"),
            "other currency" => News::that(&attempt, "succeeded").received(2990, "USD"),
            status => News::that(&attempt, status),
        })
        .await;
    }
    let booked = [shop.count("payment_transaction").await, shop.count("order_snapshot").await];
    let statuses = statuses(shop, &order).await;
    json!([statuses, booked, shop.count("reconciliation_case").await])
}

/// The rows that the pair before left are none of this pair's.
async fn forgets_bookings(shop: &Shop) {
    for table in ["payment_transaction", "order_snapshot", "reconciliation_case"] {
        shop.database().await.run(&format!("DELETE FROM {table}")).await;
    }
}

// rules T3, T6, W3
async fn pairs_of_news_end_alike_in_either_order(shop: Shop) {
    let kinds = ["processing", "succeeded", "failed", "cancelled", "expired", "too little", "other currency"];
    let ends_without_money = ["failed", "cancelled", "expired"];
    for (at, one) in kinds.into_iter().enumerate() {
        for other in &kinds[at + 1..] {
            forgets_bookings(&shop).await;
            let forth = end_of(&shop, [one, other]).await;
            forgets_bookings(&shop).await;
            let back = end_of(&shop, [other, one]).await;
            if ends_without_money.contains(&one) && ends_without_money.contains(other) {
                // Two ends without money: the first that was told stays, and nothing else differs.
                let but_the_word = |end: &Value| json!([end[0][0], end[0][2], end[1], end[2]]);
                assert_eq!(but_the_word(&forth), but_the_word(&back), "{one}, {other}");
            } else {
                assert_eq!(forth, back, "{one}, {other}");
            }
        }
    }
}
