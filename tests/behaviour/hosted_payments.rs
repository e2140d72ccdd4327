//! Payments by token beside attempts on a provider's page: one order, paid once, by whichever of them.

use serde_json::{Value, json};

use crate::support::{Attempt, News, Payment, Shop, code, outcome_of, sums};

on_each_database![
    money_from_a_providers_page_may_be_refunded,
    a_refund_may_name_what_came_from_a_providers_page,
    a_payment_through_a_providers_page_has_no_method_to_charge,
    money_from_a_providers_page_was_never_only_authorized,
    with_an_attempt_open_nothing_else_is_charged,
    what_was_authorized_before_an_attempt_may_be_captured_beside_it,
    once_the_attempt_has_ended_a_payment_may_be_charged,
    an_attempt_asks_only_for_what_payments_leave_due,
    an_order_that_is_authorized_in_full_has_nothing_due,
    an_attempt_waits_until_a_charge_is_answered,
    late_money_for_an_order_that_a_payment_paid_is_a_case,
    late_money_for_an_order_that_a_payment_holds_in_full_is_a_case,
];

/// The payment that an attempt of ada's was paid into.
async fn paid_on_the_page(shop: &Shop) -> Payment {
    let (order, attempt) = shop.open_attempt().await;
    shop.shopper_pays(&attempt).await;
    let seen = shop.user("ada").looks_at(&order).await;
    assert_eq!(seen["status"], "PAID");
    Payment { id: seen["payments"][0]["id"].as_str().expect("a payment").to_owned(), order }
}

// rule P3: what it acts on is the session's money
async fn money_from_a_providers_page_may_be_refunded(shop: Shop) {
    let payment = paid_on_the_page(&shop).await;
    let office = shop.back_office();

    let part = office.refunds(&payment, "10.00").await;
    let too_much = office.refunds(&payment, "19.91").await;
    let rest = office.refunds(&payment, "19.90").await;

    assert_eq!([&part, &rest].map(outcome_of), ["SUCCEEDED 10.00", "SUCCEEDED 19.90"]);
    assert_eq!([code(&too_much), &too_much["problem"]["available"]["amount"]], ["AMOUNT_EXCEEDS_AVAILABLE", "19.90"]);
    assert_eq!(sums(&rest["payment"]["summary"]), ["0.00", "0.00", "29.90", "0.00"]);
    shop.books_agree(&[&payment]).await;
}

// rule P3
async fn a_refund_may_name_what_came_from_a_providers_page(shop: Shop) {
    let payment = paid_on_the_page(&shop).await;
    let office = shop.back_office();
    let sale = json!({ "parentTransactionId": office.sees_transactions(&payment).await[0]["id"] });

    let refunded = office.moves("refundPayment", &payment, "29.90", sale).await;

    assert_eq!(outcome_of(&refunded), "SUCCEEDED 29.90");
    shop.books_agree(&[&payment]).await;
}

// rule P10
async fn a_payment_through_a_providers_page_has_no_method_to_charge(shop: Shop) {
    let known = shop.known_to_ada().await;
    let payment = Payment { id: known.payment, order: known.order };
    let (checkout, office) = (shop.checkout(), shop.back_office());

    let refused = shop
        .leaving_all_as_it_was(&[&payment], async || {
            [
                checkout.authorizes(&payment, "1.00").await,
                checkout.sells(&payment, "1.00").await,
                office.credits(&payment, "1.00").await,
            ]
        })
        .await;

    assert_eq!(refused.each_ref().map(code), ["PROVIDER_UNSUPPORTED"; 3]);
    let words = refused[0]["problem"]["message"].as_str().expect("a message");
    assert!(words.contains("provider's page"), "{words}");
}

// rule P5
async fn money_from_a_providers_page_was_never_only_authorized(shop: Shop) {
    let payment = paid_on_the_page(&shop).await;

    let reversed = shop.checkout().reverses(&payment, "29.90").await;

    assert_eq!([code(&reversed), &reversed["problem"]["available"]["amount"]], ["AMOUNT_EXCEEDS_AVAILABLE", "0.00"]);
}

/// A payment by token on an order that an attempt is open on.
async fn beside_an_attempt(shop: &Shop) -> (Payment, Attempt) {
    let payment = shop.payment("tok_ok").await;
    let attempt = shop.user("ada").attempts_to_pay(&payment.order).await;
    (payment, attempt)
}

// rule T2
async fn with_an_attempt_open_nothing_else_is_charged(shop: Shop) {
    let (payment, _) = beside_an_attempt(&shop).await;
    let checkout = shop.checkout();

    let refused = shop
        .leaving_all_as_it_was(&[&payment], async || {
            [checkout.authorizes(&payment, "0.01").await, checkout.sells(&payment, "29.90").await]
        })
        .await;

    assert_eq!(refused.each_ref().map(code), ["ORDER_HAS_OPEN_ATTEMPT"; 2]);
    assert_eq!(refused.each_ref().map(|payload| &payload["problem"]["retryable"]), [true; 2]);
}

// rules S7, O6
async fn what_was_authorized_before_an_attempt_may_be_captured_beside_it(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.checkout().authorizes(&payment, "10.00").await;
    let attempt = shop.user("ada").attempts_to_pay(&payment.order).await;

    let captured = shop.checkout().captures(&payment, "10.00").await;
    let between = shop.user("ada").looks_at(&payment.order).await;
    shop.shopper_pays(&attempt).await;

    assert_eq!(outcome_of(&captured), "SUCCEEDED 10.00");
    assert_eq!(between["status"], "AWAITING_PAYMENT");
    assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "PAID");
}

async fn once_the_attempt_has_ended_a_payment_may_be_charged(shop: Shop) {
    let (payment, attempt) = beside_an_attempt(&shop).await;
    shop.shopper_declines(&attempt).await;

    let sold = shop.checkout().sells(&payment, "29.90").await;

    assert_eq!(outcome_of(&sold), "SUCCEEDED 29.90");
    assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "PAID");
}

// rules S7, T1
async fn an_attempt_asks_only_for_what_payments_leave_due(shop: Shop) {
    let order = shop.adas_order().await;
    let (gift, card) =
        (shop.payment_on(&order, "10.00", "tok_ok").await, shop.payment_on(&order, "5.00", "tok_ok").await);
    let checkout = shop.checkout();
    checkout.sells(&gift, "10.00").await;
    checkout.authorizes(&card, "5.00").await;

    let attempt = shop.user("ada").attempts_to_pay(&order).await;
    shop.shopper_pays(&attempt).await;

    assert_eq!(shop.money_moved(&attempt.id).await, [1490]);
    let seen = shop.user("ada").looks_at(&order).await;
    assert_eq!([&seen["status"], &seen["amountDue"]["amount"]], ["AWAITING_PAYMENT", "0.00"]);
    checkout.captures(&card, "5.00").await;
    assert_eq!(shop.user("ada").looks_at(&order).await["status"], "PAID");
}

// rule S7
async fn an_order_that_is_authorized_in_full_has_nothing_due(shop: Shop) {
    let payment = shop.authorized().await;

    let refused = shop.user("ada").tries_to_pay(&payment.order, json!({})).await;

    assert_eq!([code(&refused), &refused["attempt"]], [&json!("NOTHING_DUE"), &Value::Null]);
}

// rules T2, P8
async fn an_attempt_waits_until_a_charge_is_answered(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let (checkout, key) = (shop.checkout(), json!({ "idempotencyKey": "k" }));
    shop.provider_will("run_transaction", "answer_lost").await;
    checkout.moves("authorizePayment", &payment, "20.00", key.clone()).await;

    let refused = shop.user("ada").tries_to_pay(&payment.order, json!({})).await;
    checkout.moves("authorizePayment", &payment, "20.00", key).await;
    let attempted = shop.user("ada").tries_to_pay(&payment.order, json!({})).await;

    assert_eq!([code(&refused), &refused["problem"]["retryable"]], [&json!("OUTCOME_UNKNOWN"), &json!(true)]);
    assert_eq!(attempted["attempt"]["amount"]["amount"], "9.90");
}

/// An attempt that was given up although its page is still open in the shopper's browser, and a payment in its place.
async fn given_up_for_a_payment(shop: &Shop) -> (Payment, Attempt) {
    let (order, attempt) = shop.open_attempt().await;
    shop.hears(&News::that(&attempt, "cancelled")).await;
    (shop.payment_on(&order, "29.90", "tok_ok").await, attempt)
}

/// The shopper paid once more on the page: a person has to decide, and nothing was booked.
async fn is_paid_twice(shop: &Shop, order: &str, status: &str, transactions: i64) {
    assert_eq!(shop.statuses(order).await, json!([status, ["CONFLICTED"], ["ACTIVE", "ACTIVE"]]));
    assert_eq!(
        (shop.cases().await, shop.count("payment_transaction").await),
        (vec!["PAID_TWICE".to_owned()], transactions)
    );
}

// rule T5
async fn late_money_for_an_order_that_a_payment_paid_is_a_case(shop: Shop) {
    let (payment, attempt) = given_up_for_a_payment(&shop).await;
    shop.checkout().sells(&payment, "29.90").await;

    shop.shopper_pays(&attempt).await;

    is_paid_twice(&shop, &payment.order, "PAID", 1).await;
}

// rule T5: the money is not captured yet, and the order is not to be paid twice all the same
async fn late_money_for_an_order_that_a_payment_holds_in_full_is_a_case(shop: Shop) {
    let (payment, attempt) = given_up_for_a_payment(&shop).await;
    shop.checkout().authorizes(&payment, "29.90").await;

    shop.shopper_pays(&attempt).await;

    is_paid_twice(&shop, &payment.order, "AWAITING_PAYMENT", 1).await;
}
