//! What is sent to change orders, and what comes back.

use async_graphql::{ID, InputObject, SimpleObject};
use entity::{fault::Faults, id::OrderId, order::Model, owner::Owner};

use super::{
    cart::CartInput,
    failure::{Failure, part},
    order::{Order, OwnerKind},
    problem::Problem,
    scalar::Metadata,
    token::{TokenText, lock_token},
    walk::Walked,
};
use crate::{
    error::{Error, Read},
    service::{
        claim::Claim,
        order::{Cancellation, CartChange, NewOrder},
    },
};

/// Who will own an order.
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
    /// Who will own it.
    owner: OrderOwnerInput,
    /// What is bought, at prices that the caller vouches for.
    cart: CartInput,
    /// Free-form pairs kept for the caller.
    metadata: Option<Metadata>,
    /// 1 to 255 characters: the same key again gives the same order back.
    pub idempotency_key: String,
}

impl CreateOrderInput {
    pub fn read(self) -> Read<NewOrder> {
        let mut faults = Faults::default();
        let owner = Owner::new(self.owner.kind.into(), self.owner.id.0);
        let owner = owner.map_err(|found| faults.nest("owner", found)).ok();
        let cart = self.cart.read().map_err(|found| faults.nest("cart", found)).ok();
        let metadata = self.metadata.unwrap_or_default().read(&mut faults, "metadata");
        faults.text("idempotencyKey", &self.idempotency_key, 1..=255);
        let new = (|| Some(NewOrder { owner: owner?, cart: cart?, metadata: metadata? }))();
        faults.or(new)
    }
}

/// Another cart for an order.
#[derive(Clone, Debug, InputObject)]
pub struct UpdateOrderCartInput {
    /// The order's id (ord_…).
    order_id: ID,
    /// The whole cart as it will be.
    cart: CartInput,
    /// The version that was read; another one is STALE_VERSION.
    expected_version: Option<i32>,
}

impl UpdateOrderCartInput {
    pub fn read(self) -> Read<CartChange> {
        let mut faults = Faults::default();
        let order_id = faults.take("orderId", self.order_id.parse());
        let cart = self.cart.read().map_err(|found| faults.nest("cart", found)).ok();
        let expected_version = self.expected_version;
        faults.or(order_id.zip(cart).map(|(order_id, cart)| CartChange { order_id, cart, expected_version }))
    }
}

/// An order to be cancelled.
#[derive(Clone, Debug, InputObject)]
pub struct CancelOrderInput {
    /// The order's id (ord_…).
    order_id: ID,
    /// Why, for the record: up to 500 characters.
    reason: Option<String>,
    /// The version that was read; another one is STALE_VERSION.
    expected_version: Option<i32>,
    /// The token of a lock on the payment of the order's open attempt: the attempt is ended inside that lock, which stays held.
    lock_token: Option<TokenText>,
}

impl CancelOrderInput {
    pub fn read(self) -> Read<Cancellation> {
        let mut faults = Faults::default();
        let order_id = faults.take("orderId", self.order_id.parse());
        if let Some(reason) = &self.reason {
            faults.text("reason", reason, 0..=500);
        }
        let lock_token = lock_token(&mut faults, self.lock_token);
        let Self { reason, expected_version, .. } = self;
        faults.or(order_id.map(|order_id| Cancellation { order_id, reason, expected_version, lock_token }))
    }
}

/// Orders to be moved from an anonymous user to a user.
#[derive(Clone, Debug, InputObject)]
pub struct ClaimAnonymousOrdersInput {
    /// The anonymous user whose orders move, 1 to 255 characters.
    anonymous_user_id: ID,
    /// The user who will own them, 1 to 255 characters.
    user_id: ID,
    /// Only count.
    #[graphql(default_with = "Some(false)")]
    dry_run: Option<bool>,
}

impl ClaimAnonymousOrdersInput {
    pub fn read(self) -> Read<Claim> {
        let mut faults = Faults::default();
        faults.text("anonymousUserId", &self.anonymous_user_id, 1..=255);
        faults.text("userId", &self.user_id, 1..=255);
        let (anonymous_id, user_id) = (self.anonymous_user_id.0, self.user_id.0);
        faults.or(Some(Claim { anonymous_id, user_id, dry_run: self.dry_run.unwrap_or_default() }))
    }
}

/// An order to be marked paid.
#[derive(Clone, Debug, InputObject)]
pub struct ProcessOrderToPaidInput {
    /// The order's id (ord_…).
    order_id: ID,
}

impl ProcessOrderToPaidInput {
    pub fn read(&self) -> Read<OrderId> {
        let mut faults = Faults::default();
        let id = faults.take("orderId", self.order_id.parse());
        faults.or(id)
    }
}

/// An order, or why not.
#[derive(SimpleObject)]
pub struct OrderPayload {
    /// The order as it is now; null where there is a problem.
    order: Option<Walked<Order>>,
    /// Null on success.
    problem: Option<Problem>,
}

impl OrderPayload {
    pub fn of(given: Result<Model, Error>) -> Result<Self, Failure> {
        let (row, problem) = part(given)?;
        Ok(Self { order: row.map(|row| Walked(Order::new(&row))), problem: problem.map(Problem::from) })
    }
}

/// How many orders moved, or why none.
#[derive(SimpleObject)]
pub struct ClaimAnonymousOrdersPayload {
    /// How many orders moved, or with dryRun would move.
    claimed_count: i32,
    /// Null on success.
    problem: Option<Problem>,
}

impl ClaimAnonymousOrdersPayload {
    pub fn of(given: Result<u64, Error>) -> Result<Self, Failure> {
        let (count, problem) = part(given)?;
        let claimed_count = count.unwrap_or_default().try_into().unwrap_or(i32::MAX);
        Ok(Self { claimed_count, problem: problem.map(Problem::from) })
    }
}
