//! An order's state against its money, its cart and its snapshot (rules O3 to O6).

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    money::{Money, MoneyError},
    order::Status,
    reconciliation::{Model as Case, Reason, Resolution},
    transaction::{self, Kind},
};

use super::{
    Finding,
    dossier::{Books, Dossier},
};

/// Whoever cancels an order that holds captured money refunds it after that (rule O7).
const REFUNDED: TimeDelta = TimeDelta::hours(1);

pub(super) fn look(dossier: &Dossier, now: DateTime<Utc>, found: &mut Vec<Finding>) {
    let order = &dossier.order;
    let mut add = |what: String| found.push(Finding::new(order.id, what));
    order.contradictions().into_iter().for_each(&mut add);
    let is_paid = order.status == Status::Paid;
    match &dossier.snapshot {
        Some(snapshot) => snapshot.contradictions(order).into_iter().for_each(&mut add),
        None if is_paid => add("is PAID and has no snapshot".into()),
        None => {}
    }
    if !is_paid && let Some(snapshot) = &dossier.snapshot {
        add(format!("is not PAID and has a snapshot, taken at {}", snapshot.taken_at));
    }
    if is_paid != order.paid_at.is_some() {
        add(if is_paid { "is PAID, and not since when" } else { "is not PAID, and has a time since when it is" }.into());
    }
    if let Some(what) = against_money(dossier, now) {
        add(what);
    }
}

/// What the state says of the money that the ledger doesn't. Where the money can't be added up, that is told elsewhere.
fn against_money(dossier: &Dossier, now: DateTime<Utc>) -> Option<String> {
    let (total, ever) = (dossier.order.total(), dossier.summary().ok()?.total_ever_captured);
    let kept = kept(dossier).ok()?;
    match dossier.order.status {
        Status::Paid if !ever.covers(total).ok()? => {
            Some(format!("is PAID, and {ever} of its {total} were ever captured"))
        }
        Status::Paid if !total.covers(kept).ok()? => {
            Some(format!("is PAID and holds {kept}, more than its {total}, and there is no case about it"))
        }
        Status::AwaitingPayment if !total.is_zero() && kept.covers(total).ok()? => {
            Some(format!("awaits payment, though {kept} of its {total} are captured, and there is no case about it"))
        }
        Status::Cancelled if kept.minor() > 0 && is_forgotten(dossier, now) => {
            Some(format!("is CANCELLED and holds {kept} of captured money, and there is no case about it"))
        }
        Status::Paid | Status::AwaitingPayment | Status::Cancelled => None,
    }
}

/// What was captured and is not being given back, on all payments but those whose captured money somebody is asked about, or has left as it is: a case
/// about one payment excuses no money that came by another.
fn kept(dossier: &Dossier) -> Result<Money, MoneyError> {
    let kept: Result<Vec<Money>, MoneyError> =
        unasked(dossier).map(|books| books.summary().map(|summary| summary.available_for_refund)).collect();
    Money::sum(kept?, dossier.order.currency)
}

fn unasked(dossier: &Dossier) -> impl Iterator<Item = &Books> {
    dossier.payments.iter().filter(|books| !dossier.has_case(|case| is_about(case, books)))
}

/// Whether a case that stands is about money that was captured on this payment, or was to be given back of it.
fn is_about(case: &Case, books: &Books) -> bool {
    let is_about_money = match case.reason {
        Reason::AmountMismatch
        | Reason::CartChanged
        | Reason::PaidTwice
        | Reason::FailedReversal
        | Reason::ContradictingResult => true,
        // What came of it came into the books, or is asked about, by itself; and money of another currency never does (rule M3).
        Reason::OutcomeUnknown | Reason::CurrencyMismatch => false,
    };
    let moves = |row: &transaction::Model| row.kind.captures() || row.kind == Kind::Refund;
    let names_money = match case.transaction_id {
        Some(id) => books.transactions.iter().any(|row| row.id == id && moves(row)),
        // What a session is said to have moved is in the books once somebody accepts it.
        None => case.resolution == Some(Resolution::Accept),
    };
    case.payment_id == books.payment.id && case.stands() && is_about_money && names_money
}

/// Whether nobody may know of the money that a cancelled order holds: it came after the cancellation, or nobody has given it back since.
fn is_forgotten(dossier: &Dossier, now: DateTime<Utc>) -> bool {
    let Some(cancelled_at) = dossier.order.cancelled_at else { return true };
    let rows = unasked(dossier).flat_map(|books| &books.transactions);
    let captures = rows.filter(|row| row.kind.captures() && row.status == transaction::Status::Succeeded);
    let came_late = captures.filter_map(|row| row.settled_at).any(|at| at > cancelled_at);
    came_late || cancelled_at + REFUNDED < now
}
