//! What a payment's method token stands for: a test card, and what each request with it meets.
//!
//! Only foretells: nothing is written, and what an earlier transaction still has to give is not the card's to know.

use chrono::TimeDelta;

use super::fault::Fault;
use super::method::{Method, SETTLEMENT, Telling, wrong};
use super::session::Decline;
use super::transaction::{Kind, Reason};

/// How long money stays on its way where only the order of the news is of interest.
const SOON: TimeDelta = TimeDelta::milliseconds(100);

/// The test card behind a token: those that the payment page offers, and those whose requests themselves go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    Offered(Method),
    AnswerLost,
    RequestLost,
    Error500,
    Slow,
    Unknown,
}

/// How a transaction goes on that nothing stands against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// The money moves at once, and nobody is told but the caller.
    AtOnce {
        moved: i64,
    },
    Later {
        after: TimeDelta,
        telling: Telling,
    },
}

impl Card {
    pub fn of(token: &str) -> Self {
        match token {
            "tok_answer_lost" => Self::AnswerLost,
            "tok_request_lost" => Self::RequestLost,
            "tok_error_500" => Self::Error500,
            "tok_slow" => Self::Slow,
            _ => Method::try_from(token.to_owned()).map_or(Self::Unknown, Self::Offered),
        }
    }

    /// What the first request under a reference meets.
    pub fn accident(self) -> Option<Fault> {
        match self {
            Self::AnswerLost => Some(Fault::AnswerLost),
            Self::RequestLost => Some(Fault::RequestLost),
            Self::Error500 => Some(Fault::Error500),
            Self::Slow => Some(Fault::Slow),
            Self::Offered(_) | Self::Unknown => None,
        }
    }

    /// How a transaction with this card goes, or why it fails. An armed fault wins over the card.
    pub fn course(self, kind: Kind, amount: i64, armed: Option<Fault>) -> Result<Course, Reason> {
        match armed {
            Some(Fault::Declined) => Err(Reason::Declined(Decline::Soft)),
            Some(Fault::Pending) => Ok(Course::Later { after: SOON, telling: Telling::InOrder }),
            _ => self.own_course(kind, amount),
        }
    }

    fn own_course(self, kind: Kind, amount: i64) -> Result<Course, Reason> {
        let later = |after, telling| Ok(Course::Later { after, telling });
        match self {
            // A bank declines what is new to it; what it agreed to before, it stands by.
            Self::Offered(Method::DeclinedSoft) if !kind.acts_on_another() => Err(Reason::Declined(Decline::Soft)),
            Self::Offered(Method::DeclinedHard) if !kind.acts_on_another() => Err(Reason::Declined(Decline::Hard)),
            Self::Offered(Method::Ok | Method::DeclinedSoft | Method::DeclinedHard)
            | Self::AnswerLost
            | Self::RequestLost
            | Self::Error500
            | Self::Slow => Ok(Course::AtOnce { moved: amount }),
            Self::Offered(Method::WrongAmount) => Ok(Course::AtOnce { moved: wrong(amount) }),
            Self::Offered(Method::Async) => later(SETTLEMENT, Telling::InOrder),
            Self::Offered(Method::DuplicateWebhook) => later(SOON, Telling::Thrice),
            Self::Offered(Method::ReorderedWebhooks) => later(SOON, Telling::Backwards),
            Self::Offered(Method::NoWebhook) => later(SOON, Telling::Never),
            Self::Unknown => Err(Reason::InvalidMethod),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_declined_only_where_something_new_begins() {
        for token in ["tok_declined_soft", "tok_declined_hard"] {
            let declined = Kind::ALL.map(|kind| Card::of(token).course(kind, 1, None).is_err());
            assert_eq!(declined, Kind::ALL.map(|kind| !kind.acts_on_another()), "{token}");
        }
    }

    #[test]
    fn an_armed_fault_wins_over_the_card() {
        let course = |token, armed| Card::of(token).course(Kind::Refund, 1, Some(armed));
        assert_eq!(course("tok_async", Fault::Declined), Err(Reason::Declined(Decline::Soft)));
        assert!(matches!(course("no_such_token", Fault::Pending), Ok(Course::Later { .. })));
        assert_eq!(course("no_such_token", Fault::Slow), Err(Reason::InvalidMethod));
    }
}
