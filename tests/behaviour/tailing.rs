//! What becomes of those who watch when something breaks: the change is told all the same, or they are told that it can't be.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{sync::watch, task::JoinSet};

use crate::support::{
    Engine, Heard, Shop, Socket, eventually,
    mall::{Mall, serve},
    run,
};

on_each_database![changes_that_can_not_be_read_end_all_subscriptions, old_changes_are_removed];

/// Every connection to this database but the one that asks.
const KILL: &str = "SELECT count(pg_terminate_backend(pid)) AS n FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[test]
fn a_stream_goes_on_without_a_gap_when_connections_to_the_database_are_killed() {
    run(Engine::Postgres, async |shop| {
        let mall = Mall::<1>::open(&shop).await;
        let [shop] = &mall.shops;
        let order = shop.adas_order().await;
        let mut socket = shop.user("ada").watches_order(&order, "version payments { id } paymentAttempts { id }").await;
        assert_eq!(socket.event().await["version"], 1);
        let database = shop.database().await;

        for version in 2..=20 {
            // Now all of them, now the one that listens.
            let only = if version % 2 == 0 { "" } else { "AND query LIKE 'LISTEN%'" };
            database.number(&format!("{KILL} {only}")).await;
            database.changes(&order, 1).await;
            assert_eq!(socket.event().await["version"], version);
        }

        socket.heard_all().await;
    });
}

#[test]
fn what_happens_while_connections_are_killed_is_told_once_each() {
    run(Engine::Postgres, async |shop| {
        let mall = Mall::<1>::open(&shop).await;
        let [shop] = &mall.shops;
        let order = shop.adas_order().await;
        let mut socket = shop.user("ada").watches_order(&order, "version").await;
        socket.event().await;
        let database = shop.database().await;

        let mut versions = vec![];
        for _ in 0..30 {
            // What listens is woken, so that connections are killed while it reads and tells.
            database.changes(&order, 3).await;
            database.run("NOTIFY orderpay_outbox").await;
            for _ in 0..3 {
                database.number(KILL).await;
            }
            database.changes(&order, 2).await;
            for _ in 0..5 {
                versions.push(socket.event().await["version"].as_i64().unwrap());
            }
        }

        socket.heard_all().await;
        assert!(versions.is_sorted() && versions.last() == Some(&151), "{versions:?}");
    });
}

async fn changes_that_can_not_be_read_end_all_subscriptions(shop: Shop) {
    let order = shop.adas_order().await;
    let mut socket = shop.user("ada").watches_order(&order, "status").await;
    socket.event().await;

    shop.database().await.run("ALTER TABLE outbox RENAME TO gone").await;
    let begun = Instant::now();
    let ended = loop {
        match socket.hears_within(Duration::from_secs(60)).await {
            Some(Heard::Message(message)) => break message,
            other => assert!(other.is_some() && begun.elapsed().as_secs() < 60, "{other:?}"),
        }
    };
    shop.database().await.run("ALTER TABLE gone RENAME TO outbox").await;

    assert_eq!(ended["payload"]["errors"][0]["extensions"]["code"], "UNAVAILABLE");
    let mut again = shop.user("ada").watches_order(&order, "status").await;
    again.event().await;
    shop.checkout().cancels(&order).await;
    assert_eq!(again.event().await["status"], "CANCELLED");
}

async fn old_changes_are_removed(shop: Shop) {
    let order = shop.adas_order().await;
    let id = shop.database().await.id_of(&order);
    let old = |day: &str| {
        format!(
            "INSERT INTO outbox (topic, order_id, subject_id, created_at)
            SELECT 'PAYMENT', id, id, '2020-01-0{day} 00:00:00.000000+00:00' FROM orders WHERE id = {id}"
        )
    };
    for day in ["1", "2"] {
        shop.database().await.run(&old(day)).await;
    }

    let second = shop.second(&[]).await;

    eventually("they are removed", async || (shop.count("outbox WHERE topic = 'PAYMENT'").await == 0).then_some(()))
        .await;
    assert_eq!(shop.count("outbox").await, 1);
    second.stop().await;
}

/// Watches an order at whichever server is there, and again at the next one when it is gone, until it has come to this version.
async fn sees_it_come_to(version: i64, order: String, mut shops: watch::Receiver<Shop>) -> Result<usize, String> {
    let (mut seen, mut times) = (0, 0);
    loop {
        let shop = shops.borrow_and_update().clone();
        let mut socket = match watches(&shop, &order).await {
            Some(socket) => socket,
            None => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        times += 1;
        while let Some(Heard::Message(message)) = socket.hears_within(Duration::from_secs(20)).await {
            let told = message["payload"]["data"]["orderUpdated"]["version"].as_i64();
            let told = told.ok_or_else(|| format!("no event: {message}"))?;
            if told < seen {
                return Err(format!("{told} came after {seen}"));
            }
            seen = told;
            if seen == version {
                return Ok(times);
            }
        }
    }
}

/// A subscription, if the server is there.
async fn watches(shop: &Shop, order: &str) -> Option<Socket> {
    let ada = shop.user("ada");
    let mut socket = shop.tries_to_open_socket().await?;
    socket.says(&ada.introduction()).await;
    socket.hears_within(Duration::from_secs(20)).await.filter(|heard| matches!(heard, Heard::Message(_)))?;
    let document = "subscription($id: ID!) { orderUpdated(orderId: $id) { version } }";
    socket.subscribes("1", document, json!({ "id": order })).await;
    Some(socket)
}

/// Changes four orders, at once on PostgreSQL, while the server at which they are watched is killed again and again.
async fn kills(shop: Shop, kills: usize, changes: usize) {
    let Mall { sandbox, servers: [server], shops: [first] } = Mall::open(&shop).await;
    let mut orders = vec![];
    for _ in 0..4 {
        orders.push(first.adas_order().await);
    }
    let each = changes / orders.len() / (kills + 1);
    let last = i64::try_from(each * (kills + 1) + 1).unwrap();
    let (tells, shops) = watch::channel(first.clone());
    let mut watching = JoinSet::new();
    for order in &orders {
        watching.spawn(sees_it_come_to(last, order.clone(), shops.clone()));
    }

    let mut server = Some(server);
    for round in 0..=kills {
        let mut changing = JoinSet::new();
        for order in orders.clone() {
            let shop = shop.at(&first.url(""), "");
            changing.spawn(async move { shop.database().await.changes(&order, each).await });
        }
        if round < kills {
            drop(server.take());
            let next = serve(shop.database_url(), &sandbox.url);
            tells.send_replace(shop.at(&next.url, &sandbox.url));
            server = Some(next);
        }
        changing.join_all().await;
    }

    while let Some(seen) = watching.join_next().await {
        let times = seen.unwrap();
        assert!(times.as_ref().is_ok_and(|times| *times > 1), "{times:?}");
    }
}

// P19
#[test]
fn no_change_is_lost_in_fifty_kills_of_the_server_that_tells_it() {
    run(Engine::Postgres, async |shop| kills(shop, 50, 10_000).await);
}

// P19
#[test]
fn no_change_is_lost_in_kills_of_the_server_that_tells_it_on_sqlite() {
    run(Engine::Sqlite, async |shop| kills(shop, 10, 2_000).await);
}
