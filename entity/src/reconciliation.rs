//! What a machine could not decide, with the evidence kept (rule R3).

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{
    event::Report,
    id::{AttemptId, CaseId, PaymentId, TransactionId},
    money::Currency,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    Open,
    Resolved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    OutcomeUnknown,
    AmountMismatch,
    CurrencyMismatch,
    CartChanged,
    PaidTwice,
    FailedReversal,
    /// The provider says one thing now and said another before, or money came for a cancelled order.
    ContradictingResult,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reconciliation_case")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: CaseId,
    pub state: State,
    pub reason: Reason,
    pub payment_id: PaymentId,
    pub attempt_id: Option<AttemptId>,
    pub transaction_id: Option<TransactionId>,
    pub expected_minor: Option<i64>,
    pub expected_currency: Option<Currency>,
    pub reported_minor: Option<i64>,
    pub reported_currency: Option<Currency>,
    /// What the provider said, word for word.
    pub report: Option<Report>,
    pub checks: i32,
    pub next_check_at: Option<DateTime<Utc>>,
    /// What whoever resolved it went by.
    pub evidence: Option<String>,
    pub created_at: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
