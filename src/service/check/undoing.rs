//! Management states against what undoes what is in them (rules P2, S1).

use chrono::{DateTime, Utc};
use entity::transaction::{Kind, ManagementState, Model, Status};

use super::{Finding, dossier::Dossier};

pub(super) fn look(dossier: &Dossier, _: DateTime<Utc>, found: &mut Vec<Finding>) {
    for books in &dossier.payments {
        for row in &books.transactions {
            if let Some(what) = wrong(dossier, &books.transactions, row) {
                found.push(Finding::new(row.id, what));
            }
        }
    }
}

fn wrong(dossier: &Dossier, ledger: &[Model], row: &Model) -> Option<&'static str> {
    let undone_by = |is: fn(Status) -> bool| {
        let undoes = Some(ManagementState::ReversalTransaction);
        ledger
            .iter()
            .any(|child| child.parent_id == Some(row.id) && child.management_state == undoes && is(child.status))
    };
    let is_decided = || dossier.has_case(|case| case.transaction_id == Some(row.id) && case.is_decided());
    match row.management_state? {
        ManagementState::Reversed if !undone_by(|status| status == Status::Succeeded) && !is_decided() => {
            Some("is REVERSED, and nothing that succeeded reversed it")
        }
        ManagementState::ReversalInProgress if !undone_by(Status::is_unanswered) && !is_decided() => {
            Some("is in REVERSAL_IN_PROGRESS, and nothing that is unanswered reverses it")
        }
        ManagementState::FailedReversal if !dossier.has_case(|case| case.transaction_id == Some(row.id)) => {
            Some("is in FAILED_REVERSAL, and there is no case")
        }
        ManagementState::ReversalTransaction if row.kind.charges() || row.kind == Kind::DetachedCredit => {
            Some("is a REVERSAL_TRANSACTION of a kind that reverses nothing")
        }
        ManagementState::ReversalTransaction => against_parent(ledger, row),
        ManagementState::Reversed
        | ManagementState::ReversalInProgress
        | ManagementState::FailedReversal
        | ManagementState::RequiresReversal
        | ManagementState::ReversalCandidate
        | ManagementState::AutomaticReversalNotAllowed => None,
    }
}

/// What undoes another, and the other doesn't know.
fn against_parent(ledger: &[Model], row: &Model) -> Option<&'static str> {
    let parent = ledger.iter().find(|parent| Some(parent.id) == row.parent_id)?;
    match row.status {
        // What gave back less has not undone it.
        Status::Succeeded
            if parent.management_state != Some(ManagementState::Reversed)
                && row.amount_minor >= parent.amount_minor =>
        {
            Some("succeeded, and what it reversed is not REVERSED")
        }
        Status::Sent | Status::Pending | Status::Unknown
            if parent.management_state != Some(ManagementState::ReversalInProgress) =>
        {
            Some("is unanswered, and what it reverses is not in REVERSAL_IN_PROGRESS")
        }
        Status::Sent | Status::Pending | Status::Unknown | Status::Succeeded | Status::Failed => None,
    }
}
