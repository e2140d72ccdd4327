//! Moves an anonymous user's orders to the user that they turned out to be (rule O9): all of them or none.

use chrono::{DateTime, Utc};
use entity::{
    order::{Column, Entity},
    owner::{self, Owner, OwnerKind},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Statement,
    sea_query::{Expr, ExprTrait},
};

use crate::{
    app::App,
    auth::{Caller, Scope},
    db::{WriteTransaction, tried_again},
    error::{Error, Read},
};

/// Orders to be moved.
#[derive(Clone, Debug)]
pub struct Claim {
    pub anonymous_id: String,
    pub user_id: String,
    /// Only count.
    pub dry_run: bool,
}

/// How many orders moved, or with `dry_run` would move. Needs `orders:write`.
pub async fn claim_anonymous_orders(app: &App, caller: &Caller, claim: Read<Claim>) -> Result<u64, Error> {
    caller.require(Scope::OrdersWrite)?;
    let Claim { anonymous_id, user_id, dry_run } = claim?;
    let anonymous = Owner { kind: OwnerKind::Anonymous, id: anonymous_id };
    let user = Owner { kind: OwnerKind::User, id: user_id };
    if dry_run {
        let row = owner::Entity::find_by_id((anonymous.kind, anonymous.id)).one(app.db.read()).await?;
        return Ok(row.map_or(0, |row| row.order_count.try_into().unwrap_or_default()));
    }
    tried_again(|| move_orders(app, &anonymous, &user)).await
}

async fn move_orders(app: &App, anonymous: &Owner, user: &Owner) -> Result<u64, Error> {
    let tx = app.db.begin_write().await?;
    let moved = lock(&tx, anonymous).await?;
    if moved == 0 {
        return Ok(0);
    }
    let had = lock_or_make(&tx, user).await?;
    let now = app.clock.now();
    tell(&tx, anonymous, now).await?;
    merge(&tx, anonymous, user, now).await?;
    set_count(&tx, anonymous, 0).await?;
    set_count(&tx, user, had + moved).await?;
    tx.commit().await?;
    Ok(moved.try_into().unwrap_or_default())
}

/// Tells of every order that is about to move, in one statement however many they are.
async fn tell(tx: &WriteTransaction, anonymous: &Owner, now: DateTime<Utc>) -> Result<(), Error> {
    let told = Statement::from_sql_and_values(
        tx.get_database_backend(),
        "INSERT INTO outbox (topic, order_id, subject_id, created_at)
        SELECT 'ORDER', id, id, $2 FROM orders WHERE owner_kind = 'ANONYMOUS' AND owner_id = $1 ORDER BY owner_sequence",
        [anonymous.id.clone().into(), now.into()],
    );
    tx.execute_raw(told).await?;
    tx.tells();
    Ok(())
}

/// Holds the owner's row, so that no order of theirs is made meanwhile, and gives their count.
async fn lock(tx: &WriteTransaction, owner: &Owner) -> Result<i64, Error> {
    let id = (owner.kind, owner.id.clone());
    let row = owner::Entity::find_by_id(id).lock_exclusive().one(tx).await?;
    Ok(row.map_or(0, |row| row.order_count))
}

async fn lock_or_make(tx: &WriteTransaction, owner: &Owner) -> Result<i64, Error> {
    let row = owner::Model { kind: owner.kind, id: owner.id.clone(), order_count: 0 };
    owner::Entity::insert(row.into_active_model()).on_conflict_do_nothing().exec_without_returning(tx).await?;
    lock(tx, owner).await
}

async fn set_count(tx: &WriteTransaction, owner: &Owner, count: i64) -> Result<(), Error> {
    let counted = owner::ActiveModel { order_count: Set(count), ..owner::ActiveModel::default() };
    owner::Entity::update_many()
        .set(counted)
        .filter(owner::Column::Kind.eq(owner.kind))
        .filter(owner::Column::Id.eq(owner.id.clone()))
        .exec(tx)
        .await?;
    Ok(())
}

/// Puts both owners' orders into one row by creation. The user's orders from before the first claimed one keep their place; the others are
/// numbered anew, through negative numbers, because each number may stand only once even half way.
async fn merge(tx: &WriteTransaction, anonymous: &Owner, user: &Owner, now: DateTime<Utc>) -> Result<(), Error> {
    let kept = kept_places(tx, anonymous, user).await?;
    let renumber = Statement::from_sql_and_values(
        tx.get_database_backend(),
        "WITH merged AS (
            SELECT id, ROW_NUMBER() OVER (ORDER BY created_at, id) AS place
            FROM orders
            WHERE (owner_kind = 'ANONYMOUS' AND owner_id = $1)
               OR (owner_kind = 'USER' AND owner_id = $2 AND owner_sequence > $3)
        )
        UPDATE orders
        SET owner_sequence = -($3 + merged.place),
            version = CASE WHEN owner_kind = 'ANONYMOUS' THEN version + 1 ELSE version END,
            updated_at = CASE WHEN owner_kind = 'ANONYMOUS' THEN $4 ELSE updated_at END,
            owner_kind = 'USER',
            owner_id = $2
        FROM merged
        WHERE orders.id = merged.id",
        [anonymous.id.clone().into(), user.id.clone().into(), kept.into(), now.into()],
    );
    tx.execute_raw(renumber).await?;
    Entity::update_many()
        .col_expr(Column::OwnerSequence, Expr::val(0).sub(Expr::col(Column::OwnerSequence)))
        .filter(Column::OwnerKind.eq(user.kind))
        .filter(Column::OwnerId.eq(user.id.clone()))
        .filter(Column::OwnerSequence.lt(0))
        .exec(tx)
        .await?;
    Ok(())
}

/// How many of the user's orders keep their place: those before the first one that is not older than the first claimed one.
async fn kept_places(tx: &WriteTransaction, anonymous: &Owner, user: &Owner) -> Result<i64, Error> {
    let kept = Statement::from_sql_and_values(
        tx.get_database_backend(),
        "SELECT COALESCE(MIN(owner_sequence) - 1, (SELECT order_count FROM order_owner WHERE kind = 'USER' AND id = $2)) AS kept
        FROM orders
        WHERE owner_kind = 'USER' AND owner_id = $2 AND created_at >=
            (SELECT MIN(created_at) FROM orders WHERE owner_kind = 'ANONYMOUS' AND owner_id = $1)",
        [anonymous.id.clone().into(), user.id.clone().into()],
    );
    let row = tx.query_one_raw(kept).await?;
    Ok(row.map(|row| row.try_get("", "kept")).transpose()?.unwrap_or_default())
}
