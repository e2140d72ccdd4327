//! What a client is told of a failure inside (tests G16 and G17): a code, the request's id and a fixed sentence. Whoever asks next is served.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    Actor, Engine, Heard, Known, Payment, Shop, euros, is_discreet,
    mall::{serve, to_serve},
    outcome, outcome_of,
    process::Process,
    tea,
};

on_each_database![
    what_a_database_refuses_with_is_not_repeated,
    a_database_without_a_free_connection_is_told_of_in_fixed_words,
    a_provider_that_is_down_is_told_of_in_fixed_words,
    a_panic_in_a_mutation_harms_nobody_else,
    a_panic_after_the_provider_was_asked_moves_no_money_twice,
    a_panic_in_a_query_harms_nobody_else,
    a_panic_in_what_many_orders_are_loaded_by_harms_nobody_else,
    a_panic_in_a_subscription_ends_it_and_no_other,
];

async fn makes_an_order(shop: &Shop) -> Value {
    let owner = shop.user("ada").as_owner();
    let input = json!({ "owner": owner, "cart": tea(), "idempotencyKey": shop.fresh_key() });
    shop.checkout().tries("createOrder", input, "order { id }").await
}

async fn authorizes(actor: &Actor, payment: &Payment, key: &str) -> (u16, Value) {
    let document = "mutation($input: TransactionInput!) { authorizePayment(input: $input) {
        outcome { status amount { amount } failure { message } } problem { code message } } }";
    let input = json!({ "paymentId": payment.id, "amount": euros("29.90"), "idempotencyKey": key });
    let (status, body) = actor.sends(json!({ "query": document, "variables": { "input": input } }).to_string()).await;
    is_discreet(&body);
    (status, serde_json::from_str(&body).expect("JSON"))
}

/// The answer is the one that all failures inside have.
fn is_internal(answer: &Value) {
    is_discreet(&answer.to_string());
    let [error] = &answer["errors"].as_array().expect("errors")[..] else { panic!("{answer}") };
    assert_eq!(json!([error["message"], error["extensions"]["code"]]), json!(["Internal error.", "INTERNAL"]));
    assert!(error["extensions"]["requestId"].as_str().is_some_and(|id| id.len() > 8), "{answer}");
}

/// From now on, nothing is written into a table: the database says so in words that tell much.
async fn breaks(shop: &Shop, table: &str) {
    let words = format!("planted: {table} violates SELECT secret FROM /var/lib/orderpay at db::Row");
    let sql = match shop.engine() {
        Engine::Sqlite => {
            format!("CREATE TRIGGER planted BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, '{words}'); END")
        }
        Engine::Postgres => format!(
            "CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION '{words}' USING ERRCODE = 'check_violation'; END $$;
            CREATE TRIGGER planted BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION planted()"
        ),
    };
    shop.database().await.run(&sql).await;
}

async fn mends(shop: &Shop, table: &str) {
    let sql = match shop.engine() {
        Engine::Sqlite => "DROP TRIGGER planted".to_owned(),
        Engine::Postgres => format!("DROP TRIGGER planted ON {table}; DROP FUNCTION planted()"),
    };
    shop.database().await.run(&sql).await;
}

// G16
async fn what_a_database_refuses_with_is_not_repeated(shop: Shop) {
    let payment = shop.payment("tok_ok").await;

    breaks(&shop, "orders").await;
    is_internal(&makes_an_order(&shop).await);
    mends(&shop, "orders").await;
    assert_eq!(outcome(&makes_an_order(&shop).await), "ok");

    breaks(&shop, "payment_transaction").await;
    is_internal(&authorizes(&shop.checkout(), &payment, "k").await.1);
    mends(&shop, "payment_transaction").await;
    let again = authorizes(&shop.checkout(), &payment, "k").await.1;
    assert_eq!(outcome_of(&again["data"]["authorizePayment"]), "SUCCEEDED 29.90");
}

// G16
async fn a_database_without_a_free_connection_is_told_of_in_fixed_words(shop: Shop) {
    let busy = shop.second(&["--database-connections=5"]).await;
    let holder = shop.another_look().await;
    holder
        .run(match shop.engine() {
            Engine::Sqlite => "BEGIN IMMEDIATE",
            Engine::Postgres => "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE",
        })
        .await;
    let mut crowd = JoinSet::new();
    for _ in 0..12 {
        let busy = busy.clone();
        crowd.spawn(async move { makes_an_order(&busy).await });
    }
    for answer in crowd.join_all().await {
        is_discreet(&answer.to_string());
        assert_eq!(outcome(&answer), "UNAVAILABLE", "{answer}");
        assert!(answer["errors"][0]["extensions"]["requestId"].is_string(), "{answer}");
    }

    holder.run("ROLLBACK").await;

    assert_eq!(outcome(&makes_an_order(&busy).await), "ok");
    busy.stop().await;
}

// G16
async fn a_provider_that_is_down_is_told_of_in_fixed_words(shop: Shop) {
    let server = serve(shop.database_url(), "http://127.0.0.1:9");
    let lonely = shop.at(&server.url, "");
    let payment = shop.payment("tok_ok").await;
    let order = shop.adas_order().await;

    let (status, answer) = authorizes(&lonely.checkout(), &payment, "k").await;
    let attempt = lonely.user("ada").tries_to_pay(&order, json!({})).await;

    assert_eq!((status, outcome(&answer).as_str()), (200, "PROVIDER_UNAVAILABLE"), "{answer}");
    is_discreet(&attempt["problem"].to_string());
    assert_eq!(attempt["problem"]["code"], "PROVIDER_UNAVAILABLE");
    assert_eq!(outcome(&makes_an_order(&lonely).await), "ok");
}

/// A server on the shop's database that panics once it comes to this point.
fn panics_at(shop: &Shop, point: &str) -> Process {
    let mut command = to_serve(shop.database_url(), &shop.url("/sandbox"), &[]);
    command.env("ORDERPAY_PANIC_AT", point);
    Process::of(command)
}

/// Money is to be moved, and the server panics on the way: it is told, others are served, and under the same key it comes to its end, once.
async fn is_survived(shop: &Shop, point: &str) {
    let payment = shop.payment("tok_ok").await;
    let mut server = panics_at(shop, point);
    let there = shop.at(&server.url, &shop.url("/sandbox"));

    let (status, answer) = authorizes(&there.checkout(), &payment, "k").await;

    assert_eq!(status, 500, "{answer}");
    is_internal(&answer);
    assert!(server.log().contains("a request panicked"), "{}", server.log());
    assert!(server.ended().is_none());
    assert_eq!(outcome(&makes_an_order(&there).await), "ok");
    // What it held runs out by itself; any server takes the work up then.
    shop.moves_time_by(TimeDelta::minutes(2));
    shop.lets_lock_run_out(&payment).await;
    let again = authorizes(&shop.checkout(), &payment, "k").await.1;
    assert_eq!(outcome_of(&again["data"]["authorizePayment"]), "SUCCEEDED 29.90");
    assert_eq!(shop.back_office().sees_ledger(&payment).await, ["AUTHORIZE SUCCEEDED 29.90"]);
    assert!(shop.movements().await.len() <= 1);
}

// G17
async fn a_panic_in_a_mutation_harms_nobody_else(shop: Shop) {
    is_survived(&shop, "before run_transaction").await;
}

// G17
async fn a_panic_after_the_provider_was_asked_moves_no_money_twice(shop: Shop) {
    is_survived(&shop, "after run_transaction").await;
}

/// A query panics: it is told so, and the same query is answered after it.
async fn is_answered_after(shop: &Shop, point: &str, document: &str) {
    let Known { order, payment, .. } = shop.known_to_ada().await;
    let mut server = panics_at(shop, point);
    let there = shop.at(&server.url, &shop.url("/sandbox"));
    let ids = json!({ "order": order, "payment": payment });
    let request = json!({ "query": document, "variables": ids }).to_string();

    let (status, answer) = there.user("ada").sends(request).await;

    assert_eq!(status, 500, "{answer}");
    is_internal(&serde_json::from_str(&answer).expect("JSON"));
    assert!(server.log().contains("a request panicked"), "{}", server.log());
    let seen = there.user("ada").sees(document, ids).await;
    assert!(seen.to_string().contains(&order) && server.ended().is_none(), "{seen}");
}

// G16, G17
async fn a_panic_in_a_query_harms_nobody_else(shop: Shop) {
    let document = "query($order: ID!) { order(id: $order) { id } }";
    is_answered_after(&shop, "an order is looked for", document).await;
}

// G16, G17: of a loader, which works for many at once and elsewhere
async fn a_panic_in_what_many_orders_are_loaded_by_harms_nobody_else(shop: Shop) {
    let document = "query($payment: ID!) { payment(id: $payment) { order { id } } }";
    is_answered_after(&shop, "orders are loaded", document).await;
}

// G16, G17: an event is made where nobody waits for an answer
async fn a_panic_in_a_subscription_ends_it_and_no_other(shop: Shop) {
    let (first, second) = (shop.adas_order().await, shop.adas_order().await);
    // It is looked for by whoever begins to watch, and for each event: those of the beginning are shown.
    let mut server = panics_at(&shop, "an order is looked for#5");
    let there = shop.at(&server.url, &shop.url("/sandbox"));
    let mut socket = there.user("ada").watches_order(&first, "status").await;
    socket.event().await;
    let mut other = there.user("ada").watches_order(&second, "status").await;
    other.event().await;

    shop.checkout().cancels(&first).await;
    let payload = socket.payload().await;

    is_internal(&payload);
    assert_eq!(socket.hears().await, Heard::Message(json!({ "type": "complete", "id": "1" })));
    assert!(server.log().contains("a request panicked"), "{}", server.log());
    socket
        .subscribes("1", "subscription($id: ID!) { orderUpdated(orderId: $id) { status } }", json!({ "id": first }))
        .await;
    assert_eq!(socket.event().await["status"], "CANCELLED");
    shop.checkout().cancels(&second).await;
    assert_eq!((&other.event().await["status"], server.ended()), (&json!("CANCELLED"), None));
}
