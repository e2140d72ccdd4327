//! A mutation that was sent under an idempotency key, and what became of it (rules I1 to I3).
//!
//! One row a caller, mutation and key. The same key with another input is never run.

use chrono::{DateTime, Utc};
use sea_orm::{FromJsonQueryResult, entity::prelude::*};
use serde::{Deserialize, Serialize};

use crate::id::{AttemptId, OrderId, PaymentId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Runs now, or stopped half way: the lease tells which.
    InProgress,
    Succeeded,
    /// Ended with a problem after something was written.
    Refused,
}

/// The transactions that one mutation became (rule M5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
pub struct Transactions(pub Vec<Uuid>);

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "operation")]
pub struct Model {
    /// `USER`, `ANONYMOUS` or `SERVICE`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub caller_kind: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub caller_id: String,
    /// The mutation's name in the API.
    #[sea_orm(primary_key, auto_increment = false)]
    pub mutation: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub idempotency_key: String,
    /// SHA-256 of the input, 64 hexadecimal digits.
    pub fingerprint: String,
    pub state: State,
    /// Until then whoever runs it is believed to be alive; later another may take it up.
    pub lease_expires_at: DateTime<Utc>,
    pub problem: Option<Json>,
    pub order_id: Option<OrderId>,
    pub payment_id: Option<PaymentId>,
    pub attempt_id: Option<AttemptId>,
    /// What it asked of a provider, in the order in which it was sent.
    pub transactions: Option<Transactions>,
    pub started_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
