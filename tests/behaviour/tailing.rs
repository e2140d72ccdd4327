//! What becomes of those who watch when something breaks: the change is told all the same, or they are told that it can't be.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{sync::watch, task::JoinSet};

use crate::support::{
    Engine, Heard, Shop, Socket, eventually,
    mall::{Mall, serve},
    run,
};

on_each_database![
    changes_that_can_not_be_read_end_all_subscriptions,
    changes_that_are_gone_end_all_subscriptions,
    old_changes_are_removed,
    a_server_goes_on_when_what_it_saw_last_is_removed_for_its_age,
];

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
        // What is told does not show it: the server looks by itself every second.
        let listening = "pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        eventually("it listens again", async || (shop.count(listening).await == 1).then_some(())).await;
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

#[test]
fn whoever_waits_for_a_turn_to_be_told_is_told_in_time_that_it_can_not_be() {
    run(Engine::Postgres, async |shop| {
        let order = shop.adas_order().await;
        let mut socket = shop.user("ada").listens().await;
        let document = "subscription($id: ID!) { orderUpdated(orderId: $id) { payments { id } } }";
        for id in 1..=20 {
            socket.subscribes(&id.to_string(), document, json!({ "id": order })).await;
        }
        for _ in 1..=20 {
            assert!(matches!(socket.hears().await, Heard::Message(told) if told["type"] == "next"));
        }

        // The change can be read, and what it is shown with can't: two at once find out, after 8 s.
        let holder = shop.another_look().await;
        holder.run("BEGIN; LOCK TABLE payment IN ACCESS EXCLUSIVE MODE").await;
        shop.database().await.changes(&order, 1).await;
        let (begun, mut told) = (Instant::now(), vec![]);
        while told.len() < 20 {
            match socket.hears_within(Duration::from_secs(60)).await {
                Some(Heard::Message(message)) if message["type"] == "next" => {
                    told.push(message["payload"]["errors"][0]["extensions"]["code"].clone());
                }
                other => assert!(matches!(other, Some(Heard::Message(_))), "{other:?}"),
            }
        }
        let took = begun.elapsed();
        holder.run("ROLLBACK").await;

        assert_eq!(told, ["UNAVAILABLE"; 20]);
        assert!(took < Duration::from_secs(45), "{took:?}");
    });
}

/// As in a database that takes over and had not come as far: what was told of an order is gone, and its ids will be given out again.
async fn loses_the_last(shop: &Shop, changes: usize) {
    let newest = format!("id > (SELECT max(id) FROM outbox) - {changes}");
    let (begin, again) = match shop.engine() {
        Engine::Sqlite => {
            ("BEGIN IMMEDIATE", "UPDATE sqlite_sequence SET seq = (SELECT max(id) FROM outbox) WHERE name = 'outbox'")
        }
        Engine::Postgres => {
            ("BEGIN", "SELECT setval(pg_get_serial_sequence('outbox', 'id'), (SELECT max(id) FROM outbox))")
        }
    };
    let orders = format!("UPDATE orders SET version = version - {changes}");
    shop.database().await.run(&format!("{begin}; DELETE FROM outbox WHERE {newest}; {orders}; {again}; COMMIT")).await;
}

async fn changes_that_are_gone_end_all_subscriptions(shop: Shop) {
    let order = shop.adas_order().await;
    let mut socket = shop.user("ada").watches_order(&order, "version").await;
    socket.event().await;
    shop.database().await.changes(&order, 3).await;
    for version in 2..=4 {
        assert!(socket.event().await["version"].as_i64() >= Some(version));
    }

    loses_the_last(&shop, 2).await;
    shop.database().await.changes(&order, 1).await;

    assert_eq!(socket.ends().await, "UNAVAILABLE");
    let mut again = shop.user("ada").watches_order(&order, "version").await;
    assert_eq!(again.event().await["version"], 3);
    shop.database().await.changes(&order, 1).await;
    assert_eq!(again.event().await["version"], 4);
}

#[test]
fn changes_that_were_gone_when_connections_came_back_end_all_subscriptions() {
    run(Engine::Postgres, async |shop| {
        let mall = Mall::<1>::open(&shop).await;
        let [shop] = &mall.shops;
        let [order, other] = [shop.adas_order().await, shop.adas_order().await];
        let mut socket = shop.user("ada").watches_order(&order, "version").await;
        socket.event().await;
        let database = shop.database().await;
        database.changes(&order, 2).await;
        for _ in 0..2 {
            socket.event().await;
        }

        database.run("BEGIN; LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE").await;
        database.number(KILL).await;
        database.run("DELETE FROM outbox WHERE id > (SELECT max(id) FROM outbox) - 2").await;
        database.run("SELECT setval(pg_get_serial_sequence('outbox', 'id'), (SELECT max(id) FROM outbox))").await;
        database.run("COMMIT").await;
        // As many as were lost, and more: by its id the newest one comes after what was told.
        database.changes(&other, 5).await;

        assert_eq!(socket.ends().await, "UNAVAILABLE");
    });
}

async fn a_server_goes_on_when_what_it_saw_last_is_removed_for_its_age(shop: Shop) {
    let order = shop.adas_order().await;
    let old = "UPDATE outbox SET created_at = '2020-01-01 00:00:00.000000+00:00'";
    shop.database().await.run(old).await;
    let mut socket = shop.user("ada").watches_order(&order, "version").await;
    socket.event().await;

    let second = shop.second(&[]).await;
    eventually("it is removed", async || (shop.count("outbox").await == 0).then_some(())).await;
    shop.database().await.changes(&order, 1).await;

    assert_eq!(socket.event().await["version"], 2);
    second.stop().await;
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
