//! What can be asked.

use async_graphql::{Context, ID, Object, SimpleObject};
use entity::owner::OwnerKind;

use super::{
    attempt::PaymentAttempt,
    context::{app, caller},
    failure::{Failure, part},
    input,
    node::{self, Node},
    operation::Operation,
    order::Order,
    paging::{OrderConnection, OrderFilter, PageArguments, connection, filter_of, wanted},
    payment::Payment,
    problem::Problem,
    reconciliation::{ReconciliationCaseConnection, ReconciliationState, cases},
    viewer::Viewer,
    visible,
    walk::Walked,
};
use crate::{
    error::{self, Error},
    service::{
        attempt::{self, Named},
        case, operation, order, order_list, payment,
    },
};

/// The root of all queries.
pub struct Query;

/// An order that can be paid, or why it can't.
#[derive(SimpleObject)]
pub struct OrderToPayPayload {
    /// The order; null where it can't be paid.
    order: Option<Walked<Order>>,
    /// Null on success.
    problem: Option<Problem>,
}

/// The root of all queries.
#[Object]
impl Query {
    /// Who the server thinks is asking, and the orders that belong to them.
    async fn viewer(&self, ctx: &Context<'_>) -> Viewer {
        Viewer(caller(ctx).clone())
    }

    /// Any order, payment or payment attempt by its id, as Relay refetches; null where it is missing or somebody else's.
    #[graphql(visible = "visible::to_order_viewers")]
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The id of an order (ord_…), a payment (pay_…) or a payment attempt (att_…).")] id: ID,
    ) -> Result<Option<Node>, Failure> {
        node::find(ctx, id).await
    }

    /// One order, or null where it does not exist or belongs to somebody else: the two are not told apart.
    #[graphql(visible = "visible::to_order_viewers")]
    async fn order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order's id (ord_…).")] id: ID,
    ) -> Result<Option<Walked<Order>>, Failure> {
        match order::find(app(ctx), caller(ctx), input::id("id", &id)?).await? {
            Some(row) => Order::one(ctx, row).await.map(Some),
            None => Ok(None),
        }
    }

    /// An unpaid order with all that is needed to pay for it; a problem where it is already paid or cancelled.
    #[graphql(visible = "visible::to_order_viewers")]
    async fn order_to_pay(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order's id (ord_…).")] order_id: ID,
    ) -> Result<OrderToPayPayload, Failure> {
        let id = input::id("orderId", &order_id);
        let found = order::get_order_to_pay(app(ctx), caller(ctx), id).await;
        let (row, problem) = part(found)?;
        let order = row.map(|row| Walked(Order::new(&row)));
        Ok(OrderToPayPayload { order, problem: problem.map(Problem::from) })
    }

    /// Orders of a signed-in user. Callers see their own; a service needs orders:read.
    #[graphql(visible = "visible::to_order_viewers")]
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection are what they are")]
    async fn user_orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user's id, 1 to 255 characters.")] user_id: ID,
        #[graphql(desc = "The first n, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
        #[graphql(desc = "The last n, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
        #[graphql(desc = "The k-th page of `first`, from 1; without cursors and filter.")] page: Option<i32>,
        #[graphql(desc = "Only these.")] filter: Option<OrderFilter>,
    ) -> Result<Walked<OrderConnection>, Failure> {
        let owner = input::owner("userId", OwnerKind::User, &user_id)?;
        let part = PageArguments { first, after, last, before, page }.part()?;
        let page =
            order_list::get_owner_orders(app(ctx), caller(ctx), owner, filter_of(filter)?, part, wanted(ctx)).await?;
        connection(ctx, page).await
    }

    /// Orders of an anonymous user. Callers see their own; a service needs orders:read.
    #[graphql(visible = "visible::to_order_viewers")]
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection are what they are")]
    async fn anonymous_user_orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The anonymous user's id, 1 to 255 characters.")] anonymous_user_id: ID,
        #[graphql(desc = "The first n, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
        #[graphql(desc = "The last n, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
        #[graphql(desc = "The k-th page of `first`, from 1; without cursors and filter.")] page: Option<i32>,
        #[graphql(desc = "Only these.")] filter: Option<OrderFilter>,
    ) -> Result<Walked<OrderConnection>, Failure> {
        let owner = input::owner("anonymousUserId", OwnerKind::Anonymous, &anonymous_user_id)?;
        let part = PageArguments { first, after, last, before, page }.part()?;
        let page =
            order_list::get_owner_orders(app(ctx), caller(ctx), owner, filter_of(filter)?, part, wanted(ctx)).await?;
        connection(ctx, page).await
    }

    /// Every order, newest first, for back-office services with orders:read.
    #[graphql(visible = "visible::to_order_readers")]
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first n, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
        #[graphql(desc = "The last n, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only these.")] filter: Option<OrderFilter>,
    ) -> Result<Walked<OrderConnection>, Failure> {
        let part = PageArguments { first, after, last, before, page: None }.part()?;
        let page = order_list::get_orders(app(ctx), caller(ctx), filter_of(filter)?, part, wanted(ctx)).await?;
        connection(ctx, page).await
    }

    /// One payment, or null where it does not exist or belongs to somebody else's order.
    #[graphql(visible = "visible::to_order_viewers")]
    async fn payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The payment's id (pay_…).")] id: ID,
    ) -> Result<Option<Walked<Payment>>, Failure> {
        let found = payment::find(app(ctx), caller(ctx), input::id("id", &id)?).await?;
        Ok(found.map(|booked| Walked(Payment::from(booked))))
    }

    /// One payment attempt by its id or by the provider's id of its session; null where it does not exist or belongs to somebody else's order.
    #[graphql(visible = "visible::to_order_viewers")]
    async fn payment_attempt(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The attempt's id (att_…).")] id: Option<ID>,
        #[graphql(desc = "The provider's id of the session.")] external_id: Option<String>,
    ) -> Result<Option<Walked<PaymentAttempt>>, Failure> {
        let named = match (id, external_id) {
            (Some(id), None) => Named::Id(input::id("id", &id)?),
            (None, Some(external_id)) => Named::ExternalId(input::text("externalId", external_id, 1..=255)?),
            _ => {
                return Err(Error::from(error::Problem::invalid(
                    "id",
                    "or externalId names the attempt, one of the two",
                ))
                .into());
            }
        };
        let row = attempt::find(app(ctx), caller(ctx), named).await?;
        Ok(row.map(|row| Walked(PaymentAttempt(row))))
    }

    /// Payments whose real state at the provider is not known or contradicts ours, newest first. Needs payments:reconcile.
    #[graphql(visible = "visible::to_reconcilers")]
    async fn reconciliation_cases(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first n, 1 to 100; 20 where it is left out.")] first: Option<i32>,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
        #[graphql(desc = "Only those that are open, or resolved.")] state: Option<ReconciliationState>,
    ) -> Result<ReconciliationCaseConnection, Failure> {
        let state = state.map(Into::into);
        let page = case::get_cases(app(ctx), caller(ctx), cases(first, after, state)).await?;
        Ok(ReconciliationCaseConnection::of(page, state))
    }

    /// What became of a mutation that was sent with this idempotency key by this caller; null where none was, or it was refused before anything
    /// was written. Of several mutations under one key, the one that was sent last.
    async fn operation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key that the mutation was sent with, 1 to 255 characters.")] idempotency_key: String,
    ) -> Result<Option<Operation>, Failure> {
        let key = input::text("idempotencyKey", idempotency_key, 1..=255);
        Ok(operation::find(app(ctx), caller(ctx), key).await?.map(Operation))
    }
}
