//! A shop: a started server on its own database, with its own clock, and the payment provider that runs inside it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use chrono::{DateTime, Duration, Utc};
use clap::Parser;
use orderpay::{
    auth::CallerKind,
    clock::Clock,
    command::Cli,
    config::Config,
    sandbox::{api_key, sign},
    server::{Instruments, Running, start},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{
    actor::Actor,
    acts::Attempt,
    database::{Database, Look},
    news::News,
};

pub const JWT_SECRET: &str = "the tests sign their tokens with this";
pub const ANONYMOUS_TOKEN_SECRET: &str = "the tokens of guests are signed with this";
pub const WEBHOOK_SECRET: &str = "the sandbox signs its news with this";
pub const RETURN_URL: &str = "https://shop.example/thanks";

/// A handle; its clones are the same shop.
#[derive(Clone)]
pub struct Shop(Arc<Inner>);

struct Inner {
    database: Database,
    url: String,
    /// Where the payment provider's API is.
    sandbox_url: String,
    clock: Clock,
    opened_at: DateTime<Utc>,
    /// Whether something was written into the database that no server writes.
    tampered_with: AtomicBool,
    statements: Arc<Mutex<Vec<String>>>,
    /// Every body that was answered to an actor's request.
    answers: Mutex<Vec<String>>,
    client: reqwest::Client,
    keys: AtomicUsize,
    look: OnceCell<Look>,
    running: Mutex<Option<Running>>,
}

impl Shop {
    /// `settings` are flags.
    pub async fn open_with(database: Database, settings: &[&str]) -> Self {
        // The sandbox stamps its news by the machine's time, so ours must begin there.
        let clock = Clock::manual(Clock::System.now());
        let statements = Arc::new(Mutex::new(vec![]));
        let heard = Arc::clone(&statements);
        let instruments = Instruments {
            clock: clock.clone(),
            on_statement: Some(Arc::new(move |sql: &str| heard.lock().unwrap().push(sql.to_owned()))),
        };
        let running = start(config(&database, settings), instruments).await;
        let running = running.expect("the server starts");
        let url = format!("http://{}", running.address);
        Self(Arc::new(Inner {
            database,
            sandbox_url: format!("{url}/sandbox"),
            url,
            opened_at: clock.now(),
            tampered_with: AtomicBool::new(false),
            clock,
            statements,
            answers: Mutex::default(),
            client: client(),
            keys: AtomicUsize::new(1),
            look: OnceCell::new(),
            running: Mutex::new(Some(running)),
        }))
    }

    /// The same database as a process serves it that listens elsewhere. It has the machine's time.
    pub fn at(&self, url: &str, sandbox_url: &str) -> Self {
        Self::elsewhere(self.0.database.clone(), url, sandbox_url)
    }

    /// A database as a process serves it that was started by somebody else.
    pub fn elsewhere(database: Database, url: &str, sandbox_url: &str) -> Self {
        Self(Arc::new(Inner {
            database,
            url: url.to_owned(),
            sandbox_url: sandbox_url.to_owned(),
            clock: Clock::System,
            opened_at: Clock::System.now(),
            tampered_with: AtomicBool::new(false),
            statements: Arc::default(),
            answers: Mutex::default(),
            client: client(),
            keys: AtomicUsize::new(1),
            look: OnceCell::new(),
            running: Mutex::new(None),
        }))
    }

    /// A second server on the same database, with other settings.
    pub async fn second(&self, settings: &[&str]) -> Self {
        Self::open_with(self.0.database.clone(), settings).await
    }

    pub async fn stop(&self) {
        let running = self.0.running.lock().unwrap().take();
        if let Some(running) = running {
            running.stop().await.expect("the server stops");
        }
    }

    /// The reconciler sees to all that is due by the shop's clock; gives how much it was.
    pub async fn reconciles(&self) -> usize {
        let running = self.0.running.lock().unwrap().take().expect("the server runs");
        let count = running.reconcile().await.expect("the reconciler does its work");
        *self.0.running.lock().unwrap() = Some(running);
        count
    }

    pub fn user(&self, id: &str) -> Actor {
        Actor::new(self, CallerKind::User, id, "")
    }

    pub fn guest(&self, id: &str) -> Actor {
        Actor::new(self, CallerKind::Anonymous, id, "")
    }

    pub fn service(&self, scopes: &[&str]) -> Actor {
        Actor::new(self, CallerKind::Service, "back-office", &scopes.join(" "))
    }

    pub fn checkout(&self) -> Actor {
        let scopes = "orders:read orders:write attempts:write payments:write payments:capture locks:write";
        Actor::new(self, CallerKind::Service, "checkout", scopes)
    }

    /// Whoever gives money back, and sees the ledger.
    pub fn back_office(&self) -> Actor {
        self.service(&[
            "orders:read",
            "payments:write",
            "payments:refund",
            "payments:credit",
            "payments:audit",
            "locks:write",
        ])
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0.url)
    }

    pub fn client(&self) -> &reqwest::Client {
        &self.0.client
    }

    pub fn engine(&self) -> super::Engine {
        self.0.database.engine
    }

    pub fn database_url(&self) -> &str {
        &self.0.database.url
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    pub fn opened_at(&self) -> DateTime<Utc> {
        self.0.opened_at
    }

    /// Something is written into the database that no server writes: nobody expects it to be sound at the end.
    pub fn is_tampered_with(&self) {
        self.0.tampered_with.store(true, Ordering::Relaxed);
    }

    pub fn was_tampered_with(&self) -> bool {
        self.0.tampered_with.load(Ordering::Relaxed)
    }

    pub fn moves_time_by(&self, time: Duration) {
        self.0.clock.advance(time);
    }

    /// An idempotency key that was not used in this shop.
    pub fn fresh_key(&self) -> String {
        format!("key-{}", self.0.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// Keeps what an actor was answered.
    pub fn keeps_answer(&self, body: &str) {
        self.0.answers.lock().unwrap().push(body.to_owned());
    }

    /// All that actors were answered in this shop.
    pub fn answers(&self) -> Vec<String> {
        self.0.answers.lock().unwrap().clone()
    }

    // ── what the database was asked, and what is in it ──

    pub fn forgets_statements(&self) {
        self.0.statements.lock().unwrap().clear();
    }

    /// The SQL that the server ran since they were last forgotten.
    pub fn statements(&self) -> Vec<String> {
        self.0.statements.lock().unwrap().clone()
    }

    pub async fn database(&self) -> &Look {
        self.0.look.get_or_init(async || self.0.database.look().await).await
    }

    /// Another connection than [`Self::database`]: for one that holds something.
    pub async fn another_look(&self) -> Look {
        self.0.database.look().await
    }

    pub async fn count(&self, rows: &str) -> i64 {
        let sql = format!("SELECT count(*) AS n FROM {rows}");
        self.database().await.number(&sql).await
    }

    /// Waits until there is such a row, for ten seconds at the most.
    pub async fn comes_to_have(&self, rows: &str) {
        let begun = Instant::now();
        while self.count(rows).await == 0 {
            assert!(begun.elapsed().as_secs() < 10, "not within ten seconds: {rows}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// How many rows each table has.
    pub async fn rows(&self) -> BTreeMap<String, i64> {
        let mut rows = BTreeMap::new();
        for table in self.database().await.tables().await {
            let count = self.count(&table).await;
            rows.insert(table, count);
        }
        rows
    }

    // ── the payment provider ──

    /// Presses a button of the provider's payment page, as a browser would. Gives the status of the answer.
    pub async fn shopper_presses(&self, attempt: &Attempt, button: &str, method: &str) -> u16 {
        let form = format!("outcome={button}&method={method}");
        let request = self.client().post(&attempt.redirect_url).body(form);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.send().await.expect("the payment page answers").status().as_u16()
    }

    pub async fn shopper_pays(&self, attempt: &Attempt) {
        self.shopper_pays_with(attempt, "tok_ok").await;
    }

    pub async fn shopper_pays_with(&self, attempt: &Attempt, method: &str) {
        assert_eq!(self.shopper_presses(attempt, "pay", method).await, 303);
    }

    pub async fn shopper_declines(&self, attempt: &Attempt) {
        assert_eq!(self.shopper_presses(attempt, "decline", "tok_ok").await, 303);
    }

    async fn asks_provider(&self, path: &str) -> Value {
        let request = self.client().get(format!("{}/v1/{path}", self.0.sandbox_url));
        let request = request.bearer_auth(api_key(WEBHOOK_SECRET.as_bytes()));
        request.send().await.unwrap().json().await.expect("the provider answers")
    }

    /// The provider's session under our reference, which is the attempt's id; an error where there is none.
    pub async fn session_of(&self, attempt_id: &str) -> Value {
        self.asks_provider(&format!("sessions?reference={attempt_id}")).await
    }

    /// The provider opens a session under our reference, of 29.90 EUR, for a request that nobody waits for any more; what it told of that has come.
    pub async fn provider_opens_late(&self, attempt_id: &str) -> Attempt {
        let request = self.client().post(format!("{}/v1/sessions", self.0.sandbox_url));
        let request = request.bearer_auth(api_key(WEBHOOK_SECRET.as_bytes()));
        let webhook_url = self.url("/webhooks/sandbox");
        let ask = json!({ "reference": attempt_id, "amount": 2990, "currency": "EUR", "return_url": RETURN_URL, "webhook_url": webhook_url, "description": "late" });
        let answer = request.json(&ask).send().await.expect("the provider answers");
        let session: Value = answer.json().await.expect("a session");
        let text = |field: &str| session[field].as_str().unwrap_or_else(|| panic!("{session}")).to_owned();
        let attempt =
            Attempt { id: attempt_id.to_owned(), external_id: text("id"), redirect_url: text("redirect_url") };
        self.comes_to_have(&format!("provider_event WHERE external_id = '{}'", attempt.external_id)).await;
        attempt
    }

    /// What money moved at the provider under an attempt's reference, in the smallest unit.
    pub async fn money_moved(&self, attempt_id: &str) -> Vec<i64> {
        let ledger = self.asks_provider(&format!("ledger?reference={attempt_id}")).await;
        let movements = ledger["movements"].as_array().expect("movements");
        movements.iter().map(|movement| movement["amount"].as_i64().unwrap()).collect()
    }

    /// All the money that ever moved at the provider: our reference, what it was, and how much in the smallest unit.
    pub async fn movements(&self) -> Vec<(String, String, i64)> {
        let ledger = self.asks_provider("ledger").await;
        let movements = ledger["movements"].as_array().expect("movements");
        let text = |movement: &Value, field: &str| movement[field].as_str().expect(field).to_owned();
        let read = |it: &Value| (text(it, "reference"), text(it, "kind"), it["amount"].as_i64().expect("an amount"));
        movements.iter().map(read).collect()
    }

    /// The next call of this operation meets this fault.
    pub async fn provider_will(&self, operation: &str, fault: &str) {
        let request = self.client().post(format!("{}/v1/faults", self.0.sandbox_url));
        let request = request.bearer_auth(api_key(WEBHOOK_SECRET.as_bytes()));
        let arm = json!({ "operation": operation, "fault": fault, "times": 1 });
        let answer = request.json(&arm).send().await.expect("the provider answers");
        assert_eq!(answer.status(), 204, "{operation} can't meet {fault}");
    }

    // ── the provider's webhook ──

    /// Posts a webhook with this signature; gives the status of the answer.
    pub async fn webhook_signed(&self, signature: Option<&str>, body: &str) -> u16 {
        let mut request = self.client().post(self.url("/webhooks/sandbox")).body(body.to_owned());
        request = request.header("content-type", "application/json");
        if let Some(signature) = signature {
            request = request.header("orderpay-signature", signature);
        }
        request.send().await.expect("the webhook answers").status().as_u16()
    }

    /// Posts a webhook, signed as the provider signs.
    pub async fn webhook(&self, body: &str) -> u16 {
        let signature = sign(WEBHOOK_SECRET.as_bytes(), self.now().timestamp(), body.as_bytes());
        self.webhook_signed(Some(&signature), body).await
    }

    /// The provider tells its news, and it is acknowledged.
    /// What the provider told of a session that we do not know never came.
    pub async fn kept_news_never_came(&self) {
        self.comes_to_have("provider_event WHERE state = 'PARKED'").await;
        self.database().await.run("DELETE FROM provider_event WHERE state = 'PARKED'").await;
    }

    pub async fn hears(&self, news: &News) {
        assert_eq!(self.webhook(&news.body()).await, 204, "{news:?}");
    }
}

pub fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    // A server closes a connection on which nothing comes for ten seconds; nothing is to be sent just then.
    client.pool_idle_timeout(std::time::Duration::from_secs(5)).build().expect("a client")
}

/// Many requests of a test come from one caller and one address: nobody counts them, and carts may be long, unless a test sets a limit itself.
const UNLIMITED: [&str; 6] = [
    "--max-concurrent-requests=10000",
    "--max-concurrent-per-shopper=0",
    "--rate-per-shopper=0",
    "--max-sockets-per-shopper=0",
    "--failures-per-address=0",
    "--max-body-bytes=1048576",
];

/// These settings, and no limits but those that are among them.
pub fn unlimited<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    let name = |setting: &str| setting.split('=').next().map(str::to_owned);
    let is_set = |limit: &&str| settings.iter().any(|setting| name(setting) == name(limit));
    UNLIMITED.into_iter().filter(|limit| !is_set(limit)).chain(settings.iter().copied()).collect()
}

fn config(database: &Database, settings: &[&str]) -> Config {
    let settings = &unlimited(settings)[..];
    let usual = [
        "orderpay",
        "--database-url",
        &database.url,
        "--listen",
        "127.0.0.1:0",
        "--providers",
        "sandbox",
        "--sandbox-webhook-secret",
        WEBHOOK_SECRET,
        "--return-origins",
        "https://shop.example",
        "--anonymous-token-secret",
        ANONYMOUS_TOKEN_SECRET,
    ];
    let own_keys = settings.iter().any(|setting| ["--jwt-jwks", "--jwt-issuers"].contains(setting));
    let keys: &[&str] = if own_keys { &[] } else { &["--jwt-secret", JWT_SECRET] };
    let introspection: &[&str] = if settings.contains(&"--introspection") { &[] } else { &["--introspection", "on"] };
    let own_books = settings.contains(&"--sandbox-database-url");
    let sandbox: &[&str] = if own_books { &[] } else { &["--sandbox-database-url", "sqlite::memory:"] };
    // What it sees to, and when, is each test's to say.
    let reconciler: &[&str] = if settings.contains(&"--reconciler") { &[] } else { &["--reconciler", "off"] };
    let arguments = usual.iter().chain(keys).chain(sandbox).chain(introspection).chain(reconciler).chain(settings);
    let cli = Cli::try_parse_from(arguments).expect("the settings are understood");
    cli.settings.check().expect("the settings are right")
}
