//! What can be done. Every payload has `problem`: null on success, else one typed reason.

use async_graphql::{Context, Object};

use super::{
    attempt_input::{
        AttemptToPayForOrderInput, PaymentAttemptPayload, UpdateAttemptToPayInput, UpdateAttemptToPayPayload,
    },
    context::{app, caller},
    failure::Failure,
    order_input::{
        CancelOrderInput, ClaimAnonymousOrdersInput, ClaimAnonymousOrdersPayload, CreateOrderInput, OrderPayload,
        ProcessOrderToPaidInput, UpdateOrderCartInput,
    },
    visible,
};
use crate::service::{attempt, claim, order, settle};

pub struct Mutation;

/// What can be done. Every payload has `problem`: null on success, else one typed reason. Top-level errors are kept for requests that are
/// malformed, unauthenticated, lack a scope, or hit a fault of the server.
#[Object]
impl Mutation {
    /// Makes an order that awaits payment. Needs orders:write: prices come from trusted services only.
    #[graphql(visible = "visible::to_order_writers")]
    async fn create_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose it is and what is in it.")] input: CreateOrderInput,
    ) -> Result<OrderPayload, Failure> {
        let key = input.idempotency_key.clone();
        OrderPayload::of(order::create_order(app(ctx), caller(ctx), input.read(), &key).await)
    }

    /// Puts another cart in place of the order's, as long as no attempt is open and it is not paid or cancelled. Needs orders:write.
    #[graphql(visible = "visible::to_order_writers")]
    async fn update_order_cart(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order and its new cart.")] input: UpdateOrderCartInput,
    ) -> Result<OrderPayload, Failure> {
        OrderPayload::of(order::update_order_cart(app(ctx), caller(ctx), input.read()).await)
    }

    /// Cancels an order; an open attempt is cancelled at the provider first. Needs orders:write.
    #[graphql(visible = "visible::to_order_writers")]
    async fn cancel_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which order, and why.")] input: CancelOrderInput,
    ) -> Result<OrderPayload, Failure> {
        OrderPayload::of(order::cancel_order(app(ctx), caller(ctx), input.read()).await)
    }

    /// Moves an anonymous user's orders to the user that they turned out to be. Needs orders:write.
    #[graphql(visible = "visible::to_order_writers")]
    async fn claim_anonymous_orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "From whom to whom.")] input: ClaimAnonymousOrdersInput,
    ) -> Result<ClaimAnonymousOrdersPayload, Failure> {
        ClaimAnonymousOrdersPayload::of(claim::claim_anonymous_orders(app(ctx), caller(ctx), input.read()).await)
    }

    /// Starts a payment attempt for the amount due, or gives back the open one for the same amount, provider and cart, even if its returnUrl differs.
    /// The provider may append a query parameter of its own to returnUrl. Shoppers may for their own orders; a service needs attempts:write.
    #[graphql(visible = "visible::to_payers")]
    async fn attempt_to_pay_for_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which order, and what the shopper was shown.")] input: AttemptToPayForOrderInput,
    ) -> Result<PaymentAttemptPayload, Failure> {
        let key = input.idempotency_key.clone();
        let attempted = attempt::attempt_to_pay_for_order(app(ctx), caller(ctx), input.read(), &key).await;
        PaymentAttemptPayload::of(attempted)
    }

    /// Takes in what a provider reported of a session, exactly as its webhook would. Needs attempts:write.
    #[graphql(visible = "visible::to_attempt_writers")]
    async fn update_attempt_to_pay(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What the provider reported.")] input: UpdateAttemptToPayInput,
    ) -> Result<UpdateAttemptToPayPayload, Failure> {
        UpdateAttemptToPayPayload::of(settle::update_attempt_to_pay(app(ctx), caller(ctx), input.read()).await)
    }

    /// Marks an order paid and takes its snapshot, if captured money covers its total; a paid order comes back unchanged. Needs orders:write.
    #[graphql(visible = "visible::to_order_writers")]
    async fn process_order_to_paid(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which order.")] input: ProcessOrderToPaidInput,
    ) -> Result<OrderPayload, Failure> {
        OrderPayload::of(order::process_order_to_paid(app(ctx), caller(ctx), input.read()).await)
    }
}
