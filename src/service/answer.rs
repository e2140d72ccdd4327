//! What a provider said of a transaction is recorded: always, whatever became of the lock meanwhile (rule P7).
//!
//! The last word stands: what contradicts it later becomes a case (rule P2). The order follows the money that was captured.

use chrono::{DateTime, Utc};
use entity::{
    id::TransactionId,
    money::Money,
    order, payment,
    reconciliation::Reason,
    transaction::{ActiveModel, Column, Entity, Failure, Heard, Kind, ManagementState, Model, Status, Undoing},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, sea_query::Expr,
};

use super::{
    attempt,
    case::{self, Question},
    intent,
    lease::{self, LockedRow},
    order::{self as orders, Payable, pay_if_covered},
    payment as payments, session,
};
use crate::{
    app::App,
    auth::Audience,
    error::Error,
    provider::{Answer, Answered, CallError},
};

/// What was heard of a transaction.
#[derive(Clone, Debug)]
pub(super) struct Told {
    heard: Heard,
    /// What moved, as the provider has it.
    amount: Option<Money>,
    answer: Option<Answer>,
    failure: Option<Failure>,
}

impl Told {
    /// An answer to a call. A refusal is the last word only where nothing was sent before under the same reference.
    pub fn by_call(said: Result<Answer, CallError>, was_sent_before: bool) -> Self {
        match said {
            Ok(answer) => Self::by(answer),
            Err(CallError::Refused(why)) if !was_sent_before => {
                tracing::warn!(why, "the provider ran no transaction");
                let message = "The payment provider refused, or could not be reached.".to_owned();
                let failure = Failure { code: PROVIDER_UNAVAILABLE.into(), message, decline: None };
                Self { heard: Heard::Failed, amount: None, answer: None, failure: Some(failure) }
            }
            Err(CallError::Refused(why) | CallError::Unknown(why)) => {
                tracing::warn!(why, "the provider's answer is not known");
                Self { heard: Heard::Nothing, amount: None, answer: None, failure: None }
            }
        }
    }

    /// An answer, or news of the same form.
    pub fn by(answer: Answer) -> Self {
        let heard = match answer.status {
            Answered::Pending => Heard::Pending,
            Answered::Succeeded => Heard::Succeeded,
            Answered::Failed => Heard::Failed,
        };
        Self { heard, amount: Some(answer.amount), failure: answer.failure.clone(), answer: Some(answer) }
    }

    fn released(&self) -> Option<Money> {
        self.answer.as_ref().and_then(|answer| answer.released)
    }
}

/// The failure's code where nothing was run at all.
pub(super) const PROVIDER_UNAVAILABLE: &str = "provider_unavailable";

/// What recording led to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recorded {
    /// Whether the order was paid by it.
    pub paid: bool,
    /// Whether something is to be undone now.
    pub unwanted: bool,
}

/// Records what was heard, in a transaction of its own; `also` is written with it.
pub(super) async fn record(
    app: &App,
    payment: &payment::Model,
    id: TransactionId,
    told: &Told,
    also: impl AsyncFnOnce(&LockedRow<'_>) -> Result<(), Error>,
) -> Result<Recorded, Error> {
    let tx = app.db.begin_write().await?;
    let order = orders::lock(&tx, &Audience::of_the_server(), payment.order_id).await?;
    let row = lease::row(&tx, payment.id).await?;
    let current = by_id(&tx, id).await?;
    let recorded = Box::pin(record_within(&row, order, current, told, app.clock.now())).await?;
    also(&row).await?;
    tx.commit().await?;
    if recorded.paid {
        Box::pin(session::end_leftover(app, payment.order_id)).await?;
    }
    Ok(recorded)
}

pub(super) async fn by_id(tx: &DatabaseTransaction, id: TransactionId) -> Result<Model, Error> {
    Entity::find_by_id(id).one(tx).await?.ok_or(Error::missing(id))
}

async fn record_within(
    row: &LockedRow<'_>,
    order: order::Model,
    current: Model,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<Recorded, Error> {
    let heard = match mismatch(&current, told) {
        Some(reason) => {
            ask(row, &current, reason, told, now).await?;
            Heard::Nothing
        }
        None => told.heard,
    };
    if current.status.contradicts(heard) {
        ask(row, &current, Reason::ContradictingResult, told, now).await?;
        return Ok(Recorded::default());
    }
    let Some(status) = current.status.on(heard) else { return Ok(Recorded::default()) };
    let payment = payments::by_id(row.tx, current.payment_id).await?;
    let unwanted = status == Status::Succeeded && is_unwanted(&current, &payment);
    write(row, &current, status, unwanted, told, now).await?;
    intent::touch(row.tx, &payment, now).await?;
    if current.management_state == Some(ManagementState::ReversalTransaction) {
        undo(row, &current, status, told, now).await?;
    }
    let mut paid = false;
    if status == Status::Succeeded && current.kind == Kind::Capture {
        release(row, &current, told, now).await?;
    }
    if status == Status::Succeeded && current.kind.captures() {
        make_active(row, &payment).await?;
        paid = follow(row, order, &current, told, now).await?;
    }
    Ok(Recorded { paid, unwanted })
}

/// Other money than was asked for is no success (rule P2): it is kept, and the amount stays reserved.
fn mismatch(current: &Model, told: &Told) -> Option<Reason> {
    match told.amount {
        Some(amount) if told.heard == Heard::Succeeded && amount.currency() != current.currency => {
            Some(Reason::CurrencyMismatch)
        }
        Some(amount) if told.heard == Heard::Succeeded && amount.minor() != current.amount_minor => {
            Some(Reason::AmountMismatch)
        }
        _ => None,
    }
}

/// Whether an authorization came too late to be wanted: its payment was archived or changed while it was unanswered.
fn is_unwanted(current: &Model, payment: &payment::Model) -> bool {
    current.kind == Kind::Authorize
        && (payment.status == payment::Status::Archived
            || current.management_state == Some(ManagementState::RequiresReversal))
}

async fn ask(
    row: &LockedRow<'_>,
    current: &Model,
    reason: Reason,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let question = Question {
        reason,
        payment: current.payment_id,
        attempt: None,
        transaction: Some(current.id),
        expected: current.amount(),
        reported: told.amount.unwrap_or(current.amount()),
        words: Some(format!("the provider said: {:?}", told.heard)),
    };
    case::open_once(row.tx, question, now).await
}

async fn write(
    row: &LockedRow<'_>,
    current: &Model,
    status: Status,
    unwanted: bool,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let mut values = ActiveModel { status: Set(status), ..ActiveModel::default() };
    if let Some(answer) = &told.answer {
        values.provider_reference = Set(Some(answer.provider_reference.clone()));
    }
    if let (Status::Failed, Some(failure)) = (status, &told.failure) {
        values.failure_code = Set(Some(failure.code.clone()));
        values.failure_message = Set(Some(failure.message.clone()));
        values.decline = Set(failure.decline);
    }
    if !status.is_unanswered() {
        values.settled_at = Set(Some(now));
    }
    if unwanted {
        values.management_state = Set(Some(ManagementState::RequiresReversal));
    }
    let query = Entity::update_many().set(values).filter(Column::Id.eq(current.id));
    let written = query.filter(Column::Status.eq(current.status)).exec(row.tx).await?.rows_affected;
    if written == 1 { Ok(()) } else { Err(Error::Fault(format!("{} changed under its lock", current.id))) }
}

/// What undoes another transaction was answered: the other one is undone, or stuck, and then somebody has to look (rule S1).
async fn undo(
    row: &LockedRow<'_>,
    undoing: &Model,
    status: Status,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let step = match status {
        Status::Succeeded => Undoing::Done,
        Status::Failed => Undoing::Failed,
        Status::Sent | Status::Pending | Status::Unknown => return Ok(()),
    };
    let original = by_id(row.tx, undoing.parent_id.ok_or_else(|| Error::missing(undoing.id))?).await?;
    let Some(state) = ManagementState::on(original.management_state, step) else { return Ok(()) };
    set_state(row.tx, &original, state).await?;
    match state {
        ManagementState::FailedReversal => ask(row, &original, Reason::FailedReversal, told, now).await,
        _ => Ok(()),
    }
}

pub(super) async fn set_state(tx: &DatabaseTransaction, of: &Model, state: ManagementState) -> Result<(), Error> {
    let values = ActiveModel { management_state: Set(Some(state)), ..ActiveModel::default() };
    Entity::update_many().set(values).filter(Column::Id.eq(of.id)).exec(tx).await?;
    Ok(())
}

/// The rest of an authorization that a capture ended is held no more (rule P10): the ledger says so by a reversal of its own.
async fn release(row: &LockedRow<'_>, capture: &Model, told: &Told, now: DateTime<Utc>) -> Result<(), Error> {
    let Some(released) = told.released().filter(|released| released.minor() > 0) else { return Ok(()) };
    let id = TransactionId::new(now);
    let let_go = Model {
        id,
        kind: Kind::ReverseAuthorize,
        status: Status::Succeeded,
        management_state: None,
        amount_minor: released.minor(),
        reference: id.to_string(),
        provider_reference: told.answer.as_ref().map(|answer| answer.provider_reference.clone()),
        source: Some("provider".into()),
        source_entity_type: Some("CAPTURE".into()),
        source_entity_id: Some(capture.id.to_string()),
        created_at: now,
        settled_at: Some(now),
        ..capture.clone()
    };
    Entity::insert(let_go.into_active_model()).exec_without_returning(row.tx).await?;
    Ok(())
}

/// Money that came for a payment makes it active again (rule T3).
async fn make_active(row: &LockedRow<'_>, payment: &payment::Model) -> Result<(), Error> {
    if payment.status == payment::Status::Active {
        return Ok(());
    }
    payment::Entity::update_many()
        .col_expr(payment::Column::Status, Expr::value(payment::Status::Active))
        .filter(payment::Column::Id.eq(payment.id))
        .exec(row.tx)
        .await?;
    Ok(())
}

/// Captured money that covers its order pays it (rule O6); what comes for an order that wants no more becomes a case (rule O7).
async fn follow(
    row: &LockedRow<'_>,
    order: order::Model,
    current: &Model,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    match order.status {
        order::Status::AwaitingPayment => match pay_if_covered(row.tx, order, None, now).await? {
            Payable::Paid(paid) => {
                attempt::hide_open(row.tx, paid.id).await?;
                Ok(true)
            }
            Payable::NotCovered(_) => Ok(false),
        },
        order::Status::Cancelled => {
            ask(row, current, Reason::ContradictingResult, told, now).await?;
            Ok(false)
        }
        order::Status::Paid => {
            let taken = payments::ledger(row.tx, order.id).await?.summary(&order)?.total_ever_captured;
            if !order.total().covers(taken)? {
                ask(row, current, Reason::PaidTwice, told, now).await?;
            }
            Ok(false)
        }
    }
}

/// The last look at a failure's code: whether nothing was run at all.
pub(super) fn was_never_run(transaction: &Model) -> bool {
    transaction.status == Status::Failed && transaction.failure_code.as_deref() == Some(PROVIDER_UNAVAILABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    // rule P8
    #[test]
    fn a_refusal_is_the_last_word_only_where_nothing_was_sent_before() {
        let refused = || Err(CallError::Refused("no".into()));
        assert_eq!(Told::by_call(refused(), false).heard, Heard::Failed);
        assert_eq!(Told::by_call(refused(), true).heard, Heard::Nothing);
    }

    #[test]
    fn an_answer_that_is_not_known_is_no_failure() {
        assert_eq!(Told::by_call(Err(CallError::Unknown("cut".into())), false).heard, Heard::Nothing);
    }
}
