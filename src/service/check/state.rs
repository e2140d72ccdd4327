//! An order's state against its money, its cart and its snapshot (rules O3 to O6).

use chrono::{DateTime, TimeDelta, Utc};
use entity::{order::Status, reconciliation, transaction};

use super::{Finding, dossier::Dossier};

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
    let summary = dossier.summary().ok()?;
    let (total, captured, ever) = (dossier.order.total(), summary.captured, summary.total_ever_captured);
    match dossier.order.status {
        Status::Paid if !ever.covers(total).ok()? => {
            Some(format!("is PAID, and {ever} of its {total} were ever captured"))
        }
        Status::Paid if !total.covers(captured).ok()? && !dossier.has_case(|_| true) => {
            Some(format!("is PAID and holds {captured}, more than its {total}, and there is no case"))
        }
        Status::AwaitingPayment
            if !total.is_zero() && captured.covers(total).ok()? && !dossier.has_case(reconciliation::Model::stands) =>
        {
            Some(format!("awaits payment, though {captured} of its {total} are captured, and there is no case"))
        }
        Status::Cancelled if captured.minor() > 0 && is_forgotten(dossier, now) && !dossier.has_case(|_| true) => {
            Some(format!("is CANCELLED and holds {captured} of captured money, and there is no case"))
        }
        Status::Paid | Status::AwaitingPayment | Status::Cancelled => None,
    }
}

/// Whether nobody may know of the money that a cancelled order holds: it came after the cancellation, or nobody has given it back since.
fn is_forgotten(dossier: &Dossier, now: DateTime<Utc>) -> bool {
    let Some(cancelled_at) = dossier.order.cancelled_at else { return true };
    let captures =
        dossier.transactions().filter(|row| row.kind.captures() && row.status == transaction::Status::Succeeded);
    let came_late = captures.filter_map(|row| row.settled_at).any(|at| at > cancelled_at);
    came_late || cancelled_at + REFUNDED < now
}
