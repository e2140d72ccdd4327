//! The table of committed changes: told in the transaction that makes them, so that what was not committed is never told.

use chrono::{DateTime, Utc};
use entity::{
    id::OrderId,
    outbox::{ActiveModel, Column, Entity, Model, Topic},
};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DbBackend, DbErr, EntityTrait, FromQueryResult, QueryOrder, Statement,
};
use uuid::Uuid;

use super::change_tail::{Gap, Tail};
use crate::db::{Database, WriteTransaction};

/// The most rows that are read, or removed, at once.
pub(super) const MOST_ROWS: usize = 1000;
/// How far back, in ids, whoever begins to read looks for changes that may still be committed: more than are told while one transaction lives.
const LOOK_BACK: i64 = 50_000;

/// Notes that these belonging to one order changed.
pub async fn tell(
    tx: &WriteTransaction,
    order_id: OrderId,
    now: DateTime<Utc>,
    changes: &[(Topic, Uuid)],
) -> Result<(), DbErr> {
    let rows = changes.iter().map(|(topic, subject_id)| ActiveModel {
        topic: Set(*topic),
        order_id: Set(order_id),
        subject_id: Set(*subject_id),
        created_at: Set(now),
        ..ActiveModel::default()
    });
    Entity::insert_many(rows).exec_without_returning(tx).await?;
    tx.tells();
    Ok(())
}

/// Where the table ends now, and what is missing before.
///
/// PostgreSQL gives a row its id before it is committed, so that a lower one may come after a higher one. SQLite has one writer, and no gaps.
pub(super) async fn end(db: &Database) -> Result<Tail, DbErr> {
    let (db, backend) = (db.read(), db.read().get_database_backend());
    let newest = Entity::find().order_by_desc(Column::Id).one(db).await?;
    let last = newest.as_ref().map_or(0, |newest| newest.id);
    if backend != DbBackend::Postgres {
        return Ok(Tail::new(newest, vec![]));
    }
    let from = last.saturating_sub(LOOK_BACK).max(0);
    let gaps = Gap::find_by_statement(Statement::from_sql_and_values(
        backend,
        "SELECT before + 1 AS first, id - 1 AS last
        FROM (SELECT id, lag(id, 1, $1) OVER (ORDER BY id) AS before FROM outbox WHERE id > $1 AND id <= $2) AS neighbours
        WHERE id > before + 1
        ORDER BY id",
        [from.into(), last.into()],
    ));
    Ok(Tail::new(newest, gaps.all(db).await?))
}

/// What somebody finds who reads on.
pub(super) struct Unseen {
    /// By their ids.
    pub changes: Vec<Model>,
    /// Whether there is nothing more.
    pub is_all: bool,
    /// Whether what was seen last is gone: the database is not the one that it was, and may have lost more than this.
    pub is_cut: bool,
}

/// The changes that this reader has not seen yet, the first [`MOST_ROWS`] or so. Of one order, none comes before an earlier one, because all are read as
/// of one moment; and so is the newest change that was seen, with them, whose row must still be there.
pub(super) async fn unseen(db: &Database, tail: &Tail) -> Result<Unseen, DbErr> {
    let (db, backend) = (db.read(), db.read().get_database_backend());
    let most = MOST_ROWS + 1;
    let newer = "SELECT id, topic, order_id, subject_id, created_at FROM outbox WHERE id >= $1";
    let late = "SELECT o.id, o.topic, o.order_id, o.subject_id, o.created_at
        FROM unnest($2::text::bigint[], $3::text::bigint[]) AS gap (first, last)
        JOIN outbox AS o ON o.id BETWEEN gap.first AND gap.last";
    let statement = match tail.gaps() {
        [] => {
            let sql = format!("{newer} ORDER BY id LIMIT {most}");
            Statement::from_sql_and_values(backend, sql, [tail.last().into()])
        }
        gaps => {
            let sql = format!("{newer} UNION ALL {late} ORDER BY id LIMIT {most}");
            let array = |bound: fn(&Gap) -> i64| {
                let bounds: Vec<String> = gaps.iter().map(|gap| bound(gap).to_string()).collect();
                format!("{{{}}}", bounds.join(","))
            };
            let values = [tail.last().into(), array(|gap| gap.first).into(), array(|gap| gap.last).into()];
            Statement::from_sql_and_values(backend, sql, values)
        }
    };
    let mut changes = Entity::find().from_raw_sql(statement).all(db).await?;
    let (is_all, is_cut) = (changes.len() < most, tail.is_cut(&changes, most));
    changes.retain(|change| change.id != tail.last());
    Ok(Unseen { changes, is_all, is_cut })
}

/// Removes what is older than this, a few rows at most; gives how many there were.
pub(super) async fn prune(db: &Database, before: DateTime<Utc>) -> Result<u64, DbErr> {
    let tx = db.begin_write().await?;
    let oldest = format!(
        "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT {MOST_ROWS}) AND created_at < $1"
    );
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), oldest, [before.into()]);
    let removed = tx.execute_raw(statement).await?.rows_affected();
    tx.commit().await?;
    Ok(removed)
}
