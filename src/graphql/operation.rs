//! What became of a mutation, as the API shows it.

use async_graphql::{Context, Enum, Object};
use entity::operation::{self, Model};

use super::{
    attempt::PaymentAttempt,
    context::{app, caller},
    failure::Failure,
    order::Order,
    payment::Payment,
    problem::Problem,
    scalar::Instant,
    walk::Walked,
};
use crate::service::{
    attempt::{self, Named},
    operation::problem,
    order, payment,
};

/// How far a mutation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "operation::State")]
pub enum OperationState {
    /// It runs now, or stopped half way: send it again under the same key, and it goes on from there.
    InProgress,
    /// It did what was asked for.
    Succeeded,
    /// It ended with a problem after something was written.
    Refused,
}

/// A mutation that was sent under an idempotency key, and what became of it.
pub struct Operation(pub Model);

/// A mutation that was sent under an idempotency key, and what became of it. One that was refused before anything was written left no trace.
#[Object]
impl Operation {
    /// The key, as it was sent.
    async fn idempotency_key(&self) -> String {
        self.0.idempotency_key.clone()
    }

    /// The mutation's name: "attemptToPayForOrder".
    async fn mutation(&self) -> String {
        self.0.mutation.clone()
    }

    /// How far it came.
    async fn state(&self) -> OperationState {
        self.0.state.into()
    }

    /// When it was sent first.
    async fn started_at(&self) -> Instant {
        Instant::At(self.0.started_at)
    }

    /// When it ended.
    async fn finished_at(&self) -> Option<Instant> {
        self.0.finished_at.map(Instant::At)
    }

    /// The problem that it ended with; null where it ended without one, or has not ended.
    async fn problem(&self) -> Result<Option<Problem>, Failure> {
        Ok(problem(&self.0)?.map(Problem::from))
    }

    /// The order that it made or changed, as it is now. A service needs orders:read to see it.
    async fn order(&self, ctx: &Context<'_>) -> Result<Option<Walked<Order>>, Failure> {
        let Some(id) = self.0.order_id else { return Ok(None) };
        match order::find(app(ctx), caller(ctx), id).await? {
            Some(row) => Order::one(ctx, row).await.map(Some),
            None => Ok(None),
        }
    }

    /// The payment that it made or changed, as it is now. A service needs orders:read to see it.
    async fn payment(&self, ctx: &Context<'_>) -> Result<Option<Walked<Payment>>, Failure> {
        let Some(id) = self.0.payment_id else { return Ok(None) };
        let booked = payment::find(app(ctx), caller(ctx), id).await?;
        Ok(booked.map(|booked| Walked(booked.into())))
    }

    /// The attempt that it started, as it is now. A service needs orders:read to see it.
    async fn attempt(&self, ctx: &Context<'_>) -> Result<Option<Walked<PaymentAttempt>>, Failure> {
        let Some(id) = self.0.attempt_id else { return Ok(None) };
        let row = attempt::find(app(ctx), caller(ctx), Named::Id(id)).await?;
        Ok(row.map(|row| Walked(PaymentAttempt(row))))
    }
}
