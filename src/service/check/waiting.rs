//! What waits, and nobody will come back to: unanswered calls that no check is scheduled for, and news that was kept too long (rules R1, W2).

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    attempt,
    event::{Entity, Model, State},
};
use sea_orm::{ActiveEnum, DbErr};

use super::{Check, Finding, dossier::Dossier};

/// Whoever sent it would have come to an end by then, and the reconciler would have found it.
const UNANSWERED: TimeDelta = TimeDelta::minutes(15);
/// Whoever checks is gone if a check is so late.
const OVERDUE: TimeDelta = TimeDelta::days(1);
/// What news is about is known by then, or never will be.
const PARKED: TimeDelta = TimeDelta::days(1);
/// So often is kept news tried.
const TRIES: i32 = 5;

pub(super) fn look(dossier: &Dossier, now: DateTime<Utc>, found: &mut Vec<Finding>) {
    for row in dossier.transactions().filter(|row| row.status.is_unanswered()) {
        let late = unscheduled(row.created_at, row.next_check_at, now);
        found.extend(late.map(|late| Finding::new(row.id, format!("is {} {late}", row.status.to_value()))));
    }
    for row in dossier.attempts.iter().filter(|row| row.status == attempt::Status::Created) {
        let late = unscheduled(row.created_at, row.next_check_at, now);
        found.extend(late.map(|late| Finding::new(row.id, format!("is CREATED {late}"))));
    }
}

/// Since when it is unanswered, and why nobody will ask after it.
fn unscheduled(since: DateTime<Utc>, check: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<String> {
    if since + UNANSWERED >= now {
        return None;
    }
    match check {
        None => Some(format!("since {since}, and no check is scheduled")),
        Some(check) if check + OVERDUE < now => Some(format!("since {since}, and its check is overdue since {check}")),
        Some(_) => None,
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
