//! A transaction is one thing that a shop asks to be done with a payment token's money, and this is every life that it can have.
//!
//! Knows no SQL and no HTTP, and asks nobody for the time. How much of an earlier one it may take is `parent`'s to say.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::method::Telling;
use super::session::{Decline, Failure};

#[derive(Clone)]
pub struct Transaction {
    pub id: String,
    pub wanted: Instruction,
    /// Whose money it takes or gives back. One that failed touches nobody's.
    pub acts_on: Option<Subject>,
    pub state: State,
    pub created_at: DateTime<Utc>,
}

/// What the shop asks for.
#[derive(Clone)]
pub struct Instruction {
    pub reference: String,
    pub kind: Kind,
    pub amount: i64,
    pub currency: String,
    /// The payment's method token.
    pub method: String,
    /// The shop's reference of the earlier transaction, or of the session, that this one acts on.
    pub parent: Option<String>,
    pub webhook_url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Authorize,
    AuthorizeAndCapture,
    Capture,
    ReverseAuthorize,
    Refund,
    DetachedCredit,
}

/// Whose money it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Session(String),
    Transaction(String),
}

impl Subject {
    /// Its id, in the column for sessions or in the one for transactions.
    pub fn columns(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Session(id) => (Some(id), None),
            Self::Transaction(id) => (None, Some(id)),
        }
    }
}

/// Where a transaction stands, with exactly what is known there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It holds its share of what it acts on. How the shop hears of it was settled when it began.
    Pending {
        settles_at: DateTime<Utc>,
        telling: Telling,
    },
    /// `released`: what was left of the authorization and ended with this capture.
    Succeeded {
        moved: i64,
        released: Option<i64>,
    },
    Failed(Reason),
}

/// Why a transaction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Declined(Decline),
    InvalidMethod,
    ParentUnsuitable,
    AmountTooLarge,
    NotSupported,
}

/// What can happen to a transaction.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Hold { settles_at: DateTime<Utc>, telling: Telling },
    Succeed { moved: i64, released: Option<i64> },
    Fail(Reason),
}

impl State {
    /// The whole life of a transaction, from before it is there. `None` is "that cannot happen here".
    pub fn after(earlier: Option<Self>, step: Step) -> Option<Self> {
        match (earlier, step) {
            (None, Step::Hold { settles_at, telling }) => Some(Self::Pending { settles_at, telling }),
            (None, Step::Fail(reason)) => Some(Self::Failed(reason)),
            (Some(Self::Pending { .. }), Step::Succeed { moved, released }) => {
                Some(Self::Succeeded { moved, released })
            }
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed(_) => "failed",
        }
    }

    /// The type of the event that tells the shop that a transaction got here.
    pub fn event(self) -> &'static str {
        match self {
            Self::Pending { .. } => "transaction.pending",
            Self::Succeeded { .. } => "transaction.succeeded",
            Self::Failed(_) => "transaction.failed",
        }
    }
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::Authorize,
        Self::AuthorizeAndCapture,
        Self::Capture,
        Self::ReverseAuthorize,
        Self::Refund,
        Self::DetachedCredit,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::AuthorizeAndCapture => "authorize_and_capture",
            Self::Capture => "capture",
            Self::ReverseAuthorize => "reverse_authorize",
            Self::Refund => "refund",
            Self::DetachedCredit => "detached_credit",
        }
    }

    /// The kinds that it can act on; none where it begins something.
    pub fn parents(self) -> &'static [Self] {
        match self {
            Self::Authorize | Self::AuthorizeAndCapture | Self::DetachedCredit => &[],
            Self::Capture | Self::ReverseAuthorize => &[Self::Authorize],
            Self::Refund => &[Self::Capture, Self::AuthorizeAndCapture],
        }
    }

    pub fn acts_on_another(self) -> bool {
        !self.parents().is_empty()
    }
}

impl Reason {
    pub const ALL: [Self; 6] = [
        Self::Declined(Decline::Soft),
        Self::Declined(Decline::Hard),
        Self::InvalidMethod,
        Self::ParentUnsuitable,
        Self::AmountTooLarge,
        Self::NotSupported,
    ];

    pub fn shown(self) -> Failure {
        let (code, message, decline) = match self {
            Self::Declined(decline) => return Failure::of(decline),
            Self::InvalidMethod => ("invalid_method", "There is no such payment method.", Some(Decline::Hard)),
            Self::ParentUnsuitable => ("parent_unsuitable", "What it should act on cannot be acted on so.", None),
            Self::AmountTooLarge => ("amount_too_large", "So much is not left of what it should act on.", None),
            Self::NotSupported => ("not_supported", "This provider does not do that.", None),
        };
        Failure { code, message, decline }
    }
}

impl Instruction {
    /// Whether both ask for the same. Where the news shall go does not matter: money does not care.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.reference == other.reference
            && (self.kind, self.amount) == (other.kind, other.amount)
            && self.currency == other.currency
            && self.method == other.method
            && self.parent == other.parent
    }
}

impl Transaction {
    pub fn is_overdue(&self, now: DateTime<Utc>) -> bool {
        matches!(self.state, State::Pending { settles_at, .. } if settles_at <= now)
    }

    /// What is the shop's to know of it, as the API and the webhooks show it.
    pub fn shown(&self) -> Shown<'_> {
        let (moved, released, reason) = match self.state {
            State::Pending { .. } => (None, None, None),
            State::Succeeded { moved, released } => (Some(moved), released, None),
            State::Failed(reason) => (None, None, Some(reason)),
        };
        Shown {
            id: &self.id,
            reference: &self.wanted.reference,
            kind: self.wanted.kind,
            amount: self.wanted.amount,
            currency: &self.wanted.currency,
            status: self.state.name(),
            amount_moved: moved,
            currency_moved: moved.map(|_| self.wanted.currency.as_str()),
            amount_released: released,
            failure: reason.map(Reason::shown),
            created_at: self.created_at,
        }
    }
}

#[derive(Serialize)]
pub struct Shown<'a> {
    id: &'a str,
    reference: &'a str,
    kind: Kind,
    amount: i64,
    currency: &'a str,
    status: &'static str,
    amount_moved: Option<i64>,
    currency_moved: Option<&'a str>,
    amount_released: Option<i64>,
    failure: Option<Failure>,
    created_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_pending_goes_anywhere_and_only_to_success() {
        let at = DateTime::UNIX_EPOCH;
        let pending = State::Pending { settles_at: at, telling: Telling::InOrder };
        let succeeded = State::Succeeded { moved: 1, released: None };
        let states = [None, Some(pending), Some(succeeded), Some(State::Failed(Reason::NotSupported))];
        let steps = [
            Step::Hold { settles_at: at, telling: Telling::Never },
            Step::Succeed { moved: 1, released: None },
            Step::Fail(Reason::NotSupported),
        ];
        let life = states.map(|state| steps.map(|step| State::after(state, step).map_or("-", State::name)).join(" "));
        assert_eq!(life, ["pending - failed", "- succeeded -", "- - -", "- - -"]);
    }

    #[test]
    fn a_kind_is_called_the_same_in_the_store_and_in_the_api() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
