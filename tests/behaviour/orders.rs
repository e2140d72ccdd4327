//! Orders come to be: for users and guests, at the prices of trusted services, once for each idempotency key.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Shop, code, outcome, tea};

on_each_database![
    an_order_for_a_user_awaits_payment,
    an_order_can_belong_to_a_guest,
    the_total_is_the_lines_less_the_discount_plus_shipping_and_tax,
    amounts_have_the_places_of_their_currency,
    minor_units_are_whole_numbers_of_the_smallest_unit,
    equal_carts_have_equal_digests,
    another_price_makes_another_digest,
    metadata_is_kept_for_the_caller,
    the_same_key_gives_the_same_order,
    a_key_is_not_good_for_another_order,
    a_key_is_remembered_for_three_days,
    another_callers_key_is_another_key,
    a_refused_request_uses_up_no_key,
    twenty_requests_with_one_key_make_one_order,
    an_unpaid_order_is_there_to_be_paid,
    a_paid_order_is_not_there_to_be_paid,
    a_cancelled_order_is_not_there_to_be_paid,
];

// rules O1, O5, S7
async fn an_order_for_a_user_awaits_payment(shop: Shop) {
    let payload = shop.checkout().orders(&shop.user("ada"), tea()).await;

    let order = &payload["order"];
    let shown = json!({
        "owner": order["owner"],
        "status": order["status"],
        "version": order["version"],
        "total": order["total"],
        "amountDue": order["amountDue"],
        "snapshot": order["snapshot"],
        "payments": order["payments"],
        "paymentAttempts": order["paymentAttempts"],
    });
    insta::allow_duplicates! {
        insta::assert_snapshot!(serde_json::to_string_pretty(&shown).unwrap(), @r#"
        {
          "amountDue": {
            "amount": "29.90",
            "currency": "EUR"
          },
          "owner": {
            "id": "ada",
            "kind": "USER"
          },
          "paymentAttempts": [],
          "payments": [],
          "snapshot": null,
          "status": "AWAITING_PAYMENT",
          "total": {
            "amount": "29.90",
            "currency": "EUR"
          },
          "version": 1
        }
        "#);
    }
}

// rule O1
async fn an_order_can_belong_to_a_guest(shop: Shop) {
    let guest = shop.guest("g-1");

    let order = shop.checkout().creates_order_for(&guest).await;

    assert_eq!(guest.looks_at(&order).await["owner"], json!({ "kind": "ANONYMOUS", "id": "g-1" }));
}

// rule O3
async fn the_total_is_the_lines_less_the_discount_plus_shipping_and_tax(shop: Shop) {
    let cart = json!({
        "currency": "EUR",
        "lines": [
            { "sku": "TEA", "name": "Tea", "quantity": 3, "unitPrice": "4.50" },
            { "sku": "CUP", "name": "Cup", "quantity": 1, "unitPrice": "14.40" },
        ],
        "discountTotal": "2.00", "shippingTotal": "4.90", "taxTotal": "1.05",
    });
    let order = shop.checkout().creates_order_of(&shop.user("ada"), cart).await;

    let document = "query($id: ID!) { order(id: $id) { cart {
        lines { lineTotal { amount } } subtotal { amount } discountTotal { amount } shippingTotal { amount } taxTotal { amount }
        total { amount } } } }";
    let seen = shop.user("ada").sees(document, json!({ "id": order })).await;

    let expected = json!({
        "lines": [{ "lineTotal": { "amount": "13.50" } }, { "lineTotal": { "amount": "14.40" } }],
        "subtotal": { "amount": "27.90" },
        "discountTotal": { "amount": "2.00" },
        "shippingTotal": { "amount": "4.90" },
        "taxTotal": { "amount": "1.05" },
        "total": { "amount": "31.85" },
    });
    assert_eq!(seen["order"]["cart"], expected);
}

// rule M2
async fn amounts_have_the_places_of_their_currency(shop: Shop) {
    let mut shown = vec![];
    for (currency, price) in [("EUR", "1.5"), ("JPY", "1250"), ("KWD", "1"), ("EUR", "0")] {
        let line = json!({ "sku": "TEA", "name": "Tea", "quantity": 1, "unitPrice": price });
        let payload = shop.checkout().orders(&shop.user("ada"), json!({ "currency": currency, "lines": [line] })).await;
        shown.push(payload["order"]["total"]["amount"].clone());
    }

    assert_eq!(shown, ["1.50", "1250", "1.000", "0.00"]);
}

// rule M1
async fn minor_units_are_whole_numbers_of_the_smallest_unit(shop: Shop) {
    let order = shop.adas_order().await;

    let document = "query($id: ID!) { order(id: $id) { total { minorUnits } } }";
    let seen = shop.user("ada").sees(document, json!({ "id": order })).await;

    assert_eq!(seen["order"]["total"]["minorUnits"], "2990");
}

async fn digest_of(shop: &Shop, cart: Value) -> Value {
    shop.checkout().orders(&shop.user("ada"), cart).await["order"]["cart"]["digest"].take()
}

// rule O4
async fn equal_carts_have_equal_digests(shop: Shop) {
    let first = digest_of(&shop, tea()).await;
    let again = digest_of(&shop, tea()).await;

    assert_eq!((first.as_str().map(str::len), &first), (Some(64), &again));
}

// rule O4
async fn another_price_makes_another_digest(shop: Shop) {
    let mut dearer = tea();
    dearer["lines"][0]["unitPrice"] = "12.51".into();

    assert_ne!(digest_of(&shop, tea()).await, digest_of(&shop, dearer).await);
}

async fn metadata_is_kept_for_the_caller(shop: Shop) {
    let metadata = json!({ "channel": "app", "größe": "" });
    let owner = shop.user("ada").as_owner();
    let input = json!({ "owner": owner, "cart": tea(), "metadata": metadata, "idempotencyKey": shop.fresh_key() });

    let payload = shop.checkout().does("createOrder", input, "order { metadata }").await;

    assert_eq!(payload["order"]["metadata"], metadata);
}

fn order_under(key: &str, owner: &str) -> Value {
    json!({ "owner": { "kind": "USER", "id": owner }, "cart": tea(), "idempotencyKey": key })
}

// rule I2
async fn the_same_key_gives_the_same_order(shop: Shop) {
    let first = shop.checkout().does("createOrder", order_under("k", "ada"), "order { id }").await;

    let again = shop.checkout().does("createOrder", order_under("k", "ada"), "order { id }").await;

    assert_eq!((again, shop.count("orders").await), (first, 1));
}

// rule I2
async fn a_key_is_not_good_for_another_order(shop: Shop) {
    shop.checkout().does("createOrder", order_under("k", "ada"), "order { id }").await;

    let other = shop.checkout().does("createOrder", order_under("k", "bob"), "order { id }").await;

    assert_eq!((code(&other), shop.count("orders").await), (&json!("IDEMPOTENCY_KEY_REUSED"), 1));
}

// rule I1
async fn a_key_is_remembered_for_three_days(shop: Shop) {
    let first = shop.checkout().does("createOrder", order_under("k", "ada"), "order { id }").await;
    shop.moves_time_by(chrono::Duration::hours(72));

    let again = shop.checkout().does("createOrder", order_under("k", "ada"), "order { id }").await;

    assert_eq!(again, first);
}

// rule I1
async fn another_callers_key_is_another_key(shop: Shop) {
    let first = shop.checkout().does("createOrder", order_under("k", "ada"), "order { id }").await;

    let other = shop.service(&["orders:write"]).does("createOrder", order_under("k", "ada"), "order { id }").await;

    assert_ne!(first["order"]["id"], other["order"]["id"]);
}

// rule I2
async fn a_refused_request_uses_up_no_key(shop: Shop) {
    let mut wrong = order_under("k", "ada");
    wrong["cart"]["lines"] = json!([]);
    let refused = shop.checkout().tries("createOrder", wrong, "order { id }").await;
    assert_eq!(outcome(&refused), "INVALID_INPUT");

    let right = shop.checkout().tries("createOrder", order_under("k", "ada"), "order { id }").await;

    assert_eq!(outcome(&right), "ok");
}

// rule I1
async fn twenty_requests_with_one_key_make_one_order(shop: Shop) {
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        let checkout = shop.checkout();
        requests.spawn(async move { checkout.does("createOrder", order_under("k", "ada"), "order { id }").await });
    }

    let mut answers = requests.join_all().await;

    answers.dedup();
    assert_eq!((answers.len(), code(&answers[0]), shop.count("orders").await), (1, &Value::Null, 1));
}

async fn ready_to_pay(shop: &Shop, order: &str) -> Value {
    let document = "query($id: ID!) { orderToPay(orderId: $id) { order { id } problem { code } } }";
    shop.user("ada").sees(document, json!({ "id": order })).await["orderToPay"].take()
}

async fn an_unpaid_order_is_there_to_be_paid(shop: Shop) {
    let order = shop.adas_order().await;

    assert_eq!(ready_to_pay(&shop, &order).await, json!({ "order": { "id": order }, "problem": null }));
}

async fn a_paid_order_is_not_there_to_be_paid(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    shop.shopper_pays(&attempt).await;

    let expected = json!({ "order": null, "problem": { "code": "ORDER_ALREADY_PAID" } });
    assert_eq!(ready_to_pay(&shop, &order).await, expected);
}

async fn a_cancelled_order_is_not_there_to_be_paid(shop: Shop) {
    let order = shop.adas_order().await;
    shop.checkout().cancels(&order).await;

    let expected = json!({ "order": null, "problem": { "code": "ORDER_CANCELLED" } });
    assert_eq!(ready_to_pay(&shop, &order).await, expected);
}
