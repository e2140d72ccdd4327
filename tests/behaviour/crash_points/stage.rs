//! One playing of a story, in a shop of its own: what there is before is made by a server that lives, and the act is done by another process, which
//! may die of it. The first is also the one that comes after it.
//!
//! Its clock is moved past every lease, so that nobody has to wait: to it the dead server's time is up, as it would be for one that had waited. Locks
//! go by the database's clock, and are let run out there; their holder is dead and can't tell the difference.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use serde_json::Value;
use tokio::task::JoinSet;

use super::{
    moment::Moment,
    picture::picture,
    scene::{Scene, service},
    story::{Act, Story},
    victim::Victim,
};
use crate::support::{Engine, Shop, WEBHOOK_SECRET, eventually, outcome, run_with};

/// The living server's: it sees to things only when it is told to, and again after this.
const SETTINGS: [&str; 1] = ["--reconcile-after=30s"];
/// What is made before is older than the pauses of a reconciler.
const BEFORE: TimeDelta = TimeDelta::seconds(-60);
/// While the act is done the living server hears nothing from the provider, and afterwards neither: it takes what is signed so much too early or too
/// late for somebody else's. What it is told is told by the test.
const AWAY: TimeDelta = TimeDelta::minutes(-9);
const BACK: TimeDelta = TimeDelta::minutes(20);
/// From one round of the reconciler to the next.
const ROUND: TimeDelta = TimeDelta::minutes(1);
/// How long an answer is waited for.
const LONG: Duration = Duration::from_secs(30);
/// So long a client asks again that is told to: longer than the slowest answer of a provider.
const TRIES: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
/// What is on its way takes two seconds of the provider's, and a reconciler that has passed nothing for so long has nothing to do: it looks each second.
const QUIET: Duration = Duration::from_millis(2500);

/// What came of a story in which nobody died.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    pub moments: Vec<Moment>,
    /// What the client is told in the end.
    told: String,
    end: Vec<String>,
}

/// Who comes after the server that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The client, or the provider with its news: so many of them at once.
    Retries(usize),
    /// The reconciler. Then the client, late.
    Reconciler,
    /// The client and the reconciler at once.
    Both,
}

/// Plays a story by a server that lives. `None` where there is no database of that kind.
pub fn rehearse(engine: Engine, story: &Story) -> Option<Rehearsal> {
    let mut rehearsal = None;
    run_with(engine, &SETTINGS, async |shop| {
        let (scene, victim) = opens(&shop, story, None).await;
        let heard = does(story, &victim.shop, &scene, &victim).await;
        assert!(heard.is_some() || matches!(story.act, Act::Reconciles), "{}: cut", story.name);
        let moments = victim.passed();
        assert_eq!(victim.errors(), [""; 0], "{}", story.name);
        drop(victim);
        goes_on(&shop).await;
        let told = asks_until_told(&shop, story, &scene).await;
        rounds(&shop, story).await;
        is_calm(&shop).await;
        let end = picture(&service(&shop)).await;
        rehearsal = Some(Rehearsal { moments, told, end });
    });
    rehearsal
}

/// Plays a story by a server that dies at this moment, and looks at what becomes of it. Gives whether it died there.
pub fn crash(engine: Engine, story: &Story, moment: &Moment, after: After, rehearsal: &Rehearsal) -> bool {
    let mut died = false;
    run_with(engine, &SETTINGS, async |shop| {
        let (scene, mut victim) = opens(&shop, story, Some(moment)).await;
        let heard = does(story, &victim.shop, &scene, &victim).await;
        died = victim.dies().await;
        assert!(!died || heard.is_none(), "a dead server answered: {heard:?}");
        drop(victim);
        goes_on(&shop).await;
        let told = recovers(&shop, story, &scene, after).await;
        rounds(&shop, story).await;
        is_calm(&shop).await;
        let end = picture(&service(&shop)).await;
        if story.may_end_otherwise && end != rehearsal.end {
            return is_as_good(&end, &rehearsal.end);
        }
        assert_eq!(end, rehearsal.end, "nobody dies of it in the second");
        assert_eq!(in_the_end(told), in_the_end(rehearsal.told.clone()));
    });
    died
}

/// Money that is on its way arrives while somebody else looks: what was pending has succeeded a moment later.
fn in_the_end(told: String) -> String {
    told.replace("PENDING", "SUCCEEDED")
}

/// What there is before, and the server that is going to act.
async fn opens(shop: &Shop, story: &Story, dies_at: Option<&Moment>) -> (Scene, Victim) {
    shop.moves_time_by(BEFORE);
    let scene = Scene::set(story.before, shop).await;
    shop.moves_time_by(AWAY);
    let settings: &[&str] = if story.settings.is_empty() { &["--reconciler=off"] } else { story.settings };
    (scene, Victim::start(shop, settings, dies_at))
}

/// The act: what is answered, in one word; `None` where nothing is.
async fn does(story: &Story, shop: &Shop, scene: &Scene, victim: &Victim) -> Option<String> {
    match story.act {
        Act::Asked(mutation, input) => asks(shop, mutation, input(scene)).await.map(|answer| word(&answer, mutation)),
        Act::Told(body) => tells(shop, &body(scene)).await,
        Act::Reconciles => {
            victim.comes_to_rest(QUIET).await;
            None
        }
    }
}

async fn asks(shop: &Shop, mutation: &str, input: Value) -> Option<Value> {
    let selection =
        match input["amount"].is_object() && input["idempotencyKey"].is_string() && mutation != "createPayment" {
            true => "outcome { status }",
            false => "__typename",
        };
    service(shop).dares(mutation, input, selection, LONG).await
}

async fn tells(shop: &Shop, body: &str) -> Option<String> {
    let signature = orderpay::sandbox::sign(WEBHOOK_SECRET.as_bytes(), shop.now().timestamp(), body.as_bytes());
    let request = shop.client().post(shop.url("/webhooks/sandbox")).header("orderpay-signature", signature);
    let answer = request.header("content-type", "application/json").body(body.to_owned()).send().await.ok()?;
    Some(answer.status().as_u16().to_string())
}

/// The status of an outcome, or the code of a problem.
fn word(answer: &Value, mutation: &str) -> String {
    match (outcome(answer).as_str(), answer["data"][mutation]["outcome"]["status"].as_str()) {
        ("ok", Some(status)) => status.to_owned(),
        (word, _) => word.to_owned(),
    }
}

/// Whoever did the act is gone: time goes by.
async fn goes_on(shop: &Shop) {
    shop.moves_time_by(BACK);
    shop.lets_all_locks_run_out().await;
}

async fn recovers(shop: &Shop, story: &Story, scene: &Scene, after: After) -> String {
    match after {
        // What has no key is done as often as it is asked for.
        After::Retries(count) if count > 1 && has_a_key(story, scene) => {
            let mut clients = JoinSet::new();
            for _ in 0..count {
                let (shop, story, scene) = (shop.clone(), *story, scene.clone());
                clients.spawn(async move { asks_until_told(&shop, &story, &scene).await });
            }
            let mut told: Vec<String> = clients.join_all().await.into_iter().map(in_the_end).collect();
            told.dedup();
            assert_eq!(told.len(), 1, "{told:?}");
            told.remove(0)
        }
        After::Retries(_) => asks_until_told(shop, story, scene).await,
        After::Reconciler => {
            rounds(shop, story).await;
            is_calm(shop).await;
            asks_until_told(shop, story, scene).await
        }
        After::Both => {
            let (told, ()) = tokio::join!(asks_until_told(shop, story, scene), rounds(shop, story));
            told
        }
    }
}

fn has_a_key(story: &Story, scene: &Scene) -> bool {
    match story.act {
        Act::Asked(_, input) => input(scene)["idempotencyKey"].is_string(),
        Act::Told(_) => true,
        Act::Reconciles => false,
    }
}

/// Two rounds of the reconciler: nothing takes more (test P1), but where the provider fails once more in one of them.
async fn rounds(shop: &Shop, story: &Story) {
    let count = if story.before.meets_a_fault() { 3 } else { 2 };
    for _ in 0..count {
        shop.reconciles().await;
        shop.moves_time_by(ROUND);
    }
    // Of what the provider itself says is on its way, there is nothing to be known yet.
    eventually("what was on its way arrives", async || {
        if shop.count(ON_ITS_WAY).await == 0 {
            return Some(());
        }
        tokio::time::sleep(QUIET).await;
        shop.reconciles().await;
        shop.moves_time_by(ROUND);
        None
    })
    .await;
}

const ON_ITS_WAY: &str = "payment_transaction t WHERE status = 'PENDING'
    AND NOT EXISTS (SELECT 1 FROM reconciliation_case c WHERE c.transaction_id = t.id AND c.reason = 'AMOUNT_MISMATCH')";

/// Asks again as often as it is told to, and gives what it is told in the end.
async fn asks_until_told(shop: &Shop, story: &Story, scene: &Scene) -> String {
    let begun = Instant::now();
    let (mutation, mut input) = match story.act {
        Act::Asked(mutation, input) => (mutation, input(scene)),
        Act::Told(body) => return tells(shop, &body(scene)).await.expect("a living server answers"),
        Act::Reconciles => return String::new(),
    };
    loop {
        let answer = asks(shop, mutation, input.clone()).await.expect("a living server answers");
        let problem = &answer["data"][mutation]["problem"];
        if problem["code"] == "LOCK_LOST" && input["lockToken"].is_string() {
            // The lock is how it is done and not what.
            input["lockToken"] = Value::Null;
        } else if problem["retryable"] != true || begun.elapsed() > TRIES {
            return word(&answer, mutation);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Nothing is unanswered that nobody has to decide about, nothing is half undone, no key is left, and no lock of a server's is held.
async fn is_calm(shop: &Shop) {
    let seen = picture(&service(shop)).await;
    assert!(!seen.iter().any(|line| line.contains("locked:") && !line.ends_with("locked: till")), "{seen:#?}");
    let stuck = [
        "operation o WHERE state = 'IN_PROGRESS'
            AND NOT EXISTS (SELECT 1 FROM reconciliation_case c WHERE c.payment_id = o.payment_id AND c.reason = 'AMOUNT_MISMATCH')",
        "payment_attempt WHERE status = 'CREATED'",
        "payment_transaction t WHERE status IN ('SENT', 'UNKNOWN', 'PENDING')
            AND NOT EXISTS (SELECT 1 FROM reconciliation_case c WHERE c.transaction_id = t.id AND c.reason = 'AMOUNT_MISMATCH')",
        "payment_transaction WHERE status = 'SUCCEEDED' AND management_state IN ('REQUIRES_REVERSAL', 'REVERSAL_IN_PROGRESS')",
    ];
    for rows in stuck {
        assert_eq!(shop.count(rows).await, 0, "{rows}: {seen:#?}");
    }
}

/// Another end than where nobody dies: no more money moved for all that, both books know of it, and no second session is open.
fn is_as_good(end: &[String], rehearsed: &[String]) {
    let count = |lines: &[String], what: &str| lines.iter().filter(|line| line.contains(what)).count();
    let moved =
        |lines: &[String]| lines.iter().filter(|line| line.starts_with("    ") && line.contains(" SUCCEEDED ")).count();
    let open = |lines: &[String]| count(lines, ", open");
    let is_good =
        moved(end) <= moved(rehearsed).max(1) && open(end) <= open(rehearsed).max(1) && count(end, "nobody knows") == 0;
    assert!(is_good, "{end:#?} {rehearsed:#?}");
}
