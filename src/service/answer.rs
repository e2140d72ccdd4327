//! What a provider said of a transaction is recorded: always, whatever became of the lock meanwhile (rule P7).
//!
//! The last word stands: what contradicts it later becomes a case (rule P2). The order follows the money that was captured.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::{
    event::Report,
    id::TransactionId,
    order, payment,
    reconciliation::Reason,
    transaction::{ActiveModel, Entity, Heard, Kind, ManagementState, Model, Status, Undoing},
};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, sea_query::Expr};

use super::{
    attempt, audit,
    case::{self, Question},
    intent,
    lease::{self, LockedRow},
    order::{self as orders, Payable, pay_if_covered},
    payment as payments, reversal, session,
    told::Told,
};
use crate::{app::App, auth::Audience, error::Error};

/// What recording led to, and what is to be done about it afterwards.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recorded {
    /// The order was paid by it: nothing else of it may be paid any more.
    pub paid: bool,
    /// Something is to be undone.
    pub unwanted: bool,
}

impl Recorded {
    pub fn add(&mut self, other: Self) {
        self.paid |= other.paid;
        self.unwanted |= other.unwanted;
    }
}

/// How long whoever could not write an answer down waits before the next try: there is no other answer (rule P7).
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// Records what was heard, in a transaction of its own; `also` is written with it.
pub(super) async fn record(
    app: &App,
    payment: &payment::Model,
    id: TransactionId,
    told: &Told,
    also: impl AsyncFnOnce(&LockedRow<'_>) -> Result<(), Error> + Clone,
) -> Result<Recorded, Error> {
    for pause in PAUSES {
        match record_once(app, payment, id, told, also.clone()).await {
            Err(Error::Busy(error) | Error::Fault(error)) => {
                tracing::error!(error, transaction = %id, "an answer could not be written down; it is tried again");
                tokio::time::sleep(pause).await;
            }
            recorded => return recorded,
        }
    }
    record_once(app, payment, id, told, also).await
}

async fn record_once(
    app: &App,
    payment: &payment::Model,
    id: TransactionId,
    told: &Told,
    also: impl AsyncFnOnce(&LockedRow<'_>) -> Result<(), Error>,
) -> Result<Recorded, Error> {
    let tx = app.db.begin_write().await?;
    let order = orders::lock(&tx, &Audience::of_the_server(), payment.order_id).await?;
    let row = lease::row(&tx, payment.id, told.actor()).await?;
    let current = by_id(&tx, id).await?;
    let recorded = Box::pin(record_within(&row, order, current, told, app.clock.now())).await?;
    also(&row).await?;
    tx.commit().await?;
    Ok(recorded)
}

/// What is to be done once it is recorded, where nobody is at work on the payment any more.
pub(super) async fn follow_up(app: &App, payment: &payment::Model, recorded: Recorded) -> Result<(), Error> {
    if recorded.paid {
        session::end_leftover(app, payment.order_id).await?;
    }
    match recorded.unwanted {
        true => reversal::reverse_unwanted_if_free(app, payment, None).await,
        false => Ok(()),
    }
}

pub(super) async fn by_id(tx: &impl ConnectionTrait, id: TransactionId) -> Result<Model, Error> {
    Entity::find_by_id(id).one(tx).await?.ok_or(Error::missing(id))
}

pub(super) async fn record_within(
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
        None => told.heard_of(&current),
    };
    if current.status.contradicts(heard) {
        ask(row, &current, Reason::ContradictingResult, told, now).await?;
    }
    let Some(status) = current.status.on(heard) else {
        // Whoever recorded it may not have come further.
        let marked = current.management_state == Some(ManagementState::RequiresReversal);
        return Ok(Recorded { paid: false, unwanted: marked && current.status == Status::Succeeded });
    };
    let payment = payments::by_id(row.tx, current.payment_id).await?;
    let unwanted = status == Status::Succeeded && is_unwanted(&current, &payment, &order);
    write(row, &current, status, unwanted, told, now).await?;
    intent::touch(row.tx, &payment, now).await?;
    if matches!(current.kind, Kind::ReverseAuthorize | Kind::Refund) {
        undo(row, &current, status, told, now).await?;
    }
    let came_to_nothing = status == Status::Failed && reversal::is_closed(&payment, &order);
    let held_for_nobody = came_to_nothing && reversal::let_go_of(row, &current, now).await?;
    let mut paid = false;
    let is_kept = status == Status::Failed && current.kind == Kind::Refund;
    if is_kept && order.status == order::Status::AwaitingPayment {
        // What was on its way back may be what the order still wanted.
        paid = follow(row, order.clone(), &current, told, now).await?;
    }
    if status == Status::Succeeded && current.kind == Kind::Capture {
        release(row, &current, told, now).await?;
    }
    if status == Status::Succeeded && current.kind.captures() {
        make_active(row, &payment).await?;
        paid = follow(row, order, &current, told, now).await?;
    }
    Ok(Recorded { paid, unwanted: unwanted || held_for_nobody })
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

/// Whether an authorization came too late to be wanted: its payment was archived or changed while it was unanswered, or its order cancelled.
fn is_unwanted(current: &Model, payment: &payment::Model, order: &order::Model) -> bool {
    current.kind == Kind::Authorize
        && (payment.status == payment::Status::Archived
            || order.status == order::Status::Cancelled
            || current.management_state == Some(ManagementState::RequiresReversal))
}

async fn ask(
    row: &LockedRow<'_>,
    current: &Model,
    reason: Reason,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let reported_status = match told.heard {
        Heard::Succeeded => Some(Status::Succeeded),
        Heard::Failed => Some(Status::Failed),
        Heard::Nothing | Heard::Pending => None,
    };
    let question = Question {
        reason,
        payment: current.payment_id,
        attempt: None,
        transaction: Some(current.id),
        expected: current.amount(),
        reported: Some(told.amount.unwrap_or(current.amount())),
        reported_status,
        words: Some(Report(format!("the provider said: {:?}", told.heard))),
    };
    case::open_once(row.tx, question, now).await
}

pub(super) async fn write(
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
        values.next_check_at = Set(None);
    }
    audit::change(row, current, values, now).await?;
    // Only what was asked after in vain has a case.
    if current.checks > 0 && status != Status::Unknown {
        case::answered(row.tx, Some(current.id), None, format!("it turned out to be {status:?}"), now).await?;
    }
    Ok(())
}

/// What undoes another transaction was answered: the other one is undone, or stuck, and then somebody has to look (rule S1). Where the provider could
/// not even be asked, it is still to be undone.
async fn undo(
    row: &LockedRow<'_>,
    undoing: &Model,
    status: Status,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if undoing.management_state != Some(ManagementState::ReversalTransaction) {
        let is_ours = undoing.source.as_deref() == Some(SERVER);
        return match is_ours && status == Status::Failed {
            true => ask(row, undoing, Reason::FailedReversal, told, now).await,
            false => Ok(()),
        };
    }
    let original = by_id(row.tx, undoing.parent_id.ok_or_else(|| Error::missing(undoing.id))?).await?;
    let was_asked = told.answer.is_some() || told.is_written_off();
    let step = match status {
        Status::Succeeded => Undoing::Done,
        Status::Failed if was_asked || original.checks >= MOST_REFUSALS => Undoing::Failed,
        Status::Failed => Undoing::NotAsked,
        Status::Sent | Status::Pending | Status::Unknown => return Ok(()),
    };
    // What gave back less has not undone it.
    let step =
        if step == Undoing::Done && undoing.amount_minor < original.amount_minor { Undoing::Failed } else { step };
    let Some(state) = ManagementState::on(original.management_state, step) else { return Ok(()) };
    set_state(row, &original, state, now).await?;
    match state {
        ManagementState::FailedReversal => ask(row, &original, Reason::FailedReversal, told, now).await,
        ManagementState::Reversed => case::reversed(row.tx, original.id, now).await,
        _ => Ok(()),
    }
}

/// A provider that has not let itself be asked to undo something at so many checks is one that won't: then somebody has to look.
const MOST_REFUSALS: i32 = 3;

/// The source of what the server asks for of itself.
pub(super) const SERVER: &str = "server";

pub(super) async fn set_state(
    row: &LockedRow<'_>,
    of: &Model,
    state: ManagementState,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let values = ActiveModel { management_state: Set(Some(state)), next_check_at: Set(None), ..ActiveModel::default() };
    audit::change(row, of, values, now).await
}

/// It counts like any other.
pub(super) async fn clear_state(row: &LockedRow<'_>, of: &Model, now: DateTime<Utc>) -> Result<(), Error> {
    let values = ActiveModel { management_state: Set(None), ..ActiveModel::default() };
    audit::change(row, of, values, now).await
}

/// The rest of an authorization that a capture ended is held no more (rule P10): the ledger says so by a reversal of its own.
pub(super) async fn release(
    row: &LockedRow<'_>,
    capture: &Model,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let Some(released) = told.released.filter(|released| released.minor() > 0) else { return Ok(()) };
    let let_go = Model {
        status: Status::Succeeded,
        provider_reference: told.answer.as_ref().map(|answer| answer.provider_reference.clone()),
        source: Some("provider".into()),
        source_entity_type: Some("CAPTURE".into()),
        source_entity_id: Some(capture.id.to_string()),
        settled_at: Some(now),
        ..reversal::beside(capture, released, now)
    };
    audit::insert(row, let_go, now).await
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
                attempt::hide_open(row.tx, paid.id, now).await?;
                ask_if_too_much(row, &paid, current, told, now).await?;
                Ok(true)
            }
            Payable::NotCovered(_) => Ok(false),
        },
        order::Status::Cancelled => {
            ask(row, current, Reason::ContradictingResult, told, now).await?;
            Ok(false)
        }
        order::Status::Paid => {
            ask_if_too_much(row, &order, current, told, now).await?;
            Ok(false)
        }
    }
}

async fn ask_if_too_much(
    row: &LockedRow<'_>,
    order: &order::Model,
    current: &Model,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let taken = payments::ledger(row.tx, order.id).await?.summary(order.total())?.total_ever_captured;
    match order.total().covers(taken)? {
        true => Ok(()),
        false => ask(row, current, Reason::PaidTwice, told, now).await,
    }
}
