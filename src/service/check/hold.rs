//! Money of a shopper that is held for nobody: for an order that was cancelled, or a payment that was archived, and nobody will give it back (rules O7,
//! S1).

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    order, payment,
    reconciliation::State,
    share::rest,
    transaction::{Kind, ManagementState, Model, Status},
};

use super::{
    Finding,
    dossier::{Books, Dossier},
};
use crate::service::answer::SERVER;

/// Whoever wrote down what leaves something of a hold goes on to give it back; by then they would have.
const GIVEN_BACK: TimeDelta = TimeDelta::minutes(15);

pub(super) fn look(dossier: &Dossier, now: DateTime<Utc>, found: &mut Vec<Finding>) {
    for books in &dossier.payments {
        let Some(closed) = closed(dossier, books) else { continue };
        let is_busy = books.trail.iter().any(|entry| entry.written_at + GIVEN_BACK >= now);
        for row in books.transactions.iter().filter(|row| !is_busy && is_forgotten(dossier, books, row)) {
            // What can't be added up is told elsewhere.
            if let Ok(left) = rest(row, &books.transactions)
                && left.minor() > 0
            {
                let what = format!("still holds {left}, {closed}, and nobody will give it back");
                found.push(Finding::new(row.id, what));
            }
        }
    }
}

/// Why nothing is to be held for a payment any more.
fn closed(dossier: &Dossier, books: &Books) -> Option<&'static str> {
    if dossier.order.status == order::Status::Cancelled {
        return Some("its order is CANCELLED");
    }
    (books.payment.status == payment::Status::Archived).then_some("its payment is ARCHIVED")
}

/// Whether it holds money, and nobody is at giving it back: it is not marked, its provider did not refuse, and nobody is asked about it. What is
/// unanswered of it is not left.
fn is_forgotten(dossier: &Dossier, books: &Books, row: &Model) -> bool {
    let was_refused = |child: &Model| {
        child.parent_id == Some(row.id) && child.status == Status::Failed && child.source.as_deref() == Some(SERVER)
    };
    row.kind == Kind::Authorize
        && row.status == Status::Succeeded
        && ManagementState::counts(row.management_state)
        && !books.transactions.iter().any(was_refused)
        && !dossier.has_case(|case| case.transaction_id == Some(row.id) && case.state == State::Open)
}
