//! Committed changes, in the transactions that made them, to be told to whoever listens.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::id::OrderId;

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Topic {
    Order,
    Payment,
    PaymentAttempt,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox")]
pub struct Model {
    /// Grows with each change; gaps are possible.
    #[sea_orm(primary_key)]
    pub id: i64,
    pub topic: Topic,
    /// The order that the change belongs to: changes of one order are told in the order they were made.
    pub order_id: OrderId,
    /// What changed: an order's, a payment's or an attempt's id, by the topic.
    pub subject_id: Uuid,
    pub created_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
