//! Tells of a change in the transaction that makes it: what was not committed is never told.

use chrono::{DateTime, Utc};
use entity::{
    id::OrderId,
    outbox::{ActiveModel, Entity, Topic},
};
use sea_orm::{ActiveValue::Set, DbErr, EntityTrait};
use uuid::Uuid;

use crate::db::WriteTransaction;

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
    Entity::insert_many(rows).exec_without_returning(tx).await.map(|_| ())
}
