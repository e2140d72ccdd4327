//! Somebody who makes requests: with a token, over HTTP.

use std::time::Duration;

use chrono::TimeDelta;
use orderpay::{
    auth::{CallerKind, Claims, mint},
    secret::Secret,
};
use serde_json::{Value, json};

use super::shop::{JWT_SECRET, Shop};

/// What a problem tells, whatever its type.
const PROBLEM: &str = "problem { code message retryable
    ... on InvalidInput { fields { path message } }
    ... on StaleVersion { currentVersion }
    ... on PaymentLocked { paymentId purpose expiresAt retryAfterMs }
    ... on AmountExceedsAvailable { requested { amount currency } available { amount currency } }
    ... on AmountDueChanged { expected { amount currency } amountDue { amount currency } } }";

#[derive(Clone)]
pub struct Actor {
    pub shop: Shop,
    pub id: String,
    /// As an order's owner has it: `USER` or `ANONYMOUS`.
    pub kind: &'static str,
    token: String,
}

impl Actor {
    pub fn new(shop: &Shop, kind: CallerKind, id: &str, scope: &str) -> Self {
        let claims = Claims {
            sub: id.to_owned(),
            kind,
            scope: (!scope.is_empty()).then(|| scope.to_owned()),
            exp: (shop.now() + TimeDelta::hours(1)).timestamp(),
            nbf: None,
            iat: None,
            iss: None,
            aud: None,
        };
        Self {
            id: id.to_owned(),
            kind: match kind {
                CallerKind::User => "USER",
                CallerKind::Anonymous => "ANONYMOUS",
                CallerKind::Service => "SERVICE",
            },
            ..Self::with_token(shop, &mint(&Secret::new(JWT_SECRET), &claims).expect("a token"))
        }
    }

    /// Somebody whose token is what it is; an empty one is not sent.
    pub fn with_token(shop: &Shop, token: &str) -> Self {
        Self { shop: shop.clone(), id: String::new(), kind: "", token: token.to_owned() }
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// As an order's owner.
    pub fn as_owner(&self) -> Value {
        json!({ "kind": self.kind, "id": self.id })
    }

    /// The status and the body of what is answered to these very bytes.
    pub async fn sends(&self, body: String) -> (u16, String) {
        // Nothing happens at the same time as something else: what is newer has a later time.
        self.shop.moves_time_by(TimeDelta::milliseconds(1));
        let mut request = self.shop.client().post(self.shop.url("/graphql")).body(body);
        request = request.header("content-type", "application/json");
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        let answer = request.send().await.expect("the server answers");
        let status = answer.status().as_u16();
        let body = answer.text().await.expect("a whole answer");
        self.shop.keeps_answer(&body);
        (status, body)
    }

    /// The whole answer to a GraphQL request: `data` and `errors`.
    pub async fn asks(&self, document: &str, variables: Value) -> Value {
        let request = json!({ "query": document, "variables": variables });
        let (status, body) = self.sends(request.to_string()).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// The data of an answer without errors.
    pub async fn sees(&self, document: &str, variables: Value) -> Value {
        let mut answer = self.asks(document, variables).await;
        assert_eq!(answer.get("errors"), None, "{document}");
        answer["data"].take()
    }

    /// The whole answer to a mutation, of whose payload `selection` and the problem are asked for.
    pub async fn tries(&self, mutation: &str, input: Value, selection: &str) -> Value {
        self.asks(&document(mutation, selection), json!({ "input": input })).await
    }

    /// The same; `None` where the connection breaks off, or there is no answer in time.
    pub async fn dares(&self, mutation: &str, input: Value, selection: &str, time: Duration) -> Option<Value> {
        let body = json!({ "query": document(mutation, selection), "variables": { "input": input } });
        let request = self.shop.client().post(self.shop.url("/graphql")).bearer_auth(&self.token);
        request.json(&body).timeout(time).send().await.ok()?.json().await.ok()
    }

    /// The payload of a mutation that is answered without errors.
    pub async fn does(&self, mutation: &str, input: Value, selection: &str) -> Value {
        let mut answer = self.tries(mutation, input, selection).await;
        assert_eq!(answer.get("errors"), None, "{mutation}");
        answer["data"][mutation].take()
    }
}

/// The document of one mutation.
fn document(mutation: &str, selection: &str) -> String {
    let kind = match mutation {
        "authorizePayment"
        | "authorizeAndCapturePayment"
        | "capturePayment"
        | "reverseAuthorization"
        | "refundPayment"
        | "creditPayment" => "TransactionInput".to_owned(),
        _ => format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]),
    };
    format!("mutation($input: {kind}!) {{ {mutation}(input: $input) {{ {selection} {PROBLEM} }} }}")
}

/// The code of a payload's problem, or null.
pub fn code(payload: &Value) -> &Value {
    &payload["problem"]["code"]
}

/// An answer in one word: the code of its error or problem, `nothing` where it is null, or `ok`.
pub fn outcome(answer: &Value) -> String {
    if let Some(code) = answer["errors"][0]["extensions"]["code"].as_str() {
        let is_unknown = answer["errors"][0]["message"].as_str().is_some_and(|why| why.starts_with("Unknown field"));
        return if is_unknown { "UNKNOWN".to_owned() } else { code.to_owned() };
    }
    if let Some(message) = answer["errors"][0]["message"].as_str() {
        return format!("error: {message}");
    }
    let Some(first) = answer["data"].as_object().and_then(|data| data.values().next()) else {
        return "no data".to_owned();
    };
    match (first, code(first).as_str()) {
        (Value::Null, _) => "nothing".to_owned(),
        (_, Some(problem)) => problem.to_owned(),
        (_, None) => "ok".to_owned(),
    }
}
