//! Tokens that the server itself issues to guests: their orders are never guarded by an id alone, and a token can be taken back.

use chrono::{DateTime, Duration};
use serde_json::{Value, json};

use crate::support::{Actor, Heard, Shop, code, mall::Mall, outcome};

on_each_database![
    a_guest_with_a_token_reaches_their_own_orders_and_no_others,
    a_guest_who_is_new_gets_an_id_that_nobody_guesses,
    a_token_lasts_as_long_as_it_says,
    revoked_tokens_are_refused_at_every_server_at_once,
    revoking_ends_one_guests_tokens_and_those_before_it_only,
    an_open_connection_ends_with_the_next_event_once_its_token_is_revoked,
    a_revoked_token_opens_no_connection,
    nobody_is_let_in_while_revocation_cannot_be_looked_up,
    what_was_claimed_is_out_of_reach_of_the_guests_token,
    what_cannot_stand_in_a_token_is_refused_by_name,
    a_server_without_the_secret_issues_nothing_and_knows_no_such_token,
    a_token_that_cannot_be_revoked_costs_no_look,
];

const ISSUED: &str = "token anonymousUserId expiresAt";
const TOO_LATE: &str = "The bearer token was revoked.";

fn till(shop: &Shop) -> Actor {
    shop.service(&["tokens:write"])
}

/// A guest with a token of the server's own.
async fn guest(shop: &Shop, id: &str) -> Actor {
    let issued = till(shop).does("issueAnonymousToken", json!({ "anonymousUserId": id }), ISSUED).await;
    assert_eq!((code(&issued), &issued["anonymousUserId"]), (&Value::Null, &json!(id)));
    let mut guest = Actor::with_token(shop, issued["token"].as_str().expect("a token"));
    (guest.id, guest.kind) = (id.to_owned(), "ANONYMOUS");
    guest
}

async fn revokes(shop: &Shop, id: &str) {
    let revoked = till(shop).does("revokeAnonymousTokens", json!({ "anonymousUserId": id }), "revokedAt").await;
    assert_eq!(code(&revoked), &Value::Null);
    assert!(revoked["revokedAt"].is_string());
}

/// The status of what is answered to somebody, and the words of the refusal.
async fn told(actor: &Actor) -> (u16, String) {
    let (status, body) = actor.sends(json!({ "query": "{ viewer { id } }" }).to_string()).await;
    let body: Value = serde_json::from_str(&body).expect("JSON");
    (status, body["errors"][0]["message"].as_str().unwrap_or_default().to_owned())
}

async fn is_let_in(actor: &Actor) -> bool {
    match told(actor).await {
        (200, _) => true,
        (401, why) => {
            assert_eq!(why, TOO_LATE);
            false
        }
        other => panic!("{other:?}"),
    }
}

// rules A1, A2
async fn a_guest_with_a_token_reaches_their_own_orders_and_no_others(shop: Shop) {
    let (guest, other) = (guest(&shop, "g-1").await, guest(&shop, "g-2").await);
    let order = shop.checkout().creates_order_for(&guest).await;
    let sees = "query($id: ID!) { order(id: $id) { id } }";

    assert_eq!(guest.sees(sees, json!({ "id": order })).await["order"]["id"], json!(order));
    assert_eq!(other.sees(sees, json!({ "id": order })).await["order"], Value::Null);
    let viewer = guest.sees("{ viewer { id kind scopes } }", json!({})).await;
    assert_eq!(viewer["viewer"], json!({ "id": "g-1", "kind": "ANONYMOUS", "scopes": [] }));
    let issues = guest.tries("issueAnonymousToken", json!({ "anonymousUserId": "g-2" }), ISSUED).await;
    assert_eq!(outcome(&issues), "UNKNOWN");
}

async fn a_guest_who_is_new_gets_an_id_that_nobody_guesses(shop: Shop) {
    let mut ids = vec![];
    for _ in 0..2 {
        let issued = till(&shop).does("issueAnonymousToken", json!({}), ISSUED).await;
        let id = issued["anonymousUserId"].as_str().expect("an id").to_owned();
        assert!(id.starts_with("anon_") && id.len() == 37, "{id}");
        let viewer = Actor::with_token(&shop, issued["token"].as_str().unwrap());
        assert_eq!(viewer.sees("{ viewer { id } }", json!({})).await["viewer"]["id"], json!(id));
        ids.push(id);
    }

    assert_ne!(ids[0], ids[1]);
}

async fn a_token_lasts_as_long_as_it_says(shop: Shop) {
    let issued = till(&shop).does("issueAnonymousToken", json!({ "ttlSeconds": 60 }), ISSUED).await;
    let usual = till(&shop).does("issueAnonymousToken", json!({}), ISSUED).await;
    let ends = |issued: &Value| issued["expiresAt"].as_str().unwrap().parse::<DateTime<chrono::Utc>>().unwrap();
    let short = Actor::with_token(&shop, issued["token"].as_str().unwrap());
    assert!((ends(&usual) - shop.now() - Duration::days(30)).abs() < Duration::seconds(2));

    shop.moves_time_by(ends(&issued) - shop.now() - Duration::seconds(1));
    assert!(is_let_in(&short).await);
    // Clocks may differ by five seconds.
    shop.moves_time_by(Duration::seconds(6));
    assert_eq!(told(&short).await, (401, "The bearer token has expired.".to_owned()));
}

async fn revoked_tokens_are_refused_at_every_server_at_once(shop: Shop) {
    let other = shop.second(&[]).await;
    let here = guest(&shop, "g-1").await;
    let there = Actor::with_token(&other, here.token());
    assert!(is_let_in(&here).await && is_let_in(&there).await);

    revokes(&shop, "g-1").await;

    assert!(!is_let_in(&there).await);
    assert!(!is_let_in(&here).await);
    other.stop().await;
}

async fn revoking_ends_one_guests_tokens_and_those_before_it_only(shop: Shop) {
    let (first, second, other) = (guest(&shop, "g-1").await, guest(&shop, "g-1").await, guest(&shop, "g-2").await);

    revokes(&shop, "g-1").await;
    let after = guest(&shop, "g-1").await;

    assert_eq!([is_let_in(&first).await, is_let_in(&second).await], [false, false]);
    assert_eq!([is_let_in(&after).await, is_let_in(&other).await], [true, true]);
    revokes(&shop, "g-1").await;
    let last = guest(&shop, "g-1").await;
    assert_eq!([is_let_in(&first).await, is_let_in(&after).await, is_let_in(&last).await], [false, false, true]);
    assert!(is_let_in(&shop.guest("g-1")).await, "an identity system's tokens are its own to revoke");
}

async fn an_open_connection_ends_with_the_next_event_once_its_token_is_revoked(shop: Shop) {
    let (guest, other) = (guest(&shop, "g-1").await, guest(&shop, "g-2").await);
    let order = shop.checkout().creates_order_for(&guest).await;
    let mut socket = guest.watches_order(&order, "status").await;
    let mut others = other.listens().await;
    assert_eq!(socket.event().await["status"], "AWAITING_PAYMENT");

    revokes(&shop, "g-1").await;
    shop.checkout().does("cancelOrder", json!({ "orderId": order }), "order { status }").await;

    assert_eq!(socket.hears().await, Heard::Closed(4403, TOO_LATE.to_owned()));
    others.heard_all().await;
}

async fn a_revoked_token_opens_no_connection(shop: Shop) {
    let guest = guest(&shop, "g-1").await;
    revokes(&shop, "g-1").await;

    let mut socket = shop.opens_socket().await;
    socket.says(&guest.introduction()).await;

    assert_eq!(socket.closes().await, 4403);
    assert!(shop.opens_socket_with(Some(guest.token()), None).await.is_err_and(|why| why.contains("401")));
}

async fn nobody_is_let_in_while_revocation_cannot_be_looked_up(shop: Shop) {
    let guest = guest(&shop, "g-1").await;
    let mut open = guest.listens().await;
    shop.database().await.run("ALTER TABLE anonymous_token RENAME TO hidden").await;

    let (status, body) = guest.sends(json!({ "query": "{ viewer { id } }" }).to_string()).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, outcome(&body)), (503, "UNAVAILABLE".to_owned()));
    open.says(&json!({ "type": "ping" })).await;
    assert_eq!(open.closes().await, 1013);
    let mut socket = shop.opens_socket().await;
    socket.says(&guest.introduction()).await;
    assert_eq!(socket.closes().await, 1013);
    assert!(is_let_in(&shop.user("ada")).await, "others are not concerned");

    shop.database().await.run("ALTER TABLE hidden RENAME TO anonymous_token").await;
    assert!(is_let_in(&guest).await);
}

// rule O9
async fn what_was_claimed_is_out_of_reach_of_the_guests_token(shop: Shop) {
    let guest = guest(&shop, "g-1").await;
    let order = shop.checkout().creates_order_for(&guest).await;
    let claim = json!({ "anonymousUserId": "g-1", "userId": "ada" });
    let claimed = shop.checkout().does("claimAnonymousOrders", claim, "claimedCount").await;
    assert_eq!(claimed["claimedCount"], 1);

    let seen = guest.sees("query($id: ID!) { order(id: $id) { id } }", json!({ "id": order })).await;

    assert_eq!(seen["order"], Value::Null);
    assert!(is_let_in(&guest).await, "only what they own is gone");
}

async fn what_cannot_stand_in_a_token_is_refused_by_name(shop: Shop) {
    for (input, path) in [
        (json!({ "anonymousUserId": "" }), "anonymousUserId"),
        (json!({ "anonymousUserId": "x".repeat(256) }), "anonymousUserId"),
        (json!({ "anonymousUserId": "a\nb" }), "anonymousUserId"),
        (json!({ "ttlSeconds": 59 }), "ttlSeconds"),
        (json!({ "ttlSeconds": 31_536_001 }), "ttlSeconds"),
    ] {
        let refused = till(&shop).does("issueAnonymousToken", input, ISSUED).await;
        assert_eq!((code(&refused), &refused["token"]), (&json!("INVALID_INPUT"), &Value::Null));
        assert_eq!(refused["problem"]["fields"][0]["path"], json!([path]));
    }
}

async fn a_server_without_the_secret_issues_nothing_and_knows_no_such_token(shop: Shop) {
    let guest = guest(&shop, "g-1").await;
    let mall: Mall<1> = Mall::open_with(&shop, &["--introspection=on"]).await;
    let [without] = &mall.shops;
    let fields = "{ __schema { mutationType { fields { name } } } }";

    let tried = till(without).tries("issueAnonymousToken", json!({}), ISSUED).await;

    assert_eq!(outcome(&tried), "UNKNOWN");
    assert_eq!(till(without).sees(fields, json!({})).await["__schema"]["mutationType"], Value::Null);
    let there = Actor::with_token(without, guest.token());
    assert_eq!(told(&there).await, (401, "The bearer token is from another issuer.".to_owned()));
}

async fn a_token_that_cannot_be_revoked_costs_no_look(shop: Shop) {
    let guest = guest(&shop, "g-1").await;
    let looks = async |actor: &Actor| {
        shop.forgets_statements();
        assert!(is_let_in(actor).await);
        shop.statements().iter().filter(|sql| sql.contains("anonymous_token")).count()
    };

    assert_eq!([looks(&guest).await, looks(&shop.guest("g-1")).await, looks(&shop.user("ada")).await], [1, 0, 0]);
}
