//! Each method token, and what a shop that pays with it lives through.

use std::time::Instant;

use super::transactions::ask;
use super::*;

const KINDS: [&str; 6] =
    ["authorize", "authorize_and_capture", "detached_credit", "capture", "reverse_authorize", "refund"];

#[tokio::test]
async fn what_ends_at_once_says_so_and_sends_no_news() {
    let mut world = World::new().await;
    world.run(ask("held", "authorize", 10_000)).await;
    world.run(ask("taken", "capture", 5_000).on("held")).await;
    let failed = |code, decline| (json!("failed"), Value::Null, json!(code), json!(decline));
    let moved = |amount: i64| (json!("succeeded"), json!(amount), Value::Null, Value::Null);
    let cases = [
        ("tok_ok", [moved(42), moved(42)]),
        ("tok_declined_soft", [failed("card_declined", "soft"), moved(42)]),
        ("tok_declined_hard", [failed("card_declined", "hard"), moved(42)]),
        ("tok_wrong_amount", [moved(41), moved(41)]),
        ("tok_of_another_world", [failed("invalid_method", "hard"), failed("invalid_method", "hard")]),
        ("", [failed("invalid_method", "hard"), failed("invalid_method", "hard")]),
    ];
    for (method, [beginning, following]) in cases {
        for kind in KINDS {
            let reference = format!("{kind}-{method}");
            let (asked, expected) = match kind {
                "capture" | "reverse_authorize" => (ask(&reference, kind, 42).on("held"), &following),
                "refund" => (ask(&reference, kind, 42).on("taken"), &following),
                _ => (ask(&reference, kind, 42), &beginning),
            };
            let it = world.run(asked.by(method)).await;
            let failure = &it["failure"];
            let got =
                (it["status"].clone(), it["amount_moved"].clone(), failure["code"].clone(), failure["decline"].clone());
            assert_eq!(got, *expected, "{reference}");
            let books = it["amount_moved"].as_i64().map(|amount| format!("{kind} {amount}")).unwrap_or_default();
            assert_eq!(world.books(Some(&reference)).await, books, "{reference}");
        }
    }
    // Whoever is told comes after whatever these had to tell.
    world.run(ask("last", "authorize", 1).by("tok_duplicate_webhook")).await;
    assert_eq!(world.event().await["data"]["transaction"]["reference"], "last");
}

#[tokio::test]
async fn a_lost_answer_hides_money_that_moved() {
    let world = World::new().await;
    world.run(ask("held", "authorize", 100)).await;
    for (asked, books) in [
        (ask("a", "authorize", 100), "authorize 100"),
        (ask("b", "capture", 60).on("held"), "capture 60"),
        (ask("c", "capture", 60).on("held"), ""),
    ] {
        let asked = asked.by("tok_answer_lost");
        assert!(world.try_run(&asked).await.is_err());
        let (status, found) = world.found(&asked.reference).await;
        assert_eq!((status, world.try_run(&asked).await.unwrap()), (200, (200, found)));
        assert_eq!(world.books(Some(&asked.reference)).await, books);
    }
}

#[tokio::test]
async fn a_lost_request_and_an_error_move_nothing_until_they_are_repeated() {
    let world = World::new().await;
    for method in ["tok_request_lost", "tok_error_500"] {
        let asked = ask(method, "authorize_and_capture", 100).by(method);

        let first = world.try_run(&asked).await;
        match method {
            "tok_request_lost" => assert!(first.is_err()),
            _ => assert_eq!(first.unwrap().0, 500),
        }
        assert_eq!(world.found(method).await.1["error"]["code"], "transaction_not_found");
        assert_eq!(world.books(Some(method)).await, "");

        let (status, transaction) = world.try_run(&asked).await.unwrap();
        assert_eq!((status, &transaction["status"]), (201, &json!("succeeded")));
        assert_eq!(world.try_run(&asked).await.unwrap(), (200, transaction));
        assert_eq!(world.books(Some(method)).await, "authorize_and_capture 100");
    }
}

#[tokio::test]
async fn one_of_twenty_copies_is_the_first_and_meets_the_accident() {
    let world = Arc::new(World::new().await);
    for method in ["tok_answer_lost", "tok_request_lost"] {
        let mut copies = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (world, copy) = (Arc::clone(&world), ask(method, "authorize_and_capture", 100).by(method));
            copies.spawn(async move { world.try_run(&copy).await.is_err() });
        }
        let cut = copies.join_all().await.into_iter().filter(|cut| *cut).count();
        assert_eq!((cut, world.books(Some(method)).await.as_str()), (1, "authorize_and_capture 100"), "{method}");
    }
}

#[tokio::test]
async fn a_lost_request_is_remembered_by_the_next_process() {
    let mut world = World::new().await;
    let asked = ask("a", "authorize", 100).by("tok_request_lost");
    assert!(world.try_run(&asked).await.is_err());

    let next = world.place.open(TTL, Limits::default()).await;
    world.sandbox = format!("http://{}", serve(next.router()).await);

    assert_eq!(world.try_run(&asked).await.unwrap().0, 201);
}

#[tokio::test]
async fn a_slow_answer_comes_long_after_the_money_moved() {
    let world = Arc::new(World::new().await);
    let asked = ask("a", "authorize_and_capture", 100).by("tok_slow");
    let began = Instant::now();
    let answer = tokio::spawn({
        let (world, asked) = (Arc::clone(&world), asked.clone());
        async move { world.try_run(&asked).await.unwrap() }
    });

    while world.found("a").await.0 == 404 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.books(Some("a")).await, "authorize_and_capture 100");
    assert_eq!(world.try_run(&asked).await.unwrap().0, 200);
    assert!(!answer.is_finished());

    let (status, transaction) = answer.await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(5));
    assert_eq!((status, &transaction["status"]), (201, &json!("succeeded")));
}

#[tokio::test]
async fn what_is_pending_tells_what_its_token_promises() {
    let mut world = World::new().await;
    let (pending, succeeded) = ("transaction.pending", "transaction.succeeded");
    let cases: [(&'static str, &[&str]); 4] = [
        ("tok_async", &[pending, succeeded]),
        ("tok_duplicate_webhook", &[pending, succeeded, succeeded, succeeded]),
        ("tok_reordered_webhooks", &[succeeded, pending]),
        ("tok_no_webhook", &[]),
    ];
    for (method, events) in cases {
        let held = world.run(ask(method, "authorize", 100).by(method)).await;
        assert_eq!((&held["status"], &held["amount_moved"]), (&json!("pending"), &Value::Null), "{method}");

        let mut ids = Vec::new();
        for kind in events {
            let event = world.event().await;
            let told = &event["data"]["transaction"];
            assert_eq!((&event["type"], &told["id"]), (&json!(kind), &held["id"]), "{method}");
            assert_eq!(told["status"], kind.strip_prefix("transaction.").unwrap(), "{method}");
            if *kind == pending {
                assert_eq!(*told, held);
            }
            ids.push(event["id"].clone());
        }
        // The same news however often, but other news under another id.
        ids.dedup();
        assert_eq!(ids.len(), events.len().min(2), "{method}");

        while world.found(method).await.1["status"] == "pending" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (_, transaction) = world.found(method).await;
        assert_eq!(transaction["amount_moved"], 100);
        assert_eq!(world.books(Some(method)).await, "authorize 100");
        assert!(world.heard.try_recv().is_err(), "{method} told more than it should");
    }
    world.run(ask("last", "authorize", 1).by("tok_async")).await;
    assert_eq!(world.event().await["data"]["transaction"]["reference"], "last");
}

#[tokio::test]
async fn money_on_its_way_takes_its_two_seconds() {
    let mut world = World::new().await;
    let began = Instant::now();
    world.run(ask("a", "authorize", 100).by("tok_async")).await;

    assert_eq!(world.news().await, "transaction.pending");
    assert_eq!(world.books(Some("a")).await, "");
    assert_eq!(world.found("a").await.1["status"], "pending");
    assert_eq!(world.news().await, "transaction.succeeded");

    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(world.books(Some("a")).await, "authorize 100");
}

#[tokio::test]
async fn refused_news_of_a_transaction_comes_again_and_nothing_overtakes_it() {
    let mut world = World::new().await;
    world.answers.lock().unwrap().extend([503, 503]);

    world.run(ask("a", "authorize", 100).by("tok_duplicate_webhook")).await;

    let mut told = Vec::new();
    for _ in 0..6 {
        told.push(world.event().await);
    }
    assert_eq!((&told[0]["id"], &told[1]["id"]), (&told[1]["id"], &told[2]["id"]));
    let kinds: Vec<_> = told[2..].iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["transaction.pending", "transaction.succeeded", "transaction.succeeded", "transaction.succeeded"]
    );
}

#[tokio::test]
async fn whoever_looks_catches_up_with_time_where_no_worker_does() {
    let (world, _) = World::without_worker(Limits::default()).await;
    world.run(ask("held", "authorize", 100).by("tok_no_webhook")).await;
    let (_, session) = world.call("/v1/sessions", world.wish("hosted", 60)).await.unwrap();
    world.press(session["id"].as_str().unwrap(), "outcome=pay&method=tok_async").await;
    tokio::time::sleep(Duration::from_millis(2100)).await;

    // Those that act on them are the first to look again.
    assert_eq!(world.outcome(ask("a", "capture", 60).on("held")).await, "succeeded");
    assert_eq!(world.outcome(ask("b", "refund", 60).on("hosted")).await, "succeeded");

    let later = ask("c", "capture", 40).on("held").by("tok_no_webhook");
    assert_eq!(world.outcome(later.clone()).await, "pending");
    tokio::time::sleep(Duration::from_millis(120)).await;
    // So is a repeat.
    assert_eq!(world.try_run(&later).await.unwrap().1["status"], "succeeded");
    assert_eq!(world.books(None).await, "authorize 100, capture 60, authorize_and_capture 60, refund 60, capture 40");
}

#[tokio::test]
async fn the_worker_is_up_when_money_arrives() {
    let (world, alone) = World::without_worker(Limits::default()).await;
    world.run(ask("a", "authorize", 100).by("tok_no_webhook")).await;

    assert!(alone.0.store.quiet_for().await.unwrap() <= Duration::from_millis(100));
}
