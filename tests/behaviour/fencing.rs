//! Whoever slept while its lock ran out, and does not know it, writes nothing and sends nothing any more (rules K5, P6 to P8).
//!
//! A server is stopped where it is by a signal, as a machine that hangs; meanwhile another one takes the lock and works. The database itself notes
//! what was written under which lock.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{
    Engine, Payment, Shop, code, eventually,
    gate::Gate,
    mall::{Mall, serve_with},
    outcome_of,
    process::Process,
    run,
    track::all_powerful,
};

on_each_database![
    a_holder_that_sleeps_while_the_provider_works_moves_no_money_twice,
    a_holder_that_slept_before_it_wrote_writes_and_sends_nothing,
    a_holder_that_slept_before_it_sent_once_more_sends_nothing,
    a_callers_lock_that_ran_out_while_its_holder_slept_is_lost,
    a_refusal_that_comes_late_is_not_the_last_word,
    a_refusal_that_comes_late_says_nothing_of_what_is_unknown,
];

const SETTINGS: [&str; 1] = ["--payment-lock-ttl=1s"];

/// A server that will sleep, and one that stays awake.
struct Night {
    mall: Mall<2>,
}

impl Night {
    async fn falls(shop: &Shop) -> Self {
        let mall = Mall::open_with(shop, &SETTINGS).await;
        mall.shops[1].hires_an_auditor().await;
        Self { mall }
    }

    fn sleeper(&self) -> &Shop {
        &self.mall.shops[0]
    }

    fn awake(&self) -> &Shop {
        &self.mall.shops[1]
    }

    /// The first server falls asleep, and its lock on this payment runs out.
    async fn sleeps_too_long(&self, payment: &Payment) {
        sleeps_too_long(&self.mall.servers[0], self.awake(), payment).await;
    }

    fn wakes(&self) {
        self.mall.servers[0].thaws();
    }
}

/// Falls asleep, though not in the middle of a database transaction: what is locked there is the database's to give back. Its lock on this payment
/// runs out, as anybody who is awake sees.
async fn sleeps_too_long(sleeper: &Process, awake: &Shop, payment: &Payment) {
    sleeper.freezes();
    while !awake.database().await.is_at_rest().await {
        sleeper.thaws();
        tokio::time::sleep(Duration::from_millis(5)).await;
        sleeper.freezes();
    }
    eventually("its lock has run out", async || {
        awake.checkout().sees_payment(payment).await["lock"].is_null().then_some(())
    })
    .await;
}

/// What it comes to goes on by itself.
fn begins(
    shop: &Shop,
    mutation: &'static str,
    payment: &Payment,
    amount: &'static str,
    more: Value,
) -> JoinHandle<String> {
    let (everybody, payment) = (all_powerful(shop), payment.clone());
    tokio::spawn(async move { outcome_of(&everybody.moves(mutation, &payment, amount, more).await) })
}

/// Waits until somebody holds the payment's lock for this.
async fn comes_to_hold(shop: &Shop, payment: &Payment, purpose: &str) {
    eventually("the lock is held", async || {
        (shop.checkout().sees_payment(payment).await["lock"]["purpose"] == purpose).then_some(())
    })
    .await;
}

/// What was written and what money moved, so far.
async fn deeds(shop: &Shop) -> (i64, Vec<(String, String, i64)>) {
    (shop.writes().await, shop.movements().await)
}

// rules K5, P7
async fn a_holder_that_sleeps_while_the_provider_works_moves_no_money_twice(shop: Shop) {
    let night = Night::falls(&shop).await;
    let payment = night.awake().authorized().await;
    night.awake().provider_will("run_transaction", "slow").await;
    let capturing = begins(night.sleeper(), "capturePayment", &payment, "29.90", json!({}));
    eventually("the money has moved", async || (night.awake().movements().await.len() == 2).then_some(())).await;
    night.sleeps_too_long(&payment).await;

    let another = all_powerful(night.awake()).captures(&payment, "29.90").await;
    let before = deeds(night.awake()).await;
    night.wakes();
    let captured = capturing.await.expect("an answer");

    assert_eq!([outcome_of(&another).as_str(), &captured], ["AMOUNT_EXCEEDS_AVAILABLE", "SUCCEEDED 29.90"]);
    assert_eq!(deeds(night.awake()).await, before);
    assert_eq!(night.awake().losses().await, 1);
    night.awake().numbers_never_go_down().await;
    night.awake().books_agree(&[&payment]).await;
}

/// A payment on which the answer to a capture of 10.00 is missing, for this reason, and whose next look-up at the provider takes five seconds.
async fn with_an_unanswered_capture(shop: &Shop, fault: &str) -> Payment {
    let payment = shop.authorized().await;
    shop.provider_will("run_transaction", fault).await;
    let unknown = shop.checkout().captures(&payment, "10.00").await;
    assert_eq!(outcome_of(&unknown), "UNKNOWN 10.00 OUTCOME_UNKNOWN");
    shop.provider_will("find_transaction", "slow").await;
    payment
}

/// The sleeper wants to capture 5.00, and asks first after what is unanswered. While it sleeps another one does that too, and captures 15.00.
async fn sleeps_while_it_asks(night: &Night, payment: &Payment, more: Value) -> String {
    let capturing = begins(night.sleeper(), "capturePayment", payment, "5.00", more);
    comes_to_hold(night.awake(), payment, "capturePayment").await;
    // Until it has asked; were it slower, it would be caught before.
    tokio::time::sleep(Duration::from_millis(300)).await;
    night.sleeps_too_long(payment).await;
    let another = all_powerful(night.awake()).captures(payment, "15.00").await;
    assert_eq!(outcome_of(&another), "SUCCEEDED 15.00");
    let before = deeds(night.awake()).await;
    night.wakes();
    let outcome = capturing.await.expect("an answer");
    assert_eq!(deeds(night.awake()).await, before, "{outcome}");
    outcome
}

async fn nothing_was_done(night: &Night, payment: &Payment, losses: i64) {
    let ledger = ["AUTHORIZE SUCCEEDED 29.90", "CAPTURE SUCCEEDED 10.00", "CAPTURE SUCCEEDED 15.00"];
    assert_eq!(night.awake().back_office().sees_ledger(payment).await, ledger);
    assert_eq!(night.awake().losses().await, losses);
    night.awake().numbers_never_go_down().await;
    night.awake().books_agree(&[payment]).await;
}

// rules K5, P6, R2: it has asked, the answer is old, and what it wants is still to be written
async fn a_holder_that_slept_before_it_wrote_writes_and_sends_nothing(shop: Shop) {
    let night = Night::falls(&shop).await;
    let payment = with_an_unanswered_capture(night.awake(), "answer_lost").await;

    let outcome = sleeps_while_it_asks(&night, &payment, json!({})).await;

    assert_eq!(outcome, "LOCK_LOST");
    nothing_was_done(&night, &payment, 1).await;
}

// rules K5, P8: it has heard that the provider knows of nothing, which was true when it was said
async fn a_holder_that_slept_before_it_sent_once_more_sends_nothing(shop: Shop) {
    let night = Night::falls(&shop).await;
    let payment = with_an_unanswered_capture(night.awake(), "request_lost").await;

    let outcome = sleeps_while_it_asks(&night, &payment, json!({})).await;

    assert_eq!(outcome, "LOCK_LOST");
    nothing_was_done(&night, &payment, 1).await;
}

// rules K1, K5
async fn a_callers_lock_that_ran_out_while_its_holder_slept_is_lost(shop: Shop) {
    let night = Night::falls(&shop).await;
    let payment = with_an_unanswered_capture(night.awake(), "request_lost").await;
    let input = json!({ "ttlSeconds": 1, "purpose": "capturePayment" });
    let locked = night.awake().checkout().locks(&[&payment], input).await;
    let token = locked["locks"][0]["token"].as_str().expect("a token");

    let outcome = sleeps_while_it_asks(&night, &payment, json!({ "lockToken": token })).await;

    assert_eq!(outcome, "LOCK_LOST");
    assert_eq!(code(&night.awake().checkout().extends(&payment, token, json!({})).await), "LOCK_LOST");
    nothing_was_done(&night, &payment, 1).await;
}

/// The provider refuses what the sleeper sends; before it hears of that, another sends the same under the same reference, and is served.
async fn hears_of_a_refusal_late(shop: &Shop, what_befalls_the_other: Option<&str>) {
    let Mall { sandbox, servers: [server], shops: [awake] } = Mall::open_with(shop, &SETTINGS).await;
    let gate = Gate::to(&sandbox.url).await;
    let sleeper = serve_with(shop.database_url(), &gate.url, &SETTINGS);
    let asleep = shop.at(&sleeper.url, &sandbox.url);
    let payment = awake.payment("tok_ok").await;
    for fault in [Some("rejected"), what_befalls_the_other].into_iter().flatten() {
        awake.provider_will("run_transaction", fault).await;
    }
    gate.shuts();
    let selling = begins(&asleep, "authorizeAndCapturePayment", &payment, "29.90", json!({}));
    gate.holds_an_answer().await;
    sleeps_too_long(&sleeper, &awake, &payment).await;

    // Whoever works on it now asks after it first; the provider has never heard of it, so it is sent once more.
    let other = json!({ "idempotencyKey": "other" });
    let other = all_powerful(&awake).moves("authorizeAndCapturePayment", &payment, "29.90", other).await;
    assert_eq!(
        (code(&other), awake.moved().await),
        (&json!("AMOUNT_EXCEEDS_AVAILABLE"), vec!["authorize_and_capture 2990".to_owned()])
    );
    gate.opens();
    sleeper.thaws();
    let told = selling.await.expect("an answer");
    let again = json!({ "idempotencyKey": "again" });
    let again = all_powerful(&awake).moves("authorizeAndCapturePayment", &payment, "29.90", again).await;

    assert_ne!(told, "FAILED 29.90 PROVIDER_UNAVAILABLE");
    assert_eq!(outcome_of(&again), "AMOUNT_EXCEEDS_AVAILABLE");
    assert_eq!(awake.moved().await, ["authorize_and_capture 2990"]);
    assert_eq!(awake.cases().await, Vec::<String>::new());
    drop((server, sleeper));
}

// rules P2, P8
async fn a_refusal_that_comes_late_is_not_the_last_word(shop: Shop) {
    hears_of_a_refusal_late(&shop, None).await;
}

// rules P2, P8: nobody knows yet what became of what the other sent
async fn a_refusal_that_comes_late_says_nothing_of_what_is_unknown(shop: Shop) {
    hears_of_a_refusal_late(&shop, Some("answer_lost")).await;
}

/// From now on the database takes longer to commit a capture than a lock lasts.
const SLOW_COMMITS: &str = "
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON payment_transaction DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.kind = 'CAPTURE') EXECUTE FUNCTION dawdle()";

// rules K5, P6: what is certainly never sent is told as such, and takes nothing from what is available
#[test]
fn what_was_written_and_not_sent_in_time_is_never_sent() {
    run(Engine::Postgres, async |shop| {
        let night = Night::falls(&shop).await;
        let payment = night.awake().authorized().await;
        shop.database().await.run(SLOW_COMMITS).await;

        let key = || json!({ "idempotencyKey": "late" });
        let late = begins(night.awake(), "capturePayment", &payment, "29.90", key()).await.expect("an answer");
        let again = begins(night.awake(), "capturePayment", &payment, "29.90", key()).await.expect("an answer");
        shop.database().await.run("DROP TRIGGER dawdle ON payment_transaction").await;
        let anew = begins(night.awake(), "capturePayment", &payment, "29.90", json!({})).await.expect("an answer");

        assert_eq!([late, again], ["FAILED 29.90 LOCK_LOST"; 2]);
        assert_eq!(anew, "SUCCEEDED 29.90");
        night.awake().books_agree(&[&payment]).await;
    });
}

// rules K5, P6, R2: another has sent what the sleeper had written
#[test]
fn a_holder_that_slept_before_it_sent_leaves_what_another_has_sent() {
    run(Engine::Postgres, async |shop| {
        let night = Night::falls(&shop).await;
        let payment = night.awake().authorized().await;
        shop.database().await.run(SLOW_COMMITS).await;
        let capturing = begins(night.sleeper(), "capturePayment", &payment, "29.90", json!({}));
        let commits = "pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
        night.awake().comes_to_have(commits).await;
        night.mall.servers[0].freezes();
        night.awake().comes_to_have("payment_transaction WHERE kind = 'CAPTURE'").await;

        let another = begins(night.awake(), "capturePayment", &payment, "29.90", json!({})).await.expect("an answer");
        let before = deeds(night.awake()).await;
        night.wakes();
        let captured = capturing.await.expect("an answer");

        assert_eq!([another.as_str(), &captured], ["AMOUNT_EXCEEDS_AVAILABLE", "SUCCEEDED 29.90"]);
        assert_eq!(deeds(night.awake()).await, before);
        night.awake().books_agree(&[&payment]).await;
    });
}

/// A server that hangs in the middle of a database transaction holds up those who want the same rows, though not for long.
#[test]
fn a_server_that_hangs_within_a_transaction_is_not_waited_for_for_ever() {
    run(Engine::Postgres, async |shop| {
        let night = Night::falls(&shop).await;
        let payment = night.awake().payment("tok_ok").await;
        let id = payment.id.trim_start_matches("pay_");
        // The last row that is written before the provider is asked.
        shop.database().await.run(&format!("BEGIN; SELECT 1 FROM payment WHERE id = '{id}' FOR UPDATE")).await;
        let hanging = begins(night.sleeper(), "authorizePayment", &payment, "29.90", json!({}));
        night
            .awake()
            .comes_to_have("pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
            .await;
        night.mall.servers[0].freezes();
        shop.database().await.run("ROLLBACK").await;
        night
            .awake()
            .comes_to_have("pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'")
            .await;

        let another =
            begins(night.awake(), "authorizePayment", &payment, "29.90", json!({ "idempotencyKey": "another" }));
        let answer = tokio::time::timeout(Duration::from_secs(15), another).await;

        night.wakes();
        let answer = answer.expect("it is answered within 15 s").expect("an answer");
        assert_eq!(answer, "SUCCEEDED 29.90");
        hanging.abort();
        night.awake().numbers_never_go_down().await;
        night.awake().books_agree(&[&payment]).await;
    });
}
