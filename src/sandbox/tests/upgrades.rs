//! A store that an earlier version made: it goes on working, and loses nothing of what it held.

use sea_orm::{ConnectionTrait, Database};

use super::transactions::ask;
use super::*;

/// A file as the first version left it, for a shop that takes its news there.
async fn first_version(shop: &str) -> Place {
    let place = Place::new();
    let db = Database::connect(place.database_url()).await.unwrap();
    let made = include_str!("version_0.sql").replace("HOOK", &format!("{shop}/hook"));
    db.execute_unprepared(&made).await.unwrap();
    db.close().await.unwrap();
    place
}

#[tokio::test]
async fn an_earlier_file_keeps_its_books_its_news_and_its_sessions() {
    let mut world = World::new().await;
    let place = first_version(&world.shop).await;
    let upgraded = place.open(TTL, Limits::default()).await;
    world.sandbox = format!("http://{}", serve(upgraded.router()).await);
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    tokio::spawn(async move { upgraded.deliver_webhooks(stop).await });

    // What was due still is, as often as it was; what was done with is not told again.
    let told = [world.event().await, world.event().await, world.event().await];
    assert_eq!(told.map(|event| event["id"].clone()), ["evt_3", "evt_4", "evt_4"]);
    let (_, ledger) = world.call("/v1/ledger", None).await.unwrap();
    assert_eq!(
        ledger["movements"],
        json!([{
            "id": "mov_1", "reference": "paid", "session_id": "ses_paid", "transaction_id": null,
            "kind": "authorize_and_capture", "amount": 4200, "currency": "EUR", "at": "2023-11-14T22:13:20.002Z",
        }])
    );

    world.press("ses_open", "outcome=pay").await;
    assert_eq!(world.news().await, "session.succeeded");
    world.session("new").await;
    assert_eq!(world.outcome(ask("a", "refund", 4200).on("paid")).await, "succeeded");
    assert_eq!(world.outcome(ask("b", "refund", 1).on("paid")).await, "amount_too_large");
    assert_eq!(world.outcome(ask("c", "refund", 100).on("open").by("tok_duplicate_webhook")).await, "pending");
    assert_eq!([world.news().await, world.news().await], ["transaction.pending", "transaction.succeeded"]);
    assert!(world.books(None).await.starts_with("authorize_and_capture 4200, authorize_and_capture 100, refund 4200"));
}

#[tokio::test]
async fn an_earlier_file_is_upgraded_once_however_many_open_it() {
    let world = World::new().await;
    let place = Arc::new(first_version(&world.shop).await);
    let mut opened = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let place = Arc::clone(&place);
        opened.spawn(async move { place.open(TTL, Limits::default()).await });
    }
    assert_eq!(opened.join_all().await.len(), 4);

    assert_eq!(shape(&place).await, shape(&world.place).await);
    let again = place.open(TTL, Limits::default()).await;
    let world = World { sandbox: format!("http://{}", serve(again.router()).await), ..world };
    assert_eq!(world.books(None).await, "authorize_and_capture 4200");
    let events = "SELECT position || ' ' || subject || ' ' || state || ' ' || copies_left || ' ' || attempts AS line
                  FROM sandbox_event ORDER BY position";
    assert_eq!(
        lines(&place, events).await,
        ["1 ses_paid delivered 0 0", "2 ses_paid abandoned 1 99", "3 ses_paid due 1 2", "4 ses_paid due 2 0"]
    );
    assert_eq!(lines(&place, "SELECT CAST(seq AS TEXT) AS line FROM sqlite_sequence").await, ["4"]);
}

/// Every table and index of a store, as it was made.
async fn shape(place: &Place) -> Vec<String> {
    lines(place, "SELECT coalesce(sql, name) AS line FROM sqlite_master ORDER BY type, name").await
}

async fn lines(place: &Place, query: &str) -> Vec<String> {
    let db = Database::connect(place.database_url()).await.unwrap();
    let rows = db.query_all_raw(rows::sql(query, [])).await.unwrap();
    rows.iter().map(|row| row.try_get("", "line").unwrap()).collect()
}
