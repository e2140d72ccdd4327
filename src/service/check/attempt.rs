//! Attempts against their transactions, payments, orders and cases (rules T3 to T6).

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    attempt::{Model, Status},
    order, payment, transaction,
};
use sea_orm::ActiveEnum;

use super::{
    Finding,
    dossier::{Books, Dossier},
};

/// A session is ended when its order is paid or cancelled; a provider that can't be reached may keep it open for a while.
const LEFTOVER: TimeDelta = TimeDelta::hours(1);

pub(super) fn look(dossier: &Dossier, now: DateTime<Utc>, found: &mut Vec<Finding>) {
    for attempt in &dossier.attempts {
        let mut add = |what: String| found.push(Finding::new(attempt.id, what));
        if !dossier.has_case(|case| case.attempt_id == Some(attempt.id) && case.is_decided())
            && let Some(what) = against_transaction(dossier, attempt)
        {
            add(what);
        }
        if attempt.status == Status::Conflicted && !dossier.has_case(|case| case.attempt_id == Some(attempt.id)) {
            add("is CONFLICTED, and there is no case".into());
        }
        if attempt.status.is_open()
            && let Some(since) = closed_at(&dossier.order).filter(|since| *since + LEFTOVER < now)
        {
            let (status, order) = (attempt.status.to_value(), dossier.order.status.to_value());
            add(format!("is {status}, and its order is {order} since {since}"));
        }
        match dossier.payments.iter().find(|books| books.payment.id == attempt.payment_id) {
            None => add(format!("is for {}, which is not of its order", attempt.payment_id)),
            Some(books) => against_payment(attempt, books).into_iter().for_each(add),
        }
    }
}

fn closed_at(order: &order::Model) -> Option<DateTime<Utc>> {
    order.paid_at.or(order.cancelled_at)
}

/// An attempt that succeeded has its one transaction, of its amount, and no other has one that succeeded (rules T4, T6).
fn against_transaction(dossier: &Dossier, attempt: &Model) -> Option<String> {
    let row = dossier.transactions().find(|row| row.attempt_id == Some(attempt.id));
    let row = row.filter(|row| row.status == transaction::Status::Succeeded);
    let status = attempt.status.to_value();
    match row {
        None if attempt.status == Status::Succeeded => {
            Some(format!("is SUCCEEDED, and none of its {} came into the ledger", attempt.amount()))
        }
        Some(row) if attempt.status != Status::Succeeded => {
            Some(format!("is {status}, and {} moved {} for it", row.id, row.amount()))
        }
        Some(row) if row.amount() != attempt.amount() => {
            Some(format!("is for {}, and {} moved {} for it", attempt.amount(), row.id, row.amount()))
        }
        Some(row) if row.payment_id != attempt.payment_id => {
            Some(format!("is for {}, and {} moved its money for {}", attempt.payment_id, row.id, row.payment_id))
        }
        Some(_) | None => None,
    }
}

/// A payment whose attempt ended without money is archived; one whose attempt is open, or brought money that is still there, is not (rule T3).
fn against_payment(attempt: &Model, books: &Books) -> Option<String> {
    let is_archived = books.payment.status == payment::Status::Archived;
    let holds_money = || books.summary().is_ok_and(|summary| summary.captured.minor() > 0);
    let may_be = match is_archived {
        true => !attempt.status.is_open() && !holds_money(),
        false => !attempt.status.ended_without_money(),
    };
    let (its, status) = (books.payment.status.to_value(), attempt.status.to_value());
    (!may_be).then(|| format!("is {status}, and its payment {} is {its}", books.payment.id))
}
