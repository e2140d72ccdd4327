//! What a race runs on: servers side by side, many payments, and at the end the provider's books, payment by payment, against the API's.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    actor::{Actor, outcome},
    books::cents,
    mall::Mall,
    pay::{Payment, euros},
    process::Process,
    shop::Shop,
};

/// So many requests are under way at once: more than two cores can do, and few enough for the servers' connections.
const WIDTH: usize = 12;
/// An order with many payments makes each of them slow: the order's ledger is read whole.
const PAYMENTS_PER_ORDER: usize = 10;

/// What money did at the provider for one payment, oldest first: the kind, and cents.
pub type Moved = Vec<(String, i64)>;

/// A handle; its clones are the same track.
#[derive(Clone)]
pub struct Track(Arc<Inner>);

struct Inner {
    /// A service that may do everything, as it calls each of the servers.
    actors: Vec<Actor>,
    processes: Vec<Process>,
}

impl Track {
    /// As many servers as are worth it: SQLite has one writer.
    pub async fn open(shop: &Shop) -> Self {
        match shop.engine() {
            super::Engine::Sqlite => Self::of(Mall::<2>::open(shop).await),
            super::Engine::Postgres => Self::of(Mall::<3>::open(shop).await),
        }
    }

    fn of<const N: usize>(mall: Mall<N>) -> Self {
        let Mall { sandbox, servers, shops } = mall;
        let processes = servers.into_iter().chain([sandbox]).collect();
        Self(Arc::new(Inner { actors: shops.iter().map(all_powerful).collect(), processes }))
    }

    /// The service as it calls one of the servers; each number is one of them.
    pub fn actor(&self, at: usize) -> &Actor {
        &self.0.actors[at % self.0.actors.len()]
    }

    /// So many payments of an amount, on orders that are never paid in full.
    pub async fn payments(&self, count: usize, euros: &str) -> Vec<Payment> {
        let actor = self.actor(0);
        let line = json!({ "sku": "TEA", "name": "Tea", "quantity": 1000, "unitPrice": euros });
        let mut orders = vec![];
        for _ in 0..count.div_ceil(PAYMENTS_PER_ORDER) {
            let cart = json!({ "currency": "EUR", "lines": [line] });
            orders.push(actor.creates_order_of(&actor.shop.user("ada"), cart).await);
        }
        let amount = euros.to_owned();
        let each = (0..count).map(|at| orders[at % orders.len()].clone()).collect();
        self.rounds(3, each, move |track, _, order: String| {
            let amount = amount.clone();
            async move { track.actor(0).shop.payment_on(&order, &amount, "tok_ok").await }
        })
        .await
    }

    /// Payments that all of is authorized.
    pub async fn authorized(&self, count: usize, euros: &str) -> Vec<Payment> {
        self.each_is(count, euros, "authorizePayment").await
    }

    /// Payments that all of is captured, in one piece.
    pub async fn captured(&self, count: usize, euros: &str) -> Vec<Payment> {
        self.each_is(count, euros, "authorizeAndCapturePayment").await
    }

    async fn each_is(&self, count: usize, euros: &str, mutation: &'static str) -> Vec<Payment> {
        let payments = self.payments(count, euros).await;
        let amount = euros.to_owned();
        self.rounds(3, payments, move |track, at, payment: Payment| {
            let amount = amount.clone();
            async move {
                let done = track.moves(at, mutation, &payment, &amount, &format!("first {at}")).await;
                assert_eq!(done, "SUCCEEDED");
                payment
            }
        })
        .await
    }

    /// One round of so many requests for each of these, several rounds at once; what came of each, in no order.
    pub async fn rounds<I, T, F>(
        &self,
        requests: usize,
        each: Vec<I>,
        round: impl Fn(Self, usize, I) -> F + Clone + Send + 'static,
    ) -> Vec<T>
    where
        I: Send + 'static,
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let places = Arc::new(Semaphore::new((WIDTH / requests).max(1)));
        let mut running = JoinSet::new();
        for (at, one) in each.into_iter().enumerate() {
            let (track, places, round) = (self.clone(), Arc::clone(&places), round.clone());
            running.spawn(async move {
                let _place = places.acquire().await.expect("a place");
                round(track, at, one).await
            });
        }
        running.join_all().await
    }

    /// One of the six mutations, at one of the servers: the status of its outcome, or the code of its problem; with `, again` where it was replayed.
    pub async fn moves(&self, at: usize, mutation: &str, payment: &Payment, amount: &str, key: &str) -> String {
        let input = json!({ "paymentId": payment.id, "amount": euros(amount), "idempotencyKey": key });
        let answer = self.actor(at).tries(mutation, input, "replayed outcome { status }").await;
        let payload = &answer["data"][mutation];
        match (outcome(&answer).as_str(), payload["outcome"]["status"].as_str(), payload["replayed"] == true) {
            ("ok", Some(status), false) => status.to_owned(),
            ("ok", Some(status), true) => format!("{status}, again"),
            (problem, ..) => problem.to_owned(),
        }
    }

    /// The faults that the servers have logged.
    pub fn errors(&self) -> Vec<String> {
        self.0.processes.iter().flat_map(Process::errors).collect()
    }

    /// What money did at the provider for each payment of these orders: exactly what the API tells of it, and for no others.
    pub async fn books(&self, payments: &[Payment]) -> HashMap<String, Moved> {
        books(self.actor(0), payments).await
    }
}

/// A service that may do everything.
pub fn all_powerful(shop: &Shop) -> Actor {
    shop.service(&[
        "orders:read",
        "orders:write",
        "attempts:write",
        "payments:write",
        "payments:capture",
        "payments:refund",
        "payments:credit",
        "payments:audit",
        "locks:write",
    ])
}

/// The books of [`Track::books`], as this actor sees them. Nothing is wrong with the database either.
pub async fn books(actor: &Actor, payments: &[Payment]) -> HashMap<String, Moved> {
    let mut orders: Vec<&str> = payments.iter().map(|payment| payment.order.as_str()).collect();
    orders.sort_unstable();
    orders.dedup();
    let mut left: HashMap<String, Moved> = HashMap::new();
    for (reference, kind, amount) in actor.shop.movements().await {
        left.entry(reference).or_default().push((kind, amount));
    }
    let mut books = HashMap::new();
    for order in orders {
        let document = "query($id: ID!) { order(id: $id) { payments { id
            summary { amountAuthorized { amount } amountCaptured { amount } amountRefunded { amount } amountPending { amount } }
            transactions { reference kind status amount { amount } } } } }";
        let seen = actor.sees(document, json!({ "id": order })).await;
        for payment in seen["order"]["payments"].as_array().expect("payments") {
            let moved = moved_for(payment, &mut left);
            assert_eq!(told(&payment["summary"]), sums_of(&moved), "{payment:#} {moved:?}");
            books.insert(payment["id"].as_str().expect("an id").to_owned(), moved);
        }
    }
    assert_eq!(left, HashMap::new(), "the provider moved money that the API knows nothing of");
    actor.shop.is_sound().await;
    books
}

/// Takes a payment's movements out of the provider's: one for each transaction that succeeded, and none for others.
fn moved_for(payment: &Value, left: &mut HashMap<String, Moved>) -> Moved {
    let mut all = vec![];
    for row in payment["transactions"].as_array().expect("transactions") {
        let moved = left.remove(row["reference"].as_str().expect("a reference")).unwrap_or_default();
        let kind = row["kind"].as_str().expect("a kind").to_lowercase();
        let expected = match row["status"] == "SUCCEEDED" {
            true => vec![(kind, cents(&row["amount"]))],
            false => vec![],
        };
        assert_eq!(moved, expected, "{payment:#}");
        all.extend(moved);
    }
    all
}

/// What the API tells: authorized, captured, refunded, and pending.
fn told(summary: &Value) -> [i64; 4] {
    ["amountAuthorized", "amountCaptured", "amountRefunded", "amountPending"].map(|sum| cents(&summary[sum]))
}

/// The same as the provider has it (rule S2).
fn sums_of(moved: &Moved) -> [i64; 4] {
    let of = |kind: &str| -> i64 { moved.iter().filter(|(is, _)| is == kind).map(|(_, amount)| amount).sum() };
    let refunded = of("refund");
    let captured = of("capture") + of("authorize_and_capture") - refunded;
    [of("authorize") - of("reverse_authorize"), captured, refunded, 0]
}
