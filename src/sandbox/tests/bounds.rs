//! How much of an earlier transaction others may take, whoever asks first, and what a limited provider does not do.

use super::transactions::ask;
use super::*;

impl World {
    async fn limited(limits: Limits) -> Self {
        Self::with(TTL, limits).await
    }
}

#[tokio::test]
async fn captures_and_reversals_never_exceed_their_authorization() {
    let world = World::new().await;
    world.run(ask("a", "authorize", 100)).await;
    let mut outcomes = Vec::new();
    for (number, (kind, amount)) in [
        ("capture", 101),
        ("capture", 60),
        ("reverse_authorize", 41),
        ("reverse_authorize", 30),
        ("capture", 11),
        ("capture", 10),
        ("capture", 1),
    ]
    .into_iter()
    .enumerate()
    {
        outcomes.push(world.outcome(ask(&format!("b{number}"), kind, amount).on("a")).await);
    }
    let (good, bad) = ("succeeded", "amount_too_large");
    assert_eq!(outcomes, [bad, good, bad, good, bad, good, bad]);
    assert_eq!(world.books(None).await, "authorize 100, capture 60, reverse_authorize 30, capture 10");
    let (_, failed) = world.found("b0").await;
    assert_eq!((&failed["status"], &failed["failure"]["decline"]), (&json!("failed"), &Value::Null));
}

#[tokio::test]
async fn refunds_never_exceed_what_was_taken() {
    let mut world = World::new().await;
    world.run(ask("held", "authorize", 100)).await;
    world.run(ask("captured", "capture", 60).on("held")).await;
    world.run(ask("charged", "authorize_and_capture", 60)).await;
    let (_, session) = world.call("/v1/sessions", world.wish("hosted", 60)).await.unwrap();
    assert_eq!(world.outcome(ask("early", "refund", 1).on("hosted")).await, "parent_unsuitable");
    world.press(session["id"].as_str().unwrap(), "outcome=pay").await;

    for parent in ["captured", "charged", "hosted"] {
        let refund = |name: &str, amount| world.outcome(ask(&format!("{parent}-{name}"), "refund", amount).on(parent));
        let outcomes = [refund("a", 61).await, refund("b", 40).await, refund("c", 21).await, refund("d", 20).await];
        let (good, bad) = ("succeeded", "amount_too_large");
        assert_eq!(outcomes, [bad, good, bad, good], "{parent}");
        assert_eq!(world.outcome(ask(&format!("{parent}-e"), "capture", 1).on(parent)).await, "parent_unsuitable");
    }
    // Three refunds of 60 in all, and nothing told by any of them.
    assert_eq!(world.books(None).await.matches("refund").count(), 6);
    assert_eq!([world.news().await, world.news().await], ["session.pending", "session.succeeded"]);
    assert!(world.heard.try_recv().is_err());
}

#[tokio::test]
async fn what_a_session_received_is_what_may_be_refunded() {
    let mut world = World::new().await;
    let id = world.session("a").await;
    world.press(&id, "outcome=pay&method=tok_wrong_amount").await;

    assert_eq!(world.outcome(ask("b", "refund", 4200).on("a")).await, "amount_too_large");
    assert_eq!(world.outcome(ask("c", "refund", 4199).on("a")).await, "succeeded");
}

#[tokio::test]
async fn what_is_not_there_not_done_or_of_another_kind_is_no_parent() {
    let world = World::new().await;
    world.run(ask("authorize", "authorize", 100)).await;
    world.run(ask("charge", "authorize_and_capture", 100)).await;
    world.run(ask("credit", "detached_credit", 100)).await;
    world.run(ask("declined", "authorize", 100).by("tok_declined_soft")).await;
    world.run(ask("reversal", "reverse_authorize", 10).on("authorize")).await;
    world.run(ask("refund", "refund", 10).on("charge")).await;
    let cases = [
        ("capture", ["charge", "credit", "declined", "reversal", "nowhere", "x0"]),
        ("reverse_authorize", ["charge", "credit", "declined", "refund", "nowhere", "x1"]),
        ("refund", ["authorize", "credit", "declined", "refund", "nowhere", "x2"]),
    ];
    for (number, (kind, parents)) in cases.into_iter().enumerate() {
        for parent in parents {
            let reference = if parent.starts_with('x') { parent.to_owned() } else { format!("{number}{parent}") };
            let it = world.run(ask(&reference, kind, 1).on(parent)).await;
            assert_eq!(it["failure"]["code"], "parent_unsuitable", "{kind} on {parent}");
            assert_eq!(it["failure"]["decline"], Value::Null);
            assert_eq!(world.books(Some(&reference)).await, "");
        }
    }
    world.run(ask("pending", "authorize", 100).by("tok_async")).await;
    assert_eq!(world.outcome(ask("early", "capture", 1).on("pending")).await, "parent_unsuitable");
    let mut dollars = ask("dollars", "capture", 1).on("authorize").body(&world.shop);
    dollars["currency"] = json!("USD");
    let (_, it) = world.call("/v1/transactions", Some(dollars)).await.unwrap();
    assert_eq!(it["failure"]["code"], "parent_unsuitable");
}

#[tokio::test]
async fn what_is_pending_holds_its_share() {
    let world = World::new().await;
    world.run(ask("a", "authorize", 100)).await;
    world.run(ask("charge", "authorize_and_capture", 100)).await;

    assert_eq!(world.outcome(ask("b", "capture", 70).on("a").by("tok_async")).await, "pending");
    assert_eq!(world.outcome(ask("c", "capture", 31).on("a")).await, "amount_too_large");
    assert_eq!(world.outcome(ask("d", "reverse_authorize", 30).on("a").by("tok_async")).await, "pending");
    assert_eq!(world.outcome(ask("e", "capture", 1).on("a")).await, "amount_too_large");
    assert_eq!(world.outcome(ask("f", "refund", 100).on("charge").by("tok_async")).await, "pending");
    assert_eq!(world.outcome(ask("g", "refund", 1).on("charge")).await, "amount_too_large");
}

#[tokio::test]
async fn a_wrong_amount_counts_as_what_it_truly_moved() {
    let world = World::new().await;
    world.run(ask("a", "authorize", 100).by("tok_wrong_amount")).await;

    assert_eq!(world.outcome(ask("b", "capture", 100).on("a")).await, "amount_too_large");
    assert_eq!(world.outcome(ask("c", "capture", 99).on("a").by("tok_wrong_amount")).await, "succeeded");
    // One unit is left, and this card would move two.
    assert_eq!(world.outcome(ask("d", "capture", 1).on("a").by("tok_wrong_amount")).await, "amount_too_large");
    assert_eq!(world.outcome(ask("e", "capture", 1).on("a")).await, "succeeded");
    assert_eq!(world.books(None).await, "authorize 99, capture 98, capture 1");
}

#[tokio::test]
async fn of_two_captures_of_the_whole_exactly_one_succeeds() {
    let world = World::new().await;
    // A process of its own on the same file, as two copies of a provider would be.
    let other = world.place.open(TTL, Limits::default()).await;
    let there = format!("http://{}/v1/transactions", serve(other.router()).await);
    for round in 0..10 {
        let parent = format!("a{round}");
        world.run(ask(&parent, "authorize", 100)).await;
        let second = ask(&format!("c{round}"), "capture", 100).on(&parent).body(&world.shop);
        let second = world.client.post(&there).bearer_auth(api_key(SECRET)).json(&second);

        let (first, second) =
            tokio::join!(world.outcome(ask(&format!("b{round}"), "capture", 100).on(&parent)), second.send());

        let second: Value = second.unwrap().json().await.unwrap();
        let second = second["failure"]["code"].as_str().or(second["status"].as_str()).unwrap();
        let mut outcomes = [first.as_str(), second];
        outcomes.sort_unstable();
        assert_eq!(outcomes, ["amount_too_large", "succeeded"]);
    }
}

#[tokio::test]
async fn a_crowd_takes_no_more_than_there_is() {
    let world = Arc::new(World::new().await);
    world.run(ask("a", "authorize", 100)).await;
    let mut crowd = tokio::task::JoinSet::new();
    for number in 0..40 {
        let kind = if number % 3 == 0 { "reverse_authorize" } else { "capture" };
        let method = if number % 4 == 0 { "tok_async" } else { "tok_ok" };
        let asked = ask(&format!("b{number}"), kind, 7).on("a").by(method);
        let world = Arc::clone(&world);
        crowd.spawn(async move { world.outcome(asked).await });
    }
    let outcomes = crowd.join_all().await;

    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "amount_too_large").count(), 40 - 14);
}

#[tokio::test]
async fn a_provider_of_single_captures_takes_no_second_one() {
    let world = World::limited(Limits { single_capture: true, ..Limits::default() }).await;
    for parent in ["a", "b"] {
        world.run(ask(parent, "authorize", 100)).await;
    }
    assert_eq!(world.outcome(ask("a0", "capture", 101).on("a")).await, "amount_too_large");
    assert_eq!(world.outcome(ask("a1", "capture", 10).on("a")).await, "succeeded");
    assert_eq!(world.outcome(ask("a2", "capture", 10).on("a")).await, "not_supported");
    // What is left may still be given back, and what is pending is a capture too.
    assert_eq!(world.outcome(ask("a3", "reverse_authorize", 90).on("a")).await, "succeeded");
    assert_eq!(world.outcome(ask("b1", "capture", 10).on("b").by("tok_async")).await, "pending");
    assert_eq!(world.outcome(ask("b2", "capture", 10).on("b")).await, "not_supported");
}

#[tokio::test]
async fn a_capture_that_ends_its_authorization_releases_the_rest() {
    let world = World::limited(Limits { capture_ends_authorization: true, ..Limits::default() }).await;
    for parent in ["a", "b", "c"] {
        world.run(ask(parent, "authorize", 100)).await;
    }
    world.run(ask("v", "reverse_authorize", 30).on("a")).await;

    let captured = world.run(ask("a1", "capture", 50).on("a")).await;
    assert_eq!((&captured["amount_moved"], &captured["amount_released"]), (&json!(50), &json!(20)));
    assert_eq!(world.books(Some("a1")).await, "capture 50, release 20");
    assert_eq!(world.outcome(ask("a2", "capture", 1).on("a")).await, "amount_too_large");
    assert_eq!(world.outcome(ask("a3", "reverse_authorize", 1).on("a")).await, "amount_too_large");
    // What was released was never taken: only the capture can be given back.
    assert_eq!(world.outcome(ask("a4", "refund", 51).on("a1")).await, "amount_too_large");
    assert_eq!(world.outcome(ask("a5", "refund", 50).on("a1")).await, "succeeded");

    let whole = world.run(ask("b1", "capture", 100).on("b")).await;
    assert_eq!((&whole["amount_released"], world.books(Some("b1")).await.as_str()), (&Value::Null, "capture 100"));

    let short = world.run(ask("c1", "capture", 100).on("c").by("tok_wrong_amount")).await;
    assert_eq!((&short["amount_moved"], &short["amount_released"]), (&json!(99), &json!(1)));
}

#[tokio::test]
async fn a_pending_capture_releases_when_it_succeeds_and_only_what_nobody_holds() {
    let mut world = World::limited(Limits { capture_ends_authorization: true, ..Limits::default() }).await;
    world.run(ask("a", "authorize", 100)).await;

    assert_eq!(world.outcome(ask("b", "capture", 30).on("a").by("tok_async")).await, "pending");
    assert_eq!(world.outcome(ask("c", "capture", 20).on("a").by("tok_no_webhook")).await, "pending");
    assert_eq!(world.news().await, "transaction.pending");
    let told = world.event().await;

    assert_eq!(told["data"]["transaction"]["reference"], "b");
    assert_eq!(told["data"]["transaction"]["amount_released"], Value::Null);
    assert_eq!(world.books(None).await, "authorize 100, capture 20, release 50, capture 30");
}

#[tokio::test]
async fn captures_that_nobody_looked_at_release_in_the_order_in_which_they_were_due() {
    let (world, _) = World::without_worker(Limits { capture_ends_authorization: true, ..Limits::default() }).await;
    world.run(ask("a", "authorize", 100)).await;
    world.run(ask("late", "capture", 20).on("a").by("tok_async")).await;
    world.run(ask("early", "capture", 30).on("a").by("tok_no_webhook")).await;
    tokio::time::sleep(Duration::from_millis(2100)).await;

    assert_eq!(world.found("late").await.1["amount_released"], Value::Null);

    assert_eq!(world.books(None).await, "authorize 100, capture 30, release 50, capture 20");
}

#[tokio::test]
async fn a_provider_of_whole_reversals_reverses_all_that_is_left() {
    let world = World::limited(Limits { no_partial_reversal: true, ..Limits::default() }).await;
    world.run(ask("a", "authorize", 100)).await;
    world.run(ask("b", "capture", 30).on("a")).await;

    let mut outcomes = Vec::new();
    for amount in [69, 71, 70] {
        outcomes.push(world.outcome(ask(&amount.to_string(), "reverse_authorize", amount).on("a")).await);
    }

    assert_eq!(outcomes, ["not_supported", "amount_too_large", "succeeded"]);
    assert_eq!(world.books(None).await, "authorize 100, capture 30, reverse_authorize 70");
}
