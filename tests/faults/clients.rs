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
    stage::{SERVERS, Stage, guard},
    support::{Payment, dice::Dice, euros, tea, track::all_powerful},
    told::{Answer, Sent, Told, now},
};

/// So many orders are worked on at any time.
pub const LIVE: usize = 16;
const CLIENTS: u64 = 20;
/// So often a client sends the same before it turns to something else.
pub const TRIES: usize = 5;
/// How long a client waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

pub struct Clients {
    pub stage: Arc<Stage>,
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

    pub fn is_over(&self) -> bool {
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
            Wish::MarkPaid => self.ends_order(dice, "processOrderToPaid", order, "PAID").await,
            Wish::Cancel => self.ends_order(dice, "cancelOrder", order, "CANCELLED").await,
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

    /// An order that is told to have come to this, or to something else before, stays so.
    async fn ends_order(&self, dice: &mut Dice, mutation: &'static str, order: &Order, status: &'static str) {
        let told = self.does(dice, mutation, json!({ "orderId": order.id })).await;
        if let Some(end) = if told.word() == "ok" { Some(status) } else { told.end() } {
            self.told.notes_end(&order.id, end);
        }
    }

    /// What has no key, once.
    pub async fn does(&self, dice: &mut Dice, mutation: &'static str, input: Value) -> Answer {
        let at = self.server(dice);
        self.asks(at, mutation, &input, "").await.0
    }

    fn server(&self, dice: &mut Dice) -> usize {
        usize::try_from(dice.below(SERVERS as u64)).expect("a place")
    }

    pub fn fresh_key(&self) -> String {
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
        let made = ["order", "payment", "attempt"].iter().find_map(|what| payload[*what]["id"].as_str());
        let sent = Sent { at, begun, ended: now(), answer: answer.clone(), made: made.map(str::to_owned) };
        self.told.notes(key, mutation, input, sent);
        (answer, payload)
    }
}
