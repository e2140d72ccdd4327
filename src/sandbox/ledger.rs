//! The ledger: what money really did, whatever anybody was told of it.
//!
//! Rows are only ever added, in the database transaction that made them true.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseTransaction, FromQueryResult};
use serde::Serialize;

use super::rows::{sql, time};
use super::store::Store;
use super::transaction::Subject;
use super::{SandboxError, unguessable};

/// What is released at the end of an authorization moved nowhere, and yet is not the shop's to take any more.
pub const RELEASE: &str = "release";

/// One movement, as it is about to be written.
pub struct Entry<'a> {
    pub subject: &'a Subject,
    pub kind: &'a str,
    pub amount: i64,
    pub currency: &'a str,
    pub at: DateTime<Utc>,
}

/// One movement, as the API shows it.
#[derive(Serialize)]
pub struct Movement {
    id: String,
    reference: String,
    session_id: Option<String>,
    transaction_id: Option<String>,
    kind: String,
    amount: i64,
    currency: String,
    at: Option<DateTime<Utc>>,
}

#[derive(FromQueryResult)]
struct MovementRow {
    id: String,
    reference: String,
    session_id: Option<String>,
    transaction_id: Option<String>,
    kind: String,
    amount: i64,
    currency: String,
    at: i64,
}

pub async fn write(tx: &DatabaseTransaction, entry: Entry<'_>) -> Result<(), SandboxError> {
    let (session, transaction) = entry.subject.columns();
    tx.execute_raw(sql(
        "INSERT INTO sandbox_movement (id, session_id, transaction_id, kind, amount, currency, at)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            unguessable("mov")?.into(),
            session.into(),
            transaction.into(),
            entry.kind.into(),
            entry.amount.into(),
            entry.currency.into(),
            entry.at.timestamp_millis().into(),
        ],
    ))
    .await?;
    Ok(())
}

impl Store {
    /// All movements, or those under one of the shop's references; oldest first.
    pub async fn movements(&self, reference: Option<&str>) -> Result<Vec<Movement>, SandboxError> {
        let of_one = "WHERE m.session_id IN (SELECT id FROM sandbox_session WHERE reference = ?1)
                         OR m.transaction_id IN (SELECT id FROM sandbox_transaction WHERE reference = ?1)";
        let statement = sql(
            &format!(
                "SELECT m.id, coalesce(s.reference, t.reference) AS reference, m.session_id, m.transaction_id, m.kind,
                        m.amount, m.currency, m.at
                 FROM sandbox_movement m
                 LEFT JOIN sandbox_session s ON s.id = m.session_id
                 LEFT JOIN sandbox_transaction t ON t.id = m.transaction_id
                 {} ORDER BY m.at, m.rowid",
                reference.map_or("", |_| of_one)
            ),
            reference.map(Into::into),
        );
        let rows = MovementRow::find_by_statement(statement).all(&self.db).await?;
        Ok(rows.into_iter().map(Movement::from).collect())
    }
}

impl From<MovementRow> for Movement {
    fn from(row: MovementRow) -> Self {
        Self {
            id: row.id,
            reference: row.reference,
            session_id: row.session_id,
            transaction_id: row.transaction_id,
            kind: row.kind,
            amount: row.amount,
            currency: row.currency,
            at: time(row.at),
        }
    }
}
