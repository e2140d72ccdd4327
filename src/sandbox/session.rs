//! A session is one shopper's chance to pay one amount, and this is every life that it can have.
//!
//! Knows no SQL and no HTTP, and asks nobody for the time: whoever calls says what time it is.

use chrono::{DateTime, Utc};
use serde::Serialize;

#[derive(Clone)]
pub struct Session {
    pub id: String,
    pub reference: String,
    pub amount: i64,
    pub currency: String,
    pub state: State,
    pub return_url: Option<String>,
    pub webhook_url: String,
    pub description: Option<String>,
    pub client_secret: String,
    pub expires_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
}

/// Where a session stands, with exactly what is known there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    Processing { settles_at: DateTime<Utc> },
    Succeeded { received: i64 },
    Failed(Decline),
    Cancelled,
    Expired,
}

/// Whether another try with the same card could succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decline {
    Soft,
    Hard,
}

impl Decline {
    pub fn name(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Hard => "hard",
        }
    }
}

/// What can happen to a session.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Pay { received: i64 },
    Hold { settles_at: DateTime<Utc> },
    Settle { received: i64 },
    Decline(Decline),
    Cancel,
    Expire,
}

impl State {
    /// The whole life of a session; `None` is "that cannot happen here".
    pub fn on(self, step: Step) -> Option<Self> {
        match (self, step) {
            (Self::Open, Step::Pay { received }) => Some(Self::Succeeded { received }),
            (Self::Open, Step::Hold { settles_at }) => Some(Self::Processing { settles_at }),
            (Self::Open, Step::Decline(decline)) => Some(Self::Failed(decline)),
            (Self::Open, Step::Cancel) => Some(Self::Cancelled),
            (Self::Open, Step::Expire) => Some(Self::Expired),
            (Self::Processing { .. }, Step::Settle { received }) => Some(Self::Succeeded { received }),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Processing { .. } => "processing",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// The type of the event that tells the shop that a session got here.
    pub fn event(self) -> &'static str {
        match self {
            Self::Open => "session.pending",
            Self::Processing { .. } => "session.processing",
            Self::Succeeded { .. } => "session.succeeded",
            Self::Failed(_) => "session.failed",
            Self::Cancelled => "session.cancelled",
            Self::Expired => "session.expired",
        }
    }
}

impl Session {
    /// What time alone has brought about by `now` and nobody has written down yet.
    pub fn overdue(&self, now: DateTime<Utc>) -> Option<Step> {
        match self.state {
            State::Open if self.expires_at <= now => Some(Step::Expire),
            State::Processing { settles_at } if settles_at <= now => Some(Step::Settle { received: self.amount }),
            _ => None,
        }
    }

    /// The session as the API and the webhooks show it.
    pub fn shown(&self, public_url: &str) -> Shown<'_> {
        let received = match self.state {
            State::Succeeded { received } => Some(received),
            _ => None,
        };
        Shown {
            id: &self.id,
            reference: &self.reference,
            amount: self.amount,
            currency: &self.currency,
            status: self.state.name(),
            amount_received: received,
            currency_received: received.map(|_| self.currency.as_str()),
            redirect_url: format!("{public_url}/pay/{}", self.id),
            client_secret: &self.client_secret,
            expires_at: self.expires_at,
            created_at: self.created_at,
            failure: match self.state {
                State::Failed(decline) => Some(Failure::of(decline)),
                _ => None,
            },
        }
    }
}

#[derive(Serialize)]
pub struct Shown<'a> {
    id: &'a str,
    reference: &'a str,
    amount: i64,
    currency: &'a str,
    status: &'static str,
    amount_received: Option<i64>,
    currency_received: Option<&'a str>,
    redirect_url: String,
    client_secret: &'a str,
    expires_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    failure: Option<Failure>,
}

#[derive(Serialize)]
pub struct Failure {
    pub code: &'static str,
    pub message: &'static str,
    /// `None`: it was not a card that was declined.
    pub decline: Option<Decline>,
}

impl Failure {
    pub fn of(decline: Decline) -> Self {
        let message = match decline {
            Decline::Soft => "The card was declined; another try may succeed.",
            Decline::Hard => "The card was declined for good.",
        };
        Self { code: "card_declined", message, decline: Some(decline) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_happens_to_a_session_that_is_over() {
        let at = DateTime::UNIX_EPOCH;
        let states = [
            State::Open,
            State::Processing { settles_at: at },
            State::Succeeded { received: 1 },
            State::Failed(Decline::Soft),
            State::Cancelled,
            State::Expired,
        ];
        let steps = [
            Step::Pay { received: 1 },
            Step::Hold { settles_at: at },
            Step::Settle { received: 1 },
            Step::Decline(Decline::Soft),
            Step::Cancel,
            Step::Expire,
        ];
        let life: Vec<_> =
            states.map(|state| steps.map(|step| state.on(step).map_or("-", State::name)).join(" ")).to_vec();
        assert_eq!(
            life,
            [
                "succeeded processing - failed cancelled expired",
                "- - succeeded - - -",
                "- - - - - -",
                "- - - - - -",
                "- - - - - -",
                "- - - - - -",
            ]
        );
    }
}
