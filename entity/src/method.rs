//! The one column of a payment that nobody reads but whoever sends a transaction: the provider's token of the payment method (rule P11).

use sea_orm::entity::prelude::*;

use crate::{id::PaymentId, payment::MethodToken};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PaymentId,
    /// Null for a payment through a provider's own page.
    pub method_token: Option<MethodToken>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
