//! Who works on a payment, and until when (rules K1 to K8).
//!
//! The row outlives each lock: its fencing number only grows.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::id::PaymentId;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_lock")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub payment_id: PaymentId,
    /// SHA-256 of the token; null while the payment is free.
    pub token_hash: Option<Vec<u8>>,
    pub fencing_number: i64,
    pub purpose: Option<String>,
    pub acquired_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
