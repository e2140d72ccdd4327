//! Payments by token: authorized, captured, reversed, refunded, credited.

use serde_json::{Value, json};

use crate::support::{Shop, outcome_of, sums};

on_each_database![
    a_payment_is_authorized_captured_and_refunded,
    captured_money_pays_the_order_whichever_payments_it_comes_from,
];

// rules P3, S2, O6
async fn a_payment_is_authorized_captured_and_refunded(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let (checkout, office) = (shop.checkout(), shop.back_office());

    let authorized = checkout.authorizes(&payment, "29.90").await;
    let captured = checkout.captures(&payment, "29.90").await;
    let refunded = office.refunds(&payment, "10.00").await;

    let outcomes = [&authorized, &captured, &refunded].map(outcome_of);
    assert_eq!(outcomes, ["SUCCEEDED 29.90", "SUCCEEDED 29.90", "SUCCEEDED 10.00"]);
    assert_eq!(sums(&refunded["outcome"]["summary"]), ["29.90", "19.90", "10.00", "0.00"]);
    assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "PAID");
    let moved: Vec<_> = shop.movements().await.into_iter().map(|(_, kind, amount)| (kind, amount)).collect();
    let expected = [("authorize", 2990), ("capture", 2990), ("refund", 1000)];
    assert_eq!(moved, expected.map(|(kind, amount)| (kind.to_owned(), amount)));
}

// rules O6, S6, S7
async fn captured_money_pays_the_order_whichever_payments_it_comes_from(shop: Shop) {
    let order = shop.adas_order().await;
    let (gift, card) =
        (shop.payment_on(&order, "10.00", "tok_ok").await, shop.payment_on(&order, "19.90", "tok_ok").await);
    let checkout = shop.checkout();

    let first = checkout.sells(&gift, "10.00").await;
    let between = shop.user("ada").looks_at(&order).await;
    let second = checkout.sells(&card, "19.90").await;

    assert_eq!([&first, &second].map(outcome_of), ["SUCCEEDED 10.00", "SUCCEEDED 19.90"]);
    assert_eq!(json!([between["status"], between["amountDue"]["amount"]]), json!(["AWAITING_PAYMENT", "19.90"]));
    let after = shop.user("ada").looks_at(&order).await;
    assert_eq!((&after["status"], after["snapshot"].is_object()), (&json!("PAID"), true));
    assert_eq!(after["snapshot"]["paymentAttempt"], Value::Null);
}
