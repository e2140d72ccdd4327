//! More than the server can do, or than one caller may ask for: refused at once, with a word on when to come again, and others are served.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use orderpay::sandbox::sign;

use crate::support::{Actor, Engine, Heard, News, Shop, WEBHOOK_SECRET, eventually, outcome, run_with};

const LOOK: &str = "{ viewer { id } }";

/// An answer as one who is refused looks at it: its status, its code (or `ok`), and its Retry-After.
#[derive(Debug, PartialEq, Eq)]
struct Told(u16, String, Option<u64>);

impl Told {
    fn ok() -> Self {
        Self(200, "ok".into(), None)
    }

    fn refused(status: u16, code: &str, after: u64) -> Self {
        Self(status, code.into(), Some(after))
    }

    async fn by(answer: Response) -> Self {
        let after = answer.headers().get("retry-after").map(|after| after.to_str().unwrap().parse().expect("a number"));
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap_or_default();
        let code = body["errors"][0]["extensions"]["code"].as_str().unwrap_or("ok").to_owned();
        Self(status, code, after)
    }
}

async fn looks(actor: &Actor) -> Told {
    let request = actor.shop.client().post(actor.shop.url("/graphql")).bearer_auth(actor.token());
    Told::by(request.json(&json!({ "query": LOOK })).send().await.unwrap()).await
}

async fn status(shop: &Shop, path: &str) -> u16 {
    shop.client().get(shop.url(path)).send().await.unwrap().status().as_u16()
}

/// Orders that these shoppers are about to pay.
async fn orders_of(shop: &Shop, shoppers: &[&str]) -> Vec<(Actor, String)> {
    let mut orders = vec![];
    for shopper in shoppers {
        let shopper = shop.user(shopper);
        let order = shop.checkout().creates_order_for(&shopper).await;
        orders.push((shopper, order));
    }
    orders
}

/// Mutations that run for as long as the provider takes to answer: for five seconds.
struct Running(JoinSet<Value>);

impl Running {
    /// One after the other: news of each session has come before the next one begins, and takes no place any more.
    async fn paying(shop: &Shop, orders: Vec<(Actor, String)>) -> Self {
        let mut running = JoinSet::new();
        for (shopper, order) in orders {
            let count = shop.count("payment_attempt").await + 1;
            shop.provider_will("create_session", "slow").await;
            running.spawn(async move { shopper.tries_to_pay(&order, json!({})).await });
            eventually("it runs, and there is news of it", async || {
                let counts = [shop.count("payment_attempt").await, shop.count("provider_event").await];
                (counts == [count; 2]).then_some(())
            })
            .await;
            sleep(Duration::from_millis(20)).await;
        }
        Self(running)
    }

    async fn of(shop: &Shop, shoppers: &[&str]) -> Self {
        Self::paying(shop, orders_of(shop, shoppers).await).await
    }

    /// Each came to its end as if nobody else had been there.
    async fn end_well(self) {
        for payload in self.0.join_all().await {
            assert_eq!(payload["attempt"]["status"], "PENDING", "{payload}");
        }
    }
}

// T9: eight places, of which queries may take four, mutations seven, and webhooks all.
fn what_matters_more_is_still_let_in(engine: Engine) {
    run_with(engine, &["--max-concurrent-requests=8"], async |shop| {
        let (_, attempt) = shop.open_attempt().await;
        let (three, four) =
            (orders_of(&shop, &["a1", "a2", "a3"]).await, orders_of(&shop, &["a4", "a5", "a6", "a7"]).await);
        let overloaded = || Told::refused(503, "OVERLOADED", 1);

        let three = Running::paying(&shop, three).await;
        assert_eq!(looks(&shop.user("ada")).await, Told::ok());
        let four = Running::paying(&shop, four).await;

        assert_eq!(looks(&shop.user("ada")).await, overloaded());
        // Nobody looks at who sends a query that can't be let in.
        let page = shop.client().post(shop.url("/graphql")).json(&json!({ "query": LOOK }));
        assert_eq!(Told::by(page.send().await.unwrap()).await, overloaded());
        let request = shop.client().post(shop.url("/graphql")).bearer_auth(shop.checkout().token());
        let mutation = json!({ "query": "mutation { unlockPayments(input: { locks: [] }) { problem { code } } }" });
        assert_eq!(Told::by(request.json(&mutation).send().await.unwrap()).await, overloaded());
        shop.hears(&News::that(&attempt, "succeeded")).await;
        assert_eq!([status(&shop, "/healthz").await, status(&shop, "/readyz").await], [200, 200]);

        three.end_well().await;
        four.end_well().await;
        assert_eq!(looks(&shop.user("ada")).await, Told::ok());
    });
}

#[test]
fn what_matters_more_is_still_let_in_on_sqlite() {
    what_matters_more_is_still_let_in(Engine::Sqlite);
}

#[test]
fn what_matters_more_is_still_let_in_on_postgres() {
    what_matters_more_is_still_let_in(Engine::Postgres);
}

#[test]
fn a_shopper_has_only_so_many_requests_running() {
    run_with(Engine::Sqlite, &["--max-concurrent-per-shopper=2"], async |shop| {
        let running = Running::of(&shop, &["ada", "ada"]).await;

        assert_eq!(looks(&shop.user("ada")).await, Told::refused(429, "TOO_MANY_REQUESTS", 1));
        for other in [shop.user("bob"), shop.guest("ada"), shop.checkout()] {
            assert_eq!(looks(&other).await, Told::ok());
        }

        running.end_well().await;
        assert_eq!(looks(&shop.user("ada")).await, Told::ok());
    });
}

#[test]
fn a_service_has_only_so_many_requests_running_where_that_is_set() {
    run_with(Engine::Sqlite, &["--max-concurrent-per-service=1"], async |shop| {
        let payment = shop.payment("tok_ok").await;
        shop.provider_will("run_transaction", "slow").await;
        let authorizing = tokio::spawn({
            let (checkout, payment) = (shop.checkout(), payment.clone());
            async move { checkout.moves("authorizePayment", &payment, "29.90", json!({})).await }
        });
        shop.comes_to_have("payment_transaction").await;

        assert_eq!(looks(&shop.checkout()).await, Told::refused(429, "TOO_MANY_REQUESTS", 1));
        assert_eq!([looks(&shop.back_office()).await, looks(&shop.user("ada")).await], [Told::ok(), Told::ok()]);

        authorizing.await.expect("it comes to its end");
    });
}

// A client that hangs up gives its place back; a mutation goes on, and holds its place until its end.
#[test]
fn a_mutation_holds_its_place_even_if_its_caller_hangs_up() {
    run_with(Engine::Sqlite, &["--max-concurrent-per-shopper=1"], async |shop| {
        let running = Running::of(&shop, &["ada"]).await;

        drop(running);

        sleep(Duration::from_millis(300)).await;
        assert_eq!(looks(&shop.user("ada")).await, Told::refused(429, "TOO_MANY_REQUESTS", 1));
        eventually("it comes to its end", async || (looks(&shop.user("ada")).await == Told::ok()).then_some(())).await;
    });
}

// G20
#[test]
fn a_shopper_asks_for_only_so_much_in_a_while() {
    run_with(Engine::Sqlite, &["--rate-per-shopper=2"], async |shop| {
        let (ada, mut served, mut refused) = (shop.user("ada"), 0, 0);
        for _ in 0..60 {
            match looks(&ada).await {
                Told(200, ..) => served += 1,
                told => {
                    assert_eq!(told, Told::refused(429, "TOO_MANY_REQUESTS", 1));
                    refused += 1;
                }
            }
        }

        // Twenty in advance, and two for each second that it took.
        assert!((20..40).contains(&served) && refused > 0, "{served} were served and {refused} refused");
        for other in [shop.user("bob"), shop.guest("ada"), shop.checkout()] {
            assert_eq!(looks(&other).await, Told::ok());
        }
        sleep(Duration::from_millis(1100)).await;
        assert_eq!(looks(&ada).await, Told::ok());
    });
}

#[test]
fn a_document_that_can_not_run_costs_as_well() {
    run_with(Engine::Sqlite, &["--rate-per-shopper=1"], async |shop| {
        let mut told = vec![];
        for _ in 0..30 {
            told.push(shop.user("ada").sends(json!({ "query": "{" }).to_string()).await.0);
        }
        assert!(told.starts_with(&[200; 10]) && told.contains(&429), "{told:?}");
    });
}

async fn asks_with(shop: &Shop, token: &str, from: &str) -> Told {
    let request = shop.client().post(shop.url("/graphql")).header("x-forwarded-for", from);
    let request = if token.is_empty() { request } else { request.bearer_auth(token) };
    Told::by(request.json(&json!({ "query": LOOK })).send().await.unwrap()).await
}

fn unauthenticated() -> Told {
    Told(401, "UNAUTHENTICATED".into(), None)
}

/// What an address hears of so many bad tokens.
async fn fails(shop: &Shop, from: &str, times: usize) -> Vec<Told> {
    let mut told = vec![];
    for at in 0..times {
        told.push(asks_with(shop, &format!("bad{at}.to.ken"), from).await);
    }
    told
}

const FOUR_A_MINUTE: &str = "--failures-per-address=4";

// one attacker behind a shared address locks nobody out
#[test]
fn whoever_fails_too_often_is_told_to_wait_and_good_requests_pass() {
    run_with(Engine::Sqlite, &[FOUR_A_MINUTE], async |shop| {
        // Nobody who is no proxy of ours says where they come from.
        let mut told = fails(&shop, "203.0.113.1", 3).await;
        told.extend(fails(&shop, "203.0.113.2", 3).await);

        assert_eq!(told[..4], [unauthenticated(), unauthenticated(), unauthenticated(), unauthenticated()]);
        for late in &told[4..] {
            assert!(matches!(late, Told(429, code, Some(1..=15)) if code == "TOO_MANY_REQUESTS"), "{late:?}");
        }
        assert_eq!(asks_with(&shop, "", "").await, unauthenticated());
        assert_eq!(looks(&shop.user("ada")).await, Told::ok());
        let ada = shop.user("ada");
        shop.moves_time_by(chrono::Duration::hours(2));
        assert_eq!(looks(&ada).await, unauthenticated(), "an expired token is no attack");
    });
}

#[test]
fn bad_signatures_of_webhooks_are_counted_too() {
    run_with(Engine::Sqlite, &[FOUR_A_MINUTE], async |shop| {
        let theirs = sign(b"another secret", shop.now().timestamp(), b"{}");
        let mut told = vec![];
        for _ in 0..6 {
            told.push(shop.webhook_signed(Some(&theirs), "{}").await);
        }
        assert_eq!(told, [401, 401, 401, 401, 429, 429]);
        let ours = sign(WEBHOOK_SECRET.as_bytes(), shop.now().timestamp(), b"{}");
        assert_eq!(shop.webhook_signed(Some(&ours), "{}").await, 400);
    });
}

#[test]
fn behind_a_proxy_each_client_has_an_address_of_its_own() {
    run_with(Engine::Sqlite, &[FOUR_A_MINUTE, "--trusted-proxies=127.0.0.1,10.0.0.0/8"], async |shop| {
        let last = async |from: &str| fails(&shop, from, 5).await.pop().unwrap().0;

        assert_eq!(last("203.0.113.1").await, 429);
        // What a client writes itself stands to the left of what the proxy writes.
        assert_eq!(asks_with(&shop, "bad", "198.51.100.7, 203.0.113.1, 10.0.0.9").await.0, 429);
        assert_eq!(asks_with(&shop, "bad", "203.0.113.1, 203.0.113.2").await.0, 401);
        // An IPv6 client has a whole /64.
        assert_eq!(last("2001:db8:1:1::1").await, 429);
        assert_eq!(asks_with(&shop, "bad", "2001:db8:1:1:ffff::2").await.0, 429);
        assert_eq!(asks_with(&shop, "bad", "2001:db8:1:2::1").await.0, 401);
    });
}

#[test]
fn a_shopper_has_only_so_many_sockets_open() {
    run_with(Engine::Sqlite, &["--max-sockets-per-shopper=2"], async |shop| {
        let ada = shop.user("ada");
        let (first, second) = (ada.listens().await, ada.listens().await);
        let mut third = shop.opens_socket().await;

        third.says(&ada.introduction()).await;

        assert_eq!(
            third.hears().await,
            Heard::Closed(1013, "As many WebSockets of this caller are open as may be.".into())
        );
        let _bobs = shop.user("bob").listens().await;
        drop(first);
        eventually("there is room again", async || {
            let mut again = shop.opens_socket().await;
            again.says(&ada.introduction()).await;
            matches!(again.hears().await, Heard::Message(_)).then_some(())
        })
        .await;
        drop(second);
    });
}

#[test]
fn subscriptions_cost_what_requests_do() {
    run_with(Engine::Sqlite, &["--rate-per-shopper=1"], async |shop| {
        let order = shop.adas_order().await;
        let mut socket = shop.user("ada").watches_order(&order, "status").await;
        socket.event().await;
        while looks(&shop.user("ada")).await == Told::ok() {}

        socket
            .subscribes("2", "subscription($id: ID!) { orderUpdated(orderId: $id) { id } }", json!({ "id": order }))
            .await;

        let Heard::Message(told) = socket.hears().await else { panic!("it is not closed") };
        assert_eq!((&told["id"], outcome(&told["payload"]).as_str()), (&json!("2"), "TOO_MANY_REQUESTS"));
    });
}
