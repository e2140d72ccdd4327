//! What a payment provider can do (rule P10).
//!
//! What it can't is refused before anything is sent to it.

use crate::transaction::Kind;

/// What one provider can do with a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    pub kinds: &'static [Kind],
    /// Whether less than all that is left of an authorization can be captured.
    pub partial_capture: bool,
    /// Whether an authorization can be captured from more than once.
    pub repeated_capture: bool,
    /// Whether the rest of an authorization is gone once a part of it is captured.
    pub partial_capture_ends_authorization: bool,
    /// Whether less than all that is left of an authorization can be reversed.
    pub partial_reversal: bool,
}
