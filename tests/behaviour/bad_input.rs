//! Bad orders and reports: each kind of mistake is refused by name, and nothing is written.

use serde_json::{Value, json};

use crate::support::{Shop, code, outcome, tea, writing_nothing};

on_each_database![
    more_decimal_places_than_euros_have_are_refused,
    more_decimal_places_than_yen_have_are_refused,
    more_decimal_places_than_dinars_have_are_refused,
    an_unknown_currency_is_refused,
    a_text_that_is_no_amount_is_refused,
    a_negative_price_is_refused,
    a_negative_quantity_is_refused,
    a_quantity_of_zero_is_refused,
    a_quantity_above_a_million_is_refused,
    a_cart_without_lines_is_refused,
    a_cart_of_501_lines_is_refused,
    a_total_that_overflows_is_refused,
    an_amount_that_overflows_is_refused,
    a_discount_above_the_rest_is_refused,
    five_mistakes_are_told_at_once,
    every_kind_of_mistake_is_told_at_once,
    an_owner_without_an_id_is_refused,
    an_owner_with_an_oversized_id_is_refused,
    an_empty_idempotency_key_is_refused,
    an_oversized_idempotency_key_is_refused,
    too_much_metadata_is_refused,
    an_amount_as_a_json_number_is_refused,
    a_missing_variable_is_refused,
    a_foreign_owners_order_is_not_attempted,
    a_reported_status_of_our_own_is_refused,
    a_reported_amount_of_too_many_places_is_refused,
];

/// `createOrder` with this input refuses this field, in words that contain these.
async fn order_refused(shop: &Shop, input: Value, path: &[&str], words: &str) {
    let payload =
        writing_nothing(shop, async || shop.checkout().does("createOrder", input, "order { id }").await).await;
    let field = &payload["problem"]["fields"][0];
    assert_eq!(json!([payload["order"], code(&payload), field["path"]]), json!([null, "INVALID_INPUT", path]));
    let message = field["message"].as_str().unwrap_or_default();
    assert!(message.contains(words), "{message}");
}

fn order_of(cart: Value) -> Value {
    json!({ "owner": { "kind": "USER", "id": "ada" }, "cart": cart, "idempotencyKey": "k" })
}

fn cart_of(currency: &str, quantity: i64, price: &str) -> Value {
    let line = json!({ "sku": "TEA", "name": "Tea", "quantity": quantity, "unitPrice": price });
    json!({ "currency": currency, "lines": [line] })
}

async fn price_refused(shop: &Shop, currency: &str, price: &str, words: &str) {
    order_refused(shop, order_of(cart_of(currency, 1, price)), &["cart", "lines", "0", "unitPrice"], words).await;
}

async fn quantity_refused(shop: &Shop, quantity: i64) {
    let input = order_of(cart_of("EUR", quantity, "1.00"));
    order_refused(shop, input, &["cart", "lines", "0", "quantity"], "1 to 1000000 are allowed").await;
}

// rule M2
async fn more_decimal_places_than_euros_have_are_refused(shop: Shop) {
    price_refused(&shop, "EUR", "10.005", "EUR has 2").await;
}

// rule M2
async fn more_decimal_places_than_yen_have_are_refused(shop: Shop) {
    price_refused(&shop, "JPY", "10.5", "JPY has 0").await;
}

// rule M2
async fn more_decimal_places_than_dinars_have_are_refused(shop: Shop) {
    price_refused(&shop, "KWD", "1.0005", "KWD has 3").await;
}

async fn an_unknown_currency_is_refused(shop: Shop) {
    order_refused(&shop, order_of(cart_of("EURO", 1, "1")), &["cart", "currency"], "is not a currency").await;
}

async fn a_text_that_is_no_amount_is_refused(shop: Shop) {
    price_refused(&shop, "EUR", "ten", "").await;
}

// rule O3
async fn a_negative_price_is_refused(shop: Shop) {
    price_refused(&shop, "EUR", "-1.00", "must not be negative").await;
}

// rule O3
async fn a_negative_quantity_is_refused(shop: Shop) {
    quantity_refused(&shop, -1).await;
}

// rule O3
async fn a_quantity_of_zero_is_refused(shop: Shop) {
    quantity_refused(&shop, 0).await;
}

// rule O3
async fn a_quantity_above_a_million_is_refused(shop: Shop) {
    quantity_refused(&shop, 1_000_001).await;
}

async fn lines_refused(shop: &Shop, count: usize) {
    let mut cart = tea();
    cart["lines"] = vec![tea()["lines"][0].clone(); count].into();
    order_refused(shop, order_of(cart), &["cart", "lines"], "1 to 500 are allowed").await;
}

// rule O3
async fn a_cart_without_lines_is_refused(shop: Shop) {
    lines_refused(&shop, 0).await;
}

// rule O3
async fn a_cart_of_501_lines_is_refused(shop: Shop) {
    lines_refused(&shop, 501).await;
}

// rule M4
async fn a_total_that_overflows_is_refused(shop: Shop) {
    let input = order_of(cart_of("EUR", 1_000_000, "92233720368547758.07"));
    order_refused(&shop, input, &["cart", "total"], "is too large").await;
}

// rule M4
async fn an_amount_that_overflows_is_refused(shop: Shop) {
    price_refused(&shop, "EUR", "92233720368547758.08", "is too large").await;
}

// rule O3
async fn a_discount_above_the_rest_is_refused(shop: Shop) {
    let mut cart = tea();
    cart["discountTotal"] = "29.91".into();
    order_refused(&shop, order_of(cart), &["cart", "total"], "must not be negative").await;
}

async fn five_mistakes_are_told_at_once(shop: Shop) {
    let line = json!({ "sku": "", "name": "", "quantity": 0, "unitPrice": "-1" });
    let cart = json!({ "currency": "EUR", "lines": [line] });
    let input = json!({ "owner": { "kind": "USER", "id": "" }, "cart": cart, "idempotencyKey": "k" });

    let payload =
        writing_nothing(&shop, async || shop.checkout().does("createOrder", input, "order { id }").await).await;

    let fields = payload["problem"]["fields"].as_array().unwrap();
    let paths: Vec<String> = fields.iter().map(|field| field["path"].to_string()).collect();
    let line = |field: &str| format!(r#"["cart","lines","0","{field}"]"#);
    let expected = [r#"["owner","id"]"#.into(), line("sku"), line("name"), line("quantity"), line("unitPrice")];
    assert_eq!(paths, expected);
}

async fn owner_refused(shop: &Shop, id: &str) {
    let input = json!({ "owner": { "kind": "USER", "id": id }, "cart": tea(), "idempotencyKey": "k" });
    order_refused(shop, input, &["owner", "id"], "1 to 255 are allowed").await;
}

// rule O1
async fn an_owner_without_an_id_is_refused(shop: Shop) {
    owner_refused(&shop, "").await;
}

// rule O1
async fn an_owner_with_an_oversized_id_is_refused(shop: Shop) {
    owner_refused(&shop, &"é".repeat(256)).await;
}

async fn key_refused(shop: &Shop, key: &str) {
    let input = json!({ "owner": { "kind": "USER", "id": "ada" }, "cart": tea(), "idempotencyKey": key });
    order_refused(shop, input, &["idempotencyKey"], "1 to 255 are allowed").await;
}

// rule I1
async fn an_empty_idempotency_key_is_refused(shop: Shop) {
    key_refused(&shop, "").await;
}

// rule I1
async fn an_oversized_idempotency_key_is_refused(shop: Shop) {
    key_refused(&shop, &"k".repeat(256)).await;
}

async fn too_much_metadata_is_refused(shop: Shop) {
    let mut input = order_of(tea());
    let pairs: serde_json::Map<String, Value> = (0..51).map(|n| (format!("k{n}"), "".into())).collect();
    input["metadata"] = pairs.into();
    order_refused(&shop, input, &["metadata"], "at most 50").await;
}

// rule M2
async fn an_amount_as_a_json_number_is_refused(shop: Shop) {
    let mut input = order_of(tea());
    input["cart"]["lines"][0]["unitPrice"] = json!(12.5);
    order_refused(&shop, input, &["cart", "lines", "0", "unitPrice"], "string").await;
}

async fn a_missing_variable_is_refused(shop: Shop) {
    let document = "mutation($input: CreateOrderInput!) { createOrder(input: $input) { order { id } } }";

    let answer = writing_nothing(&shop, async || shop.checkout().asks(document, json!({})).await).await;

    assert_eq!(outcome(&answer), "BAD_REQUEST");
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("$input"), "{answer}");
}

// rules A2, A5
async fn a_foreign_owners_order_is_not_attempted(shop: Shop) {
    let order = shop.adas_order().await;

    let payload = writing_nothing(&shop, async || shop.user("bob").tries_to_pay(&order, json!({})).await).await;

    assert_eq!(json!([code(&payload), payload["attempt"]]), json!(["ORDER_NOT_FOUND", null]));
}

/// A report of the checkout's is refused for this field.
async fn report_refused(shop: &Shop, status: &str, amount: &str, field: &str) {
    let payload = writing_nothing(shop, async || shop.checkout().reports("sbx_1", status, amount).await).await;
    assert_eq!(json!([code(&payload), payload["problem"]["fields"][0]["path"]]), json!(["INVALID_INPUT", [field]]));
}

// rule T3
async fn a_reported_status_of_our_own_is_refused(shop: Shop) {
    report_refused(&shop, "CONFLICTED", "29.90", "status").await;
}

// rule M2
async fn a_reported_amount_of_too_many_places_is_refused(shop: Shop) {
    report_refused(&shop, "SUCCEEDED", "29.905", "totalAmount").await;
}

async fn every_kind_of_mistake_is_told_at_once(shop: Shop) {
    let line = json!({ "sku": "", "name": "Tea", "quantity": 0, "unitPrice": "1,50", "attributes": { "x.y": 1 } });
    let cart = json!({ "externalId": "", "currency": "eur", "lines": [line], "discountTotal": "-1" });
    let mut input = order_of(cart);
    input["owner"]["id"] = json!("");
    input["metadata"] = json!({ "": "x" });
    input["idempotencyKey"] = json!("");
    let told = async |input: Value| {
        let payload = shop.checkout().does("createOrder", input, "order { id }").await;
        let fields = payload["problem"]["fields"].as_array().cloned().unwrap_or_default();
        let path = |field: &Value| {
            field["path"].as_array().unwrap().iter().filter_map(Value::as_str).collect::<Vec<_>>().join("/")
        };
        fields.iter().map(path).collect::<Vec<String>>()
    };
    let wrong_anyway = [
        "owner/id",
        "cart/lines/0/attributes/x.y",
        "cart/externalId",
        "cart/lines/0/sku",
        "cart/lines/0/quantity",
        "metadata//key",
        "idempotencyKey",
    ];

    let without_currency = told(input.clone()).await;
    input["cart"]["currency"] = json!("EUR");
    let with_currency = told(input).await;

    let sorted = |mut paths: Vec<String>| {
        paths.sort();
        paths
    };
    let and = |more: &[&str]| sorted(wrong_anyway.iter().chain(more).map(ToString::to_string).collect());
    assert_eq!(sorted(without_currency), and(&["cart/currency"]));
    assert_eq!(sorted(with_currency), and(&["cart/lines/0/unitPrice", "cart/discountTotal"]));
}
