//! What a press on the payment page means: the button, the test method behind it, and what the two make of a session.
//!
//! Only plans: nothing is written, and no plan says more than a session's life allows.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::session::{Decline, Step};

/// How long money stays on its way with [`Method::Async`]: long enough that a shop must show "processing".
pub const SETTLEMENT: TimeDelta = TimeDelta::seconds(2);

/// The button that the shopper pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Pay,
    Decline,
    Cancel,
}

/// The test method that *Pay* pays with: each makes one thing happen that happens with real money too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Method {
    #[default]
    Ok,
    DeclinedSoft,
    DeclinedHard,
    Async,
    WrongAmount,
    DuplicateWebhook,
    ReorderedWebhooks,
    NoWebhook,
}

impl Method {
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::DeclinedSoft,
        Self::DeclinedHard,
        Self::Async,
        Self::WrongAmount,
        Self::DuplicateWebhook,
        Self::ReorderedWebhooks,
        Self::NoWebhook,
    ];

    pub fn token(self) -> &'static str {
        match self {
            Self::Ok => "tok_ok",
            Self::DeclinedSoft => "tok_declined_soft",
            Self::DeclinedHard => "tok_declined_hard",
            Self::Async => "tok_async",
            Self::WrongAmount => "tok_wrong_amount",
            Self::DuplicateWebhook => "tok_duplicate_webhook",
            Self::ReorderedWebhooks => "tok_reordered_webhooks",
            Self::NoWebhook => "tok_no_webhook",
        }
    }

    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "The money moves and the shop is told.",
            Self::DeclinedSoft => "The card is declined; another try could succeed.",
            Self::DeclinedHard => "The card is declined for good.",
            Self::Async => "Processing at first; the money moves about two seconds later.",
            Self::WrongAmount => "One smallest unit less arrives than was asked for.",
            Self::DuplicateWebhook => "The shop is told of the success three times.",
            Self::ReorderedWebhooks => "The shop is told of the success before it is told of the processing.",
            Self::NoWebhook => "The money moves and the shop is never told.",
        }
    }
}

impl TryFrom<String> for Method {
    type Error = String;

    fn try_from(token: String) -> Result<Self, String> {
        Self::ALL.into_iter().find(|method| method.token() == token).ok_or_else(|| "no such test method".to_owned())
    }
}

/// What one cause does to a session: the steps of its life, and how the shop hears of them.
pub struct Plan {
    pub steps: Vec<Step>,
    pub telling: Telling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    InOrder,
    Backwards,
    Thrice,
    Never,
}

impl Telling {
    pub const ALL: [Self; 4] = [Self::InOrder, Self::Backwards, Self::Thrice, Self::Never];

    pub fn name(self) -> &'static str {
        match self {
            Self::InOrder => "in_order",
            Self::Backwards => "backwards",
            Self::Thrice => "thrice",
            Self::Never => "never",
        }
    }
}

impl Plan {
    pub fn just(step: Step) -> Self {
        Self { steps: vec![step], telling: Telling::InOrder }
    }

    /// What a press on the payment page does. The test method speaks only where the shopper pays.
    pub fn pressed(outcome: Outcome, method: Method, amount: i64, now: DateTime<Utc>) -> Self {
        let paid = Step::Pay { received: amount };
        let held = Step::Hold { settles_at: now + SETTLEMENT };
        match (outcome, method) {
            (Outcome::Cancel, _) => Self::just(Step::Cancel),
            (Outcome::Decline, _) | (Outcome::Pay, Method::DeclinedSoft) => Self::just(Step::Decline(Decline::Soft)),
            (Outcome::Pay, Method::DeclinedHard) => Self::just(Step::Decline(Decline::Hard)),
            (Outcome::Pay, Method::Ok) => Self::just(paid),
            (Outcome::Pay, Method::Async) => Self::just(held),
            (Outcome::Pay, Method::WrongAmount) => Self::just(Step::Pay { received: wrong(amount) }),
            (Outcome::Pay, Method::DuplicateWebhook) => Self { steps: vec![paid], telling: Telling::Thrice },
            (Outcome::Pay, Method::NoWebhook) => Self { steps: vec![paid], telling: Telling::Never },
            (Outcome::Pay, Method::ReorderedWebhooks) => {
                Self { steps: vec![held, Step::Settle { received: amount }], telling: Telling::Backwards }
            }
        }
    }
}

/// One short; but a single unit cannot be short and still be money, so that one becomes two.
pub fn wrong(amount: i64) -> i64 {
    if amount > 1 { amount - 1 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::super::session::State;
    use super::*;

    #[test]
    fn every_press_is_possible_on_an_open_session() {
        for method in Method::ALL {
            for outcome in [Outcome::Pay, Outcome::Decline, Outcome::Cancel] {
                let plan = Plan::pressed(outcome, method, 4200, DateTime::UNIX_EPOCH);
                let end = plan.steps.into_iter().try_fold(State::Open, State::on);
                assert!(end.is_some_and(|state| state != State::Open), "{outcome:?} with {method:?}");
            }
        }
    }

    #[test]
    fn a_wrong_amount_is_wrong_and_still_money() {
        assert_eq!([wrong(4200), wrong(2), wrong(1)], [4199, 1, 2]);
    }
}
