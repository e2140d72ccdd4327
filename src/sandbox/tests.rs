//! The sandbox from outside: a shop and a shopper, over real HTTP.

mod bounds;
mod cards;
mod transactions;
mod upgrades;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use reqwest::{Client, Response, redirect};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;

const SECRET: &[u8] = b"a secret for tests, long enough to be one";
const BOUND: Duration = Duration::from_secs(20);
const TTL: Duration = Duration::from_secs(1800);

#[test]
fn the_signature_is_the_published_one() {
    // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 'whsec_test'
    assert_eq!(
        sign(b"whsec_test", 1_700_000_000, br#"{"a":1}"#),
        "t=1700000000,v1=38877139021993b830af32feea6e18a8da83eb2f6e49ee50bd9e4cf4ca4d3789"
    );
    // The same with a key of 100 times 'k', longer than a block.
    assert_eq!(sign(&[b'k'; 100], 1, b"x"), "t=1,v1=8dc72019a8a249d8f2d36e36fac06f4497511f4f50cfee8600a5d97fb8a91da5");
    assert_ne!(api_key(b"one"), api_key(b"two"));
}

/// A place for a database that goes when the test does. A directory, because a connection that opens late would make a lone file anew.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let directory = std::env::temp_dir().join(unguessable("orderpay-sandbox").unwrap());
        std::fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    fn database_url(&self) -> String {
        format!("sqlite://{}/sandbox.db?mode=rwc", self.0.display())
    }

    async fn open(&self, session_ttl: Duration, limits: Limits) -> Sandbox {
        Sandbox::open(Settings {
            database_url: self.database_url(),
            public_url: "http://pay.example/sandbox/".to_owned(),
            secret: Secret::new(SECRET),
            session_ttl,
            limits,
        })
        .await
        .unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A sandbox, a shop that takes its webhooks, and whoever calls.
struct World {
    sandbox: String,
    shop: String,
    client: Client,
    heard: UnboundedReceiver<Value>,
    /// What the shop answers to the next webhooks; 200 when empty.
    answers: Arc<Mutex<VecDeque<u16>>>,
    _stop: DropGuard,
    place: Place,
}

type Ear = (UnboundedSender<Value>, Arc<Mutex<VecDeque<u16>>>);

async fn hear(State((heard, answers)): State<Ear>, headers: HeaderMap, body: String) -> StatusCode {
    let signature = headers["orderpay-signature"].to_str().unwrap();
    let at = signature.strip_prefix("t=").and_then(|rest| rest.split_once(',')).unwrap().0.parse().unwrap();
    assert_eq!(signature, sign(SECRET, at, body.as_bytes()));
    heard.send(serde_json::from_str(&body).unwrap()).unwrap();
    let answer = answers.lock().unwrap().pop_front().unwrap_or(200);
    StatusCode::from_u16(answer).unwrap()
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

impl World {
    async fn new() -> Self {
        Self::with(TTL, Limits::default()).await
    }

    async fn with(session_ttl: Duration, limits: Limits) -> Self {
        Self::at(Place::new(), session_ttl, limits).await
    }

    async fn at(place: Place, session_ttl: Duration, limits: Limits) -> Self {
        let (sender, heard) = unbounded_channel();
        let answers = Arc::default();
        let ear: Ear = (sender, Arc::clone(&answers));
        let shop = serve(Router::new().route("/hook", post(hear)).with_state(ear)).await;
        let sandbox = place.open(session_ttl, limits).await;
        let stop = CancellationToken::new();
        let (worker, stopped) = (sandbox.clone(), stop.clone());
        tokio::spawn(async move { worker.deliver_webhooks(stopped).await });
        let address = serve(Router::new().nest("/sandbox", sandbox.router())).await;
        Self {
            sandbox: format!("http://{address}/sandbox"),
            shop: format!("http://{shop}"),
            client: Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap(),
            heard,
            answers,
            _stop: stop.drop_guard(),
            place,
        }
    }

    async fn call(&self, path: &str, body: Option<Value>) -> Result<(u16, Value), reqwest::Error> {
        let url = format!("{}{path}", self.sandbox);
        let request = match body {
            Some(body) => self.client.post(url).json(&body),
            None => self.client.get(url),
        };
        let answer = request.bearer_auth(api_key(SECRET)).send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    fn wish(&self, reference: &str, amount: i64) -> Option<Value> {
        Some(json!({
            "reference": reference, "amount": amount, "currency": "EUR", "description": "Two <b>mugs</b>",
            "return_url": format!("{}/thanks?order=1", self.shop), "webhook_url": format!("{}/hook", self.shop),
        }))
    }

    /// A new session of which the shop has heard.
    async fn session(&mut self, reference: &str) -> String {
        let (status, session) = self.call("/v1/sessions", self.wish(reference, 4200)).await.unwrap();
        assert_eq!((status, self.news().await), (201, "session.pending".to_owned()), "{session}");
        session["id"].as_str().unwrap().to_owned()
    }

    async fn arm(&self, operation: &str, fault: &str) {
        let fault = json!({ "operation": operation, "fault": fault, "times": 1 });
        assert_eq!(self.call("/v1/faults", Some(fault)).await.unwrap().0, 204);
    }

    async fn press(&self, id: &str, form: &'static str) -> Response {
        let request = self.client.post(format!("{}/pay/{id}", self.sandbox)).body(form);
        request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap()
    }

    async fn event(&mut self) -> Value {
        timeout(BOUND, self.heard.recv()).await.unwrap().unwrap()
    }

    async fn news(&mut self) -> String {
        self.event().await["type"].as_str().unwrap().to_owned()
    }

    async fn moved(&self, reference: &str) -> Vec<i64> {
        let (_, ledger) = self.call(&format!("/v1/ledger?reference={reference}"), None).await.unwrap();
        ledger["movements"].as_array().unwrap().iter().map(|movement| movement["amount"].as_i64().unwrap()).collect()
    }

    async fn status(&self, id: &str) -> Value {
        self.call(&format!("/v1/sessions/{id}"), None).await.unwrap().1["status"].clone()
    }
}

#[tokio::test]
async fn a_shopper_pays_and_the_shop_knows_before_the_shopper_is_back() {
    let mut world = World::new().await;
    let id = world.session("a").await;

    let page = world.client.get(format!("{}/pay/{id}", world.sandbox)).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.ends_with(&format!("form-action 'self' {}", world.shop)), "{policy}");
    let html = page.text().await.unwrap();
    assert!(html.contains("Pay 42.00 EUR") && html.contains("Two &lt;b&gt;mugs&lt;/b&gt;"), "{html}");

    let back = world.press(&id, "outcome=pay").await;
    let told = world.heard.try_recv().unwrap();
    assert_eq!(back.status(), 303);
    assert_eq!(back.headers()["location"], format!("{}/thanks?order=1&session={id}", world.shop));
    assert_eq!(told["type"], "session.succeeded");
    assert_eq!(told["data"]["session"]["amount_received"], 4200);
    assert_eq!(told["data"]["session"]["redirect_url"], format!("http://pay.example/sandbox/pay/{id}"));
    assert_eq!(world.moved("a").await, [4200]);
}

#[tokio::test]
async fn a_double_click_moves_money_once() {
    let mut world = World::new().await;
    let id = world.session("a").await;

    let (first, second) = tokio::join!(world.press(&id, "outcome=pay"), world.press(&id, "outcome=pay"));

    let mut statuses = [first.status().as_u16(), second.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 410]);
    assert_eq!(world.moved("a").await, [4200]);
}

#[tokio::test]
async fn a_reference_names_one_session_however_often_it_is_sent() {
    let world = World::new().await;
    let wish = || world.call("/v1/sessions", world.wish("a", 4200));

    let answers = tokio::join!(wish(), wish(), wish(), wish());
    let answers = [answers.0.unwrap(), answers.1.unwrap(), answers.2.unwrap(), answers.3.unwrap()];
    let other = world.call("/v1/sessions", world.wish("a", 4300)).await.unwrap();

    assert_eq!(answers.iter().filter(|(status, _)| *status == 201).count(), 1);
    assert!(answers.iter().all(|(_, session)| session["id"] == answers[0].1["id"]));
    assert_eq!((other.0, &other.1["error"]["code"]), (409, &json!("reference_reused")));
}

#[tokio::test]
async fn nobody_without_the_key_opens_a_session() {
    let world = World::new().await;
    let url = format!("{}/v1/sessions?reference=a", world.sandbox);

    for key in ["", "wrong", &api_key(b"another secret")] {
        assert_eq!(world.client.get(&url).bearer_auth(key).send().await.unwrap().status(), 401);
    }
    assert_eq!(world.client.get(&url).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_lost_answer_hides_a_session_that_is_there_and_a_lost_request_hides_none() {
    let world = World::new().await;
    for (reference, fault, found) in [("a", "answer_lost", 200), ("b", "request_lost", 404)] {
        world.arm("create_session", fault).await;

        assert!(world.call("/v1/sessions", world.wish(reference, 1)).await.is_err());
        let (status, _) = world.call(&format!("/v1/sessions?reference={reference}"), None).await.unwrap();

        assert_eq!(status, found, "{fault}");
    }
}

#[tokio::test]
async fn a_rejection_is_sure_and_an_error_is_an_error() {
    let world = World::new().await;
    for (fault, status) in [("rejected", 422), ("error_500", 500)] {
        world.arm("create_session", fault).await;
        assert_eq!(world.call("/v1/sessions", world.wish("a", 1)).await.unwrap().0, status);
    }
    assert_eq!(world.call("/v1/sessions?reference=a", None).await.unwrap().0, 404);
}

#[tokio::test]
async fn a_refused_webhook_comes_again_and_nothing_overtakes_it() {
    let mut world = World::new().await;
    let id = world.session("a").await;
    world.answers.lock().unwrap().push_back(500);

    let back = world.press(&id, "outcome=pay&method=tok_async").await;
    let told = [world.event().await, world.event().await, world.event().await];

    assert_eq!(back.status(), 303);
    assert_eq!(told[0]["id"], told[1]["id"]);
    assert_eq!(
        told.each_ref().map(|event| event["type"].as_str().unwrap()),
        ["session.processing", "session.processing", "session.succeeded"]
    );
    assert_eq!(told[1]["data"]["session"]["status"], "processing");
    assert_eq!(world.moved("a").await, [4200]);
}

#[tokio::test]
async fn each_test_method_tells_what_it_promises() {
    let mut world = World::new().await;
    let cases: [(&str, &[&str], &[i64]); 6] = [
        ("outcome=pay&method=tok_wrong_amount", &["session.succeeded"], &[4199]),
        ("outcome=pay&method=tok_duplicate_webhook", &["session.succeeded"; 3], &[4200]),
        ("outcome=pay&method=tok_reordered_webhooks", &["session.succeeded", "session.processing"], &[4200]),
        ("outcome=pay&method=tok_no_webhook", &[], &[4200]),
        ("outcome=pay&method=tok_declined_hard", &["session.failed"], &[]),
        ("outcome=decline", &["session.failed"], &[]),
    ];
    for (form, events, movements) in cases {
        let id = world.session(form.split('=').next_back().unwrap()).await;
        assert_eq!(world.press(&id, form).await.status(), 303);
        for event in events {
            assert_eq!(world.news().await, *event, "{form}");
        }
        // A session that is told of later comes after whatever else this one had to tell.
        assert!(world.heard.try_recv().is_err(), "{form} told more than it should");
        let (_, session) = world.call(&format!("/v1/sessions/{id}"), None).await.unwrap();
        assert_eq!(world.moved(session["reference"].as_str().unwrap()).await, movements, "{form}");
    }
}

#[tokio::test]
async fn a_cancellation_ends_an_open_session_and_respects_a_paid_one() {
    let mut world = World::new().await;
    let open = world.session("a").await;
    let cancel = format!("/v1/sessions/{open}/cancel");
    for _ in 0..2 {
        let (status, session) = world.call(&cancel, Some(json!({}))).await.unwrap();
        assert_eq!((status, &session["status"]), (200, &json!("cancelled")));
    }
    assert_eq!(world.news().await, "session.cancelled");
    assert_eq!(world.press(&open, "outcome=pay").await.status(), 410);

    let raced = world.session("b").await;
    world.arm("cancel_session", "succeed_first").await;
    let (status, answer) = world.call(&format!("/v1/sessions/{raced}/cancel"), Some(json!({}))).await.unwrap();
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("session_succeeded")));
    assert_eq!(answer["session"]["status"], "succeeded");
    assert_eq!(world.news().await, "session.succeeded");
    assert_eq!(world.moved("b").await, [4200]);
}

#[tokio::test]
async fn a_session_whose_time_is_up_takes_no_money() {
    let mut world = World::with(Duration::ZERO, Limits::default()).await;
    let (_, session) = world.call("/v1/sessions", world.wish("a", 1)).await.unwrap();
    let id = session["id"].as_str().unwrap().to_owned();

    assert_eq!(world.press(&id, "outcome=pay").await.status(), 410);

    assert_eq!(world.status(&id).await, "expired");
    assert_eq!([world.news().await, world.news().await], ["session.pending", "session.expired"]);
    assert_eq!(world.moved("a").await, [0; 0]);
}

#[tokio::test]
async fn a_page_without_an_open_session_says_so_and_offers_nothing() {
    let mut world = World::new().await;
    let id = world.session("a").await;
    world.press(&id, "outcome=decline").await;

    for (id, status, says) in [(id.as_str(), 410, "Declined"), ("ses_unknown", 404, "No such payment")] {
        let page = world.client.get(format!("{}/pay/{id}", world.sandbox)).send().await.unwrap();
        assert_eq!(page.status(), status);
        let html = page.text().await.unwrap();
        assert!(html.contains(says) && !html.contains("<button"), "{html}");
    }
}

#[tokio::test]
async fn what_was_not_delivered_is_delivered_after_a_restart() {
    let mut world = World::new().await;
    let place = Place::new();
    let wish = store::Wish {
        reference: "a".to_owned(),
        amount: 1,
        currency: "EUR".to_owned(),
        return_url: None,
        webhook_url: format!("{}/hook", world.shop),
        description: None,
    };
    drop(place.open(TTL, Limits::default()).await.0.store.create(wish).await.unwrap());

    let again = place.open(TTL, Limits::default()).await;
    let stop = CancellationToken::new();
    let worker = tokio::spawn({
        let stop = stop.clone();
        async move { again.deliver_webhooks(stop).await }
    });

    assert_eq!(world.news().await, "session.pending");
    stop.cancel();
    timeout(BOUND, worker).await.unwrap().unwrap();
}
