//! The protocol graphql-transport-ws on `/graphql`: what may be said when, who is let in, and how a connection ends.

use std::time::Duration;

use serde_json::json;

use crate::support::{Engine, Heard, Shop, Socket, eventually, mall::Mall, run, say, tea, with};

on_each_database![
    a_client_says_who_it_is_before_it_subscribes,
    a_client_says_who_it_is_once,
    an_id_belongs_to_one_subscription_at_a_time,
    what_is_no_message_ends_the_connection,
    a_message_that_is_too_long_ends_the_connection,
    a_client_without_a_token_is_turned_away,
    a_client_with_a_bad_token_is_turned_away,
    a_token_in_the_header_is_as_good,
    another_protocol_is_not_spoken,
    queries_and_mutations_do_not_run_on_a_socket,
    a_subscription_has_one_field,
    a_subscription_does_not_run_over_post,
    a_subscription_that_its_client_ended_tells_nothing_more,
    a_connection_has_room_for_so_many_subscriptions,
    whoever_is_told_too_much_at_once_is_cut_off_and_others_go_on,
];

const WATCH: &str = "subscription($id: ID!) { orderUpdated(orderId: $id) { id status } }";

async fn a_client_says_who_it_is_before_it_subscribes(shop: Shop) {
    let mut socket = shop.opens_socket().await;

    socket.subscribes("1", WATCH, json!({ "id": "ord_1" })).await;

    assert_eq!(socket.closes().await, 4401);
}

async fn a_client_says_who_it_is_once(shop: Shop) {
    let ada = shop.user("ada");
    let mut socket = ada.listens().await;

    socket.says(&ada.introduction()).await;

    assert_eq!(socket.closes().await, 4429);
}

async fn an_id_belongs_to_one_subscription_at_a_time(shop: Shop) {
    let order = shop.adas_order().await;
    let mut socket = shop.user("ada").watches_order(&order, "status").await;
    socket.event().await;

    socket.subscribes("1", WATCH, json!({ "id": order })).await;

    assert_eq!(socket.hears().await, Heard::Closed(4409, "Subscriber for 1 already exists".into()));
}

async fn what_is_no_message_ends_the_connection(shop: Shop) {
    let strange = [
        "hello",
        "[]",
        r#"{"type":"start","id":"1","payload":{"query":"{ viewer { id } }"}}"#,
        r#"{"type":"subscribe","id":"1"}"#,
    ];
    for text in strange {
        let mut socket = shop.user("ada").listens().await;

        socket.says_text(text.to_owned()).await;

        assert_eq!(socket.closes().await, 4400, "{text}");
    }
}

async fn a_message_that_is_too_long_ends_the_connection(shop: Shop) {
    let ping = |length: usize| json!({ "type": "ping", "payload": { "padding": "x".repeat(length) } });
    let mut socket = shop.user("ada").listens().await;
    socket.says(&ping(65 * 1024)).await;
    assert_eq!(socket.closes().await, 1009);

    let mut socket = shop.user("ada").listens().await;
    socket.says(&ping(1024 * 1024)).await;
    // What is not even taken in may take the last words along.
    assert!(matches!(socket.hears().await, Heard::Closed(1009, _) | Heard::Lost));
}

// rule A1
async fn a_client_without_a_token_is_turned_away(shop: Shop) {
    for payload in [json!(null), json!({}), json!({ "Authorization": "" }), json!({ "Authorization": 1 })] {
        let mut socket = shop.opens_socket().await;

        socket.says(&json!({ "type": "connection_init", "payload": payload })).await;

        assert_eq!(socket.hears().await, Heard::Closed(4401, "Send a token: `Authorization: Bearer …`.".into()));
    }
}

// rule A1
async fn a_client_with_a_bad_token_is_turned_away(shop: Shop) {
    let mut socket = shop.opens_socket().await;
    socket.says(&json!({ "type": "connection_init", "payload": { "authorization": "Bearer let-me-in" } })).await;

    let in_header = shop.opens_socket_with(Some("let-me-in"), None).await;

    assert_eq!(socket.closes().await, 4403);
    assert!(in_header.is_err_and(|refused| refused.contains("401")));
}

async fn a_token_in_the_header_is_as_good(shop: Shop) {
    let order = shop.adas_order().await;
    let ada = shop.user("ada");
    let mut socket = shop.opens_socket_with(Some(ada.token()), None).await.unwrap();
    socket.says(&json!({ "type": "connection_init" })).await;
    assert_eq!(socket.hears().await, Heard::Message(json!({ "type": "connection_ack" })));

    socket.subscribes("1", WATCH, json!({ "id": order })).await;

    assert_eq!(socket.event().await["id"], order.as_str());
}

async fn another_protocol_is_not_spoken(shop: Shop) {
    let request =
        shop.client().get(shop.url("/graphql")).header("connection", "upgrade").header("upgrade", "websocket");
    let request = request.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");

    let answer = request.header("sec-websocket-protocol", "graphql-ws").send().await.unwrap();

    assert_eq!(answer.status(), 400);
}

// a mutation has to run to its end
async fn queries_and_mutations_do_not_run_on_a_socket(shop: Shop) {
    let order = shop.adas_order().await;
    let mut socket = shop.checkout().listens().await;
    let before = shop.rows().await;

    let mut told = vec![];
    for document in [
        "query($id: ID!) { order(id: $id) { id } }",
        "mutation($id: ID!) { cancelOrder(input: { orderId: $id }) { order { id } } }",
        "{ __schema { types { name } } }",
        "subscription { ",
    ] {
        socket.subscribes("1", document, json!({ "id": order })).await;
        told.push(socket.ends().await);
    }

    assert_eq!((told, shop.rows().await), (vec!["BAD_REQUEST".to_owned(); 4], before));
}

// the executor would open several, and none that is in a fragment
async fn a_subscription_has_one_field(shop: Shop) {
    let order = shop.adas_order().await;
    let mut socket = shop.user("ada").listens().await;

    let mut told = vec![];
    for document in [
        "subscription($id: ID!) { a: orderUpdated(orderId: $id) { id } b: orderUpdated(orderId: $id) { id } }",
        "subscription($id: ID!) { ... on Subscription { orderUpdated(orderId: $id) { id } } }",
        "subscription($id: ID!) { orderChanged(orderId: $id) { id } }",
    ] {
        socket.subscribes("1", document, json!({ "id": order })).await;
        told.push(socket.ends().await);
    }

    assert_eq!(told, ["BAD_REQUEST"; 3]);
}

async fn a_subscription_does_not_run_over_post(shop: Shop) {
    let order = shop.adas_order().await;

    let answer = shop.user("ada").asks(WATCH, json!({ "id": order })).await;

    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST");
}

async fn a_subscription_that_its_client_ended_tells_nothing_more(shop: Shop) {
    let order = shop.adas_order().await;
    let mut socket = shop.user("ada").watches_order(&order, "status").await;
    let mut other = shop.user("ada").watches_order(&order, "status").await;
    socket.event().await;
    other.event().await;

    socket.says(&json!({ "type": "complete", "id": "1" })).await;
    socket.heard_all().await;
    shop.checkout().cancels(&order).await;

    assert_eq!(other.event().await["status"], "CANCELLED");
    socket.heard_all().await;
    socket.subscribes("1", WATCH, json!({ "id": order })).await;
    assert_eq!(socket.event().await["status"], "CANCELLED");
}

async fn a_connection_has_room_for_so_many_subscriptions(shop: Shop) {
    let order = shop.adas_order().await;
    let mut socket = shop.user("ada").listens().await;
    for id in 1..=100 {
        socket.subscribes(&format!("s{id}"), WATCH, json!({ "id": order })).await;
    }
    for _ in 1..=100 {
        assert!(
            matches!(socket.hears().await, Heard::Message(told) if told["payload"]["data"]["orderUpdated"].is_object())
        );
    }

    socket.subscribes("1", WATCH, json!({ "id": order })).await;
    let refused = socket.ends().await;
    socket.says(&json!({ "type": "complete", "id": "s1" })).await;
    socket.subscribes("1", WATCH, json!({ "id": order })).await;

    assert_eq!(refused, "BAD_REQUEST");
    assert_eq!(socket.event().await["id"], order.as_str());
}

async fn whoever_is_told_too_much_at_once_is_cut_off_and_others_go_on(shop: Shop) {
    let [busy, other] = [shop.adas_order().await, shop.adas_order().await];
    let mut cut_off = shop.user("ada").watches_order(&busy, "id").await;
    let mut goes_on = shop.user("ada").watches_order(&other, "status").await;
    cut_off.event().await;
    goes_on.event().await;

    let id = shop.database().await.id_of(&busy);
    let thousand = format!(
        "WITH RECURSIVE n (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < 999)
        INSERT INTO outbox (topic, order_id, subject_id, created_at)
        SELECT 'ORDER', id, id, created_at FROM orders, n WHERE id = {id}"
    );
    shop.database().await.run(&thousand).await;

    // It may have begun with some of them before.
    let code = loop {
        let payload = cut_off.payload().await;
        if let Some(code) = payload["errors"][0]["extensions"]["code"].as_str() {
            break code.to_owned();
        }
    };
    assert_eq!(code, "TOO_SLOW");
    shop.checkout().cancels(&other).await;
    assert_eq!(goes_on.event().await["status"], "CANCELLED");
}

/// An order that takes long to read: 500 lines.
async fn long_order(shop: &Shop) -> String {
    let line = |sku: usize| json!({ "sku": format!("SKU-{sku}"), "name": "x".repeat(200), "quantity": 1, "unitPrice": "1.00" });
    let cart = with(tea(), json!({ "lines": (0..500).map(line).collect::<Vec<_>>() }));
    shop.checkout().creates_order_of(&shop.user("ada"), cart).await
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_others_go_on() {
    run(Engine::Sqlite, async |shop| {
        let mall = Mall::<1>::open(&shop).await;
        let [shop] = &mall.shops;
        let order = long_order(shop).await;
        let ada = shop.user("ada");
        let mut slow = shop.opens_socket_with(None, Some(4096)).await.unwrap();
        slow.says(&ada.introduction()).await;
        slow.hears().await;
        slow.subscribes(
            "1",
            "subscription($id: ID!) { orderUpdated(orderId: $id) { cart { lines { sku name } } } }",
            json!({ "id": order }),
        )
        .await;
        let mut quick = ada.watches_order(&order, "version").await;
        quick.event().await;

        let is_cut_off = || mall.servers[0].log().contains("a client that does not read was cut off");
        let mut rounds = 0;
        while !is_cut_off() && rounds < 20 {
            shop.database().await.changes(&order, 50).await;
            for _ in 0..50 {
                quick.event().await;
            }
            rounds += 1;
        }

        eventually("it is cut off", async || is_cut_off().then_some(())).await;
        quick.heard_all().await;
        while let Heard::Message(message) = slow.hears().await {
            assert_eq!(message["type"], "next");
        }
    });
}

#[test]
fn a_client_that_says_nothing_is_turned_away() {
    run(Engine::Sqlite, async |shop| {
        let mut socket = shop.opens_socket().await;

        assert_eq!(socket.closes().await, 4408);
    });
}

#[test]
fn a_server_that_is_told_to_end_ends_its_subscriptions() {
    run(Engine::Sqlite, async |shop| {
        let Mall { sandbox, servers: [server], shops: [shop] } = Mall::open(&shop).await;
        let order = shop.adas_order().await;
        let mut socket = shop.user("ada").watches_order(&order, "status").await;
        socket.event().await;

        let ending = tokio::task::spawn_blocking(|| server.ends_by_sigterm());

        assert_eq!(socket.hears().await, Heard::Closed(1001, "The server stops.".into()));
        let ended = tokio::time::timeout(Duration::from_secs(15), ending).await.expect("it waits for nobody").unwrap();
        assert_eq!(ended.code(), Some(0));
        drop(sandbox);
    });
}

/// Two subscriptions on each of so many connections, each on one of these orders.
async fn watchers(shop: &Shop, orders: &[String], connections: usize) -> Vec<Socket> {
    let ada = shop.user("ada");
    let mut sockets = vec![];
    for at in 0..connections {
        let mut socket = ada.listens().await;
        for id in ["1", "2"] {
            socket.subscribes(id, WATCH, json!({ "id": orders[at % orders.len()] })).await;
        }
        sockets.push(socket);
    }
    sockets
}

/// Each of them hears of this status twice.
async fn all_hear(sockets: &mut [Socket], status: &str) {
    for socket in sockets {
        for _ in 0..2 {
            let Heard::Message(told) = socket.hears().await else { panic!("a connection ended") };
            assert_eq!(told["payload"]["data"]["orderUpdated"]["status"], status, "{told}");
        }
    }
}

async fn a_thousand(shop: Shop) {
    let mall = Mall::<1>::open(&shop).await;
    let [shop] = &mall.shops;
    let mut orders = vec![];
    for _ in 0..50 {
        orders.push(shop.adas_order().await);
    }
    let before = mall.servers[0].memory();

    let mut sockets = watchers(shop, &orders, 500).await;
    all_hear(&mut sockets, "AWAITING_PAYMENT").await;
    let open = mall.servers[0].memory();
    for order in &orders {
        shop.checkout().cancels(order).await;
    }
    all_hear(&mut sockets, "CANCELLED").await;
    let told = mall.servers[0].memory();
    drop(sockets);

    say(&format!(
        "1000 subscriptions on 500 connections, {:?}: {before} kB before, {open} kB open, {told} kB once all were told",
        shop.engine()
    ));
    assert!(told - before < 100 * 1024, "{before} kB became {told} kB");
    assert_eq!(mall.servers[0].errors(), [""; 0]);
}

#[test]
fn a_thousand_subscriptions_are_told_in_bounded_memory_on_sqlite() {
    run(Engine::Sqlite, a_thousand);
}

#[test]
fn a_thousand_subscriptions_are_told_in_bounded_memory_on_postgres() {
    run(Engine::Postgres, a_thousand);
}
