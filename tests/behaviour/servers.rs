//! Several processes on one database: the truth is in the database, and none of them is needed.

use std::{
    fs,
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    Engine, News, Shop, code, eventually, fresh_file,
    mall::{Mall, serve, to_serve},
    process::Process,
    run,
    setting::{fresh, setting},
};

on_each_database![
    two_servers_migrate_an_empty_database_at_once,
    a_server_that_dies_as_it_begins_leaves_all_to_the_next,
    an_order_is_paid_across_processes,
    one_key_at_two_servers_makes_one_order,
    clicks_at_two_servers_open_one_session,
    an_attempt_outlives_the_server_that_began_it,
    a_provider_that_is_gone_is_unavailable,
];

/// Somewhere that nobody listens.
const NOWHERE: &str = "http://127.0.0.1:9";

#[test]
fn a_server_that_is_told_to_end_ends_well() {
    let server = serve(&fresh_file("ends-well"), NOWHERE);

    assert_eq!(server.ends_by_sigterm().code(), Some(0));
}

#[test]
fn a_server_that_is_told_to_end_while_it_waits_for_its_database_ends_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("postgres://postgres@{}/orderpay", silent.local_addr().expect("its address"));
    let (starting, _) = Process::begun(to_serve(&url, NOWHERE, &[]));
    // Nothing is ever said on it.
    let _connection = silent.accept().expect("it comes");

    let told_at = Instant::now();
    let ended = starting.ends_by_sigterm();

    assert_eq!(ended.code(), Some(0));
    assert!(told_at.elapsed() < Duration::from_secs(2), "{:?}", told_at.elapsed());
}

#[test]
fn a_sandbox_that_is_told_to_end_ends_well() {
    let database = fresh_file("sandbox");
    let sandbox = Process::start(&[
        "--listen=127.0.0.1:0",
        "--sandbox-webhook-secret=secret",
        "--sandbox-database-url",
        &database,
        "sandbox",
    ]);

    assert_eq!(sandbox.ends_by_sigterm().code(), Some(0));
}

#[test]
fn a_server_that_is_told_to_end_finishes_what_runs() {
    run(Engine::Sqlite, async |shop| {
        let Mall { sandbox, servers: [ending, other], shops: [shop, _] } = Mall::open(&shop).await;
        let order = shop.adas_order().await;
        shop.provider_will("create_session", "slow").await;
        let running = tokio::spawn({
            let (ada, order) = (shop.user("ada"), order.clone());
            async move { ada.tries_to_pay(&order, json!({})).await }
        });
        shop.comes_to_have("payment_attempt").await;

        let ended = tokio::task::spawn_blocking(|| ending.ends_by_sigterm()).await.unwrap();

        let answer = running.await.unwrap();
        assert_eq!((&answer["attempt"]["status"], ended.code()), (&json!("PENDING"), Some(0)));
        drop((sandbox, other));
    });
}

/// A database with nothing in it: its address.
async fn empty(shop: &Shop) -> String {
    match shop.engine() {
        Engine::Sqlite => fresh_file("empty"),
        Engine::Postgres => {
            shop.database().await.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
            shop.database_url().to_owned()
        }
    }
}

// the migration's commit, and that of what a server does by itself as it begins
async fn a_server_that_dies_as_it_begins_leaves_all_to_the_next(shop: Shop) {
    shop.stop().await;
    let log = setting().directory.join(fresh("points-"));
    let mut first = to_serve(&empty(&shop).await, NOWHERE, &["--reconciler=off"]);
    first.env("ORDERPAY_CRASH_LOG", &log);
    let first = Process::of(first);
    let points = eventually("it has begun", async || {
        let passed = fs::read_to_string(&log).unwrap_or_default();
        let points =
            |of: &str| passed.lines().filter(|point| point.contains(of)).map(str::to_owned).collect::<Vec<_>>();
        let points = [points("the migration's commit"), points("src/service/outbox.rs")].concat();
        (points.len() >= 4).then_some(points)
    })
    .await;
    drop(first);

    for point in points {
        let url = empty(&shop).await;
        let mut dying = to_serve(&url, NOWHERE, &["--reconciler=off"]);
        dying.env("ORDERPAY_CRASH_AT", &point);
        // It may listen before it comes there.
        if let Ok(mut dying) = Process::dared(dying, Duration::from_secs(30)) {
            let ended = eventually("it dies", async || dying.ended()).await;
            assert_eq!(ended.code(), None, "{point}");
        }
        let next = serve(&url, NOWHERE);

        let ready = shop.client().get(format!("{}/readyz", next.url)).send().await.unwrap();
        assert_eq!(ready.status(), 200, "{point}");
    }
}

async fn two_servers_migrate_an_empty_database_at_once(shop: Shop) {
    shop.stop().await;
    let url = empty(&shop).await;

    let starting = [(); 2].map(|()| {
        let url = url.clone();
        thread::spawn(move || serve(&url, NOWHERE))
    });

    for server in starting.map(|starting| starting.join().expect("it starts")) {
        let ready = shop.client().get(format!("{}/readyz", server.url)).send().await.unwrap();
        assert_eq!(ready.status(), 200);
    }
}

async fn an_order_is_paid_across_processes(shop: Shop) {
    let mall = Mall::<2>::open(&shop).await;
    let (order, attempt) = mall.shops[0].open_attempt().await;

    mall.shops[0].shopper_pays(&attempt).await;

    let seen = mall.shops[1].user("ada").looks_at(&order).await;
    assert_eq!([&seen["status"], &seen["paymentAttempts"][0]["status"]], ["PAID", "SUCCEEDED"]);
}

// rules I1, K8
async fn one_key_at_two_servers_makes_one_order(shop: Shop) {
    let mall = Mall::<2>::open(&shop).await;
    let mut requests = JoinSet::new();
    for at in 0..10 {
        let shop = mall.shops[at % 2].clone();
        let input =
            json!({ "owner": { "kind": "USER", "id": "ada" }, "cart": crate::support::tea(), "idempotencyKey": "k" });
        requests.spawn(async move { shop.checkout().does("createOrder", input, "order { id }").await });
    }

    let mut answers = requests.join_all().await;

    answers.dedup();
    assert_eq!((answers.len(), code(&answers[0]), shop.count("orders").await), (1, &Value::Null, 1));
}

// rule T2
async fn clicks_at_two_servers_open_one_session(shop: Shop) {
    let mall = Mall::<2>::open(&shop).await;
    let order = mall.shops[0].adas_order().await;
    let mut clicks = JoinSet::new();
    for at in 0..6 {
        let (ada, order) = (mall.shops[at % 2].user("ada"), order.clone());
        let key = json!({ "idempotencyKey": format!("click {at}") });
        clicks.spawn(async move { ada.tries_to_pay(&order, key).await["attempt"]["externalId"].take() });
    }

    let mut sessions = clicks.join_all().await;

    sessions.dedup();
    assert_eq!((sessions.len(), sessions[0].is_string(), shop.count("payment_attempt").await), (1, true, 1));
}

// rules T1, I3, P6
async fn an_attempt_outlives_the_server_that_began_it(shop: Shop) {
    let Mall { sandbox, servers: [first, second], shops: [dying, living] } = Mall::open(&shop).await;
    let order = living.adas_order().await;
    living.provider_will("create_session", "slow").await;
    let waiting = tokio::spawn({
        let (ada, order) = (dying.user("ada"), order.clone());
        async move { ada.tries_to_pay(&order, json!({})).await }
    });
    let begun = eventually("the session is opened, and not answered", async || {
        let seen = living.user("ada").looks_at(&order).await;
        let attempt = seen["paymentAttempts"][0]["id"].as_str()?.to_owned();
        living.session_of(&attempt).await["id"].is_string().then_some(attempt)
    })
    .await;

    drop(first);
    let answer = waiting.await;
    let taken_up = living.user("ada").tries_to_pay(&order, json!({ "idempotencyKey": "another" })).await;

    assert!(answer.is_err(), "the first server answered: {answer:?}");
    let attempt = &taken_up["attempt"];
    assert_eq!(json!([attempt["id"], attempt["status"]]), json!([begun, "PENDING"]));
    assert_eq!(attempt["externalId"], living.session_of(&begun).await["id"]);
    drop((sandbox, second));
}

// rule T1
async fn a_provider_that_is_gone_is_unavailable(shop: Shop) {
    let Mall { sandbox, servers, shops: [shop, _] } = Mall::open(&shop).await;
    let order = shop.adas_order().await;

    drop(sandbox);
    let refused = shop.user("ada").tries_to_pay(&order, json!({})).await;

    assert_eq!([code(&refused), &refused["attempt"]["status"]], ["PROVIDER_UNAVAILABLE", "FAILED"]);
    drop(servers);
}

/// Tells news to a server as a provider does: again and again until it is acknowledged.
async fn tells(shop: Shop, news: News) {
    for _ in 0..50 {
        if shop.webhook(&news.body()).await == 204 {
            return;
        }
    }
    panic!("never acknowledged: {news:?}");
}

/// 200 times the news that an attempt succeeded, and contradicting news between, to both servers at once; then looks at what is booked.
async fn races(shop: Shop, as_one_event: bool) {
    let mall = Mall::<2>::open(&shop).await;
    let (order, attempt) = mall.shops[0].open_attempt().await;
    let success = News::that(&attempt, "succeeded");
    let mut told = vec![];
    for at in 0..200 {
        told.push(if as_one_event { success.clone() } else { success.told_anew() });
        if at % 4 == 0 {
            told.push(News::that(&attempt, ["failed", "cancelled", "expired"][at / 4 % 3]));
        }
    }

    let mut telling = JoinSet::new();
    for (at, news) in told.into_iter().enumerate() {
        telling.spawn(tells(mall.shops[at % 2].clone(), news));
    }
    telling.join_all().await;

    let seen = mall.shops[0].user("ada").looks_at(&order).await;
    let booked = [
        shop.count("payment_transaction").await,
        shop.count("order_snapshot").await,
        shop.count("reconciliation_case").await,
        // Made, then paid: one change each.
        shop.count("outbox WHERE topic = 'ORDER'").await,
    ];
    assert_eq!(
        json!([seen["status"], seen["paymentAttempts"][0]["status"], seen["payments"][0]["status"], booked]),
        json!(["PAID", "SUCCEEDED", "ACTIVE", [1, 1, 0, 2]])
    );
}

// rule T6: between servers there is only PostgreSQL
#[test]
fn two_hundred_copies_of_one_success_among_contradictions_pay_once() {
    run(Engine::Postgres, async |shop| races(shop, true).await);
}

// rule T6
#[test]
fn two_hundred_successes_among_contradictions_pay_once() {
    run(Engine::Postgres, async |shop| races(shop, false).await);
}
