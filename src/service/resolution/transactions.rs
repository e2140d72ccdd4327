//! Decisions about what was sent to a provider (rules R3, P2).

use chrono::{DateTime, Utc};
use entity::{
    money::Money,
    order as orders,
    reconciliation::{Reason, Step},
    share::rest,
    summary::{Entry, PaymentSummary},
    transaction::{ActiveModel, Kind, ManagementState, Model, Status, Undoing},
};
use sea_orm::ActiveValue::Set;

use super::{Scene, Todo};
use crate::{
    error::{Error, Problem},
    service::{
        answer::{self, Recorded, set_state},
        audit,
        lease::HeldLock,
        payment as payments, reversal,
        told::Told,
    },
};

/// Carries out what was decided about a transaction.
pub(super) async fn decide(
    step: Step,
    scene: &Scene<'_>,
    row: Model,
    ledger: &[Model],
    order: orders::Model,
) -> Result<Todo, Error> {
    let &Scene { held, case, now, .. } = scene;
    let locked = held.row();
    let reported = case.reported().filter(|_| case.reason != Reason::OutcomeUnknown).unwrap_or(row.amount());
    match step {
        Step::TakeIn => {
            let (open, told) = bring_in(scene, row, ledger, reported).await?;
            let recorded = answer::record_within(locked, order, open, &told, now).await?;
            Ok(Todo { recorded, ..Todo::default() })
        }
        Step::TakeInUnwanted if row.kind == Kind::Capture => {
            // What was captured is not held any more, whether or not it is given back (rule S4).
            let (open, told) = bring_in(scene, row, ledger, reported).await?;
            answer::write(locked, &open, Status::Succeeded, false, &told, now).await?;
            answer::release(locked, &open, &told, now).await?;
            let sent = reversal::write(held, &open, reported, None, now).await?;
            Ok(Todo { sends: vec![sent], ..Todo::default() })
        }
        Step::TakeInUnwanted => {
            let open = reopen(held, row, reported, now).await?;
            let told = Told::decided(true, &open);
            answer::write(locked, &open, Status::Succeeded, true, &told, now).await?;
            Ok(Todo { recorded: Recorded { paid: false, unwanted: true }, ..Todo::default() })
        }
        Step::GiveUp => {
            check_unused(&row, ledger, &order)?;
            let amount = row.amount();
            let open = reopen(held, row, amount, now).await?;
            let told = Told::decided(false, &open);
            let recorded = answer::record_within(locked, order, open, &told, now).await?;
            Ok(Todo { recorded, ..Todo::default() })
        }
        Step::GiveBack => {
            let sent = reversal::give_back(held, &row, ledger, now).await?;
            let unwanted = sent.is_none();
            Ok(Todo {
                recorded: Recorded { paid: false, unwanted },
                sends: sent.into_iter().collect(),
                ..Todo::default()
            })
        }
        Step::ReverseAgain => reverse_again(held, &row, ledger, now).await,
        Step::Reversed if row.management_state.is_none() && row.status == Status::Failed => {
            let amount = row.amount();
            check_room(held, &row, ledger, amount).await?;
            let open = reopen(held, row, amount, now).await?;
            let told = Told::decided(true, &open);
            let recorded = answer::record_within(locked, order, open, &told, now).await?;
            Ok(Todo { recorded, ..Todo::default() })
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

/// Makes of a transaction one that comes to this amount, and says that it did. Where a capture ends its authorization, the rest of that is let go.
async fn bring_in(scene: &Scene<'_>, row: Model, ledger: &[Model], amount: Money) -> Result<(Model, Told), Error> {
    let room = check_room(scene.held, &row, ledger, amount).await?;
    // What undoes another transaction makes it undone, however it stands.
    if row.management_state != Some(ManagementState::ReversalTransaction) {
        count_parent(scene.held, &row, ledger, scene.now).await?;
    }
    let ends = row.kind == Kind::Capture && scene.captures_end_authorizations;
    let open = reopen(scene.held, row, amount, scene.now).await?;
    let told = Told::decided(true, &open);
    match ends {
        true => Ok((open, told.letting_go(room.minus(amount)?))),
        false => Ok((open, told)),
    }
}

/// What comes into the books late must fit into them: somebody may have used the room (rule P4). Gives how much room there is.
async fn check_room(held: &HeldLock<'_>, row: &Model, ledger: &[Model], amount: Money) -> Result<Money, Error> {
    let others: Vec<Model> = ledger.iter().filter(|other| other.id != row.id).cloned().collect();
    let available = match ledger.iter().find(|other| Some(other.id) == row.parent_id) {
        Some(parent) => rest(parent, &others)?,
        None if row.kind == Kind::DetachedCredit => return Ok(amount),
        None => {
            let payment = payments::by_id(held.tx(), held.payment_id()).await?;
            let entries: Vec<Entry> = others.iter().map(Model::entry).collect();
            PaymentSummary::of(payment.amount(), &entries)?.available_for_authorize
        }
    };
    match available.covers(amount)? {
        true => Ok(available),
        false => Err(Problem::AmountExceedsAvailable { requested: amount, available }.into()),
    }
}

/// An authorization of which something turns out to be captured counts: it could not be given back, or not yet.
async fn count_parent(held: &HeldLock<'_>, row: &Model, ledger: &[Model], now: DateTime<Utc>) -> Result<(), Error> {
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
fn check_unused(row: &Model, ledger: &[Model], order: &orders::Model) -> Result<(), Error> {
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
async fn reopen(held: &HeldLock<'_>, row: Model, amount: Money, now: DateTime<Utc>) -> Result<Model, Error> {
    if row.status.is_unanswered() && row.amount() == amount {
        return Ok(row);
    }
    let values = ActiveModel {
        status: Set(Status::Unknown),
        amount_minor: Set(amount.minor()),
        settled_at: Set(None),
        failure_code: Set(None),
        failure_message: Set(None),
        decline: Set(None),
        ..ActiveModel::default()
    };
    audit::change(held.row(), &row, values, now).await?;
    answer::by_id(held.tx(), row.id).await
}

/// Tries once more to undo what could not be undone: a mark is set anew, or the same is asked for again where a rest was to be given back.
async fn reverse_again(held: &HeldLock<'_>, row: &Model, ledger: &[Model], now: DateTime<Utc>) -> Result<Todo, Error> {
    if let Some(state) = ManagementState::on(row.management_state, Undoing::Again) {
        set_state(held.row(), row, state, now).await?;
        return Ok(Todo { recorded: Recorded { paid: false, unwanted: true }, ..Todo::default() });
    }
    let Some(parent) = ledger.iter().find(|other| Some(other.id) == row.parent_id) else { return Ok(Todo::default()) };
    let left = rest(parent, ledger)?;
    let again = if left.covers(row.amount())? { row.amount() } else { left };
    match again.minor() > 0 && row.status == Status::Failed {
        true => {
            let sent = reversal::write(held, parent, again, None, now).await?;
            Ok(Todo { recorded: Recorded::default(), sends: vec![sent], ..Todo::default() })
        }
        false => Ok(Todo::default()),
    }
}
