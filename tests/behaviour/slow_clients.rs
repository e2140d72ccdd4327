//! Clients that are slow, idle, too many or not what they seem: they are cut off, and others are served meanwhile.
//!
//! They speak HTTP byte by byte over sockets of their own. What is looked at lies before any database.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::support::{Engine, Shop, run_with};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn run(settings: &[&str], test: impl AsyncFnOnce(Shop)) {
    run_with(Engine::Sqlite, settings, test);
}

async fn connect(shop: &Shop) -> TcpStream {
    let url = shop.url("");
    TcpStream::connect(url.strip_prefix("http://").expect("an address")).await.expect("it listens")
}

/// All that comes until the server closes the connection.
async fn hears_all(socket: &mut TcpStream) -> String {
    let mut heard = vec![];
    let closed = timeout(PATIENCE, socket.read_to_end(&mut heard)).await;
    // A reset is an end as well.
    let _ = closed.expect("the server closes the connection");
    String::from_utf8_lossy(&heard).into_owned()
}

/// Sends these bytes, and hears all that comes until the server closes the connection.
async fn says(shop: &Shop, bytes: &str) -> String {
    let mut socket = connect(shop).await;
    let _ = socket.write_all(bytes.as_bytes()).await;
    hears_all(&mut socket).await
}

/// The statuses of the answers in what was heard.
fn statuses(heard: &str) -> Vec<&str> {
    heard.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

/// Whether somebody who does nothing strange is served at once.
async fn is_served(shop: &Shop) -> bool {
    let asked = shop.client().get(shop.url("/healthz")).timeout(Duration::from_millis(700)).send().await;
    asked.is_ok_and(|answer| answer.status() == 200)
}

/// Sends a byte now and then until the connection is closed; gives what was heard, and after which time.
async fn trickles(mut socket: TcpStream, begin: String) -> (String, Duration) {
    let begun = Instant::now();
    let mut heard = vec![];
    socket.write_all(begin.as_bytes()).await.expect("it is sent");
    loop {
        assert!(begun.elapsed() < PATIENCE, "the server closes the connection");
        let mut buffer = [0; 4096];
        match timeout(Duration::from_millis(50), socket.read(&mut buffer)).await {
            Err(_) => {
                let _ = socket.write_all(b"x").await;
            }
            Ok(Ok(length @ 1..)) => heard.extend_from_slice(&buffer[..length]),
            Ok(_) => return (String::from_utf8_lossy(&heard).into_owned(), begun.elapsed()),
        }
    }
}

// G27
#[test]
fn headers_that_never_end_are_cut_off_and_others_are_served_meanwhile() {
    run(&["--header-timeout=1s"], async |shop| {
        let mut slow = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let socket = connect(&shop).await;
            slow.spawn(trickles(socket, "GET /healthz HTTP/1.1\r\nhost: orderpay\r\nx-slow: ".into()));
        }

        assert!(is_served(&shop).await);

        for (heard, after) in slow.join_all().await {
            assert!(after >= Duration::from_millis(900) && statuses(&heard) != ["200"], "{after:?} {heard}");
        }
    });
}

#[test]
fn a_connection_that_says_nothing_is_cut_off() {
    run(&["--header-timeout=300ms"], async |shop| {
        assert_eq!(says(&shop, "").await, "");
        let idle = says(&shop, "GET /healthz HTTP/1.1\r\nhost: orderpay\r\n\r\n").await;
        assert_eq!(statuses(&idle), ["200"]);
    });
}

#[test]
fn a_body_that_never_ends_is_cut_off() {
    run(&["--body-timeout=500ms"], async |shop| {
        let token = shop.user("ada").token().to_owned();
        for (path, authorization, status, code) in [
            ("/graphql", format!("authorization: Bearer {token}\r\n"), "408", "REQUEST_TIMEOUT"),
            ("/graphql", String::new(), "401", "UNAUTHENTICATED"),
            ("/webhooks/sandbox", String::new(), "408", "REQUEST_TIMEOUT"),
        ] {
            for length in ["content-length: 60000", "transfer-encoding: chunked"] {
                let head = format!(
                    "POST {path} HTTP/1.1\r\nhost: orderpay\r\ncontent-type: application/json\r\n{authorization}{length}\r\n\r\n"
                );
                let begin = if length.contains("chunked") { format!("{head}ea60\r\n") } else { head };

                let (heard, after) = trickles(connect(&shop).await, begin).await;

                assert!(heard.starts_with(&format!("HTTP/1.1 {status}")) && heard.contains(code), "{path}: {heard}");
                assert!(after >= Duration::from_millis(450), "{after:?}");
            }
        }
    });
}

#[test]
fn a_body_has_a_size_whether_it_tells_it_or_not() {
    run(&["--max-body-bytes=2048", "--max-webhook-bytes=4096"], async |shop| {
        let token = shop.user("ada").token().to_owned();
        for (path, most) in [("/graphql", 2048), ("/webhooks/sandbox", 4096)] {
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: orderpay\r\nconnection: close\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n"
            );
            for (length, refused) in [(most, false), (most + 1, true)] {
                let body = " ".repeat(length);
                let told = says(&shop, &format!("{head}content-length: {length}\r\n\r\n{body}")).await;
                let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n");
                let untold = says(&shop, &chunked).await;

                assert_eq!(
                    [statuses(&told) == ["413"], statuses(&untold) == ["413"]],
                    [refused; 2],
                    "{path} {length}: {told} {untold}"
                );
            }
        }
    });
}

#[test]
fn headers_have_a_size_and_a_number() {
    run(&[], async |shop| {
        let head = "GET /healthz HTTP/1.1\r\nhost: orderpay\r\nconnection: close\r\n";
        let one = |bytes: usize| format!("{head}x-large: {}\r\n\r\n", "x".repeat(bytes));
        let many = |count: usize| format!("{head}{}\r\n", "x-many: 1\r\n".repeat(count));
        let mut told = vec![];
        for request in [one(16 * 1024), one(33 * 1024), many(90), many(101)] {
            let heard = says(&shop, &request).await;
            told.push(statuses(&heard).join(" "));
        }

        assert_eq!(told, ["200", "431", "200", "431"]);
    });
}

// G27: nobody before us may see another request in these bytes than we do.
#[test]
fn a_request_of_two_lengths_is_refused() {
    run(&[], async |shop| {
        for (lengths, status) in [
            ("content-length: 5\r\ncontent-length: 6", "400"),
            ("content-length: 5, 6", "400"),
            ("content-length: +5", "400"),
            ("content-length: -5", "400"),
            ("content-length: 5x", "400"),
            ("transfer-encoding: identity", "400"),
            ("transfer-encoding: xchunked", "400"),
            ("transfer-encoding: chunked, identity", "400"),
            ("transfer-encoding : chunked", "400"),
            ("content-length : 5", "400"),
        ] {
            let hidden = "GET /readyz HTTP/1.1\r\nhost: orderpay\r\nconnection: close\r\n\r\n";
            let request = format!("POST /nowhere HTTP/1.1\r\nhost: orderpay\r\n{lengths}\r\n\r\nhello{hidden}");

            let heard = says(&shop, &request).await;

            assert_eq!(statuses(&heard), [status], "{lengths}: {heard}");
        }
    });
}

// G27: chunks win, as RFC 9112 has it, and nothing that follows is taken for a request.
#[test]
fn nothing_follows_a_request_whose_length_is_told_by_chunks() {
    run(&[], async |shop| {
        let hidden = "GET /readyz HTTP/1.1\r\nhost: orderpay\r\n\r\n";
        for lengths in [
            "content-length: 60\r\ntransfer-encoding: chunked",
            "transfer-encoding: chunked\r\ncontent-length: 5",
            "transfer-encoding: chunked",
        ] {
            for path in ["/graphql", "/nowhere"] {
                let request = format!("POST {path} HTTP/1.1\r\nhost: orderpay\r\n{lengths}\r\n\r\n0\r\n\r\n{hidden}");

                let heard = says(&shop, &request).await;

                assert_eq!(statuses(&heard).len(), 1, "{path} {lengths}: {heard}");
                assert!(heard.to_lowercase().contains("connection: close"), "{heard}");
            }
        }
    });
}

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: orderpay\r\nconnection: close\r\n\r\n";

#[test]
fn a_connection_too_many_waits_until_another_one_ends() {
    run(&["--max-connections=3"], async |shop| {
        let mut open = vec![connect(&shop).await, connect(&shop).await, connect(&shop).await];
        let mut waiting = connect(&shop).await;
        waiting.write_all(HEALTH).await.expect("it is sent");
        let mut buffer = [0; 16];
        assert!(timeout(Duration::from_millis(500), waiting.read(&mut buffer)).await.is_err(), "it is not served yet");

        drop(open.pop());

        assert_eq!(statuses(&hears_all(&mut waiting).await), ["200"]);
    });
}

#[test]
fn a_socket_holds_its_place_until_it_is_closed() {
    run(&["--max-connections=1"], async |shop| {
        let socket = shop.user("ada").listens().await;
        let mut waiting = connect(&shop).await;
        waiting.write_all(HEALTH).await.expect("it is sent");
        let mut buffer = [0; 16];
        assert!(timeout(Duration::from_millis(500), waiting.read(&mut buffer)).await.is_err(), "it is not served yet");

        drop(socket);

        assert_eq!(statuses(&hears_all(&mut waiting).await), ["200"]);
    });
}

#[test]
fn a_request_that_runs_when_the_server_stops_is_answered() {
    run(&["--body-timeout=5s"], async |shop| {
        let mut socket = connect(&shop).await;
        let body = json!({ "query": "{ viewer { id } }" }).to_string();
        let head = format!(
            "POST /graphql HTTP/1.1\r\nhost: orderpay\r\ncontent-type: application/json\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
            shop.user("ada").token(),
            body.len()
        );
        socket.write_all(head.as_bytes()).await.expect("it is sent");
        sleep(Duration::from_millis(200)).await;

        let stopping = tokio::spawn({
            let shop = shop.clone();
            async move { shop.stop().await }
        });
        sleep(Duration::from_millis(200)).await;
        socket.write_all(body.as_bytes()).await.expect("it is sent");

        let heard = hears_all(&mut socket).await;
        assert!(statuses(&heard) == ["200"] && heard.contains("ada"), "{heard}");
        stopping.await.expect("it stops");
    });
}
