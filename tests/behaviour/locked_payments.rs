//! What changes a payment runs under the payment's lock: refused at once where somebody else has it, done with the token, and never left locked.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Actor, News, Payment, Shop, code, euros, eventually, mall::Mall, outcome, outcome_of, track::all_powerful, with,
};

on_each_database![
    whatever_changes_a_payment_is_refused_while_somebody_else_holds_its_lock,
    whatever_changes_a_payment_works_under_its_lock_and_leaves_it_held,
    without_a_token_the_lock_is_free_afterwards_on_every_way_out,
    a_provider_that_is_gone_leaves_no_lock_behind,
    news_of_a_session_is_taken_in_while_somebody_holds_the_lock,
    news_of_a_transaction_is_taken_in_while_somebody_holds_the_lock,
    one_token_works_for_several_changes_and_none_shortens_the_lock,
    nobody_gets_in_while_the_server_waits_for_a_provider,
    nobody_gets_in_while_the_server_waits_for_a_provider_under_a_callers_lock,
    two_connections_are_enough_for_fifty_changes_at_once,
];

/// Something that changes a payment.
struct Work {
    payment: Payment,
    mutation: &'static str,
    input: Value,
}

impl Work {
    /// One of the six that move money.
    fn money(payment: Payment, mutation: &'static str, amount: &str) -> Self {
        let key = format!("{mutation} {}", payment.id);
        let input = json!({ "paymentId": payment.id, "amount": euros(amount), "idempotencyKey": key });
        Self { payment, mutation, input }
    }

    /// Asks for it: `ok`, or the code of the problem; and the problem.
    async fn by(&self, actor: &Actor, more: Value) -> (String, Value) {
        let mut answer = actor.tries(self.mutation, with(self.input.clone(), more), "").await;
        (outcome(&answer), answer["data"][self.mutation]["problem"].take())
    }
}

/// All that changes a payment, each on a payment of its own that nobody has locked.
async fn all_works(shop: &Shop) -> Vec<Work> {
    let (paid_with, display) = (json!({ "brand": "Visa", "last4": "1881" }), shop.payment("tok_ok").await);
    let archived = shop.payment("tok_ok").await;
    vec![
        Work::money(shop.payment("tok_ok").await, "authorizePayment", "29.90"),
        Work::money(shop.payment("tok_ok").await, "authorizeAndCapturePayment", "29.90"),
        Work::money(shop.authorized().await, "capturePayment", "29.90"),
        Work::money(shop.authorized().await, "reverseAuthorization", "29.90"),
        Work::money(shop.captured().await, "refundPayment", "29.90"),
        Work::money(shop.payment("tok_ok").await, "creditPayment", "5.00"),
        Work {
            input: json!({ "paymentId": display.id, "display": paid_with }),
            payment: display,
            mutation: "updatePayment",
        },
        Work { input: json!({ "paymentId": archived.id }), payment: archived, mutation: "archivePayment" },
        reported(shop).await,
        superseded(shop).await,
        cancelled(shop).await,
    ]
}

async fn reported(shop: &Shop) -> Work {
    let known = shop.known_to_ada().await;
    let input = json!({
        "attemptExternalId": known.session, "status": "PROCESSING", "totalAmount": "29.90", "currency": "EUR",
    });
    Work { payment: Payment { id: known.payment, order: known.order }, mutation: "updateAttemptToPay", input }
}

/// An attempt to pay what is due, which is more than the open attempt is for: that one has to be ended.
async fn superseded(shop: &Shop) -> Work {
    let order = shop.adas_order().await;
    let card = shop.payment_on(&order, "10.00", "tok_ok").await;
    shop.checkout().authorizes(&card, "10.00").await;
    shop.user("ada").attempts_to_pay(&order).await;
    shop.checkout().reverses(&card, "10.00").await;
    let seen = shop.user("ada").looks_at(&order).await;
    let id = seen["payments"][1]["id"].as_str().expect("the attempt's payment").to_owned();
    let input = json!({ "orderId": order, "returnUrl": "https://shop.example/thanks", "idempotencyKey": "supersede" });
    Work { payment: Payment { id, order }, mutation: "attemptToPayForOrder", input }
}

async fn cancelled(shop: &Shop) -> Work {
    let known = shop.known_to_ada().await;
    let input = json!({ "orderId": known.order });
    Work { payment: Payment { id: known.payment, order: known.order }, mutation: "cancelOrder", input }
}

/// The lock on a payment as anybody sees it: purpose, number and end; or null.
async fn lock_on(shop: &Shop, payment: &Payment) -> Value {
    let document = "query($id: ID!) { payment(id: $id) { lock { purpose fencingNumber expiresAt } } }";
    shop.checkout().sees(document, json!({ "id": payment.id })).await["payment"]["lock"].take()
}

// rules K1, K2, I2
async fn whatever_changes_a_payment_is_refused_while_somebody_else_holds_its_lock(shop: Shop) {
    let stocktaker = shop.service(&["locks:write"]);
    for work in all_works(&shop).await {
        let held = stocktaker.locks(&[&work.payment], json!({ "ttlSeconds": 60, "purpose": "stocktaking" })).await;
        let begun = Instant::now();

        let everybody = all_powerful(&shop);
        let (answer, problem) =
            shop.leaving_all_as_it_was(&[&work.payment], async || work.by(&everybody, json!({})).await).await;

        assert_eq!(answer, "PAYMENT_LOCKED", "{}", work.mutation);
        let told = json!([problem["paymentId"], problem["purpose"], problem["expiresAt"], problem["retryable"]]);
        assert_eq!(
            told,
            json!([work.payment.id, "stocktaking", held["locks"][0]["expiresAt"], true]),
            "{}",
            work.mutation
        );
        let wait = problem["retryAfterMs"].as_u64().expect("a time");
        assert!((1..=60_001).contains(&wait), "{wait}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{} waited", work.mutation);
        // It used up no key: what was refused is done under it.
        let token = held["locks"][0]["token"].as_str().expect("a token");
        assert!(stocktaker.unlocks(&work.payment, token).await);
        assert_eq!(work.by(&all_powerful(&shop), json!({})).await.0, "ok", "{}", work.mutation);
    }
}

// rule K1
async fn whatever_changes_a_payment_works_under_its_lock_and_leaves_it_held(shop: Shop) {
    let everybody = all_powerful(&shop);
    for work in all_works(&shop).await {
        let held = everybody.locks(&[&work.payment], json!({ "ttlSeconds": 60, "purpose": "mine" })).await;
        let token = held["locks"][0]["token"].as_str().expect("a token");
        let before = lock_on(&shop, &work.payment).await;

        let (answer, _) = work.by(&everybody, json!({ "lockToken": token })).await;

        assert_eq!((answer.as_str(), lock_on(&shop, &work.payment).await), ("ok", before), "{}", work.mutation);
        assert!(everybody.unlocks(&work.payment, token).await, "{}", work.mutation);
        assert_eq!(lock_on(&shop, &work.payment).await, Value::Null, "{}", work.mutation);
    }
}

// rule K1
async fn without_a_token_the_lock_is_free_afterwards_on_every_way_out(shop: Shop) {
    let ways = [
        ("tok_ok", None, "29.90", "SUCCEEDED 29.90"),
        ("tok_no_webhook", None, "29.90", "PENDING 29.90"),
        ("tok_declined_soft", None, "29.90", "FAILED 29.90"),
        ("tok_ok", None, "29.91", "AMOUNT_EXCEEDS_AVAILABLE"),
        ("tok_ok", Some("rejected"), "29.90", "FAILED 29.90 PROVIDER_UNAVAILABLE"),
        ("tok_ok", Some("error_500"), "29.90", "UNKNOWN 29.90 OUTCOME_UNKNOWN"),
        ("tok_ok", Some("answer_lost"), "29.90", "UNKNOWN 29.90 OUTCOME_UNKNOWN"),
        ("tok_ok", Some("request_lost"), "29.90", "UNKNOWN 29.90 OUTCOME_UNKNOWN"),
    ];
    for (method, fault, amount, outcome) in ways {
        let payment = shop.payment(method).await;
        if let Some(fault) = fault {
            shop.provider_will("run_transaction", fault).await;
        }

        let answer = shop.checkout().authorizes(&payment, amount).await;

        assert_eq!((outcome_of(&answer).as_str(), lock_on(&shop, &payment).await), (outcome, Value::Null));
    }
    let stale = shop.payment("tok_ok").await;
    let stale_version = json!({ "display": {}, "expectedVersion": 99 });
    assert_eq!(code(&shop.checkout().changes_payment(&stale, stale_version).await), "STALE_VERSION");
    assert_eq!(lock_on(&shop, &stale).await, Value::Null);
}

// rule K1
async fn a_provider_that_is_gone_leaves_no_lock_behind(shop: Shop) {
    let Mall { sandbox, servers, shops: [shop] } = Mall::open(&shop).await;
    let payment = shop.authorized().await;

    drop(sandbox);
    let captured = shop.checkout().captures(&payment, "29.90").await;

    assert_eq!(outcome_of(&captured), "FAILED 29.90 PROVIDER_UNAVAILABLE");
    assert_eq!(lock_on(&shop, &payment).await, Value::Null);
    drop(servers);
}

// rule P7
async fn news_of_a_session_is_taken_in_while_somebody_holds_the_lock(shop: Shop) {
    let (order, attempt) = shop.open_attempt().await;
    let id = shop.user("ada").looks_at(&order).await["payments"][0]["id"].as_str().expect("a payment").to_owned();
    let payment = Payment { id, order };
    let token = shop.checkout().locks_one(&payment).await;

    shop.hears(&News::that(&attempt, "succeeded")).await;

    assert_eq!(shop.statuses(&payment.order).await, json!(["PAID", ["SUCCEEDED"], ["ACTIVE"]]));
    assert!(shop.checkout().unlocks(&payment, &token).await, "the lock was taken away");
}

// rule P7
async fn news_of_a_transaction_is_taken_in_while_somebody_holds_the_lock(shop: Shop) {
    let payment = shop.payment("tok_async").await;
    let (checkout, office) = (shop.checkout(), shop.back_office());
    assert_eq!(outcome_of(&checkout.sells(&payment, "29.90").await), "PENDING 29.90");
    let locked = checkout.locks(&[&payment], json!({ "ttlSeconds": 60 })).await;

    eventually("the money has moved", async || {
        (office.sees_ledger(&payment).await == ["AUTHORIZE_AND_CAPTURE SUCCEEDED 29.90"]).then_some(())
    })
    .await;

    assert_eq!(shop.user("ada").looks_at(&payment.order).await["status"], "PAID");
    let token = locked["locks"][0]["token"].as_str().expect("a token");
    assert!(checkout.unlocks(&payment, token).await, "the lock was taken away");
}

// rules K1, K5, K7
async fn one_token_works_for_several_changes_and_none_shortens_the_lock(shop: Shop) {
    let (payment, everybody) = (shop.payment("tok_ok").await, all_powerful(&shop));
    let locked = everybody.locks(&[&payment], json!({ "ttlSeconds": 300 })).await;
    let token = locked["locks"][0]["token"].as_str().expect("a token");
    let before = lock_on(&shop, &payment).await;
    let works = [("authorizePayment", "29.90"), ("capturePayment", "9.90"), ("capturePayment", "10.00")]
        .into_iter()
        .chain([("refundPayment", "15.00"), ("reverseAuthorization", "10.00")]);

    for (mutation, amount) in works {
        let done = everybody.moves(mutation, &payment, amount, json!({ "lockToken": token })).await;
        assert_eq!(outcome_of(&done), format!("SUCCEEDED {amount}"), "{mutation}");
        assert_eq!(lock_on(&shop, &payment).await, before, "{mutation}");
    }
    let extended = everybody.extends(&payment, token, json!({ "ttlSeconds": 1 })).await;

    assert_eq!(extended["locks"][0]["expiresAt"], before["expiresAt"]);
    assert_eq!(lock_on(&shop, &payment).await, before);
    shop.books_agree(&[&payment]).await;
}

/// Asks for the lock again and again while a capture is under way that the provider takes five seconds for; gives how often.
async fn knocks_while_it_captures(shop: &Shop, payment: &Payment, more: Value) -> usize {
    shop.provider_will("run_transaction", "slow").await;
    let capturing = tokio::spawn({
        let (checkout, payment) = (shop.checkout(), payment.clone());
        async move { outcome_of(&checkout.moves("capturePayment", &payment, "29.90", more).await) }
    });
    shop.comes_to_have("payment_transaction WHERE kind = 'CAPTURE'").await;
    let mut knocks = 0;
    loop {
        let answer = shop.checkout().locks(&[payment], json!({})).await;
        // With the answer the lock is given back, a moment before it is told.
        if shop.count("payment_transaction WHERE kind = 'CAPTURE' AND status = 'SUCCEEDED'").await > 0 {
            break;
        }
        assert_eq!(code(&answer), "PAYMENT_LOCKED", "somebody got in, at knock {knocks}: {answer}");
        knocks += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(capturing.await.expect("an answer"), "SUCCEEDED 29.90");
    knocks
}

// rule K7: the lock is taken for three seconds, and held for five
async fn nobody_gets_in_while_the_server_waits_for_a_provider(shop: Shop) {
    let shop = shop.second(&["--payment-lock-ttl=3s"]).await;
    let payment = shop.authorized().await;

    let knocks = knocks_while_it_captures(&shop, &payment, json!({})).await;

    assert!(knocks > 5, "{knocks}");
    shop.stop().await;
}

// rule K7: a caller's lock, of which less is left than the provider takes
async fn nobody_gets_in_while_the_server_waits_for_a_provider_under_a_callers_lock(shop: Shop) {
    let payment = shop.authorized().await;
    let locked = shop.checkout().locks(&[&payment], json!({ "ttlSeconds": 3 })).await;

    let knocks = knocks_while_it_captures(&shop, &payment, json!({ "lockToken": locked["locks"][0]["token"] })).await;

    assert!(knocks > 5, "{knocks}");
}

// rule P6: no connection is held while another is waited for
async fn two_connections_are_enough_for_fifty_changes_at_once(shop: Shop) {
    let shop = shop.second(&["--database-connections=2"]).await;
    let mut payments = vec![];
    for _ in 0..50 {
        payments.push(shop.payment("tok_ok").await);
    }
    let mut working = tokio::task::JoinSet::new();
    for payment in payments {
        let checkout = shop.checkout();
        working.spawn(async move { outcome_of(&checkout.sells(&payment, "29.90").await) });
    }

    let done = working.join_all().await;

    assert_eq!(done, vec!["SUCCEEDED 29.90"; 50]);
    shop.stop().await;
}
