//! What waits, and nobody will come back to: unanswered calls that no check is scheduled for, and news that was kept too long (rules R1, W2).

use chrono::{DateTime, TimeDelta, Utc};
use entity::id::{AttemptId, TransactionId};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement, Value};
use uuid::Uuid;

use super::{Check, Finding};

/// Whoever sent it would have come to an end by then.
const UNANSWERED: TimeDelta = TimeDelta::minutes(15);
/// Whoever checks is gone if a check is so late.
const OVERDUE: TimeDelta = TimeDelta::days(1);
/// A session that is not known by then never will be.
const PARKED: TimeDelta = TimeDelta::days(1);

/// So many lines at a time.
const LINES: i64 = 500;

/// Unanswered and unscheduled, after an id. What there is a case about waits for a person.
const TRANSACTIONS: &str = "
SELECT t.id, t.status, t.created_at, t.next_check_at FROM payment_transaction t
WHERE t.status IN ('SENT', 'PENDING', 'UNKNOWN') AND t.created_at < $1 AND (t.next_check_at IS NULL OR t.next_check_at < $2)
    AND NOT EXISTS (SELECT 1 FROM reconciliation_case c WHERE c.transaction_id = t.id) AND t.id > $3
ORDER BY t.id LIMIT $4";

const ATTEMPTS: &str = "
SELECT a.id, a.status, a.created_at, a.next_check_at FROM payment_attempt a
WHERE a.status = 'CREATED' AND a.created_at < $1 AND (a.next_check_at IS NULL OR a.next_check_at < $2)
    AND NOT EXISTS (SELECT 1 FROM reconciliation_case c WHERE c.attempt_id = a.id) AND a.id > $3
ORDER BY a.id LIMIT $4";

/// After its key.
const EVENTS: &str = "
SELECT provider, external_id, event_id, received_at, tries FROM provider_event
WHERE state = 'PARKED' AND (received_at < $1 OR tries >= 5) AND (provider, external_id, event_id) > ($2, $3, $4)
ORDER BY provider, external_id, event_id LIMIT $5";

impl Check<'_> {
    pub(super) async fn late(&mut self) -> Result<(), DbErr> {
        self.unanswered(TRANSACTIONS, |id| TransactionId::from(id).to_string()).await?;
        self.unanswered(ATTEMPTS, |id| AttemptId::from(id).to_string()).await?;
        self.parked().await
    }

    async fn lines<const N: usize>(&self, sql: &str, values: [Value; N]) -> Result<Vec<QueryResult>, DbErr> {
        let statement = Statement::from_sql_and_values(self.db.get_database_backend(), sql, values);
        self.db.query_all_raw(statement).await
    }

    async fn unanswered(&mut self, sql: &str, name: fn(Uuid) -> String) -> Result<(), DbErr> {
        let mut after = Uuid::nil();
        loop {
            let since = [self.now - UNANSWERED, self.now - OVERDUE].map(Value::from);
            let [created_before, checked_before] = since;
            let rows = self.lines(sql, [created_before, checked_before, after.into(), LINES.into()]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.try_get("", "id")?;
            for row in &rows {
                let (status, created_at): (String, DateTime<Utc>) =
                    (row.try_get("", "status")?, row.try_get("", "created_at")?);
                let check: Option<DateTime<Utc>> = row.try_get("", "next_check_at")?;
                let check =
                    check.map_or("no check is scheduled".into(), |at| format!("its check is overdue since {at}"));
                let what = format!("is {status} since {created_at}, and {check}");
                self.finds(&Finding::new(name(row.try_get("", "id")?), what));
            }
        }
    }

    async fn parked(&mut self) -> Result<(), DbErr> {
        let mut after = ["", "", ""].map(str::to_owned);
        loop {
            let [provider, external_id, event_id] = after.map(Value::from);
            let before = Value::from(self.now - PARKED);
            let rows = self.lines(EVENTS, [before, provider, external_id, event_id, LINES.into()]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = [last.try_get("", "provider")?, last.try_get("", "external_id")?, last.try_get("", "event_id")?];
            for row in &rows {
                let (provider, event): (String, String) = (row.try_get("", "provider")?, row.try_get("", "event_id")?);
                let (at, tries): (DateTime<Utc>, i32) = (row.try_get("", "received_at")?, row.try_get("", "tries")?);
                let what = format!("is PARKED since {at}, tried {tries} times: what it is about is not known");
                self.finds(&Finding::new(format!("event {event:?} of {provider}"), what));
            }
        }
    }
}
