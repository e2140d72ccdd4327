//! News that came before what it is about was known is kept, tried again, and given up in the end; what is wrong with one event harms no other
//! (rules W2, R1).

use chrono::TimeDelta;
use serde_json::json;

use crate::support::{News, Shop, code};

on_each_database![
    news_is_taken_in_with_the_session_that_it_tells_of,
    news_is_taken_in_with_the_session_that_the_reconciler_finds,
    news_that_was_left_behind_is_taken_in_within_five_seconds,
    news_of_what_nobody_knows_is_given_up_after_five_tries,
    news_that_was_given_up_is_taken_in_when_its_session_turns_up_after_all,
    a_poisoned_event_is_given_up_while_others_go_on,
    two_servers_try_kept_news_once_and_not_twice,
];

const PARKED: &str = "provider_event WHERE state = 'PARKED'";

/// An attempt whose session is open at the provider, which we do not know; and news, kept, that it was paid. Gives the order and the session.
async fn told_too_early(shop: &Shop) -> (String, String) {
    let order = shop.adas_order().await;
    shop.provider_will("create_session", "answer_lost").await;
    let unknown = shop.user("ada").tries_to_pay(&order, json!({})).await;
    assert_eq!(code(&unknown), "OUTCOME_UNKNOWN");
    let session = shop.session_of(unknown["attempt"]["id"].as_str().expect("an attempt")).await["id"].take();
    let session = session.as_str().expect("a session").to_owned();
    // That it was opened is told by the provider itself.
    shop.comes_to_have(&format!("provider_event WHERE external_id = '{session}' AND state = 'PARKED'")).await;
    shop.hears(&News::of_session(&session, "succeeded")).await;
    assert_eq!(shop.statuses(&order).await, json!(["AWAITING_PAYMENT", ["CREATED"], ["ACTIVE"]]));
    (order, session)
}

/// As [`told_too_early`], by a provider whose news does not tell our reference.
async fn told_too_early_without_a_reference(shop: &Shop) -> (String, String) {
    let told = told_too_early(shop).await;
    shop.database().await.run("UPDATE provider_event SET report = replace(report, 'att_', 'not ours: ')").await;
    told
}

/// The session becomes known, and whoever noted it came no further.
async fn becomes_known(shop: &Shop, session: &str) {
    let sql =
        format!("UPDATE payment_attempt SET external_id = '{session}', status = 'PENDING' WHERE external_id IS NULL");
    shop.database().await.run(&sql).await;
}

// rules W2, T1; P12
async fn news_is_taken_in_with_the_session_that_it_tells_of(shop: Shop) {
    let (order, _) = told_too_early(&shop).await;

    shop.moves_time_by(TimeDelta::seconds(5));
    shop.reconciles().await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
    assert_eq!((shop.count(PARKED).await, shop.count("payment_transaction").await), (0, 1));
}

// rules R1, W2
async fn news_is_taken_in_with_the_session_that_the_reconciler_finds(shop: Shop) {
    let (order, _) = told_too_early_without_a_reference(&shop).await;
    shop.moves_time_by(TimeDelta::seconds(6));
    shop.reconciles().await;
    assert_eq!(shop.count(PARKED).await, 2);

    shop.moves_time_by(TimeDelta::seconds(25));
    shop.reconciles().await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
    assert_eq!((shop.count(PARKED).await, shop.count("payment_transaction").await), (0, 1));
}

// rule W2; P12
async fn news_that_was_left_behind_is_taken_in_within_five_seconds(shop: Shop) {
    let (order, session) = told_too_early(&shop).await;
    becomes_known(&shop, &session).await;

    shop.moves_time_by(TimeDelta::seconds(5));
    shop.reconciles().await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
    assert_eq!(shop.count(PARKED).await, 0);
}

/// The pauses between the tries, in seconds.
const PAUSES: [i64; 5] = [5, 30, 300, 3600, 86400];

// rule W2: of a session, and of a transaction
async fn news_of_what_nobody_knows_is_given_up_after_five_tries(shop: Shop) {
    shop.hears(&News::of_session("ses_unheard_of", "succeeded")).await;
    shop.hears_of_transaction(&json!("txn_unheard_of"), "succeeded", 2990).await;
    for pause in PAUSES {
        shop.moves_time_by(TimeDelta::seconds(pause - 1));
        assert_eq!(shop.reconciles().await, 0, "{pause} s are not over");
        shop.moves_time_by(TimeDelta::seconds(1));
        assert_eq!(shop.reconciles().await, 2);
    }

    shop.moves_time_by(TimeDelta::days(7));
    assert_eq!(shop.reconciles().await, 0);
    assert_eq!(shop.count("provider_event WHERE state = 'PARKED' AND tries = 5").await, 2);
    // Whoever looks after the database is told.
    assert_eq!(shop.faults().await.len(), 2);
    shop.is_tampered_with();
}

// rule W2
async fn news_that_was_given_up_is_taken_in_when_its_session_turns_up_after_all(shop: Shop) {
    let (order, _) = told_too_early(&shop).await;
    shop.database().await.run("UPDATE provider_event SET tries = 5").await;

    shop.moves_time_by(TimeDelta::days(2));
    shop.reconciles().await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
    assert_eq!((shop.count(PARKED).await, shop.cases().await), (0, vec![]));
}

// F16
async fn a_poisoned_event_is_given_up_while_others_go_on(shop: Shop) {
    shop.hears(&News::of_session("ses_poisoned", "succeeded")).await;
    shop.plants("UPDATE provider_event SET report = 'no JSON at all'").await;
    let (order, session) = told_too_early(&shop).await;
    becomes_known(&shop, &session).await;

    shop.moves_time_by(TimeDelta::seconds(5));
    shop.reconciles().await;

    assert_eq!(shop.statuses(&order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
    for pause in &PAUSES[1..] {
        shop.moves_time_by(TimeDelta::seconds(*pause));
        assert_eq!(shop.reconciles().await, 1);
    }
    shop.moves_time_by(TimeDelta::days(7));
    assert_eq!((shop.reconciles().await, shop.count(PARKED).await), (0, 1));
}

// rule R1
async fn two_servers_try_kept_news_once_and_not_twice(shop: Shop) {
    let other = shop.second(&["--sandbox-url", &shop.url("/sandbox")]).await;
    shop.hears(&News::of_session("ses_unheard_of", "succeeded")).await;
    for (tries, pause) in (1..=4).zip(PAUSES) {
        let at = shop.now() + TimeDelta::seconds(pause);
        for server in [&shop, &other] {
            server.moves_time_by(at - server.now());
        }

        let (here, there) = tokio::join!(shop.reconciles(), other.reconciles());

        assert_eq!((here + there, shop.count(&format!("provider_event WHERE tries = {tries}")).await), (1, 1));
    }
    other.stop().await;
}
