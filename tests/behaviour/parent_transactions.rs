//! What may not be acted on: the transaction that is named is refused, and it is said why (rule P3).

use serde_json::{Value, json};

use crate::support::{Payment, Shop, code, euros};

on_each_database![
    a_transaction_of_another_payment_is_no_parent,
    a_failed_transaction_is_no_parent,
    a_reversed_authorization_is_no_parent,
    an_unanswered_transaction_is_no_parent,
    a_transaction_of_another_kind_is_no_parent,
    what_acts_on_nothing_has_no_parent,
];

/// A transaction is no parent of another, in words that contain these.
async fn no_parent(shop: &Shop, mutation: &str, payment: &Payment, parent: &Value, words: &str) {
    let service = shop.service(&["payments:write", "payments:capture", "payments:refund", "payments:credit"]);
    let named = json!({ "parentTransactionId": parent });
    let payload =
        shop.leaving_all_as_it_was(&[payment], async || service.moves(mutation, payment, "1.00", named).await).await;
    assert_eq!(code(&payload), "PARENT_TRANSACTION_UNSUITABLE", "{payload}");
    let message = payload["problem"]["message"].as_str().expect("a message");
    assert!(message.contains(words), "{message}");
}

/// The id of a payment's n-th transaction.
async fn nth(shop: &Shop, payment: &Payment, n: usize) -> Value {
    shop.back_office().sees_transactions(payment).await[n]["id"].clone()
}

// rule P3
async fn a_transaction_of_another_payment_is_no_parent(shop: Shop) {
    let (payment, other) = (shop.authorized().await, shop.authorized().await);
    let theirs = nth(&shop, &other, 0).await;
    no_parent(&shop, "capturePayment", &payment, &theirs, "no such transaction of this payment").await;
}

// rule P3
async fn a_failed_transaction_is_no_parent(shop: Shop) {
    let payment = shop.payment("tok_declined_hard").await;
    shop.checkout().authorizes(&payment, "29.90").await;
    no_parent(&shop, "capturePayment", &payment, &nth(&shop, &payment, 0).await, "it failed").await;
}

// rules P3, S1
async fn a_reversed_authorization_is_no_parent(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().changes_payment(&payment, json!({ "amount": euros("15.00") })).await;
    no_parent(&shop, "capturePayment", &payment, &nth(&shop, &payment, 0).await, "it was reversed").await;
}

// rule P3
async fn an_unanswered_transaction_is_no_parent(shop: Shop) {
    let payment = shop.payment("tok_async").await;
    shop.checkout().authorizes(&payment, "29.90").await;
    let pending = nth(&shop, &payment, 0).await;
    no_parent(&shop, "capturePayment", &payment, &pending, "its outcome is not known yet").await;
}

// rule P3
async fn a_transaction_of_another_kind_is_no_parent(shop: Shop) {
    let payment = shop.captured().await;
    let (authorization, capture) = (nth(&shop, &payment, 0).await, nth(&shop, &payment, 1).await);
    for (mutation, parent) in
        [("capturePayment", &capture), ("reverseAuthorization", &capture), ("refundPayment", &authorization)]
    {
        no_parent(&shop, mutation, &payment, parent, "it is of a kind that this can't act on").await;
    }
}

// rule P3
async fn what_acts_on_nothing_has_no_parent(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.checkout().authorizes(&payment, "10.00").await;
    let authorization = nth(&shop, &payment, 0).await;
    for mutation in ["authorizePayment", "authorizeAndCapturePayment", "creditPayment"] {
        no_parent(&shop, mutation, &payment, &authorization, "acts on no earlier one").await;
    }
}
