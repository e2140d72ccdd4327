//! What a subscription tells, and to whom: the thing as it is now, then each change that is committed, once and in order.

use chrono::Duration;
use orderpay::{
    auth::{CallerKind, Claims, mint},
    secret::Secret,
};
use serde_json::{Value, json};

use crate::support::{Actor, Engine, Heard, JWT_SECRET, News, Shop, mall::Mall, run};

on_each_database![
    the_whole_story_is_watched,
    an_attempt_is_watched,
    whoever_watches_an_attempt_is_told_that_nobody_is_sent_there_any_more,
    a_payment_is_watched,
    a_change_at_one_server_is_told_at_another,
    what_changes_elsewhere_is_not_told,
    foreign_and_missing_look_the_same,
    whoever_may_not_read_may_not_watch,
    an_order_that_was_claimed_is_told_to_its_guest_no_more,
    a_token_that_expires_ends_the_connection,
    an_expired_token_is_told_nothing_more,
    each_event_shows_what_is_asked_for,
    a_ledger_is_watched_by_auditors_only,
];

const SEEN: &str =
    "status version amountDue { amount } paymentAttempts { status } paymentSummary { amountCaptured { amount } }";

/// The order's changes that are in the table.
async fn told(shop: &Shop) -> i64 {
    shop.count("outbox").await
}

/// The next events, as many as these.
async fn events(socket: &mut crate::support::Socket, count: i64) -> Vec<Value> {
    let mut events = vec![];
    for _ in 0..count {
        events.push(socket.event().await);
    }
    events
}

async fn the_whole_story_is_watched(shop: Shop) {
    let order = shop.adas_order().await;
    let before = told(&shop).await;
    let mut socket = shop.user("ada").watches_order(&order, SEEN).await;

    let first = socket.event().await;
    let attempt = shop.user("ada").attempts_to_pay(&order).await;
    let begun = told(&shop).await;
    let begins = events(&mut socket, begun - before).await;
    shop.shopper_pays(&attempt).await;
    let pays = events(&mut socket, told(&shop).await - begun).await;

    socket.heard_all().await;
    let seen =
        |event: &Value| json!([event["status"], event["paymentAttempts"][0]["status"], event["amountDue"]["amount"]]);
    assert_eq!(seen(&first), json!(["AWAITING_PAYMENT", null, "29.90"]));
    assert_eq!(begins.last().map(seen), Some(json!(["AWAITING_PAYMENT", "PENDING", "29.90"])));
    assert_eq!(pays.last().map(seen), Some(json!(["PAID", "SUCCEEDED", "0.00"])));
    assert_eq!(pays.last().unwrap()["paymentSummary"]["amountCaptured"]["amount"], "29.90");
    let versions: Vec<i64> =
        [first].iter().chain(&begins).chain(&pays).map(|it| it["version"].as_i64().unwrap()).collect();
    assert!(versions.is_sorted(), "{versions:?}");
    assert_eq!(json!([versions.first(), versions.last()]), json!([1, 2]));
}

async fn an_attempt_is_watched(shop: Shop) {
    let (_, attempt) = shop.open_attempt().await;
    let watched = "paymentAttemptUpdated(attemptId: $id)";
    let mut socket = shop.user("ada").watches(watched, &attempt.id, "status redirectUrl order { status }").await;

    let first = socket.event().await;
    shop.shopper_pays(&attempt).await;
    let told = socket.event().await;

    socket.heard_all().await;
    let seen = |event: Value| json!([event["status"], event["redirectUrl"].is_string(), event["order"]["status"]]);
    assert_eq!(seen(first), json!(["PENDING", true, "AWAITING_PAYMENT"]));
    assert_eq!(seen(told), json!(["SUCCEEDED", false, "PAID"]));
}

// rule T5: another session is paid, and the provider can't end this one
async fn whoever_watches_an_attempt_is_told_that_nobody_is_sent_there_any_more(shop: Shop) {
    let (order, given_up) = shop.open_attempt().await;
    shop.hears(&News::that(&given_up, "failed")).await;
    let open = shop.user("ada").attempts_to_pay(&order).await;
    let watched = "paymentAttemptUpdated(attemptId: $id)";
    let mut socket = shop.user("ada").watches(watched, &open.id, "status redirectUrl updatedAt").await;
    let before = socket.event().await;

    shop.moves_time_by(Duration::seconds(1));
    shop.provider_will("cancel_session", "error_500").await;
    shop.shopper_pays(&given_up).await;

    let told = socket.event().await;
    socket.heard_all().await;
    assert_eq!(json!([before["status"], before["redirectUrl"].is_string()]), json!(["PENDING", true]));
    assert_eq!(json!([told["status"], told["redirectUrl"]]), json!(["PENDING", null]));
    assert!(told["updatedAt"].as_str() > before["updatedAt"].as_str(), "{before} became {told}");
}

async fn a_payment_is_watched(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let mut socket = shop
        .user("ada")
        .watches("paymentUpdated(paymentId: $id)", &payment.id, "summary { amountAuthorized { amount } }")
        .await;
    let first = socket.event().await;
    let of_payment = "outbox WHERE topic = 'PAYMENT'";
    let before = shop.count(of_payment).await;

    shop.checkout().authorizes(&payment, "20.00").await;

    let count = shop.count(of_payment).await - before;
    let seen = events(&mut socket, count).await;
    socket.heard_all().await;
    assert_eq!(first["summary"]["amountAuthorized"]["amount"], "0.00");
    assert_eq!(seen.last().unwrap()["summary"]["amountAuthorized"]["amount"], "20.00");
}

async fn a_change_at_one_server_is_told_at_another(shop: Shop) {
    let mall = Mall::<2>::open(&shop).await;
    let order = mall.shops[0].adas_order().await;
    let mut socket = mall.shops[1].user("ada").watches_order(&order, SEEN).await;
    assert_eq!(socket.event().await["status"], "AWAITING_PAYMENT");
    let before = told(&shop).await;

    let attempt = mall.shops[0].user("ada").attempts_to_pay(&order).await;
    mall.shops[0].shopper_pays(&attempt).await;

    let count = told(&shop).await - before;
    let seen = events(&mut socket, count).await;
    socket.heard_all().await;
    assert_eq!(seen.last().unwrap()["status"], "PAID");
}

async fn what_changes_elsewhere_is_not_told(shop: Shop) {
    let [order, other] = [shop.adas_order().await, shop.adas_order().await];
    let mut socket = shop.user("ada").watches_order(&order, "id status").await;
    let mut both = shop.user("ada").watches_order(&other, "id status").await;
    socket.event().await;
    both.event().await;

    shop.checkout().cancels(&other).await;
    let told = both.event().await;

    assert_eq!([&told["id"], &told["status"]], [other.as_str(), "CANCELLED"]);
    socket.heard_all().await;
}

// rule A2
async fn foreign_and_missing_look_the_same(shop: Shop) {
    let known = shop.known_to_ada().await;
    let missing = "00000000-0000-7000-8000-000000000000";
    let fields = [
        ("orderUpdated(orderId: $id)", "ord", &known.order),
        ("paymentUpdated(paymentId: $id)", "pay", &known.payment),
        ("paymentAttemptUpdated(attemptId: $id)", "att", &known.attempt),
    ];
    for (field, kind, foreign) in fields {
        let mut told = vec![];
        for id in [foreign, &format!("{kind}_{missing}")] {
            let mut socket = shop.user("bob").watches(field, id, "id").await;
            let mut payload = socket.payload().await;
            payload["errors"][0]["extensions"]["requestId"].take();
            told.push(payload);
        }
        assert_eq!(told[0], told[1]);
        assert_eq!(
            (&told[0]["data"], &told[0]["errors"][0]["extensions"]["code"]),
            (&Value::Null, &json!("NOT_FOUND"))
        );
    }
}

// rule A3
async fn whoever_may_not_read_may_not_watch(shop: Shop) {
    let order = shop.adas_order().await;
    let mut told = vec![];
    for (actor, id) in [
        (shop.service(&["orders:write", "payments:audit"]), order.as_str()),
        (shop.service(&["orders:read"]), "pay_00000000-0000-7000-8000-000000000000"),
    ] {
        told.push(actor.watches_order(id, "id").await.ends().await);
    }
    let mut socket = shop.service(&["orders:read"]).watches_order(&order, "id").await;

    assert_eq!(told, ["BAD_REQUEST", "INVALID_INPUT"]);
    assert_eq!(socket.event().await["id"], order.as_str());
}

// rules A2, O9: each event is read for who is asking
async fn an_order_that_was_claimed_is_told_to_its_guest_no_more(shop: Shop) {
    let guest = shop.guest("g-1");
    let order = shop.checkout().creates_order_for(&guest).await;
    let mut socket = guest.watches_order(&order, "id status").await;
    socket.event().await;

    let claim = json!({ "anonymousUserId": "g-1", "userId": "ada" });
    shop.checkout().does("claimAnonymousOrders", claim, "claimedCount").await;

    assert_eq!(socket.ends().await, "NOT_FOUND");
    let mut new_owner = shop.user("ada").watches_order(&order, "id").await;
    assert_eq!(new_owner.event().await["id"], order.as_str());
    shop.checkout().cancels(&order).await;
    assert_eq!(new_owner.event().await["id"], order.as_str());
    socket.heard_all().await;
}

/// Ada with a token that expires then; 5 s are left for clocks that differ.
fn ada_until(shop: &Shop, left: Duration) -> Actor {
    let claims = Claims {
        sub: "ada".into(),
        kind: CallerKind::User,
        scope: None,
        exp: (shop.now() + left).timestamp(),
        nbf: None,
        iat: None,
        iss: None,
        aud: None,
    };
    Actor::with_token(shop, &mint(&Secret::new(JWT_SECRET), &claims).expect("a token"))
}

// rule A1
async fn a_token_that_expires_ends_the_connection(shop: Shop) {
    let mall = Mall::<1>::open(&shop).await;
    let shop = &mall.shops[0];
    let order = shop.adas_order().await;
    let mut socket = ada_until(shop, Duration::seconds(-3)).watches_order(&order, "status").await;

    let first = socket.event().await;

    assert_eq!(first["status"], "AWAITING_PAYMENT");
    assert_eq!(socket.hears().await, Heard::Closed(4403, "The bearer token has expired.".into()));
}

// rule A1
async fn an_expired_token_is_told_nothing_more(shop: Shop) {
    let order = shop.adas_order().await;
    let mut socket = shop.user("ada").watches_order(&order, "status").await;
    socket.event().await;

    shop.moves_time_by(Duration::minutes(61));
    shop.checkout().cancels(&order).await;

    assert_eq!(socket.closes().await, 4403);
}

// what is not in the order's row is read anew as well
async fn each_event_shows_what_is_asked_for(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    let selection = "id ... on Order { state: status } snapshot { paymentAttempt { id } }
        payments { lock { purpose } summary { fullyCaptured } order { status } }";
    let mut socket = shop.user("ada").watches_order(&order, selection).await;
    let first = socket.event().await;

    let before = told(&shop).await;
    shop.shopper_pays(&attempt).await;

    let count = told(&shop).await - before;
    let last = events(&mut socket, count).await.pop().unwrap();
    let seen = |it: &Value| {
        json!([
            it["state"],
            it["snapshot"]["paymentAttempt"]["id"],
            it["payments"][0]["summary"]["fullyCaptured"],
            it["payments"][0]["order"]["status"]
        ])
    };
    assert_eq!(seen(&first), json!(["AWAITING_PAYMENT", null, false, "AWAITING_PAYMENT"]));
    assert_eq!(seen(&last), json!(["PAID", attempt.id, true, "PAID"]));
}

// rules A3, A4
async fn a_ledger_is_watched_by_auditors_only(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.checkout().authorizes(&payment, "20.00").await;
    let watched = "paymentUpdated(paymentId: $id)";
    let mut auditor = shop.back_office().watches(watched, &payment.id, "transactions { kind }").await;
    let mut owner = shop.user("ada").watches(watched, &payment.id, "transactions { kind }").await;

    assert_eq!(auditor.event().await["transactions"][0]["kind"], "AUTHORIZE");
    assert_eq!(owner.ends().await, "BAD_REQUEST");
}

/// Begins a transaction that tells of an order, past the server. It has its id, and is not committed.
async fn begins_to_tell_of(shop: &Shop, order: &str) {
    let id = shop.database().await.id_of(order);
    let told = "INSERT INTO outbox (topic, order_id, subject_id, created_at) SELECT 'ORDER', id, id, now() FROM orders";
    shop.database().await.run(&format!("BEGIN; {told} WHERE id = {id}")).await;
}

// on PostgreSQL an id is given before the row is committed
#[test]
fn a_change_with_a_lower_id_that_is_committed_later_is_told() {
    run(Engine::Postgres, async |shop| {
        let [early, late] = [shop.adas_order().await, shop.adas_order().await];
        let [mut of_early, mut of_late] =
            [shop.user("ada").watches_order(&early, "id").await, shop.user("ada").watches_order(&late, "id").await];
        of_early.event().await;
        of_late.event().await;
        let database = shop.database().await;

        begins_to_tell_of(&shop, &early).await;
        shop.checkout().cancels(&late).await;
        of_late.event().await;
        of_early.heard_all().await;
        let mut came_meanwhile = shop.user("ada").watches_order(&early, "id").await;
        came_meanwhile.event().await;
        database.run("COMMIT").await;

        assert_eq!(of_early.event().await["id"], early.as_str());
        assert_eq!(came_meanwhile.event().await["id"], early.as_str());
        of_early.heard_all().await;
        of_late.heard_all().await;
    });
}

// the first to watch finds a transaction at work that has its id already
#[test]
fn a_change_that_was_under_way_when_somebody_began_to_watch_is_told() {
    run(Engine::Postgres, async |shop| {
        let [early, late] = [shop.adas_order().await, shop.adas_order().await];
        let database = shop.database().await;

        begins_to_tell_of(&shop, &early).await;
        shop.checkout().cancels(&late).await;
        let mut socket = shop.user("ada").watches_order(&early, "id").await;
        socket.event().await;
        database.run("COMMIT").await;

        assert_eq!(socket.event().await["id"], early.as_str());
        socket.heard_all().await;
    });
}
