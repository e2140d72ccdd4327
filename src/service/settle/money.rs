//! Money that a session is said to have moved: taken into the books once, or kept as a case (rules T4, T5).

use chrono::{DateTime, Utc};
use entity::{
    attempt::{Model, News, Status, judge},
    id::TransactionId,
    money::Money,
    order,
    reconciliation::{self, Reason},
    transaction::{self, Kind, ManagementState, ProviderReference},
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::{Effect, Told, advance};
use crate::{
    db::WriteTransaction,
    error::Error,
    service::{
        attempt as attempts, audit,
        case::{self, Question},
        lease::LockedRow,
        order::{Payable, pay_if_covered},
        payment as payments,
    },
};

/// Compares money that was reported with what the books hold of the attempt and what the order wants.
pub(super) async fn compare(
    row: &LockedRow<'_>,
    attempt: &Model,
    order: order::Model,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<Effect, Error> {
    if let Some(booked) = booked_of(row.tx, attempt).await? {
        // An attempt's money comes into the books once; what is told of more or less is for a person to look at.
        return match booked.amount() == told.amount || case_of(row.tx, attempt, told.amount).await? {
            true => Ok(Effect::None),
            false if told.amount.currency() != booked.currency => {
                refuse(row, attempt, Reason::CurrencyMismatch, told, now).await
            }
            false => refuse(row, attempt, Reason::AmountMismatch, told, now).await,
        };
    }
    if case_of(row.tx, attempt, told.amount).await? {
        // Refused once: whoever resolves the case decides, and not the next copy of the same report.
        return Ok(Effect::None);
    }
    let due = payments::ledger(row.tx, order.id).await?.amount_due(order.status, order.total())?;
    match judge(attempt, &order, due, told.amount) {
        None => accept(row, attempt, order, told.amount, now).await,
        Some(reason) => refuse(row, attempt, reason, told, now).await,
    }
}

/// What came into the books of an attempt's money.
pub async fn booked_of(tx: &WriteTransaction, attempt: &Model) -> Result<Option<transaction::Model>, Error> {
    if !matches!(attempt.status, Status::Succeeded | Status::Conflicted) {
        return Ok(None);
    }
    let query = transaction::Entity::find().filter(transaction::Column::AttemptId.eq(attempt.id));
    Ok(query.one(tx).await?)
}

/// Whether this report of money was refused before.
async fn case_of(tx: &WriteTransaction, attempt: &Model, amount: Money) -> Result<bool, Error> {
    use reconciliation::Column as Case;
    let known = reconciliation::Entity::find()
        .filter(Case::AttemptId.eq(attempt.id))
        .filter(Case::ReportedMinor.eq(amount.minor()))
        .filter(Case::ReportedCurrency.eq(amount.currency()))
        .one(tx)
        .await?;
    Ok(known.is_some())
}

/// Takes the money in (rule T4): the payment's transaction, and the order paid if it is covered.
pub async fn accept(
    row: &LockedRow<'_>,
    attempt: &Model,
    order: order::Model,
    amount: Money,
    now: DateTime<Utc>,
) -> Result<Effect, Error> {
    let Some(to) = attempt.status.on(News::MoneyAccepted) else {
        return Ok(Effect::None);
    };
    book(row, attempt, amount, None, now).await?;
    advance(row, attempt, to, None, now).await?;
    if order.status == order::Status::AwaitingPayment
        && let Payable::Paid(paid) = pay_if_covered(row.tx, order, Some(attempt.id), now).await?
    {
        attempts::hide_open(row.tx, paid.id, now).await?;
    }
    Ok(Effect::Changed)
}

/// Writes down that money of an attempt moved.
pub async fn book(
    row: &LockedRow<'_>,
    attempt: &Model,
    amount: Money,
    management_state: Option<ManagementState>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    audit::insert(row, booking(attempt, amount, management_state, now), now).await
}

/// What a session's money is in the books: held and taken, in one.
pub(super) const MONEY_MOVED: (Kind, transaction::Status) = (Kind::AuthorizeAndCapture, transaction::Status::Succeeded);

pub(super) fn booking(
    attempt: &Model,
    amount: Money,
    management_state: Option<ManagementState>,
    now: DateTime<Utc>,
) -> transaction::Model {
    let (kind, status) = MONEY_MOVED;
    transaction::Model {
        id: TransactionId::new(now),
        payment_id: attempt.payment_id,
        kind,
        status,
        management_state,
        amount_minor: amount.minor(),
        currency: amount.currency(),
        parent_id: None,
        attempt_id: Some(attempt.id),
        reference: attempt.reference.clone(),
        provider_reference: attempt.external_id.clone().map(ProviderReference),
        failure_code: None,
        failure_message: None,
        decline: None,
        source: None,
        source_entity_type: None,
        source_entity_id: None,
        fencing_number: None,
        sends: 1,
        sent_at: None,
        checks: 0,
        next_check_at: None,
        created_at: now,
        settled_at: Some(now),
    }
}

/// Keeps money that is not accepted as a case (rule T5).
async fn refuse(
    row: &LockedRow<'_>,
    attempt: &Model,
    reason: Reason,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<Effect, Error> {
    let question = Question {
        reason,
        payment: attempt.payment_id,
        attempt: Some(attempt.id),
        transaction: None,
        expected: attempt.amount(),
        reported: Some(told.amount),
        reported_status: None,
        words: Some(told.words.clone()),
    };
    case::open(row.tx, question, now).await?;
    if let Some(to) = attempt.status.on(News::MoneyRefused) {
        advance(row, attempt, to, None, now).await?;
    }
    attempts::hide_open(row.tx, attempt.order_id, now).await?;
    Ok(Effect::Refused)
}
