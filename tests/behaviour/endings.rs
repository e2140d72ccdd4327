//! A server that is told to end while many ask: whoever was listened to is answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

use crate::support::{Engine, Shop, eventually, fresh, mall::Mall, run, tea, track::all_powerful};

on_each_database![a_server_that_is_told_to_end_under_load_answers_everybody];

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
