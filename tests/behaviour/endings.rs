//! A server that is told to end while many ask: whoever was listened to is answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

use crate::support::{
    Engine, Shop, euros, eventually, fresh,
    mall::{Mall, serve_with},
    outcome_of,
    proxy::{Proxy, Weather},
    run, say, tea,
    track::all_powerful,
    with,
};

on_each_database![
    a_server_that_is_told_to_end_under_load_answers_everybody,
    a_server_that_is_told_to_end_does_not_wait_for_its_provider,
];

/// So many ask at once, each the next thing as soon as it is answered.
const CLIENTS: usize = 12;
/// Longer than the server may take to end.
const LONGEST: Duration = Duration::from_secs(40);

/// What became of the requests of one client.
#[derive(Default)]
struct Served {
    answered: usize,
    /// Its whole request was accepted by the server's machine, and no answer came.
    lost: usize,
}

/// Asks on one connection after the other until nobody listens any more.
async fn asks(shop: Shop, served: Arc<AtomicUsize>) -> Served {
    let mut mine = Served::default();
    let address = shop.url("").trim_start_matches("http://").to_owned();
    let token = all_powerful(&shop).token().to_owned();
    loop {
        let Ok(mut socket) = TcpStream::connect(&address).await else { return mine };
        // A connection is kept for a few requests, and between them the server may close it.
        for _ in 0..5 {
            let body = json!({
                "query": "mutation($input: CreateOrderInput!) { createOrder(input: $input) { order { id } problem { code } } }",
                "variables": { "input": { "owner": shop.user("ada").as_owner(), "cart": tea(), "idempotencyKey": fresh("ends ") } },
            })
            .to_string();
            let head = format!(
                "POST /graphql HTTP/1.1\r\nhost: orderpay\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            if socket.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
                break;
            }
            match timeout(LONGEST, answer(&mut socket)).await.expect("the connection ends at the latest") {
                Some(answer) => {
                    assert_eq!(answer["data"]["createOrder"]["problem"], Value::Null, "{answer}");
                    mine.answered += 1;
                    served.fetch_add(1, Ordering::Relaxed);
                }
                None => {
                    mine.lost += 1;
                    break;
                }
            }
        }
    }
}

/// The body of the next answer; `None` where the connection ends without one.
async fn answer(socket: &mut TcpStream) -> Option<Value> {
    let (mut heard, mut buffer) = (vec![], [0; 4096]);
    loop {
        let read = socket.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        heard.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&heard).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return serde_json::from_str(body).ok();
        }
    }
}

async fn a_server_that_is_told_to_end_under_load_answers_everybody(shop: Shop) {
    let Mall { sandbox, servers: [ending], shops: [busy] } = Mall::<1>::open(&shop).await;
    let served = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(asks(busy.clone(), Arc::clone(&served)));
    }
    eventually("all are at it", async || (served.load(Ordering::Relaxed) > 5 * CLIENTS).then_some(())).await;

    let ended = spawn_blocking(|| ending.ends_by_sigterm()).await.expect("it ends");

    let all = clients.join_all().await;
    let answered: usize = all.iter().map(|one| one.answered).sum();
    let lost: usize = all.iter().map(|one| one.lost).sum();
    assert_eq!(ended.code(), Some(0));
    assert_eq!(shop.count("orders").await, i64::try_from(answered).unwrap(), "{lost} were not answered");
    drop(sandbox);
}

// T5: the provider may take a minute to answer, and the server ends long before; what it left is found out by another one
async fn a_server_that_is_told_to_end_does_not_wait_for_its_provider(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let machine = shop.url("").trim_start_matches("http://").parse().expect("an address");
    let network = Proxy::to(machine).await;
    let patient = ["--provider-timeout=60s", "--drain-timeout=1s", "--reconciler=off"];
    let server = serve_with(shop.database_url(), &format!("http://{}/sandbox", network.address), &patient);
    let there = shop.at(&server.url, &shop.url("/sandbox"));
    network.turns(Weather::AnswersLost);
    let key = json!({ "idempotencyKey": "k" });
    let input = with(json!({ "paymentId": payment.id, "amount": euros("29.90") }), key.clone());
    let checkout = there.checkout();
    let asking =
        tokio::spawn(async move { checkout.dares("authorizePayment", input, "outcome { status }", LONGEST).await });
    eventually("the provider has done it", async || (!shop.movements().await.is_empty()).then_some(())).await;

    let begun = Instant::now();
    let ended = spawn_blocking(|| server.ends_by_sigterm()).await.expect("it ends before its provider answers");
    let took = begun.elapsed();

    say(&format!(
        "told to end while a provider was silent, a server that gives it 1 s ended after {} ms",
        took.as_millis()
    ));
    assert_eq!((ended.code(), asking.await.expect("a client")), (Some(0), None));
    // Nobody says that it came to nothing.
    let left = shop.back_office().sees_ledger(&payment).await;
    assert!(["AUTHORIZE SENT 29.90", "AUTHORIZE UNKNOWN 29.90"].contains(&left[0].as_str()), "{left:?}");
    shop.lets_lock_run_out(&payment).await;
    shop.moves_time_by(chrono::TimeDelta::minutes(2));
    while shop.reconciles().await > 0 {}
    assert_eq!(shop.back_office().sees_ledger(&payment).await, ["AUTHORIZE SUCCEEDED 29.90"]);
    let again = shop.checkout().moves("authorizePayment", &payment, "29.90", key).await;
    assert_eq!((outcome_of(&again).as_str(), &again["replayed"]), ("SUCCEEDED 29.90", &json!(true)));
    assert_eq!(shop.movements().await.len(), 1);
}

// test T4
#[test]
fn a_server_that_is_told_to_end_is_not_ready_first_and_serves_whoever_has_not_heard_of_it() {
    run(Engine::Sqlite, async |shop| {
        let Mall { sandbox, servers: [ending], shops: [shop] } = Mall::open_with(&shop, &["--stop-delay=5s"]).await;
        let look = async |path: &str| shop.client().get(shop.url(path)).send().await.unwrap();
        assert!(!look("/readyz").await.headers().contains_key("connection"));

        let ended = spawn_blocking(|| ending.ends_by_sigterm());

        let told = eventually("it is not ready", async || {
            let answer = look("/readyz").await;
            (answer.status() == 503).then_some(answer)
        });
        // Each answer is the last on its connection: the next request comes on another one, from another server.
        assert_eq!(told.await.headers()["connection"], "close");
        assert_eq!(look("/healthz").await.status(), 200);
        assert!(shop.adas_order().await.starts_with("ord_"));
        assert_eq!(ended.await.expect("it ends").code(), Some(0));
        drop(sandbox);
    });
}
