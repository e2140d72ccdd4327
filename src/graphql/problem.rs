//! Problems as the API shows them.

use async_graphql::{Enum, ID, Interface, SimpleObject};

use super::{money::Money, scalar::Instant};
use crate::error;

/// Why something that was asked for did not happen. A client that knows no more can act on this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ProblemCode {
    /// There is no such order, or it belongs to somebody else.
    OrderNotFound,
    /// The order is paid already.
    OrderAlreadyPaid,
    /// The order is cancelled.
    OrderCancelled,
    /// Captured money does not cover the order's total.
    OrderNotCovered,
    /// A payment attempt is open on the order.
    OrderHasOpenAttempt,
    /// The amount due differs from what the shopper was shown.
    AmountDueChanged,
    /// There is nothing to pay: the order is free, or its payments cover it. A service marks it paid with processOrderToPaid.
    NothingDue,
    /// There is no such payment attempt.
    AttemptNotFound,
    /// The provider reported money that was not accepted; it waits for a decision.
    AttemptConflicted,
    /// There is no such payment, or it belongs to somebody else's order.
    PaymentNotFound,
    /// The payment is archived; no more money is moved for it that way.
    PaymentArchived,
    /// Somebody else works on the payment; nothing was done.
    PaymentLocked,
    /// The lock ran out, was given back, or was taken by another; nothing more was sent under it.
    LockLost,
    /// It changed since it was read.
    StaleVersion,
    /// There is only so much to be moved; nothing was sent.
    AmountExceedsAvailable,
    /// An amount is in another currency than the order and its payments.
    CurrencyMismatch,
    /// The parent transaction can't be acted on: another payment's, another kind, not succeeded, or undone.
    ParentTransactionUnsuitable,
    /// The provider refused, or could not be reached; nothing was done.
    ProviderUnavailable,
    /// The provider can't do this, or there is none of this name here; nothing was sent.
    ProviderUnsupported,
    /// The provider's answer is not known; ask again with the same idempotency key.
    OutcomeUnknown,
    /// The idempotency key was used with another input.
    IdempotencyKeyReused,
    /// A request with this idempotency key is still running.
    OperationInProgress,
    /// Fields can't be accepted; each is named.
    InvalidInput,
}

/// Something that can rightly happen and that a caller should handle. Select `... on Problem` to handle all alike.
#[derive(Interface)]
#[graphql(
    field(name = "code", ty = "&ProblemCode", desc = "What happened, for a program."),
    field(name = "message", ty = "&String", desc = "What happened, for a person who develops against this API."),
    field(name = "retryable", ty = "&bool", desc = "Whether the same request may succeed later as it is.")
)]
pub enum Problem {
    Plain(PlainProblem),
    InvalidInput(InvalidInput),
    PaymentLocked(PaymentLocked),
    StaleVersion(StaleVersion),
    AmountExceedsAvailable(AmountExceedsAvailable),
    AmountDueChanged(AmountDueChanged),
}

/// A problem of which there is no more to say.
#[derive(SimpleObject)]
pub struct PlainProblem {
    /// What happened, for a program.
    code: ProblemCode,
    /// What happened, for a person who develops against this API.
    message: String,
    /// Whether the same request may succeed later as it is.
    retryable: bool,
}

/// Fields that can't be accepted, all of them.
#[derive(SimpleObject)]
pub struct InvalidInput {
    /// What happened, for a program.
    code: ProblemCode,
    /// What happened, for a person who develops against this API.
    message: String,
    /// Whether the same request may succeed later as it is.
    retryable: bool,
    /// Each field that can't be accepted.
    fields: Vec<InvalidField>,
}

/// A field that can't be accepted, and what would be right.
#[derive(SimpleObject)]
pub struct InvalidField {
    /// From the input's root to the field: `["cart", "lines", "3", "quantity"]`.
    path: Vec<String>,
    /// What would be right.
    message: String,
}

/// Somebody else works on the payment, until then. There is no queue: whoever wants it asks again.
#[derive(SimpleObject)]
pub struct PaymentLocked {
    /// What happened, for a program.
    code: ProblemCode,
    /// What happened, for a person who develops against this API.
    message: String,
    /// Whether the same request may succeed later as it is.
    retryable: bool,
    /// The payment's id (pay_…).
    payment_id: ID,
    /// What the lock was taken for, in the words of whoever took it.
    purpose: Option<String>,
    /// When the lock runs out by itself, unless it is extended.
    expires_at: Instant,
    /// In so many milliseconds it runs out.
    retry_after_ms: i32,
}

/// It was read at another version than it has now.
#[derive(SimpleObject)]
pub struct StaleVersion {
    /// What happened, for a program.
    code: ProblemCode,
    /// What happened, for a person who develops against this API.
    message: String,
    /// Whether the same request may succeed later as it is.
    retryable: bool,
    /// The version that it has now.
    current_version: i32,
}

/// More was asked for than there is; nothing was sent.
#[derive(SimpleObject)]
pub struct AmountExceedsAvailable {
    /// What happened, for a program.
    code: ProblemCode,
    /// What happened, for a person who develops against this API.
    message: String,
    /// Whether the same request may succeed later as it is.
    retryable: bool,
    /// What was asked for.
    requested: Money,
    /// What there is.
    available: Money,
}

/// The amount due differs from what the shopper was shown.
#[derive(SimpleObject)]
pub struct AmountDueChanged {
    /// What happened, for a program.
    code: ProblemCode,
    /// What happened, for a person who develops against this API.
    message: String,
    /// Whether the same request may succeed later as it is.
    retryable: bool,
    /// What the shopper was shown.
    expected: Money,
    /// What is due.
    amount_due: Money,
}

impl From<error::Problem> for Problem {
    fn from(problem: error::Problem) -> Self {
        let code = code(&problem);
        let message = problem.to_string();
        let retryable = problem.is_retryable();
        match problem {
            error::Problem::InvalidInput(faults) => {
                let fields = faults.into_iter().map(|fault| InvalidField { path: fault.path, message: fault.message });
                Self::InvalidInput(InvalidInput { code, message, retryable, fields: fields.collect() })
            }
            error::Problem::PaymentLocked { payment_id, purpose, expires_at, retry_after_ms } => {
                let (payment_id, expires_at) = (payment_id.into(), Instant::At(expires_at));
                Self::PaymentLocked(PaymentLocked {
                    code,
                    message,
                    retryable,
                    payment_id,
                    purpose,
                    expires_at,
                    retry_after_ms,
                })
            }
            error::Problem::StaleVersion { current, .. } => {
                Self::StaleVersion(StaleVersion { code, message, retryable, current_version: current })
            }
            error::Problem::AmountExceedsAvailable { requested, available } => {
                let (requested, available) = (requested.into(), available.into());
                Self::AmountExceedsAvailable(AmountExceedsAvailable { code, message, retryable, requested, available })
            }
            error::Problem::AmountDueChanged { expected, amount_due } => Self::AmountDueChanged(AmountDueChanged {
                code,
                message,
                retryable,
                expected: expected.into(),
                amount_due: amount_due.into(),
            }),
            error::Problem::OrderNotFound
            | error::Problem::OrderAlreadyPaid
            | error::Problem::OrderCancelled
            | error::Problem::OrderNotCovered { .. }
            | error::Problem::OrderHasOpenAttempt
            | error::Problem::NothingDue
            | error::Problem::AttemptNotFound
            | error::Problem::AttemptConflicted
            | error::Problem::PaymentNotFound
            | error::Problem::PaymentArchived
            | error::Problem::LockLost { .. }
            | error::Problem::CurrencyMismatch { .. }
            | error::Problem::ParentTransactionUnsuitable { .. }
            | error::Problem::ProviderUnavailable
            | error::Problem::ProviderUnsupported { .. }
            | error::Problem::OutcomeUnknown
            | error::Problem::IdempotencyKeyReused
            | error::Problem::OperationInProgress => Self::Plain(PlainProblem { code, message, retryable }),
        }
    }
}

fn code(problem: &error::Problem) -> ProblemCode {
    use error::Problem;
    match problem {
        Problem::OrderNotFound => ProblemCode::OrderNotFound,
        Problem::OrderAlreadyPaid => ProblemCode::OrderAlreadyPaid,
        Problem::OrderCancelled => ProblemCode::OrderCancelled,
        Problem::OrderNotCovered { .. } => ProblemCode::OrderNotCovered,
        Problem::OrderHasOpenAttempt => ProblemCode::OrderHasOpenAttempt,
        Problem::AmountDueChanged { .. } => ProblemCode::AmountDueChanged,
        Problem::NothingDue => ProblemCode::NothingDue,
        Problem::AttemptNotFound => ProblemCode::AttemptNotFound,
        Problem::AttemptConflicted => ProblemCode::AttemptConflicted,
        Problem::PaymentNotFound => ProblemCode::PaymentNotFound,
        Problem::PaymentArchived => ProblemCode::PaymentArchived,
        Problem::PaymentLocked { .. } => ProblemCode::PaymentLocked,
        Problem::LockLost { .. } => ProblemCode::LockLost,
        Problem::StaleVersion { .. } => ProblemCode::StaleVersion,
        Problem::AmountExceedsAvailable { .. } => ProblemCode::AmountExceedsAvailable,
        Problem::CurrencyMismatch { .. } => ProblemCode::CurrencyMismatch,
        Problem::ParentTransactionUnsuitable { .. } => ProblemCode::ParentTransactionUnsuitable,
        Problem::ProviderUnavailable => ProblemCode::ProviderUnavailable,
        Problem::ProviderUnsupported { .. } => ProblemCode::ProviderUnsupported,
        Problem::OutcomeUnknown => ProblemCode::OutcomeUnknown,
        Problem::IdempotencyKeyReused => ProblemCode::IdempotencyKeyReused,
        Problem::OperationInProgress => ProblemCode::OperationInProgress,
        Problem::InvalidInput(_) => ProblemCode::InvalidInput,
    }
}
