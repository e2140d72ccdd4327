//! Payments as the API shows them.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};
use entity::payment;

use super::{
    context::caller,
    failure::Failure,
    loader::{LockOf, OrderOf, TransactionsOf, loader},
    lock::PaymentLockState,
    money::Money,
    order::Order,
    scalar::{Instant, Metadata},
    summary::PaymentSummary,
    transaction::PaymentTransaction,
    visible,
    walk::{Displayed, Walked, at_hand, choice},
};
use crate::{auth::Scope, error::Error, service::payment::Booked};

/// Whether a payment still counts towards its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "payment::Status")]
pub enum PaymentStatus {
    /// It does.
    Active,
    /// It came to nothing; its history stays.
    Archived,
}

choice!(PaymentStatus);

/// One payment method's share of an order.
pub struct Payment(Arc<Booked>);

impl From<Arc<Booked>> for Payment {
    fn from(booked: Arc<Booked>) -> Self {
        Self(booked)
    }
}

impl From<Booked> for Payment {
    fn from(booked: Booked) -> Self {
        Self(Arc::new(booked))
    }
}

/// One payment method's share of an order.
#[Object]
impl Payment {
    /// `pay_` and a UUIDv7.
    pub async fn id(&self) -> ID {
        self.0.payment.id.to_string().into()
    }

    /// The order that it pays for.
    async fn order(&self, ctx: &Context<'_>) -> Result<Walked<Order>, Failure> {
        let id = self.0.payment.order_id;
        let row = loader(ctx).load_one(OrderOf(id)).await?.ok_or_else(|| Error::missing(id))?;
        Ok(Walked(Order::new(&row)))
    }

    /// Who moves the money.
    async fn provider(&self) -> String {
        self.0.payment.provider.clone()
    }

    /// Whether it still counts towards the order.
    async fn status(&self) -> PaymentStatus {
        self.0.payment.status.into()
    }

    /// Its share of the order.
    async fn amount(&self) -> Walked<Money> {
        Walked(self.0.payment.amount().into())
    }

    /// Safe to show: brand, last four digits, expiry. Never a token.
    async fn display(&self) -> Metadata {
        (&self.0.payment.display).into()
    }

    /// What happened so far and what may happen next, without the transactions behind it.
    async fn summary(&self) -> Result<Walked<PaymentSummary>, Failure> {
        Ok(Walked(self.0.summary()?.into()))
    }

    /// The lock on this payment, without its token; null where it is free.
    async fn lock(&self, ctx: &Context<'_>) -> Result<Option<Walked<PaymentLockState>>, Failure> {
        let held = loader(ctx).load_one(LockOf(self.0.payment.id)).await?;
        Ok(held.map(PaymentLockState::try_from).transpose()?.map(Walked))
    }

    /// Grows with each change; send it as `expectedVersion` to change only what was read.
    async fn version(&self) -> i32 {
        self.0.payment.version
    }

    /// When it was made.
    async fn created_at(&self) -> Instant {
        Instant::At(self.0.payment.created_at)
    }

    /// When it last changed.
    async fn updated_at(&self) -> Instant {
        Instant::At(self.0.payment.updated_at)
    }

    /// The ledger behind the summary, oldest first. Only for services with payments:audit.
    #[graphql(visible = "visible::to_auditors")]
    async fn transactions(&self, ctx: &Context<'_>) -> Result<Vec<Walked<PaymentTransaction>>, Failure> {
        caller(ctx).require(Scope::PaymentsAudit)?;
        let all = loader(ctx).load_one(TransactionsOf(self.0.payment.id)).await?;
        Ok(PaymentTransaction::all(&all.unwrap_or_default()))
    }
}

at_hand!(Payment,
    "id" => |it| Displayed(it.0.payment.id),
    "provider" => |it| it.0.payment.provider,
    "status" => |it| PaymentStatus::from(it.0.payment.status),
    "amount" => |it| Money::from(it.0.payment.amount()),
    "display" => |it| Metadata::from(&it.0.payment.display),
    "summary" => |it| PaymentSummary::from(it.0.summary().ok()?),
    "version" => |it| it.0.payment.version,
    "createdAt" => |it| Instant::At(it.0.payment.created_at),
    "updatedAt" => |it| Instant::At(it.0.payment.updated_at),
);
