//! Currencies, bounds and parents of what happened to an order's money (rules M3, P3, P4, S5).

use chrono::{DateTime, Utc};
use entity::{
    money::{Currency, Money, MoneyError},
    reconciliation::Reason,
    share::taken,
    summary::{Bound, broken_bounds},
    transaction::{self, Kind, ManagementState, Status},
};

use super::{
    Finding,
    dossier::{Books, Dossier},
};

pub(super) fn look(dossier: &Dossier, _: DateTime<Utc>, found: &mut Vec<Finding>) {
    let before = found.len();
    currencies(dossier, found);
    if found.len() > before {
        // Amounts of several currencies are not added up.
        return;
    }
    if let Err(error) = dossier.summary() {
        found.push(Finding::new(dossier.order.id, format!("can't be added up: it {error}")));
    }
    for books in &dossier.payments {
        if let Err(error) = bounds(dossier, books, found) {
            found.push(Finding::new(books.payment.id, format!("can't be added up: it {error}")));
        }
        parents(books, found);
    }
}

fn currencies(dossier: &Dossier, found: &mut Vec<Finding>) {
    let ours = dossier.order.currency;
    let mut same = |of: &dyn std::fmt::Display, its: Currency| {
        if its != ours {
            found.push(Finding::new(of, format!("is in {its}, and {} in {ours}", dossier.order.id)));
        }
    };
    for books in &dossier.payments {
        same(&books.payment.id, books.payment.currency);
        books.transactions.iter().for_each(|row| same(&row.id, row.currency));
    }
    dossier.attempts.iter().for_each(|attempt| same(&attempt.id, attempt.currency));
}

fn bounds(dossier: &Dossier, books: &Books, found: &mut Vec<Finding>) -> Result<(), MoneyError> {
    let (id, amount) = (books.payment.id, books.payment.amount());
    books.summary()?;
    for (bound, by) in broken_bounds(amount, &books.entries())? {
        let what = match bound {
            Bound::Charged if stuck(dossier, books)?.covers(by)? => continue,
            Bound::Charged => format!("{by} more than its {amount} is held or taken, or about to be"),
            Bound::Used => format!("{by} more is captured or reversed, or about to be, than is authorized"),
            Bound::Refunded => format!("{by} more is refunded, or about to be, than was captured"),
            Bound::Reversed => format!("{by} more is reversed than was authorized"),
        };
        found.push(Finding::new(id, what));
    }
    for row in &books.transactions {
        let (taken, amount) = (taken(row, &books.transactions)?, row.amount());
        if !amount.covers(taken)? {
            let what = format!("{taken} of its {amount} are captured, reversed or refunded, or about to be");
            found.push(Finding::new(row.id, what));
        }
    }
    Ok(())
}

/// Where a payment was lowered, and the provider does not give back what is held too much, somebody is asked: that excuses as much as what the cases
/// name comes to, as far as it is still held.
fn stuck(dossier: &Dossier, books: &Books) -> Result<Money, MoneyError> {
    let is_asked_about = |row: &&transaction::Model| {
        dossier.has_case(|case| {
            case.transaction_id == Some(row.id) && case.reason == Reason::FailedReversal && case.stands()
        })
    };
    let is_held = |row: &&transaction::Model| match row.kind {
        Kind::Authorize | Kind::AuthorizeAndCapture => ManagementState::counts(row.management_state),
        Kind::ReverseAuthorize => row.status == Status::Failed,
        Kind::Capture | Kind::Refund | Kind::DetachedCredit => false,
    };
    let stuck = books.transactions.iter().filter(is_asked_about).filter(is_held);
    Money::sum(stuck.map(transaction::Model::amount), books.payment.currency)
}

fn parents(books: &Books, found: &mut Vec<Finding>) {
    for row in &books.transactions {
        let why = match row.parent_id {
            None if row.kind.parents().is_empty() => None,
            None => Some("acts on nothing".to_owned()),
            Some(parent_id) => match books.transactions.iter().find(|parent| parent.id == parent_id) {
                None => Some(format!("acts on {parent_id}, which is not of its payment")),
                Some(parent) => row.misfit(parent).map(|why| format!("acts on {parent_id}, which {why}")),
            },
        };
        if let Some(why) = why {
            found.push(Finding::new(row.id, format!("{} {why}", describe(row))));
        }
    }
}

/// `CAPTURE of 29.90 EUR`
fn describe(row: &transaction::Model) -> String {
    use sea_orm::ActiveEnum;
    format!("the {} of {}", row.kind.to_value(), row.amount())
}
