//! What waits and nobody will come back to: unanswered calls, news, idempotency keys.

use chrono::Duration;
use serde_json::json;

use crate::support::{News, Payment, Shop, with};

use super::{beside_the_trail, finds, now, open_case, transactions};

on_each_database![
    an_unanswered_transaction_that_nobody_will_ask_after,
    an_old_transaction_that_was_only_just_marked,
    a_mark_that_nobody_will_see_to,
    an_attempt_that_nobody_will_ask_after,
    an_attempt_that_was_only_just_written_to,
    a_session_whose_time_is_up,
    a_session_without_an_end,
    news_that_is_parked_for_a_day,
    news_that_was_given_up,
    an_orphaned_key,
    a_key_that_waits_for_a_day,
    keys_that_say_nothing,
    a_key_that_points_elsewhere,
];

/// A payment whose authorization was asked for, under this key, and the answer is not known.
async fn unanswered(shop: &Shop, key: &str) -> (Payment, String) {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "request_lost").await;
    shop.provider_will("find_transaction", "error_500").await;
    let input = with(json!({}), json!({ "idempotencyKey": key }));
    shop.checkout().moves("authorizePayment", &payment, "29.90", input).await;
    let unknown = "UPDATE payment_transaction SET status = 'UNKNOWN', settled_at = NULL, next_check_at = NULL";
    shop.plants(unknown).await;
    let [transaction] = transactions(shop, &payment).await.try_into().expect("one");
    (payment, transaction)
}

async fn an_unanswered_transaction_that_nobody_will_ask_after(shop: Shop) {
    let (_, transaction) = unanswered(&shop, "first").await;
    shop.is_sound().await;

    shop.moves_time_by(Duration::minutes(16));

    let faults = shop.faults().await;
    assert!(faults[0].starts_with(&format!("{transaction}: is UNKNOWN since ")), "{faults:?}");
    assert!(faults[0].ends_with(", and no check is scheduled") && faults.len() == 1, "{faults:?}");
    finds(&shop, &format!("UPDATE payment_transaction SET next_check_at = {}", now(&shop)), &[]).await;
    shop.moves_time_by(Duration::hours(23));
    shop.is_sound().await;
    shop.plants("UPDATE operation SET started_at = lease_expires_at, state = 'REFUSED', problem = '{}', finished_at = lease_expires_at").await;
    shop.moves_time_by(Duration::hours(2));
    let faults = shop.faults().await;
    assert!(faults.len() == 1 && faults[0].contains("its check is overdue since"), "{faults:?}");
}

/// Who marks it says that it is due at once, and the reconciler has not come round yet.
async fn an_old_transaction_that_was_only_just_marked(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "request_lost").await;
    shop.provider_will("find_transaction", "error_500").await;
    shop.checkout().authorizes(&payment, "29.90").await;
    shop.moves_time_by(Duration::hours(1));
    shop.provider_will("find_transaction", "error_500").await;
    shop.checkout().archives(&payment).await;
    let [transaction] = transactions(&shop, &payment).await.try_into().expect("one");
    let due = "payment_transaction WHERE management_state = 'REQUIRES_REVERSAL' AND next_check_at IS NULL";
    shop.comes_to_have(due).await;

    shop.is_sound().await;

    shop.moves_time_by(Duration::minutes(16));
    let faults = shop.faults().await;
    assert!(faults.len() == 1 && faults[0].starts_with(&format!("{transaction}: is UNKNOWN since ")), "{faults:?}");
    assert!(faults[0].ends_with(", and no check is scheduled"), "{faults:?}");
    shop.reconciles().await;
    shop.is_sound().await;
}

async fn a_mark_that_nobody_will_see_to(shop: Shop) {
    let payment = shop.authorized().await;
    let [authorization] = transactions(&shop, &payment).await.try_into().expect("one");
    finds(&shop, "UPDATE payment_transaction SET management_state = 'REQUIRES_REVERSAL'", &[]).await;

    shop.moves_time_by(Duration::minutes(16));

    let begin = format!("{authorization}: is to be given back since ");
    let faults = beside_the_trail(shop.faults().await);
    assert!(faults.len() == 1 && faults[0].starts_with(&begin), "{faults:?}");
    assert!(faults[0].ends_with(", and no check is scheduled"), "{faults:?}");
    finds(&shop, &format!("UPDATE payment_transaction SET next_check_at = {}", now(&shop)), &[]).await;
    shop.moves_time_by(Duration::hours(25));
    let faults = beside_the_trail(shop.faults().await);
    assert!(faults.len() == 1 && faults[0].starts_with(&begin), "{faults:?}");
    assert!(faults[0].contains(", and its check is overdue since "), "{faults:?}");

    // What failed moved nothing.
    finds(&shop, "UPDATE payment_transaction SET status = 'FAILED'", &[]).await;
}

async fn an_attempt_that_nobody_will_ask_after(shop: Shop) {
    let known = shop.known_to_ada().await;
    shop.plants("UPDATE payment_attempt SET status = 'CREATED', next_check_at = NULL").await;

    shop.moves_time_by(Duration::minutes(16));

    let faults = shop.faults().await;
    assert!(faults.len() == 1 && faults[0].starts_with(&format!("{}: is CREATED since ", known.attempt)), "{faults:?}");
}

/// Its order was paid, or somebody is asked about it: the session is to be ended at once.
async fn an_attempt_that_was_only_just_written_to(shop: Shop) {
    let known = shop.known_to_ada().await;
    shop.plants("UPDATE payment_attempt SET status = 'CREATED', next_check_at = NULL").await;
    shop.moves_time_by(Duration::minutes(16));
    assert_eq!(shop.faults().await.len(), 1);

    for column in ["payment_attempt SET updated_at", "orders SET updated_at"] {
        finds(&shop, &format!("UPDATE {column} = {}", now(&shop)), &[]).await;
        shop.plants(&format!("UPDATE {column} = created_at")).await;
        assert_eq!(shop.faults().await.len(), 1, "{column}");
    }
    shop.plants(&open_case(&format!("'PAID_TWICE', [{}], NULL, NULL", known.payment))).await;
    assert_eq!(shop.faults().await.len(), 1, "the case is as old");
    finds(&shop, &format!("UPDATE reconciliation_case SET created_at = {}", now(&shop)), &[]).await;
}

async fn a_session_whose_time_is_up(shop: Shop) {
    let known = shop.known_to_ada().await;
    shop.plants("UPDATE payment_attempt SET expires_at = created_at, next_check_at = NULL").await;
    shop.moves_time_by(Duration::hours(23));
    shop.is_sound().await;

    shop.moves_time_by(Duration::hours(2));

    for status in ["PENDING", "PROCESSING"] {
        shop.plants(&format!("UPDATE payment_attempt SET status = '{status}', next_check_at = NULL")).await;
        let faults = shop.faults().await;
        let begin = format!("{}: is {status}, though its time was up at ", known.attempt);
        assert!(faults.len() == 1 && faults[0].starts_with(&begin), "{faults:?}");
        assert!(faults[0].ends_with(", and no check is scheduled"), "{faults:?}");
        shop.plants("UPDATE payment_attempt SET next_check_at = created_at").await;
        let faults = shop.faults().await;
        assert!(faults.len() == 1 && faults[0].contains(", and its check is overdue since "), "{faults:?}");
        finds(&shop, &format!("UPDATE payment_attempt SET next_check_at = {}", now(&shop)), &[]).await;
    }
}

async fn a_session_without_an_end(shop: Shop) {
    let known = shop.known_to_ada().await;
    shop.plants("UPDATE payment_attempt SET expires_at = NULL, next_check_at = NULL").await;
    shop.moves_time_by(Duration::hours(47));
    shop.is_sound().await;

    shop.moves_time_by(Duration::hours(2));

    let faults = shop.faults().await;
    let begin = format!("{}: is PENDING since ", known.attempt);
    assert!(faults.len() == 1 && faults[0].starts_with(&begin), "{faults:?}");
}

async fn news_that_is_parked_for_a_day(shop: Shop) {
    let news = News::of_session("cs_nobody_knows", "succeeded");
    shop.hears(&news).await;
    shop.is_sound().await;

    shop.moves_time_by(Duration::hours(25));

    let faults = shop.faults().await;
    let begin = format!("event {:?} of sandbox: is PARKED since ", news.event_id);
    assert!(faults.len() == 1 && faults[0].starts_with(&begin), "{faults:?}");
    assert!(!faults[0].contains("cs_nobody_knows"), "{faults:?}");
}

async fn news_that_was_given_up(shop: Shop) {
    shop.hears(&News::of_session("cs_nobody_knows", "succeeded")).await;

    shop.plants("UPDATE provider_event SET tries = 5").await;

    let faults = shop.faults().await;
    assert!(faults.len() == 1 && faults[0].contains(" and was tried 5 times: "), "{faults:?}");
}

async fn an_orphaned_key(shop: Shop) {
    let (_, transaction) = unanswered(&shop, "left").await;
    shop.plants("UPDATE operation SET state = 'IN_PROGRESS', problem = NULL, finished_at = NULL").await;
    let settled = format!(
        "UPDATE payment_transaction SET status = 'SUCCEEDED', settled_at = created_at WHERE id = [{transaction}]"
    );
    shop.moves_time_by(Duration::minutes(1));

    shop.plants("DELETE FROM operation WHERE mutation <> 'authorizePayment'").await;
    shop.plants(&settled).await;

    let faults = beside_the_trail(shop.faults().await);
    let begin = r#"authorizePayment of SERVICE "checkout" under the key "left": is IN_PROGRESS, its lease ran out at "#;
    assert!(faults.len() == 1 && faults[0].starts_with(begin), "{faults:?}");
}

async fn a_key_that_waits_for_a_day(shop: Shop) {
    let (payment, transaction) = unanswered(&shop, "waits").await;
    shop.plants("UPDATE operation SET state = 'IN_PROGRESS', problem = NULL, finished_at = NULL WHERE mutation = 'authorizePayment'").await;

    shop.moves_time_by(Duration::hours(25));

    let faults = shop.faults().await;
    let begin = r#"authorizePayment of SERVICE "checkout" under the key "waits": is IN_PROGRESS since "#;
    let named = |fault: &String| fault.starts_with(begin) && fault.ends_with(&transaction);
    assert!(faults.iter().any(named), "{faults:?}");

    // Somebody is asked.
    shop.plants(&open_case(&format!("'OUTCOME_UNKNOWN', [{}], NULL, [{transaction}]", payment.id))).await;
    let faults = shop.faults().await;
    assert!(!faults.iter().any(named), "{faults:?}");
}

async fn keys_that_say_nothing(shop: Shop) {
    shop.captured().await;
    let silent = "UPDATE operation SET transactions = NULL WHERE mutation = 'capturePayment'";
    let columns = "attempt_id = NULL, order_id = NULL, payment_id = NULL";
    let others = format!(
        "UPDATE operation SET {columns} WHERE mutation IN ('createOrder', 'createPayment', 'authorizePayment')"
    );

    shop.plants(silent).await;
    let fault = ": is SUCCEEDED, and does not say what it came to";
    let faults = shop.faults().await;
    assert!(faults.len() == 1 && faults[0].ends_with(fault) && faults[0].starts_with("capturePayment"), "{faults:?}");
    shop.plants(&others).await;
    assert_eq!(shop.faults().await.len(), 4);
    shop.plants("UPDATE operation SET problem = '{}'").await;
    let faults = shop.faults().await;
    assert!(
        faults.len() == 4 && faults.iter().all(|fault| fault.ends_with(": is SUCCEEDED with a problem")),
        "{faults:?}"
    );
    shop.plants("UPDATE operation SET problem = NULL, state = 'REFUSED'").await;
    let faults = shop.faults().await;
    assert!(
        faults.len() == 4 && faults.iter().all(|fault| fault.ends_with(": is REFUSED without a problem")),
        "{faults:?}"
    );
}

async fn a_key_that_points_elsewhere(shop: Shop) {
    let (payment, other) = (shop.captured().await, shop.payment("tok_ok").await);
    let ids = transactions(&shop, &payment).await;

    shop.plants(&format!("UPDATE operation SET payment_id = [{}] WHERE mutation = 'capturePayment'", other.id)).await;

    let faults = shop.faults().await;
    let end = format!("points to {}, which is not a transaction of its payment", ids[1]);
    assert!(faults.len() == 1 && faults[0].ends_with(&end), "{faults:?}");
}
