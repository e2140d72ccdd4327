//! Keys of requests whose server died: all that they asked for is answered, and nobody has told their callers (rule I3).

use entity::{
    id::OrderId,
    operation::{Column, Entity, Model, State},
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};

use crate::{
    app::App,
    auth::Audience,
    error::Error,
    service::{attempt, operation::RESUMABLE, order, work},
};

/// The caller's kind and id, the mutation, and the key.
pub(super) type LeftKey = (String, String, String, String);

pub(super) fn key(left: Model) -> LeftKey {
    (left.caller_kind, left.caller_id, left.mutation, left.idempotency_key)
}

/// At the most so many are looked at: they are not claimed, so that those which can't be ended now are found again.
const MOST: u64 = 100;

/// The mutations of which nothing is unanswered and whose callers were not told. Who still runs one ends its key with its last answer, so that whatever
/// its lease says nobody does by the time of the first check.
pub(super) async fn left(app: &App) -> Result<Vec<Model>, Error> {
    let (now, db) = (app.clock.now(), app.db.read());
    let left =
        Condition::any().add(Column::LeaseExpiresAt.lte(now)).add(Column::StartedAt.lte(now - app.checks.first()));
    let query = Entity::find()
        .filter(Column::State.eq(State::InProgress))
        .filter(left)
        .filter(Column::Mutation.is_in(RESUMABLE))
        .filter(Expr::cust(nothing_unanswered(db.get_database_backend())))
        .order_by_asc(Column::LeaseExpiresAt);
    Ok(query.limit(MOST).all(db).await?)
}

/// Of what the mutation itself asked for: what else is asked of its payment keeps no key open.
fn nothing_unanswered(backend: DbBackend) -> String {
    let is_its_own = match backend {
        DbBackend::Postgres => "jsonb_exists(operation.transactions, t.id::text)",
        _ => "instr(upper(replace(operation.transactions, '-', '')), hex(t.id)) > 0",
    };
    format!(
        "NOT EXISTS (SELECT 1 FROM payment_transaction t
            WHERE t.payment_id = operation.payment_id AND t.status IN ('SENT', 'UNKNOWN') AND {is_its_own})
        AND NOT EXISTS (SELECT 1 FROM payment_attempt a WHERE a.id = operation.attempt_id AND a.status = 'CREATED')"
    )
}

/// Ends the key of a request whose server died with what came of it.
pub(super) async fn settle(app: &App, key: LeftKey, order_id: OrderId) -> Result<(), Error> {
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    let order = order::lock(&tx, &Audience::of_the_server(), order_id).await?;
    let left = Entity::find_by_id(key).lock_exclusive().one(&tx).await?;
    // Whoever sent it may have come back.
    let is_left = |left: &Model| left.state == State::InProgress;
    let Some(left) = left.filter(is_left) else { return Ok(()) };
    match left.attempt_id {
        Some(_) => attempt::finish_left(&tx, &order, &left, now).await?,
        None => work::finish_left(&tx, &left, now).await?,
    }
    Ok(tx.commit().await?)
}
