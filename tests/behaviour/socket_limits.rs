//! What a WebSocket may hold and how long it may be silent, as the settings say; and bad tokens on it, which count like those of any request.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{Actor, Engine, Heard, Shop, Socket, run_with};

const WATCH: &str = "subscription($id: ID!) { orderUpdated(orderId: $id) { id } }";
const FOUR_A_MINUTE: &str = "--failures-per-address=4";

fn introduction(token: &str) -> Value {
    json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {token}") } })
}

/// What becomes of a connection that begins with this token.
async fn begins_with(shop: &Shop, token: &str) -> Heard {
    let mut socket = shop.opens_socket().await;
    socket.says(&introduction(token)).await;
    socket.hears().await
}

fn code(heard: &Heard) -> u16 {
    match heard {
        Heard::Closed(code, _) => *code,
        other => panic!("it was not closed: {other:?}"),
    }
}

// one count of what comes by either way
#[test]
fn bad_tokens_on_sockets_are_counted_and_good_ones_let_in() {
    run_with(Engine::Sqlite, &[FOUR_A_MINUTE], async |shop| {
        let bad_request = async || Actor::with_token(&shop, "let-me-in").sends("{}".into()).await.0;
        let (ada, late) = (shop.user("ada"), shop.user("late"));
        let mut told = vec![];
        for _ in 0..3 {
            told.push(code(&begins_with(&shop, "let-me-in").await));
        }
        told.extend([bad_request().await, bad_request().await]);
        told.push(code(&begins_with(&shop, "let-me-in").await));

        assert_eq!(told, [4403, 4403, 4403, 401, 429, 4429]);
        let why = "Too many requests from this address came with a bad token or signature.";
        assert_eq!(begins_with(&shop, "x.y.z").await, Heard::Closed(4429, why.into()));
        assert_eq!(begins_with(&shop, ada.token()).await, Heard::Message(json!({ "type": "connection_ack" })));
        // No honest client is taken for an attacker.
        shop.moves_time_by(TimeDelta::hours(2));
        let expired = begins_with(&shop, late.token()).await;
        assert!(matches!(expired, Heard::Closed(4403, why) if why.contains("expired")));
    });
}

#[test]
fn tokens_that_are_late_or_missing_are_not_counted() {
    run_with(Engine::Sqlite, &[FOUR_A_MINUTE], async |shop| {
        let ada = shop.user("ada");
        shop.moves_time_by(TimeDelta::hours(2));
        for _ in 0..6 {
            assert_eq!(code(&begins_with(&shop, ada.token()).await), 4403);
            let mut socket = shop.opens_socket().await;
            socket.says(&json!({ "type": "connection_init" })).await;
            assert_eq!(socket.closes().await, 4401);
        }

        let first_bad_one = begins_with(&shop, "let-me-in").await;

        assert_eq!(code(&first_bad_one), 4403);
    });
}

#[test]
fn a_socket_has_room_for_what_the_settings_say() {
    run_with(Engine::Sqlite, &["--socket-subscriptions=2", "--socket-message-bytes=1024"], async |shop| {
        let order = shop.adas_order().await;
        let mut socket = shop.user("ada").listens().await;
        for id in ["a", "b"] {
            socket.subscribes(id, WATCH, json!({ "id": order })).await;
            assert!(matches!(socket.hears().await, Heard::Message(told) if told["type"] == "next"));
        }

        socket.subscribes("1", WATCH, json!({ "id": order })).await;

        assert_eq!(socket.ends().await, "BAD_REQUEST");
        socket.says(&json!({ "type": "ping", "payload": { "padding": "x".repeat(1024) } })).await;
        assert_eq!(socket.hears().await, Heard::Closed(1009, "A message has at most 1024 bytes.".into()));
    });
}

#[test]
fn whoever_says_nothing_is_waited_for_as_long_as_the_settings_say() {
    // Far less than what a socket waits for otherwise.
    let hasty = ["--socket-init-timeout=100ms", "--socket-ping-interval=100ms", "--socket-silence=1s"];
    run_with(Engine::Sqlite, &hasty, async |shop| {
        let mut silent = shop.opens_socket().await;
        assert_eq!(silent.closes().await, 4408);

        let (mut answers, mut hangs) = (shop.user("ada").listens().await, shop.user("ada").listens().await);
        // Whoever hears a ping answers it.
        let patience = Duration::from_secs(3);
        assert!(timeout(patience, answers.hears()).await.is_err(), "whoever answers stays");
        assert_eq!(is_left(&mut hangs).await, Heard::Lost, "whoever does not is left");
    });
}

/// What is heard at last of a connection whose other side was not looked at for a while.
async fn is_left(socket: &mut Socket) -> Heard {
    timeout(Duration::from_secs(5), socket.hears()).await.expect("its end is heard")
}
