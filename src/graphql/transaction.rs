//! A payment's transactions as the API shows them: to those who audit, and to nobody else.

use std::sync::Arc;

use async_graphql::{Enum, ID, Object};
use entity::transaction::{self, Model};

use super::{
    failure::Failure,
    money::Money,
    provider_failure::ProviderFailure,
    scalar::Instant,
    walk::{Displayed, Walked, at_hand, choice},
};
use crate::error::Error;

/// What a provider was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "transaction::Kind")]
pub enum TransactionKind {
    /// Hold money, to be captured later.
    Authorize,
    /// Take money at once.
    AuthorizeAndCapture,
    /// Take money that an authorization holds.
    Capture,
    /// Let go of money that an authorization holds.
    ReverseAuthorize,
    /// Give back money that was captured.
    Refund,
    /// Give money that nothing was captured for.
    DetachedCredit,
}

/// What the provider said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "transaction::Status")]
pub enum TransactionStatus {
    /// Written down, and perhaps sent; the provider has not answered yet.
    Sent,
    /// The provider took it and will say later.
    Pending,
    /// No answer that can be trusted; the server finds out.
    Unknown,
    /// The money moved, or is held, as it was asked for.
    Succeeded,
    /// It did not; no money moved.
    Failed,
}

/// What is still owed about a transaction, beside what the provider said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "transaction::ManagementState")]
pub enum TransactionManagementState {
    /// It counts, and would be undone if its payment came to nothing.
    ReversalCandidate,
    /// It is not wanted any more and will be undone; it counts nowhere from here on.
    RequiresReversal,
    /// It is being undone.
    ReversalInProgress,
    /// It is undone.
    Reversed,
    /// The provider refused to undo it: the money is still held or taken.
    FailedReversal,
    /// It undoes another one.
    ReversalTransaction,
    /// It counts, and only a person may undo it.
    AutomaticReversalNotAllowed,
}

choice!(TransactionKind);
choice!(TransactionStatus);
choice!(TransactionManagementState);

/// One thing that was asked of a provider for a payment, and what it said.
pub struct PaymentTransaction {
    row: Model,
    /// All of its payment: a parent is one of them (rule P3).
    of_payment: Arc<Vec<Model>>,
}

impl PaymentTransaction {
    /// All transactions of a payment, in the order they come in.
    pub fn all(of_payment: &Arc<Vec<Model>>) -> Vec<Walked<Self>> {
        let each = of_payment.iter().cloned();
        each.map(|row| Walked(Self { row, of_payment: Arc::clone(of_payment) })).collect()
    }

    fn parent_at_hand(&self) -> Result<Option<Walked<Self>>, Error> {
        let Some(id) = self.row.parent_id else { return Ok(None) };
        let row = self.of_payment.iter().find(|row| row.id == id).cloned().ok_or_else(|| Error::missing(id))?;
        Ok(Some(Walked(Self { row, of_payment: Arc::clone(&self.of_payment) })))
    }

    fn provider_reference_at_hand(&self) -> Option<String> {
        self.row.provider_reference.clone().map(|reference| reference.0)
    }
}

/// One thing that was asked of a provider for a payment, and what it said. Only for services with payments:audit.
#[Object]
impl PaymentTransaction {
    /// `txn_` and a UUIDv7.
    async fn id(&self) -> ID {
        self.row.id.to_string().into()
    }

    /// What the provider was asked for.
    async fn kind(&self) -> TransactionKind {
        self.row.kind.into()
    }

    /// What the provider said.
    async fn status(&self) -> TransactionStatus {
        self.row.status.into()
    }

    /// What is still owed about it; null where nothing is.
    async fn management_state(&self) -> Option<TransactionManagementState> {
        self.row.management_state.map(Into::into)
    }

    /// How much money it is about.
    async fn amount(&self) -> Walked<Money> {
        Walked(self.row.amount().into())
    }

    /// The earlier transaction of the same payment that it acts on; null where it acts on none.
    async fn parent(&self) -> Result<Option<Walked<PaymentTransaction>>, Failure> {
        Ok(self.parent_at_hand()?)
    }

    /// Ours, unique, sent to the provider so that both sides can be matched.
    async fn reference(&self) -> String {
        self.row.reference.clone()
    }

    /// The provider's own name for what it did.
    async fn provider_reference(&self) -> Option<String> {
        self.provider_reference_at_hand()
    }

    /// Why it failed.
    async fn failure(&self) -> Option<Walked<ProviderFailure>> {
        self.row.failure().map(|failure| Walked(failure.into()))
    }

    /// Who asked for it, in the caller's own words.
    async fn source(&self) -> Option<String> {
        self.row.source.clone()
    }

    /// What kind of thing it was asked for the sake of, in the caller's own words: "return", "subscription".
    async fn source_entity_type(&self) -> Option<String> {
        self.row.source_entity_type.clone()
    }

    /// Which one, in the caller's own words.
    async fn source_entity_id(&self) -> Option<String> {
        self.row.source_entity_id.clone()
    }

    /// When it was written down, before it was sent.
    async fn created_at(&self) -> Instant {
        Instant::At(self.row.created_at)
    }

    /// When it succeeded or failed.
    async fn settled_at(&self) -> Option<Instant> {
        self.row.settled_at.map(Instant::At)
    }
}

at_hand!(PaymentTransaction,
    "id" => |it| Displayed(it.row.id),
    "kind" => |it| TransactionKind::from(it.row.kind),
    "status" => |it| TransactionStatus::from(it.row.status),
    "managementState" => |it| it.row.management_state.map(TransactionManagementState::from),
    "amount" => |it| Money::from(it.row.amount()),
    "parent" => |it| it.parent_at_hand().ok()?,
    "reference" => |it| it.row.reference,
    "providerReference" => |it| it.provider_reference_at_hand(),
    "failure" => |it| it.row.failure().map(ProviderFailure::from),
    "source" => |it| it.row.source,
    "sourceEntityType" => |it| it.row.source_entity_type,
    "sourceEntityId" => |it| it.row.source_entity_id,
    "createdAt" => |it| Instant::At(it.row.created_at),
    "settledAt" => |it| it.row.settled_at.map(Instant::At),
);
