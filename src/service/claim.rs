//! Moves an anonymous user's orders to the user that they turned out to be (rule O9): all of them or none.

use chrono::{DateTime, Utc};
use entity::{
    order::{self, Column, Entity},
    outbox::Topic,
    owner::{self, Owner, OwnerKind},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, FromQueryResult, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, Statement,
    sea_query::{Expr, ExprTrait},
};

use super::outbox;
use crate::{
    app::App,
    auth::{Caller, Scope},
    error::Error,
};

/// How many orders moved, or with `dry_run` would move. Needs `orders:write`.
pub async fn claim_anonymous_orders(
    app: &App,
    caller: &Caller,
    anonymous_id: String,
    user_id: String,
    dry_run: bool,
) -> Result<u64, Error> {
    caller.require(Scope::OrdersWrite)?;
    let anonymous = Owner { kind: OwnerKind::Anonymous, id: anonymous_id };
    let user = Owner { kind: OwnerKind::User, id: user_id };
    if dry_run {
        let row = owner::Entity::find_by_id((anonymous.kind, anonymous.id)).one(app.db.read()).await?;
        return Ok(row.map_or(0, |row| row.order_count.try_into().unwrap_or_default()));
    }
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    let moved = lock(&tx, &anonymous).await?;
    if moved == 0 {
        return Ok(0);
    }
    let had = lock_or_make(&tx, &user).await?;
    let claimed: Vec<Claimed> = Entity::find()
        .select_only()
        .columns([Column::Id, Column::CreatedAt])
        .filter(Column::OwnerKind.eq(anonymous.kind))
        .filter(Column::OwnerId.eq(anonymous.id.clone()))
        .order_by_asc(Column::CreatedAt)
        .into_model()
        .all(&tx)
        .await?;
    if let Some(first) = claimed.first() {
        merge(&tx, &anonymous, &user, first.created_at, now).await?;
    }
    set_count(&tx, &anonymous, 0).await?;
    set_count(&tx, &user, had + moved).await?;
    for order in &claimed {
        outbox::tell(&tx, order.id, now, &[(Topic::Order, order.id.uuid())]).await?;
    }
    tx.commit().await?;
    Ok(moved.try_into().unwrap_or_default())
}

#[derive(FromQueryResult)]
struct Claimed {
    id: entity::id::OrderId,
    created_at: DateTime<Utc>,
}

/// Holds the owner's row, so that no order of theirs is made meanwhile, and gives their count.
async fn lock(tx: &DatabaseTransaction, owner: &Owner) -> Result<i64, Error> {
    let id = (owner.kind, owner.id.clone());
    let row = owner::Entity::find_by_id(id).lock_exclusive().one(tx).await?;
    Ok(row.map_or(0, |row| row.order_count))
}

async fn lock_or_make(tx: &DatabaseTransaction, owner: &Owner) -> Result<i64, Error> {
    let row = owner::Model { kind: owner.kind, id: owner.id.clone(), order_count: 0 };
    owner::Entity::insert(row.into_active_model()).on_conflict_do_nothing().exec_without_returning(tx).await?;
    lock(tx, owner).await
}

async fn set_count(tx: &DatabaseTransaction, owner: &Owner, count: i64) -> Result<(), Error> {
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
async fn merge(
    tx: &DatabaseTransaction,
    anonymous: &Owner,
    user: &Owner,
    first_claimed: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let kept = kept_places(tx, user, first_claimed).await?;
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

/// How many of the user's orders come before the first claimed one.
async fn kept_places(tx: &DatabaseTransaction, user: &Owner, first_claimed: DateTime<Utc>) -> Result<i64, Error> {
    let newest_before = Entity::find()
        .filter(Column::OwnerKind.eq(user.kind))
        .filter(Column::OwnerId.eq(user.id.clone()))
        .filter(Column::CreatedAt.lt(first_claimed))
        .order_by_desc(Column::OwnerSequence)
        .one(tx)
        .await?;
    Ok(newest_before.map_or(0, |order: order::Model| order.owner_sequence))
}
