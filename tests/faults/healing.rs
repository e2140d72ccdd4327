//! After the storm: everybody is there and hears each other, and what is unanswered has to settle by itself (F17).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::spawn_blocking;

use crate::{
    books::Books,
    clients::Clients,
    stage::{Stage, guard},
    support::{database::Look, dice::Dice},
    wrong::{Kind, Wrong},
};

/// So long it may take.
const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);
/// So many keys are asked again that money moved under, and so many that something was made under.
const MOST_MOVED: usize = 300;
const MOST_MADE: usize = 150;

/// What must not be there once all is settled: what it is, and the rows in words. What waits for a person because the provider told of other money than
/// was asked for is settled as far as a machine can.
const UNSETTLED: [(&str, &str); 6] = [
    (
        "a transaction is unanswered",
        "SELECT reference || ' ' || kind || ' ' || status || ', ' || checks || ' checks' AS row FROM payment_transaction t
         WHERE status IN ('SENT', 'PENDING', 'UNKNOWN')
            AND NOT EXISTS (SELECT 1 FROM reconciliation_case c WHERE c.transaction_id = t.id AND c.reason <> 'OUTCOME_UNKNOWN')",
    ),
    (
        "money is to be given back",
        "SELECT reference || ' ' || status || ' ' || management_state AS row FROM payment_transaction t
         WHERE management_state IN ('REQUIRES_REVERSAL', 'REVERSAL_IN_PROGRESS') AND status <> 'FAILED'
            AND NOT EXISTS (SELECT 1 FROM reconciliation_case c
                WHERE c.payment_id = t.payment_id AND c.reason <> 'OUTCOME_UNKNOWN')",
    ),
    ("an attempt has no session", "SELECT reference AS row FROM payment_attempt WHERE status = 'CREATED'"),
    ("an operation has not ended", OPERATIONS),
    (
        "a lock is held",
        "SELECT payment_id || ' ' || coalesce(purpose, '') AS row FROM payment_lock WHERE expires_at > clock_timestamp()",
    ),
    (
        "news was not taken in",
        "SELECT event_id || ' ' || external_id AS row FROM provider_event e WHERE state = 'PARKED'
            AND (EXISTS (SELECT 1 FROM payment_attempt a WHERE a.external_id = e.external_id)
              OR EXISTS (SELECT 1 FROM payment_transaction t WHERE t.reference = e.external_id))",
    ),
];

/// Those that nobody can be at work on any more.
const OPERATIONS: &str = "
SELECT mutation || ' ' || idempotency_key AS row FROM operation o
WHERE state = 'IN_PROGRESS' AND lease_expires_at < clock_timestamp() - interval '5 seconds'
    AND NOT EXISTS (SELECT 1 FROM payment_transaction t JOIN reconciliation_case c ON c.transaction_id = t.id
        WHERE t.source_entity_id = o.idempotency_key AND c.reason <> 'OUTCOME_UNKNOWN')";

/// Those that somebody may still be at work on, as far as anybody can know: a refund of several captures is given the time of several calls.
const LEASED: &str = "
SELECT count(*) AS n FROM operation
WHERE state = 'IN_PROGRESS' AND lease_expires_at >= clock_timestamp() - interval '5 seconds'";

/// How long it took, and what is not settled even so.
pub async fn settles(stage: &Arc<Stage>, clients: &Arc<Clients>) -> (Duration, Vec<Wrong>) {
    let healing = Arc::clone(stage);
    spawn_blocking(move || healing.heals()).await.expect("everybody is there");
    let begun = Instant::now();
    let returning = tokio::spawn(shoppers_return(Arc::clone(clients)));
    let look = Look::at(&stage.database_url()).await;
    loop {
        let (left, leased) = (unsettled(&look).await, look.number(LEASED).await);
        let is_settled = left.is_empty() && leased == 0 && returning.is_finished();
        let is_late = begun.elapsed() > LIMIT && !left.is_empty();
        if is_settled || is_late || begun.elapsed() > 3 * LIMIT {
            return (begun.elapsed(), left);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn unsettled(look: &Look) -> Vec<Wrong> {
    let mut left = vec![];
    for (what, sql) in UNSETTLED {
        let rows = look.texts(sql, "row").await;
        left.extend(rows.into_iter().map(|row| Wrong::new(Kind::Unsettled, format!("{what}: {row}"))));
    }
    left
}

/// Whoever paid on the provider's page comes back to the shop at last: of some of them the provider never told.
async fn shoppers_return(clients: Arc<Clients>) {
    let mut dice = Dice(0);
    let all = guard(&clients.all).clone();
    for order in all {
        let visited = guard(&order.visited).clone();
        for attempt in visited {
            clients.returns(&mut dice, &attempt).await;
        }
    }
}

/// Sends what was written under these keys once more, so many of each kind: nothing may move by it, and nothing be made. Gives the keys that were sent.
pub async fn asks_again(clients: &Arc<Clients>, books: &Books) -> Vec<String> {
    let (mut dice, mut asked) = (Dice(1), vec![]);
    let (moved, made) = (books.answered_keys(), books.made_keys());
    for key in moved.into_iter().take(MOST_MOVED).chain(made.into_iter().take(MOST_MADE)) {
        let Some(entry) = clients.told.entry(&key) else { continue };
        let selection = match entry.mutation {
            "createOrder" => "order { id }",
            "createPayment" => "payment { id }",
            "attemptToPayForOrder" => "attempt { id }",
            _ => "replayed outcome { status amount { amount } }",
        };
        clients.sends(&mut dice, entry.mutation, &key, &entry.input, selection).await;
        asked.push(key);
    }
    asked
}
