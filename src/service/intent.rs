//! Writes down what is about to be asked of a provider, before it is asked (rule P6).
//!
//! The one way for a transaction to come into the ledger but by a provider's own news. It needs a lock that is held, and the statement that writes
//! looks at the bounds once more: what the ledger does not leave room for can't be written, whoever races (rule P4).

use chrono::{DateTime, Utc};
use entity::{
    id::TransactionId,
    money::Money,
    outbox::Topic,
    payment::{self, Column},
    transaction::{Kind, ManagementState},
};
use sea_orm::{
    ActiveEnum, ColumnTrait, DbErr, EntityTrait, QueryFilter, Value,
    sea_query::{Expr, ExprTrait},
};

use super::{audit, lease::HeldLock, outbox};
use crate::{
    db::WriteTransaction,
    error::Error,
    faults::{self, Broken},
};

/// What is to be asked.
#[derive(Clone, Debug)]
pub(super) struct Intent<'a> {
    pub kind: Kind,
    pub amount: Money,
    pub parent: Option<TransactionId>,
    pub management_state: Option<ManagementState>,
    pub source: Source<'a>,
}

/// Who asks for it, and for the sake of what: the caller's own words.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Source<'a> {
    pub source: Option<&'a str>,
    pub entity_type: Option<&'a str>,
    pub entity_id: Option<&'a str>,
}

/// Writes a transaction as SENT, under a reference of its own that goes to the provider.
pub(super) async fn write(
    held: &HeldLock<'_>,
    intent: &Intent<'_>,
    now: DateTime<Utc>,
) -> Result<TransactionId, Error> {
    let id = TransactionId::new(now);
    let values: [Value; 13] = [
        id.into(),
        held.payment_id().into(),
        intent.kind.to_value().into(),
        intent.management_state.map(|state| state.to_value()).into(),
        intent.amount.minor().into(),
        intent.amount.currency().code().into(),
        intent.parent.map(|parent| parent.uuid()).into(),
        id.to_string().into(),
        intent.source.source.map(str::to_owned).into(),
        intent.source.entity_type.map(str::to_owned).into(),
        intent.source.entity_id.map(str::to_owned).into(),
        held.fencing_number().into(),
        now.into(),
    ];
    let new = format!("{NEW} WHERE {}", bound(intent.kind));
    match audit::insert_if(held.row(), &new, values, now).await? {
        true => Ok(id),
        false => Err(Error::Fault(format!("the database finds no room on {} for {intent:?}", held.payment_id()))),
    }
}

const NEW: &str = "
(id, payment_id, kind, status, management_state, amount_minor, currency, parent_id, reference,
    source, source_entity_type, source_entity_id, fencing_number, created_at, sends, sent_at)
SELECT $1, $2, $3, 'SENT', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, $13";

/// The bounds of rule P4, as the database reads the ledger.
fn bound(kind: Kind) -> &'static str {
    match kind {
        _ if faults::is_broken(Broken::NoLock) => "TRUE",
        Kind::Authorize | Kind::AuthorizeAndCapture => WITHIN_THE_PAYMENT,
        Kind::Capture | Kind::ReverseAuthorize | Kind::Refund => WITHIN_THE_PARENT,
        Kind::DetachedCredit => {
            "EXISTS (SELECT 1 FROM payment p WHERE p.id = $2 AND p.currency = $6 AND p.status = 'ACTIVE')"
        }
    }
}

/// What is held or taken, known or unanswered, and this together do not exceed the payment's amount.
const WITHIN_THE_PAYMENT: &str = "$5 <= (
    SELECT p.amount_minor - coalesce((
        SELECT sum(CASE WHEN t.kind = 'REVERSE_AUTHORIZE' THEN -t.amount_minor ELSE t.amount_minor END)
        FROM payment_transaction t
        WHERE t.payment_id = p.id AND (
            (t.status IN ('SENT', 'PENDING', 'UNKNOWN') AND t.kind IN ('AUTHORIZE', 'AUTHORIZE_AND_CAPTURE'))
            OR (t.status = 'SUCCEEDED' AND t.kind IN ('AUTHORIZE', 'AUTHORIZE_AND_CAPTURE', 'REVERSE_AUTHORIZE')
                AND coalesce(t.management_state, 'REVERSAL_CANDIDATE') IN ('REVERSAL_CANDIDATE', 'AUTOMATIC_REVERSAL_NOT_ALLOWED')))
    ), 0)
    FROM payment p WHERE p.id = $2 AND p.currency = $6 AND p.status = 'ACTIVE')";

/// The parent is the payment's own, succeeded, and is not being undone but by this; its children, known or unanswered, and this together do not exceed
/// it.
const WITHIN_THE_PARENT: &str = "$5 <= (
    SELECT parent.amount_minor - coalesce((
        SELECT sum(child.amount_minor)
        FROM payment_transaction child
        WHERE child.parent_id = parent.id AND (
            child.status IN ('SENT', 'PENDING', 'UNKNOWN')
            OR (child.status = 'SUCCEEDED'
                AND coalesce(child.management_state, 'REVERSAL_CANDIDATE') IN ('REVERSAL_CANDIDATE', 'AUTOMATIC_REVERSAL_NOT_ALLOWED')))
    ), 0)
    FROM payment_transaction parent
    WHERE parent.id = $7 AND parent.payment_id = $2 AND parent.currency = $6 AND parent.status = 'SUCCEEDED'
        AND (CASE $4 WHEN 'REVERSAL_TRANSACTION'
            THEN parent.management_state = 'REVERSAL_IN_PROGRESS'
            ELSE coalesce(parent.management_state, 'REVERSAL_CANDIDATE') IN ('REVERSAL_CANDIDATE', 'AUTOMATIC_REVERSAL_NOT_ALLOWED')
        END))";

/// Notes that a payment changed: what somebody read of it is old now.
pub(super) async fn touch(tx: &WriteTransaction, payment: &payment::Model, now: DateTime<Utc>) -> Result<(), DbErr> {
    payment::Entity::update_many()
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .col_expr(Column::UpdatedAt, Expr::value(now))
        .filter(Column::Id.eq(payment.id))
        .exec(tx)
        .await?;
    outbox::tell(tx, payment.order_id, now, &[(Topic::Payment, payment.id.uuid())]).await
}
