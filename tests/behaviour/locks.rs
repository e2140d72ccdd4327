//! Locks that callers take on payments: who holds one, until when, and what a token is good for (rules K2 to K6).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use orderpay::{clock::Clock, secret::hex};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Actor, Engine, Payment, Shop, code, mall::Mall, outcome_of, writing_nothing};

on_each_database![
    a_lock_is_taken_held_on_to_and_given_back,
    a_lock_lasts_for_10_seconds_or_for_1_to_300,
    a_payment_shows_its_lock_but_not_the_token,
    a_token_stands_in_the_database_as_a_hash_only,
    a_lock_that_ran_out_and_was_taken_by_nobody_is_extended_and_works,
    a_lock_that_another_took_is_lost,
    a_lock_that_anothers_mutation_passed_through_is_lost,
    an_old_token_unlocks_nothing,
    several_payments_are_locked_all_or_none,
    payments_are_locked_only_at_the_versions_that_were_read,
    a_payment_that_is_named_twice_is_locked_once,
    every_acquisition_has_a_greater_number,
    a_clock_that_goes_wrong_changes_no_lock,
    what_a_killed_server_had_locked_is_free_when_its_time_is_up_and_not_before,
];

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no time"))
}

fn token_of(payload: &Value) -> &str {
    payload["locks"][0]["token"].as_str().unwrap_or_else(|| panic!("{payload}"))
}

fn number_of(payload: &Value) -> u64 {
    payload["locks"][0]["fencingNumber"].as_str().and_then(|text| text.parse().ok()).expect("a number")
}

// rules K1, K3, K5, K6
async fn a_lock_is_taken_held_on_to_and_given_back(shop: Shop) {
    let (payment, checkout) = (shop.payment("tok_ok").await, shop.checkout());

    let taken = checkout.locks(&[&payment], json!({ "purpose": "stocktaking" })).await;
    let token = token_of(&taken);
    let extended = checkout.extends(&payment, token, json!({ "ttlSeconds": 100 })).await;

    assert_eq!(taken["locks"][0]["payment"]["id"], payment.id);
    assert_eq!([token_of(&extended), &number_of(&extended).to_string()], [token, &number_of(&taken).to_string()]);
    assert!(time(&extended["locks"][0]["expiresAt"]) > time(&taken["locks"][0]["expiresAt"]));
    assert!(checkout.unlocks(&payment, token).await);
    assert!(!checkout.unlocks(&payment, token).await, "it was given back before");
    assert_eq!(checkout.sees_payment(&payment).await["lock"], Value::Null);
}

// rule K3
async fn a_lock_lasts_for_10_seconds_or_for_1_to_300(shop: Shop) {
    let lasting = [(json!({}), 10), (json!({ "ttlSeconds": 1 }), 1), (json!({ "ttlSeconds": 300 }), 300)];
    for (input, seconds) in lasting {
        let payment = shop.payment("tok_ok").await;
        let before = Clock::System.now();
        let taken = shop.checkout().locks(&[&payment], input).await;
        let after = Clock::System.now();

        let ttl = TimeDelta::seconds(seconds);
        let (earliest, expires_at, latest) = (before + ttl, time(&taken["locks"][0]["expiresAt"]), after + ttl);
        // SQLite tells the time to the millisecond.
        assert!(earliest - TimeDelta::milliseconds(1) <= expires_at && expires_at <= latest, "{expires_at} {latest}");
    }
    let payment = shop.payment("tok_ok").await;
    for seconds in [0, 301, -1] {
        let refused = shop.checkout().locks(&[&payment], json!({ "ttlSeconds": seconds })).await;
        assert_eq!(code(&refused), "INVALID_INPUT", "{seconds}");
    }
}

// rule K3
async fn a_payment_shows_its_lock_but_not_the_token(shop: Shop) {
    let (payment, checkout) = (shop.payment("tok_ok").await, shop.checkout());
    let taken = checkout.locks(&[&payment], json!({ "purpose": "stocktaking" })).await;

    let seen = checkout.sees_payment(&payment).await;

    let number = number_of(&taken).to_string();
    assert_eq!(seen["lock"], json!({ "purpose": "stocktaking", "fencingNumber": number }));
    assert!(!seen.to_string().contains(token_of(&taken)));
    let document = r#"{ __type(name: "PaymentLockState") { fields { name } } }"#;
    let fields = checkout.sees(document, json!({})).await["__type"]["fields"].take();
    let names = ["purpose", "acquiredAt", "expiresAt", "fencingNumber"].map(|name| json!({ "name": name }));
    assert_eq!(fields, json!(names));
    shop.lets_lock_run_out(&payment).await;
    assert_eq!(checkout.sees_payment(&payment).await["lock"], Value::Null);
}

// rule K3
async fn a_token_stands_in_the_database_as_a_hash_only(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let token = shop.checkout().locks_one(&payment).await;

    let shown = match shop.engine() {
        Engine::Sqlite => "lower(hex(token_hash))",
        Engine::Postgres => "encode(token_hash, 'hex')",
    };
    let sql = format!("SELECT {shown} AS hash FROM payment_lock WHERE token_hash IS NOT NULL");
    let hashes = shop.database().await.texts(&sql, "hash").await;
    assert_eq!(hashes, [hex(&Sha256::digest(&token))]);
}

/// Tries to capture with a token, which nothing comes of: no row, no money.
async fn captures_in_vain(actor: &Actor, payment: &Payment, token: &str) -> Value {
    let (shop, input) = (&actor.shop, json!({ "lockToken": token }));
    let before = shop.movements().await;
    let payload = writing_nothing(shop, async || actor.moves("capturePayment", payment, "29.90", input).await).await;
    assert_eq!((shop.movements().await, &payload["outcome"]), (before, &Value::Null));
    payload["problem"]["code"].clone()
}

// rule K5
async fn a_lock_that_ran_out_and_was_taken_by_nobody_is_extended_and_works(shop: Shop) {
    let (payment, checkout) = (shop.authorized().await, shop.checkout());
    let taken = checkout.locks(&[&payment], json!({})).await;
    let token = token_of(&taken);
    shop.lets_lock_run_out(&payment).await;

    let late = captures_in_vain(&checkout, &payment, token).await;
    let extended = checkout.extends(&payment, token, json!({})).await;
    let captured = checkout.moves("capturePayment", &payment, "29.90", json!({ "lockToken": token })).await;

    assert_eq!((late, outcome_of(&captured).as_str()), (json!("LOCK_LOST"), "SUCCEEDED 29.90"));
    assert_eq!(number_of(&extended), number_of(&taken));
}

// rules K5, K6
async fn a_lock_that_another_took_is_lost(shop: Shop) {
    let (payment, checkout, office) = (shop.authorized().await, shop.checkout(), shop.back_office());
    let old = checkout.locks_one(&payment).await;
    shop.lets_lock_run_out(&payment).await;
    let new = office.locks_one(&payment).await;

    let worked = captures_in_vain(&checkout, &payment, &old).await;
    let extended = checkout.extends(&payment, &old, json!({})).await;

    assert_eq!([&worked, code(&extended)], ["LOCK_LOST", "LOCK_LOST"]);
    assert_eq!(extended["problem"]["retryable"], false);
    assert!(!checkout.unlocks(&payment, &old).await);
    assert!(office.unlocks(&payment, &new).await, "the other's lock stands");
}

// rule K5
async fn a_lock_that_anothers_mutation_passed_through_is_lost(shop: Shop) {
    let authorized = shop.authorized().await;
    let known = shop.known_to_ada().await;
    let attempted = Payment { id: known.payment, order: known.order };
    let changed = shop.payment("tok_ok").await;
    let checkout = shop.checkout();
    let mut tokens = vec![];
    for payment in [&authorized, &attempted, &changed] {
        tokens.push(checkout.locks_one(payment).await);
        shop.lets_lock_run_out(payment).await;
    }

    checkout.captures(&authorized, "10.00").await;
    checkout.reports(&known.session, "PROCESSING", "29.90").await;
    checkout.changes_payment(&changed, json!({ "display": {} })).await;

    for (payment, token) in [&authorized, &attempted, &changed].into_iter().zip(&tokens) {
        assert_eq!(code(&checkout.extends(payment, token, json!({})).await), "LOCK_LOST");
        assert!(!checkout.unlocks(payment, token).await);
    }
    assert_eq!(captures_in_vain(&checkout, &authorized, &tokens[0]).await, "LOCK_LOST");
}

/// Takes the locks of all of these, which are free: as they are given back.
async fn all_locks(actor: &Actor, payments: &[&Payment]) -> Value {
    let payload = actor.locks(payments, json!({ "ttlSeconds": 300 })).await;
    let locks = payload["locks"].as_array().unwrap_or_else(|| panic!("{payload}"));
    locks.iter().map(|lock| json!({ "paymentId": lock["payment"]["id"], "token": lock["token"] })).collect()
}

/// How many of these were given back.
async fn gives_back(actor: &Actor, locks: &Value) -> usize {
    let payload = actor.does("unlockPayments", json!({ "locks": locks }), "unlockedPaymentIds").await;
    payload["unlockedPaymentIds"].as_array().map_or(0, Vec::len)
}

// rule K6: a hundred at once, ten times
async fn an_old_token_unlocks_nothing(shop: Shop) {
    let (checkout, office) = (shop.checkout(), shop.back_office());
    let order = shop.adas_order().await;
    let mut payments = vec![];
    for _ in 0..100 {
        payments.push(shop.payment_on(&order, "0.01", "tok_ok").await);
    }
    let payments: Vec<&Payment> = payments.iter().collect();
    for _ in 0..10 {
        let old = all_locks(&checkout, &payments).await;
        let past = match shop.engine() {
            Engine::Sqlite => "strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', '-1 second')",
            Engine::Postgres => "clock_timestamp() - interval '1 second'",
        };
        shop.database().await.run(&format!("UPDATE payment_lock SET expires_at = {past}")).await;
        let new = all_locks(&office, &payments).await;

        let unlocked = [gives_back(&checkout, &old).await, gives_back(&office, &new).await];

        assert_eq!(unlocked, [0, 100]);
    }
}

/// Which of these payments are locked.
async fn are_locked(shop: &Shop, payments: &[&Payment]) -> Vec<bool> {
    let mut locked = vec![];
    for payment in payments {
        locked.push(!shop.checkout().sees_payment(payment).await["lock"].is_null());
    }
    locked
}

// rule K4
async fn several_payments_are_locked_all_or_none(shop: Shop) {
    let checkout = shop.checkout();
    let mut payments = vec![];
    for _ in 0..3 {
        payments.push(shop.payment("tok_ok").await);
    }
    let [a, b, c] = [&payments[0], &payments[1], &payments[2]];
    let missing = Payment { id: "pay_00000000-0000-7000-8000-000000000000".into(), ..a.clone() };
    let held = checkout.locks_one(b).await;

    let refused = checkout.locks(&[c, b, a], json!({})).await;
    let unknown = checkout.locks(&[c, &missing, a], json!({})).await;

    assert_eq!(json!([code(&refused), refused["problem"]["paymentId"]]), json!(["PAYMENT_LOCKED", b.id]));
    assert_eq!((code(&unknown), &unknown["locks"]), (&json!("PAYMENT_NOT_FOUND"), &Value::Null));
    assert_eq!(are_locked(&shop, &[a, b, c]).await, [false, true, false]);
    checkout.unlocks(b, &held).await;
    let taken = checkout.locks(&[c, a, b], json!({})).await;
    let ids: Vec<&Value> = taken["locks"].as_array().unwrap().iter().map(|lock| &lock["payment"]["id"]).collect();
    assert_eq!(ids, [&a.id, &b.id, &c.id], "in the order of their ids");
    assert_eq!(are_locked(&shop, &[a, b, c]).await, [true, true, true]);
}

// rule K4
async fn payments_are_locked_only_at_the_versions_that_were_read(shop: Shop) {
    let (checkout, one, other) = (shop.checkout(), shop.payment("tok_ok").await, shop.authorized().await);
    let version = checkout.sees_payment(&other).await["version"].as_i64().expect("a version");
    let read = |versions: [i64; 2]| json!({ "expectedVersions": versions });

    let stale = writing_nothing(&shop, async || checkout.locks(&[&other, &one], read([version - 1, 1])).await).await;
    let free = are_locked(&shop, &[&one, &other]).await;
    let taken = checkout.locks(&[&other, &one], read([version, 1])).await;

    assert_eq!(json!([code(&stale), stale["problem"]["currentVersion"]]), json!(["STALE_VERSION", version]));
    assert_eq!((free, code(&taken)), (vec![false, false], &Value::Null));
}

// rule K4
async fn a_payment_that_is_named_twice_is_locked_once(shop: Shop) {
    let (checkout, payment) = (shop.checkout(), shop.payment("tok_ok").await);

    let taken = checkout.locks(&[&payment, &payment], json!({})).await;

    assert_eq!(taken["locks"].as_array().map(Vec::len), Some(1));
    let token = token_of(&taken);
    let twice = json!([{ "paymentId": payment.id, "token": token }, { "paymentId": payment.id, "token": token }]);
    assert_eq!(gives_back(&checkout, &twice).await, 1);
}

// rule K5
async fn every_acquisition_has_a_greater_number(shop: Shop) {
    let (checkout, payment) = (shop.checkout(), shop.payment("tok_ok").await);
    let mut numbers = vec![];
    for round in 0..4 {
        let taken = checkout.locks(&[&payment], json!({})).await;
        numbers.push(number_of(&taken));
        match round {
            0 => assert!(checkout.unlocks(&payment, token_of(&taken)).await),
            _ => shop.lets_lock_run_out(&payment).await,
        }
        if round == 2 {
            checkout.authorizes(&payment, "29.90").await;
        }
    }

    let grows = numbers.windows(2).map(|two| two[1] - two[0]).collect::<Vec<_>>();
    assert_eq!(grows, [1, 1, 2], "a mutation between takes a number too");
    let written = shop.database().await.number("SELECT fencing_number AS n FROM payment_transaction").await;
    assert_eq!(u64::try_from(written).ok(), Some(numbers[3] - 1));
}

// rule K3: time is the database's
async fn a_clock_that_goes_wrong_changes_no_lock(shop: Shop) {
    for wrong in [TimeDelta::hours(1), TimeDelta::days(-1), TimeDelta::days(2)] {
        let (held, over) = (shop.payment("tok_ok").await, shop.payment("tok_ok").await);
        let taken = shop.checkout().locks(&[&held], json!({ "ttlSeconds": 300 })).await;
        let old = shop.checkout().locks(&[&over], json!({ "ttlSeconds": 300 })).await;
        shop.lets_lock_run_out(&over).await;
        shop.moves_time_by(wrong);
        // Whose token is good at this time.
        let checkout = shop.checkout();
        let tries = async |mutation: &str, payment: &Payment, token: Value| -> Value {
            let mut done = checkout.moves(mutation, payment, "1.00", json!({ "lockToken": token })).await;
            done["problem"]["code"].take()
        };

        let locked = checkout.locks(&[&held], json!({})).await;
        let others = [
            tries("authorizePayment", &held, Value::Null).await,
            tries("authorizePayment", &held, json!(token_of(&taken))).await,
            tries("authorizePayment", &over, json!(token_of(&old))).await,
            tries("authorizePayment", &over, Value::Null).await,
        ];
        let extended = checkout.extends(&held, token_of(&taken), json!({ "ttlSeconds": 300 })).await;

        assert_eq!(code(&locked), "PAYMENT_LOCKED");
        assert!(locked["problem"]["retryAfterMs"].as_u64().is_some_and(|wait| wait <= 300_001), "{locked}");
        assert_eq!(json!(others), json!(["PAYMENT_LOCKED", null, "LOCK_LOST", null]), "{wrong}");
        assert!(time(&extended["locks"][0]["expiresAt"]) - Clock::System.now() <= TimeDelta::seconds(300));
        assert_eq!(are_locked(&shop, &[&held, &over]).await, [true, false]);
    }
}

/// Asks for a lock until it is given: the end that those were told who asked before, all the same, and how long after that it was given.
async fn waits_for(shop: &Shop, payment: &Payment) -> (DateTime<Utc>, TimeDelta) {
    let mut told = None;
    loop {
        let answer = shop.checkout().locks(&[payment], json!({})).await;
        let now = Clock::System.now();
        if answer["locks"].is_array() {
            let end = told.expect("it was locked");
            return (end, now - end);
        }
        assert_eq!(code(&answer), "PAYMENT_LOCKED");
        let end = time(&answer["problem"]["expiresAt"]);
        assert_eq!(*told.get_or_insert(end), end, "somebody holds on to it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

// rules K3, K8
async fn what_a_killed_server_had_locked_is_free_when_its_time_is_up_and_not_before(shop: Shop) {
    let Mall { sandbox, servers: [dying, living], shops: [first, second] } =
        Mall::open_with(&shop, &["--payment-lock-ttl=2s"]).await;
    let (captured, locked) = (second.authorized().await, second.payment("tok_ok").await);
    second.provider_will("run_transaction", "slow").await;
    let capturing = tokio::spawn({
        let (checkout, payment) = (first.checkout(), captured.clone());
        async move { checkout.captures(&payment, "29.90").await }
    });
    shop.comes_to_have("payment_transaction WHERE kind = 'CAPTURE'").await;
    first.checkout().locks(&[&locked], json!({ "ttlSeconds": 2 })).await;

    drop(dying);
    let killed_at = Clock::System.now();
    let waited = tokio::join!(waits_for(&second, &captured), waits_for(&second, &locked));

    assert!(capturing.await.is_err(), "the killed server answered");
    for (end, late) in [waited.0, waited.1] {
        assert!(end <= killed_at + TimeDelta::seconds(2), "{end}");
        assert!(TimeDelta::zero() <= late && late < TimeDelta::seconds(1), "{late}");
    }
    drop((sandbox, living));
}
