//! A payment: one payment method's share of an order (rule P1).
//!
//! What happened to it stands in its transactions; a payment is archived, never deleted.

use std::fmt;

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{
    id::{OrderId, PaymentId},
    metadata::Metadata,
    money::{Currency, Money},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Active,
    Archived,
}

/// The provider's token of a payment method. Sensitive: it is in no Debug output, no error and no answer, and the model below does not hold it, so
/// that nobody who reads a payment has it (rule P11).
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct MethodToken(pub String);

impl fmt::Debug for MethodToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MethodToken")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PaymentId,
    pub order_id: OrderId,
    pub provider: String,
    pub status: Status,
    pub amount_minor: i64,
    pub currency: Currency,
    /// Safe to show: brand, last four digits, expiry.
    pub display: Metadata,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl Model {
    pub fn amount(&self) -> Money {
        Money::new(self.amount_minor, self.currency)
    }
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
