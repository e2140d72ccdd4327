//! Why something failed at a provider, as the API shows it.

use async_graphql::{Enum, SimpleObject};
use entity::transaction;

use super::walk::{at_hand, choice};

/// Whether a declined payment may be tried again with the same method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "transaction::Decline")]
pub enum DeclineKind {
    /// Another try may succeed.
    Soft,
    /// It won't.
    Hard,
}

choice!(DeclineKind);

/// Why something failed, in the provider's words.
#[derive(SimpleObject)]
#[graphql(name = "Failure")]
pub struct ProviderFailure {
    /// The provider's code.
    code: String,
    /// The provider's words.
    message: String,
    /// Where it was a decline: whether another try may succeed.
    decline: Option<DeclineKind>,
}

at_hand!(ProviderFailure,
    "code" => |it| it.code,
    "message" => |it| it.message,
    "decline" => |it| it.decline,
);

impl From<transaction::Failure> for ProviderFailure {
    fn from(failure: transaction::Failure) -> Self {
        let transaction::Failure { code, message, decline } = failure;
        Self { code, message, decline: decline.map(DeclineKind::from) }
    }
}
