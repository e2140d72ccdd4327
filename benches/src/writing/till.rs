//! Orders whose shoppers are at the provider's: made through the API and with the provider's process, which then ends. So nothing is told of them but what
//! is measured.

use std::{
    net::Ipv4Addr,
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{CLIENTS, SETTINGS, news::News};
use crate::{
    load,
    postgres::Postgres,
    server::{Server, mint},
    shop::creation,
    wire::{Client, post},
};

const ATTEMPT: &str = "mutation ($input: AttemptToPayForOrderInput!) { attemptToPayForOrder(input: $input) { attempt { externalId } problem { code } } }";
/// How long nothing may be heard of any session.
const PATIENCE: Duration = Duration::from_secs(30);

/// So many orders, each with an open session that the provider has told of; and the news that each of them succeeded, which nobody has sent yet. The
/// database is as it is after a night: vacuumed, and with statistics.
pub async fn open_sessions(postgres: &Postgres, number: usize) -> Vec<News> {
    let sandbox = Server::start_sandbox(postgres);
    let address = format!("http://{}", sandbox.address);
    let settings = [SETTINGS[0], ("ORDERPAY_SANDBOX_URL", &address)];
    let server = Server::start_with(postgres, &postgres.url(), &settings);
    let checkout = Rc::new(Checkout {
        client: Client::new(Ipv4Addr::LOCALHOST, server.address),
        token: mint(postgres, "service").token("checkout"),
    });
    let opened = load::each(CLIENTS, number, move |shopper| {
        let checkout = Rc::clone(&checkout);
        async move { checkout.sends_to_provider(shopper).await }
    });
    let sessions: Vec<String> = opened.await.into_iter().map(|one| one.outcome).collect();
    let news = told_of(postgres, &sessions).await;
    assert!(server.ends_by_sigterm().await.success(), "the server ends in order");
    drop(sandbox);
    postgres.sql("VACUUM (ANALYZE)", "orderpay");
    news
}

/// The service that makes orders, and has them paid.
struct Checkout {
    client: Client,
    token: String,
}

impl Checkout {
    /// A new order's; gives its session.
    async fn sends_to_provider(&self, shopper: usize) -> String {
        let made = self.does(&creation(&format!("shopper-{shopper}"))).await;
        let order = &made["data"]["createOrder"]["order"]["id"];
        let input = json!({ "orderId": order, "idempotencyKey": format!("attempt-{shopper}") });
        let body = json!({ "query": ATTEMPT, "variables": { "input": input } }).to_string();
        let attempted = self.does(body.as_bytes()).await;
        let session = attempted["data"]["attemptToPayForOrder"]["attempt"]["externalId"].as_str();
        session.unwrap_or_else(|| panic!("a session is opened: {made} {attempted}")).to_owned()
    }

    async fn does(&self, body: &[u8]) -> Value {
        let answer = self.client.ask(&post(&self.token, body)).await.expect("an answer");
        assert!(answer.is_good(), "{}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).expect("an answer is JSON")
    }
}

/// Waits until the provider has told of all sessions, and carries that on.
async fn told_of(postgres: &Postgres, sessions: &[String]) -> Vec<News> {
    let mut database = postgres.connect("orderpay").await;
    let (mut heard, mut heard_at) = (0, Instant::now());
    loop {
        let reports = sqlx::query_scalar(
            "SELECT report FROM provider_event WHERE external_id = ANY($1) AND state = 'APPLIED' ORDER BY received_at, external_id",
        );
        let reports: Vec<String> = reports.bind(sessions).fetch_all(&mut database).await.expect("events");
        if reports.len() >= sessions.len() {
            assert_eq!(reports.len(), sessions.len(), "each session was told of once");
            return reports.iter().enumerate().map(|(number, report)| News::after(number, report)).collect();
        }
        if reports.len() > heard {
            (heard, heard_at) = (reports.len(), Instant::now());
        }
        assert!(heard_at.elapsed() < PATIENCE, "the provider has told of {heard} sessions of {}", sessions.len());
        sleep(Duration::from_secs(1)).await;
    }
}
