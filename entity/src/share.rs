//! Which earlier transactions a new one acts on, and with how much on each: rules P3 to P5, P10 and M5, as one pure function.
//!
//! It decides from a payment's whole ledger and sends nothing. Whoever calls holds the payment's lock until the outcome is written.

use crate::{
    capability::Capabilities,
    id::TransactionId,
    money::{Money, MoneyError},
    summary::{Entry, PaymentSummary},
    transaction::{Kind, ManagementState, Model, Status},
};

/// More calls to a provider than this are not made for one request.
pub const MOST_SHARES: usize = 50;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub kind: Kind,
    pub amount: Money,
    /// The one earlier transaction to act on; the oldest ones that fit where there is none.
    pub parent: Option<TransactionId>,
}

/// A part of the amount, and what it acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub parent: Option<TransactionId>,
    pub amount: Money,
}

/// Why it can't be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The transaction that was named can't be acted on.
    Unsuitable(&'static str),
    /// There is only so much (rule P5).
    Exceeds(Money),
    /// The provider can't do it (rule P10).
    Unsupported(&'static str),
    /// How much there is depends on an answer that is still awaited.
    Unanswered,
    /// It would take more calls than are made for one request.
    TooMany,
}

/// What is left of an earlier transaction.
struct Parent<'a> {
    row: &'a Model,
    rest: Money,
    captures: usize,
    unanswered: usize,
}

/// Shares an amount out, oldest first; the shares add up to it exactly.
pub fn share_out(
    wanted: Wanted,
    payment: Money,
    ledger: &[Model],
    capabilities: &Capabilities,
) -> Result<Result<Vec<Share>, Refusal>, MoneyError> {
    let entries: Vec<Entry> = ledger.iter().map(Model::entry).collect();
    let available = available(wanted.kind, &PaymentSummary::of(payment, &entries)?);
    if !capabilities.kinds.contains(&wanted.kind) {
        return Ok(Err(Refusal::Unsupported("can't do this kind of transaction")));
    }
    if wanted.kind.parents().is_empty() {
        return without_parent(wanted, available);
    }
    let parents = match suitable(wanted, ledger)? {
        Ok(parents) => parents,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let rest = Money::sum(parents.iter().map(|parent| parent.rest), payment.currency())?;
    let most = match available {
        Some(available) if !available.covers(rest)? => available,
        _ => rest,
    };
    if !most.covers(wanted.amount)? {
        return Ok(Err(Refusal::Exceeds(most)));
    }
    take(wanted, &parents, capabilities)
}

fn without_parent(wanted: Wanted, available: Option<Money>) -> Result<Result<Vec<Share>, Refusal>, MoneyError> {
    if wanted.parent.is_some() {
        return Ok(Err(Refusal::Unsuitable("this kind of transaction acts on no earlier one")));
    }
    match available {
        Some(available) if !available.covers(wanted.amount)? => Ok(Err(Refusal::Exceeds(available))),
        _ => Ok(Ok(vec![Share { parent: None, amount: wanted.amount }])),
    }
}

/// What the payment has for this kind; a credit takes from nothing, so there is no bound to it.
pub fn available(kind: Kind, summary: &PaymentSummary) -> Option<Money> {
    match kind {
        Kind::Authorize => Some(summary.available_for_authorize),
        Kind::AuthorizeAndCapture => Some(summary.available_for_authorize_and_capture),
        Kind::Capture => Some(summary.available_for_capture),
        Kind::ReverseAuthorize => Some(summary.available_for_reverse_authorization),
        Kind::Refund => Some(summary.available_for_refund),
        Kind::DetachedCredit => None,
    }
}

/// The transactions that may be acted on (rule P3), oldest first.
fn suitable(wanted: Wanted, ledger: &[Model]) -> Result<Result<Vec<Parent<'_>>, Refusal>, MoneyError> {
    if let Some(named) = wanted.parent {
        let Some(row) = ledger.iter().find(|row| row.id == named) else {
            return Ok(Err(Refusal::Unsuitable("there is no such transaction of this payment")));
        };
        return Ok(match why_not(wanted.kind, row) {
            Some(why) => Err(Refusal::Unsuitable(why)),
            None => Ok(vec![parent(row, ledger)?]),
        });
    }
    let mut rows: Vec<&Model> = ledger.iter().filter(|row| why_not(wanted.kind, row).is_none()).collect();
    rows.sort_by_key(|row| (row.created_at, row.id));
    let parents: Result<Vec<Parent<'_>>, MoneyError> = rows.into_iter().map(|row| parent(row, ledger)).collect();
    Ok(Ok(parents?))
}

fn why_not(kind: Kind, row: &Model) -> Option<&'static str> {
    if !kind.parents().contains(&row.kind) {
        return Some("it is of a kind that this can't act on");
    }
    match row.status {
        Status::Failed => return Some("it failed"),
        Status::Sent | Status::Pending | Status::Unknown => return Some("its outcome is not known yet"),
        Status::Succeeded => {}
    }
    (!ManagementState::counts(row.management_state)).then_some("it was reversed, or is about to be")
}

/// What is left of a transaction: known and unanswered children together are what is gone of it (rule P4).
pub fn rest(row: &Model, ledger: &[Model]) -> Result<Money, MoneyError> {
    let gone = Money::sum(children(row, ledger).map(Model::amount), row.currency)?;
    row.amount().minus(gone)
}

/// What was taken of a transaction, or may be: what its children did and what they were asked for, and what undid it. It is never more than there is
/// (rule P4).
pub fn taken(row: &Model, ledger: &[Model]) -> Result<Money, MoneyError> {
    let undoes = |child: &Model| {
        child.status == Status::Succeeded && child.management_state == Some(ManagementState::ReversalTransaction)
    };
    let of_it = ledger.iter().filter(|child| child.parent_id == Some(row.id) && (takes(child) || undoes(child)));
    Money::sum(of_it.map(Model::amount), row.currency)
}

fn children<'a>(row: &Model, ledger: &'a [Model]) -> impl Iterator<Item = &'a Model> {
    let id = row.id;
    ledger.iter().filter(move |child| child.parent_id == Some(id) && takes(child))
}

fn parent<'a>(row: &'a Model, ledger: &[Model]) -> Result<Parent<'a>, MoneyError> {
    let children = || children(row, ledger);
    Ok(Parent {
        row,
        rest: rest(row, ledger)?,
        captures: children().filter(|child| child.kind == Kind::Capture).count(),
        unanswered: children().filter(|child| child.status.is_unanswered()).count(),
    })
}

/// Whether a transaction takes from its parent.
fn takes(child: &Model) -> bool {
    match child.status {
        Status::Sent | Status::Pending | Status::Unknown => true,
        Status::Succeeded => ManagementState::counts(child.management_state),
        Status::Failed => false,
    }
}

fn take(
    wanted: Wanted,
    parents: &[Parent<'_>],
    capabilities: &Capabilities,
) -> Result<Result<Vec<Share>, Refusal>, MoneyError> {
    let mut left = wanted.amount;
    let mut shares = vec![];
    let mut hindered = None;
    for parent in parents {
        if left.is_zero() || parent.rest.minor() <= 0 {
            continue;
        }
        if let Some(why) = hindrance(wanted.kind, parent, capabilities) {
            hindered = Some(why);
            continue;
        }
        let whole = left.covers(parent.rest)?;
        let amount = if whole { parent.rest } else { left };
        if !whole && let Some(why) = no_part(wanted.kind, capabilities) {
            return Ok(Err(Refusal::Unsupported(why)));
        }
        shares.push(Share { parent: Some(parent.row.id), amount });
        left = left.minus(amount)?;
    }
    Ok(match hindered {
        // What is suitable was enough, so something stood in the way.
        Some(why) if !left.is_zero() => Err(why),
        _ if shares.len() > MOST_SHARES => Err(Refusal::TooMany),
        _ => Ok(shares),
    })
}

/// Why this provider can't act on one that is otherwise suitable.
fn hindrance(kind: Kind, parent: &Parent<'_>, capabilities: &Capabilities) -> Option<Refusal> {
    if kind == Kind::Capture && parent.captures > 0 && !capabilities.repeated_capture {
        return Some(Refusal::Unsupported("can capture from an authorization only once"));
    }
    let may_end = capabilities.partial_capture_ends_authorization && kind.parents() == [Kind::Authorize];
    (may_end && parent.unanswered > 0).then_some(Refusal::Unanswered)
}

fn no_part(kind: Kind, capabilities: &Capabilities) -> Option<&'static str> {
    match kind {
        Kind::Capture if !capabilities.partial_capture => Some("can only capture all of an authorization"),
        Kind::ReverseAuthorize if !capabilities.partial_reversal => {
            Some("can only reverse all that is left of an authorization")
        }
        _ => None,
    }
}
