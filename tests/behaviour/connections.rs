//! Connections to the database: how few are enough, what becomes of those that clients leave, and what is told when none is free.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::support::{
    Actor, Engine, News, Payment, Shop, code, euros, eventually, outcome, outcome_of, run, say, track::all_powerful,
};

on_each_database![one_connection_is_enough_for_every_verb, a_thousand_clients_that_hang_up_leave_nothing_half_done];

/// The payload of a mutation that was not refused.
fn accepted(payload: Value) -> Value {
    assert_eq!(code(&payload), &Value::Null, "{payload}");
    payload
}

// Whoever holds a connection and wants a second one waits for itself, once all are held like that.
async fn one_connection_is_enough_for_every_verb(shop: Shop) {
    let shop = shop.second(&["--database-connections=1"]).await;
    let (anyone, ada) = (all_powerful(&shop), shop.user("ada"));

    pays_on_a_page(&shop, &ada).await;
    moves_money(&shop, &anyone).await;
    changes_things(&shop, &anyone).await;

    let refused: Vec<String> = shop.answers().into_iter().filter(|answer| answer.contains("\"errors\"")).collect();
    assert_eq!(refused, Vec::<String>::new());
    shop.stop().await;
}

async fn pays_on_a_page(shop: &Shop, ada: &Actor) {
    let (order, attempt) = shop.open_attempt().await;
    shop.shopper_pays(&attempt).await;
    eventually("the order is paid", async || (ada.looks_at(&order).await["status"] == "PAID").then_some(())).await;
    let (unpaid, _) = shop.open_attempt().await;
    accepted(shop.checkout().cancels(&unpaid).await);
    let (reported, attempt) = shop.open_attempt().await;
    accepted(shop.checkout().reports(&attempt.external_id, "SUCCEEDED", "29.90").await);
    assert_eq!(ada.looks_at(&reported).await["status"], "PAID");
    shop.hears(&News::of_session("cs_unknown", "succeeded").received(2990, "EUR")).await;
}

async fn moves_money(shop: &Shop, anyone: &Actor) {
    let payment = shop.payment("tok_ok").await;
    for (mutation, amount) in [
        ("authorizePayment", "29.90"),
        ("reverseAuthorization", "4.90"),
        ("capturePayment", "10.00"),
        ("refundPayment", "5.00"),
        ("creditPayment", "1.00"),
    ] {
        let payload = anyone.moves(mutation, &payment, amount, json!({})).await;
        assert_eq!(outcome_of(&payload), format!("SUCCEEDED {amount}"), "{mutation}");
    }
    let sold = shop.payment("tok_ok").await;
    assert_eq!(outcome_of(&anyone.sells(&sold, "29.90").await), "SUCCEEDED 29.90");
    accepted(anyone.marks_paid(&sold.order).await);
    assert_eq!(anyone.sees_ledger(&payment).await.len(), 5);
}

async fn changes_things(shop: &Shop, anyone: &Actor) {
    let payment = shop.authorized().await;
    let token = anyone.locks_one(&payment).await;
    accepted(anyone.extends(&payment, &token, json!({})).await);
    accepted(anyone.changes_payment(&payment, json!({ "display": { "brand": "Visa" }, "lockToken": token })).await);
    assert!(anyone.unlocks(&payment, &token).await);
    accepted(anyone.changes_payment(&payment, json!({ "amount": euros("20.00") })).await);
    accepted(anyone.archives(&payment).await);
    accepted(anyone.cancels(&payment.order).await);
    let guest = shop.guest("visitor");
    let order = anyone.creates_order_for(&guest).await;
    accepted(anyone.changes_cart(&order, crate::support::tea()).await);
    let claim = json!({ "anonymousUserId": "visitor", "userId": "ada" });
    accepted(anyone.does("claimAnonymousOrders", claim, "claimedCount").await);
    let listed = shop.user("ada").lists(&shop.user("ada"), "first: 20").await;
    assert_eq!(listed["nodes"][0]["id"], json!(order));
}

/// Sends a request as these bytes, and hangs up a moment later.
async fn hangs_up(shop: Shop, token: String, body: String, moment: Duration) {
    let address = shop.url("");
    let mut socket =
        TcpStream::connect(address.strip_prefix("http://").expect("an address")).await.expect("it listens");
    let request = format!(
        "POST /graphql HTTP/1.1\r\nhost: orderpay\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.expect("it is sent");
    sleep(moment).await;
}

fn request(document: &str, variables: Value) -> String {
    json!({ "query": document, "variables": variables }).to_string()
}

const CREATE: &str = "mutation($input: CreateOrderInput!) { createOrder(input: $input) { order { id } } }";
const AUTHORIZE: &str = "mutation($input: TransactionInput!) { authorizePayment(input: $input) { replayed } }";
const LOOK: &str = "query($id: ID!) { order(id: $id) { id number payments { id transactions { id } summary { amountPending { amount } } } } }";

// T10, rules P7, I3
async fn a_thousand_clients_that_hang_up_leave_nothing_half_done(shop: Shop) {
    let anyone = all_powerful(&shop);
    let mut payments = vec![];
    for _ in 0..10 {
        payments.push(shop.payment("tok_ok").await);
    }
    let before = shop.count("orders").await;
    let mut clients = JoinSet::new();
    for at in 0_u64..1000 {
        let payment = &payments[usize::try_from(at % 10).expect("a place")];
        let key = format!("hangs up {at}");
        let body = match at % 3 {
            0 => request(LOOK, json!({ "id": payment.order })),
            1 => request(
                CREATE,
                json!({ "input": { "owner": anyone.shop.user("bob").as_owner(), "cart": crate::support::tea(), "idempotencyKey": key } }),
            ),
            _ => request(
                AUTHORIZE,
                json!({ "input": { "paymentId": payment.id, "amount": euros("0.01"), "idempotencyKey": key } }),
            ),
        };
        // Sooner than it is read, in its middle, and after its end.
        let moment = Duration::from_millis(at * 7 % 60);
        clients.spawn(hangs_up(shop.clone(), anyone.token().to_owned(), body, moment));
        if clients.len() == 50 {
            clients.join_next().await.expect("somebody").expect("it hangs up");
        }
    }
    clients.join_all().await;

    let look = shop.database().await;
    eventually("all work ends", async || {
        let open = shop.count("operation WHERE state = 'IN_PROGRESS'").await;
        (open == 0 && look.is_at_rest().await).then_some(())
    })
    .await;
    let made = shop.count("orders").await - before;
    assert!(made > 0, "nobody got as far as that");
    assert_eq!(shop.count("operation WHERE mutation = 'createOrder' AND idempotency_key LIKE 'hangs up%'").await, made);
    let mut moved = 0;
    for payment in &payments {
        let ledger = anyone.sees_ledger(payment).await;
        assert!(ledger.iter().all(|entry| entry == "AUTHORIZE SUCCEEDED 0.01"), "{ledger:?}");
        moved += ledger.len();
    }
    assert!(moved > 0, "no money was asked for");
    assert_eq!(shop.movements().await.len(), moved);
    // As many at once as there are connections.
    let mut all = JoinSet::new();
    for _ in 0..20 {
        let (ada, order) = (shop.user("ada"), payments[0].order.clone());
        all.spawn(async move { ada.looks_at(&order).await["id"] == json!(order) });
    }
    assert_eq!(all.join_all().await, [true; 20]);
}

/// What is answered to a look at an order, in one word.
async fn looks(actor: Actor, order: String) -> String {
    let body = request("query($id: ID!) { order(id: $id) { id } }", json!({ "id": order }));
    let (_, answer) = actor.sends(body).await;
    outcome(&serde_json::from_str(&answer).expect("JSON"))
}

/// Statements of the server's that are under way.
const AT_WORK: &str = "SELECT count(*) AS n FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' AND wait_event_type = 'Lock'";

// A statement ends by itself after eight seconds here: what is gone by then was cancelled.
#[test]
fn what_a_client_asked_for_ends_when_it_hangs_up() {
    run(Engine::Postgres, async |shop| {
        let Payment { order, .. } = shop.payment("tok_ok").await;
        let look = shop.database().await;
        let holder = shop.another_look().await;
        // What the query itself reads, and what is read in batches.
        for table in ["orders", "payment"] {
            holder.run(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await;
            let body = request(LOOK, json!({ "id": order }));
            let asking = tokio::spawn(hangs_up(
                shop.clone(),
                all_powerful(&shop).token().to_owned(),
                body,
                Duration::from_secs(60),
            ));
            eventually("it waits", async || (look.number(AT_WORK).await == 1).then_some(())).await;

            asking.abort();

            let ended = async {
                while look.number(AT_WORK).await > 0 {
                    sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(Duration::from_secs(5), ended).await.unwrap_or_else(|_| panic!("{table}: it goes on for nobody"));
            holder.run("ROLLBACK").await;
        }
        assert_eq!(looks(shop.user("ada"), order).await, "ok");
    });
}

/// How soon it is told that all is well, at the best of several times: the machine may be busy with something else.
async fn quickest(shop: &Shop, path: &str) -> Duration {
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let answer = shop.client().get(shop.url(path)).send().await.expect("it answers");
        assert_eq!(answer.status(), 200, "{path}");
        quickest = quickest.min(begun.elapsed());
    }
    quickest
}

// F8
#[test]
fn who_finds_no_connection_is_told_so_and_does_not_stand_in_line() {
    run(Engine::Postgres, async |shop| {
        let Payment { order, .. } = shop.payment("tok_ok").await;
        let five = shop.second(&["--database-connections=5"]).await;
        let holder = shop.another_look().await;
        holder.run("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await;
        let mut clients = JoinSet::new();
        let begun = Instant::now();
        for _ in 0..200 {
            clients.spawn(looks(five.user("ada"), order.clone()));
        }

        let look = shop.database().await;
        eventually("all connections wait", async || (look.number(AT_WORK).await == 5).then_some(())).await;

        let health = [quickest(&five, "/healthz").await, quickest(&five, "/readyz").await];
        let mut told = vec![];
        for _ in 0..195 {
            told.push(clients.join_next().await.expect("a client").expect("an answer"));
        }
        let after = begun.elapsed();
        holder.run("ROLLBACK").await;

        // Nobody stood in line for a connection that became free.
        assert_eq!(told, ["UNAVAILABLE"; 195]);
        say(&format!("195 of 200 found no connection, and were told so within {after:?}; health within {health:?}"));
        // Two seconds, and what it takes to hear and to answer two hundred.
        assert!(after < Duration::from_secs(5), "they were told after {after:?}");
        // It is busy, and not without its database.
        assert!(health.iter().all(|time| *time < Duration::from_millis(50)), "{health:?}");
        // On a busy machine these too have waited too long, for the rows.
        assert!(clients.join_all().await.iter().all(|word| word == "ok" || word == "UNAVAILABLE"));
        assert_eq!(looks(five.user("ada"), order).await, "ok");
        five.stop().await;
    });
}
