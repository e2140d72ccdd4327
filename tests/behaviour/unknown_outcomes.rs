//! What becomes of money when the provider falls silent, is late, or says something else than was asked: it moves once, and what is not known is
//! not given out again.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    Actor, Payment, Shop, code, environment, eventually, outcome_of,
    proxy::{Proxy, Weather, address_of},
    sums,
};

on_each_database![
    a_lost_answer_is_found_out_under_the_same_key,
    a_lost_request_is_sent_once_more_under_the_same_reference,
    a_server_error_is_no_answer,
    a_late_answer_is_found_out_under_the_same_key,
    a_provider_that_hangs_is_waited_for_six_seconds_and_its_payment_is_free_again,
    what_is_unanswered_is_reserved,
    a_lost_answer_to_a_refund_is_found_out,
    whatever_comes_next_settles_what_is_unanswered_first,
    a_provider_that_does_not_say_leaves_it_open,
    money_on_its_way_is_pending_until_the_provider_tells,
    money_that_nobody_tells_of_is_found_by_whoever_comes_next,
    a_wrong_amount_is_no_success_and_waits_for_a_person,
    a_provider_that_cannot_be_reached_moved_nothing,
    a_provider_that_says_no_moved_nothing,
    each_fault_of_a_provider_comes_to_what_it_means,
];

const EACH: [&str; 2] = ["authorizePayment", "authorizeAndCapturePayment"];

/// The first answer is not known; under the same key it is, and money moved once.
async fn ends_well(shop: &Shop, actor: &Actor, method: &str, mutation: &str) {
    let payment = shop.payment(method).await;
    let key = json!({ "idempotencyKey": shop.fresh_key() });
    let before = shop.movements().await.len();

    let unknown = actor.moves(mutation, &payment, "29.90", key.clone()).await;
    let known = actor.moves(mutation, &payment, "29.90", key.clone()).await;
    let again = actor.moves(mutation, &payment, "29.90", key).await;

    assert_eq!(outcome_of(&unknown), "UNKNOWN 29.90 OUTCOME_UNKNOWN", "{mutation}");
    assert_eq!(unknown["problem"]["retryable"], true);
    assert_eq!(sums(&unknown["payment"]["summary"])[3], "29.90");
    assert_eq!([&known, &again].map(outcome_of), ["SUCCEEDED 29.90", "SUCCEEDED 29.90"], "{mutation}");
    assert_eq!([&unknown, &known, &again].map(|payload| &payload["replayed"]), [false, true, true]);
    assert_eq!(shop.movements().await.len(), before + 1, "{mutation}");
    assert_eq!(shop.back_office().sees_transactions(&payment).await.len(), 1);
    shop.summary_agrees(&payment).await;
}

// rules P8, I3
async fn a_lost_answer_is_found_out_under_the_same_key(shop: Shop) {
    for mutation in EACH {
        ends_well(&shop, &shop.checkout(), "tok_answer_lost", mutation).await;
    }
}

// rules P6, P8
async fn a_lost_request_is_sent_once_more_under_the_same_reference(shop: Shop) {
    for mutation in EACH {
        ends_well(&shop, &shop.checkout(), "tok_request_lost", mutation).await;
    }
}

// rule P8
async fn a_server_error_is_no_answer(shop: Shop) {
    for mutation in EACH {
        ends_well(&shop, &shop.checkout(), "tok_error_500", mutation).await;
    }
}

// rules P8, K7
async fn a_late_answer_is_found_out_under_the_same_key(shop: Shop) {
    let hasty = shop.second(&["--provider-timeout", "300ms"]).await;
    for mutation in EACH {
        ends_well(&hasty, &hasty.checkout(), "tok_slow", mutation).await;
    }
    hasty.stop().await;
}

// rules P8, K1; test P9
async fn a_provider_that_hangs_is_waited_for_six_seconds_and_its_payment_is_free_again(shop: Shop) {
    let network = Proxy::to(address_of(&shop.url(""))).await;
    let there = shop.second(&["--sandbox-url", &format!("http://{}/sandbox", network.address)]).await;
    let payment = shop.payment("tok_ok").await;
    network.turns(Weather::AnswersLost);

    let begun = Instant::now();
    let unknown = there.checkout().authorizes(&payment, "29.90").await;
    let after = begun.elapsed();

    assert_eq!(outcome_of(&unknown), "UNKNOWN 29.90 OUTCOME_UNKNOWN");
    assert!(after < Duration::from_millis(6500), "it was told after {after:?}");
    assert_eq!(shop.count("payment_lock WHERE token_hash IS NOT NULL").await, 0);
    assert_eq!(shop.moved().await, ["authorize 2990"]);
    there.stop().await;
}

/// A payment of whose 29.90 so much was asked for, and the answer did not come.
async fn unanswered(shop: &Shop, mutation: &str, amount: &str, fault: &str) -> Payment {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", fault).await;
    let payload = shop.checkout().moves(mutation, &payment, amount, json!({ "idempotencyKey": "first" })).await;
    assert_eq!(outcome_of(&payload), format!("UNKNOWN {amount} OUTCOME_UNKNOWN"));
    payment
}

// rules S2, P8
async fn what_is_unanswered_is_reserved(shop: Shop) {
    let payment = unanswered(&shop, "authorizePayment", "20.00", "request_lost").await;
    // Asked after by whoever comes next, the provider does not say.
    shop.provider_will("find_transaction", "error_500").await;

    let refused = shop.checkout().authorizes(&payment, "9.91").await;

    assert_eq!([code(&refused), &refused["problem"]["available"]["amount"]], ["AMOUNT_EXCEEDS_AVAILABLE", "9.90"]);
    assert_eq!(shop.back_office().sees_ledger(&payment).await, ["AUTHORIZE UNKNOWN 20.00"]);
    shop.summary_agrees(&payment).await;
}

// rules P8, S4
async fn a_lost_answer_to_a_refund_is_found_out(shop: Shop) {
    let payment = shop.captured().await;
    let (office, key) = (shop.back_office(), json!({ "idempotencyKey": "k" }));
    shop.provider_will("run_transaction", "answer_lost").await;

    let unknown = office.moves("refundPayment", &payment, "20.00", key.clone()).await;
    let known = office.moves("refundPayment", &payment, "20.00", key).await;

    assert_eq!([&unknown, &known].map(outcome_of), ["UNKNOWN 20.00 OUTCOME_UNKNOWN", "SUCCEEDED 20.00"]);
    assert_eq!(unknown["payment"]["summary"]["amountAvailableForRefund"]["amount"], "9.90");
    shop.books_agree(&[&payment]).await;
}

// rule R2
async fn whatever_comes_next_settles_what_is_unanswered_first(shop: Shop) {
    let payment = unanswered(&shop, "authorizePayment", "29.90", "answer_lost").await;

    let captured = shop.checkout().captures(&payment, "29.90").await;

    assert_eq!(outcome_of(&captured), "SUCCEEDED 29.90");
    let ledger = shop.back_office().sees_ledger(&payment).await;
    assert_eq!(ledger, ["AUTHORIZE SUCCEEDED 29.90", "CAPTURE SUCCEEDED 29.90"]);
    let first = json!({ "idempotencyKey": "first" });
    let retried = shop.checkout().moves("authorizePayment", &payment, "29.90", first).await;
    assert_eq!((outcome_of(&retried).as_str(), &retried["replayed"]), ("SUCCEEDED 29.90", &json!(true)));
    shop.books_agree(&[&payment]).await;
}

// rule P8
async fn a_provider_that_does_not_say_leaves_it_open(shop: Shop) {
    let payment = unanswered(&shop, "authorizePayment", "29.90", "answer_lost").await;
    let (checkout, first) = (shop.checkout(), json!({ "idempotencyKey": "first" }));

    for fault in ["error_500", "answer_lost", "rejected"] {
        shop.provider_will("find_transaction", fault).await;
        let still = checkout.moves("authorizePayment", &payment, "29.90", first.clone()).await;
        assert_eq!(outcome_of(&still), "UNKNOWN 29.90 OUTCOME_UNKNOWN", "{fault}");
    }

    assert_eq!(outcome_of(&checkout.moves("authorizePayment", &payment, "29.90", first).await), "SUCCEEDED 29.90");
    shop.books_agree(&[&payment]).await;
}

// rules S2, P2: 2 s, as a bank takes its time
async fn money_on_its_way_is_pending_until_the_provider_tells(shop: Shop) {
    let (held, sold) = (shop.payment("tok_async").await, shop.payment("tok_async").await);
    let checkout = shop.checkout();

    let both = [checkout.authorizes(&held, "29.90").await, checkout.sells(&sold, "29.90").await];

    assert_eq!(both.each_ref().map(outcome_of), ["PENDING 29.90", "PENDING 29.90"]);
    assert_eq!(both.each_ref().map(|payload| sums(&payload["payment"]["summary"])[3]), ["29.90", "29.90"]);
    assert_eq!(shop.moved().await, [""; 0]);
    let too_soon = checkout.captures(&held, "29.90").await;
    assert_eq!([code(&too_soon), &too_soon["problem"]["available"]["amount"]], ["AMOUNT_EXCEEDS_AVAILABLE", "0.00"]);
    for payment in [&held, &sold] {
        shop.comes_to_rest(payment).await;
    }
    assert_eq!(shop.user("ada").looks_at(&sold.order).await["status"], "PAID");
    shop.books_agree(&[&held, &sold]).await;
}

// rules R2, W3
async fn money_that_nobody_tells_of_is_found_by_whoever_comes_next(shop: Shop) {
    for mutation in EACH {
        let payment = shop.payment("tok_no_webhook").await;
        let before = shop.movements().await.len();
        let pending = shop.checkout().moves(mutation, &payment, "29.90", json!({})).await;
        assert_eq!(outcome_of(&pending), "PENDING 29.90");
        eventually("it moves", async || (shop.movements().await.len() > before).then_some(())).await;
        assert_eq!(sums(&shop.checkout().sees_payment(&payment).await["summary"])[3], "29.90");

        // Whatever comes next: here something that can't be.
        shop.checkout().reverses(&payment, "100.00").await;

        let summary = shop.checkout().sees_payment(&payment).await["summary"].take();
        assert_eq!(sums(&summary)[3], "0.00", "{mutation}");
        shop.summary_agrees(&payment).await;
    }
}

// rules P2, R3
async fn a_wrong_amount_is_no_success_and_waits_for_a_person(shop: Shop) {
    for (at, mutation) in EACH.into_iter().enumerate() {
        let payment = shop.payment("tok_wrong_amount").await;
        let key = json!({ "idempotencyKey": format!("k{at}") });

        let first = shop.checkout().moves(mutation, &payment, "29.90", key.clone()).await;
        let again = shop.checkout().moves(mutation, &payment, "29.90", key).await;

        assert_eq!([&first, &again].map(outcome_of), ["UNKNOWN 29.90 OUTCOME_UNKNOWN"; 2], "{mutation}");
        assert_eq!(sums(&again["payment"]["summary"]), ["0.00", "0.00", "0.00", "29.90"]);
        assert_eq!(shop.cases().await, vec!["AMOUNT_MISMATCH"; at + 1]);
        let more = shop.checkout().sells(&payment, "0.01").await;
        assert_eq!(more["problem"]["available"]["amount"], "0.00");
        assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "AWAITING_PAYMENT");
    }
    let reported =
        "SELECT count(*) AS n FROM reconciliation_case WHERE expected_minor = 2990 AND reported_minor = 2989";
    assert_eq!(shop.database().await.number(reported).await, 2);
    assert_eq!(shop.moved().await, ["authorize 2989", "authorize_and_capture 2989"]);
}

/// Nothing was run: the amount is free again, and the key says so for good.
async fn nothing_was_run(shop: &Shop, payment: &Payment, able: &Shop) {
    let (checkout, key) = (shop.checkout(), json!({ "idempotencyKey": "k" }));

    let refused = checkout.moves("authorizePayment", payment, "29.90", key.clone()).await;
    let again = checkout.moves("authorizePayment", payment, "29.90", key).await;

    assert_eq!([&refused, &again].map(outcome_of), ["FAILED 29.90 PROVIDER_UNAVAILABLE"; 2]);
    assert_eq!([&refused["problem"]["retryable"], &again["replayed"]], [&json!(false), &json!(true)]);
    let operation = checkout.sees_operation("k").await;
    assert_eq!(json!([operation["state"], operation["problem"]["code"]]), json!(["REFUSED", "PROVIDER_UNAVAILABLE"]));
    let next = able.checkout().authorizes(payment, "29.90").await;
    assert_eq!(outcome_of(&next), "SUCCEEDED 29.90");
    able.books_agree(&[payment]).await;
}

// rule P8: no connection, so nothing was sent
async fn a_provider_that_cannot_be_reached_moved_nothing(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let alone = shop.second(&["--sandbox-url", "http://127.0.0.1:9"]).await;

    nothing_was_run(&alone, &payment, &shop).await;

    alone.stop().await;
}

async fn a_provider_that_says_no_moved_nothing(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "rejected").await;

    nothing_was_run(&shop, &payment, &shop).await;
}

/// What is done to the provider's answer, what the mutation says, what its key says once nothing is wrong any more, and what is asked of a person.
const FAULTS: [(&str, &str, &str, &[&str]); 9] = [
    ("answer_lost", "UNKNOWN 1.00 OUTCOME_UNKNOWN", "SUCCEEDED 1.00", &[]),
    ("request_lost", "UNKNOWN 1.00 OUTCOME_UNKNOWN", "SUCCEEDED 1.00", &[]),
    ("error_500", "UNKNOWN 1.00 OUTCOME_UNKNOWN", "SUCCEEDED 1.00", &[]),
    ("error_429", "UNKNOWN 1.00 OUTCOME_UNKNOWN", "SUCCEEDED 1.00", &[]),
    ("garbage", "UNKNOWN 1.00 OUTCOME_UNKNOWN", "SUCCEEDED 1.00", &[]),
    ("slow_drip", "UNKNOWN 1.00 OUTCOME_UNKNOWN", "SUCCEEDED 1.00", &[]),
    ("other_currency", "UNKNOWN 1.00 OUTCOME_UNKNOWN", "SUCCEEDED 1.00", &["CURRENCY_MISMATCH"]),
    ("rejected", "FAILED 1.00 PROVIDER_UNAVAILABLE", "FAILED 1.00 PROVIDER_UNAVAILABLE", &[]),
    ("declined", "FAILED 1.00", "FAILED 1.00", &[]),
];

// rules P2, P8: as many times as ORDERPAY_TEST_FAULTS says
async fn each_fault_of_a_provider_comes_to_what_it_means(shop: Shop) {
    let hasty = shop.second(&["--provider-timeout", "300ms"]).await;
    let checkout = hasty.checkout();
    let rounds = environment("ORDERPAY_TEST_FAULTS").map_or(1, |rounds| rounds.parse().expect("a number"));
    let mut payments = vec![];
    for round in 0..rounds {
        for (fault, said, known, asked) in FAULTS {
            let payment = hasty.payment("tok_ok").await;
            let (cases, key) = (hasty.cases().await.len(), json!({ "idempotencyKey": hasty.fresh_key() }));
            hasty.provider_will("run_transaction", fault).await;

            let first = checkout.moves("authorizePayment", &payment, "1.00", key.clone()).await;
            let again = checkout.moves("authorizePayment", &payment, "1.00", key).await;

            assert_eq!([&first, &again].map(outcome_of), [said, known], "{fault}, round {round}");
            assert_eq!(hasty.cases().await[cases..], *asked, "{fault}, round {round}");
            payments.push(payment);
        }
    }
    hasty.books_agree(&payments.iter().collect::<Vec<_>>()).await;
    hasty.stop().await;
}
