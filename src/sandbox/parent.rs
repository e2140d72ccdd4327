//! What a transaction acts on, how much of that is left, and who may take it.
//!
//! Reads nothing and writes nothing: it is asked inside the database transaction that took its turn, and so its answer stays true.

use super::transaction::{Instruction, Kind, Reason, Subject};

/// What this provider does not do, though others do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// An authorization is captured once, whatever is left of it.
    pub single_capture: bool,
    /// A capture of less than what is left of an authorization releases the rest.
    pub capture_ends_authorization: bool,
    /// A reversal takes all that is left of an authorization, or nothing.
    pub no_partial_reversal: bool,
}

/// An earlier transaction, or a hosted session, as those that act on it see it.
#[derive(Clone)]
pub struct Parent {
    pub subject: Subject,
    pub kind: Kind,
    pub currency: String,
    /// `None`: it has not succeeded.
    pub moved: Option<i64>,
    pub taken: Taken,
}

/// What others have of a parent: what they moved or released, and what they hold while they are pending.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    pub amount: i64,
    pub captures: i64,
}

impl Parent {
    pub fn rest(&self) -> i64 {
        self.moved.unwrap_or(0).saturating_sub(self.taken.amount)
    }

    /// Lets a transaction act on it, or says why not. `moving` is what will move, which a test card can make another amount than
    /// was asked for: neither may exceed what is left.
    fn admit(&self, wanted: &Instruction, moving: i64, limits: Limits) -> Result<(), Reason> {
        let (kind, rest) = (wanted.kind, self.rest());
        if !kind.parents().contains(&self.kind) || self.moved.is_none() || wanted.currency != self.currency {
            return Err(Reason::ParentUnsuitable);
        }
        if limits.single_capture && kind == Kind::Capture && self.taken.captures > 0 {
            return Err(Reason::NotSupported);
        }
        if wanted.amount.max(moving) > rest {
            return Err(Reason::AmountTooLarge);
        }
        if limits.no_partial_reversal && kind == Kind::ReverseAuthorize && wanted.amount < rest {
            return Err(Reason::NotSupported);
        }
        Ok(())
    }
}

/// What a transaction acts on, if it may; `Ok(None)` for one that acts on nothing.
pub fn admit(
    wanted: &Instruction,
    moving: i64,
    parent: Option<Parent>,
    limits: Limits,
) -> Result<Option<Subject>, Reason> {
    if !wanted.kind.acts_on_another() {
        return Ok(None);
    }
    let parent = parent.ok_or(Reason::ParentUnsuitable)?;
    parent.admit(wanted, moving, limits)?;
    Ok(Some(parent.subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Limits =
        Limits { single_capture: false, capture_ends_authorization: false, no_partial_reversal: false };

    fn parent(kind: Kind, moved: Option<i64>, amount: i64, captures: i64) -> Parent {
        let subject = Subject::Transaction("trx_1".to_owned());
        Parent { subject, kind, currency: "EUR".to_owned(), moved, taken: Taken { amount, captures } }
    }

    fn asks(kind: Kind, amount: i64, currency: &str, parent: Option<Parent>, limits: Limits) -> Result<(), Reason> {
        let wanted = Instruction {
            reference: "b".to_owned(),
            kind,
            amount,
            currency: currency.to_owned(),
            method: "tok_ok".to_owned(),
            parent: parent.as_ref().map(|_| "a".to_owned()),
            webhook_url: "http://shop.example".to_owned(),
        };
        admit(&wanted, amount, parent, limits).map(drop)
    }

    #[test]
    fn each_kind_acts_on_what_it_can_and_on_nothing_else() {
        let suitable = |kind: Kind| {
            let by = |on| asks(kind, 1, "EUR", Some(parent(on, Some(1), 0, 0)), NONE).is_ok();
            Kind::ALL.into_iter().filter(|on| by(*on)).map(Kind::name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(suitable(Kind::Capture), "authorize");
        assert_eq!(suitable(Kind::ReverseAuthorize), "authorize");
        assert_eq!(suitable(Kind::Refund), "authorize_and_capture capture");
        assert_eq!(asks(Kind::Refund, 1, "EUR", None, NONE), Err(Reason::ParentUnsuitable));
    }

    #[test]
    fn what_has_not_succeeded_or_is_of_other_money_is_unsuitable() {
        let authorize = |moved| Some(parent(Kind::Authorize, moved, 0, 0));
        assert_eq!(asks(Kind::Capture, 1, "EUR", authorize(None), NONE), Err(Reason::ParentUnsuitable));
        assert_eq!(asks(Kind::Capture, 1, "USD", authorize(Some(1)), NONE), Err(Reason::ParentUnsuitable));
        assert_eq!(asks(Kind::Capture, 1, "EUR", authorize(Some(1)), NONE), Ok(()));
    }

    #[test]
    fn no_more_is_taken_than_is_left() {
        let asks = |amount| asks(Kind::Capture, amount, "EUR", Some(parent(Kind::Authorize, Some(100), 60, 1)), NONE);
        assert_eq!(
            [asks(40), asks(41), asks(i64::MAX)],
            [Ok(()), Err(Reason::AmountTooLarge), Err(Reason::AmountTooLarge)]
        );
    }

    #[test]
    fn each_limit_refuses_what_it_names() {
        let single = Limits { single_capture: true, ..NONE };
        let whole = Limits { no_partial_reversal: true, ..NONE };
        let rest = |captures| Some(parent(Kind::Authorize, Some(100), 60, captures));
        assert_eq!(asks(Kind::Capture, 41, "EUR", rest(1), single), Err(Reason::NotSupported));
        assert_eq!(asks(Kind::Capture, 40, "EUR", rest(0), single), Ok(()));
        let reversals = [39, 40, 41].map(|amount| asks(Kind::ReverseAuthorize, amount, "EUR", rest(0), whole));
        assert_eq!(reversals, [Err(Reason::NotSupported), Ok(()), Err(Reason::AmountTooLarge)]);
        assert_eq!(asks(Kind::Capture, 1, "EUR", rest(0), whole), Ok(()));
    }
}
