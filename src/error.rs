//! Why a verb did not do what was asked, free of GraphQL and HTTP.
//!
//! What can rightly happen is a [`Problem`]; what a caller must never see the inside of is [`Error::Fault`].

use chrono::{DateTime, Utc};
use entity::{
    fault::{Fault, Faults},
    money::{Money, MoneyError},
};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};

use crate::{auth::Scope, db::is_busy};

/// Every way in which a verb ends without what was asked for.
#[derive(Debug)]
pub enum Error {
    /// Can rightly happen, and a caller should handle it.
    Problem(Problem),
    /// The caller is a service without this scope, or a shopper who may never do this (rules A3, A5).
    Forbidden(Scope),
    /// This server does not do that: the settings say so. The text says what.
    SwitchedOff(&'static str),
    /// The database could not do it for now, and the transaction that met this left nothing behind: the same request may be sent again. Its text is
    /// for the log only.
    Busy(String),
    /// A fault of ours or of what we stand on; its text is for the log only.
    Fault(String),
}

/// An input as the face read it, or what is wrong with it. A verb asks whether the caller may before it looks.
pub type Read<T> = Result<T, Vec<Fault>>;

/// Something that a caller should handle: data, not an error (the API's `problem`).
///
/// A variant exists only if a caller would act differently on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Problem {
    OrderNotFound,
    OrderAlreadyPaid,
    OrderCancelled,
    /// Captured money does not cover the total (rule O6).
    OrderNotCovered {
        captured: Money,
        total: Money,
    },
    OrderHasOpenAttempt,
    /// The shopper was shown another amount.
    AmountDueChanged {
        expected: Money,
        amount_due: Money,
    },
    /// There is nothing to pay: the order is free, or its payments cover it.
    NothingDue,
    AttemptNotFound,
    /// Reported money was not accepted and waits for a decision (rule T5).
    AttemptConflicted,
    PaymentNotFound,
    PaymentArchived,
    /// Somebody else works on the payment, until then (rule K2).
    PaymentLocked {
        payment_id: String,
        purpose: Option<String>,
        expires_at: DateTime<Utc>,
        retry_after_ms: i32,
    },
    /// The lock that the work began under does not stand any more (rule K5).
    LockLost {
        payment_id: String,
    },
    /// What is named was read at another version than it has now.
    StaleVersion {
        of: String,
        current: i32,
    },
    /// There is only so much (rule P5).
    AmountExceedsAvailable {
        requested: Money,
        available: Money,
    },
    CurrencyMismatch {
        message: String,
    },
    /// The transaction that was named can't be acted on (rule P3).
    ParentTransactionUnsuitable {
        why: String,
    },
    /// The provider said no, or can't be reached: nothing was done.
    ProviderUnavailable,
    /// The provider can't do it (rule P10), or there is none of this name.
    ProviderUnsupported {
        why: String,
    },
    /// The provider's answer is not known (rule P8).
    OutcomeUnknown,
    IdempotencyKeyReused,
    OperationInProgress,
    InvalidInput(Vec<Fault>),
}

impl Problem {
    /// One field that can't be accepted, and what would be right.
    pub fn invalid(path: &str, message: impl std::fmt::Display) -> Self {
        let mut faults = Faults::default();
        faults.add(path, message);
        Self::InvalidInput(faults.or::<()>(None).err().unwrap_or_default())
    }

    /// There is no provider of this name here.
    pub fn unknown_provider(name: &str) -> Self {
        Self::ProviderUnsupported { why: format!("There is no payment provider {name:?} here") }
    }

    /// Whether the same request may succeed later as it is, without anybody doing anything about it but waiting.
    pub fn is_retryable(&self) -> bool {
        match self {
            // Money, a provider's answer or a person's decision may still come.
            Self::OrderNotCovered { .. }
            | Self::OrderHasOpenAttempt
            | Self::AttemptNotFound
            | Self::AttemptConflicted
            | Self::PaymentLocked { .. }
            | Self::OutcomeUnknown
            | Self::OperationInProgress => true,
            Self::OrderNotFound
            | Self::OrderAlreadyPaid
            | Self::OrderCancelled
            | Self::AmountDueChanged { .. }
            | Self::NothingDue
            | Self::PaymentNotFound
            | Self::PaymentArchived
            | Self::LockLost { .. }
            | Self::StaleVersion { .. }
            | Self::AmountExceedsAvailable { .. }
            | Self::CurrencyMismatch { .. }
            | Self::ParentTransactionUnsuitable { .. }
            | Self::ProviderUnavailable
            | Self::ProviderUnsupported { .. }
            | Self::IdempotencyKeyReused
            | Self::InvalidInput(_) => false,
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OrderNotFound => f.write_str("There is no such order."),
            Self::OrderAlreadyPaid => f.write_str("The order is paid already."),
            Self::OrderCancelled => f.write_str("The order is cancelled."),
            Self::OrderNotCovered { captured, total } => {
                write!(f, "Captured money does not cover the order: {captured} of {total}.")
            }
            Self::OrderHasOpenAttempt => {
                f.write_str("A payment attempt is open on the order; it has to end or be cancelled first.")
            }
            Self::AmountDueChanged { expected, amount_due } => {
                write!(f, "The amount due is {amount_due}, not {expected}.")
            }
            Self::NothingDue => f.write_str("Nothing is due on the order; a service marks it paid with processOrderToPaid."),
            Self::AttemptNotFound => f.write_str("There is no such payment attempt."),
            Self::AttemptConflicted => f.write_str(
                "The provider reported money that does not match the attempt or the order. It is kept and waits for a decision.",
            ),
            Self::PaymentNotFound => f.write_str("There is no such payment."),
            Self::PaymentArchived => f.write_str("The payment is archived."),
            Self::PaymentLocked { payment_id, retry_after_ms, .. } => {
                write!(f, "Somebody else works on {payment_id}; its lock runs out in {retry_after_ms} ms.")
            }
            Self::LockLost { payment_id } => write!(
                f,
                "The lock on {payment_id} ran out, was given back, or was taken by another. Nothing more was sent under it; take the lock anew, and look at the payment again.",
            ),
            Self::StaleVersion { of, current } => write!(f, "{of} changed meanwhile: its version is {current}."),
            Self::AmountExceedsAvailable { requested, available } => {
                write!(f, "{requested} is more than is available: {available}.")
            }
            Self::CurrencyMismatch { message } => f.write_str(message),
            Self::ParentTransactionUnsuitable { why } => write!(f, "The parent transaction can't be acted on: {why}."),
            Self::ProviderUnavailable => f.write_str("The payment provider refused, or could not be reached. Nothing was done; try again under a new idempotency key."),
            Self::ProviderUnsupported { why } => write!(f, "{why}."),
            Self::OutcomeUnknown => f.write_str(
                "The payment provider's answer is not known yet. Send the same request again later, under the same idempotency key where it has one; nothing is sent to the provider twice.",
            ),
            Self::IdempotencyKeyReused => f.write_str("This idempotency key was used with another input."),
            Self::OperationInProgress => f.write_str("A request with this idempotency key is still running."),
            Self::InvalidInput(faults) => {
                let told: Vec<String> = faults.iter().map(describe).collect();
                write!(f, "Invalid input: {}.", told.join("; "))
            }
        }
    }
}

fn describe(fault: &Fault) -> String {
    match fault.path.join(".") {
        path if path.is_empty() => fault.message.clone(),
        path => format!("{path} {}", fault.message),
    }
}

impl Error {
    /// A row that another row points to is not there.
    pub fn missing(id: impl std::fmt::Display) -> Self {
        Self::Fault(format!("{id} is referred to and missing"))
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Vec<Fault>> for Problem {
    fn from(faults: Vec<Fault>) -> Self {
        Self::InvalidInput(faults)
    }
}

impl From<Vec<Fault>> for Error {
    fn from(faults: Vec<Fault>) -> Self {
        Self::Problem(faults.into())
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        match is_busy(&error) {
            true => Self::Busy(error.to_string()),
            false => Self::Fault(format!("database: {error}")),
        }
    }
}

impl From<MoneyError> for Error {
    // Amounts that a caller sent are checked before they reach a verb; what fails later are our own books.
    fn from(error: MoneyError) -> Self {
        Self::Fault(format!("an amount in the books {error}"))
    }
}

impl From<getrandom::Error> for Error {
    fn from(error: getrandom::Error) -> Self {
        Self::Fault(format!("randomness: {error}"))
    }
}
