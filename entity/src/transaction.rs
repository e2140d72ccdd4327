//! A transaction: one thing that was asked of a provider for a payment, and what it said.
//!
//! Its status (what the provider said) and its management state (what we still owe) are two axes (rule P2).

use std::fmt;

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{
    id::{AttemptId, PaymentId, TransactionId},
    money::{Currency, Money},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    Authorize,
    AuthorizeAndCapture,
    Capture,
    ReverseAuthorize,
    Refund,
    DetachedCredit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Written down, and perhaps sent.
    Sent,
    /// The provider took it and will say later.
    Pending,
    /// No answer that can be trusted.
    Unknown,
    Succeeded,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ManagementState {
    ReversalCandidate,
    RequiresReversal,
    ReversalInProgress,
    Reversed,
    FailedReversal,
    ReversalTransaction,
    AutomaticReversalNotAllowed,
}

/// Whether a decline may be tried again with the same method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Decline {
    Soft,
    Hard,
}

/// Why something failed, in the provider's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: String,
    pub message: String,
    pub decline: Option<Decline>,
}

/// The provider's own name for what it did. Sensitive: its Debug shows nothing (rule P11).
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct ProviderReference(pub String);

impl fmt::Debug for ProviderReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderReference")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_transaction")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TransactionId,
    pub payment_id: PaymentId,
    pub kind: Kind,
    pub status: Status,
    pub management_state: Option<ManagementState>,
    pub amount_minor: i64,
    pub currency: Currency,
    pub parent_id: Option<TransactionId>,
    /// The attempt whose hosted session moved this money, where it was one.
    pub attempt_id: Option<AttemptId>,
    /// Ours, unique, sent to the provider so that both sides can be matched.
    pub reference: String,
    pub provider_reference: Option<ProviderReference>,
    pub created_at: DateTime<Utc>,
    pub settled_at: Option<DateTime<Utc>>,
}

impl Model {
    pub fn amount(&self) -> Money {
        Money::new(self.amount_minor, self.currency)
    }
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
