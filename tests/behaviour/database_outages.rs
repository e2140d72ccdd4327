//! PostgreSQL that is killed, falls silent, is slow, or has no place: requests end in time, nothing has to be started again, and the work goes on once it
//! is back.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::{
    net::TcpListener,
    task::{JoinSet, spawn_blocking},
    time::{Instant, sleep, timeout},
};

use crate::support::{
    Actor, Database, Shop,
    cluster::Cluster,
    database::Look,
    eventually, is_discreet,
    mall::serve,
    outcome,
    proxy::{Proxy, Weather},
    runtime, say, tea,
};

/// How soon all is well again once the database is.
const HEALING: Duration = Duration::from_secs(5);
/// So long nobody asks, where little is to do.
const QUIET: Duration = Duration::from_millis(1200);
/// How soon readiness follows the database: two seconds, and what a busy machine adds.
const SOON: Duration = Duration::from_secs(3);
/// Longer than any request may take: a connection, a statement, and what a busy machine adds.
const LONGEST: Duration = Duration::from_secs(25);

/// A shop on a PostgreSQL of its own: the network leads to the machine, and the machine to PostgreSQL.
struct Scene {
    cluster: Cluster,
    name: String,
    network: Proxy,
    machine: Proxy,
    shop: Shop,
}

/// Runs a test on a PostgreSQL of its own, where there is one.
fn on_a_cluster(settings: &'static [&'static str], test: impl AsyncFnOnce(Scene)) {
    let Some(cluster) = Cluster::start() else { return };
    let name = cluster.create();
    runtime().block_on(async {
        let machine = Proxy::to(cluster.address).await;
        let network = Proxy::to(machine.address).await;
        let database = Database::at(&Cluster::url_at(network.address, &name));
        let shop = Shop::open_with(database, settings).await;
        test(Scene { cluster, name, network, machine, shop }).await;
    });
}

impl Scene {
    /// A look into the database past the network.
    async fn look(&self) -> Look {
        Look::at(&Cluster::url_at(self.cluster.address, &self.name)).await
    }
}

/// What is answered to a query, or to a mutation that makes an order, in one word.
async fn asks(actor: &Actor, change: bool) -> String {
    let (document, variables) = match change {
        false => {
            ("query($owner: ID!) { userOrders(userId: $owner, first: 1) { totalCount } }", json!({ "owner": "ada" }))
        }
        true => (
            "mutation($input: CreateOrderInput!) { createOrder(input: $input) { order { id } problem { code } } }",
            json!({ "input": { "owner": actor.shop.user("ada").as_owner(), "cart": tea(), "idempotencyKey": actor.shop.fresh_key() } }),
        ),
    };
    let sent = actor.sends(json!({ "query": document, "variables": variables }).to_string());
    let (_, answer) = timeout(LONGEST, sent).await.expect("it is answered in time");
    is_discreet(&answer);
    outcome(&serde_json::from_str(&answer).expect("JSON"))
}

/// So many at once, half of them changes: how each was answered.
async fn crowd(shop: &Shop, size: usize) -> Vec<String> {
    crowd_with(shop, size, |at| at % 2 == 0).await
}

async fn crowd_with(shop: &Shop, size: usize, changes: fn(usize) -> bool) -> Vec<String> {
    let mut crowd = JoinSet::new();
    for at in 0..size {
        let checkout = shop.checkout();
        crowd.spawn(async move { asks(&checkout, changes(at)).await });
    }
    crowd.join_all().await
}

/// From now on, within the time that healing may take, all is well, it stays so, and nothing is wrong with the books. Those who only read come first: they
/// begin no transaction, with which a broken connection would be found out and closed.
async fn heals(shop: &Shop) {
    let deadline = Instant::now() + HEALING;
    for changes in [|_| false, |at| at % 2 == 0] {
        loop {
            let asked = Instant::now();
            let told = crowd_with(shop, 8, changes).await;
            if told == ["ok"; 8] {
                break;
            }
            assert!(asked < deadline, "it does not heal: {told:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
    for _ in 0..5 {
        assert_eq!(crowd(shop, 8).await, ["ok"; 8], "it does not stay well");
    }
    shop.was_left_sound().await;
}

async fn status(shop: &Shop, path: &str) -> u16 {
    shop.client().get(shop.url(path)).send().await.expect("it answers").status().as_u16()
}

// F2: where one backend dies of a signal, PostgreSQL ends them all.
#[test]
fn a_backend_that_is_killed_is_forgotten_at_once() {
    on_a_cluster(&[], async |scene| {
        assert_eq!(crowd(&scene.shop, 20).await, ["ok"; 20]);
        let look = scene.look().await;
        let victim = look.number("SELECT max(pid)::bigint AS n FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()").await;

        let killed = Command::new("sh").args(["-c", &format!("kill -9 {victim}")]).status();

        assert!(killed.is_ok_and(|killed| killed.success()));
        heals(&scene.shop).await;
        assert_eq!(status(&scene.shop, "/readyz").await, 200);
        scene.shop.stop().await;
    });
}

// F3
#[test]
fn a_postgresql_that_is_killed_is_missed_and_found_again() {
    on_a_cluster(&[], async |scene| {
        let Scene { mut cluster, shop, .. } = scene;
        assert_eq!(crowd(&shop, 20).await, ["ok"; 20]);

        cluster = spawn_blocking(move || {
            cluster.kill();
            cluster
        })
        .await
        .unwrap();
        let told = crowd(&shop, 8).await;
        let while_gone = [status(&shop, "/healthz").await, status(&shop, "/readyz").await];
        let cluster = spawn_blocking(move || {
            cluster.restart();
            cluster
        })
        .await
        .unwrap();

        // What was asked while nobody was there is never told to have been done; only a commit without an answer is a fault.
        assert!(told.iter().all(|word| word == "UNAVAILABLE"), "{told:?}");
        assert_eq!(while_gone, [200, 503]);
        heals(&shop).await;
        assert_eq!(status(&shop, "/readyz").await, 200);
        shop.stop().await;
        drop(cluster);
    });
}

// F6
#[test]
fn a_network_that_swallows_everything_holds_nobody_for_ever() {
    on_a_cluster(&["--database-connections=5"], async |scene| {
        is_swallowed(&scene, &scene.network, |at| at % 2 == 0, || scene.network.turns(Weather::Clear)).await;
    });
}

// F6: where a machine vanished, nobody ever tells those who were connected to it.
#[test]
fn connections_to_a_machine_that_vanished_are_given_up() {
    on_a_cluster(&["--database-connections=5"], async |scene| {
        // Those who only read hold no transaction that would end with its connection.
        is_swallowed(&scene, &scene.machine, |_| false, || scene.network.leads_to(scene.cluster.address)).await;
    });
}

// F2: a connection on which nobody asked for a while is tried first.
#[test]
fn after_a_quiet_time_nobody_meets_a_connection_that_died_meanwhile() {
    on_a_cluster(&[], async |scene| {
        let Scene { mut cluster, shop, .. } = scene;
        assert_eq!(crowd(&shop, 20).await, ["ok"; 20]);
        sleep(QUIET).await;
        // Where nobody took a connection for so long, the first who does sends the others back to where they were made.
        assert_eq!(crowd(&shop, 1).await, ["ok"]);

        cluster = spawn_blocking(move || {
            cluster.kill();
            cluster.restart();
            cluster
        })
        .await
        .unwrap();
        sleep(QUIET).await;

        assert_eq!(crowd_with(&shop, 8, |_| false).await, ["ok"; 8]);
        shop.stop().await;
        drop(cluster);
    });
}

/// In the middle of traffic a network begins to swallow everything. Everybody is answered all the same, and when it has an end all is well.
async fn is_swallowed(scene: &Scene, network: &Proxy, changes: fn(usize) -> bool, ends: impl FnOnce()) {
    let shop = &scene.shop;
    assert_eq!(crowd(shop, 20).await, ["ok"; 20]);
    shop.forgets_statements();
    let traffic = tokio::spawn({
        let shop = shop.clone();
        async move { crowd_with(&shop, 40, changes).await }
    });
    eventually("they are at work", async || (shop.statements().len() > 20).then_some(())).await;

    network.turns(Weather::Swallowing);
    // Those that were under way, those that meet connections that seem well, and those that find none.
    let told = [traffic.await.unwrap(), crowd(shop, 20).await, crowd(shop, 20).await].concat();
    let alive = status(shop, "/healthz").await;
    ends();

    assert!(told.iter().all(|word| ["ok", "UNAVAILABLE", "INTERNAL"].contains(&word.as_str())), "{told:?}");
    assert!(told[40..].iter().all(|word| word == "UNAVAILABLE"), "{told:?}");
    assert_eq!(alive, 200);
    heals(shop).await;
    shop.stop().await;
}

/// How long it takes until readiness is told by this status. The process is alive all the while.
async fn turns(shop: &Shop, wanted: u16) -> Duration {
    let begun = Instant::now();
    eventually("readiness follows the database", async || {
        assert_eq!(status(shop, "/healthz").await, 200);
        (status(shop, "/readyz").await == wanted).then_some(())
    })
    .await;
    begun.elapsed()
}

// T9
#[test]
fn readiness_goes_and_comes_with_the_database() {
    on_a_cluster(&["--database-connections=5"], async |scene| {
        let Scene { mut cluster, network, shop, .. } = scene;
        assert_eq!((crowd(&shop, 8).await, status(&shop, "/readyz").await), (vec!["ok".to_owned(); 8], 200));

        network.turns(Weather::Swallowing);
        let gone = turns(&shop, 503).await;
        network.turns(Weather::Clear);
        let back = turns(&shop, 200).await;
        cluster = spawn_blocking(move || {
            cluster.kill();
            cluster
        })
        .await
        .unwrap();
        let killed = turns(&shop, 503).await;
        let cluster = spawn_blocking(move || {
            cluster.restart();
            cluster
        })
        .await
        .unwrap();
        let restarted = turns(&shop, 200).await;

        let all = [gone, back, killed, restarted];
        let told = all.map(|time| time.as_millis());
        say(&format!(
            "a server that loses its database is not ready after so many ms, and is again (silence, kill): {told:?}"
        ));
        assert!(all.iter().all(|time| *time < SOON), "{told:?}");
        heals(&shop).await;
        shop.stop().await;
        drop(cluster);
    });
}

// F7: two seconds more for each question and its answer are more than a crowd can wait for.
#[test]
fn a_slow_database_is_slow_for_a_few_and_refuses_the_rest() {
    on_a_cluster(&["--database-connections=5"], async |scene| {
        let shop = &scene.shop;
        assert_eq!(crowd(shop, 20).await, ["ok"; 20]);

        scene.network.turns(Weather::Slow(Duration::from_millis(100)));
        let slow = crowd(shop, 60).await;
        scene.network.turns(Weather::Slow(Duration::from_secs(1)));
        let slower = crowd(shop, 60).await;
        let alive = status(shop, "/healthz").await;
        scene.network.turns(Weather::Clear);

        for told in [&slow, &slower] {
            assert!(told.iter().all(|word| word == "ok" || word == "UNAVAILABLE"), "{told:?}");
            assert!(told.iter().any(|word| word == "UNAVAILABLE"), "none was refused: {told:?}");
        }
        assert!(slow.iter().any(|word| word == "ok"), "{slow:?}");
        assert_eq!(alive, 200);
        heals(shop).await;
        shop.stop().await;
    });
}

// F9
#[test]
fn a_server_that_finds_no_place_at_postgresql_waits_for_one() {
    on_a_cluster(&[], async |scene| {
        let Scene { cluster, name, shop, .. } = scene;
        let look = Look::at(&cluster.url(&name)).await;
        look.run("CREATE ROLE tenant LOGIN SUPERUSER; ALTER ROLE tenant NOSUPERUSER CONNECTION LIMIT 0").await;
        look.run("GRANT ALL ON SCHEMA public TO tenant; GRANT ALL ON ALL TABLES IN SCHEMA public TO tenant").await;
        look.run("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO tenant").await;
        let url = Cluster::url_at(cluster.address, &name).replace("postgres@", "tenant@");
        let starting = spawn_blocking(move || serve(&url, "http://127.0.0.1:9"));
        // It is refused again and again.
        eventually("it is refused", async || {
            let refused = cluster.log().matches("too many connections for role").count();
            (refused > 10).then_some(())
        })
        .await;
        assert_eq!((crowd(&shop, 8).await, starting.is_finished()), (vec!["ok".to_owned(); 8], false));

        look.run("ALTER ROLE tenant CONNECTION LIMIT 20").await;

        let server = starting.await.expect("it starts");
        assert_eq!(status(&shop.at(&server.url, ""), "/readyz").await, 200);
        shop.stop().await;
    });
}

// F9
#[test]
fn a_server_may_be_started_before_its_postgresql() {
    on_a_cluster(&[], async |scene| {
        let Scene { cluster, name, network, shop, .. } = scene;
        shop.stop().await;
        // Whoever listens there is not PostgreSQL yet.
        let (nobody, tries) = (TcpListener::bind("127.0.0.1:0").await.expect("a port"), Arc::new(AtomicUsize::new(0)));
        network.leads_to(nobody.local_addr().expect("its address"));
        let tried = Arc::clone(&tries);
        tokio::spawn(async move {
            while nobody.accept().await.is_ok() {
                tried.fetch_add(1, Ordering::Relaxed);
            }
        });
        let url = Cluster::url_at(network.address, &name);
        let starting = spawn_blocking(move || serve(&url, "http://127.0.0.1:9"));
        eventually("it tries", async || (tries.load(Ordering::Relaxed) > 4).then_some(())).await;
        assert!(!starting.is_finished());

        network.leads_to(cluster.address);

        let server = starting.await.expect("it starts");
        assert_eq!(status(&shop.at(&server.url, ""), "/readyz").await, 200);
        drop(cluster);
    });
}
