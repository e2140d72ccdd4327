//! What can be done. Every payload has `problem`: null on success, else one typed reason.

use async_graphql::{Context, Object};

use super::{
    attempt_input::{
        AttemptToPayForOrderInput, PaymentAttemptPayload, UpdateAttemptToPayInput, UpdateAttemptToPayPayload,
    },
    context::{app, caller},
    failure::Failure,
    lock_input::{
        ExtendPaymentLocksInput, LockPaymentsInput, LockPaymentsPayload, UnlockPaymentsInput, UnlockPaymentsPayload,
    },
    order_input::{
        CancelOrderInput, ClaimAnonymousOrdersInput, ClaimAnonymousOrdersPayload, CreateOrderInput, OrderPayload,
        ProcessOrderToPaidInput, UpdateOrderCartInput,
    },
    payment_input::{ArchivePaymentInput, CreatePaymentInput, PaymentPayload, UpdatePaymentInput},
    reconciliation::{ReconciliationCasePayload, ResolveReconciliationCaseInput},
    token_input::{
        IssueAnonymousTokenInput, IssueAnonymousTokenPayload, RevokeAnonymousTokensInput, RevokeAnonymousTokensPayload,
    },
    transaction_input::{TransactionInput, TransactionPayload},
    visible,
};
use crate::service::{anonymous_token, attempt, claim, lock, order, payment_change, resolution, settle, transaction};

pub struct Mutation;

/// What can be done. Every payload has `problem`: null on success, else one typed reason. Top-level errors are kept for requests that are
/// malformed, unauthenticated, lack a scope, or hit a fault of the server.
#[Object(visible = "visible::to_mutators")]
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

    /// Moves an anonymous user's orders to the user that they turned out to be. Tokens of the anonymous user reach them no more; they stay good, for
    /// orders that may come, until revokeAnonymousTokens. Needs orders:write.
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

    /// Takes in what a provider reported of a session, as its webhook would. A session that it says has ended without money is ended at the provider as
    /// well, so that nobody pays it any more; if it was paid meanwhile, that is what the payload shows. Needs attempts:write.
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
    /// Makes a payment for an order that awaits payment: one payment method's share of it. No money moves by this. Needs payments:write.
    #[graphql(visible = "visible::to_payment_writers")]
    async fn create_payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which order, how much of it, and by which payment method.")] input: CreatePaymentInput,
    ) -> Result<PaymentPayload, Failure> {
        let key = input.idempotency_key.clone();
        PaymentPayload::of(payment_change::create_payment(app(ctx), caller(ctx), input.read(), &key).await)
    }

    /// Changes a payment's amount, or what is shown of it. Where the amount changes, what is authorized is reversed. Needs payments:write.
    #[graphql(visible = "visible::to_payment_writers")]
    async fn update_payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which payment, and what changes.")] input: UpdatePaymentInput,
    ) -> Result<PaymentPayload, Failure> {
        PaymentPayload::of(payment_change::update_payment(app(ctx), caller(ctx), input.read()).await)
    }

    /// Archives a payment: what is authorized is reversed, and nothing new is begun on it; its history stays. One that holds captured money has to be
    /// refunded first; an archived one comes back unchanged. Needs payments:write.
    #[graphql(visible = "visible::to_payment_writers")]
    async fn archive_payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which payment.")] input: ArchivePaymentInput,
    ) -> Result<PaymentPayload, Failure> {
        PaymentPayload::of(payment_change::archive_payment(app(ctx), caller(ctx), input.read()).await)
    }

    /// Has the provider hold money, to be captured later. Needs payments:write.
    #[graphql(visible = "visible::to_payment_writers")]
    async fn authorize_payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How much to hold.")] input: TransactionInput,
    ) -> Result<TransactionPayload, Failure> {
        let key = input.idempotency_key.clone();
        TransactionPayload::of(transaction::authorize_payment(app(ctx), caller(ctx), input.read(), &key).await)
    }

    /// Has the provider take money at once. Needs payments:capture.
    #[graphql(visible = "visible::to_capturers")]
    async fn authorize_and_capture_payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How much to take.")] input: TransactionInput,
    ) -> Result<TransactionPayload, Failure> {
        let key = input.idempotency_key.clone();
        let done = transaction::authorize_and_capture_payment(app(ctx), caller(ctx), input.read(), &key).await;
        TransactionPayload::of(done)
    }

    /// Takes money that was authorized. Needs payments:capture.
    #[graphql(visible = "visible::to_capturers")]
    async fn capture_payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How much to take.")] input: TransactionInput,
    ) -> Result<TransactionPayload, Failure> {
        let key = input.idempotency_key.clone();
        TransactionPayload::of(transaction::capture_payment(app(ctx), caller(ctx), input.read(), &key).await)
    }

    /// Lets go of money that was authorized and not captured. Needs payments:write.
    #[graphql(visible = "visible::to_payment_writers")]
    async fn reverse_authorization(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How much to let go.")] input: TransactionInput,
    ) -> Result<TransactionPayload, Failure> {
        let key = input.idempotency_key.clone();
        TransactionPayload::of(transaction::reverse_authorization(app(ctx), caller(ctx), input.read(), &key).await)
    }

    /// Gives back money that was captured; captures are used up oldest first. Needs payments:refund.
    #[graphql(visible = "visible::to_refunders")]
    async fn refund_payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How much to give back.")] input: TransactionInput,
    ) -> Result<TransactionPayload, Failure> {
        let key = input.idempotency_key.clone();
        TransactionPayload::of(transaction::refund_payment(app(ctx), caller(ctx), input.read(), &key).await)
    }

    /// Gives money that nothing was captured for: a detached credit. Needs payments:credit.
    #[graphql(visible = "visible::to_creditors")]
    async fn credit_payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How much to give.")] input: TransactionInput,
    ) -> Result<TransactionPayload, Failure> {
        let key = input.idempotency_key.clone();
        TransactionPayload::of(transaction::credit_payment(app(ctx), caller(ctx), input.read(), &key).await)
    }

    /// Locks payments, all or none: until the locks run out or are given back, only their tokens change these payments. Nobody waits: where one is held,
    /// the problem says for how long. Needs locks:write.
    #[graphql(visible = "visible::to_lockers")]
    async fn lock_payments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which payments, and for how long.")] input: LockPaymentsInput,
    ) -> Result<LockPaymentsPayload, Failure> {
        LockPaymentsPayload::of(lock::lock_payments(app(ctx), caller(ctx), input.read()).await)
    }

    /// Holds on to locks, all or none, for so long from now; never for less than they have. One that ran out and was taken by nobody is whole again.
    /// Needs locks:write.
    #[graphql(visible = "visible::to_lockers")]
    async fn extend_payment_locks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which locks, and for how long.")] input: ExtendPaymentLocksInput,
    ) -> Result<LockPaymentsPayload, Failure> {
        LockPaymentsPayload::of(lock::extend_payment_locks(app(ctx), caller(ctx), input.read()).await)
    }

    /// Gives locks back. Tokens that are not their locks' any more do nothing. Needs locks:write.
    #[graphql(visible = "visible::to_lockers")]
    async fn unlock_payments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which locks.")] input: UnlockPaymentsInput,
    ) -> Result<UnlockPaymentsPayload, Failure> {
        UnlockPaymentsPayload::of(lock::unlock_payments(app(ctx), caller(ctx), input.read()).await)
    }

    /// Decides a case, with what the decision goes by. It runs under the payment's lock. The same decision again gives the case as it is. Needs
    /// payments:reconcile.
    #[graphql(visible = "visible::to_reconcilers")]
    async fn resolve_reconciliation_case(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which case, and what is decided.")] input: ResolveReconciliationCaseInput,
    ) -> Result<ReconciliationCasePayload, Failure> {
        let decided = resolution::resolve_reconciliation_case(app(ctx), caller(ctx), input.read()).await;
        ReconciliationCasePayload::of(decided)
    }

    /// Issues a token to an anonymous user: with it, and not by an id alone, a guest reads and pays their own orders. Each call issues another; those
    /// before stay good. Needs tokens:write.
    #[graphql(visible = "visible::to_token_issuers")]
    async fn issue_anonymous_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "For whom, and for how long.")] input: IssueAnonymousTokenInput,
    ) -> Result<IssueAnonymousTokenPayload, Failure> {
        let issued = anonymous_token::issue_anonymous_token(app(ctx), caller(ctx), input.read()).await;
        IssueAnonymousTokenPayload::of(issued)
    }

    /// Revokes every token that was issued to an anonymous user until now, at every server at once; open connections end with the next event or within
    /// seconds. Tokens that an identity system issued are its own to revoke. Needs tokens:write.
    #[graphql(visible = "visible::to_token_issuers")]
    async fn revoke_anonymous_tokens(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose tokens.")] input: RevokeAnonymousTokensInput,
    ) -> Result<RevokeAnonymousTokensPayload, Failure> {
        let revoked = anonymous_token::revoke_anonymous_tokens(app(ctx), caller(ctx), input.read()).await;
        RevokeAnonymousTokensPayload::of(revoked)
    }
}
