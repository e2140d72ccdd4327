//! What services do with payments, in the API's words.

use serde_json::{Value, json};

use super::{actor::Actor, shop::Shop};

/// A payment for the whole of an order of ada's, which costs 29.90 EUR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    pub id: String,
    pub order: String,
}

pub fn euros(amount: &str) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

/// What is looked at of a payment.
const PAYMENT: &str = "id status version amount { amount currency } provider display lock { purpose fencingNumber }
    summary { amountAuthorized { amount } amountCaptured { amount } amountRefunded { amount } amountCredited { amount }
        amountAvailableForAuthorize { amount } amountAvailableForCapture { amount } amountAvailableForRefund { amount }
        amountAvailableForReverseAuthorization { amount } amountAvailableForAuthorizeAndCapture { amount }
        totalEverCaptured { amount } amountPending { amount } amountStuckInReversal { amount } fullyAuthorized fullyCaptured partiallyCaptured fullyRefunded }";

/// An input with something laid over it.
pub fn with(mut input: Value, more: Value) -> Value {
    for (name, value) in more.as_object().expect("an object") {
        input[name] = value.clone();
    }
    input
}

/// The outcome of a payload in one text: `SUCCEEDED 29.90`, or the code of its problem; `null` where there is neither.
pub fn outcome_of(payload: &Value) -> String {
    let outcome = &payload["outcome"];
    let outcome = match outcome["status"].as_str() {
        Some(status) => format!("{status} {}", outcome["amount"]["amount"].as_str().unwrap_or_default()),
        None => String::new(),
    };
    match payload["problem"]["code"].as_str() {
        Some(code) => format!("{outcome} {code}").trim().to_owned(),
        None if outcome.is_empty() => "null".to_owned(),
        None => outcome,
    }
}

/// The sums of a payment's (or an order's) summary: authorized, captured, refunded, pending.
pub fn sums(summary: &Value) -> [&str; 4] {
    ["amountAuthorized", "amountCaptured", "amountRefunded", "amountPending"]
        .map(|sum| summary[sum]["amount"].as_str().unwrap_or("-"))
}

/// What the provider says of a transaction, in the words of its webhook.
pub fn news_of_transaction(event_id: &str, reference: &Value, status: &str, cents: i64) -> String {
    let moved = status == "succeeded";
    let failure = json!({ "code": "card_declined", "message": "Declined.", "decline": "soft" });
    let transaction = json!({
        "id": "trx_told", "reference": reference, "kind": "not read", "amount": cents, "currency": "EUR", "status": status,
        "amount_moved": moved.then_some(cents), "currency_moved": moved.then_some("EUR"), "amount_released": null,
        "failure": if status == "failed" { failure } else { Value::Null },
    });
    json!({
        "id": event_id, "type": format!("transaction.{status}"),
        "created_at": "2026-11-21T09:30:00.000Z", "data": { "transaction": transaction },
    })
    .to_string()
}

impl Actor {
    /// The payload of `createPayment`.
    pub async fn makes_payment(&self, order: &str, amount: Value, method: &str) -> Value {
        let input = json!({
            "orderId": order, "provider": "sandbox", "amount": amount, "methodToken": method,
            "display": { "brand": "Visa", "last4": "4242" }, "idempotencyKey": self.shop.fresh_key(),
        });
        self.does("createPayment", input, &format!("payment {{ {PAYMENT} }}")).await
    }

    /// The payload of one of the six mutations that move money; `more` is laid over the usual input.
    pub async fn moves(&self, mutation: &str, payment: &Payment, amount: &str, more: Value) -> Value {
        let mut input =
            json!({ "paymentId": payment.id, "amount": euros(amount), "idempotencyKey": self.shop.fresh_key() });
        for (name, value) in more.as_object().expect("an object") {
            input[name] = value.clone();
        }
        let selection = format!(
            "replayed payment {{ {PAYMENT} }} outcome {{
                status amount {{ amount currency }} failure {{ code message decline }}
                summary {{ amountAuthorized {{ amount }} amountCaptured {{ amount }} amountRefunded {{ amount }} amountPending {{ amount }}
                    amountAvailableForCapture {{ amount }} amountAvailableForRefund {{ amount }} }} }}"
        );
        self.does(mutation, input, &selection).await
    }

    pub async fn authorizes(&self, payment: &Payment, amount: &str) -> Value {
        self.moves("authorizePayment", payment, amount, json!({})).await
    }

    pub async fn captures(&self, payment: &Payment, amount: &str) -> Value {
        self.moves("capturePayment", payment, amount, json!({})).await
    }

    pub async fn sells(&self, payment: &Payment, amount: &str) -> Value {
        self.moves("authorizeAndCapturePayment", payment, amount, json!({})).await
    }

    pub async fn reverses(&self, payment: &Payment, amount: &str) -> Value {
        self.moves("reverseAuthorization", payment, amount, json!({})).await
    }

    pub async fn refunds(&self, payment: &Payment, amount: &str) -> Value {
        self.moves("refundPayment", payment, amount, json!({})).await
    }

    pub async fn credits(&self, payment: &Payment, amount: &str) -> Value {
        self.moves("creditPayment", payment, amount, json!({})).await
    }

    /// The payload of `updatePayment`.
    pub async fn changes_payment(&self, payment: &Payment, change: Value) -> Value {
        let mut input = json!({ "paymentId": payment.id });
        for (name, value) in change.as_object().expect("an object") {
            input[name] = value.clone();
        }
        self.does("updatePayment", input, &format!("payment {{ {PAYMENT} }}")).await
    }

    /// The payload of `createPayment` by the sandbox; `more` is laid over the usual input.
    pub async fn makes_payment_with(&self, order: &str, more: Value) -> Value {
        let input = json!({
            "orderId": order, "provider": "sandbox", "amount": euros("29.90"), "methodToken": "tok_ok",
            "idempotencyKey": self.shop.fresh_key(),
        });
        self.does("createPayment", with(input, more), &format!("payment {{ {PAYMENT} }}")).await
    }

    /// The payload of `archivePayment`.
    pub async fn archives(&self, payment: &Payment) -> Value {
        self.does("archivePayment", json!({ "paymentId": payment.id }), &format!("payment {{ {PAYMENT} }}")).await
    }

    /// The payment as it is, or null.
    pub async fn sees_payment(&self, payment: &Payment) -> Value {
        let document = format!("query($id: ID!) {{ payment(id: $id) {{ {PAYMENT} }} }}");
        self.sees(&document, json!({ "id": payment.id })).await["payment"].take()
    }

    /// The ledger of a payment, each transaction in one text: `AUTHORIZE SUCCEEDED 29.90`, with its management state where it has one.
    pub async fn sees_ledger(&self, payment: &Payment) -> Vec<String> {
        let document =
            "query($id: ID!) { payment(id: $id) { transactions { kind status managementState amount { amount } } } }";
        let seen = self.sees(document, json!({ "id": payment.id })).await;
        let rows = seen["payment"]["transactions"].as_array().expect("transactions").clone();
        let text = |row: &Value| {
            let words = [&row["kind"], &row["status"], &row["amount"]["amount"], &row["managementState"]];
            words.iter().filter_map(|word| word.as_str()).collect::<Vec<_>>().join(" ")
        };
        rows.iter().map(text).collect()
    }

    /// The ledger of a payment with all that an auditor sees of it, oldest first.
    pub async fn sees_transactions(&self, payment: &Payment) -> Vec<Value> {
        let document = "query($id: ID!) { payment(id: $id) { transactions {
            id kind status managementState amount { amount currency } parent { id } reference providerReference
            failure { code message decline } source sourceEntityType sourceEntityId createdAt settledAt } } }";
        let mut seen = self.sees(document, json!({ "id": payment.id })).await;
        match seen["payment"]["transactions"].take() {
            Value::Array(rows) => rows,
            other => panic!("{other}"),
        }
    }

    /// What became of the mutation that this actor sent under a key, or null.
    pub async fn sees_operation(&self, key: &str) -> Value {
        let document = "query($key: String!) { operation(idempotencyKey: $key) {
            idempotencyKey mutation state startedAt finishedAt problem { code } order { id } payment { id } attempt { id } } }";
        self.sees(document, json!({ "key": key })).await["operation"].take()
    }

    /// The payload of `lockPayments`.
    pub async fn locks(&self, payments: &[&Payment], more: Value) -> Value {
        let ids: Vec<&str> = payments.iter().map(|payment| payment.id.as_str()).collect();
        let mut input = json!({ "paymentIds": ids });
        for (name, value) in more.as_object().expect("an object") {
            input[name] = value.clone();
        }
        self.does("lockPayments", input, "locks { payment { id version } token fencingNumber expiresAt }").await
    }

    /// The token of a lock on one payment, which must be free.
    pub async fn locks_one(&self, payment: &Payment) -> String {
        let payload = self.locks(&[payment], json!({})).await;
        payload["locks"][0]["token"].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned()
    }

    /// The payload of `extendPaymentLocks` for one lock.
    pub async fn extends(&self, payment: &Payment, token: &str, more: Value) -> Value {
        let mut input = json!({ "locks": [{ "paymentId": payment.id, "token": token }] });
        for (name, value) in more.as_object().expect("an object") {
            input[name] = value.clone();
        }
        self.does("extendPaymentLocks", input, "locks { payment { id } token fencingNumber expiresAt }").await
    }

    /// Whether this token unlocked the payment.
    pub async fn unlocks(&self, payment: &Payment, token: &str) -> bool {
        let input = json!({ "locks": [{ "paymentId": payment.id, "token": token }] });
        let payload = self.does("unlockPayments", input, "unlockedPaymentIds").await;
        payload["unlockedPaymentIds"] == json!([payment.id])
    }
}

impl Shop {
    /// A payment with this method for the whole of a new order of ada's: 29.90 EUR.
    pub async fn payment(&self, method: &str) -> Payment {
        let order = self.adas_order().await;
        self.payment_on(&order, "29.90", method).await
    }

    pub async fn payment_on(&self, order: &str, amount: &str, method: &str) -> Payment {
        let payload = self.checkout().makes_payment(order, euros(amount), method).await;
        let id = payload["payment"]["id"].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned();
        Payment { id, order: order.to_owned() }
    }

    /// A payment that all of its 29.90 EUR are authorized on.
    pub async fn authorized(&self) -> Payment {
        let payment = self.payment("tok_ok").await;
        assert_eq!(outcome_of(&self.checkout().authorizes(&payment, "29.90").await), "SUCCEEDED 29.90");
        payment
    }

    /// A payment that all of its 29.90 EUR are captured on, in one piece.
    pub async fn captured(&self) -> Payment {
        let payment = self.authorized().await;
        assert_eq!(outcome_of(&self.checkout().captures(&payment, "29.90").await), "SUCCEEDED 29.90");
        payment
    }

    /// The provider tells of a transaction, by our reference: `pending`, `succeeded` or `failed`, about so many cents. It is acknowledged.
    pub async fn hears_of_transaction(&self, reference: &Value, status: &str, cents: i64) {
        let body = news_of_transaction(&super::setting::fresh("evt_test_"), reference, status, cents);
        assert_eq!(self.webhook(&body).await, 204, "{body}");
    }

    /// Lets a payment's lock run out, by the database's clock.
    pub async fn lets_lock_run_out(&self, payment: &Payment) {
        let uuid = payment.id.strip_prefix("pay_").expect("a payment's id").replace('-', "");
        let (past, id) = match self.engine() {
            super::Engine::Sqlite => ("strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', '-1 second')", format!("x'{uuid}'")),
            super::Engine::Postgres => ("clock_timestamp() - interval '1 second'", format!("'{uuid}'")),
        };
        let sql =
            format!("UPDATE payment_lock SET expires_at = {past} WHERE payment_id = {id} AND token_hash IS NOT NULL");
        self.database().await.run(&sql).await;
    }

    /// Lets every payment's lock run out, by the database's clock.
    pub async fn lets_all_locks_run_out(&self) {
        let past = match self.engine() {
            super::Engine::Sqlite => "strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', '-1 second')",
            super::Engine::Postgres => "clock_timestamp() - interval '1 second'",
        };
        let sql = format!("UPDATE payment_lock SET expires_at = {past} WHERE token_hash IS NOT NULL");
        self.database().await.run(&sql).await;
    }
}
