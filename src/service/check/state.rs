//! An order's state against its money, its cart and its snapshot (rules O3 to O6).

use chrono::{DateTime, Utc};
use entity::{order::Status, reconciliation::Model as Case};

use super::{Finding, dossier::Dossier};

pub(super) fn look(dossier: &Dossier, _: DateTime<Utc>, found: &mut Vec<Finding>) {
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
    if let Some(what) = against_money(dossier) {
        add(what);
    }
}

/// What the state says of the money that the ledger doesn't. Where the money can't be added up, that is told elsewhere.
fn against_money(dossier: &Dossier) -> Option<String> {
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
            if !total.is_zero() && captured.covers(total).ok()? && !dossier.has_case(Case::stands) =>
        {
            Some(format!("awaits payment, though {captured} of its {total} are captured, and there is no case"))
        }
        Status::Cancelled if captured.minor() > 0 && !dossier.has_case(|_| true) => {
            Some(format!("is CANCELLED and holds {captured} of captured money, and there is no case"))
        }
        Status::Paid | Status::AwaitingPayment | Status::Cancelled => None,
    }
}
