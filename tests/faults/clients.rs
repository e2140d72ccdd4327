//! Clients that buy, pay, capture and refund through whichever server answers, and send again what was not answered.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    order::{Order, Share, Wish},
    provider,
    stage::{SERVERS, Stage, guard},
    support::{Payment, dice::Dice, euros, of_cents, tea, track::all_powerful},
    told::{Answer, Sent, Told, now},
};

/// So many orders are worked on at any time.
pub const LIVE: usize = 16;
const CLIENTS: u64 = 20;
/// So often a client sends the same before it turns to something else.
const TRIES: usize = 5;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
const SHOP: &str = "https://shop.example/thanks";

pub struct Clients {
    stage: Arc<Stage>,
    pub told: Told,
    live: Mutex<Vec<Arc<Order>>>,
    pub all: Mutex<Vec<Arc<Order>>>,
    keys: AtomicUsize,
    is_over: AtomicBool,
}

impl Clients {
    /// With all the orders that are worked on at first.
    pub async fn come(stage: &Arc<Stage>, seed: u64) -> Arc<Self> {
        let clients = Arc::new(Self {
            stage: Arc::clone(stage),
            told: Told::default(),
            live: Mutex::default(),
            all: Mutex::default(),
            keys: AtomicUsize::new(1),
            is_over: AtomicBool::new(false),
        });
        let mut dice = Dice(seed);
        for _ in 0..LIVE {
            let order = clients.orders(&mut dice).await.expect("an order in fair weather");
            guard(&clients.live).push(order);
        }
        clients
    }

    pub fn begin(self: &Arc<Self>, seed: u64) -> JoinSet<()> {
        let mut working = JoinSet::new();
        for client in 0..CLIENTS {
            working.spawn(Arc::clone(self).works(Dice(seed.wrapping_add(client))));
        }
        working
    }

    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    async fn works(self: Arc<Self>, mut dice: Dice) {
        while !self.is_over() {
            let order = dice.pick(&guard(&self.live).clone());
            Box::pin(self.acts(&mut dice, &order)).await;
            if order.is_done() {
                self.replaces(&mut dice, &order).await;
            }
            tokio::time::sleep(dice.millis(1, 20)).await;
        }
    }

    /// Another order takes its place once it is there, so that there are never fewer.
    async fn replaces(&self, dice: &mut Dice, done: &Arc<Order>) {
        let Some(fresh) = self.orders(dice).await else { return };
        guard(&self.live).iter_mut().filter(|live| Arc::ptr_eq(live, done)).for_each(|live| *live = Arc::clone(&fresh));
    }

    /// Makes an order; `None` only where everything is over before one is made.
    async fn orders(&self, dice: &mut Dice) -> Option<Arc<Order>> {
        let key = self.fresh_key();
        let input = json!({ "owner": { "kind": "USER", "id": "ada" }, "cart": tea(), "idempotencyKey": key });
        while !self.is_over() {
            let (_, payload) = self.sends(dice, "createOrder", &key, &input, "order { id }").await;
            if let Some(id) = payload["order"]["id"].as_str() {
                let order = Arc::new(Order::new(id.to_owned()));
                guard(&self.all).push(Arc::clone(&order));
                return Some(order);
            }
        }
        None
    }

    async fn acts(&self, dice: &mut Dice, order: &Order) {
        match order.wish(dice) {
            Wish::Pay => self.makes_payment(dice, order).await,
            Wish::Visit => self.visits(dice, order).await,
            Wish::MarkPaid => self.does(dice, "processOrderToPaid", json!({ "orderId": order.id })).await,
            Wish::Cancel => self.does(dice, "cancelOrder", json!({ "orderId": order.id })).await,
            Wish::Again => {
                if let Some(entry) = order.key(dice).and_then(|key| self.told.entry(&key)) {
                    self.moves(dice, order, entry.mutation, entry.input).await;
                }
            }
            wish @ (Wish::Move(mutation) | Wish::Race(mutation) | Wish::Locked(mutation)) => {
                let Some((share, mutation)) = order.payment(dice, mutation) else { return };
                match wish {
                    Wish::Race(_) => self.races(dice, order, mutation, &share).await,
                    Wish::Locked(_) => self.locks(dice, order, mutation, &share.payment).await,
                    _ => {
                        let input = self.input(&share.payment, dice.amount());
                        self.moves(dice, order, mutation, input).await;
                    }
                }
            }
        }
    }

    async fn makes_payment(&self, dice: &mut Dice, order: &Order) {
        let (key, amount) = (self.fresh_key(), dice.share());
        let input = json!({
            "orderId": order.id, "provider": "sandbox", "amount": euros(amount), "methodToken": dice.card(), "idempotencyKey": key,
        });
        for _ in 0..TRIES {
            let (_, payload) = self.sends(dice, "createPayment", &key, &input, "payment { id }").await;
            if let Some(id) = payload["payment"]["id"].as_str() {
                order.comes_to_have(Payment { id: id.to_owned(), order: order.id.clone() }, amount);
                return;
            }
        }
    }

    /// What moves money: the key stands in the row too, so that the books can be compared.
    fn input(&self, payment: &Payment, amount: &str) -> Value {
        let key = self.fresh_key();
        json!({ "paymentId": payment.id, "amount": euros(amount), "idempotencyKey": key, "source": "storm", "sourceEntityId": key })
    }

    /// Sends the same until its end is known, or the client has had enough.
    async fn moves(&self, dice: &mut Dice, order: &Order, mutation: &'static str, input: Value) {
        let key = input["idempotencyKey"].as_str().expect("a key").to_owned();
        guard(&order.keys).push(key.clone());
        for _ in 0..TRIES {
            let (answer, _) =
                self.sends(dice, mutation, &key, &input, "replayed outcome { status amount { amount } }").await;
            let charges = ["authorizePayment", "authorizeAndCapturePayment"].contains(&mutation);
            if charges && answer.word() == "SUCCEEDED" {
                let id = input["paymentId"].as_str().expect("an id").to_owned();
                order.is_charged(&Payment { id, order: order.id.clone() });
            }
            if !answer.is_open() || self.is_over() {
                return;
            }
            tokio::time::sleep(dice.millis(10, 400)).await;
        }
    }

    /// The same wish several times at once, under one key or under several: for all that the payment is worth, so that one excludes the others.
    async fn races(&self, dice: &mut Dice, order: &Order, mutation: &'static str, share: &Share) {
        let one = self.input(&share.payment, share.amount);
        let is_one = dice.happens(25);
        let mut race = || {
            let input = if is_one { one.clone() } else { self.input(&share.payment, share.amount) };
            let mut dice = Dice(dice.below(u64::MAX));
            async move { Box::pin(self.moves(&mut dice, order, mutation, input)).await }
        };
        tokio::join!(race(), race(), race(), race());
    }

    /// Works under a lock of its own, and gives it back more often than not.
    async fn locks(&self, dice: &mut Dice, order: &Order, mutation: &'static str, payment: &Payment) {
        let input = json!({ "paymentIds": [payment.id], "ttlSeconds": 1, "purpose": "a client's own" });
        let at = self.server(dice);
        let payload = self.asks(at, "lockPayments", &input, "locks { token }").await.1;
        let Some(token) = payload["locks"][0]["token"].as_str() else { return };
        for mutation in ["authorizePayment", mutation] {
            let mut input = self.input(payment, dice.amount());
            input["lockToken"] = json!(token);
            self.moves(dice, order, mutation, input).await;
            let held = json!({ "locks": [{ "paymentId": payment.id, "token": token }], "ttlSeconds": 1 });
            if dice.happens(50) {
                self.does(dice, "extendPaymentLocks", held).await;
            }
        }
        if dice.happens(70) {
            self.does(dice, "unlockPayments", json!({ "locks": [{ "paymentId": payment.id, "token": token }] })).await;
        }
    }

    /// A shopper is sent to the provider's page, and presses a button there.
    async fn visits(&self, dice: &mut Dice, order: &Order) {
        let key = self.fresh_key();
        let input = json!({ "orderId": order.id, "returnUrl": SHOP, "idempotencyKey": key });
        let selection = "attempt { id externalId redirectUrl }";
        let mut found = None;
        for _ in 0..TRIES {
            let (answer, mut payload) = self.sends(dice, "attemptToPayForOrder", &key, &input, selection).await;
            if payload["attempt"]["redirectUrl"].is_string() {
                found = Some(payload["attempt"].take());
            }
            if found.is_some() || !answer.is_open() || self.is_over() {
                break;
            }
            tokio::time::sleep(dice.millis(10, 400)).await;
        }
        let Some(attempt) = found else { return };
        let text = |field: &str| attempt[field].as_str().expect(field);
        let button = dice.pick(&["pay", "pay", "pay", "pay", "pay", "decline", "cancel", "none"]);
        if button == "none" {
            return;
        }
        guard(&order.visited).push(text("id").to_owned());
        let form = format!("outcome={button}&method={}", dice.method());
        for _ in 0..TRIES {
            let press = self.stage.servers[0].shop.client().post(text("redirectUrl")).body(form.clone());
            let press = press.header("content-type", "application/x-www-form-urlencoded").timeout(PATIENCE);
            if press.send().await.is_ok_and(|answer| !answer.status().is_server_error()) {
                break;
            }
        }
        if dice.happens(50) {
            self.returns(dice, text("id")).await;
        }
    }

    /// The shopper's browser comes back to the shop, which asks the provider what became of the session, and tells a server.
    pub async fn returns(&self, dice: &mut Dice, attempt: &str) {
        let Some(url) = self.stage.sandbox_url() else { return };
        let client = self.stage.servers[0].shop.client();
        let Some(session) = provider::session(client, &url, attempt).await else { return };
        let (Some(received), Some(id)) = (session["amount_received"].as_i64(), session["id"].as_str()) else { return };
        let amount = of_cents(received);
        let input = json!({ "attemptExternalId": id, "status": "SUCCEEDED", "totalAmount": amount, "currency": "EUR" });
        self.does(dice, "updateAttemptToPay", input).await;
    }

    /// What has no key, once.
    async fn does(&self, dice: &mut Dice, mutation: &'static str, input: Value) {
        let at = self.server(dice);
        self.asks(at, mutation, &input, "").await;
    }

    fn server(&self, dice: &mut Dice) -> usize {
        usize::try_from(dice.below(SERVERS as u64)).expect("a place")
    }

    fn fresh_key(&self) -> String {
        format!("storm-{}", self.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks one server; gives the answer and its payload, and keeps no note of it but its word.
    async fn asks(&self, at: usize, mutation: &'static str, input: &Value, selection: &str) -> (Answer, Value) {
        let selection = if selection.is_empty() { "__typename" } else { selection };
        let actor = all_powerful(&self.stage.servers[at].shop);
        let answer = actor.dares(mutation, input.clone(), selection, PATIENCE).await;
        let word = Answer::of(mutation, answer.as_ref());
        let payload = answer.map_or(Value::Null, |mut answer| answer["data"][mutation].take());
        self.told.counts(&word);
        if word == Answer::Cut {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (word, payload)
    }

    /// The same with a key: what was sent and answered is written down.
    pub async fn sends(
        &self,
        dice: &mut Dice,
        mutation: &'static str,
        key: &str,
        input: &Value,
        selection: &str,
    ) -> (Answer, Value) {
        let (at, begun) = (self.server(dice), now());
        let (answer, payload) = self.asks(at, mutation, input, selection).await;
        let sent = Sent { at, begun, ended: now(), answer: answer.clone() };
        self.told.notes(key, mutation, input, sent);
        (answer, payload)
    }
}
