//! Who may do what: shoppers what is theirs, services what their scopes say; and what a caller may not use is not shown to them.

use serde_json::{Value, json};

use crate::support::{Actor, Known, Shop, outcome, tea};

on_each_database![
    who_may_do_what,
    a_denied_mutation_changes_nothing,
    a_scope_in_a_shoppers_token_gives_nothing,
    a_viewer_is_told_who_they_are,
    a_shopper_sees_only_the_mutation_that_they_may_use,
    a_shopper_does_not_see_the_list_of_all_orders,
    a_checkout_sees_all_its_mutations,
];

const OPERATIONS: [&str; 15] = [
    "order",
    "node",
    "orderToPay",
    "payment",
    "paymentAttempt",
    "userOrders",
    "viewer",
    "orders",
    "createOrder",
    "updateOrderCart",
    "cancelOrder",
    "claimAnonymousOrders",
    "attemptToPayForOrder",
    "updateAttemptToPay",
    "processOrderToPaid",
];

/// What becomes of an operation on what ada owns. What could be in each other's way gets an order of its own.
async fn attempted(actor: &Actor, known: &Known, operation: &str) -> String {
    let shop = &actor.shop;
    let fresh = async || shop.adas_order().await;
    let answer = match operation {
        "order" => actor.asks("query($id: ID!) { order(id: $id) { id } }", json!({ "id": known.order })).await,
        "node" => actor.asks("query($id: ID!) { node(id: $id) { id } }", json!({ "id": known.order })).await,
        "orderToPay" => {
            let document = "query($id: ID!) { orderToPay(orderId: $id) { order { id } problem { code } } }";
            actor.asks(document, json!({ "id": known.order })).await
        }
        "payment" => actor.asks("query($id: ID!) { payment(id: $id) { id } }", json!({ "id": known.payment })).await,
        "paymentAttempt" => {
            actor.asks("query($id: ID!) { paymentAttempt(id: $id) { id } }", json!({ "id": known.attempt })).await
        }
        "userOrders" => {
            let answer = actor.asks("{ userOrders(userId: \"ada\") { nodes { id } } }", json!({})).await;
            return some_or_none(&answer, "userOrders");
        }
        "viewer" => return outcome(&actor.asks("{ viewer { id } }", json!({})).await),
        "orders" => return some_or_none(&actor.asks("{ orders { nodes { id } } }", json!({})).await, "orders"),
        "createOrder" => {
            let owner = json!({ "kind": "USER", "id": "carl" });
            let input = json!({ "owner": owner, "cart": tea(), "idempotencyKey": shop.fresh_key() });
            actor.tries(operation, input, "order { id }").await
        }
        "updateOrderCart" => {
            actor.tries(operation, json!({ "orderId": fresh().await, "cart": tea() }), "order { id }").await
        }
        "cancelOrder" => actor.tries(operation, json!({ "orderId": fresh().await }), "order { id }").await,
        "claimAnonymousOrders" => {
            let input = json!({ "anonymousUserId": "g-1", "userId": "carl" });
            actor.tries(operation, input, "claimedCount").await
        }
        "attemptToPayForOrder" => {
            let input = json!({ "orderId": fresh().await, "idempotencyKey": shop.fresh_key() });
            actor.tries(operation, input, "attempt { id }").await
        }
        "updateAttemptToPay" => {
            let input = json!({
                "attemptExternalId": known.session, "status": "PENDING", "totalAmount": "29.90", "currency": "EUR",
            });
            actor.tries(operation, input, "alreadyProcessed").await
        }
        _ => actor.tries(operation, json!({ "orderId": known.order }), "order { id }").await,
    };
    outcome(&answer)
}

fn some_or_none(answer: &Value, list: &str) -> String {
    match answer["data"][list]["nodes"].as_array() {
        Some(nodes) => if nodes.is_empty() { "empty" } else { "ok" }.to_owned(),
        None => outcome(answer),
    }
}

// rules A2, A3, O2: this table is the policy
async fn who_may_do_what(shop: Shop) {
    let known = shop.known_to_ada().await;
    let actors = [
        ("ada", shop.user("ada")),
        ("bob", shop.user("bob")),
        ("guest", shop.guest("g-1")),
        ("reader", shop.service(&["orders:read"])),
        ("writer", shop.service(&["orders:write"])),
        ("payer", shop.service(&["attempts:write"])),
        ("other", shop.service(&["payments:refund", "unheard:of"])),
    ];

    let mut table = String::new();
    for operation in OPERATIONS {
        let mut row = format!("{operation:<21}");
        for (_, actor) in &actors {
            row += &format!("{:<18}", attempted(actor, &known, operation).await);
        }
        table += row.trim_end();
        table.push('\n');
    }

    let head: String = actors.iter().map(|(name, _)| format!("{name:<18}")).collect();
    insta::allow_duplicates! {
        insta::assert_snapshot!(format!("{:<21}{}\n{table}", "", head.trim_end()), @r"
                             ada               bob               guest             reader            writer            payer             other
        order                ok                nothing           nothing           ok                FORBIDDEN         FORBIDDEN         FORBIDDEN
        node                 ok                nothing           nothing           ok                FORBIDDEN         FORBIDDEN         FORBIDDEN
        orderToPay           ok                ORDER_NOT_FOUND   ORDER_NOT_FOUND   ok                FORBIDDEN         FORBIDDEN         FORBIDDEN
        payment              ok                nothing           nothing           ok                FORBIDDEN         FORBIDDEN         FORBIDDEN
        paymentAttempt       ok                nothing           nothing           ok                FORBIDDEN         FORBIDDEN         FORBIDDEN
        userOrders           ok                empty             empty             ok                FORBIDDEN         FORBIDDEN         FORBIDDEN
        viewer               ok                ok                ok                ok                ok                ok                ok
        orders               FORBIDDEN         FORBIDDEN         FORBIDDEN         ok                FORBIDDEN         FORBIDDEN         FORBIDDEN
        createOrder          FORBIDDEN         FORBIDDEN         FORBIDDEN         FORBIDDEN         ok                FORBIDDEN         FORBIDDEN
        updateOrderCart      FORBIDDEN         FORBIDDEN         FORBIDDEN         FORBIDDEN         ok                FORBIDDEN         FORBIDDEN
        cancelOrder          FORBIDDEN         FORBIDDEN         FORBIDDEN         FORBIDDEN         ok                FORBIDDEN         FORBIDDEN
        claimAnonymousOrders FORBIDDEN         FORBIDDEN         FORBIDDEN         FORBIDDEN         ok                FORBIDDEN         FORBIDDEN
        attemptToPayForOrder ok                ORDER_NOT_FOUND   ORDER_NOT_FOUND   FORBIDDEN         FORBIDDEN         ok                FORBIDDEN
        updateAttemptToPay   FORBIDDEN         FORBIDDEN         FORBIDDEN         FORBIDDEN         FORBIDDEN         ok                FORBIDDEN
        processOrderToPaid   FORBIDDEN         FORBIDDEN         FORBIDDEN         FORBIDDEN         ORDER_NOT_COVERED FORBIDDEN         FORBIDDEN
        ");
    }
}

// rule A5
async fn a_denied_mutation_changes_nothing(shop: Shop) {
    let known = shop.known_to_ada().await;
    let before = (shop.rows().await, shop.user("ada").looks_at(&known.order).await);
    let ada = shop.user("ada");

    let owner = ada.as_owner();
    let order = json!({ "orderId": known.order });
    let report = json!({
        "attemptExternalId": known.session, "status": "SUCCEEDED", "totalAmount": "29.90", "currency": "EUR",
    });
    let denied = [
        ada.tries("createOrder", json!({ "owner": owner, "cart": tea(), "idempotencyKey": "k" }), "order { id }").await,
        ada.tries("updateOrderCart", json!({ "orderId": known.order, "cart": tea() }), "order { id }").await,
        ada.tries("cancelOrder", order.clone(), "order { id }").await,
        ada.tries("claimAnonymousOrders", json!({ "anonymousUserId": "g", "userId": "ada" }), "claimedCount").await,
        ada.tries("updateAttemptToPay", report, "alreadyProcessed").await,
        ada.tries("processOrderToPaid", order, "order { id }").await,
    ];

    assert_eq!(denied.each_ref().map(outcome), ["FORBIDDEN"; 6]);
    assert_eq!((shop.rows().await, ada.looks_at(&known.order).await), before);
}

// rules A1, A3
async fn a_scope_in_a_shoppers_token_gives_nothing(shop: Shop) {
    let greedy = Actor::new(&shop, orderpay::auth::CallerKind::User, "bob", "orders:read orders:write");

    let seen = [
        attempted(&greedy, &shop.known_to_ada().await, "order").await,
        attempted(&greedy, &shop.known_to_ada().await, "createOrder").await,
    ];

    assert_eq!(seen, ["nothing", "FORBIDDEN"]);
}

async fn a_viewer_is_told_who_they_are(shop: Shop) {
    let viewer = "{ viewer { id kind scopes } }";
    let mut told = vec![];
    for actor in [shop.user("ada"), shop.guest("g-1"), shop.service(&["orders:write", "orders:read", "unheard:of"])] {
        told.push(actor.sees(viewer, json!({})).await["viewer"].take());
    }

    let expected = json!([
        { "id": "ada", "kind": "USER", "scopes": [] },
        { "id": "g-1", "kind": "ANONYMOUS", "scopes": [] },
        { "id": "back-office", "kind": "SERVICE", "scopes": ["orders:read", "orders:write"] },
    ]);
    assert_eq!(Value::from(told), expected);
}

/// The names of a type's fields, as a caller can introspect them.
async fn fields(actor: &Actor, of: &str) -> Vec<String> {
    let document = "query($name: String!) { __type(name: $name) { fields { name } } }";
    let seen = actor.sees(document, json!({ "name": of })).await;
    let fields = seen["__type"]["fields"].as_array().expect("fields");
    fields.iter().map(|field| field["name"].as_str().expect("a name").to_owned()).collect()
}

// rule A4
async fn a_shopper_sees_only_the_mutation_that_they_may_use(shop: Shop) {
    assert_eq!(fields(&shop.user("ada"), "Mutation").await, ["attemptToPayForOrder"]);
}

// rule A4
async fn a_shopper_does_not_see_the_list_of_all_orders(shop: Shop) {
    let seen = fields(&shop.guest("g-1"), "Query").await;

    assert!(seen.contains(&"order".to_owned()) && !seen.contains(&"orders".to_owned()), "{seen:?}");
}

// rule A4
async fn a_checkout_sees_all_its_mutations(shop: Shop) {
    let mut seen = fields(&shop.checkout(), "Mutation").await;
    seen.sort();

    let expected = [
        "attemptToPayForOrder",
        "cancelOrder",
        "claimAnonymousOrders",
        "createOrder",
        "processOrderToPaid",
        "updateAttemptToPay",
        "updateOrderCart",
    ];
    assert_eq!(seen, expected);
}
