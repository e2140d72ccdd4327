//! Opens a case: what the server can't decide, kept for a person with the evidence (rule R3).

use chrono::{DateTime, Utc};
use entity::{
    event::Report,
    id::{AttemptId, CaseId, PaymentId, TransactionId},
    money::Money,
    reconciliation::{Column, Entity, Model, Reason, State},
};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};

use crate::{db::WriteTransaction, error::Error};

/// What a case is about.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub reason: Reason,
    pub payment: PaymentId,
    pub attempt: Option<AttemptId>,
    pub transaction: Option<TransactionId>,
    pub expected: Money,
    pub reported: Money,
    /// What the provider said, word for word.
    pub words: Option<Report>,
}

/// Opens it.
pub(super) async fn open(tx: &WriteTransaction, question: Question, now: DateTime<Utc>) -> Result<(), Error> {
    let Question { reason, payment, attempt, transaction, expected, reported, words } = question;
    let case = Model {
        id: CaseId::new(now),
        state: State::Open,
        reason,
        payment_id: payment,
        attempt_id: attempt,
        transaction_id: transaction,
        expected_minor: Some(expected.minor()),
        expected_currency: Some(expected.currency()),
        reported_minor: Some(reported.minor()),
        reported_currency: Some(reported.currency()),
        report: words,
        checks: 0,
        next_check_at: None,
        evidence: None,
        created_at: now,
        resolved_at: None,
    };
    tracing::error!(case = %case.id, %payment, ?reason, "a person has to decide");
    Entity::insert(case.into_active_model()).exec_without_returning(tx).await?;
    Ok(())
}

/// Opens it, unless the same was asked of this transaction before.
pub(super) async fn open_once(tx: &WriteTransaction, question: Question, now: DateTime<Utc>) -> Result<(), Error> {
    let asked = Entity::find()
        .filter(Column::TransactionId.eq(question.transaction))
        .filter(Column::Reason.eq(question.reason))
        .filter(Column::ReportedMinor.eq(question.reported.minor()))
        .one(tx)
        .await?;
    match asked {
        Some(_) => Ok(()),
        None => open(tx, question, now).await,
    }
}
