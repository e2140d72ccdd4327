//! Keys: whatever is sent under one happens once, and what came of it can be had again.

use std::collections::BTreeSet;

use orderpay::auth::CallerKind;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Actor, Payment, Shop, code, euros, outcome, outcome_of, tea, with, writing_nothing};

on_each_database![
    one_key_sent_a_hundred_times_at_once_has_one_effect,
    a_key_with_another_input_is_refused,
    a_key_is_for_one_mutation,
    a_key_of_another_caller_is_another_key,
    a_refused_request_uses_up_no_key,
    each_mutation_with_a_key_runs_once,
    a_replay_needs_no_lock_and_no_version,
    a_key_is_good_for_three_days,
    what_runs_is_in_progress,
    what_is_not_known_stays_in_progress_until_it_is,
    a_key_ends_though_something_else_on_its_payment_is_not_known,
    an_operation_tells_what_it_came_to,
    an_operation_shows_to_a_service_only_what_it_may_see,
    nothing_is_told_of_a_key_that_was_not_used,
];

fn key(key: &str) -> Value {
    json!({ "idempotencyKey": key })
}

/// Another service than the checkout, which may do the same.
fn till(shop: &Shop) -> Actor {
    let scopes = "orders:read orders:write payments:write payments:capture";
    Actor::new(shop, CallerKind::Service, "till", scopes)
}

// rule I2
async fn one_key_sent_a_hundred_times_at_once_has_one_effect(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let mut asking = JoinSet::new();
    for _ in 0..100 {
        let (checkout, payment) = (shop.checkout(), payment.clone());
        asking.spawn(async move { checkout.moves("authorizeAndCapturePayment", &payment, "20.00", key("k")).await });
    }

    let mut answers = asking.join_all().await;
    answers.push(shop.checkout().moves("authorizeAndCapturePayment", &payment, "20.00", key("k")).await);

    let first = answers.iter().filter(|payload| payload["replayed"] == false && code(payload).is_null()).count();
    let mut told = BTreeSet::new();
    for payload in &mut answers {
        if code(payload) != "OPERATION_IN_PROGRESS" {
            payload["replayed"] = Value::Null;
            told.insert(payload.to_string());
        }
    }
    assert_eq!((first, told.len()), (1, 1), "{told:#?}");
    assert_eq!(shop.moved().await, ["authorize_and_capture 2000"]);
    assert_eq!(shop.back_office().sees_ledger(&payment).await, ["AUTHORIZE_AND_CAPTURE SUCCEEDED 20.00"]);
}

// rules I2, P5
async fn a_key_with_another_input_is_refused(shop: Shop) {
    let (payment, other) = (shop.authorized().await, shop.authorized().await);
    let checkout = shop.checkout();
    checkout.moves("capturePayment", &payment, "10.00", key("k")).await;
    let parent = shop.back_office().sees_transactions(&payment).await[0]["id"].clone();

    let others = [
        (&payment, "10.01", json!({})),
        (&other, "10.00", json!({})),
        (&payment, "10.00", json!({ "parentTransactionId": parent })),
        (&payment, "10.00", json!({ "source": "till 7" })),
        (&payment, "10.00", json!({ "sourceEntityType": "order" })),
        (&payment, "10.00", json!({ "sourceEntityId": "1" })),
        (&payment, "10.00", json!({ "expectedVersion": 1 })),
    ];
    for (of, amount, more) in others {
        let sent = with(key("k"), more.clone());
        let refused = shop
            .leaving_all_as_it_was(&[&payment, &other], async || {
                checkout.moves("capturePayment", of, amount, sent).await
            })
            .await;
        let told = json!([code(&refused), refused["outcome"], refused["payment"], refused["replayed"]]);
        assert_eq!(told, json!(["IDEMPOTENCY_KEY_REUSED", null, null, false]), "{more}");
    }
}

// rule I1
async fn a_key_is_for_one_mutation(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let checkout = shop.checkout();
    checkout.moves("authorizePayment", &payment, "10.00", key("k")).await;

    let captured = checkout.moves("capturePayment", &payment, "10.00", key("k")).await;

    assert_eq!((outcome_of(&captured).as_str(), &captured["replayed"]), ("SUCCEEDED 10.00", &json!(false)));
    // Of several under one key, the one that was sent last.
    assert_eq!(checkout.sees_operation("k").await["mutation"], "capturePayment");
}

// rules I1, A2: nor can anybody find out that it was used
async fn a_key_of_another_caller_is_another_key(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let (checkout, till) = (shop.checkout(), till(&shop));
    checkout.moves("authorizePayment", &payment, "10.00", key("k")).await;
    assert_eq!(till.sees_operation("k").await, Value::Null);

    let done = till.moves("authorizePayment", &payment, "5.00", key("k")).await;

    assert_eq!((outcome_of(&done).as_str(), &done["replayed"]), ("SUCCEEDED 5.00", &json!(false)));
    assert_eq!(shop.moved().await, ["authorize 1000", "authorize 500"]);
    let again = checkout.moves("authorizePayment", &payment, "10.00", key("k")).await;
    assert_eq!((outcome_of(&again).as_str(), &again["replayed"]), ("SUCCEEDED 10.00", &json!(true)));
}

// rule I2
async fn a_refused_request_uses_up_no_key(shop: Shop) {
    let (payment, locked) = (shop.authorized().await, shop.authorized().await);
    let checkout = shop.checkout();
    checkout.locks_one(&locked).await;
    let unknown = Payment { id: entity::id::PaymentId::new(shop.now()).to_string(), ..payment.clone() };
    let tries = [
        ("capturePayment", &payment, "0", json!({}), "INVALID_INPUT"),
        ("capturePayment", &payment, "29.91", json!({}), "AMOUNT_EXCEEDS_AVAILABLE"),
        ("capturePayment", &payment, "10.00", json!({ "expectedVersion": 1 }), "STALE_VERSION"),
        ("capturePayment", &payment, "10.00", json!({ "lockToken": "lck_1" }), "LOCK_LOST"),
        ("capturePayment", &locked, "10.00", json!({}), "PAYMENT_LOCKED"),
        ("capturePayment", &unknown, "10.00", json!({}), "PAYMENT_NOT_FOUND"),
        (
            "capturePayment",
            &payment,
            "10.00",
            json!({ "amount": { "amount": "1", "currency": "JPY" } }),
            "CURRENCY_MISMATCH",
        ),
        ("capturePayment", &payment, "10.00", json!({ "parentTransactionId": "txn_1" }), "INVALID_INPUT"),
    ];

    for (mutation, of, amount, more, why) in tries {
        let sent = with(key("k"), more);
        let refused = writing_nothing(&shop, async || checkout.moves(mutation, of, amount, sent).await).await;
        assert_eq!(code(&refused), why);
        assert_eq!(checkout.sees_operation("k").await, Value::Null, "{why}");
    }
    let input = json!({ "paymentId": payment.id, "amount": euros("1.00"), "idempotencyKey": "k" });
    assert_eq!(outcome(&checkout.tries("refundPayment", input, "replayed").await), "UNKNOWN");

    let done = checkout.moves("capturePayment", &payment, "10.00", key("k")).await;
    assert_eq!((outcome_of(&done).as_str(), &done["replayed"]), ("SUCCEEDED 10.00", &json!(false)));
}

// rules I1, I2
async fn each_mutation_with_a_key_runs_once(shop: Shop) {
    let (ada, checkout, office) = (shop.user("ada"), shop.checkout(), shop.back_office());
    let owner = ada.as_owner();
    let ordering = json!({ "owner": owner, "cart": tea(), "idempotencyKey": "k" });
    let order = checkout.does("createOrder", ordering.clone(), "order { id version }").await;
    let again = writing_nothing(&shop, async || checkout.does("createOrder", ordering, "order { id version }").await);
    assert_eq!(again.await, order);

    let attempt = ada.tries_to_pay(order["order"]["id"].as_str().expect("an id"), key("k")).await;
    let again = ada.tries_to_pay(order["order"]["id"].as_str().expect("an id"), key("k")).await;
    assert_eq!([&attempt["replayed"], &again["replayed"]], [false, true]);
    assert_eq!(attempt["attempt"]["externalId"], again["attempt"]["externalId"]);

    let payment = shop.payment("tok_ok").await;
    let steps = [
        (&checkout, "authorizePayment", "20.00"),
        (&checkout, "capturePayment", "5.00"),
        (&checkout, "reverseAuthorization", "15.00"),
        (&checkout, "authorizeAndCapturePayment", "9.90"),
        (&office, "refundPayment", "4.00"),
        (&office, "creditPayment", "1.00"),
    ];
    for (actor, mutation, amount) in steps {
        let first = actor.moves(mutation, &payment, amount, key("k")).await;
        let again = shop
            .leaving_all_as_it_was(&[&payment], async || actor.moves(mutation, &payment, amount, key("k")).await)
            .await;
        assert_eq!([&first["replayed"], &again["replayed"]], [false, true], "{mutation}");
        assert_eq!(with(again, json!({ "replayed": false })), first, "{mutation}");
    }
    shop.books_agree(&[&payment]).await;
}

// rule I2
async fn a_replay_needs_no_lock_and_no_version(shop: Shop) {
    let payment = shop.authorized().await;
    let checkout = shop.checkout();
    let version = checkout.sees_payment(&payment).await["version"].take();
    let sent = with(key("k"), json!({ "expectedVersion": version }));
    checkout.moves("capturePayment", &payment, "10.00", sent.clone()).await;
    checkout.locks_one(&payment).await;

    let again = checkout.moves("capturePayment", &payment, "10.00", sent).await;

    assert_eq!((outcome_of(&again).as_str(), &again["replayed"]), ("SUCCEEDED 10.00", &json!(true)));
    assert_eq!(shop.moved().await, ["authorize 2990", "capture 1000"]);
}

// rule I1
async fn a_key_is_good_for_three_days(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().moves("capturePayment", &payment, "10.00", key("k")).await;

    shop.moves_time_by(chrono::Duration::hours(72));
    let again = shop.checkout().moves("capturePayment", &payment, "10.00", key("k")).await;

    assert_eq!((outcome_of(&again).as_str(), &again["replayed"]), ("SUCCEEDED 10.00", &json!(true)));
}

// rule I2
async fn what_runs_is_in_progress(shop: Shop) {
    let hasty = shop.second(&["--provider-timeout", "1s"]).await;
    let payment = hasty.payment("tok_ok").await;
    hasty.provider_will("run_transaction", "slow").await;
    let (checkout, meanwhile) = (hasty.checkout(), hasty.checkout());

    let asks = checkout.moves("authorizePayment", &payment, "10.00", key("k"));
    let looks = async {
        hasty.comes_to_have("operation WHERE idempotency_key = 'k'").await;
        let same = meanwhile.moves("authorizePayment", &payment, "10.00", key("k")).await;
        let other = meanwhile.moves("authorizePayment", &payment, "10.00", key("other")).await;
        (meanwhile.sees_operation("k").await, same, other)
    };
    let (_, (operation, same, other)) = tokio::join!(asks, looks);

    assert_eq!(json!([operation["state"], operation["finishedAt"]]), json!(["IN_PROGRESS", null]));
    assert_eq!([code(&same), &same["problem"]["retryable"]], [&json!("OPERATION_IN_PROGRESS"), &json!(true)]);
    assert_eq!([code(&other), &other["problem"]["purpose"]], ["PAYMENT_LOCKED", "authorizePayment"]);
    hasty.stop().await;
}

// rule I3
async fn what_is_not_known_stays_in_progress_until_it_is(shop: Shop) {
    let payment = shop.payment("tok_answer_lost").await;
    let checkout = shop.checkout();
    checkout.moves("authorizePayment", &payment, "10.00", key("k")).await;
    let before = checkout.sees_operation("k").await;

    checkout.moves("authorizePayment", &payment, "10.00", key("k")).await;

    let after = checkout.sees_operation("k").await;
    assert_eq!([&before["state"], &after["state"]], ["IN_PROGRESS", "SUCCEEDED"]);
    assert_eq!([&before["finishedAt"].is_null(), &after["finishedAt"].is_null()], [&true, &false]);
    assert_eq!(before["payment"]["id"], payment.id);
}

// rule I3
async fn a_key_ends_though_something_else_on_its_payment_is_not_known(shop: Shop) {
    let payment = shop.authorized().await;
    let checkout = shop.checkout();
    checkout.moves("capturePayment", &payment, "10.00", key("known")).await;
    shop.provider_will("run_transaction", "request_lost").await;
    checkout.moves("capturePayment", &payment, "5.00", key("not known")).await;
    // The server that was told of the first had died before it could say so.
    let left = "UPDATE operation SET state = 'IN_PROGRESS', finished_at = NULL WHERE idempotency_key = 'known'";
    shop.database().await.run(left).await;
    shop.provider_will("find_transaction", "error_500").await;

    shop.moves_time_by(chrono::TimeDelta::seconds(31));
    shop.reconciles().await;

    let states = [checkout.sees_operation("known").await, checkout.sees_operation("not known").await];
    assert_eq!(states.each_ref().map(|operation| &operation["state"]), ["SUCCEEDED", "IN_PROGRESS"]);
}

async fn an_operation_tells_what_it_came_to(shop: Shop) {
    let payment = shop.authorized().await;
    let checkout = shop.checkout();
    checkout.moves("capturePayment", &payment, "10.00", key("k")).await;

    let told = checkout.sees_operation("k").await;

    let facts = json!([told["idempotencyKey"], told["mutation"], told["state"], told["problem"]]);
    assert_eq!(facts, json!(["k", "capturePayment", "SUCCEEDED", null]));
    let came_to = json!([told["payment"]["id"], told["order"]["id"], told["attempt"]]);
    assert_eq!(came_to, json!([payment.id, payment.order, null]));
    assert!(told["startedAt"].as_str() <= told["finishedAt"].as_str(), "{told}");
}

// rule A3
async fn an_operation_shows_to_a_service_only_what_it_may_see(shop: Shop) {
    let payment = shop.authorized().await;
    let blind = shop.service(&["payments:capture"]);
    blind.moves("capturePayment", &payment, "10.00", key("k")).await;

    let plain = blind.asks("{ operation(idempotencyKey: \"k\") { state } }", json!({})).await;
    let with_payment = blind.asks("{ operation(idempotencyKey: \"k\") { state payment { id } } }", json!({})).await;

    assert_eq!(plain["data"]["operation"]["state"], "SUCCEEDED");
    assert_eq!(outcome(&with_payment), "FORBIDDEN");
}

async fn nothing_is_told_of_a_key_that_was_not_used(shop: Shop) {
    assert_eq!(shop.checkout().sees_operation("k").await, Value::Null);
    let refused = shop.checkout().asks("{ operation(idempotencyKey: \"\") { state } }", json!({})).await;
    assert_eq!(outcome(&refused), "INVALID_INPUT");
}
