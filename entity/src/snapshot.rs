//! The cart as it was when its order was paid.
//!
//! One per paid order, written in the transaction that marks it paid (rule O6), and never changed after.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{
    cart::{Cart, CartDigest},
    id::{AttemptId, OrderId},
    order,
};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "order_snapshot")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: OrderId,
    pub cart: Cart,
    pub cart_digest: CartDigest,
    /// The attempt whose money made the order paid, where it was one.
    pub attempt_id: Option<AttemptId>,
    pub taken_at: DateTime<Utc>,
}

impl Model {
    /// Where it is not the cart that the order has (rule O6).
    pub fn contradictions(&self, order: &order::Model) -> Vec<String> {
        let digest = self.cart.digest();
        let mut told = vec![];
        if digest != self.cart_digest {
            told.push(format!("its snapshot's digest is {digest}, and {} is written beside it", self.cart_digest));
        }
        if self.cart_digest != order.cart_digest {
            told.push(format!("its snapshot is of the cart {}, and it has {}", self.cart_digest, order.cart_digest));
        }
        told
    }
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
