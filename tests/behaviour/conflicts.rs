//! Money that does not fit is kept and not accepted: it waits for a person's decision.

use serde_json::{Value, json};

use crate::support::{News, Shop, code};

on_each_database![
    a_wrong_amount_is_kept_and_not_accepted,
    another_currency_is_kept_and_not_accepted,
    money_for_a_changed_cart_is_kept_and_not_accepted,
    money_for_a_paid_order_is_kept_and_not_accepted,
    money_for_a_cancelled_order_is_kept_and_not_accepted,
    a_case_keeps_the_report_word_for_word,
    the_same_wrong_amount_twice_is_one_case,
    no_new_attempt_is_made_while_a_case_is_open,
    a_report_of_a_wrong_amount_is_a_problem,
];

async fn case_reasons(shop: &Shop) -> Vec<String> {
    shop.database().await.texts("SELECT reason FROM reconciliation_case ORDER BY created_at", "reason").await
}

/// The attempt is in conflict, its one case has this reason, and no money was booked.
async fn is_a_case(shop: &Shop, order: &str, reason: &str, expected: Value) {
    assert_eq!(shop.statuses(order).await, expected);
    assert_eq!((case_reasons(shop).await, shop.count("order_snapshot").await), (vec![reason.to_owned()], 0));
}

// rule T5
async fn a_wrong_amount_is_kept_and_not_accepted(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    let before = shop.user("ada").looks_at(&order).await["version"].take();

    shop.hears(&News::that(&attempt, "succeeded").received(2989, "EUR")).await;

    is_a_case(&shop, &order, "AMOUNT_MISMATCH", json!(["AWAITING_PAYMENT", ["CONFLICTED"], ["ACTIVE"]])).await;
    assert_eq!(shop.user("ada").looks_at(&order).await["version"], before);
}

// rule T5
async fn another_currency_is_kept_and_not_accepted(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;

    shop.hears(&News::that(&attempt, "succeeded").received(2990, "USD")).await;

    is_a_case(&shop, &order, "CURRENCY_MISMATCH", json!(["AWAITING_PAYMENT", ["CONFLICTED"], ["ACTIVE"]])).await;
}

// rules T4, T5
async fn money_for_a_changed_cart_is_kept_and_not_accepted(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    shop.hears(&News::that(&attempt, "failed")).await;
    // The same amount for another cart.
    let cup = json!({ "sku": "CUP", "name": "Cup", "quantity": 1, "unitPrice": "29.90" });
    shop.checkout().changes_cart(&order, json!({ "currency": "EUR", "lines": [cup] })).await;

    shop.hears(&News::that(&attempt, "succeeded")).await;

    is_a_case(&shop, &order, "CART_CHANGED", json!(["AWAITING_PAYMENT", ["CONFLICTED"], ["ACTIVE"]])).await;
}

// rule T5
async fn money_for_a_paid_order_is_kept_and_not_accepted(shop: Shop) {
    let (order, older) = shop.open_attempt().await;
    shop.hears(&News::that(&older, "failed")).await;
    let newer = shop.user("ada").attempts_to_pay(&order).await;
    shop.shopper_pays(&newer).await;

    shop.hears(&News::that(&older, "succeeded")).await;

    let expected = json!(["PAID", ["CONFLICTED", "SUCCEEDED"], ["ACTIVE", "ACTIVE"]]);
    assert_eq!(shop.statuses(&order).await, expected);
    assert_eq!((case_reasons(&shop).await, shop.count("payment_transaction").await), (vec!["PAID_TWICE".into()], 1));
}

// rules O7, T5
async fn money_for_a_cancelled_order_is_kept_and_not_accepted(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    shop.checkout().cancels(&order).await;

    shop.hears(&News::that(&attempt, "succeeded")).await;

    is_a_case(&shop, &order, "CONTRADICTING_RESULT", json!(["CANCELLED", ["CONFLICTED"], ["ACTIVE"]])).await;
}

// rules T5, R3
async fn a_case_keeps_the_report_word_for_word(shop: Shop) {
    let (_, attempt) = shop.open_attempt().await;
    let news = News::that(&attempt, "succeeded").received(1, "EUR");

    shop.hears(&news).await;

    let reports = shop.database().await.texts("SELECT report FROM reconciliation_case", "report").await;
    assert_eq!(reports, [news.body()]);
}

// rule T3
async fn the_same_wrong_amount_twice_is_one_case(shop: Shop) {
    let (_, attempt) = shop.open_attempt().await;
    let news = News::that(&attempt, "succeeded").received(1, "EUR");
    shop.hears(&news).await;

    shop.hears(&news.told_anew()).await;

    assert_eq!(shop.count("reconciliation_case").await, 1);
}

// rule T2: who may have paid already is not asked to pay again
async fn no_new_attempt_is_made_while_a_case_is_open(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    shop.hears(&News::that(&attempt, "succeeded").received(1, "EUR")).await;

    let refused = shop.user("ada").tries_to_pay(&order, json!({})).await;

    assert_eq!((code(&refused), shop.count("payment_attempt").await), (&json!("ATTEMPT_CONFLICTED"), 1));
}

// rule T5
async fn a_report_of_a_wrong_amount_is_a_problem(shop: Shop) {
    let (_, attempt) = shop.open_attempt().await;

    let payload = shop.checkout().reports(&attempt.external_id, "SUCCEEDED", "29.89").await;

    assert_eq!(
        json!([payload["problem"]["code"], payload["attempt"]["status"], payload["order"]["status"]]),
        json!(["ATTEMPT_CONFLICTED", "CONFLICTED", "AWAITING_PAYMENT"])
    );
}
