//! What was heard of a transaction, and what it is worth (rules P2, P8).
//!
//! Nothing is written here. An answer that can't be trusted is no failure, and a refusal is the last word only where nobody else can have been served.

use entity::{
    audit::Actor,
    money::Money,
    transaction::{Failure, Heard, Model, Status},
};

use crate::provider::{Answer, Answered, CallError};

/// What was heard of a transaction.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub heard: Heard,
    /// What moved, as the provider has it.
    pub amount: Option<Money>,
    pub answer: Option<Answer>,
    pub failure: Option<Failure>,
    /// What a capture let go of its authorization (rule P10).
    pub released: Option<Money>,
    /// It holds only if so many set out to send it: another one may have been served.
    sends: Option<i32>,
}

impl Told {
    /// An answer to a call. A refusal is the last word only if no more than `sends` have set out to send it; never, where that is `None`.
    pub fn by_call(said: Result<Answer, CallError>, sends: Option<i32>) -> Self {
        match (said, sends) {
            (Ok(answer), _) => Self::by(answer),
            (Err(CallError::Refused(why)), Some(sends)) => {
                tracing::warn!(why, "the provider ran no transaction");
                Self::failed(PROVIDER_UNAVAILABLE, "The payment provider refused, or could not be reached.", sends)
            }
            (Err(CallError::Refused(why) | CallError::Unknown(why)), _) => {
                tracing::warn!(why, "the provider's answer is not known");
                Self::nothing()
            }
        }
    }

    /// An answer, or news of the same form.
    pub fn by(answer: Answer) -> Self {
        let heard = match answer.status {
            Answered::Pending => Heard::Pending,
            Answered::Succeeded => Heard::Succeeded,
            Answered::Failed => Heard::Failed,
        };
        let (amount, released, failure) = (Some(answer.amount), answer.released, answer.failure.clone());
        Self { heard, amount, failure, released, answer: Some(answer), sends: None }
    }

    /// Nothing that can be trusted.
    pub fn nothing() -> Self {
        Self { heard: Heard::Nothing, amount: None, answer: None, failure: None, released: None, sends: None }
    }

    /// It was written down and is not wanted any more, and the provider never had it.
    pub fn never_sent(sends: i32) -> Self {
        Self::failed(NEVER_SENT, "It was not wanted any more before the provider had it.", sends)
    }

    /// It was written down by somebody who lost the lock before sending it, and nobody else has set out to.
    pub fn withdrawn() -> Self {
        Self::failed(LOCK_LOST, "The lock was lost before it was sent.", 1)
    }

    /// Somebody decided that it came to this, where the provider does not say (rule R3).
    pub fn decided(succeeded: bool, current: &Model) -> Self {
        match succeeded {
            true => Self { heard: Heard::Succeeded, ..Self::nothing() },
            false => Self::failed(WRITTEN_OFF, "Somebody decided that nothing came of it.", current.sends),
        }
    }

    /// With it, so much of an authorization is held no more.
    pub fn letting_go(self, released: Money) -> Self {
        Self { released: Some(released), ..self }
    }

    /// Whose word it is: the provider's, or the server's where there is none of the provider.
    pub fn actor(&self) -> Actor {
        match self.answer {
            Some(_) => Actor::PROVIDER,
            None => Actor::SERVER,
        }
    }

    /// Whether somebody decided that nothing came of it: then what there was to do was done elsewhere, or is.
    pub fn is_written_off(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.code == WRITTEN_OFF)
    }

    fn failed(code: &str, message: &str, sends: i32) -> Self {
        let failure = Failure { code: code.to_owned(), message: message.to_owned(), decline: None };
        Self { heard: Heard::Failed, failure: Some(failure), sends: Some(sends), ..Self::nothing() }
    }

    /// What it comes to for a transaction that so many have set out to send.
    pub fn heard_of(&self, current: &Model) -> Heard {
        match self.sends {
            Some(sends) if sends != current.sends => Heard::Nothing,
            _ => self.heard,
        }
    }
}

/// The failure's codes where nothing was run at all.
const PROVIDER_UNAVAILABLE: &str = "provider_unavailable";
const NEVER_SENT: &str = "never_sent";
const LOCK_LOST: &str = "lock_lost";
const WRITTEN_OFF: &str = "written_off";

/// Whether the provider could not be asked, or refused to be.
pub(super) fn was_never_run(transaction: &Model) -> bool {
    failed_with(transaction, PROVIDER_UNAVAILABLE)
}

/// Whether it was withdrawn because the lock was lost before it was sent.
pub(super) fn was_withdrawn(transaction: &Model) -> bool {
    failed_with(transaction, LOCK_LOST)
}

fn failed_with(transaction: &Model, code: &str) -> bool {
    transaction.status == Status::Failed && transaction.failure_code.as_deref() == Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    // rule P8
    #[test]
    fn a_refusal_is_the_last_word_only_where_nobody_else_can_have_been_served() {
        let refused = || Err(CallError::Refused("no".into()));
        let first = Told::by_call(refused(), Some(1));
        assert_eq!((first.heard, first.sends), (Heard::Failed, Some(1)));
        assert_eq!(Told::by_call(refused(), None).heard, Heard::Nothing);
    }

    #[test]
    fn an_answer_that_is_not_known_is_no_failure() {
        assert_eq!(Told::by_call(Err(CallError::Unknown("cut".into())), Some(1)).heard, Heard::Nothing);
    }
}
