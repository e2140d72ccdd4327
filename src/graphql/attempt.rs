//! Attempts to pay as the API shows them.

use async_graphql::{Context, Enum, ID, Object};
use entity::attempt::{Model, Report, Status};

use super::{
    failure::Failure,
    loader::{LedgerOf, OrderOf, loader},
    money::Money,
    order::Order,
    payment::Payment,
    provider_failure::ProviderFailure,
    scalar::Instant,
    walk::{Displayed, Walked, at_hand, choice},
};
use crate::error::Error;

/// The status of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Status")]
pub enum PaymentAttemptStatus {
    /// Written down, the provider has not answered yet.
    Created,
    /// The session is open and waits for the shopper.
    Pending,
    /// The shopper is done, the provider is still working.
    Processing,
    /// The money was taken.
    Succeeded,
    /// The provider declined, or opened no session.
    Failed,
    /// The shopper or the shop gave up.
    Cancelled,
    /// Nobody paid in time.
    Expired,
    /// The provider reported money that does not match: kept, not accepted, and waiting for a decision. A later report that does match still pays
    /// the order.
    Conflicted,
}

impl PaymentAttemptStatus {
    /// What a provider reports by it; a provider never reports the two statuses that are ours alone.
    pub fn reported(self) -> Option<Report> {
        match self {
            Self::Pending => Some(Report::Pending),
            Self::Processing => Some(Report::Processing),
            Self::Succeeded => Some(Report::Succeeded),
            Self::Failed => Some(Report::Failed),
            Self::Cancelled => Some(Report::Cancelled),
            Self::Expired => Some(Report::Expired),
            Self::Created | Self::Conflicted => None,
        }
    }
}

choice!(PaymentAttemptStatus);

/// One session at a provider, for the amount that was due when it was started.
pub struct PaymentAttempt(pub Model);

impl PaymentAttempt {
    fn redirect_url_at_hand(&self) -> Option<String> {
        self.0.redirect_url.clone().filter(|_| self.0.status.is_payable())
    }

    fn client_secret_at_hand(&self) -> Option<String> {
        let secret = self.0.client_secret.clone().filter(|_| self.0.status.is_payable());
        secret.map(|secret| secret.0)
    }
}

/// One session at a provider, for the amount that was due when it was started.
#[Object]
impl PaymentAttempt {
    /// `att_` and a UUIDv7.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The order that it is to pay.
    async fn order(&self, ctx: &Context<'_>) -> Result<Walked<Order>, Failure> {
        let id = self.0.order_id;
        let row = loader(ctx).load_one(OrderOf(id)).await?.ok_or_else(|| Error::missing(id))?;
        Ok(Walked(Order::new(&row)))
    }

    /// The payment that its money goes into.
    async fn payment(&self, ctx: &Context<'_>) -> Result<Walked<Payment>, Failure> {
        let id = self.0.payment_id;
        let ledger = loader(ctx).load_one(LedgerOf(self.0.order_id)).await?.unwrap_or_default();
        let booked = ledger.payments.iter().find(|booked| booked.payment.id == id);
        let booked = booked.cloned().ok_or_else(|| Error::missing(id))?;
        Ok(Walked(Payment::from(booked)))
    }

    /// Who moves the money.
    async fn provider(&self) -> String {
        self.0.provider.clone()
    }

    /// The provider's id of the payment session.
    async fn external_id(&self) -> Option<String> {
        self.0.external_id.clone()
    }

    /// Its status.
    async fn status(&self) -> PaymentAttemptStatus {
        self.0.status.into()
    }

    /// What is to be paid.
    async fn amount(&self) -> Walked<Money> {
        Walked(self.0.amount().into())
    }

    /// Where to send the shopper; null once the session is over.
    async fn redirect_url(&self) -> Option<String> {
        self.redirect_url_at_hand()
    }

    /// For providers with an embedded form; null once the session is over.
    async fn client_secret(&self) -> Option<String> {
        self.client_secret_at_hand()
    }

    /// Why it failed.
    async fn failure(&self) -> Option<ProviderFailure> {
        self.0.failure().map(ProviderFailure::from)
    }

    /// Until when the session waits for the shopper.
    async fn expires_at(&self) -> Option<Instant> {
        self.0.expires_at.map(Instant::At)
    }

    /// When it was started.
    async fn created_at(&self) -> Instant {
        Instant::At(self.0.created_at)
    }

    /// When it last changed.
    async fn updated_at(&self) -> Instant {
        Instant::At(self.0.updated_at)
    }
}

at_hand!(PaymentAttempt,
    "id" => |it| Displayed(it.0.id),
    "provider" => |it| it.0.provider,
    "externalId" => |it| it.0.external_id,
    "status" => |it| PaymentAttemptStatus::from(it.0.status),
    "amount" => |it| Money::from(it.0.amount()),
    "redirectUrl" => |it| it.redirect_url_at_hand(),
    "clientSecret" => |it| it.client_secret_at_hand(),
    "failure" => |it| it.0.failure().map(ProviderFailure::from),
    "expiresAt" => |it| it.0.expires_at.map(Instant::At),
    "createdAt" => |it| Instant::At(it.0.created_at),
    "updatedAt" => |it| Instant::At(it.0.updated_at),
);
