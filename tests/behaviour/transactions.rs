//! The six things that are done with a payment's money: how much, on which earlier transaction, and what is told of it.

use serde_json::{Value, json};

use crate::support::{Payment, Shop, outcome_of, sums};

on_each_database![
    each_of_the_six_moves_what_it_says,
    an_authorization_is_captured_in_parts,
    an_authorization_is_reversed_in_parts,
    more_than_is_available_is_refused_with_what_is,
    where_nothing_is_available_it_says_so,
    a_credit_needs_nothing_that_was_captured,
    a_refund_never_reopens_what_was_captured,
    a_soft_decline_is_an_outcome,
    a_hard_decline_is_an_outcome,
    a_declined_charge_is_not_charged_when_it_is_asked_for_again,
    what_was_declined_is_available_again,
    another_version_than_was_read_is_stale,
    a_payments_version_grows_with_each_step,
    who_asked_and_why_is_in_the_ledger,
];

// rules P3, S2
async fn each_of_the_six_moves_what_it_says(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let (checkout, office) = (shop.checkout(), shop.back_office());

    let done = [
        checkout.authorizes(&payment, "20.00").await,
        checkout.captures(&payment, "5.00").await,
        checkout.reverses(&payment, "15.00").await,
        checkout.sells(&payment, "9.90").await,
        office.refunds(&payment, "4.00").await,
        office.credits(&payment, "1.00").await,
    ];

    let told = ["20.00", "5.00", "15.00", "9.90", "4.00", "1.00"].map(|amount| format!("SUCCEEDED {amount}"));
    assert_eq!(done.each_ref().map(outcome_of), told);
    let moved = ["authorize 2000", "capture 500", "reverse_authorize 1500", "authorize_and_capture 990", "refund 400"];
    assert_eq!(shop.moved().await, [&moved[..], &["detached_credit 100"]].concat());
    let summary = &done[5]["payment"]["summary"];
    assert_eq!(sums(summary), ["5.00", "10.90", "4.00", "0.00"]);
    assert_eq!(summary["amountCredited"]["amount"], "1.00");
    shop.books_agree(&[&payment]).await;
}

// rules P3, P5
async fn an_authorization_is_captured_in_parts(shop: Shop) {
    let payment = shop.authorized().await;
    let checkout = shop.checkout();

    let mut left = vec![];
    for part in ["10.00", "0.01", "19.89"] {
        let captured = checkout.captures(&payment, part).await;
        assert_eq!(outcome_of(&captured), format!("SUCCEEDED {part}"));
        left.push(captured["outcome"]["summary"]["amountAvailableForCapture"]["amount"].clone());
    }

    assert_eq!(left, ["19.90", "19.89", "0.00"]);
    let summary = checkout.sees_payment(&payment).await["summary"].take();
    assert_eq!([&summary["fullyCaptured"], &summary["partiallyCaptured"]], [&json!(true), &json!(false)]);
    shop.books_agree(&[&payment]).await;
}

// rules P3, S2
async fn an_authorization_is_reversed_in_parts(shop: Shop) {
    let payment = shop.authorized().await;
    let checkout = shop.checkout();

    checkout.reverses(&payment, "9.90").await;
    let reversed = checkout.reverses(&payment, "20.00").await;

    assert_eq!(sums(&reversed["outcome"]["summary"]), ["0.00", "0.00", "0.00", "0.00"]);
    // What is given back may be held anew.
    assert_eq!(outcome_of(&checkout.authorizes(&payment, "29.90").await), "SUCCEEDED 29.90");
    shop.books_agree(&[&payment]).await;
}

/// What a problem says is available.
fn available(payload: &Value) -> String {
    payload["problem"]["available"]["amount"].as_str().unwrap_or_default().to_owned()
}

/// The four that act on what was authorized or captured, and the two that begin something, with who may do them.
async fn asks_for_each(shop: &Shop, payment: &Payment, amounts: [&str; 5]) -> [Value; 5] {
    let (checkout, office) = (shop.checkout(), shop.back_office());
    let [authorize, sell, capture, reverse, refund] = amounts;
    [
        checkout.authorizes(payment, authorize).await,
        checkout.sells(payment, sell).await,
        checkout.captures(payment, capture).await,
        checkout.reverses(payment, reverse).await,
        office.refunds(payment, refund).await,
    ]
}

// rule P5: never clamped, nothing sent, nothing written
async fn more_than_is_available_is_refused_with_what_is(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.checkout().authorizes(&payment, "20.00").await;
    shop.checkout().captures(&payment, "15.00").await;

    let too_much = ["9.91", "10.00", "5.01", "29.90", "15.01"];
    let refused =
        shop.leaving_all_as_it_was(&[&payment], async || asks_for_each(&shop, &payment, too_much).await).await;

    assert_eq!(refused.each_ref().map(outcome_of), ["AMOUNT_EXCEEDS_AVAILABLE"; 5]);
    assert_eq!(refused.each_ref().map(available), ["9.90", "9.90", "5.00", "5.00", "15.00"]);
    let asked = refused.each_ref().map(|payload| payload["problem"]["requested"]["amount"].clone());
    assert_eq!(asked, too_much);
}

// rule P5
async fn where_nothing_is_available_it_says_so(shop: Shop) {
    let unused = shop.payment("tok_ok").await;
    let spent = shop.captured().await;
    shop.back_office().refunds(&spent, "29.90").await;
    let cent = ["0.01"; 5];

    let [_, _, refused @ ..] = shop
        .leaving_all_as_it_was(&[&unused], async || {
            asks_for_each(&shop, &unused, ["30.00", "30.00", "0.01", "0.01", "0.01"]).await
        })
        .await;
    let of_spent = shop.leaving_all_as_it_was(&[&spent], async || asks_for_each(&shop, &spent, cent).await).await;

    assert_eq!(refused.each_ref().map(available), ["0.00"; 3]);
    assert_eq!(of_spent.each_ref().map(outcome_of), ["AMOUNT_EXCEEDS_AVAILABLE"; 5]);
    assert_eq!(of_spent.each_ref().map(available), ["0.00"; 5]);
}

// rule P3: a detached credit
async fn a_credit_needs_nothing_that_was_captured(shop: Shop) {
    let payment = shop.payment("tok_ok").await;

    let credited = shop.back_office().credits(&payment, "50.00").await;

    assert_eq!(outcome_of(&credited), "SUCCEEDED 50.00");
    let summary = &credited["payment"]["summary"];
    assert_eq!([&summary["amountCredited"]["amount"], &summary["amountCaptured"]["amount"]], ["50.00", "0.00"]);
    shop.books_agree(&[&payment]).await;
}

// rule S4
async fn a_refund_never_reopens_what_was_captured(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let checkout = shop.checkout();
    checkout.authorizes(&payment, "20.00").await;
    let before = checkout.captures(&payment, "15.00").await;

    let after = shop.back_office().refunds(&payment, "15.00").await;

    let open = |payload: &Value| {
        let summary = &payload["payment"]["summary"];
        ["amountAvailableForCapture", "amountAvailableForAuthorize"].map(|sum| summary[sum]["amount"].clone())
    };
    assert_eq!(open(&after), open(&before));
    let again = checkout.captures(&payment, "5.01").await;
    assert_eq!([outcome_of(&again), available(&again)], ["AMOUNT_EXCEEDS_AVAILABLE", "5.00"]);
    shop.books_agree(&[&payment]).await;
}

/// An authorization that the bank declines, and that no money moves for.
async fn declined(shop: &Shop, method: &str, kind: &str) {
    let payment = shop.payment(method).await;

    let payload = shop.checkout().authorizes(&payment, "29.90").await;

    assert_eq!(outcome_of(&payload), "FAILED 29.90");
    let failure = &payload["outcome"]["failure"];
    let told = json!([payload["problem"], failure["code"], failure["decline"]]);
    assert_eq!(told, json!([null, "card_declined", kind]));
    assert_eq!(shop.back_office().sees_ledger(&payment).await, ["AUTHORIZE FAILED 29.90"]);
    assert_eq!(shop.moved().await, [""; 0]);
    shop.books_agree(&[&payment]).await;
}

// rule P9
async fn a_soft_decline_is_an_outcome(shop: Shop) {
    declined(&shop, "tok_declined_soft", "SOFT").await;
}

// rule P9
async fn a_hard_decline_is_an_outcome(shop: Shop) {
    declined(&shop, "tok_declined_hard", "HARD").await;
}

// rules P9, I2: it is the bank's to change its mind, and the caller's to ask it
async fn a_declined_charge_is_not_charged_when_it_is_asked_for_again(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "declined").await;
    let key = json!({ "idempotencyKey": "k" });
    let checkout = shop.checkout();
    let first = checkout.moves("authorizeAndCapturePayment", &payment, "29.90", key.clone()).await;

    let again = checkout.moves("authorizeAndCapturePayment", &payment, "29.90", key).await;

    assert_eq!([&first, &again].map(outcome_of), ["FAILED 29.90", "FAILED 29.90"]);
    assert_eq!([&first["replayed"], &again["replayed"]], [&json!(false), &json!(true)]);
    assert_eq!(shop.back_office().sees_ledger(&payment).await, ["AUTHORIZE_AND_CAPTURE FAILED 29.90"]);
    assert_eq!(shop.moved().await, [""; 0]);
}

// rules P9, S1
async fn what_was_declined_is_available_again(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "declined").await;
    shop.checkout().authorizes(&payment, "29.90").await;

    let next = shop.checkout().authorizes(&payment, "29.90").await;

    assert_eq!(outcome_of(&next), "SUCCEEDED 29.90");
    shop.books_agree(&[&payment]).await;
}

async fn another_version_than_was_read_is_stale(shop: Shop) {
    let payment = shop.authorized().await;
    let checkout = shop.checkout();
    let version = checkout.sees_payment(&payment).await["version"].as_i64().expect("a version");

    for read in [version - 1, version + 1] {
        let at = json!({ "expectedVersion": read });
        let stale = shop
            .leaving_all_as_it_was(&[&payment], async || checkout.moves("capturePayment", &payment, "1.00", at).await)
            .await;
        assert_eq!(outcome_of(&stale), "STALE_VERSION");
        assert_eq!(stale["problem"]["currentVersion"], version);
    }
    let fresh = checkout.moves("capturePayment", &payment, "1.00", json!({ "expectedVersion": version })).await;
    assert_eq!(outcome_of(&fresh), "SUCCEEDED 1.00");
}

async fn a_payments_version_grows_with_each_step(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let checkout = shop.checkout();
    let mut seen = vec![checkout.sees_payment(&payment).await["version"].as_i64()];

    for mutation in ["authorizePayment", "capturePayment"] {
        // The version that one step tells is the one that the next may name.
        let read = json!({ "expectedVersion": seen.last() });
        let payload = checkout.moves(mutation, &payment, "29.90", read).await;
        assert_eq!(outcome_of(&payload), "SUCCEEDED 29.90");
        assert_eq!(checkout.sees_payment(&payment).await["version"], payload["payment"]["version"]);
        seen.push(payload["payment"]["version"].as_i64());
    }

    assert!(seen.is_sorted_by(|earlier, later| earlier < later), "{seen:?}");
}

async fn who_asked_and_why_is_in_the_ledger(shop: Shop) {
    let payment = shop.authorized().await;
    let why = json!({ "source": "returns desk", "sourceEntityType": "return", "sourceEntityId": "R-7" });

    shop.checkout().moves("capturePayment", &payment, "25.00", why).await;

    let rows = shop.back_office().sees_transactions(&payment).await;
    let told = |row: &Value| ["source", "sourceEntityType", "sourceEntityId"].map(|field| row[field].clone());
    assert_eq!(told(&rows[1]), ["returns desk", "return", "R-7"]);
    assert_eq!(told(&rows[0]), [(); 3].map(|()| Value::Null));
}
