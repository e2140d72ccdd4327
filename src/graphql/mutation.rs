//! What can be done. Every payload has `problem`: null on success, else one typed reason.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use entity::{
    fault::{Fault, Faults},
    money as nouns,
    owner::Owner,
    transaction,
};

use super::{
    attempt::{FailureInput, PaymentAttempt, PaymentAttemptStatus},
    cart::{CartInput, metadata},
    failure::{Failure, part},
    money::{MoneyInput, amount},
    node::{app, caller},
    order::{Order, OwnerKind},
    problem::Problem,
    scalar::{CurrencyCode, Decimal, Instant, Metadata},
    visible,
    walk::Walked,
};
use crate::{
    auth::Scope,
    error::{self, Error},
    service::{
        attempt::{self, AttemptToPay},
        claim,
        order::{self, NewOrder},
        settle::{self, Told},
    },
};

/// The root of all mutations.
pub struct Mutation;

/// Whose an order shall be.
#[derive(Clone, Debug, InputObject)]
pub struct OrderOwnerInput {
    /// Signed in or not.
    kind: OwnerKind,
    /// The id that the identity system gave them, 1 to 255 characters.
    id: ID,
}

/// An order to be made.
#[derive(Clone, Debug, InputObject)]
pub struct CreateOrderInput {
    /// Whose it shall be.
    owner: OrderOwnerInput,
    /// What is bought, at prices that the caller vouches for.
    cart: CartInput,
    /// Free-form pairs kept for the caller.
    metadata: Option<Metadata>,
    /// 1 to 255 characters: the same key again gives the same order back.
    idempotency_key: String,
}

/// Another cart for an order.
#[derive(Clone, Debug, InputObject)]
pub struct UpdateOrderCartInput {
    /// ord_….
    order_id: ID,
    /// The whole cart as it shall be.
    cart: CartInput,
    /// The version that was read; another one is STALE_VERSION.
    expected_version: Option<i32>,
}

/// An order to be cancelled.
#[derive(Clone, Debug, InputObject)]
pub struct CancelOrderInput {
    /// ord_….
    order_id: ID,
    /// Why, for the record: up to 500 characters.
    reason: Option<String>,
    /// The version that was read; another one is STALE_VERSION.
    expected_version: Option<i32>,
}

/// Orders to be moved from an anonymous user to a user.
#[derive(Clone, Debug, InputObject)]
pub struct ClaimAnonymousOrdersInput {
    /// Who they turned out not to be.
    anonymous_user_id: ID,
    /// Who they turned out to be.
    user_id: ID,
    /// Only count.
    #[graphql(default_with = "Some(false)")]
    dry_run: Option<bool>,
}

/// An attempt to be started.
#[derive(Clone, Debug, InputObject)]
pub struct AttemptToPayForOrderInput {
    /// ord_….
    order_id: ID,
    /// By name; the server's usual one where none is given.
    provider: Option<String>,
    /// Where the shopper goes afterwards; its origin must be configured.
    return_url: Option<String>,
    /// What the shopper was shown. A different amount due is a problem, not a surprise on the card.
    expected_amount: Option<MoneyInput>,
    /// 1 to 255 characters: the same key again gives the same attempt back.
    idempotency_key: String,
}

/// News of a session, as a provider told it.
#[derive(Clone, Debug, InputObject)]
pub struct UpdateAttemptToPayInput {
    /// The provider's id of the session.
    attempt_external_id: String,
    /// What the provider reports: any status but CREATED and CONFLICTED, which are the server's own.
    status: PaymentAttemptStatus,
    /// The amount that the provider reports.
    total_amount: Decimal,
    /// The currency that the provider reports.
    currency: CurrencyCode,
    /// The provider's event id, where it has one: the same event twice changes nothing.
    event_id: Option<String>,
    /// When it happened, in the provider's words; kept with the report.
    occurred_at: Option<Instant>,
    /// Why it failed, where it did.
    failure: Option<FailureInput>,
}

/// An order to be marked paid.
#[derive(Clone, Debug, InputObject)]
pub struct ProcessOrderToPaidInput {
    /// ord_….
    order_id: ID,
}

/// An order, or why not.
#[derive(SimpleObject)]
pub struct OrderPayload {
    /// The order as it is now; null where there is a problem.
    order: Option<Walked<Order>>,
    /// Null on success.
    problem: Option<Problem>,
}

/// How many orders moved, or why none.
#[derive(SimpleObject)]
pub struct ClaimAnonymousOrdersPayload {
    /// How many orders moved, or with dryRun would move.
    claimed_count: i32,
    /// Null on success.
    problem: Option<Problem>,
}

/// An attempt, or why none.
#[derive(SimpleObject)]
pub struct PaymentAttemptPayload {
    /// The attempt as it is now. It may be there beside a problem: what was written down stays.
    attempt: Option<Walked<PaymentAttempt>>,
    /// Whether it was there before.
    replayed: bool,
    /// Null on success.
    problem: Option<Problem>,
}

/// What came of news.
#[derive(SimpleObject)]
pub struct UpdateAttemptToPayPayload {
    /// The attempt as it is now.
    attempt: Option<Walked<PaymentAttempt>>,
    /// Its order as it is now.
    order: Option<Walked<Order>>,
    /// Whether nothing changed, because the news was known or old.
    already_processed: bool,
    /// Null on success.
    problem: Option<Problem>,
}

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
        let made = match input.read() {
            Ok(new) => order::create_order(app(ctx), caller(ctx), new, &key).await,
            Err(faults) => refused(caller(ctx).require(Scope::OrdersWrite), faults),
        };
        order_payload(made)
    }

    /// Puts another cart in place of the order's, as long as no attempt is open and it is not paid or cancelled. Needs orders:write.
    #[graphql(visible = "visible::to_order_writers")]
    async fn update_order_cart(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order and its new cart.")] input: UpdateOrderCartInput,
    ) -> Result<OrderPayload, Failure> {
        let mut faults = Faults::default();
        let id = faults.take("orderId", input.order_id.parse());
        let cart = input.cart.read().map_err(|found| faults.nest("cart", found)).ok();
        let changed = match faults.or(id.zip(cart)) {
            Ok((id, cart)) => order::update_order_cart(app(ctx), caller(ctx), id, cart, input.expected_version).await,
            Err(faults) => refused(caller(ctx).require(Scope::OrdersWrite), faults),
        };
        order_payload(changed)
    }

    /// Cancels an order; an open attempt is cancelled at the provider first. Needs orders:write.
    #[graphql(visible = "visible::to_order_writers")]
    async fn cancel_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which order, and why.")] input: CancelOrderInput,
    ) -> Result<OrderPayload, Failure> {
        let mut faults = Faults::default();
        let id = faults.take("orderId", input.order_id.parse());
        if let Some(reason) = &input.reason {
            faults.length("reason", reason, 0..=500);
        }
        let cancelled = match faults.or(id) {
            Ok(id) => order::cancel_order(app(ctx), caller(ctx), id, input.reason, input.expected_version).await,
            Err(faults) => refused(caller(ctx).require(Scope::OrdersWrite), faults),
        };
        order_payload(cancelled)
    }

    /// Moves an anonymous user's orders to the user that they turned out to be. Needs orders:write.
    #[graphql(visible = "visible::to_order_writers")]
    async fn claim_anonymous_orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "From whom to whom.")] input: ClaimAnonymousOrdersInput,
    ) -> Result<ClaimAnonymousOrdersPayload, Failure> {
        let mut faults = Faults::default();
        faults.length("anonymousUserId", &input.anonymous_user_id, 1..=255);
        faults.length("userId", &input.user_id, 1..=255);
        let ids = (input.anonymous_user_id.to_string(), input.user_id.to_string());
        let claimed = match faults.or(Some(ids)) {
            Ok((anonymous, user)) => {
                let dry_run = input.dry_run.unwrap_or_default();
                claim::claim_anonymous_orders(app(ctx), caller(ctx), anonymous, user, dry_run).await
            }
            Err(faults) => refused(caller(ctx).require(Scope::OrdersWrite), faults),
        };
        let (count, problem) = part(claimed)?;
        Ok(ClaimAnonymousOrdersPayload {
            claimed_count: count.unwrap_or_default().try_into().unwrap_or(i32::MAX),
            problem: problem.map(Problem::from),
        })
    }

    /// Starts a payment attempt for the amount due, or gives back the open one for the same amount, provider and cart. Shoppers may for
    /// their own orders; a service needs attempts:write.
    #[graphql(visible = "visible::to_payers")]
    async fn attempt_to_pay_for_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which order, and what the shopper was shown.")] input: AttemptToPayForOrderInput,
    ) -> Result<PaymentAttemptPayload, Failure> {
        let key = input.idempotency_key.clone();
        let attempted = match input.read() {
            Ok(request) => attempt::attempt_to_pay_for_order(app(ctx), caller(ctx), request, &key).await,
            Err(faults) => refused(caller(ctx).audience(Scope::AttemptsWrite), faults),
        };
        let (attempted, problem) = part(attempted)?;
        Ok(match attempted {
            Some(attempted) => PaymentAttemptPayload {
                attempt: attempted.attempt.map(|row| Walked(PaymentAttempt(row))),
                replayed: attempted.replayed,
                problem: attempted.problem.map(Problem::from),
            },
            None => PaymentAttemptPayload { attempt: None, replayed: false, problem: problem.map(Problem::from) },
        })
    }

    /// Takes in what a provider reported of a session, exactly as its webhook would. Needs attempts:write.
    #[graphql(visible = "visible::to_attempt_writers")]
    async fn update_attempt_to_pay(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What the provider reported.")] input: UpdateAttemptToPayInput,
    ) -> Result<UpdateAttemptToPayPayload, Failure> {
        let external_id = input.attempt_external_id.clone();
        let settled = match input.read() {
            Ok(told) => settle::update_attempt_to_pay(app(ctx), caller(ctx), &external_id, told).await,
            Err(faults) => refused(caller(ctx).require(Scope::AttemptsWrite), faults),
        };
        let (settled, problem) = part(settled)?;
        Ok(match settled {
            Some(settled) => UpdateAttemptToPayPayload {
                attempt: Some(Walked(PaymentAttempt(settled.attempt))),
                order: Some(Walked(Order::new(settled.order))),
                already_processed: settled.already_processed,
                problem: settled.problem.map(Problem::from),
            },
            None => UpdateAttemptToPayPayload {
                attempt: None,
                order: None,
                already_processed: false,
                problem: problem.map(Problem::from),
            },
        })
    }

    /// Marks an order paid and takes its snapshot, if captured money covers its total; a paid order comes back unchanged. Needs orders:write.
    #[graphql(visible = "visible::to_order_writers")]
    async fn process_order_to_paid(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which order.")] input: ProcessOrderToPaidInput,
    ) -> Result<OrderPayload, Failure> {
        let mut faults = Faults::default();
        let id = faults.take("orderId", input.order_id.parse());
        let paid = match faults.or(id) {
            Ok(id) => order::process_order_to_paid(app(ctx), caller(ctx), id).await,
            Err(faults) => refused(caller(ctx).require(Scope::OrdersWrite), faults),
        };
        order_payload(paid)
    }
}

/// Who may not do it at all is told so, and not what is wrong with the input.
fn refused<T, P>(permitted: Result<P, Error>, faults: Vec<Fault>) -> Result<T, Error> {
    permitted?;
    Err(error::Problem::from(faults).into())
}

fn order_payload(given: Result<entity::order::Model, Error>) -> Result<OrderPayload, Failure> {
    let (row, problem) = part(given)?;
    let order = row.map(|row| Walked(Order::new(row)));
    Ok(OrderPayload { order, problem: problem.map(Problem::from) })
}

impl CreateOrderInput {
    fn read(self) -> Result<NewOrder, Vec<Fault>> {
        let mut faults = Faults::default();
        let owner = Owner::new(self.owner.kind.into(), self.owner.id.0);
        let owner = owner.map_err(|found| faults.nest("owner", found)).ok();
        let cart = self.cart.read().map_err(|found| faults.nest("cart", found)).ok();
        let metadata = metadata(&mut faults, "metadata", self.metadata);
        let new = (|| Some(NewOrder { owner: owner?, cart: cart?, metadata: metadata? }))();
        faults.or(new)
    }
}

impl AttemptToPayForOrderInput {
    fn read(self) -> Result<AttemptToPay, Vec<Fault>> {
        let mut faults = Faults::default();
        let order_id = faults.take("orderId", self.order_id.parse());
        let expected_amount = self.expected_amount.and_then(|amount| amount.read(&mut faults, "expectedAmount"));
        let request = order_id.map(|order_id| AttemptToPay {
            order_id,
            provider: self.provider,
            return_url: self.return_url,
            expected_amount,
        });
        faults.or(request)
    }
}

impl UpdateAttemptToPayInput {
    fn read(self) -> Result<Told, Vec<Fault>> {
        let mut faults = Faults::default();
        let words = format!("updateAttemptToPay: {self:?}");
        faults.length("attemptExternalId", &self.attempt_external_id, 1..=255);
        if let Some(event_id) = &self.event_id {
            faults.length("eventId", event_id, 1..=255);
        }
        let report = self.status.reported();
        if report.is_none() {
            faults.add("status", "is the server's own; a provider reports any of the others");
        }
        let currency: Option<nouns::Currency> = faults.take("currency", self.currency.0.parse());
        let amount = currency.and_then(|currency| amount(&mut faults, "totalAmount", &self.total_amount, currency));
        let failure = self.failure.map(|failure| {
            faults.length("failure.code", &failure.code, 1..=255);
            faults.length("failure.message", &failure.message, 0..=1000);
            transaction::Failure { code: failure.code, message: failure.message, decline: None }
        });
        let told =
            report.zip(amount).map(|(report, amount)| Told { report, amount, failure, event_id: self.event_id, words });
        faults.or(told)
    }
}
