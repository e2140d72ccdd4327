//! What a payment's transactions add up to, and what may happen next: rules S1 to S7, as one pure function.
//!
//! It is computed from the ledger each time and stored nowhere, so it can't be wrong for longer than the ledger is.

use crate::{
    money::{Currency, Money, MoneyError},
    order,
    transaction::{Kind, ManagementState, Status},
};

/// All that a summary needs to know of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    pub status: Status,
    pub management_state: Option<ManagementState>,
    pub amount: Money,
}

/// Enough to decide and act, nothing that identifies a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentSummary {
    /// Authorized less reverse-authorized.
    pub authorized: Money,
    /// Captured less refunded.
    pub captured: Money,
    pub refunded: Money,
    /// Detached credits.
    pub credited: Money,
    pub available_for_authorize: Money,
    pub available_for_capture: Money,
    pub available_for_authorize_and_capture: Money,
    pub available_for_reverse_authorization: Money,
    pub available_for_refund: Money,
    pub fully_authorized: bool,
    pub fully_captured: bool,
    pub partially_captured: bool,
    /// Captured in all, refunds not taken off.
    pub total_ever_captured: Money,
    pub fully_refunded: bool,
    /// Sent to the provider and not answered for sure.
    pub pending: Money,
    /// Still held or taken by the provider although we tried to undo it.
    pub stuck_in_reversal: Money,
    /// Whether no bound is broken: false is a fault of ours, to be counted and logged (rule S5).
    pub sound: bool,
}

impl PaymentSummary {
    /// The summary of a payment (or of an order: its total, and the entries of all its payments, rule S6).
    ///
    /// Fails where amounts are of another currency than the payment's, or add up to more than 64 bits.
    pub fn of(amount: Money, entries: &[Entry]) -> Result<Self, MoneyError> {
        let currency = amount.currency();
        let sums = Sums::of(currency, entries)?;
        let p = i128::from(amount.minor());
        let (held, ever_captured) = (sums.held(), sums.ever_captured());
        let (to_charge, to_capture, to_refund) = (sums.to_charge(p), sums.to_capture(), sums.to_refund());
        let sound = sums.bounds(p).iter().all(|(_, left)| *left >= 0);
        let Sums { known, pending, stuck, .. } = sums;
        let captured = ever_captured - known.refund;

        let money = |minor: i128| to_money(minor, currency);
        let at_least_zero = |minor: i128| money(minor.max(0));
        Ok(Self {
            authorized: money(held)?,
            captured: money(captured)?,
            refunded: money(known.refund)?,
            credited: money(known.credit)?,
            available_for_authorize: at_least_zero(to_charge)?,
            available_for_capture: at_least_zero(to_capture)?,
            available_for_authorize_and_capture: at_least_zero(to_charge)?,
            available_for_reverse_authorization: at_least_zero(to_capture)?,
            available_for_refund: at_least_zero(to_refund)?,
            fully_authorized: held == p,
            fully_captured: captured == p,
            partially_captured: 0 < captured && captured < p,
            total_ever_captured: money(ever_captured)?,
            fully_refunded: ever_captured > 0 && known.refund == ever_captured,
            pending: money(pending.all())?,
            stuck_in_reversal: money(stuck)?,
            sound,
        })
    }
}

/// What a payment's transactions must keep to, known and unanswered together (rules P4, S5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// No more is held or taken than the payment's amount.
    Charged,
    /// No more is captured or reversed than is authorized.
    Used,
    /// No more is refunded than was captured.
    Refunded,
    /// No more is reversed than was authorized.
    Reversed,
}

/// The bounds that a ledger breaks, each with by how much. A summary is sound where there are none.
pub fn broken_bounds(amount: Money, entries: &[Entry]) -> Result<Vec<(Bound, Money)>, MoneyError> {
    let currency = amount.currency();
    let bounds = Sums::of(currency, entries)?.bounds(amount.minor().into());
    let broken = bounds.into_iter().filter(|(_, left)| *left < 0);
    broken.map(|(bound, left)| Ok((bound, to_money(-left, currency)?))).collect()
}

/// What a shopper still has to commit to: the order's total less what its active payments hold or have taken, and zero once it is
/// paid or cancelled (rule S7). Refunds don't raise it.
pub fn amount_due(status: order::Status, total: Money, active: &[Entry]) -> Result<Money, MoneyError> {
    let currency = total.currency();
    if status != order::Status::AwaitingPayment {
        return Ok(Money::zero(currency));
    }
    let Sums { known, .. } = Sums::of(currency, active)?;
    let committed = known.authorize - known.reverse + known.sale;
    to_money((i128::from(total.minor()) - committed).max(0), currency)
}

/// How much of an order may still be held or taken, whichever payment it comes from: its total less what its active payments hold, have taken, or
/// may be about to. Two payments for the whole order can't both charge it.
pub fn chargeable(total: Money, active: &[Entry]) -> Result<Money, MoneyError> {
    let Sums { known, pending, .. } = Sums::of(total.currency(), active)?;
    let committed = known.authorize - known.reverse + known.sale + pending.authorize + pending.sale;
    to_money((i128::from(total.minor()) - committed).max(0), total.currency())
}

/// How much of an order may still be taken: its total less all that was ever captured for it, or is about to be. Refunds don't raise it.
pub fn capturable(total: Money, entries: &[Entry]) -> Result<Money, MoneyError> {
    let Sums { known, pending, .. } = Sums::of(total.currency(), entries)?;
    let taken = known.capture + known.sale + pending.capture + pending.sale;
    to_money((i128::from(total.minor()) - taken).max(0), total.currency())
}

/// Amounts by kind, wide enough that adding them can't overflow.
#[derive(Clone, Copy, Default)]
struct ByKind {
    authorize: i128,
    reverse: i128,
    capture: i128,
    sale: i128,
    refund: i128,
    credit: i128,
}

impl ByKind {
    fn add(&mut self, kind: Kind, minor: i128) {
        match kind {
            Kind::Authorize => self.authorize += minor,
            Kind::ReverseAuthorize => self.reverse += minor,
            Kind::Capture => self.capture += minor,
            Kind::AuthorizeAndCapture => self.sale += minor,
            Kind::Refund => self.refund += minor,
            Kind::DetachedCredit => self.credit += minor,
        }
    }

    fn all(&self) -> i128 {
        self.authorize + self.reverse + self.capture + self.sale + self.refund + self.credit
    }
}

struct Sums {
    known: ByKind,
    pending: ByKind,
    /// The part of what is pending that undoes something, or is not wanted any more.
    undoing: ByKind,
    stuck: i128,
}

impl Sums {
    fn of(currency: Currency, entries: &[Entry]) -> Result<Self, MoneyError> {
        let (mut known, mut pending, mut undoing, mut stuck) =
            (ByKind::default(), ByKind::default(), ByKind::default(), 0);
        for entry in entries {
            // Refuses another currency; the sum of zero and an amount is the amount.
            let minor = Money::zero(currency).plus(entry.amount)?.minor().into();
            match (entry.status, entry.management_state) {
                (Status::Sent | Status::Pending | Status::Unknown, state) => {
                    pending.add(entry.kind, minor);
                    if !ManagementState::counts(state) {
                        undoing.add(entry.kind, minor);
                    }
                }
                (Status::Succeeded, state) if ManagementState::counts(state) => known.add(entry.kind, minor),
                (Status::Succeeded, Some(ManagementState::FailedReversal)) => stuck += minor,
                (Status::Succeeded | Status::Failed, _) => {}
            }
        }
        Ok(Self { known, pending, undoing, stuck })
    }

    fn held(&self) -> i128 {
        self.known.authorize - self.known.reverse
    }

    fn ever_captured(&self) -> i128 {
        self.known.capture + self.known.sale
    }

    /// What may still be held or taken of an amount; less than nothing where a bound is broken, and so with the two below.
    fn to_charge(&self, amount: i128) -> i128 {
        amount - self.held() - self.known.sale - self.pending.authorize - self.pending.sale
    }

    fn to_capture(&self) -> i128 {
        self.held() - self.known.capture - self.pending.capture - self.pending.reverse
    }

    fn to_refund(&self) -> i128 {
        self.ever_captured() - self.known.refund - self.pending.refund
    }

    /// What each bound leaves. What is being undone counts no more, while an unanswered call that undoes it, or is to be undone, does: that is no
    /// broken bound. What may be given back by a call that is unanswered may be gone already, where the payment's amount was lowered.
    fn bounds(&self, amount: i128) -> [(Bound, i128); 4] {
        [
            (Bound::Charged, self.to_charge(amount) + self.undoing.authorize + self.pending.reverse),
            (Bound::Used, self.to_capture() + self.undoing.reverse),
            // So no more is refunded than captured either.
            (Bound::Refunded, self.to_refund() + self.undoing.refund),
            (Bound::Reversed, self.held()),
        ]
    }
}

fn to_money(minor: i128, currency: Currency) -> Result<Money, MoneyError> {
    i64::try_from(minor).map(|minor| Money::new(minor, currency)).map_err(|_| MoneyError::Overflow { currency })
}
