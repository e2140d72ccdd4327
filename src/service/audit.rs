//! The one way to write a transaction: with it goes an entry in its payment's audit trail that says how it stands then, and who did it (test G23).
//!
//! Both are written in the caller's database transaction, so that neither is there without the other. The statement that writes gives the end of the
//! chain as well; the entry is the one statement more. No other module writes how a transaction stands: a test looks through the sources for it. What
//! says only when it is looked at next, and how often it was sent, leaves no entry.

use chrono::{DateTime, Utc};
use entity::{
    audit::{self, Actor, Digest, Head, Standing},
    transaction::{ActiveModel, Column, Entity, Model},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, IntoActiveModel, QueryFilter, QueryTrait, Statement,
    Value,
};

use super::lease::LockedRow;
use crate::{
    db::Sql,
    error::Error,
    faults::{self, Broken},
};

/// Writes a new transaction.
pub(super) async fn insert(row: &LockedRow<'_>, new: Model, now: DateTime<Utc>) -> Result<(), Error> {
    let id = new.id;
    let statement = Entity::insert(new.into_active_model()).build(row.tx.get_database_backend());
    match write(row, statement, now).await? {
        true => Ok(()),
        false => Err(Error::missing(id)),
    }
}

/// Writes the first transaction of a payment and begins its trail, as parts of a larger statement: as often as `from` has a row. Whoever runs it holds
/// the lock's row, and `from` has none where the payment has a transaction.
pub(super) fn insert_first(sql: &mut Sql, new: Model, by: Actor, from: &str, now: DateTime<Utc>) {
    let entry = audit::Model::after(None, Standing::from(&new), by, now);
    sql.push("booked AS (");
    sql.insert(new.into_active_model(), from);
    sql.push("), noted AS (");
    sql.insert(entry.into_active_model(), from);
    sql.push(")");
}

/// Writes a new transaction if it may be, and gives whether it was: `new` is what comes after the table's name, with its own conditions.
pub(super) async fn insert_if<const N: usize>(
    row: &LockedRow<'_>,
    new: &str,
    values: [Value; N],
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let sql = format!("INSERT INTO payment_transaction {new}");
    write(row, Statement::from_sql_and_values(row.tx.get_database_backend(), sql, values), now).await
}

/// Changes a transaction that is as it was read.
pub(super) async fn change(
    row: &LockedRow<'_>,
    current: &Model,
    values: ActiveModel,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let change = Entity::update_many().set(values).filter(Column::Id.eq(current.id));
    let change = change.filter(Column::Status.eq(current.status));
    match write(row, change.build(row.tx.get_database_backend()), now).await? {
        true => Ok(()),
        false => Err(Error::Fault(format!("{} changed under its lock", current.id))),
    }
}

/// What a statement that writes a transaction gives back: how it stands now, and the end of its payment's chain. Whoever wrote to the chain before held
/// the lock's row, which is locked now by an earlier statement of this transaction: so this one sees all of it.
const RETURNING: &str = " RETURNING id, payment_id, kind, status, management_state, amount_minor, currency,
    (SELECT e.sequence FROM payment_audit e WHERE e.payment_id = payment_transaction.payment_id
        ORDER BY e.sequence DESC LIMIT 1) AS head_sequence,
    (SELECT e.digest FROM payment_audit e WHERE e.payment_id = payment_transaction.payment_id
        ORDER BY e.sequence DESC LIMIT 1) AS head_digest";

/// Runs a statement that writes one transaction, and writes the entry. False where it wrote none.
async fn write(row: &LockedRow<'_>, mut statement: Statement, now: DateTime<Utc>) -> Result<bool, Error> {
    statement.sql.push_str(RETURNING);
    let Some(written) = row.tx.query_one_raw(statement).await? else { return Ok(false) };
    let standing = Standing::from_query_result(&written, "")?;
    if standing.payment_id != row.payment_id {
        return Err(Error::Fault(format!("{} is not of {}", standing.transaction_id, row.payment_id)));
    }
    let sequence: Option<i64> = written.try_get("", "head_sequence")?;
    let digest: Option<Digest> = written.try_get("", "head_digest")?;
    let head = sequence.zip(digest).map(|(sequence, digest)| Head { sequence, digest });
    if faults::is_broken(Broken::NoLock) {
        // Entries of the same number would keep out whoever no lock keeps out.
        return Ok(true);
    }
    let entry = audit::Model::after(head.as_ref(), standing, row.by.clone(), now);
    audit::Entity::insert(entry.into_active_model()).exec_without_returning(row.tx).await?;
    Ok(true)
}
