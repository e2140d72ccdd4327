//! The outbox: what the shop has yet to hear, kept until it has heard it.
//!
//! Sends nothing itself, and changes nothing that it tells of. An event leaves it by being acknowledged or by being three days old.

use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::{ConnectionTrait, DatabaseTransaction, FromQueryResult};

use super::rows::sql;
use super::store::Store;
use super::webhook::Event;
use super::{SandboxError, now};

/// After which an event that nobody takes is given up.
const GIVEN_UP_AFTER: TimeDelta = TimeDelta::days(3);
/// The longest that the worker sleeps: another process may share the store, and its news rings no bell here.
const LONGEST_QUIET: Duration = Duration::from_secs(5);

/// An event whose turn it is.
#[derive(FromQueryResult)]
pub struct Due {
    position: i64,
    /// The session or the transaction that it tells of.
    pub subject: String,
    pub webhook_url: String,
    pub body: String,
    attempts: i64,
    due_at: i64,
    created_at: i64,
}

impl Store {
    /// Writes an event in the transaction of the change that it tells of.
    pub(super) async fn tell(
        &self,
        tx: &DatabaseTransaction,
        event: &Event<'_>,
        copies: i64,
    ) -> Result<(), SandboxError> {
        let now = event.created_at.timestamp_millis();
        tx.execute_raw(sql(
            "INSERT INTO sandbox_event (subject, webhook_url, body, state, copies_left, attempts, due_at, created_at)
             VALUES (?, ?, ?, 'due', ?, 0, ?, ?)",
            [
                event.subject.into(),
                event.webhook_url.into(),
                event.body()?.into(),
                copies.into(),
                now.into(),
                now.into(),
            ],
        ))
        .await?;
        Ok(())
    }

    /// The first event of a subject that was not delivered yet, if its time has come. Those behind it wait for it.
    pub async fn next_event(&self, subject: &str) -> Result<Option<Due>, SandboxError> {
        let statement = sql(
            "SELECT position, subject, webhook_url, body, attempts, due_at, created_at FROM sandbox_event
             WHERE subject = ? AND state = 'due' ORDER BY position LIMIT 1",
            [subject.into()],
        );
        let first = Due::find_by_statement(statement).one(&self.db).await?;
        Ok(first.filter(|event| event.due_at <= now().timestamp_millis()))
    }

    pub async fn record(&self, event: &Due, acknowledged: bool) -> Result<(), SandboxError> {
        let now = now().timestamp_millis();
        let statement = if acknowledged {
            sql(
                "UPDATE sandbox_event
                 SET copies_left = copies_left - 1, state = CASE copies_left WHEN 1 THEN 'delivered' ELSE 'due' END
                 WHERE position = ? AND state = 'due'",
                [event.position.into()],
            )
        } else {
            let given_up = now - event.created_at >= GIVEN_UP_AFTER.num_milliseconds();
            sql(
                "UPDATE sandbox_event SET attempts = attempts + 1, due_at = ?, state = ? WHERE position = ? AND state = 'due'",
                [
                    (now + pause_after(event.attempts + 1).num_milliseconds()).into(),
                    if given_up { "abandoned" } else { "due" }.into(),
                    event.position.into(),
                ],
            )
        };
        self.db.execute_raw(statement).await?;
        Ok(())
    }

    /// Sessions and transactions whose next event is due.
    pub async fn subjects_with_news(&self) -> Result<Vec<String>, SandboxError> {
        let statement = sql(
            "SELECT e.subject FROM sandbox_event e
             WHERE e.state = 'due' AND e.due_at <= ? AND NOT EXISTS (
                 SELECT 1 FROM sandbox_event earlier
                 WHERE earlier.subject = e.subject AND earlier.state = 'due' AND earlier.position < e.position)
             ORDER BY e.due_at LIMIT 64",
            [now().timestamp_millis().into()],
        );
        let rows = self.db.query_all_raw(statement).await?;
        rows.iter().map(|row| Ok(row.try_get("", "subject")?)).collect()
    }

    /// How long nothing will be due, as far as the store knows.
    pub async fn quiet_for(&self) -> Result<Duration, SandboxError> {
        // Only heads of a queue count: what waits behind a refused event is due already, and waking for it would be a busy loop.
        let statement = sql(
            "SELECT MIN(at) AS at FROM (
                 SELECT MIN(expires_at) AS at FROM sandbox_session WHERE status = 'open'
                 UNION ALL
                 SELECT MIN(settles_at) FROM sandbox_session WHERE status = 'processing'
                 UNION ALL
                 SELECT MIN(settles_at) FROM sandbox_transaction WHERE status = 'pending'
                 UNION ALL
                 SELECT MIN(due_at) FROM sandbox_event WHERE position IN (
                     SELECT MIN(position) FROM sandbox_event WHERE state = 'due' GROUP BY subject))",
            [],
        );
        let Some(row) = self.db.query_one_raw(statement).await? else {
            return Ok(LONGEST_QUIET);
        };
        let Some(at) = row.try_get::<Option<i64>>("", "at")? else {
            return Ok(LONGEST_QUIET);
        };
        let wait = u64::try_from(at - now().timestamp_millis()).unwrap_or(0);
        Ok(Duration::from_millis(wait).min(LONGEST_QUIET))
    }
}

/// How long to leave the shop alone after so many refusals of one event.
fn pause_after(refusals: i64) -> TimeDelta {
    match refusals {
        ..=1 => TimeDelta::seconds(1),
        2 => TimeDelta::seconds(5),
        3 => TimeDelta::seconds(30),
        4 => TimeDelta::minutes(2),
        5 => TimeDelta::minutes(10),
        _ => TimeDelta::hours(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shop_that_refuses_is_asked_ever_more_rarely() {
        let pauses: Vec<_> = (1..=7).map(|refusals| pause_after(refusals).num_seconds()).collect();
        assert_eq!(pauses, [1, 5, 30, 120, 600, 3600, 3600]);
    }
}
