//! Payments as the API shows them.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};
use entity::payment;

use super::{
    failure::Failure,
    loader::{OrderOf, loader},
    money::Money,
    order::Order,
    scalar::{Instant, Metadata},
    summary::PaymentSummary,
    walk::{Walked, at_hand, leaf},
};
use crate::{error::Error, service::payment::Booked};

/// Whether a payment still counts towards its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "payment::Status")]
pub enum PaymentStatus {
    /// It does.
    Active,
    /// It came to nothing; its history stays.
    Archived,
}

leaf!(PaymentStatus, |it| async_graphql::resolver_utils::enum_value(*it));

/// One payment method's share of an order.
pub struct Payment(Arc<Booked>);

impl Payment {
    pub fn new(booked: Arc<Booked>) -> Self {
        Self(booked)
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
        Ok(Walked(Order::new(row)))
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

    /// Grows with each change.
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
}

at_hand!(Payment,
    "id" => |it| it.0.payment.id.to_string(),
    "provider" => |it| it.0.payment.provider,
    "status" => |it| PaymentStatus::from(it.0.payment.status),
    "amount" => |it| Money::from(it.0.payment.amount()),
    "display" => |it| Metadata::from(&it.0.payment.display),
    "summary" => |it| PaymentSummary::from(it.0.summary().ok()?),
    "version" => |it| it.0.payment.version,
    "createdAt" => |it| Instant::At(it.0.payment.created_at),
    "updatedAt" => |it| Instant::At(it.0.payment.updated_at),
);
