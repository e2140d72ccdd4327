//! Payments by token and their order: how much all of them together may charge, and what becomes of the order.

use serde_json::{Value, json};

use crate::support::{Payment, Shop, code, outcome_of, sums};

on_each_database![
    a_payment_is_authorized_captured_and_refunded,
    captured_money_pays_the_order_whichever_payments_it_comes_from,
    two_payments_do_not_together_hold_more_than_the_order_costs,
    of_two_payments_that_charge_the_whole_order_at_once_one_does,
    what_may_have_been_charged_counts_as_if_it_was,
    what_an_archived_payment_gave_back_is_free_for_another,
    an_orders_summary_is_the_sum_over_its_payments,
    a_paid_order_is_not_charged_again,
    a_paid_order_may_be_refunded_and_stays_paid,
    a_cancelled_order_is_not_charged,
    money_of_a_cancelled_order_may_be_given_back,
    a_payment_in_yen_moves_whole_yen,
    a_payment_in_dinars_moves_thousandths,
];

// rules P3, S2, O6
async fn a_payment_is_authorized_captured_and_refunded(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let (checkout, office) = (shop.checkout(), shop.back_office());

    let authorized = checkout.authorizes(&payment, "29.90").await;
    let captured = checkout.captures(&payment, "29.90").await;
    let refunded = office.refunds(&payment, "10.00").await;

    let outcomes = [&authorized, &captured, &refunded].map(outcome_of);
    assert_eq!(outcomes, ["SUCCEEDED 29.90", "SUCCEEDED 29.90", "SUCCEEDED 10.00"]);
    assert_eq!(sums(&refunded["outcome"]["summary"]), ["29.90", "19.90", "10.00", "0.00"]);
    assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "PAID");
    let moved: Vec<_> = shop.movements().await.into_iter().map(|(_, kind, amount)| (kind, amount)).collect();
    let expected = [("authorize", 2990), ("capture", 2990), ("refund", 1000)];
    assert_eq!(moved, expected.map(|(kind, amount)| (kind.to_owned(), amount)));
}

// rules O6, S6, S7
async fn captured_money_pays_the_order_whichever_payments_it_comes_from(shop: Shop) {
    let order = shop.adas_order().await;
    let (gift, card) =
        (shop.payment_on(&order, "10.00", "tok_ok").await, shop.payment_on(&order, "19.90", "tok_ok").await);
    let checkout = shop.checkout();

    let first = checkout.sells(&gift, "10.00").await;
    let between = shop.user("ada").looks_at(&order).await;
    let second = checkout.sells(&card, "19.90").await;

    assert_eq!([&first, &second].map(outcome_of), ["SUCCEEDED 10.00", "SUCCEEDED 19.90"]);
    assert_eq!(json!([between["status"], between["amountDue"]["amount"]]), json!(["AWAITING_PAYMENT", "19.90"]));
    let after = shop.user("ada").looks_at(&order).await;
    assert_eq!((&after["status"], after["snapshot"].is_object()), (&json!("PAID"), true));
    assert_eq!(after["snapshot"]["paymentAttempt"], Value::Null);
}

/// Two payments, each for the whole of an order.
async fn two_payments(shop: &Shop) -> [Payment; 2] {
    let order = shop.adas_order().await;
    [shop.payment_on(&order, "29.90", "tok_ok").await, shop.payment_on(&order, "29.90", "tok_ok").await]
}

// rules P4, P5: what is available is what the order leaves, where that is less
async fn two_payments_do_not_together_hold_more_than_the_order_costs(shop: Shop) {
    let [first, second] = two_payments(&shop).await;
    let checkout = shop.checkout();
    checkout.authorizes(&first, "20.00").await;

    let refused = shop
        .leaving_all_as_it_was(&[&first, &second], async || {
            [checkout.authorizes(&second, "9.91").await, checkout.sells(&second, "29.90").await]
        })
        .await;
    let rest = checkout.sells(&second, "9.90").await;

    for payload in refused {
        assert_eq!([code(&payload), &payload["problem"]["available"]["amount"]], ["AMOUNT_EXCEEDS_AVAILABLE", "9.90"]);
    }
    assert_eq!(outcome_of(&rest), "SUCCEEDED 9.90");
    shop.books_agree(&[&first, &second]).await;
}

// rule P4: whoever races
async fn of_two_payments_that_charge_the_whole_order_at_once_one_does(shop: Shop) {
    for _ in 0..6 {
        let [first, second] = two_payments(&shop).await;
        let checkout = shop.checkout();

        let both = tokio::join!(checkout.sells(&first, "29.90"), checkout.authorizes(&second, "29.90"));

        let outcomes = [&both.0, &both.1].map(outcome_of);
        let one = outcomes.iter().filter(|outcome| *outcome == "SUCCEEDED 29.90").count();
        assert_eq!(one, 1, "{outcomes:?}");
    }
    assert_eq!(shop.movements().await.len(), 6);
}

// rules P8, S2
async fn what_may_have_been_charged_counts_as_if_it_was(shop: Shop) {
    let [first, second] = two_payments(&shop).await;
    let checkout = shop.checkout();
    shop.provider_will("run_transaction", "answer_lost").await;
    checkout.sells(&first, "20.00").await;

    let refused = checkout.authorizes(&second, "10.00").await;

    assert_eq!([code(&refused), &refused["problem"]["available"]["amount"]], ["AMOUNT_EXCEEDS_AVAILABLE", "9.90"]);
    assert_eq!(shop.moved().await, ["authorize_and_capture 2000"]);
}

// rule S6
async fn what_an_archived_payment_gave_back_is_free_for_another(shop: Shop) {
    let [first, second] = two_payments(&shop).await;
    let checkout = shop.checkout();
    checkout.authorizes(&first, "29.90").await;
    checkout.archives(&first).await;

    let authorized = checkout.authorizes(&second, "29.90").await;

    assert_eq!(outcome_of(&authorized), "SUCCEEDED 29.90");
    shop.books_agree(&[&first, &second]).await;
}

// rules S6, S7
async fn an_orders_summary_is_the_sum_over_its_payments(shop: Shop) {
    let [first, second] = two_payments(&shop).await;
    let checkout = shop.checkout();
    checkout.sells(&first, "10.00").await;
    shop.back_office().refunds(&first, "10.00").await;
    checkout.archives(&first).await;
    checkout.authorizes(&second, "5.00").await;
    checkout.captures(&second, "2.00").await;

    let document = "query($id: ID!) { order(id: $id) { amountDue { amount } paymentSummary { amountAuthorized { amount }
        amountCaptured { amount } amountRefunded { amount } amountPending { amount } totalEverCaptured { amount } } } }";
    let seen = checkout.sees(document, json!({ "id": first.order })).await["order"].take();

    // Of an archived payment the history counts, and what it held is due again.
    assert_eq!(sums(&seen["paymentSummary"]), ["5.00", "2.00", "10.00", "0.00"]);
    assert_eq!(
        [&seen["paymentSummary"]["totalEverCaptured"], &seen["amountDue"]].map(|it| &it["amount"]),
        ["12.00", "24.90"]
    );
}

/// An order that costs less by now than what is authorized on it, and is paid with a part of that.
async fn paid_with_a_part(shop: &Shop) -> [Payment; 2] {
    let [first, second] = two_payments(shop).await;
    let checkout = shop.checkout();
    checkout.authorizes(&first, "29.90").await;
    let cup = json!({ "sku": "CUP", "name": "Cup", "quantity": 1, "unitPrice": "14.40" });
    checkout.changes_cart(&first.order, json!({ "currency": "EUR", "lines": [cup] })).await;
    checkout.captures(&first, "14.40").await;
    assert_eq!(shop.user("ada").looks_at(&first.order).await["status"], "PAID");
    [first, second]
}

// rule O5
async fn a_paid_order_is_not_charged_again(shop: Shop) {
    let [first, second] = paid_with_a_part(&shop).await;
    let checkout = shop.checkout();

    let refused = shop
        .leaving_all_as_it_was(&[&first, &second], async || {
            [
                checkout.captures(&first, "0.01").await,
                checkout.authorizes(&second, "0.01").await,
                checkout.sells(&second, "0.01").await,
            ]
        })
        .await;

    assert_eq!(refused.each_ref().map(code), ["ORDER_ALREADY_PAID"; 3]);
}

// rule O5
async fn a_paid_order_may_be_refunded_and_stays_paid(shop: Shop) {
    let [first, second] = paid_with_a_part(&shop).await;
    let (checkout, office) = (shop.checkout(), shop.back_office());

    let done = [
        checkout.reverses(&first, "15.50").await,
        office.refunds(&first, "14.40").await,
        office.credits(&second, "1.00").await,
    ];

    assert_eq!(done.each_ref().map(outcome_of), ["SUCCEEDED 15.50", "SUCCEEDED 14.40", "SUCCEEDED 1.00"]);
    assert_eq!(shop.user("ada").looks_at(&first.order).await["status"], "PAID");
    shop.books_agree(&[&first, &second]).await;
}

/// A payment on a cancelled order: 20.00 were authorized, and 15.00 of that captured.
async fn on_a_cancelled_order(shop: &Shop) -> Payment {
    let payment = shop.payment("tok_ok").await;
    let checkout = shop.checkout();
    checkout.authorizes(&payment, "20.00").await;
    checkout.captures(&payment, "15.00").await;
    let cancelled = checkout.cancels(&payment.order).await;
    assert_eq!(cancelled["order"]["status"], "CANCELLED", "{cancelled}");
    payment
}

// rule O5
async fn a_cancelled_order_is_not_charged(shop: Shop) {
    let payment = on_a_cancelled_order(&shop).await;
    let checkout = shop.checkout();

    let refused = shop
        .leaving_all_as_it_was(&[&payment], async || {
            [
                checkout.authorizes(&payment, "1.00").await,
                checkout.sells(&payment, "1.00").await,
                checkout.captures(&payment, "1.00").await,
            ]
        })
        .await;

    assert_eq!(refused.each_ref().map(code), ["ORDER_CANCELLED"; 3]);
}

// rule O7: what was only held is given back with the order, what was taken waits for somebody to refund it
async fn money_of_a_cancelled_order_may_be_given_back(shop: Shop) {
    let payment = on_a_cancelled_order(&shop).await;
    let between = shop.checkout().sees_payment(&payment).await["summary"].take();

    let refunded = shop.back_office().refunds(&payment, "15.00").await;

    assert_eq!(sums(&between), ["15.00", "15.00", "0.00", "0.00"]);
    assert_eq!(
        (outcome_of(&refunded).as_str(), &refunded["payment"]["summary"]["fullyRefunded"]),
        ("SUCCEEDED 15.00", &json!(true))
    );
    assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "CANCELLED");
    shop.books_agree(&[&payment]).await;
}

/// Sells and refunds in another currency, and gives what the summary says was captured and refunded in all, and what moved.
async fn in_another_currency(shop: &Shop, currency: &str, price: &str, part: &str) -> (Value, Vec<String>) {
    let line = json!({ "sku": "TEA", "name": "Tea", "quantity": 1, "unitPrice": price });
    let cart = json!({ "currency": currency, "lines": [line] });
    let order = shop.checkout().creates_order_of(&shop.user("ada"), cart).await;
    let money = |amount: &str| json!({ "amount": amount, "currency": currency });
    let made = shop.checkout().makes_payment(&order, money(price), "tok_ok").await;
    let payment = Payment { id: made["payment"]["id"].as_str().expect("an id").to_owned(), order };

    shop.checkout().moves("authorizeAndCapturePayment", &payment, "", json!({ "amount": money(price) })).await;
    let refunded = shop.back_office().moves("refundPayment", &payment, "", json!({ "amount": money(part) })).await;

    let summary = &refunded["payment"]["summary"];
    let told = json!([summary["totalEverCaptured"]["amount"], summary["amountRefunded"]["amount"]]);
    (told, shop.moved().await)
}

// rules M1, M2
async fn a_payment_in_yen_moves_whole_yen(shop: Shop) {
    let (told, moved) = in_another_currency(&shop, "JPY", "1250", "1").await;

    assert_eq!(told, json!(["1250", "1"]));
    assert_eq!(moved, ["authorize_and_capture 1250", "refund 1"]);
}

// rules M1, M2
async fn a_payment_in_dinars_moves_thousandths(shop: Shop) {
    let (told, moved) = in_another_currency(&shop, "KWD", "1.250", "0.001").await;

    assert_eq!(told, json!(["1.250", "0.001"]));
    assert_eq!(moved, ["authorize_and_capture 1250", "refund 1"]);
}
