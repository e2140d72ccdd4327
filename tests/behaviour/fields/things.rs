//! What belongs to somebody: something of every kind, and of each in every state that shows a field which others don't.

use std::collections::BTreeMap;

use entity::id::{AttemptId, OrderId, PaymentId};
use serde_json::json;

use crate::support::{Actor, Attempt, News, Payment, Shop, forms::almighty, tea, with};

/// How the things of an owner are asked for: the field of Query, and what is written in its place.
pub struct Things {
    pub whose: &'static str,
    asked: BTreeMap<&'static str, Vec<String>>,
}

/// The ids of what an owner has.
#[derive(Default)]
struct Ids {
    orders: Vec<String>,
    payments: Vec<String>,
    attempts: Vec<String>,
    keys: Vec<String>,
}

impl Things {
    /// What an owner has: an order that is paid, one that is cancelled, and one with payments in every state.
    pub async fn of(shop: &Shop, whose: &'static str, owner: &Actor) -> Self {
        let mut ids = Ids::default();
        paid(shop, owner, &mut ids).await;
        failed(shop, owner, &mut ids).await;
        split(shop, owner, &mut ids).await;
        let list = match owner.kind {
            "USER" => format!("userOrders(userId: \"{}\", first: 10)", owner.id),
            _ => format!("anonymousUserOrders(anonymousUserId: \"{}\", first: 10)", owner.id),
        };
        Self { whose, asked: ids.asked(list) }
    }

    /// What is nobody's.
    pub fn missing(shop: &Shop) -> Self {
        let ids = Ids {
            orders: vec![OrderId::new(shop.now()).to_string()],
            payments: vec![PaymentId::new(shop.now()).to_string()],
            attempts: vec![AttemptId::new(shop.now()).to_string()],
            keys: vec!["never sent".into()],
        };
        Self { whose: "missing", asked: ids.asked("userOrders(userId: \"nobody\", first: 10)".into()) }
    }

    /// What has no owner: everybody who may ask is shown the same, or what is their own.
    pub fn nobodys() -> Self {
        let asked = ["viewer", "orders(first: 10)", "reconciliationCases(first: 10)"];
        let asked = asked.map(|field| (field.split('(').next().unwrap_or(field), vec![field.to_owned()]));
        Self { whose: "any", asked: asked.into() }
    }

    /// What is written in place of this field of Query; nothing where it does not ask for what belongs to somebody.
    pub fn asked_by(&self, root: &str) -> &[String] {
        self.asked.get(root).map_or(&[], Vec::as_slice)
    }
}

impl Ids {
    fn asked(&self, list: String) -> BTreeMap<&'static str, Vec<String>> {
        let each = |field: &str, ids: &[String]| -> Vec<String> {
            ids.iter().map(|id| format!("{field}: \"{id}\")")).collect()
        };
        let everything = [&self.orders[..], &self.payments, &self.attempts].map(|ids| &ids[..1]).concat();
        BTreeMap::from([
            ("order", each("order(id", &self.orders)),
            ("orderToPay", each("orderToPay(orderId", &self.orders)),
            ("payment", each("payment(id", &self.payments)),
            ("paymentAttempt", each("paymentAttempt(id", &self.attempts)),
            ("node", each("node(id", &everything)),
            ("operation", each("operation(idempotencyKey", &self.keys)),
            ("userOrders", vec![list]),
        ])
    }
}

/// Makes an order by an operation of the back office's; keeps its id and the operation's key.
async fn ordered(shop: &Shop, owner: &Actor, ids: &mut Ids) -> String {
    let (office, key) = (almighty(shop), shop.fresh_key());
    let cart = with(tea(), json!({ "externalId": "a cart" }));
    let input = json!({ "owner": owner.as_owner(), "cart": cart, "idempotencyKey": key });
    let made = office.does("createOrder", input, "order { id }").await;
    let order = made["order"]["id"].as_str().expect("an order").to_owned();
    ids.orders.push(order.clone());
    ids.keys.push(key);
    order
}

async fn attempted(owner: &Actor, order: &str, ids: &mut Ids) -> Attempt {
    let attempt = owner.attempts_to_pay(order).await;
    let seen =
        owner.sees("query($id: ID!) { paymentAttempt(id: $id) { payment { id } } }", json!({ "id": attempt.id }));
    ids.payments.push(seen.await["paymentAttempt"]["payment"]["id"].as_str().expect("a payment").to_owned());
    ids.attempts.push(attempt.id.clone());
    attempt
}

/// An order that was paid by an attempt, and one with an attempt that was declined and one that is open.
async fn paid(shop: &Shop, owner: &Actor, ids: &mut Ids) {
    let order = ordered(shop, owner, ids).await;
    let attempt = attempted(owner, &order, ids).await;
    shop.checkout().reports(&attempt.external_id, "SUCCEEDED", "29.90").await;
    let order = ordered(shop, owner, ids).await;
    let attempt = attempted(owner, &order, ids).await;
    shop.hears(&News::that(&attempt, "failed")).await;
    attempted(owner, &order, ids).await;
    // The open one is given back to a new key, too.
    let key = shop.fresh_key();
    owner.tries_to_pay(&order, json!({ "idempotencyKey": key })).await;
    ids.keys.push(key);
}

/// An order that was cancelled after an attempt of the back office's came to nothing.
async fn failed(shop: &Shop, owner: &Actor, ids: &mut Ids) {
    let order = ordered(shop, owner, ids).await;
    let key = shop.fresh_key();
    shop.provider_will("create_session", "rejected").await;
    let input = json!({ "orderId": order, "idempotencyKey": key });
    let payload = almighty(shop).does("attemptToPayForOrder", input, "attempt { id payment { id } }").await;
    let attempt = &payload["attempt"];
    ids.attempts.push(attempt["id"].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned());
    ids.keys.push(key);
    shop.checkout().cancels(&order).await;
}

/// An order with payments that were authorized, captured in part, declined, locked, and archived.
async fn split(shop: &Shop, owner: &Actor, ids: &mut Ids) {
    let order = ordered(shop, owner, ids).await;
    let office = almighty(shop);
    let mut payments = vec![];
    for method in ["tok_ok", "tok_ok", "tok_ok", "tok_declined_soft"] {
        payments.push(shop.payment_on(&order, "5.00", method).await);
    }
    let [sold, locked, archived, declined] = &payments[..] else { panic!("{payments:?}") };
    let key = shop.fresh_key();
    let told = json!({ "source": "office", "sourceEntityType": "return", "sourceEntityId": "r-1" });
    office.moves("authorizePayment", sold, "4.00", with(told, json!({ "idempotencyKey": key }))).await;
    office.captures(sold, "2.00").await;
    office.authorizes(archived, "5.00").await;
    office.archives(archived).await;
    office.authorizes(declined, "5.00").await;
    office.locks(&[locked], json!({ "ttlSeconds": 300, "purpose": "looking" })).await;
    ids.keys.push(key);
    ids.payments.extend(payments.iter().map(|payment: &Payment| payment.id.clone()));
}
