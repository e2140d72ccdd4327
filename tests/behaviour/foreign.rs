//! What is somebody else's looks like what is not there: nobody can tell a foreign order from a missing one.

use entity::id::{AttemptId, OrderId, PaymentId};
use serde_json::{Value, json};

use crate::support::Shop;

on_each_database![
    a_foreign_order_looks_like_a_missing_one,
    a_foreign_node_looks_like_a_missing_one,
    a_foreign_order_to_pay_looks_like_a_missing_one,
    a_foreign_payment_looks_like_a_missing_one,
    a_foreign_attempt_looks_like_a_missing_one,
    a_foreign_session_looks_like_a_missing_one,
    a_foreign_attempt_to_pay_looks_like_a_missing_one,
    a_foreign_list_looks_like_an_empty_one,
    a_guest_of_the_same_name_is_somebody_else,
];

/// Bob's answers about what is ada's and about what is nobody's: byte for byte the same, and not an answer with anything in it.
async fn alike(shop: &Shop, document: &str, foreign: &str, missing: &str) {
    let bob = shop.user("bob");
    let ask = async |id: &str| bob.sends(json!({ "query": document, "variables": { "id": id } }).to_string()).await;
    let (foreign, missing) = (ask(foreign).await, ask(missing).await);
    assert_eq!(foreign, missing);
    assert!(foreign.0 == 200 && !foreign.1.contains("29.90"), "{foreign:?}");
}

// rule A2
async fn a_foreign_order_looks_like_a_missing_one(shop: Shop) {
    let missing = OrderId::new(shop.now()).to_string();
    let document = "query($id: ID!) { order(id: $id) { total { amount } } }";
    alike(&shop, document, &shop.known_to_ada().await.order, &missing).await;
}

// rule A2
async fn a_foreign_node_looks_like_a_missing_one(shop: Shop) {
    let missing = OrderId::new(shop.now()).to_string();
    let document = "query($id: ID!) { node(id: $id) { ... on Order { total { amount } } } }";
    alike(&shop, document, &shop.known_to_ada().await.order, &missing).await;
}

// rule A2
async fn a_foreign_order_to_pay_looks_like_a_missing_one(shop: Shop) {
    let missing = OrderId::new(shop.now()).to_string();
    let document = "query($id: ID!) { orderToPay(orderId: $id) { order { total { amount } } problem { code message retryable } } }";
    alike(&shop, document, &shop.known_to_ada().await.order, &missing).await;
}

// rule A2
async fn a_foreign_payment_looks_like_a_missing_one(shop: Shop) {
    let missing = PaymentId::new(shop.now()).to_string();
    let document = "query($id: ID!) { payment(id: $id) { amount { amount } } }";
    alike(&shop, document, &shop.known_to_ada().await.payment, &missing).await;
}

// rule A2
async fn a_foreign_attempt_looks_like_a_missing_one(shop: Shop) {
    let missing = AttemptId::new(shop.now()).to_string();
    let document = "query($id: ID!) { paymentAttempt(id: $id) { amount { amount } } }";
    alike(&shop, document, &shop.known_to_ada().await.attempt, &missing).await;
}

// rule A2
async fn a_foreign_session_looks_like_a_missing_one(shop: Shop) {
    let document = "query($id: String!) { paymentAttempt(externalId: $id) { amount { amount } } }";
    alike(&shop, document, &shop.known_to_ada().await.session, "sbx_none").await;
}

// rule A2
async fn a_foreign_attempt_to_pay_looks_like_a_missing_one(shop: Shop) {
    let missing = OrderId::new(shop.now()).to_string();
    let document = "mutation($id: ID!) { attemptToPayForOrder(input: { orderId: $id, idempotencyKey: \"k\" }) {
        attempt { amount { amount } } replayed problem { code message retryable } } }";
    alike(&shop, document, &shop.known_to_ada().await.order, &missing).await;
}

// rule A2
async fn a_foreign_list_looks_like_an_empty_one(shop: Shop) {
    shop.known_to_ada().await;
    let document = "query($id: ID!) { userOrders(userId: $id) { nodes { total { amount } } totalCount pageCount
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
    alike(&shop, document, "ada", "nobody").await;
}

// rule O1
async fn a_guest_of_the_same_name_is_somebody_else(shop: Shop) {
    let known = shop.known_to_ada().await;

    let seen = shop.guest("ada").looks_at(&known.order).await;

    assert_eq!(seen, Value::Null);
}
