//! What actors do in a shop, in its words.

use serde_json::{Value, json};

use super::{
    actor::Actor,
    shop::{RETURN_URL, Shop},
};

/// Two teas and their shipping: 29.90 EUR.
pub fn tea() -> Value {
    json!({
        "currency": "EUR",
        "lines": [{ "sku": "TEA-250", "name": "Green tea", "quantity": 2, "unitPrice": "12.50" }],
        "shippingTotal": "4.90",
    })
}

/// What an order is looked at for.
pub const ORDER: &str =
    "id number status version owner { kind id } total { amount currency } amountDue { amount currency }
    cart { digest total { amount } lines { sku quantity unitPrice { amount } lineTotal { amount } } }
    snapshot { takenAt cart { digest } paymentAttempt { id } }
    payments { id status amount { amount currency } summary { amountCaptured { amount } fullyCaptured } }
    paymentAttempts { id status externalId amount { amount currency } failure { code message decline } }
    paymentSummary { amountCaptured { amount currency } fullyCaptured amountPending { amount } }
    createdAt updatedAt paidAt cancelledAt";

/// An attempt whose session is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub id: String,
    pub external_id: String,
    pub redirect_url: String,
}

impl Attempt {
    fn of(payload: &Value) -> Self {
        let text = |field: &str| payload["attempt"][field].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned();
        Self { id: text("id"), external_id: text("externalId"), redirect_url: text("redirectUrl") }
    }
}

impl Actor {
    /// The payload of `createOrder` with a fresh key.
    pub async fn orders(&self, owner: &Self, cart: Value) -> Value {
        let key = self.shop.fresh_key();
        let input = json!({ "owner": owner.as_owner(), "cart": cart, "idempotencyKey": key });
        self.does("createOrder", input, &format!("order {{ {ORDER} }}")).await
    }

    /// An order of two teas: its id.
    pub async fn creates_order_for(&self, owner: &Self) -> String {
        self.creates_order_of(owner, tea()).await
    }

    pub async fn creates_order_of(&self, owner: &Self, cart: Value) -> String {
        let payload = self.orders(owner, cart).await;
        payload["order"]["id"].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned()
    }

    /// The whole order, or null.
    pub async fn looks_at(&self, order: &str) -> Value {
        let document = format!("query($id: ID!) {{ order(id: $id) {{ {ORDER} }} }}");
        self.sees(&document, json!({ "id": order })).await["order"].take()
    }

    pub async fn changes_cart(&self, order: &str, cart: Value) -> Value {
        let input = json!({ "orderId": order, "cart": cart });
        self.does("updateOrderCart", input, &format!("order {{ {ORDER} }}")).await
    }

    pub async fn cancels(&self, order: &str) -> Value {
        let input = json!({ "orderId": order });
        self.does("cancelOrder", input, &format!("order {{ {ORDER} }}")).await
    }

    pub async fn marks_paid(&self, order: &str) -> Value {
        let input = json!({ "orderId": order });
        self.does("processOrderToPaid", input, &format!("order {{ {ORDER} }}")).await
    }

    /// The payload of `attemptToPayForOrder`; `more` is laid over the usual input.
    pub async fn tries_to_pay(&self, order: &str, more: Value) -> Value {
        let mut input = json!({ "orderId": order, "returnUrl": RETURN_URL, "idempotencyKey": self.shop.fresh_key() });
        for (name, value) in more.as_object().expect("an object") {
            input[name] = value.clone();
        }
        let selection = "replayed attempt {
            id status externalId redirectUrl clientSecret provider amount { amount currency }
            failure { code message decline } payment { id status } order { id } }";
        self.does("attemptToPayForOrder", input, selection).await
    }

    /// An attempt that a session was opened for, once the provider has told that it did: from then on it says nothing by itself.
    pub async fn attempts_to_pay(&self, order: &str) -> Attempt {
        let payload = self.tries_to_pay(order, json!({})).await;
        assert_eq!(payload["problem"], Value::Null);
        let attempt = Attempt::of(&payload);
        let told = format!("provider_event WHERE external_id = '{}' AND state = 'APPLIED'", attempt.external_id);
        self.shop.comes_to_have(&told).await;
        attempt
    }

    /// What the checkout tells of a session by `updateAttemptToPay`.
    pub async fn reports(&self, session: &str, status: &str, amount: &str) -> Value {
        self.reports_with(session, status, amount, json!({})).await
    }

    pub async fn reports_with(&self, session: &str, status: &str, amount: &str, more: Value) -> Value {
        let mut input =
            json!({ "attemptExternalId": session, "status": status, "totalAmount": amount, "currency": "EUR" });
        for (name, value) in more.as_object().expect("an object") {
            input[name] = value.clone();
        }
        let selection = "alreadyProcessed attempt { id status failure { code message } } order { id status }";
        self.does("updateAttemptToPay", input, selection).await
    }

    /// A part of an owner's list: `part` are arguments such as `first: 2`.
    pub async fn lists(&self, owner: &Self, part: &str) -> Value {
        let (list, argument) = match owner.kind {
            "USER" => ("userOrders", "userId"),
            _ => ("anonymousUserOrders", "anonymousUserId"),
        };
        let document = format!(
            "query($owner: ID!) {{ {list}({argument}: $owner, {part}) {{
                nodes {{ id createdAt }} edges {{ cursor }} totalCount pageCount
                pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"
        );
        self.sees(&document, json!({ "owner": owner.id })).await[list].take()
    }
}

/// An order of ada's with an attempt on it, by its ids.
pub struct Known {
    pub order: String,
    pub payment: String,
    pub attempt: String,
    pub session: String,
}

impl Shop {
    /// An order of ada's, made by the checkout: its id.
    pub async fn adas_order(&self) -> String {
        self.checkout().creates_order_for(&self.user("ada")).await
    }

    /// An order of ada's, and the attempt that is open on it.
    pub async fn open_attempt(&self) -> (String, Attempt) {
        let order = self.adas_order().await;
        let attempt = self.user("ada").attempts_to_pay(&order).await;
        (order, attempt)
    }

    pub async fn known_to_ada(&self) -> Known {
        let (order, attempt) = self.open_attempt().await;
        let seen = self.user("ada").looks_at(&order).await;
        let payment = seen["payments"][0]["id"].as_str().expect("a payment").to_owned();
        Known { order, payment, attempt: attempt.id, session: attempt.external_id }
    }

    /// The statuses of ada's order, of its attempts and of its payments, oldest first.
    pub async fn statuses(&self, order: &str) -> Value {
        let order = self.user("ada").looks_at(order).await;
        let of = |list: &str| -> Vec<Value> {
            let items = order[list].as_array().expect(list);
            items.iter().map(|item| item["status"].clone()).collect()
        };
        json!([order["status"], of("paymentAttempts"), of("payments")])
    }
}
