//! Bad ids, cursors and pages: each is refused by name, and nothing is written.

use serde_json::{Value, json};

use crate::support::{Shop, code, outcome, writing_nothing};

on_each_database![
    a_malformed_id_is_refused,
    an_id_of_the_wrong_kind_is_refused_by_name,
    a_node_of_an_unknown_kind_is_refused,
    a_malformed_id_in_a_mutation_is_a_problem,
    a_made_up_cursor_is_refused,
    a_cursor_of_another_list_is_refused,
    a_cursor_of_another_filter_is_refused,
    a_page_with_a_cursor_is_refused,
    a_page_of_nothing_is_refused,
    a_page_of_101_is_refused,
    a_negative_page_size_is_refused,
    page_zero_is_refused,
    first_with_last_is_refused,
    an_attempt_without_id_and_session_is_refused,
];

/// A query of ada's is refused: the path and the words of the field that is wrong.
async fn query_refused(shop: &Shop, document: &str) -> (Value, String) {
    let answer = writing_nothing(shop, async || shop.user("ada").asks(document, json!({})).await).await;
    assert_eq!(outcome(&answer), "INVALID_INPUT", "{answer}");
    let field = &answer["errors"][0]["extensions"]["fields"][0];
    (field["path"].clone(), field["message"].as_str().expect("words").to_owned())
}

async fn a_malformed_id_is_refused(shop: Shop) {
    let (path, words) = query_refused(&shop, "{ order(id: \"ord_1\") { id } }").await;

    assert_eq!(path, json!(["id"]));
    assert!(words.contains("is not the id of an order"), "{words}");
}

async fn an_id_of_the_wrong_kind_is_refused_by_name(shop: Shop) {
    let payment = "pay_0190a6f4-0000-7000-8000-000000000000";
    let (path, words) = query_refused(&shop, &format!("{{ order(id: \"{payment}\") {{ id }} }}")).await;

    assert_eq!(path, json!(["id"]));
    assert!(words.contains("is the id of a payment, not of an order"), "{words}");
}

async fn a_node_of_an_unknown_kind_is_refused(shop: Shop) {
    let (path, words) = query_refused(&shop, "{ node(id: \"cus_0190a6f4-0000-7000-8000-000000000000\") { id } }").await;

    assert_eq!(path, json!(["id"]));
    assert!(words.contains("ord_, pay_ or att_"), "{words}");
}

async fn a_malformed_id_in_a_mutation_is_a_problem(shop: Shop) {
    let input = json!({ "orderId": "7", "idempotencyKey": "k" });
    let payload =
        writing_nothing(&shop, async || shop.user("ada").does("attemptToPayForOrder", input, "attempt { id }").await)
            .await;

    assert_eq!(json!([code(&payload), payload["problem"]["fields"][0]["path"]]), json!(["INVALID_INPUT", ["orderId"]]));
}

/// A part of ada's list is refused for this argument.
async fn part_refused(shop: &Shop, part: &str, argument: &str) {
    let (path, _) = query_refused(shop, &format!("{{ userOrders(userId: \"ada\", {part}) {{ totalCount }} }}")).await;
    assert_eq!(path, json!([argument]), "{part}");
}

/// The cursor of the newest of ada's two orders.
async fn cursor(shop: &Shop) -> Value {
    let ada = shop.user("ada");
    for _ in 0..2 {
        shop.checkout().creates_order_for(&ada).await;
    }
    ada.lists(&ada, "first: 1").await["pageInfo"]["endCursor"].take()
}

// rule L1
async fn a_made_up_cursor_is_refused(shop: Shop) {
    part_refused(&shop, "after: \"MTIzNA\"", "after").await;
}

// rule L1
async fn a_cursor_of_another_list_is_refused(shop: Shop) {
    let bob = shop.user("bob");
    shop.checkout().creates_order_for(&bob).await;
    let cursor = bob.lists(&bob, "first: 1").await["pageInfo"]["endCursor"].take();

    part_refused(&shop, &format!("after: {cursor}"), "after").await;
}

// rule L1
async fn a_cursor_of_another_filter_is_refused(shop: Shop) {
    let cursor = cursor(&shop).await;

    part_refused(&shop, &format!("after: {cursor}, filter: {{ status: [PAID] }}"), "after").await;
}

// rule L5
async fn a_page_with_a_cursor_is_refused(shop: Shop) {
    let cursor = cursor(&shop).await;

    part_refused(&shop, &format!("page: 1, after: {cursor}"), "page").await;
}

// rule L1
async fn a_page_of_nothing_is_refused(shop: Shop) {
    part_refused(&shop, "first: 0", "first").await;
}

// rule L1
async fn a_page_of_101_is_refused(shop: Shop) {
    part_refused(&shop, "last: 101", "last").await;
}

// rule L1
async fn a_negative_page_size_is_refused(shop: Shop) {
    part_refused(&shop, "first: -1", "first").await;
}

async fn page_zero_is_refused(shop: Shop) {
    part_refused(&shop, "page: 0", "page").await;
}

async fn first_with_last_is_refused(shop: Shop) {
    part_refused(&shop, "first: 1, last: 1", "last").await;
}

async fn an_attempt_without_id_and_session_is_refused(shop: Shop) {
    let answer = writing_nothing(&shop, async || shop.user("ada").asks("{ paymentAttempt { id } }", json!({})).await);

    assert_eq!(outcome(&answer.await), "INVALID_INPUT");
}
