//! The one edge where an error of ours becomes something that a client sees.
//!
//! A resolver's error is a [`Failure`], which is deliberately not `Display`: async-graphql would send whatever can be displayed, a database's words
//! included.

use std::sync::Arc;

use async_graphql::{ErrorExtensionValues, Pos, ServerError, Value, indexmap::IndexMap};
use entity::fault::Fault;

use crate::{
    error::{Error, Problem},
    service::change::Ended,
};

/// What is told where the database could not do it.
pub const UNAVAILABLE: &str =
    "The server is busy. Try again in a moment; what has an idempotency key, under the same one.";

/// Only this crosses from our errors to a client's.
pub struct Failure(Seen);

enum Seen {
    Problem(Problem),
    Forbidden(String),
    SwitchedOff(&'static str),
    Ended(Ended),
    Unavailable,
    Internal,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<Arc<Error>> for Failure {
    fn from(error: Arc<Error>) -> Self {
        Self::from(&*error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(Seen::Problem(problem))
    }
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        Self(Seen::Ended(ended))
    }
}

impl From<Vec<Fault>> for Failure {
    fn from(faults: Vec<Fault>) -> Self {
        Problem::from(faults).into()
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self(match error {
            Error::Problem(problem) => Seen::Problem(problem.clone()),
            Error::Forbidden(scope) => Seen::Forbidden(scope.to_string()),
            Error::SwitchedOff(what) => Seen::SwitchedOff(what),
            Error::Busy(words) => {
                tracing::warn!(error = words, "a request failed for want of the database");
                Seen::Unavailable
            }
            Error::Fault(words) => {
                tracing::error!(error = words, "a request failed by our fault");
                Seen::Internal
            }
        })
    }
}

impl From<Failure> for async_graphql::Error {
    fn from(Failure(seen): Failure) -> Self {
        match seen {
            Seen::Internal => error("Internal error.".into(), "INTERNAL"),
            Seen::Unavailable => error(UNAVAILABLE.into(), "UNAVAILABLE"),
            Seen::Forbidden(scope) => {
                error(format!("This needs a service's token with the scope {scope}."), "FORBIDDEN")
            }
            Seen::SwitchedOff(what) => error(format!("{what} is switched off on this server."), "BAD_REQUEST"),
            Seen::Ended(ended) => {
                let (why, code) = ending(ended);
                error(format!("{why} Subscribe again: the first event shows it as it is then."), code)
            }
            Seen::Problem(problem) => {
                let mut error = error(problem.to_string(), code(&problem));
                if let (Problem::InvalidInput(faults), Some(extensions)) = (&problem, &mut error.extensions) {
                    extensions.set("fields", Value::List(faults.iter().map(field).collect()));
                }
                error
            }
        }
    }
}

/// What is told of a fault of ours before anything runs.
pub fn internal() -> ServerError {
    async_graphql::Error::from(Failure(Seen::Internal)).into_server_error(Pos::default())
}

fn error(message: String, code: &str) -> async_graphql::Error {
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code);
    let mut error = async_graphql::Error::new(message);
    error.extensions = Some(extensions);
    error
}

/// Why a subscription ends.
fn ending(ended: Ended) -> (&'static str, &'static str) {
    match ended {
        Ended::TooSlow => ("More happened than was read.", "TOO_SLOW"),
        Ended::Unreadable => ("Changes can't be read at the moment.", "UNAVAILABLE"),
        Ended::Stopping => ("The server stops.", "UNAVAILABLE"),
    }
}

fn field(fault: &Fault) -> Value {
    let path = fault.path.iter().cloned().map(Value::String).collect();
    Value::Object(IndexMap::from_iter([
        (async_graphql::Name::new("path"), Value::List(path)),
        (async_graphql::Name::new("message"), Value::String(fault.message.clone())),
    ]))
}

/// A query has no place for a problem but its errors.
fn code(problem: &Problem) -> &'static str {
    match problem {
        Problem::InvalidInput(_) => "INVALID_INPUT",
        Problem::OrderNotFound | Problem::PaymentNotFound | Problem::AttemptNotFound => "NOT_FOUND",
        Problem::OrderAlreadyPaid
        | Problem::OrderCancelled
        | Problem::OrderNotCovered { .. }
        | Problem::OrderHasOpenAttempt
        | Problem::AmountDueChanged { .. }
        | Problem::NothingDue
        | Problem::AttemptConflicted
        | Problem::PaymentArchived
        | Problem::PaymentLocked { .. }
        | Problem::LockLost { .. }
        | Problem::StaleVersion { .. }
        | Problem::AmountExceedsAvailable { .. }
        | Problem::CurrencyMismatch { .. }
        | Problem::ParentTransactionUnsuitable { .. }
        | Problem::ProviderUnavailable
        | Problem::ProviderUnsupported { .. }
        | Problem::OutcomeUnknown
        | Problem::IdempotencyKeyReused
        | Problem::OperationInProgress => "REFUSED",
    }
}

/// Parts what a verb gave into what the caller wanted and the problem in its place. What is neither fails the request.
pub fn part<T>(given: Result<T, Error>) -> Result<(Option<T>, Option<Problem>), Failure> {
    match given {
        Ok(value) => Ok((Some(value), None)),
        Err(Error::Problem(problem)) => Ok((None, Some(problem))),
        Err(error) => Err(error.into()),
    }
}
