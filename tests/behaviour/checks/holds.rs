//! Holds on what is closed: money of a shopper that nobody will give back.

use chrono::Duration;

use crate::support::{Payment, Shop};

use super::{beside_the_trail, decided_case, finds, now, open_case, transactions};

on_each_database![
    a_hold_on_a_cancelled_order,
    a_hold_on_an_archived_payment,
    a_hold_that_is_being_given_back,
    a_hold_that_somebody_is_asked_about,
    a_hold_that_was_only_just_left,
];

const CANCELLED: &str = "UPDATE orders SET status = 'CANCELLED', cancelled_at = created_at";
const ARCHIVED: &str = "UPDATE payment SET status = 'ARCHIVED'";

/// A payment that was authorized a while ago, with the authorization.
async fn held(shop: &Shop) -> (Payment, String) {
    let payment = shop.authorized().await;
    let [authorization] = transactions(shop, &payment).await.try_into().expect("one");
    shop.moves_time_by(Duration::minutes(16));
    (payment, authorization)
}

fn fault(authorization: &str, left: &str, closed: &str) -> String {
    format!("{authorization}: still holds {left} EUR, {closed}, and nobody will give it back")
}

async fn a_hold_on_a_cancelled_order(shop: Shop) {
    let (_, authorization) = held(&shop).await;
    shop.is_sound().await;

    finds(&shop, CANCELLED, &[&fault(&authorization, "29.90", "its order is CANCELLED")]).await;
}

async fn a_hold_on_an_archived_payment(shop: Shop) {
    let (_, authorization) = held(&shop).await;

    finds(&shop, ARCHIVED, &[&fault(&authorization, "29.90", "its payment is ARCHIVED")]).await;
}

async fn a_hold_that_is_being_given_back(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().reverses(&payment, "10.00").await;
    let authorization = transactions(&shop, &payment).await.remove(0);
    shop.moves_time_by(Duration::minutes(16));
    let archived = "its payment is ARCHIVED";
    finds(&shop, ARCHIVED, &[&fault(&authorization, "19.90", archived)]).await;

    // What is unanswered is on its way; and all of it may be marked, which is seen to on another day.
    let reversal = |values: &str| format!("UPDATE payment_transaction SET {values} WHERE kind = 'REVERSE_AUTHORIZE'");
    let unanswered = reversal(&format!("status = 'PENDING', settled_at = NULL, next_check_at = {}", now(&shop)));
    finds(&shop, &unanswered, &[&fault(&authorization, "19.90", archived)]).await;
    finds(&shop, &reversal("amount_minor = 2990"), &[]).await;
    let failed = reversal("status = 'FAILED', settled_at = created_at");
    finds(&shop, &failed, &[&fault(&authorization, "29.90", archived)]).await;
    let marked = format!(
        "UPDATE payment_transaction SET management_state = 'REQUIRES_REVERSAL', next_check_at = {}
        WHERE kind = 'AUTHORIZE'",
        now(&shop)
    );
    finds(&shop, &marked, &[]).await;
}

async fn a_hold_that_somebody_is_asked_about(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().reverses(&payment, "10.00").await;
    let authorization = transactions(&shop, &payment).await.remove(0);
    shop.moves_time_by(Duration::minutes(16));
    shop.plants(CANCELLED).await;
    let reversal = |values: &str| format!("UPDATE payment_transaction SET {values} WHERE kind = 'REVERSE_AUTHORIZE'");
    let fault = fault(&authorization, "29.90", "its order is CANCELLED");
    finds(&shop, &reversal("status = 'FAILED'"), &[&fault]).await;

    // The provider refused the server itself, and there is a case of that.
    finds(&shop, &reversal("source = 'server'"), &[]).await;
    finds(&shop, &reversal("source = NULL"), &[&fault]).await;

    let about = format!("'CONTRADICTING_RESULT', [{}], NULL, [{authorization}]", payment.id);
    finds(&shop, &open_case(&about), &[]).await;
    shop.plants("DELETE FROM reconciliation_case").await;
    finds(&shop, &decided_case(&about, "RECHECK"), &[&fault]).await;
}

async fn a_hold_that_was_only_just_left(shop: Shop) {
    let payment = shop.authorized().await;
    let authorization = transactions(&shop, &payment).await.remove(0);
    finds(&shop, CANCELLED, &[]).await;

    shop.moves_time_by(Duration::minutes(16));

    let expected = [fault(&authorization, "29.90", "its order is CANCELLED")];
    assert_eq!(beside_the_trail(shop.faults().await), expected);
}
