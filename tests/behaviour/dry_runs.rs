//! Dry runs: what would be, and nothing that is.

use serde_json::{Value, json};

use crate::support::{Actor, Payment, Shop, code, outcome_of, with};

on_each_database![
    a_dry_run_of_each_kind_says_what_the_summary_would_be,
    a_dry_run_uses_up_no_key,
    a_dry_run_knows_nothing_of_keys_that_were_used,
    a_dry_run_of_too_much_is_refused_as_it_would_be,
    a_dry_run_on_a_locked_payment_is_refused,
    a_dry_run_within_a_lock_leaves_it_held,
    a_dry_run_under_a_lost_lock_is_refused,
    a_dry_run_of_a_stale_version_is_refused,
    a_dry_run_settles_nothing_and_counts_what_is_unanswered,
    a_dry_run_asks_no_provider,
];

/// The payload of a dry run, which leaves everything as it was.
async fn dry(actor: &Actor, mutation: &str, payment: &Payment, amount: &str, more: Value) -> Value {
    let more = with(json!({ "dryRun": true }), more);
    actor.shop.leaving_all_as_it_was(&[payment], async || actor.moves(mutation, payment, amount, more).await).await
}

async fn a_dry_run_of_each_kind_says_what_the_summary_would_be(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let (checkout, office) = (shop.checkout(), shop.back_office());
    let steps = [
        (&checkout, "authorizePayment", "20.00"),
        (&checkout, "capturePayment", "5.00"),
        (&checkout, "reverseAuthorization", "15.00"),
        (&checkout, "authorizeAndCapturePayment", "9.90"),
        (&office, "refundPayment", "12.00"),
        (&office, "creditPayment", "1.00"),
    ];

    for (actor, mutation, amount) in steps {
        let would_be = dry(actor, mutation, &payment, amount, json!({})).await;
        let is = actor.moves(mutation, &payment, amount, json!({})).await;

        assert_eq!(outcome_of(&would_be), format!("SUCCEEDED {amount}"), "{mutation}");
        assert_eq!(would_be["outcome"], is["outcome"], "{mutation}");
        assert_eq!(would_be["replayed"], false);
        assert_ne!(would_be["payment"]["version"], is["payment"]["version"], "{mutation}");
    }
    shop.books_agree(&[&payment]).await;
}

// rule I2
async fn a_dry_run_uses_up_no_key(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let (checkout, key) = (shop.checkout(), json!({ "idempotencyKey": "k" }));
    dry(&checkout, "authorizePayment", &payment, "29.90", key.clone()).await;
    assert_eq!(checkout.sees_operation("k").await, Value::Null);

    let done = checkout.moves("authorizePayment", &payment, "10.00", key).await;

    assert_eq!((outcome_of(&done).as_str(), &done["replayed"]), ("SUCCEEDED 10.00", &json!(false)));
}

async fn a_dry_run_knows_nothing_of_keys_that_were_used(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let (checkout, key) = (shop.checkout(), json!({ "idempotencyKey": "k" }));
    checkout.moves("authorizePayment", &payment, "10.00", key.clone()).await;

    let would_be = dry(&checkout, "authorizePayment", &payment, "19.90", key).await;

    assert_eq!((outcome_of(&would_be).as_str(), &would_be["replayed"]), ("SUCCEEDED 19.90", &json!(false)));
}

// rule P5
async fn a_dry_run_of_too_much_is_refused_as_it_would_be(shop: Shop) {
    let payment = shop.authorized().await;

    let would_be = dry(&shop.checkout(), "capturePayment", &payment, "29.91", json!({})).await;

    let is = shop.checkout().captures(&payment, "29.91").await;
    assert_eq!(code(&would_be), "AMOUNT_EXCEEDS_AVAILABLE");
    assert_eq!(would_be, is);
}

// rule K2
async fn a_dry_run_on_a_locked_payment_is_refused(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().locks(&[&payment], json!({ "purpose": "till 7" })).await;

    let refused = dry(&shop.checkout(), "capturePayment", &payment, "1.00", json!({})).await;

    assert_eq!([code(&refused), &refused["problem"]["purpose"]], ["PAYMENT_LOCKED", "till 7"]);
}

// rule K1
async fn a_dry_run_within_a_lock_leaves_it_held(shop: Shop) {
    let payment = shop.authorized().await;
    let checkout = shop.checkout();
    let token = checkout.locks_one(&payment).await;

    let would_be = dry(&checkout, "capturePayment", &payment, "1.00", json!({ "lockToken": token })).await;

    assert_eq!(outcome_of(&would_be), "SUCCEEDED 1.00");
    assert!(checkout.unlocks(&payment, &token).await);
}

// rule K5
async fn a_dry_run_under_a_lost_lock_is_refused(shop: Shop) {
    let payment = shop.authorized().await;
    let checkout = shop.checkout();
    let token = checkout.locks_one(&payment).await;
    checkout.unlocks(&payment, &token).await;

    let refused = dry(&checkout, "capturePayment", &payment, "1.00", json!({ "lockToken": token })).await;

    assert_eq!(code(&refused), "LOCK_LOST");
}

async fn a_dry_run_of_a_stale_version_is_refused(shop: Shop) {
    let payment = shop.authorized().await;
    let version = shop.checkout().sees_payment(&payment).await["version"].take();

    let refused = dry(&shop.checkout(), "capturePayment", &payment, "1.00", json!({ "expectedVersion": 1 })).await;

    assert_eq!([code(&refused), &refused["problem"]["currentVersion"]], [&json!("STALE_VERSION"), &version]);
}

// rules S2, R2: what is unanswered is reserved; to find out is for whoever really does something
async fn a_dry_run_settles_nothing_and_counts_what_is_unanswered(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let checkout = shop.checkout();
    shop.provider_will("run_transaction", "request_lost").await;
    checkout.authorizes(&payment, "20.00").await;

    let too_much = dry(&checkout, "authorizePayment", &payment, "10.00", json!({})).await;
    let rest = dry(&checkout, "authorizePayment", &payment, "9.90", json!({})).await;

    assert_eq!(too_much["problem"]["available"]["amount"], "9.90");
    assert_eq!(outcome_of(&rest), "SUCCEEDED 9.90");
    assert_eq!(rest["outcome"]["summary"]["amountPending"]["amount"], "20.00");
}

async fn a_dry_run_asks_no_provider(shop: Shop) {
    let payment = shop.authorized().await;
    // Nobody listens there.
    let alone = shop.second(&["--sandbox-url", "http://127.0.0.1:9"]).await;

    let more = json!({ "dryRun": true });
    let would_be = alone.checkout().moves("capturePayment", &payment, "29.90", more).await;

    assert_eq!(outcome_of(&would_be), "SUCCEEDED 29.90");
    alone.stop().await;
}
