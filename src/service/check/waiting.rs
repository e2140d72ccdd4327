//! What waits, and nobody will come back to: unanswered calls, sessions whose time is up and money to be given back that no check is scheduled for, and
//! news that was kept too long (rules R1, W2).
//!
//! A row whose next check is null is due at once: so it is written first, and by whatever changes what is to be done about it. The reconciler finds it
//! within a second of its first pause and says when the next check is, so that null says nothing of a row that was written to just now, however old it
//! is; only where it stays so does nobody look.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    attempt::{Model as Attempt, Status},
    event::{Entity, Model, State},
    transaction::{self, ManagementState, Model as Transaction},
};
use sea_orm::{ActiveEnum, DbErr};

use super::{Check, Finding, dossier::Dossier};

/// Whoever wrote to it would have come to an end by then, and the reconciler would have found it.
const UNFOUND: TimeDelta = TimeDelta::minutes(15);
/// Whoever checks is gone if a check is so late: the longest pause is as long.
const OVERDUE: TimeDelta = TimeDelta::days(1);
/// A shopper may stay away for as long as a session is open; what came of it is asked when its time is up, and known by then.
const EXPIRED: TimeDelta = TimeDelta::days(1);
/// How long a session may be open that the provider names no end of.
const SESSION: TimeDelta = TimeDelta::days(1);
/// What news is about is known by then, or never will be.
const PARKED: TimeDelta = TimeDelta::days(1);
/// So often is kept news tried.
const TRIES: i32 = 5;

pub(super) fn look(dossier: &Dossier, now: DateTime<Utc>, found: &mut Vec<Finding>) {
    for books in &dossier.payments {
        for row in books.transactions.iter().filter(|row| row.status.is_unanswered() || is_marked(row)) {
            let changed_at = books.changed_at(row);
            if let Some(why) = unscheduled(row.next_check_at, changed_at, now) {
                found.push(Finding::new(row.id, format!("{}, and {why}", waits(row, changed_at))));
            }
        }
    }
    for row in &dossier.attempts {
        if let Some(what) = is_open(row, now)
            && let Some(why) = unscheduled(row.next_check_at, dossier.touched_at(row), now)
        {
            found.push(Finding::new(row.id, format!("{what}, and {why}")));
        }
    }
}

/// Whether it moved money that is to be given back. What did not succeed moved none.
fn is_marked(row: &Transaction) -> bool {
    row.status == transaction::Status::Succeeded && row.management_state == Some(ManagementState::RequiresReversal)
}

fn waits(row: &Transaction, changed_at: DateTime<Utc>) -> String {
    match is_marked(row) {
        true => format!("is to be given back since {changed_at}"),
        false => format!("is {} since {}", row.status.to_value(), row.created_at),
    }
}

/// What an attempt is that should have come to something.
fn is_open(row: &Attempt, now: DateTime<Utc>) -> Option<String> {
    let status = row.status.to_value();
    match (row.status, row.expires_at) {
        (Status::Created, _) => Some(format!("is {status} since {}", row.created_at)),
        (Status::Pending | Status::Processing, Some(up_at)) if up_at + EXPIRED < now => {
            Some(format!("is {status}, though its time was up at {up_at}"))
        }
        (Status::Pending | Status::Processing, None) if row.created_at + SESSION + EXPIRED < now => {
            Some(format!("is {status} since {}", row.created_at))
        }
        _ => None,
    }
}

/// Why nobody will come back to what was last written to then.
fn unscheduled(check: Option<DateTime<Utc>>, touched_at: DateTime<Utc>, now: DateTime<Utc>) -> Option<String> {
    match check {
        None if touched_at + UNFOUND < now => Some("no check is scheduled".to_owned()),
        Some(check) if check + OVERDUE < now => Some(format!("its check is overdue since {check}")),
        _ => None,
    }
}

impl Check<'_> {
    pub(super) async fn events(&mut self) -> Result<(), DbErr> {
        let mut after = None;
        while let Some(page) = self.page::<Entity>(after.as_deref(), &mut HashSet::new()).await? {
            let waits = |event: &&Model| {
                event.state == State::Parked && (event.received_at + PARKED < self.now || event.tries >= TRIES)
            };
            let found: Vec<Finding> = page.rows.iter().filter(waits).map(parked).collect();
            found.iter().for_each(|finding| self.finds(finding));
            after = Some(page.last);
        }
        Ok(())
    }
}

fn parked(event: &Model) -> Finding {
    let Model { provider, event_id, received_at, tries, .. } = event;
    let what = format!("is PARKED since {received_at} and was tried {tries} times: nobody knows what it is about");
    Finding::new(format!("event {event_id:?} of {provider}"), what)
}
