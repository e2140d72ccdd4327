//! What nobody has heard the end of is found and seen to, by whichever server looks first: on its schedule, once, and without a second movement of
//! money (rules R1, P6 to P8, I3).

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::{Actor, Payment, Shop, eventually, gate::Gate, outcome_of, sums, track::all_powerful};

on_each_database![
    a_lost_answer_of_each_kind_is_found_after_thirty_seconds,
    a_lost_request_of_each_kind_is_sent_once_under_the_same_reference,
    a_transaction_that_stays_unanswered_is_asked_after_ever_more_rarely,
    an_attempt_that_stays_unanswered_is_asked_after_ever_more_rarely,
    an_answer_that_comes_by_itself_settles_its_case,
    two_servers_ask_once_and_not_twice,
    a_payment_that_somebody_has_locked_is_left_alone_and_seen_to_after,
    a_provider_that_hangs_for_one_payment_keeps_no_other_from_being_seen_to,
    money_on_its_way_that_nobody_tells_of_is_found,
    money_for_a_cancelled_order_is_kept_and_becomes_a_case,
    what_could_not_be_given_back_at_once_is_given_back_later,
    what_a_dead_server_left_ends_as_a_retry_would_have_ended_it,
    a_request_that_still_runs_is_not_ended_for_it,
    after_a_mixture_of_it_all_nothing_is_left_open,
];

const EACH: [&str; 6] = [
    "authorizePayment",
    "authorizeAndCapturePayment",
    "capturePayment",
    "reverseAuthorization",
    "refundPayment",
    "creditPayment",
];

/// A payment on which all of its 29.90 EUR can be moved in this way.
async fn ready_for(shop: &Shop, mutation: &str) -> Payment {
    match mutation {
        "capturePayment" | "reverseAuthorization" => shop.authorized().await,
        "refundPayment" | "creditPayment" => shop.captured().await,
        _ => shop.payment("tok_ok").await,
    }
}

/// A call that met this fault, under this key: its outcome is not known.
async fn unanswered(shop: &Shop, mutation: &str, fault: &str, key: &str) -> Payment {
    let payment = ready_for(shop, mutation).await;
    shop.provider_will("run_transaction", fault).await;
    let payload = all_powerful(shop).moves(mutation, &payment, "29.90", json!({ "idempotencyKey": key })).await;
    assert_eq!(outcome_of(&payload), "UNKNOWN 29.90 OUTCOME_UNKNOWN", "{mutation}");
    payment
}

/// The last of a payment's ledger, as `CAPTURE SUCCEEDED 29.90`.
async fn last_of(shop: &Shop, payment: &Payment) -> String {
    shop.back_office().sees_ledger(payment).await.pop().expect("a transaction")
}

/// What met this fault is left alone for 30 s, and comes to a good end after that, in each of the six ways.
async fn ends_well_after_thirty_seconds(shop: &Shop, fault: &str) {
    let mut payments = vec![];
    for mutation in EACH {
        let payment = unanswered(shop, mutation, fault, mutation).await;
        let before = shop.movements().await.len();

        shop.moves_time_by(TimeDelta::seconds(29));
        assert_eq!(shop.reconciles().await, 0, "{mutation} is too young");
        shop.moves_time_by(TimeDelta::seconds(1));
        assert_eq!(shop.reconciles().await, 1, "{mutation}");

        assert!(last_of(shop, &payment).await.contains(" SUCCEEDED 29.90"), "{mutation}");
        let sent_once_more = usize::from(fault != "answer_lost");
        assert_eq!(shop.movements().await.len(), before + sent_once_more, "{mutation}");
        // The key of the request is what is left.
        assert_eq!(shop.reconciles().await, 1, "{mutation}");
        assert_eq!(all_powerful(shop).sees_operation(mutation).await["state"], "SUCCEEDED");
        assert_eq!(shop.reconciles().await, 0);
        payments.push(payment);
    }
    shop.books_agree(&payments.iter().collect::<Vec<_>>()).await;
    assert_eq!(shop.count("reconciliation_case").await, 0);
}

// rule R1
async fn a_lost_answer_of_each_kind_is_found_after_thirty_seconds(shop: Shop) {
    ends_well_after_thirty_seconds(&shop, "answer_lost").await;
}

// rules R1, P6
async fn a_lost_request_of_each_kind_is_sent_once_under_the_same_reference(shop: Shop) {
    ends_well_after_thirty_seconds(&shop, "request_lost").await;
}

fn time(instant: &Value) -> DateTime<Utc> {
    instant.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{instant}"))
}

/// The provider does not say, however often it is asked about what began now: so often, and so far apart, it is.
async fn keeps_to_the_schedule(shop: &Shop, look_up: &str) {
    let mut next_at = shop.now() + TimeDelta::seconds(30);
    let mut pauses = vec![];
    for checks in 1..=6 {
        shop.provider_will(look_up, "error_500").await;
        shop.moves_time_by(next_at - shop.now() - TimeDelta::milliseconds(20));
        assert_eq!(shop.reconciles().await, 0, "before check {checks}");
        shop.moves_time_by(TimeDelta::milliseconds(21));
        let asked_at = shop.now();
        assert_eq!(shop.reconciles().await, 1, "check {checks}");
        let case = shop.newest_case().await;
        assert_eq!(
            [&case["reason"], &case["state"], &case["checks"]],
            [&json!("OUTCOME_UNKNOWN"), &json!("OPEN"), &json!(checks)]
        );
        next_at = time(&case["nextCheckAt"]);
        pauses.push((next_at - asked_at + TimeDelta::milliseconds(1)).num_seconds());
    }
    assert_eq!(pauses, [120, 600, 3600, 86400, 86400, 86400]);
    assert_eq!(shop.count("reconciliation_case").await, 1);
}

// rules R1, R3
async fn a_transaction_that_stays_unanswered_is_asked_after_ever_more_rarely(shop: Shop) {
    let payment = unanswered(&shop, "authorizePayment", "answer_lost", "k").await;

    keeps_to_the_schedule(&shop, "find_transaction").await;

    assert_eq!(last_of(&shop, &payment).await, "AUTHORIZE UNKNOWN 29.90");
    assert_eq!(shop.moved().await, ["authorize 2990"]);
}

// rules R1, T1
async fn an_attempt_that_stays_unanswered_is_asked_after_ever_more_rarely(shop: Shop) {
    let order = shop.adas_order().await;
    shop.provider_will("create_session", "request_lost").await;
    shop.user("ada").tries_to_pay(&order, json!({})).await;

    keeps_to_the_schedule(&shop, "find_session").await;

    assert_eq!(shop.statuses(&order).await, json!(["AWAITING_PAYMENT", ["CREATED"], ["ACTIVE"]]));
}

// rule R3
async fn an_answer_that_comes_by_itself_settles_its_case(shop: Shop) {
    let payment = unanswered(&shop, "authorizeAndCapturePayment", "answer_lost", "k").await;
    shop.provider_will("find_transaction", "error_500").await;
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.reconciles().await;
    let open = shop.newest_case().await;

    shop.moves_time_by(TimeDelta::minutes(2));
    shop.reconciles().await;

    let settled = shop.case_again(&open).await;
    assert_eq!([&open["state"], &settled["state"], &settled["resolvedBy"]], ["OPEN", "RESOLVED", "server"]);
    assert_eq!([&settled["resolution"], &settled["nextCheckAt"]], [&Value::Null; 2]);
    assert!(settled["evidence"].as_str().is_some_and(|why| !why.is_empty()));
    assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "PAID");
    shop.books_agree(&[&payment]).await;
}

// rule R1: were it asked twice, the second answer would be a good one
async fn two_servers_ask_once_and_not_twice(shop: Shop) {
    let other = shop.second(&["--sandbox-url", &shop.url("/sandbox")]).await;
    let payment = unanswered(&shop, "authorizePayment", "answer_lost", "k").await;
    for (round, pause) in [31, 125, 605].into_iter().enumerate() {
        shop.provider_will("find_transaction", "error_500").await;
        let at = shop.now() + TimeDelta::seconds(pause);
        for server in [&shop, &other] {
            server.moves_time_by(at - server.now());
        }

        let (here, there) = tokio::join!(shop.reconciles(), other.reconciles());

        assert_eq!((here + there, last_of(&shop, &payment).await.as_str()), (1, "AUTHORIZE UNKNOWN 29.90"));
        assert_eq!(shop.newest_case().await["checks"], round + 1);
    }
    other.stop().await;
}

// rules R1, K2
async fn a_payment_that_somebody_has_locked_is_left_alone_and_seen_to_after(shop: Shop) {
    let payment = unanswered(&shop, "authorizePayment", "answer_lost", "k").await;
    let token = shop.checkout().locks(&[&payment], json!({ "ttlSeconds": 300 })).await["locks"][0]["token"].take();
    shop.moves_time_by(TimeDelta::seconds(31));

    shop.reconciles().await;

    assert_eq!(last_of(&shop, &payment).await, "AUTHORIZE UNKNOWN 29.90");
    assert_eq!(shop.count("reconciliation_case").await, 0);
    assert!(shop.checkout().unlocks(&payment, token.as_str().expect("a token")).await);
    assert_eq!(shop.reconciles().await, 0, "it is looked at a little later");
    shop.moves_time_by(TimeDelta::seconds(5));
    shop.reconciles().await;
    assert_eq!(last_of(&shop, &payment).await, "AUTHORIZE SUCCEEDED 29.90");
    shop.books_agree(&[&payment]).await;
}

// rule R1
async fn a_provider_that_hangs_for_one_payment_keeps_no_other_from_being_seen_to(shop: Shop) {
    let gate = Gate::to(&shop.url("")).await;
    let sandbox = format!("{}/sandbox", gate.url);
    let settings = ["--reconciler", "on", "--provider-timeout", "60s", "--sandbox-url", &sandbox];
    let first = unanswered(&shop, "authorizePayment", "answer_lost", "first").await;
    shop.moves_time_by(TimeDelta::seconds(31));
    let second = unanswered(&shop, "authorizePayment", "answer_lost", "second").await;
    gate.shuts();
    let worker = shop.second(&settings).await;
    worker.moves_time_by(shop.now() - worker.now());
    gate.holds_an_answer().await;
    gate.lets_others_pass();

    worker.moves_time_by(TimeDelta::seconds(31));

    let is = async |payment: &Payment, how: &str| last_of(&shop, payment).await.contains(how).then_some(());
    eventually("the other one is seen to", async || is(&second, "SUCCEEDED").await).await;
    assert_eq!(last_of(&shop, &first).await, "AUTHORIZE UNKNOWN 29.90");
    gate.opens();
    eventually("so is the first", async || is(&first, "SUCCEEDED").await).await;
    shop.books_agree(&[&first, &second]).await;
    worker.stop().await;
}

// rules R1, W3
async fn money_on_its_way_that_nobody_tells_of_is_found(shop: Shop) {
    let payment = shop.payment("tok_no_webhook").await;
    assert_eq!(outcome_of(&shop.checkout().sells(&payment, "29.90").await), "PENDING 29.90");
    eventually("it moves", async || (!shop.movements().await.is_empty()).then_some(())).await;
    shop.moves_time_by(TimeDelta::seconds(31));

    shop.reconciles().await;

    assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "PAID");
    shop.books_agree(&[&payment]).await;
}

// rule O7
async fn money_for_a_cancelled_order_is_kept_and_becomes_a_case(shop: Shop) {
    let payment = unanswered(&shop, "authorizeAndCapturePayment", "answer_lost", "k").await;
    shop.checkout().cancels(&payment.order).await;
    shop.moves_time_by(TimeDelta::seconds(31));

    shop.reconciles().await;

    assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "CANCELLED");
    assert_eq!(shop.cases().await, ["CONTRADICTING_RESULT"]);
    assert_eq!(last_of(&shop, &payment).await, "AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90");
    shop.books_agree(&[&payment]).await;
}

// rules S1, R1
async fn what_could_not_be_given_back_at_once_is_given_back_later(shop: Shop) {
    let (archived, cancelled) = (shop.authorized().await, shop.authorized().await);
    shop.provider_will("run_transaction", "rejected").await;
    shop.checkout().archives(&archived).await;
    shop.provider_will("run_transaction", "rejected").await;
    shop.checkout().cancels(&cancelled.order).await;
    for payment in [&archived, &cancelled] {
        assert!(shop.back_office().sees_ledger(payment).await[0].ends_with("REQUIRES_REVERSAL"));
    }
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.provider_will("run_transaction", "rejected").await;

    // One of the two is refused once more, and has to wait.
    assert_eq!(shop.reconciles().await, 2);
    assert_eq!(shop.moved().await[2..], ["reverse_authorize 2990"]);
    shop.moves_time_by(TimeDelta::seconds(115));
    assert_eq!(shop.reconciles().await, 0);
    shop.moves_time_by(TimeDelta::seconds(6));
    assert_eq!(shop.reconciles().await, 1);

    for payment in [&archived, &cancelled] {
        assert_eq!(shop.back_office().sees_ledger(payment).await[0], "AUTHORIZE SUCCEEDED 29.90 REVERSED");
    }
    shop.books_agree(&[&archived, &cancelled]).await;
    assert_eq!(shop.cases().await, [""; 0]);
}

/// As if the server had died after it recorded the last answer, and before it ended the key.
async fn forgets_the_end_of(shop: &Shop, key: &str) {
    let past = match shop.engine() {
        crate::support::Engine::Sqlite => "'2000-01-01T00:00:00.000000+00:00'",
        crate::support::Engine::Postgres => "timestamptz '2000-01-01 00:00:00+00'",
    };
    let sql = format!(
        "UPDATE operation SET state = 'IN_PROGRESS', problem = NULL, finished_at = NULL, lease_expires_at = {past}
         WHERE idempotency_key = '{key}'"
    );
    shop.database().await.run(&sql).await;
}

/// What is told of a key, but for the times.
async fn end_of(actor: &Actor, key: &str) -> Value {
    let seen = actor.sees_operation(key).await;
    json!([seen["state"], seen["problem"]["code"], seen["order"], seen["payment"], seen["attempt"]])
}

// rule I3
async fn what_a_dead_server_left_ends_as_a_retry_would_have_ended_it(shop: Shop) {
    let everybody = all_powerful(&shop);
    let payment = shop.payment("tok_ok").await;
    let declined = shop.payment("tok_declined_hard").await;
    let order = shop.adas_order().await;
    everybody.moves("authorizePayment", &payment, "20.00", json!({ "idempotencyKey": "authorized" })).await;
    everybody.moves("authorizePayment", &declined, "20.00", json!({ "idempotencyKey": "declined" })).await;
    shop.provider_will("run_transaction", "rejected").await;
    everybody.moves("authorizePayment", &payment, "9.90", json!({ "idempotencyKey": "refused" })).await;
    shop.provider_will("create_session", "rejected").await;
    everybody.tries_to_pay(&order, json!({ "idempotencyKey": "no session" })).await;
    everybody.tries_to_pay(&order, json!({ "idempotencyKey": "session" })).await;
    let keys = ["authorized", "declined", "refused", "no session", "session"];
    let mut ended = vec![];
    for key in keys {
        ended.push(end_of(&everybody, key).await);
        forgets_the_end_of(&shop, key).await;
        assert_eq!(everybody.sees_operation(key).await["state"], "IN_PROGRESS");
    }
    let before = (shop.movements().await, shop.rows().await);

    assert_eq!(shop.reconciles().await, keys.len());

    for (key, ended) in keys.into_iter().zip(ended) {
        assert_eq!(end_of(&everybody, key).await, ended, "{key}");
    }
    assert_eq!((shop.movements().await, shop.rows().await), before);
    assert_eq!(shop.reconciles().await, 0);
}

// rule I2
async fn a_request_that_still_runs_is_not_ended_for_it(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "slow").await;
    let running = tokio::spawn({
        let (checkout, payment) = (shop.checkout(), payment.clone());
        async move { checkout.moves("authorizePayment", &payment, "29.90", json!({ "idempotencyKey": "k" })).await }
    });
    eventually("the money is held", async || (!shop.movements().await.is_empty()).then_some(())).await;

    let found = shop.reconciles().await;
    shop.moves_time_by(TimeDelta::seconds(31));
    let found_when_old = shop.reconciles().await;

    assert_eq!((found, found_when_old), (0, 1));
    assert_eq!(shop.count("reconciliation_case").await, 0);
    assert_eq!(outcome_of(&running.await.expect("an answer")), "SUCCEEDED 29.90");
    shop.books_agree(&[&payment]).await;
}

/// So many things are not at their end.
async fn left_open(shop: &Shop) -> Value {
    json!({
        "unanswered": shop.count("payment_transaction WHERE status IN ('SENT', 'PENDING', 'UNKNOWN')").await,
        "marked": shop.count("payment_transaction WHERE management_state IN ('REQUIRES_REVERSAL', 'REVERSAL_IN_PROGRESS')").await,
        "attempts": shop.count("payment_attempt WHERE status = 'CREATED'").await,
        "operations": shop.count("operation WHERE state = 'IN_PROGRESS'").await,
        "locks": shop.count("payment_lock WHERE token_hash IS NOT NULL").await,
        "events": shop.count("provider_event WHERE state = 'PARKED'").await,
        "cases": shop.count("reconciliation_case WHERE state = 'OPEN'").await,
    })
}

// rule R1; F17: healed, all of it settles
async fn after_a_mixture_of_it_all_nothing_is_left_open(shop: Shop) {
    let mut payments = vec![];
    for (at, mutation) in EACH.into_iter().enumerate() {
        for fault in ["answer_lost", "request_lost", "error_500"] {
            payments.push(unanswered(&shop, mutation, fault, &format!("{fault}-{at}")).await);
        }
    }
    let unwanted = shop.authorized().await;
    shop.provider_will("run_transaction", "answer_lost").await;
    shop.checkout().archives(&unwanted).await;
    for fault in ["answer_lost", "request_lost"] {
        let order = shop.adas_order().await;
        shop.provider_will("create_session", fault).await;
        shop.user("ada").tries_to_pay(&order, json!({})).await;
    }
    shop.kept_news_never_came().await;
    // The provider is down for the first round.
    for (look_up, calls) in [("find_transaction", 19), ("find_session", 2)] {
        for _ in 0..calls {
            shop.provider_will(look_up, "error_500").await;
        }
    }
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.reconciles().await;
    assert_eq!(left_open(&shop).await["cases"], 21);

    let wide_awake = shop.second(&["--sandbox-url", &shop.url("/sandbox")]).await;
    wide_awake.moves_time_by(shop.now() - wide_awake.now());
    for _ in 0..4 {
        wide_awake.moves_time_by(TimeDelta::hours(1));
        wide_awake.reconciles().await;
    }

    let open = left_open(&shop).await;
    assert!(open.as_object().is_some_and(|left| left.values().all(|count| count == 0)), "{open}");
    payments.push(unwanted);
    let payments: Vec<&Payment> = payments.iter().collect();
    for payment in &payments {
        assert_eq!(sums(&shop.checkout().sees_payment(payment).await["summary"])[3], "0.00");
    }
    shop.books_agree(&payments).await;
    wide_awake.stop().await;
}
