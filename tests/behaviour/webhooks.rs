//! A provider's webhook is believed by its signature alone, and only for a while.

use serde_json::json;

use orderpay::sandbox::sign;

use crate::support::{News, Shop, WEBHOOK_SECRET};

on_each_database![
    a_webhook_without_a_signature_is_refused,
    a_webhook_signed_by_somebody_else_is_refused,
    a_signature_of_another_body_is_refused,
    a_signature_of_six_minutes_ago_is_refused,
    a_signature_of_four_minutes_ago_is_good,
    a_signature_is_checked_before_the_body_is_read,
    a_signed_webhook_that_is_no_event_is_refused,
    a_signed_event_of_an_unknown_type_is_refused,
    a_webhook_of_an_unknown_provider_is_not_found,
    a_copy_of_an_event_is_acknowledged,
    news_of_a_session_that_nobody_knows_is_kept,
];

/// News that an attempt of ada's succeeded.
async fn good_news(shop: &Shop) -> News {
    News::that(&shop.open_attempt().await.1, "succeeded")
}

/// A webhook with this signature is answered with this status, and nothing is written.
async fn refused(shop: &Shop, signature: Option<&str>, body: &str, status: u16) {
    let before = shop.rows().await;
    assert_eq!(shop.webhook_signed(signature, body).await, status);
    assert_eq!(shop.rows().await, before);
}

fn signature(shop: &Shop, seconds_ago: i64, body: &str) -> String {
    sign(WEBHOOK_SECRET.as_bytes(), shop.now().timestamp() - seconds_ago, body.as_bytes())
}

// rule W1
async fn a_webhook_without_a_signature_is_refused(shop: Shop) {
    let body = good_news(&shop).await.body();

    refused(&shop, None, &body, 401).await;
}

// rule W1
async fn a_webhook_signed_by_somebody_else_is_refused(shop: Shop) {
    let body = good_news(&shop).await.body();

    let theirs = sign(b"another secret", shop.now().timestamp(), body.as_bytes());
    refused(&shop, Some(&theirs), &body, 401).await;
}

// rule W1
async fn a_signature_of_another_body_is_refused(shop: Shop) {
    let news = good_news(&shop).await;

    let of_another = signature(&shop, 0, &news.told_anew().body());
    refused(&shop, Some(&of_another), &news.body(), 401).await;
}

// rule W1
async fn a_signature_of_six_minutes_ago_is_refused(shop: Shop) {
    let body = good_news(&shop).await.body();

    let stale = signature(&shop, 360, &body);
    refused(&shop, Some(&stale), &body, 401).await;
}

// rule W1
async fn a_signature_of_four_minutes_ago_is_good(shop: Shop) {
    let body = good_news(&shop).await.body();

    let late = signature(&shop, 240, &body);
    assert_eq!(shop.webhook_signed(Some(&late), &body).await, 204);
}

// rule W1
async fn a_signature_is_checked_before_the_body_is_read(shop: Shop) {
    refused(&shop, Some("t=1,v1=00"), "{", 401).await;
}

async fn a_signed_webhook_that_is_no_event_is_refused(shop: Shop) {
    let signed = signature(&shop, 0, "{");

    refused(&shop, Some(&signed), "{", 400).await;
}

async fn a_signed_event_of_an_unknown_type_is_refused(shop: Shop) {
    let body = good_news(&shop).await.body().replace("session.succeeded", "session.vanished");

    let signed = signature(&shop, 0, &body);
    refused(&shop, Some(&signed), &body, 400).await;
}

async fn a_webhook_of_an_unknown_provider_is_not_found(shop: Shop) {
    let answer = shop.client().post(shop.url("/webhooks/paypal")).json(&json!({})).send().await.unwrap();

    assert_eq!(answer.status(), 404);
}

// rules W2, T3
async fn a_copy_of_an_event_is_acknowledged(shop: Shop) {
    let news = good_news(&shop).await;
    shop.hears(&news).await;
    let before = shop.rows().await;

    shop.hears(&news).await;

    assert_eq!(shop.rows().await, before);
}

// rule W2
async fn news_of_a_session_that_nobody_knows_is_kept(shop: Shop) {
    let news = News::of_session("sbx_unknown", "succeeded");

    shop.hears(&news).await;
    shop.hears(&news).await;

    assert_eq!(shop.count("provider_event WHERE state = 'PARKED'").await, 1);
}
