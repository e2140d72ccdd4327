//! Orders change: their cart, their cancellation, and being marked paid.

use serde_json::{Value, json};

use crate::support::{Payment, Shop, code, tea};

on_each_database![
    an_order_that_is_not_there_is_not_found,
    a_cart_changes_before_it_is_paid,
    a_change_that_expects_an_older_version_is_refused,
    a_cart_does_not_change_while_an_attempt_is_open,
    a_paid_cart_does_not_change,
    a_cancelled_cart_does_not_change,
    a_cart_with_payments_keeps_its_currency,
    a_cart_without_payments_may_change_its_currency,
    a_cart_that_is_covered_already_is_paid,
    a_cart_that_is_not_quite_covered_is_not_paid,
    a_cart_that_costs_less_than_was_captured_waits_for_a_refund,
    an_order_is_not_paid_with_what_is_on_its_way_back,
    an_order_is_paid_once_what_was_on_its_way_back_is_kept,
    a_free_cart_is_paid_by_its_own_verb,
    cancelling_twice_is_cancelling_once,
    cancelling_ends_the_open_session_at_the_provider,
    an_order_paid_a_moment_before_its_cancellation_is_paid,
    an_order_whose_session_may_be_paid_is_not_cancelled,
    a_paid_order_is_not_cancelled,
    a_cancellation_that_expects_an_older_version_is_refused,
    a_free_order_is_paid_with_its_snapshot,
    marking_paid_twice_changes_nothing,
    an_order_without_its_money_is_not_marked_paid,
    a_cancelled_order_is_not_marked_paid,
    a_snapshot_keeps_the_cart_that_was_paid,
];

fn cups() -> Value {
    json!({ "currency": "EUR", "lines": [{ "sku": "CUP", "name": "Cup", "quantity": 1, "unitPrice": "14.40" }] })
}

fn free() -> Value {
    json!({ "currency": "EUR", "lines": [{ "sku": "SAMPLE", "name": "Sample", "quantity": 1, "unitPrice": "0" }] })
}

async fn paid_order(shop: &Shop) -> String {
    let (order, attempt) = shop.open_attempt().await;
    shop.shopper_pays(&attempt).await;
    order
}

async fn an_order_that_is_not_there_is_not_found(shop: Shop) {
    let (checkout, missing) = (shop.checkout(), entity::id::OrderId::new(shop.now()).to_string());

    let refused = [
        checkout.changes_cart(&missing, tea()).await,
        checkout.cancels(&missing).await,
        checkout.marks_paid(&missing).await,
    ];

    assert_eq!(refused.each_ref().map(code), ["ORDER_NOT_FOUND"; 3]);
}

// rule O7
async fn a_cart_changes_before_it_is_paid(shop: Shop) {
    let order = shop.adas_order().await;

    shop.checkout().changes_cart(&order, cups()).await;

    let seen = shop.user("ada").looks_at(&order).await;
    assert_eq!(
        [&seen["total"]["amount"], &seen["amountDue"]["amount"], &seen["version"]],
        [&json!("14.40"), &json!("14.40"), &json!(2)]
    );
}

async fn a_change_that_expects_an_older_version_is_refused(shop: Shop) {
    let order = shop.adas_order().await;
    shop.checkout().changes_cart(&order, cups()).await;

    let input = json!({ "orderId": order, "cart": tea(), "expectedVersion": 1 });
    let late = shop.checkout().does("updateOrderCart", input, "order { id }").await;

    assert_eq!([code(&late), &late["problem"]["currentVersion"]], [&json!("STALE_VERSION"), &json!(2)]);
}

// rule O7
async fn a_cart_does_not_change_while_an_attempt_is_open(shop: Shop) {
    let (order, _) = shop.open_attempt().await;

    let refused = shop.checkout().changes_cart(&order, cups()).await;

    let total = shop.user("ada").looks_at(&order).await["total"]["amount"].take();
    assert_eq!([code(&refused), &total], [&json!("ORDER_HAS_OPEN_ATTEMPT"), &json!("29.90")]);
}

// rule O7
async fn a_paid_cart_does_not_change(shop: Shop) {
    let order = paid_order(&shop).await;

    let refused = shop.checkout().changes_cart(&order, cups()).await;

    assert_eq!(code(&refused), "ORDER_ALREADY_PAID");
}

// rule O7
async fn a_cancelled_cart_does_not_change(shop: Shop) {
    let order = shop.adas_order().await;
    shop.checkout().cancels(&order).await;

    let refused = shop.checkout().changes_cart(&order, cups()).await;

    assert_eq!(code(&refused), "ORDER_CANCELLED");
}

fn yen() -> Value {
    json!({ "currency": "JPY", "lines": [{ "sku": "TEA", "name": "Tea", "quantity": 1, "unitPrice": "1250" }] })
}

// rule M3
async fn a_cart_with_payments_keeps_its_currency(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    shop.shopper_declines(&attempt).await;

    let refused = shop.checkout().changes_cart(&order, yen()).await;

    assert_eq!(code(&refused), "CURRENCY_MISMATCH");
}

async fn a_cart_without_payments_may_change_its_currency(shop: Shop) {
    let order = shop.adas_order().await;

    let changed = shop.checkout().changes_cart(&order, yen()).await;

    assert_eq!(changed["order"]["total"], json!({ "amount": "1250", "currency": "JPY" }));
}

/// What became of an order of which so much was captured when its cart turned into one of 14.40.
async fn captured_and_changed(shop: &Shop, amount: &str) -> Value {
    let payment = shop.payment("tok_ok").await;
    shop.checkout().sells(&payment, amount).await;
    shop.checkout().changes_cart(&payment.order, cups()).await;
    let order = shop.user("ada").looks_at(&payment.order).await;
    json!([order["status"], order["amountDue"]["amount"], order["snapshot"]["cart"]["digest"]])
}

// rule O6: money that covers an order pays it, whichever of the two came last
async fn a_cart_that_is_covered_already_is_paid(shop: Shop) {
    let digest = shop.checkout().changes_cart(&shop.adas_order().await, cups()).await["order"]["cart"]["digest"].take();
    assert_eq!(captured_and_changed(&shop, "14.40").await, json!(["PAID", "0.00", digest]));
}

async fn a_cart_that_is_not_quite_covered_is_not_paid(shop: Shop) {
    assert_eq!(captured_and_changed(&shop, "14.39").await, json!(["AWAITING_PAYMENT", "0.01", null]));
}

async fn a_cart_that_costs_less_than_was_captured_waits_for_a_refund(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.checkout().sells(&payment, "20.00").await;

    let refused = shop.checkout().changes_cart(&payment.order, cups()).await;
    shop.back_office().refunds(&payment, "5.60").await;
    let changed = shop.checkout().changes_cart(&payment.order, cups()).await;

    assert_eq!(json!([code(&refused), refused["problem"]["fields"][0]["path"]]), json!(["INVALID_INPUT", ["cart"]]));
    assert_eq!([&changed["order"]["status"], &changed["order"]["total"]["amount"]], ["PAID", "14.40"]);
}

async fn a_free_cart_is_paid_by_its_own_verb(shop: Shop) {
    let order = shop.adas_order().await;

    let changed = shop.checkout().changes_cart(&order, free()).await;

    assert_eq!(changed["order"]["status"], "AWAITING_PAYMENT");
    assert_eq!(shop.checkout().marks_paid(&order).await["order"]["status"], "PAID");
}

// rule O5
async fn cancelling_twice_is_cancelling_once(shop: Shop) {
    let order = shop.adas_order().await;
    let first = shop.checkout().cancels(&order).await;

    let second = shop.checkout().cancels(&order).await;

    assert_eq!((&first["order"]["status"], &first), (&json!("CANCELLED"), &second));
}

// rule O7
async fn cancelling_ends_the_open_session_at_the_provider(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;

    let cancelled = shop.checkout().cancels(&order).await;

    let session = shop.session_of(&attempt.id).await;
    assert_eq!(
        [
            &session["status"],
            &cancelled["order"]["status"],
            &cancelled["order"]["paymentAttempts"][0]["status"],
            &cancelled["order"]["payments"][0]["status"],
        ],
        ["cancelled", "CANCELLED", "CANCELLED", "ARCHIVED"]
    );
}

// rules O7, T2
async fn an_order_paid_a_moment_before_its_cancellation_is_paid(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    shop.provider_will("cancel_session", "succeed_first").await;

    let refused = shop.checkout().cancels(&order).await;

    let seen = shop.user("ada").looks_at(&order).await;
    assert_eq!(
        (code(&refused), &seen["status"], shop.money_moved(&attempt.id).await),
        (&json!("ORDER_ALREADY_PAID"), &json!("PAID"), vec![2990])
    );
}

// rule P8
async fn an_order_whose_session_may_be_paid_is_not_cancelled(shop: Shop) {
    let (order, _) = shop.open_attempt().await;
    shop.provider_will("cancel_session", "request_lost").await;

    let refused = shop.checkout().cancels(&order).await;

    let seen = shop.user("ada").looks_at(&order).await;
    assert_eq!([code(&refused), &seen["status"]], ["OUTCOME_UNKNOWN", "AWAITING_PAYMENT"]);
}

// rule O5
async fn a_paid_order_is_not_cancelled(shop: Shop) {
    let order = paid_order(&shop).await;

    let refused = shop.checkout().cancels(&order).await;

    assert_eq!(code(&refused), "ORDER_ALREADY_PAID");
}

async fn a_cancellation_that_expects_an_older_version_is_refused(shop: Shop) {
    let order = shop.adas_order().await;
    shop.checkout().changes_cart(&order, cups()).await;

    let input = json!({ "orderId": order, "expectedVersion": 1 });
    let late = shop.checkout().does("cancelOrder", input, "order { id }").await;

    let seen = shop.user("ada").looks_at(&order).await;
    assert_eq!([code(&late), &seen["status"]], ["STALE_VERSION", "AWAITING_PAYMENT"]);
}

// rule O6
async fn a_free_order_is_paid_with_its_snapshot(shop: Shop) {
    let order = shop.checkout().creates_order_of(&shop.user("ada"), free()).await;

    let paid = shop.checkout().marks_paid(&order).await;

    let paid = &paid["order"];
    assert_eq!(
        (&paid["status"], &paid["snapshot"]["cart"]["digest"], &paid["snapshot"]["takenAt"]),
        (&json!("PAID"), &paid["cart"]["digest"], &paid["paidAt"])
    );
}

// rule O6
async fn marking_paid_twice_changes_nothing(shop: Shop) {
    let order = shop.checkout().creates_order_of(&shop.user("ada"), free()).await;
    let first = shop.checkout().marks_paid(&order).await;

    let second = shop.checkout().marks_paid(&order).await;

    assert_eq!((second, shop.count("order_snapshot").await), (first, 1));
}

// rule O6
async fn an_order_without_its_money_is_not_marked_paid(shop: Shop) {
    let order = shop.adas_order().await;
    let before = (shop.rows().await, shop.user("ada").looks_at(&order).await);

    let refused = shop.checkout().marks_paid(&order).await;

    assert_eq!(code(&refused), "ORDER_NOT_COVERED");
    assert_eq!((shop.rows().await, shop.user("ada").looks_at(&order).await), before);
}

// rule O5
async fn a_cancelled_order_is_not_marked_paid(shop: Shop) {
    let order = shop.checkout().creates_order_of(&shop.user("ada"), free()).await;
    shop.checkout().cancels(&order).await;

    let refused = shop.checkout().marks_paid(&order).await;

    assert_eq!(code(&refused), "ORDER_CANCELLED");
}

// rule O6
async fn a_snapshot_keeps_the_cart_that_was_paid(shop: Shop) {
    let order = shop.adas_order().await;
    shop.checkout().changes_cart(&order, cups()).await;
    let attempt = shop.user("ada").attempts_to_pay(&order).await;
    shop.shopper_pays(&attempt).await;

    let document = "query($id: ID!) { order(id: $id) { snapshot {
        cart { lines { sku quantity } total { amount currency } } paymentAttempt { id } } } }";
    let seen = shop.user("ada").sees(document, json!({ "id": order })).await;

    let expected = json!({
        "cart": { "lines": [{ "sku": "CUP", "quantity": 1 }], "total": { "amount": "14.40", "currency": "EUR" } },
        "paymentAttempt": { "id": attempt.id },
    });
    assert_eq!(seen["order"]["snapshot"], expected);
}

/// An order of which 20.00 were captured, of which 10.00 may be on their way back; then its cart costs 20.00. Gives the reference of the refund, too.
async fn partly_on_its_way_back(shop: &Shop, fault: &str) -> (Payment, Value) {
    let payment = shop.payment_on(&shop.adas_order().await, "20.00", "tok_ok").await;
    shop.checkout().sells(&payment, "20.00").await;
    shop.provider_will("run_transaction", fault).await;
    shop.back_office().refunds(&payment, "10.00").await;
    let refund = shop.back_office().sees_transactions(&payment).await.pop().expect("a refund")["reference"].take();
    let line = json!({ "sku": "CUP", "name": "Cup", "quantity": 1, "unitPrice": "20.00" });

    shop.checkout().changes_cart(&payment.order, json!({ "currency": "EUR", "lines": [line] })).await;

    let order = shop.user("ada").looks_at(&payment.order).await;
    assert_eq!([&order["status"], &order["total"]["amount"]], ["AWAITING_PAYMENT", "20.00"]);
    assert_eq!(code(&shop.checkout().marks_paid(&payment.order).await), "ORDER_NOT_COVERED");
    (payment, refund)
}

// rules O6, P8
async fn an_order_is_not_paid_with_what_is_on_its_way_back(shop: Shop) {
    let (payment, _) = partly_on_its_way_back(&shop, "answer_lost").await;

    shop.moves_time_by(chrono::TimeDelta::seconds(31));
    shop.reconciles().await;

    let order = shop.user("ada").looks_at(&payment.order).await;
    assert_eq!(
        json!([order["status"], order["paymentSummary"]["amountCaptured"]["amount"]]),
        json!(["AWAITING_PAYMENT", "10.00"])
    );
}

// rules O6, P8
async fn an_order_is_paid_once_what_was_on_its_way_back_is_kept(shop: Shop) {
    let (payment, refund) = partly_on_its_way_back(&shop, "request_lost").await;

    shop.hears_of_transaction(&refund, "failed", 1000).await;

    assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "PAID");
}
