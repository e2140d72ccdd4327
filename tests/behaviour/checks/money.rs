//! Ledgers: currencies, bounds, parents, what undoes what, and under which lock it was written.

use crate::support::{Payment, Shop};

use super::{beside_the_trail, finds, open_case, sorted, transactions};

on_each_database![
    a_transaction_in_another_currency,
    more_held_than_the_payment_is_for,
    more_held_than_could_not_be_given_back,
    more_held_beside_what_is_stuck,
    more_captured_than_was_authorized,
    more_refunded_than_was_captured,
    more_reversed_than_was_authorized,
    a_parent_of_the_wrong_kind,
    a_parent_that_failed,
    a_parent_of_another_payment,
    a_parent_that_is_undone,
    sums_that_nobody_can_hold,
    undone_by_nothing,
    undoing_nothing,
    what_undid_something_that_does_not_know,
    a_payment_without_its_lock,
    a_number_that_the_lock_never_gave,
];

async fn a_transaction_in_another_currency(shop: Shop) {
    let payment = shop.captured().await;
    let [_, capture] = two_of(&shop, &payment).await;

    let fault = format!("{capture}: is in USD, and {} in EUR", payment.order);
    finds(&shop, "UPDATE payment_transaction SET currency = 'USD' WHERE kind = 'CAPTURE'", &[&fault]).await;
    let all = format!("{}: is in USD, and {} in EUR", payment.id, payment.order);
    finds(&shop, "UPDATE payment SET currency = 'USD'", &[&fault, &all]).await;
}

async fn more_held_than_the_payment_is_for(shop: Shop) {
    let payment = shop.authorized().await;

    finds(&shop, "UPDATE payment SET amount_minor = 2000", &[&over(&payment, "9.90", "20.00")]).await;

    // Somebody is asked, because it could not be given back.
    let [authorization] = transactions(&shop, &payment).await.try_into().expect("one");
    let about = format!("'FAILED_REVERSAL', [{}], NULL, [{authorization}]", payment.id);
    finds(&shop, &open_case(&about), &[]).await;
}

/// What can't be given back is excused, and nothing beyond it.
async fn more_held_than_could_not_be_given_back(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().reverses(&payment, "5.00").await;
    let [_, reversal] = two_of(&shop, &payment).await;
    shop.plants("UPDATE payment_transaction SET status = 'FAILED' WHERE kind = 'REVERSE_AUTHORIZE'").await;
    let about = format!("'FAILED_REVERSAL', [{}], NULL, [{reversal}]", payment.id);
    finds(&shop, "UPDATE payment SET amount_minor = 2490", &[&over(&payment, "5.00", "24.90")]).await;
    finds(&shop, &open_case(&about), &[]).await;

    finds(&shop, "UPDATE payment SET amount_minor = 2000", &[&over(&payment, "9.90", "20.00")]).await;

    // What came out of it after all is not held.
    shop.plants("UPDATE payment SET amount_minor = 2000").await;
    let reversed = "UPDATE payment_transaction SET status = 'SUCCEEDED' WHERE kind = 'REVERSE_AUTHORIZE'";
    finds(&shop, reversed, &[&over(&payment, "4.90", "20.00")]).await;
}

/// What is stuck is not counted, so that it excuses nothing of what was charged beside it.
async fn more_held_beside_what_is_stuck(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().archives(&payment).await;
    let [authorization, _] = two_of(&shop, &payment).await;
    shop.plants("UPDATE payment SET status = 'ACTIVE'").await;
    shop.plants("UPDATE payment_transaction SET status = 'FAILED' WHERE kind = 'REVERSE_AUTHORIZE'").await;
    shop.plants(&format!(
        "UPDATE payment_transaction SET management_state = 'FAILED_REVERSAL' WHERE id = [{authorization}]"
    ))
    .await;
    let about = format!("'FAILED_REVERSAL', [{}], NULL, [{authorization}]", payment.id);
    finds(&shop, &open_case(&about), &[]).await;
    shop.checkout().authorizes(&payment, "29.90").await;

    finds(&shop, "UPDATE payment SET amount_minor = 2000", &[&over(&payment, "9.90", "20.00")]).await;
}

fn over(payment: &Payment, by: &str, amount: &str) -> String {
    format!("{}: {by} EUR more than its {amount} EUR is held or taken, or about to be", payment.id)
}

async fn more_captured_than_was_authorized(shop: Shop) {
    let payment = shop.captured().await;
    let [authorization, _] = two_of(&shop, &payment).await;

    let bound = format!("{}: 9.90 EUR more is captured or reversed, or about to be, than is authorized", payment.id);
    let parent =
        format!("{authorization}: 29.90 EUR of its 20.00 EUR are captured, reversed or refunded, or about to be");
    let lowered = "UPDATE payment_transaction SET amount_minor = 2000 WHERE kind = 'AUTHORIZE'";
    finds(&shop, lowered, &[&bound, &parent]).await;
    // Not answered yet, it counts all the same.
    let unanswered = "UPDATE payment_transaction SET status = 'PENDING', settled_at = NULL WHERE kind = 'CAPTURE'";
    shop.plants("DELETE FROM order_snapshot").await;
    shop.plants("UPDATE orders SET status = 'AWAITING_PAYMENT', paid_at = NULL").await;
    finds(&shop, unanswered, &[&bound, &parent]).await;
}

async fn more_refunded_than_was_captured(shop: Shop) {
    let payment = shop.captured().await;
    shop.back_office().refunds(&payment, "29.90").await;
    let [_, capture] = two_of(&shop, &payment).await;

    let bound = format!("{}: 0.10 EUR more is refunded, or about to be, than was captured", payment.id);
    let parent = format!("{capture}: 30.00 EUR of its 29.90 EUR are captured, reversed or refunded, or about to be");
    let raised = "UPDATE payment_transaction SET amount_minor = 3000 WHERE kind = 'REFUND'";
    finds(&shop, raised, &[&bound, &parent]).await;
}

async fn more_reversed_than_was_authorized(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().reverses(&payment, "29.90").await;
    let [authorization, _] = two_of(&shop, &payment).await;

    let bound = format!("{}: 0.10 EUR more is reversed than was authorized", payment.id);
    let used = format!("{}: 0.10 EUR more is captured or reversed, or about to be, than is authorized", payment.id);
    let parent =
        format!("{authorization}: 30.00 EUR of its 29.90 EUR are captured, reversed or refunded, or about to be");
    let raised = "UPDATE payment_transaction SET amount_minor = 3000 WHERE kind = 'REVERSE_AUTHORIZE'";
    finds(&shop, raised, &[&bound, &used, &parent]).await;
}

async fn a_parent_of_the_wrong_kind(shop: Shop) {
    let payment = shop.captured().await;
    shop.back_office().refunds(&payment, "10.00").await;
    let [authorization, _, refund] = three_of(&shop, &payment).await;

    let fault =
        format!("{refund}: the REFUND of 10.00 EUR acts on {authorization}, which is of a kind that it can't act on");
    let whole =
        format!("{authorization}: 39.90 EUR of its 29.90 EUR are captured, reversed or refunded, or about to be");
    let moved = format!("UPDATE payment_transaction SET parent_id = [{authorization}] WHERE kind = 'REFUND'");
    finds(&shop, &moved, &[&fault, &whole]).await;
}

async fn a_parent_that_failed(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().captures(&payment, "10.00").await;
    let [authorization, capture] = two_of(&shop, &payment).await;

    let fault = format!("{capture}: the CAPTURE of 10.00 EUR acts on {authorization}, which did not succeed");
    let bound = format!("{}: 10.00 EUR more is captured or reversed, or about to be, than is authorized", payment.id);
    let failed = "UPDATE payment_transaction SET status = 'FAILED' WHERE kind = 'AUTHORIZE'";
    finds(&shop, failed, &[&fault, &bound]).await;
}

async fn a_parent_of_another_payment(shop: Shop) {
    let (payment, other) = (shop.captured().await, shop.authorized().await);
    let [_, capture] = two_of(&shop, &payment).await;
    let [elsewhere] = transactions(&shop, &other).await.try_into().expect("one");

    let fault = format!("{capture}: the CAPTURE of 29.90 EUR acts on {elsewhere}, which is not of its payment");
    let moved = format!("UPDATE payment_transaction SET parent_id = [{elsewhere}] WHERE kind = 'CAPTURE'");
    finds(&shop, &moved, &[&fault]).await;
}

async fn a_parent_that_is_undone(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().captures(&payment, "10.00").await;
    let [authorization, capture] = two_of(&shop, &payment).await;

    let fault = format!("{capture}: the CAPTURE of 10.00 EUR acts on {authorization}, which is undone, or about to be");
    let bound = format!("{}: 10.00 EUR more is captured or reversed, or about to be, than is authorized", payment.id);
    let marked = "UPDATE payment_transaction SET management_state = 'REQUIRES_REVERSAL' WHERE kind = 'AUTHORIZE'";
    finds(&shop, marked, &[&fault, &bound]).await;
}

/// Both the sums of the server and those of the database are beyond 64 bits: the order is named, and the others are looked at.
async fn sums_that_nobody_can_hold(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.back_office().credits(&payment, "1.00").await;
    shop.back_office().credits(&payment, "2.00").await;
    let other = shop.authorized().await;

    shop.plants("UPDATE payment_transaction SET amount_minor = 9223372036854775807 WHERE kind = 'DETACHED_CREDIT'")
        .await;
    shop.plants(&format!("UPDATE payment SET amount_minor = 2000 WHERE id = [{}]", other.id)).await;

    let too_large = "can't be added up: it is too large: at most 92233720368547758.07 EUR can be handled";
    let expected = [
        format!("{}: {too_large}", payment.id),
        format!("{}: {too_large}", payment.order),
        over(&other, "9.90", "20.00"),
    ];
    assert_eq!(sorted(beside_the_trail(shop.faults().await)), sorted(expected.into()));
}

async fn undone_by_nothing(shop: Shop) {
    let payment = shop.authorized().await;
    let [authorization] = transactions(&shop, &payment).await.try_into().expect("one");
    let states = [
        ("REVERSED", "is REVERSED, and nothing that succeeded reversed it"),
        ("REVERSAL_IN_PROGRESS", "is in REVERSAL_IN_PROGRESS, and nothing that is unanswered reverses it"),
        ("FAILED_REVERSAL", "is in FAILED_REVERSAL, and there is no case"),
    ];

    for (state, what) in states {
        let planted = format!("UPDATE payment_transaction SET management_state = '{state}'");
        finds(&shop, &planted, &[&format!("{authorization}: {what}")]).await;
    }

    // A person knows of it.
    let about = format!("'FAILED_REVERSAL', [{}], NULL, [{authorization}]", payment.id);
    finds(&shop, &open_case(&about), &[]).await;
}

async fn undoing_nothing(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.back_office().credits(&payment, "1.00").await;
    let [credit] = transactions(&shop, &payment).await.try_into().expect("one");

    let fault = format!("{credit}: is a REVERSAL_TRANSACTION of a kind that reverses nothing");
    finds(&shop, "UPDATE payment_transaction SET management_state = 'REVERSAL_TRANSACTION'", &[&fault]).await;
}

async fn what_undid_something_that_does_not_know(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().archives(&payment).await;
    let [_, reversal] = two_of(&shop, &payment).await;

    let forgotten = "UPDATE payment_transaction SET management_state = 'REQUIRES_REVERSAL' WHERE kind = 'AUTHORIZE'";
    let fault = format!("{reversal}: succeeded, and what it reversed is not REVERSED");
    finds(&shop, forgotten, &[&fault]).await;
    let unanswered =
        "UPDATE payment_transaction SET status = 'UNKNOWN', settled_at = NULL WHERE kind = 'REVERSE_AUTHORIZE'";
    let fault = format!("{reversal}: is unanswered, and what it reverses is not in REVERSAL_IN_PROGRESS");
    finds(&shop, unanswered, &[&fault]).await;
}

async fn a_payment_without_its_lock(shop: Shop) {
    let payment = shop.authorized().await;

    finds(&shop, "DELETE FROM payment_lock", &[&format!("{}: has no row for its lock", payment.id)]).await;
}

async fn a_number_that_the_lock_never_gave(shop: Shop) {
    let payment = shop.authorized().await;
    let [authorization] = transactions(&shop, &payment).await.try_into().expect("one");
    let number = shop.database().await.number("SELECT fencing_number AS n FROM payment_lock").await;

    let fault = format!(
        "{authorization}: was written under the fencing number 99, and the lock of {} has come to {number} only",
        payment.id
    );
    finds(&shop, "UPDATE payment_transaction SET fencing_number = 99", &[&fault]).await;
}

async fn two_of(shop: &Shop, payment: &Payment) -> [String; 2] {
    let mut ids = transactions(shop, payment).await;
    ids.truncate(2);
    ids.try_into().expect("two")
}

async fn three_of(shop: &Shop, payment: &Payment) -> [String; 3] {
    transactions(shop, payment).await.try_into().expect("three")
}
