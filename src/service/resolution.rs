//! A person's decision about a case, carried out under the lock of its payment (rules R3, K1).
//!
//! What a decision comes to is said by [`entity::reconciliation::step`]; here it is done, with the case closed in the same transaction. What is to be
//! given back is sent after it.

use chrono::{DateTime, Utc};
use entity::{
    attempt::{self, News},
    id::{CaseId, TransactionId},
    money::Money,
    order as orders, payment as payment_row,
    reconciliation::{Model, Reason, Resolution, State, Step, Subject, step},
    share::rest,
    summary::{Entry, PaymentSummary},
    transaction::{self, Failure, Kind, ManagementState, Status, Undoing},
};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};

use super::{
    answer::{self, Recorded, set_state},
    attempt as attempts, audit, case, intent,
    lease::{self, Errand, HeldLock, Lease},
    order, payment as payments, recovery, reversal, session, settle,
    told::Told,
};
use crate::{
    app::App,
    auth::{Audience, Caller, Scope},
    error::{Error, Problem, Read},
};

/// What somebody decided, and what they went by.
#[derive(Clone, Debug)]
pub struct Decision {
    pub case_id: CaseId,
    pub resolution: Resolution,
    pub evidence: String,
}

/// What is to be done once the decision is committed.
#[derive(Default)]
struct Todo {
    recorded: Recorded,
    sends: Vec<TransactionId>,
}

/// Carries out a decision. The same decision again gives the case as it is. Needs `payments:reconcile`.
pub async fn resolve_reconciliation_case(app: &App, caller: &Caller, decision: Read<Decision>) -> Result<Model, Error> {
    caller.require(Scope::PaymentsReconcile)?;
    let decision = decision?;
    let case = case::by_id(app.db.read(), decision.case_id).await?;
    if case.state == State::Resolved {
        return already(case, &decision);
    }
    let payment = payments::by_id(app.db.read(), case.payment_id).await?;
    let errand = Errand { by: caller.actor(), token: None, purpose: "resolveReconciliationCase" };
    let lease = lease::acquire(app, payment.id, &errand).await?;
    let carried_out = Box::pin(carry_out(app, caller, &payment, &decision, &lease)).await;
    lease::leave(app, &lease).await;
    carried_out?;
    case::by_id(app.db.read(), case.id).await
}

fn already(case: Model, decision: &Decision) -> Result<Model, Error> {
    // Where the provider's answer has settled it, there is nothing to ask any more.
    if case.resolution.unwrap_or(Resolution::Recheck) == decision.resolution {
        return Ok(case);
    }
    let by = case.resolved_by.unwrap_or_default();
    Err(Problem::invalid("caseId", format!("was resolved by {by} meanwhile")).into())
}

async fn carry_out(
    app: &App,
    caller: &Caller,
    payment: &payment_row::Model,
    decision: &Decision,
    lease: &Lease,
) -> Result<(), Error> {
    let asked = decision.resolution == Resolution::Recheck;
    let answered = asked && Box::pin(ask(app, payment, decision.case_id, lease)).await?;
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    let order = order::lock(&tx, &Audience::of_the_server(), payment.order_id).await?;
    let held = lease::hold(&tx, lease).await?;
    let case = case::by_id(&tx, decision.case_id).await?;
    if case.state == State::Resolved {
        // The provider has answered, or somebody was quicker.
        return if asked { Ok(()) } else { already(case, decision).map(drop) };
    }
    let subject = Booked::of(&held, &case).await?;
    let step = step(case.reason, subject.subject(&case), decision.resolution)
        .map_err(|why| Problem::invalid("resolution", why))?;
    let mut todo = Todo::default();
    if step == Step::Ask && !answered {
        case::asked_once_more(&tx, &case).await?;
    } else {
        // Before anything else, so that an answer which settles the case by itself finds it decided.
        case::resolve(&tx, &case, caller, decision.resolution, &decision.evidence, now).await?;
        todo = Box::pin(subject.takes(step, &held, order, &case, now)).await?;
        intent::touch(&tx, payment, now).await?;
    }
    tx.commit().await?;
    Box::pin(finish(app, payment, todo, lease)).await
}

/// Sends what is to be given back, and ends what must not be paid any more.
async fn finish(app: &App, payment: &payment_row::Model, todo: Todo, lease: &Lease) -> Result<(), Error> {
    if todo.recorded.paid {
        lease::keep(app, lease, session::end_leftover(app, payment.order_id)).await?;
    }
    for id in todo.sends {
        reversal::send(app, payment, id, lease).await?;
    }
    if todo.recorded.unwanted {
        Box::pin(reversal::reverse_unwanted(app, payment, lease)).await?;
    }
    Ok(())
}

/// Asks the provider how that stands which a case is about, and records what it says. Gives whether that is an answer to the case: it says by now what
/// the books say.
async fn ask(app: &App, payment: &payment_row::Model, id: CaseId, lease: &Lease) -> Result<bool, Error> {
    let case = case::by_id(app.db.read(), id).await?;
    if case.reason == Reason::FailedReversal {
        return Ok(false);
    }
    if let Some(id) = case.transaction_id {
        let row = answer::by_id(app.db.read(), id).await?;
        if row.status.is_unanswered() {
            recovery::settle(app, payment, &[row], lease).await?;
            return Ok(!answer::by_id(app.db.read(), id).await?.status.is_unanswered());
        }
        let agrees = Box::pin(recovery::compare(app, payment, &row, lease)).await?;
        // That money came for an order which wants none is no less so because the provider says it again.
        let is_about_the_amount = case.reason == Reason::AmountMismatch;
        return Ok(agrees && (is_about_the_amount || case.reported_status != Some(row.status)));
    }
    let id = case.attempt_id.ok_or_else(|| Error::Fault(format!("{} is about nothing", case.id)))?;
    let before = attempts::by_id(app.db.read(), id).await?.ok_or(Error::missing(id))?;
    lease::keep(app, lease, session::ask_again(app, &before)).await?;
    let after = attempts::by_id(app.db.read(), id).await?.ok_or(Error::missing(id))?;
    Ok(after.status == attempt::Status::Succeeded && before.status != after.status)
}

/// What a case is about, as it is in the books.
enum Booked {
    Attempt(Box<attempt::Model>),
    Transaction(Box<transaction::Model>, Vec<transaction::Model>),
}

impl Booked {
    async fn of(held: &HeldLock<'_>, case: &Model) -> Result<Self, Error> {
        if let Some(id) = case.transaction_id {
            let row = answer::by_id(held.tx(), id).await?;
            let ledger = payments::transactions(held.tx(), case.payment_id).await?;
            return Ok(Self::Transaction(Box::new(row), ledger));
        }
        let id = case.attempt_id.ok_or_else(|| Error::Fault(format!("{} is about nothing", case.id)))?;
        let row = attempts::by_id(held.tx(), id).await?.ok_or(Error::missing(id))?;
        Ok(Self::Attempt(Box::new(row)))
    }

    fn subject(&self, case: &Model) -> Subject {
        match self {
            Self::Attempt(row) => Subject::Attempt(row.status),
            Self::Transaction(row, _) => {
                Subject::Transaction { kind: row.kind, status: row.status, reported: case.reported_status }
            }
        }
    }

    async fn takes(
        self,
        step: Step,
        held: &HeldLock<'_>,
        order: orders::Model,
        case: &Model,
        now: DateTime<Utc>,
    ) -> Result<Todo, Error> {
        match self {
            Self::Attempt(row) => decide_attempt(step, held, &row, order, case, now).await,
            Self::Transaction(row, ledger) => decide_transaction(step, held, *row, &ledger, order, case, now).await,
        }
    }
}

// ── a session's money ──

async fn decide_attempt(
    step: Step,
    held: &HeldLock<'_>,
    attempt: &attempt::Model,
    order: orders::Model,
    case: &Model,
    now: DateTime<Utc>,
) -> Result<Todo, Error> {
    let row = held.row();
    let reported = case.reported().unwrap_or(attempt.amount());
    if matches!(step, Step::TakeIn | Step::TakeInUnwanted) && settle::booked_of(held.tx(), attempt).await?.is_some() {
        let why = "can't be that: money of this attempt is in the books already; settle the rest at the provider, and WRITE_OFF";
        return Err(Problem::invalid("resolution", why).into());
    }
    match step {
        Step::TakeIn => {
            make_room(held, reported).await?;
            let was_open = order.status == orders::Status::AwaitingPayment;
            let id = order.id;
            settle::accept(row, attempt, order, reported, now).await?;
            let after = order::by_id(held.tx(), id).await?.ok_or(Error::missing(id))?;
            let paid = was_open && after.status == orders::Status::Paid;
            Ok(Todo { recorded: Recorded { paid, unwanted: false }, sends: vec![] })
        }
        Step::TakeInUnwanted => {
            settle::book(row, attempt, reported, Some(ManagementState::RequiresReversal), now).await?;
            if let Some(to) = attempt.status.on(News::MoneyRefused) {
                settle::advance(row, attempt, to, None, now).await?;
            }
            archive(held).await?;
            Ok(Todo { recorded: Recorded { paid: false, unwanted: true }, sends: vec![] })
        }
        Step::GiveUp => {
            if let Some(failed) = attempt.status.on(News::Failed) {
                let message = "Somebody decided that nothing came of it.".to_owned();
                let failure = Failure { code: "written_off".into(), message, decline: None };
                settle::advance(row, attempt, failed, Some(&failure), now).await?;
            } else {
                archive(held).await?;
            }
            Ok(Todo::default())
        }
        Step::Leave | Step::Ask | Step::GiveBack | Step::ReverseAgain | Step::Reversed => Ok(Todo::default()),
    }
}

/// A payment is at least as much as was taken for it.
async fn make_room(held: &HeldLock<'_>, taken: Money) -> Result<(), Error> {
    let payment = payments::by_id(held.tx(), held.payment_id()).await?;
    if payment.amount().covers(taken)? {
        return Ok(());
    }
    change_payment(held, payment_row::Column::AmountMinor, Expr::value(taken.minor())).await
}

/// Nothing counts on it towards its order any more.
async fn archive(held: &HeldLock<'_>) -> Result<(), Error> {
    change_payment(held, payment_row::Column::Status, Expr::value(payment_row::Status::Archived)).await
}

async fn change_payment(held: &HeldLock<'_>, column: payment_row::Column, value: Expr) -> Result<(), Error> {
    let change = payment_row::Entity::update_many().col_expr(column, value);
    change.filter(payment_row::Column::Id.eq(held.payment_id())).exec(held.tx()).await?;
    Ok(())
}

// ── a transaction ──

async fn decide_transaction(
    step: Step,
    held: &HeldLock<'_>,
    row: transaction::Model,
    ledger: &[transaction::Model],
    order: orders::Model,
    case: &Model,
    now: DateTime<Utc>,
) -> Result<Todo, Error> {
    let locked = held.row();
    let reported = case.reported().filter(|_| case.reason != Reason::OutcomeUnknown).unwrap_or(row.amount());
    match step {
        Step::TakeIn => {
            check_room(held, &row, ledger, reported).await?;
            count_parent(held, &row, ledger, now).await?;
            let open = reopen(held, row, reported, now).await?;
            let told = Told::decided(true, &open);
            let recorded = answer::record_within(locked, order, open, &told, now).await?;
            Ok(Todo { recorded, sends: vec![] })
        }
        Step::TakeInUnwanted if row.kind == Kind::Capture => {
            // What was captured is not held any more, whether or not it is given back (rule S4).
            check_room(held, &row, ledger, reported).await?;
            count_parent(held, &row, ledger, now).await?;
            let open = reopen(held, row, reported, now).await?;
            let told = Told::decided(true, &open);
            answer::write(locked, &open, Status::Succeeded, false, &told, now).await?;
            let sent = reversal::write(held, &open, reported, None, now).await?;
            Ok(Todo { recorded: Recorded::default(), sends: vec![sent] })
        }
        Step::TakeInUnwanted => {
            let open = reopen(held, row, reported, now).await?;
            let told = Told::decided(true, &open);
            answer::write(locked, &open, Status::Succeeded, true, &told, now).await?;
            Ok(Todo { recorded: Recorded { paid: false, unwanted: true }, sends: vec![] })
        }
        Step::GiveUp => {
            check_unused(&row, ledger, &order)?;
            let amount = row.amount();
            let open = reopen(held, row, amount, now).await?;
            let told = Told::decided(false, &open);
            let recorded = answer::record_within(locked, order, open, &told, now).await?;
            Ok(Todo { recorded, sends: vec![] })
        }
        Step::GiveBack => {
            let sent = reversal::give_back(held, &row, ledger, now).await?;
            let unwanted = sent.is_none();
            Ok(Todo { recorded: Recorded { paid: false, unwanted }, sends: sent.into_iter().collect() })
        }
        Step::ReverseAgain => reverse_again(held, &row, ledger, now).await,
        Step::Reversed if row.management_state.is_none() && row.status == Status::Failed => {
            let amount = row.amount();
            check_room(held, &row, ledger, amount).await?;
            let open = reopen(held, row, amount, now).await?;
            let told = Told::decided(true, &open);
            let recorded = answer::record_within(locked, order, open, &told, now).await?;
            Ok(Todo { recorded, sends: vec![] })
        }
        Step::Reversed => {
            if let Some(state) = ManagementState::on(row.management_state, Undoing::ByHand) {
                set_state(locked, &row, state, now).await?;
            }
            Ok(Todo::default())
        }
        Step::Leave | Step::Ask => Ok(Todo::default()),
    }
}

/// What comes into the books late must fit into them: somebody may have used the room (rule P4).
async fn check_room(
    held: &HeldLock<'_>,
    row: &transaction::Model,
    ledger: &[transaction::Model],
    amount: Money,
) -> Result<(), Error> {
    let others: Vec<transaction::Model> = ledger.iter().filter(|other| other.id != row.id).cloned().collect();
    let available = match ledger.iter().find(|other| Some(other.id) == row.parent_id) {
        Some(parent) => rest(parent, &others)?,
        None if row.kind == Kind::DetachedCredit => return Ok(()),
        None => {
            let payment = payments::by_id(held.tx(), held.payment_id()).await?;
            let entries: Vec<Entry> = others.iter().map(transaction::Model::entry).collect();
            PaymentSummary::of(payment.amount(), &entries)?.available_for_authorize
        }
    };
    match available.covers(amount)? {
        true => Ok(()),
        false => Err(Problem::AmountExceedsAvailable { requested: amount, available }.into()),
    }
}

/// An authorization of which something turns out to be captured counts: it could not be given back, or not yet.
async fn count_parent(
    held: &HeldLock<'_>,
    row: &transaction::Model,
    ledger: &[transaction::Model],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let Some(parent) = ledger.iter().find(|other| Some(other.id) == row.parent_id) else { return Ok(()) };
    match parent.management_state {
        Some(ManagementState::RequiresReversal | ManagementState::FailedReversal) => {
            answer::clear_state(held.row(), parent, now).await
        }
        state if ManagementState::counts(state) => Ok(()),
        _ => {
            let why = "can't be that: what it acts on is given back, or about to be; settle it at the provider, and WRITE_OFF";
            Err(Problem::invalid("resolution", why).into())
        }
    }
}

/// What something was built on can't be taken out of the books.
fn check_unused(row: &transaction::Model, ledger: &[transaction::Model], order: &orders::Model) -> Result<(), Error> {
    let is_used = row.status == Status::Succeeded
        && (rest(row, ledger)? != row.amount() || (row.kind.captures() && order.status == orders::Status::Paid));
    match is_used {
        false => Ok(()),
        true => Err(Problem::invalid(
            "resolution",
            "can't be that: the order was paid with it, or part of it was used; WRITE_OFF",
        )
        .into()),
    }
}

/// Makes a transaction one whose outcome is open: a person's decision is the one thing that may change a last word (rules P2, R3).
async fn reopen(
    held: &HeldLock<'_>,
    row: transaction::Model,
    amount: Money,
    now: DateTime<Utc>,
) -> Result<transaction::Model, Error> {
    if row.status.is_unanswered() && row.amount() == amount {
        return Ok(row);
    }
    let values = transaction::ActiveModel {
        status: Set(Status::Unknown),
        amount_minor: Set(amount.minor()),
        settled_at: Set(None),
        failure_code: Set(None),
        failure_message: Set(None),
        decline: Set(None),
        ..transaction::ActiveModel::default()
    };
    audit::change(held.row(), &row, values, now).await?;
    answer::by_id(held.tx(), row.id).await
}

/// Tries once more to undo what could not be undone: a mark is set anew, or the same is asked for again where a rest was to be given back.
async fn reverse_again(
    held: &HeldLock<'_>,
    row: &transaction::Model,
    ledger: &[transaction::Model],
    now: DateTime<Utc>,
) -> Result<Todo, Error> {
    if let Some(state) = ManagementState::on(row.management_state, Undoing::Again) {
        set_state(held.row(), row, state, now).await?;
        return Ok(Todo { recorded: Recorded { paid: false, unwanted: true }, sends: vec![] });
    }
    let Some(parent) = ledger.iter().find(|other| Some(other.id) == row.parent_id) else { return Ok(Todo::default()) };
    let left = rest(parent, ledger)?;
    let again = if left.covers(row.amount())? { row.amount() } else { left };
    match again.minor() > 0 && row.status == Status::Failed {
        true => {
            let sent = reversal::write(held, parent, again, None, now).await?;
            Ok(Todo { recorded: Recorded::default(), sends: vec![sent] })
        }
        false => Ok(Todo::default()),
    }
}
