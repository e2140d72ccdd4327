//! The payment summary as the API shows it.

use async_graphql::SimpleObject;
use entity::summary;

use super::{money::Money, walk::at_hand};

/// A safe summary of a payment and its transactions: enough to decide and act, nothing that identifies them.
#[derive(SimpleObject)]
pub struct PaymentSummary {
    /// Authorized less reverse-authorized.
    amount_authorized: Money,
    /// Captured less refunded.
    amount_captured: Money,
    /// Refunded.
    amount_refunded: Money,
    /// Detached credits.
    amount_credited: Money,
    /// What may still be authorized.
    amount_available_for_authorize: Money,
    /// What is authorized and may still be captured.
    amount_available_for_capture: Money,
    /// What may still be authorized and captured at once.
    amount_available_for_authorize_and_capture: Money,
    /// What is authorized and may still be given back unused.
    amount_available_for_reverse_authorization: Money,
    /// What is captured and may still be refunded.
    amount_available_for_refund: Money,
    /// Whether all of the amount is authorized.
    fully_authorized: bool,
    /// Whether all of the amount is captured, and none of it refunded.
    fully_captured: bool,
    /// Whether some of the amount is captured, not all.
    partially_captured: bool,
    /// Captured in all, refunds not taken off.
    total_ever_captured: Money,
    /// Whether all that was ever captured is refunded.
    fully_refunded: bool,
    /// Sent to the provider and not answered for sure: counted as moved nowhere, and available nowhere.
    amount_pending: Money,
    /// Still held or taken by the provider although we tried to undo it.
    amount_stuck_in_reversal: Money,
}

at_hand!(PaymentSummary,
    "amountAuthorized" => |it| it.amount_authorized,
    "amountCaptured" => |it| it.amount_captured,
    "amountRefunded" => |it| it.amount_refunded,
    "amountCredited" => |it| it.amount_credited,
    "amountAvailableForAuthorize" => |it| it.amount_available_for_authorize,
    "amountAvailableForCapture" => |it| it.amount_available_for_capture,
    "amountAvailableForAuthorizeAndCapture" => |it| it.amount_available_for_authorize_and_capture,
    "amountAvailableForReverseAuthorization" => |it| it.amount_available_for_reverse_authorization,
    "amountAvailableForRefund" => |it| it.amount_available_for_refund,
    "fullyAuthorized" => |it| it.fully_authorized,
    "fullyCaptured" => |it| it.fully_captured,
    "partiallyCaptured" => |it| it.partially_captured,
    "totalEverCaptured" => |it| it.total_ever_captured,
    "fullyRefunded" => |it| it.fully_refunded,
    "amountPending" => |it| it.amount_pending,
    "amountStuckInReversal" => |it| it.amount_stuck_in_reversal,
);

impl From<summary::PaymentSummary> for PaymentSummary {
    fn from(summary: summary::PaymentSummary) -> Self {
        Self {
            amount_authorized: summary.authorized.into(),
            amount_captured: summary.captured.into(),
            amount_refunded: summary.refunded.into(),
            amount_credited: summary.credited.into(),
            amount_available_for_authorize: summary.available_for_authorize.into(),
            amount_available_for_capture: summary.available_for_capture.into(),
            amount_available_for_authorize_and_capture: summary.available_for_authorize_and_capture.into(),
            amount_available_for_reverse_authorization: summary.available_for_reverse_authorization.into(),
            amount_available_for_refund: summary.available_for_refund.into(),
            fully_authorized: summary.fully_authorized,
            fully_captured: summary.fully_captured,
            partially_captured: summary.partially_captured,
            total_ever_captured: summary.total_ever_captured.into(),
            fully_refunded: summary.fully_refunded,
            amount_pending: summary.pending.into(),
            amount_stuck_in_reversal: summary.stuck_in_reversal.into(),
        }
    }
}
