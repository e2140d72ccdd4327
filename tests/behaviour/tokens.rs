//! Whoever asks must bring a token that the identity system signed, and that is good now.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Duration;
use orderpay::{
    auth::{CallerKind, Claims, mint},
    secret::Secret,
};
use serde_json::{Value, json};

use crate::support::{Actor, JWT_SECRET, Shop, tea};

on_each_database![
    a_request_without_a_token_is_refused,
    a_text_that_is_no_token_is_refused,
    an_expired_token_is_refused,
    a_token_is_good_until_it_expires,
    a_token_without_an_expiry_is_refused,
    an_unsigned_token_is_refused,
    a_token_of_algorithm_none_is_refused,
    a_token_of_another_algorithm_is_refused,
    a_token_signed_by_somebody_else_is_refused,
    a_token_changed_after_it_was_signed_is_refused,
    a_token_for_nobody_is_refused,
    a_token_of_another_issuer_is_refused,
];

fn claims(shop: &Shop) -> Claims {
    Claims {
        sub: "checkout".into(),
        kind: CallerKind::Service,
        scope: Some("orders:write".into()),
        exp: (shop.now() + Duration::hours(1)).timestamp(),
        nbf: None,
        iat: None,
        iss: None,
        aud: None,
    }
}

fn signed(claims: &Claims) -> String {
    mint(&Secret::new(JWT_SECRET), claims).expect("a token")
}

/// The parts of a token of somebody who may create orders: header, claims, signature.
fn parts(shop: &Shop) -> [String; 3] {
    let token = signed(&claims(shop));
    let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts.try_into().expect("three parts")
}

fn encoded(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// Asks for an order with this token.
async fn asks_with(shop: &Shop, token: &str) -> (u16, Value) {
    let input = json!({ "owner": { "kind": "USER", "id": "ada" }, "cart": tea(), "idempotencyKey": "k" });
    let document = "mutation($input: CreateOrderInput!) { createOrder(input: $input) { order { id } } }";
    let body = json!({ "query": document, "variables": { "input": input } }).to_string();
    let (status, body) = Actor::with_token(shop, token).sends(body).await;
    (status, serde_json::from_str(&body).expect("JSON"))
}

/// A token is answered with 401 and its code, and nothing is written.
async fn refused(shop: &Shop, token: &str) {
    let before = shop.rows().await;
    let (status, body) = asks_with(shop, token).await;
    assert_eq!((status, &body["errors"][0]["extensions"]["code"]), (401, &json!("UNAUTHENTICATED")), "{body}");
    assert_eq!((body.get("data"), shop.rows().await), (None, before));
}

// rule A1
async fn a_request_without_a_token_is_refused(shop: Shop) {
    refused(&shop, "").await;
}

async fn a_text_that_is_no_token_is_refused(shop: Shop) {
    refused(&shop, "let-me-in").await;
}

// rule A1
async fn an_expired_token_is_refused(shop: Shop) {
    let token = signed(&claims(&shop));
    shop.moves_time_by(Duration::minutes(61));

    refused(&shop, &token).await;
}

// rule A1: the other half of the test above
async fn a_token_is_good_until_it_expires(shop: Shop) {
    let token = signed(&claims(&shop));
    shop.moves_time_by(Duration::minutes(59));

    let (status, body) = asks_with(&shop, &token).await;

    assert_eq!((status, body.get("errors")), (200, None));
}

// rule A1
async fn a_token_without_an_expiry_is_refused(shop: Shop) {
    let key = jsonwebtoken::EncodingKey::from_secret(JWT_SECRET.as_bytes());
    let endless = json!({ "sub": "checkout", "kind": "service", "scope": "orders:write" });
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &endless, &key).expect("a token");

    refused(&shop, &token).await;
}

// rule A1
async fn an_unsigned_token_is_refused(shop: Shop) {
    let [header, claims, _] = parts(&shop);

    refused(&shop, &format!("{header}.{claims}.")).await;
}

// rule A1
async fn a_token_of_algorithm_none_is_refused(shop: Shop) {
    let [_, claims, _] = parts(&shop);
    let header = encoded(&json!({ "alg": "none", "typ": "at+jwt" }));

    refused(&shop, &format!("{header}.{claims}.")).await;
}

// rule A1: the configuration says which algorithm, not the token
async fn a_token_of_another_algorithm_is_refused(shop: Shop) {
    let key = jsonwebtoken::EncodingKey::from_secret(JWT_SECRET.as_bytes());
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS512);
    let token = jsonwebtoken::encode(&header, &claims(&shop), &key).expect("a token");

    refused(&shop, &token).await;
}

// rule A1
async fn a_token_signed_by_somebody_else_is_refused(shop: Shop) {
    let token = mint(&Secret::new("another secret of thirty-two bytes"), &claims(&shop)).expect("a token");

    refused(&shop, &token).await;
}

// rule A1
async fn a_token_changed_after_it_was_signed_is_refused(shop: Shop) {
    let [header, _, signature] = parts(&shop);
    let greedy = Claims { scope: Some("orders:write payments:refund".into()), ..claims(&shop) };
    let claims = encoded(&serde_json::to_value(greedy).unwrap());

    refused(&shop, &format!("{header}.{claims}.{signature}")).await;
}

// rule A1
async fn a_token_for_nobody_is_refused(shop: Shop) {
    refused(&shop, &signed(&Claims { sub: String::new(), ..claims(&shop) })).await;
}

// rule A1
async fn a_token_of_another_issuer_is_refused(shop: Shop) {
    let strict = shop.second(&["--jwt-issuer", "https://id.example"]).await;

    refused(&strict, &signed(&Claims { iss: Some("https://evil.example".into()), ..claims(&strict) })).await;
    strict.stop().await;
}
