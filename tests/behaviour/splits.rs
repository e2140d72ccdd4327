//! One request that becomes several transactions, and one that names the transaction that it acts on: how an amount is shared out.

use serde_json::{Value, json};

use crate::support::{Payment, Shop, cents, code, outcome_of, sums};

on_each_database![
    captures_take_from_the_oldest_authorization_first,
    a_refund_over_two_captures_is_split_oldest_first,
    a_refund_over_a_capture_and_a_sale_is_split_too,
    the_parts_of_a_refund_are_sent_oldest_first,
    a_refund_over_more_than_fifty_captures_is_refused_by_name,
    a_transaction_that_is_named_is_the_one_that_is_acted_on,
    of_a_transaction_that_is_named_no_more_is_taken_than_it_has,
    a_declined_part_of_a_split_shows,
    an_unanswered_part_of_a_split_is_settled_by_a_retry,
    a_second_refund_does_not_count_on_what_the_first_was_declined,
];

/// What a payment's transactions of one kind act on: how much, on how much. Those on the oldest come first.
async fn shares(shop: &Shop, payment: &Payment, kind: &str) -> Vec<(i64, i64)> {
    let rows = shop.back_office().sees_transactions(payment).await;
    let mut shares = vec![];
    for parent in &rows {
        let on_it = rows.iter().filter(|row| row["kind"] == kind && row["parent"]["id"] == parent["id"]);
        shares.extend(on_it.map(|row| (cents(&row["amount"]), cents(&parent["amount"]))));
    }
    shares
}

// rules P3, M5
async fn captures_take_from_the_oldest_authorization_first(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let checkout = shop.checkout();
    checkout.authorizes(&payment, "12.00").await;
    checkout.authorizes(&payment, "17.90").await;

    let captured = checkout.captures(&payment, "15.00").await;

    assert_eq!(outcome_of(&captured), "SUCCEEDED 15.00");
    assert_eq!(shares(&shop, &payment, "CAPTURE").await, [(1200, 1200), (300, 1790)]);
    shop.books_agree(&[&payment]).await;
}

/// A payment of which 20.00 and 9.90 were captured, in this order.
async fn captured_twice(shop: &Shop) -> Payment {
    let payment = shop.authorized().await;
    for part in ["20.00", "9.90"] {
        shop.checkout().captures(&payment, part).await;
    }
    payment
}

// rules M5, P4: the provider refuses what exceeds one of its captures, so the shares are right there too
async fn a_refund_over_two_captures_is_split_oldest_first(shop: Shop) {
    let payment = captured_twice(&shop).await;
    let office = shop.back_office();

    let first = office.refunds(&payment, "25.01").await;
    let second = office.refunds(&payment, "4.89").await;

    assert_eq!([&first, &second].map(outcome_of), ["SUCCEEDED 25.01", "SUCCEEDED 4.89"]);
    assert_eq!(shares(&shop, &payment, "REFUND").await, [(2000, 2000), (501, 990), (489, 990)]);
    assert_eq!(second["payment"]["summary"]["fullyRefunded"], true);
    shop.books_agree(&[&payment]).await;
}

// rule P3: a refund acts on captures and on sales
async fn a_refund_over_a_capture_and_a_sale_is_split_too(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let checkout = shop.checkout();
    checkout.sells(&payment, "9.90").await;
    checkout.authorizes(&payment, "20.00").await;
    checkout.captures(&payment, "20.00").await;

    let refunded = shop.back_office().refunds(&payment, "10.00").await;

    assert_eq!(outcome_of(&refunded), "SUCCEEDED 10.00");
    assert_eq!(shares(&shop, &payment, "REFUND").await, [(990, 990), (10, 2000)]);
    shop.books_agree(&[&payment]).await;
}

/// The id of a payment's n-th transaction.
async fn nth(shop: &Shop, payment: &Payment, n: usize) -> Value {
    shop.back_office().sees_transactions(payment).await[n]["id"].clone()
}

// rule P3
async fn a_transaction_that_is_named_is_the_one_that_is_acted_on(shop: Shop) {
    let payment = captured_twice(&shop).await;
    let second = json!({ "parentTransactionId": nth(&shop, &payment, 2).await });

    let refunded = shop.back_office().moves("refundPayment", &payment, "5.00", second).await;

    assert_eq!(outcome_of(&refunded), "SUCCEEDED 5.00");
    assert_eq!(shares(&shop, &payment, "REFUND").await, [(500, 990)]);
    shop.books_agree(&[&payment]).await;
}

// rules P4, P5
async fn of_a_transaction_that_is_named_no_more_is_taken_than_it_has(shop: Shop) {
    let payment = captured_twice(&shop).await;
    let second = json!({ "parentTransactionId": nth(&shop, &payment, 2).await });
    let office = shop.back_office();

    let refused = shop
        .leaving_all_as_it_was(&[&payment], async || office.moves("refundPayment", &payment, "9.91", second).await)
        .await;

    assert_eq!([code(&refused), &refused["problem"]["available"]["amount"]], ["AMOUNT_EXCEEDS_AVAILABLE", "9.90"]);
}

/// A payment of which so many parts were captured, each of so much, and the last with what is left.
async fn captured_in_parts(shop: &Shop, count: usize, part: &str) -> Payment {
    let payment = shop.authorized().await;
    for _ in 0..count {
        assert_eq!(outcome_of(&shop.checkout().captures(&payment, part).await), format!("SUCCEEDED {part}"));
    }
    payment
}

// rule M5
async fn the_parts_of_a_refund_are_sent_oldest_first(shop: Shop) {
    let payment = shop.authorized().await;
    let parts = ["1.00", "2.00", "3.00", "4.00", "5.00", "6.00"];
    for part in parts {
        shop.checkout().captures(&payment, part).await;
    }

    shop.back_office().refunds(&payment, "21.00").await;

    let moved = shop.moved().await;
    assert_eq!(moved[7..], [100, 200, 300, 400, 500, 600].map(|cents| format!("refund {cents}")));
    let ledger = shop.back_office().sees_ledger(&payment).await;
    assert_eq!(ledger[7..], parts.map(|part| format!("REFUND SUCCEEDED {part}")));
}

// rule M5: one request makes no more calls than this
async fn a_refund_over_more_than_fifty_captures_is_refused_by_name(shop: Shop) {
    let payment = captured_in_parts(&shop, 51, "0.10").await;
    let office = shop.back_office();

    let refused = shop.leaving_all_as_it_was(&[&payment], async || office.refunds(&payment, "5.10").await).await;
    let fifty = office.refunds(&payment, "5.00").await;

    let field = &refused["problem"]["fields"][0];
    assert_eq!(json!([code(&refused), field["path"]]), json!(["INVALID_INPUT", ["amount"]]));
    let message = field["message"].as_str().expect("a message");
    assert!(message.contains("more than 50") && message.contains("parentTransactionId"), "{message}");
    assert_eq!(outcome_of(&fifty), "SUCCEEDED 5.00");
    shop.books_agree(&[&payment]).await;
}

// rules M5, P9: what is told is the part that is furthest from success; the summary has all
async fn a_declined_part_of_a_split_shows(shop: Shop) {
    let payment = captured_in_parts(&shop, 2, "14.95").await;
    shop.provider_will("run_transaction", "declined").await;

    let refunded = shop.back_office().refunds(&payment, "29.90").await;

    assert_eq!(outcome_of(&refunded), "FAILED 14.95");
    assert_eq!(refunded["outcome"]["failure"]["decline"], "SOFT");
    assert_eq!(sums(&refunded["outcome"]["summary"]), ["29.90", "14.95", "14.95", "0.00"]);
    let mut ledger = shop.back_office().sees_ledger(&payment).await.split_off(3);
    ledger.sort();
    assert_eq!(ledger, ["REFUND FAILED 14.95", "REFUND SUCCEEDED 14.95"]);
    shop.books_agree(&[&payment]).await;
}

// rules M5, P8, I3: the part that was answered is not sent again
async fn an_unanswered_part_of_a_split_is_settled_by_a_retry(shop: Shop) {
    let payment = captured_in_parts(&shop, 2, "14.95").await;
    let (office, key) = (shop.back_office(), json!({ "idempotencyKey": "k" }));
    shop.provider_will("run_transaction", "request_lost").await;
    let unknown = office.moves("refundPayment", &payment, "29.90", key.clone()).await;

    let settled = office.moves("refundPayment", &payment, "29.90", key).await;

    let told = [outcome_of(&unknown), outcome_of(&settled)];
    assert_eq!(told, ["UNKNOWN 14.95 OUTCOME_UNKNOWN", "SUCCEEDED 29.90"]);
    assert_eq!(sums(&unknown["outcome"]["summary"]), ["29.90", "14.95", "14.95", "14.95"]);
    shop.books_agree(&[&payment]).await;
}

// rules S1, M5
async fn a_second_refund_does_not_count_on_what_the_first_was_declined(shop: Shop) {
    let payment = captured_in_parts(&shop, 2, "14.95").await;
    let office = shop.back_office();
    shop.provider_will("run_transaction", "declined").await;
    office.refunds(&payment, "29.90").await;

    let rest = office.refunds(&payment, "14.95").await;

    assert_eq!(outcome_of(&rest), "SUCCEEDED 14.95");
    assert_eq!(rest["payment"]["summary"]["fullyRefunded"], true);
    shop.books_agree(&[&payment]).await;
}
