//! One order on its way from the first moment to the last: each step writes into the rows what the verb of the same name would have.
//!
//! Time passes between the steps, and nothing is left open at the end: no lock is held, no attempt runs, nothing is unanswered.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    cart::Cart,
    id::{AttemptId, OrderId},
    metadata::Metadata,
    order::{self, Event, Status},
    owner::Owner,
    snapshot,
};

use super::{SeedError, batch::Batch, dice::Dice};

/// An order and what is written of it so far.
pub struct History<'a> {
    pub batch: &'a mut Batch,
    pub dice: &'a mut Dice,
    pub order: order::Model,
    pub now: DateTime<Utc>,
}

/// An order to be made.
pub struct NewOrder {
    pub owner: Owner,
    /// Which of its owner's orders it is.
    pub owner_sequence: i64,
    pub number: String,
    pub cart: Cart,
    pub at: DateTime<Utc>,
}

impl<'a> History<'a> {
    /// As `create_order` leaves it.
    pub fn begin(batch: &'a mut Batch, dice: &'a mut Dice, new: NewOrder) -> Self {
        let NewOrder { owner, owner_sequence, number, cart, at } = new;
        let order = order::Model {
            id: OrderId::drawn(at, dice.bytes()),
            owner_kind: owner.kind,
            owner_id: owner.id,
            owner_sequence,
            number,
            status: Status::AwaitingPayment,
            cart_digest: cart.digest(),
            currency: cart.currency(),
            total_minor: cart.total().minor(),
            cart,
            metadata: Metadata::default(),
            version: 1,
            created_at: at,
            updated_at: at,
            paid_at: None,
            cancelled_at: None,
            cancel_reason: None,
        };
        Self { batch, dice, order, now: at }
    }

    /// Time passes: so many seconds, and a bit.
    pub fn wait(&mut self, least: i64, most: i64) {
        let micros = self.dice.within(least.saturating_mul(1_000_000), most.saturating_mul(1_000_000));
        self.now += TimeDelta::microseconds(micros);
    }

    /// A provider takes its time to answer.
    pub fn wait_for_provider(&mut self) {
        self.now += TimeDelta::microseconds(self.dice.within(80_000, 900_000));
    }

    /// The order is paid, and its cart is kept as it is.
    pub fn pay(&mut self, attempt_id: Option<AttemptId>) -> Result<(), SeedError> {
        self.moves(Event::Paid)?;
        self.order.paid_at = Some(self.now);
        self.batch.snapshots.push(snapshot::Model {
            order_id: self.order.id,
            cart: self.order.cart.clone(),
            cart_digest: self.order.cart_digest.clone(),
            attempt_id,
            taken_at: self.now,
        });
        Ok(())
    }

    pub fn cancel(&mut self, reason: &str) -> Result<(), SeedError> {
        self.moves(Event::Cancelled)?;
        self.order.cancelled_at = Some(self.now);
        self.order.cancel_reason = Some(reason.to_owned());
        Ok(())
    }

    fn moves(&mut self, event: Event) -> Result<(), SeedError> {
        let next = self.order.status.on(event);
        self.order.status = next.map_err(|illegal| SeedError(format!("{}: {illegal:?}", self.order.id)))?;
        self.order.version += 1;
        self.order.updated_at = self.now;
        Ok(())
    }

    /// That was all.
    pub fn end(self) {
        self.batch.orders.push(self.order);
    }
}
