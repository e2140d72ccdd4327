//! What is there before a story's act: orders, payments, sessions, and what was left half done.

use serde_json::{Value, json};

use crate::support::{Actor, Attempt, Engine, News, Payment, Shop, code, euros, eventually, outcome_of, tea};

/// The key of each act, so that a retry has the same.
pub const KEY: &str = "the act";
/// Whoever holds a lock of their own.
const TILL: &str = "till";

/// What an act finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    Nothing,
    /// An order of ada's.
    Order,
    /// An order of ada's, and two of a guest's.
    GuestOrders,
    /// An order that costs nothing.
    FreeOrder,
    /// A payment of 29.90 with this method.
    Payment(&'static str),
    Authorized(&'static str),
    AuthorizedInTwo,
    PartlyCaptured,
    Captured(&'static str),
    /// An authorization was to be undone, and then all of it was captured after all.
    MarkedAndUsed,
    /// Somebody has asked for an authorization, and not been answered.
    Unanswered(&'static str),
    /// As that, under the act's key.
    Begun(&'static str),
    /// Under the act's key, and the provider has told of its end since.
    Answered,
    /// The next look-up of a transaction fails.
    Silent,
    /// Not answered, and somebody else holds the payment's lock.
    UnansweredAndLocked,
    /// The money of this mutation was on its way and has arrived, and nobody told.
    Arrived(&'static str),
    /// The caller holds the lock.
    Locked,
    /// As that, of two authorizations.
    LockedInTwo,
    /// A lock on the payment runs out as soon as something is written under it.
    LockThatRunsOut,
    /// The provider authorized another amount; a person has to decide.
    Odd,
    OpenAttempt,
    /// Another amount came than the session was for; a person has to decide.
    OddAttempt,
    /// The session was paid, and nobody told.
    PaidAttempt,
    /// The session was paid, and what the provider told was kept because nobody knew the session.
    ParkedNews,
    /// News that nobody knows the subject of.
    StrangeNews,
    /// A payment that held a part of the order was archived since the session was opened for the rest.
    AttemptForTooLittle,
    /// A session that the checkout gave up was paid all the same, and nobody told; another one is open.
    TwoSessions,
    /// The act's key began an attempt, and the provider's answer met this fault.
    Unopened(&'static str),
    /// The next session to be opened meets this fault.
    FaultyOpening(&'static str),
}

impl Before {
    /// Whether the provider fails the first of those who ask it: that may be whoever comes after the server that died.
    pub fn meets_a_fault(self) -> bool {
        match self {
            Self::Silent | Self::FaultyOpening(_) => true,
            Self::Payment(method) | Self::Authorized(method) | Self::Captured(method) | Self::Unanswered(method) => {
                method.ends_with("_lost") || method == "tok_slow"
            }
            _ => false,
        }
    }
}

/// What there is, by its ids; what the story has no use for is empty.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    pub order: String,
    pub payment: String,
    /// The provider's id of the session.
    pub session: String,
    pub token: String,
    pub case: String,
    /// Of the transaction that was begun.
    pub reference: String,
}

impl From<Payment> for Scene {
    fn from(Payment { id, order }: Payment) -> Self {
        Self { order, payment: id, ..Self::default() }
    }
}

impl Scene {
    /// What there is before, made by a server that lives.
    pub async fn set(before: Before, shop: &Shop) -> Self {
        match before {
            Before::Nothing => Self::default(),
            Before::Order | Before::GuestOrders | Before::FreeOrder => orders(before, shop).await,
            Before::OpenAttempt
            | Before::OddAttempt
            | Before::PaidAttempt
            | Before::ParkedNews
            | Before::StrangeNews
            | Before::AttemptForTooLittle
            | Before::TwoSessions
            | Before::Unopened(_)
            | Before::FaultyOpening(_) => attempts(before, shop).await,
            _ => payments(before, shop).await,
        }
    }

    /// The input of a mutation that moves money on the payment.
    pub fn moves(&self, amount: &str) -> Value {
        json!({ "paymentId": self.payment, "amount": euros(amount), "idempotencyKey": KEY })
    }

    /// The same under the caller's lock.
    pub fn moves_locked(&self, amount: &str) -> Value {
        let mut input = self.moves(amount);
        input["lockToken"] = json!(self.token);
        input
    }

    /// What the provider tells of the session.
    pub fn news(&self, status: &'static str) -> String {
        let mut news = News::of_session(&self.session, status);
        news.event_id = "evt_the_act".into();
        news.body()
    }

    fn as_payment(&self) -> Payment {
        Payment { id: self.payment.clone(), order: self.order.clone() }
    }
}

async fn orders(before: Before, shop: &Shop) -> Scene {
    let (checkout, ada, guest) = (shop.checkout(), shop.user("ada"), shop.guest("g-1"));
    if before == Before::GuestOrders {
        for owner in [&guest, &ada, &guest] {
            checkout.creates_order_for(owner).await;
        }
        return Scene::default();
    }
    let cart = match before {
        Before::FreeOrder => {
            json!({ "currency": "EUR", "lines": [{ "sku": "SAMPLE", "name": "A sample", "quantity": 1, "unitPrice": "0.00" }] })
        }
        _ => tea(),
    };
    Scene { order: checkout.creates_order_of(&ada, cart).await, ..Scene::default() }
}

// ── payments ──

/// The payment method that a scene begins with.
fn method(before: Before) -> &'static str {
    match before {
        Before::Payment(method)
        | Before::Authorized(method)
        | Before::Captured(method)
        | Before::Unanswered(method)
        | Before::Begun(method) => method,
        Before::Answered | Before::Silent | Before::UnansweredAndLocked => "tok_answer_lost",
        Before::Arrived(_) => "tok_no_webhook",
        Before::Odd => "tok_wrong_amount",
        _ => "tok_ok",
    }
}

async fn payments(before: Before, shop: &Shop) -> Scene {
    let mut scene = Scene::from(shop.payment(method(before)).await);
    let payment = scene.as_payment();
    match before {
        Before::Authorized(_) => holds(shop, &payment, "29.90").await,
        Before::AuthorizedInTwo | Before::LockedInTwo => {
            holds(shop, &payment, "10.00").await;
            holds(shop, &payment, "19.90").await;
        }
        Before::PartlyCaptured => {
            holds(shop, &payment, "29.90").await;
            ends_well(shop, "capturePayment", &payment, "10.00").await;
        }
        Before::Captured(_) | Before::MarkedAndUsed => {
            holds(shop, &payment, "29.90").await;
            ends_well(shop, "capturePayment", &payment, "29.90").await;
            if before == Before::MarkedAndUsed {
                let mark =
                    "UPDATE payment_transaction SET management_state = 'REQUIRES_REVERSAL' WHERE kind = 'AUTHORIZE'";
                shop.database().await.run(mark).await;
            }
        }
        Before::Locked => holds(shop, &payment, "29.90").await,
        Before::LockThatRunsOut => shop.database().await.run(lock_that_runs_out(shop.engine())).await,
        Before::Unanswered(_) => asks_in_vain(shop, &payment, "somebody's").await,
        Before::Begun(_) => asks_in_vain(shop, &payment, KEY).await,
        Before::Answered => {
            asks_in_vain(shop, &payment, KEY).await;
            shop.hears_of_transaction(&reference(shop, &payment).await, "succeeded", 2990).await;
        }
        Before::Silent => {
            asks_in_vain(shop, &payment, "somebody's").await;
            shop.provider_will("find_transaction", "error_500").await;
        }
        Before::UnansweredAndLocked => asks_in_vain(shop, &payment, "somebody's").await,
        Before::Arrived(mutation) => arrives(shop, &payment, mutation).await,
        Before::Odd => {
            asks_in_vain(shop, &payment, "somebody's").await;
            scene.case = first_case(shop).await;
        }
        _ => {}
    }
    if matches!(before, Before::Locked | Before::LockedInTwo | Before::UnansweredAndLocked) {
        scene.token = locks(shop, &payment).await;
    }
    if matches!(before, Before::Arrived(_)) {
        scene.reference = reference(shop, &payment).await.as_str().expect("a reference").to_owned();
    }
    scene
}

/// A service that may do everything.
pub fn service(shop: &Shop) -> Actor {
    shop.service(&orderpay::auth::Scope::ALL.map(orderpay::auth::Scope::name))
}

async fn holds(shop: &Shop, payment: &Payment, amount: &str) {
    ends_well(shop, "authorizePayment", payment, amount).await;
}

/// Asks for it under one key until it is done: with some methods the first answer is lost.
async fn ends_well(shop: &Shop, mutation: &str, payment: &Payment, amount: &str) {
    let key = json!({ "idempotencyKey": shop.fresh_key() });
    let done = format!("SUCCEEDED {amount}");
    for _ in 0..3 {
        if outcome_of(&service(shop).moves(mutation, payment, amount, key.clone()).await) == done {
            return;
        }
    }
    panic!("{mutation} of {amount} does not succeed");
}

/// An authorization of which nothing is known.
async fn asks_in_vain(shop: &Shop, payment: &Payment, key: &str) {
    let payload = service(shop).moves("authorizePayment", payment, "29.90", json!({ "idempotencyKey": key })).await;
    assert_eq!(outcome_of(&payload), "UNKNOWN 29.90 OUTCOME_UNKNOWN");
}

/// As the lock of a server that stands still before it sends what it has written.
fn lock_that_runs_out(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => {
            "CREATE TRIGGER runs_out AFTER INSERT ON payment_transaction BEGIN
                UPDATE payment_lock SET expires_at = '2020-01-01T00:00:00.000+00:00' WHERE payment_id = NEW.payment_id;
            END"
        }
        Engine::Postgres => {
            "CREATE FUNCTION runs_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                UPDATE payment_lock SET expires_at = '2020-01-01' WHERE payment_id = NEW.payment_id;
                RETURN NEW;
            END $$;
            CREATE TRIGGER runs_out AFTER INSERT ON payment_transaction FOR EACH ROW EXECUTE FUNCTION runs_out()"
        }
    }
}

async fn arrives(shop: &Shop, payment: &Payment, mutation: &str) {
    let before = shop.movements().await.len();
    let payload = service(shop).moves(mutation, payment, "29.90", json!({})).await;
    assert_eq!(outcome_of(&payload), "PENDING 29.90");
    eventually("the money arrives", async || (shop.movements().await.len() > before).then_some(())).await;
}

async fn reference(shop: &Shop, payment: &Payment) -> Value {
    shop.back_office().sees_transactions(payment).await[0]["reference"].take()
}

async fn locks(shop: &Shop, payment: &Payment) -> String {
    let payload = shop.checkout().locks(&[payment], json!({ "purpose": TILL, "ttlSeconds": 300 })).await;
    payload["locks"][0]["token"].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned()
}

async fn first_case(shop: &Shop) -> String {
    let seen = service(shop).sees("{ reconciliationCases(first: 1) { nodes { id } } }", json!({})).await;
    seen["reconciliationCases"]["nodes"][0]["id"].as_str().expect("a case").to_owned()
}

// ── attempts ──

async fn attempts(before: Before, shop: &Shop) -> Scene {
    match before {
        Before::StrangeNews => {
            shop.hears(&News::of_session("ses_of_nobody", "succeeded")).await;
            return Scene::default();
        }
        Before::Unopened(fault) => return unopened(shop, fault).await,
        Before::FaultyOpening(fault) => {
            shop.provider_will("create_session", fault).await;
            return orders(Before::Order, shop).await;
        }
        _ => {}
    }
    let order = shop.adas_order().await;
    let held = match before {
        Before::AttemptForTooLittle => {
            let payment = shop.payment_on(&order, "10.00", "tok_ok").await;
            holds(shop, &payment, "10.00").await;
            Some(payment)
        }
        _ => None,
    };
    let attempt = shop.user("ada").attempts_to_pay(&order).await;
    let mut case = String::new();
    match before {
        Before::PaidAttempt => shop.shopper_pays_with(&attempt, "tok_no_webhook").await,
        Before::OddAttempt => {
            shop.shopper_pays_with(&attempt, "tok_wrong_amount").await;
            shop.comes_to_have("reconciliation_case").await;
            case = first_case(shop).await;
        }
        Before::ParkedNews => is_told_too_early(shop, &attempt).await,
        Before::TwoSessions => {
            shop.provider_will("cancel_session", "error_500").await;
            shop.checkout().reports(&attempt.external_id, "CANCELLED", "29.90").await;
            shop.user("ada").attempts_to_pay(&order).await;
            shop.shopper_pays_with(&attempt, "tok_no_webhook").await;
        }
        _ => {}
    }
    if let Some(payment) = held {
        shop.checkout().archives(&payment).await;
    }
    Scene { order, session: attempt.external_id, case, ..Scene::default() }
}

/// The session is paid, and told of before anybody knew it, as where the provider was quicker than its own answer.
async fn is_told_too_early(shop: &Shop, attempt: &Attempt) {
    shop.shopper_pays_with(attempt, "tok_no_webhook").await;
    let database = shop.database().await;
    database.run("UPDATE payment_attempt SET external_id = external_id || '?'").await;
    shop.hears(&News::that(attempt, "succeeded")).await;
    database.run("UPDATE payment_attempt SET external_id = replace(external_id, '?', '')").await;
    assert_eq!(shop.count("provider_event WHERE state = 'PARKED'").await, 1);
}

async fn unopened(shop: &Shop, fault: &str) -> Scene {
    let scene = orders(Before::Order, shop).await;
    shop.provider_will("create_session", fault).await;
    let payload = service(shop).tries_to_pay(&scene.order, json!({ "idempotencyKey": KEY })).await;
    assert_eq!(code(&payload), "OUTCOME_UNKNOWN");
    if fault == "answer_lost" {
        // The provider tells of what it opened.
        shop.comes_to_have("provider_event WHERE state = 'PARKED'").await;
    }
    scene
}
