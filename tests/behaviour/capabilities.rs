//! What a provider can't do is refused before it is asked, and what it does of itself is in the ledger (rule P10).

use serde_json::{Value, json};

use crate::support::{Payment, Shop, code, outcome_of, sums};

on_each_database![
    of_an_authorization_that_is_captured_once_nothing_more_is_captured,
    a_capture_of_two_authorizations_takes_from_each_once,
    what_a_single_capture_left_may_be_given_back,
    a_part_of_an_authorization_is_not_reversed_where_only_all_can_be,
    all_that_is_left_is_reversed_where_only_all_can_be,
    an_archived_payment_gives_back_all_that_is_left_where_only_all_can_be,
    a_capture_that_ends_its_authorization_lets_go_of_the_rest,
    what_a_capture_let_go_of_may_be_authorized_anew,
    a_capture_of_all_lets_go_of_nothing,
    a_dry_run_knows_what_a_capture_would_let_go_of,
    what_a_capture_with_a_lost_answer_let_go_of_is_booked_once,
    what_a_capture_told_of_three_times_let_go_of_is_booked_once,
    while_a_capture_may_have_ended_an_authorization_nothing_is_begun_on_it,
    a_capture_that_somebody_accepts_lets_go_of_the_rest,
    only_what_was_captured_is_refunded_where_the_rest_was_let_go_of,
];

/// A server whose provider can't do some things; what happens there happens at that provider.
async fn limited(shop: &Shop, limits: &str, look: impl AsyncFnOnce(&Shop)) {
    let limited = shop.second(&["--sandbox-limits", limits]).await;
    look(&limited).await;
    limited.stop().await;
}

/// Refused before anything was sent or written, in words that contain these.
async fn unsupported(shop: &Shop, payment: &Payment, mutation: &str, amount: &str, words: &str) {
    let checkout = shop.checkout();
    let payload = shop
        .leaving_all_as_it_was(&[payment], async || checkout.moves(mutation, payment, amount, json!({})).await)
        .await;
    assert_eq!(code(&payload), "PROVIDER_UNSUPPORTED", "{payload}");
    let message = payload["problem"]["message"].as_str().expect("a message");
    assert!(message.contains("sandbox") && message.contains(words), "{message}");
}

async fn of_an_authorization_that_is_captured_once_nothing_more_is_captured(shop: Shop) {
    limited(&shop, "single-capture", async |shop| {
        let payment = shop.authorized().await;
        assert_eq!(outcome_of(&shop.checkout().captures(&payment, "10.00").await), "SUCCEEDED 10.00");

        unsupported(shop, &payment, "capturePayment", "5.00", "only once").await;
        shop.books_agree(&[&payment]).await;
    })
    .await;
}

async fn a_capture_of_two_authorizations_takes_from_each_once(shop: Shop) {
    limited(&shop, "single-capture", async |shop| {
        let payment = shop.payment("tok_ok").await;
        let checkout = shop.checkout();
        checkout.authorizes(&payment, "10.00").await;
        checkout.authorizes(&payment, "19.90").await;

        let first = checkout.captures(&payment, "4.00").await;
        let second = checkout.captures(&payment, "5.00").await;

        // The first authorization was captured from, so the second one is taken.
        assert_eq!([&first, &second].map(outcome_of), ["SUCCEEDED 4.00", "SUCCEEDED 5.00"]);
        unsupported(shop, &payment, "capturePayment", "1.00", "only once").await;
        shop.books_agree(&[&payment]).await;
    })
    .await;
}

async fn what_a_single_capture_left_may_be_given_back(shop: Shop) {
    limited(&shop, "single-capture", async |shop| {
        let payment = shop.authorized().await;
        shop.checkout().captures(&payment, "10.00").await;

        let reversed = shop.checkout().reverses(&payment, "19.90").await;

        assert_eq!(outcome_of(&reversed), "SUCCEEDED 19.90");
        shop.books_agree(&[&payment]).await;
    })
    .await;
}

async fn a_part_of_an_authorization_is_not_reversed_where_only_all_can_be(shop: Shop) {
    limited(&shop, "no-partial-reversal", async |shop| {
        let payment = shop.authorized().await;
        unsupported(shop, &payment, "reverseAuthorization", "29.89", "all that is left").await;
    })
    .await;
}

async fn all_that_is_left_is_reversed_where_only_all_can_be(shop: Shop) {
    limited(&shop, "no-partial-reversal", async |shop| {
        let payment = shop.authorized().await;
        shop.checkout().captures(&payment, "10.00").await;
        unsupported(shop, &payment, "reverseAuthorization", "10.00", "all that is left").await;

        let reversed = shop.checkout().reverses(&payment, "19.90").await;

        assert_eq!(outcome_of(&reversed), "SUCCEEDED 19.90");
        shop.books_agree(&[&payment]).await;
    })
    .await;
}

// rule S1
async fn an_archived_payment_gives_back_all_that_is_left_where_only_all_can_be(shop: Shop) {
    limited(&shop, "no-partial-reversal,single-capture", async |shop| {
        let payment = shop.authorized().await;
        shop.checkout().captures(&payment, "10.00").await;
        shop.back_office().refunds(&payment, "10.00").await;

        let archived = shop.checkout().archives(&payment).await;

        assert_eq!(sums(&archived["payment"]["summary"]), ["10.00", "0.00", "10.00", "0.00"]);
        shop.books_agree(&[&payment]).await;
    })
    .await;
}

/// What is in a ledger where 10.00 of 29.90 were captured, and the rest was let go of.
const LET_GO: [&str; 3] = ["AUTHORIZE SUCCEEDED 29.90", "CAPTURE SUCCEEDED 10.00", "REVERSE_AUTHORIZE SUCCEEDED 19.90"];

async fn lets_go_once(shop: &Shop, payment: &Payment) {
    let mut ledger = shop.back_office().sees_ledger(payment).await;
    ledger.sort();
    assert_eq!(ledger, LET_GO);
    assert_eq!(shop.moved().await, ["authorize 2990", "capture 1000", "release 1990"]);
    shop.books_agree(&[payment]).await;
}

async fn a_capture_that_ends_its_authorization_lets_go_of_the_rest(shop: Shop) {
    limited(&shop, "capture-ends-authorization", async |shop| {
        let payment = shop.authorized().await;

        let captured = shop.checkout().captures(&payment, "10.00").await;

        assert_eq!(outcome_of(&captured), "SUCCEEDED 10.00");
        assert_eq!(sums(&captured["outcome"]["summary"]), ["10.00", "10.00", "0.00", "0.00"]);
        lets_go_once(shop, &payment).await;
        for refused in
            [shop.checkout().captures(&payment, "0.01").await, shop.checkout().reverses(&payment, "0.01").await]
        {
            let problem = &refused["problem"];
            assert_eq!([&problem["code"], &problem["available"]["amount"]], ["AMOUNT_EXCEEDS_AVAILABLE", "0.00"]);
        }
    })
    .await;
}

// rule S2
async fn what_a_capture_let_go_of_may_be_authorized_anew(shop: Shop) {
    limited(&shop, "capture-ends-authorization", async |shop| {
        let payment = shop.authorized().await;
        shop.checkout().captures(&payment, "10.00").await;

        let authorized = shop.checkout().authorizes(&payment, "19.90").await;
        let captured = shop.checkout().captures(&payment, "19.90").await;

        assert_eq!([&authorized, &captured].map(outcome_of), ["SUCCEEDED 19.90", "SUCCEEDED 19.90"]);
        assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "PAID");
        shop.books_agree(&[&payment]).await;
    })
    .await;
}

async fn a_capture_of_all_lets_go_of_nothing(shop: Shop) {
    limited(&shop, "capture-ends-authorization", async |shop| {
        let payment = shop.captured().await;

        assert_eq!(shop.back_office().sees_ledger(&payment).await.len(), 2);
        shop.books_agree(&[&payment]).await;
    })
    .await;
}

async fn a_dry_run_knows_what_a_capture_would_let_go_of(shop: Shop) {
    limited(&shop, "capture-ends-authorization", async |shop| {
        let payment = shop.authorized().await;
        let checkout = shop.checkout();

        let would_be = checkout.moves("capturePayment", &payment, "10.00", json!({ "dryRun": true })).await;
        let is = checkout.captures(&payment, "10.00").await;

        assert_eq!(would_be["outcome"], is["outcome"]);
    })
    .await;
}

// rules P8, I3
async fn what_a_capture_with_a_lost_answer_let_go_of_is_booked_once(shop: Shop) {
    limited(&shop, "capture-ends-authorization", async |shop| {
        let payment = shop.authorized().await;
        let (checkout, key) = (shop.checkout(), json!({ "idempotencyKey": "k" }));
        shop.provider_will("run_transaction", "answer_lost").await;
        checkout.moves("capturePayment", &payment, "10.00", key.clone()).await;

        for _ in 0..2 {
            let known = checkout.moves("capturePayment", &payment, "10.00", key.clone()).await;
            assert_eq!(outcome_of(&known), "SUCCEEDED 10.00");
        }

        lets_go_once(shop, &payment).await;
    })
    .await;
}

// rules P10, R3
async fn a_capture_that_somebody_accepts_lets_go_of_the_rest(shop: Shop) {
    limited(&shop, "capture-ends-authorization", async |shop| {
        let payment = shop.authorized().await;
        shop.provider_will("run_transaction", "answer_lost").await;
        shop.checkout().captures(&payment, "10.00").await;
        shop.provider_will("find_transaction", "error_500").await;
        shop.moves_time_by(chrono::TimeDelta::seconds(31));
        shop.reconciles().await;
        let case = shop.newest_case().await;
        assert_eq!(case["reason"], "OUTCOME_UNKNOWN");

        shop.accountant().decides(&case, "ACCEPT", "the bank's statement").await;

        lets_go_once(shop, &payment).await;
    })
    .await;
}

// rule W2
async fn what_a_capture_told_of_three_times_let_go_of_is_booked_once(shop: Shop) {
    limited(&shop, "capture-ends-authorization", async |shop| {
        let payment = shop.payment("tok_duplicate_webhook").await;
        shop.checkout().authorizes(&payment, "29.90").await;
        shop.comes_to_rest(&payment).await;

        assert_eq!(outcome_of(&shop.checkout().captures(&payment, "10.00").await), "PENDING 10.00");
        shop.comes_to_rest(&payment).await;

        lets_go_once(shop, &payment).await;
    })
    .await;
}

// rule P4: how much is left is not known
async fn while_a_capture_may_have_ended_an_authorization_nothing_is_begun_on_it(shop: Shop) {
    limited(&shop, "capture-ends-authorization", async |shop| {
        let payment = shop.authorized().await;
        let checkout = shop.checkout();
        shop.provider_will("run_transaction", "answer_lost").await;
        checkout.captures(&payment, "10.00").await;

        for mutation in ["capturePayment", "reverseAuthorization"] {
            shop.provider_will("find_transaction", "error_500").await;
            let refused = checkout.moves(mutation, &payment, "5.00", json!({})).await;
            assert_eq!([code(&refused), &refused["outcome"]], [&json!("OUTCOME_UNKNOWN"), &Value::Null], "{mutation}");
        }

        checkout.captures(&payment, "5.00").await;
        lets_go_once(shop, &payment).await;
    })
    .await;
}

// rule S4
async fn only_what_was_captured_is_refunded_where_the_rest_was_let_go_of(shop: Shop) {
    limited(&shop, "capture-ends-authorization", async |shop| {
        let payment = shop.authorized().await;
        shop.checkout().captures(&payment, "10.00").await;
        let office = shop.back_office();

        let too_much = office.refunds(&payment, "10.01").await;
        let all = office.refunds(&payment, "10.00").await;

        assert_eq!(
            [code(&too_much), &too_much["problem"]["available"]["amount"]],
            ["AMOUNT_EXCEEDS_AVAILABLE", "10.00"]
        );
        assert_eq!(all["payment"]["summary"]["fullyRefunded"], true);
        shop.books_agree(&[&payment]).await;
    })
    .await;
}
