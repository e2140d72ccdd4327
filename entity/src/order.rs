//! An order: one owner, one cart, one life.
//!
//! An order is never deleted (rule O8), and refunds don't show in its status: they show in the summary (rule O5).

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{
    cart::{Cart, CartDigest},
    id::OrderId,
    metadata::Metadata,
    money::{Currency, Money},
    owner::{Owner, OwnerKind},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    AwaitingPayment,
    Paid,
    Cancelled,
}

/// What can happen to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter)]
pub enum Event {
    /// Captured money covers the total.
    Paid,
    Cancelled,
}

/// What can't happen to an order in this status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IllegalTransition {
    pub from: Status,
    pub event: Event,
}

impl Status {
    /// The whole life of an order (rule O5).
    pub fn on(self, event: Event) -> Result<Self, IllegalTransition> {
        match (self, event) {
            (Self::AwaitingPayment, Event::Paid) => Ok(Self::Paid),
            (Self::AwaitingPayment, Event::Cancelled) => Ok(Self::Cancelled),
            (from, event) => Err(IllegalTransition { from, event }),
        }
    }
}

/// The letters and digits of an order's number: those that are not mistaken for one another when read aloud or copied.
const NUMBER_ALPHABET: &[u8; 31] = b"23456789ABCDEFGHJKMNPQRSTUVWXYZ";

/// The number on the receipt, from ten random bytes: `7KQ4-M2XP-9T` without the dashes. Unique by the database, not by itself.
pub fn number(random: [u8; 10]) -> String {
    // A cycle has no end, so every byte finds its letter.
    let letter = |byte: &u8| NUMBER_ALPHABET.iter().cycle().nth(usize::from(*byte)).copied().map(char::from);
    random.iter().filter_map(letter).collect()
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "orders")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: OrderId,
    pub owner_kind: OwnerKind,
    pub owner_id: String,
    /// The k-th order of its owner carries k (rule L2).
    pub owner_sequence: i64,
    pub number: String,
    pub status: Status,
    pub cart: Cart,
    pub cart_digest: CartDigest,
    pub currency: Currency,
    pub total_minor: i64,
    pub metadata: Metadata,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub paid_at: Option<DateTime<Utc>>,
    pub cancelled_at: Option<DateTime<Utc>>,
    pub cancel_reason: Option<String>,
}

/// All of an order but what may be long: its cart and its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub id: OrderId,
    pub owner: Owner,
    pub owner_sequence: i64,
    pub number: String,
    pub status: Status,
    pub total: Money,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub paid_at: Option<DateTime<Utc>>,
    pub cancelled_at: Option<DateTime<Utc>>,
}

impl Model {
    pub fn head(&self) -> Head {
        Head {
            id: self.id,
            owner: self.owner(),
            owner_sequence: self.owner_sequence,
            number: self.number.clone(),
            status: self.status,
            total: self.total(),
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            paid_at: self.paid_at,
            cancelled_at: self.cancelled_at,
        }
    }

    pub fn owner(&self) -> Owner {
        Owner { kind: self.owner_kind, id: self.owner_id.clone() }
    }

    pub fn total(&self) -> Money {
        Money::new(self.total_minor, self.currency)
    }

    /// What is written beside the cart and does not follow from it (rules O3, O4).
    pub fn contradictions(&self) -> Vec<String> {
        let (digest, total) = (self.cart.digest(), self.cart.total());
        let mut told = vec![];
        if digest != self.cart_digest {
            told.push(format!("its cart's digest is {digest}, and {} is written beside it", self.cart_digest));
        }
        if total != self.total() {
            told.push(format!("its cart costs {total}, and {} is written beside it", self.total()));
        }
        told
    }
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::Iterable;

    // rule O5
    #[test]
    fn nothing_leaves_paid_or_cancelled() {
        let table: String = Status::iter()
            .flat_map(|from| Event::iter().map(move |event| (from, event)))
            .map(|(from, event)| match from.on(event) {
                Ok(to) => format!("{from:?} on {event:?}: {to:?}\n"),
                Err(_) => format!("{from:?} on {event:?}: never\n"),
            })
            .collect();
        insta::assert_snapshot!(table, @r"
        AwaitingPayment on Paid: Paid
        AwaitingPayment on Cancelled: Cancelled
        Paid on Paid: never
        Paid on Cancelled: never
        Cancelled on Paid: never
        Cancelled on Cancelled: never
        ");
    }

    #[test]
    fn a_number_has_ten_characters_without_look_alikes() {
        let all: Vec<u8> = (0..=255).collect();
        for ten in all.chunks_exact(10) {
            let number = number(ten.try_into().unwrap());
            assert_eq!(number.len(), 10);
            assert!(!number.contains(['0', '1', 'I', 'L', 'O']), "{number}");
        }
    }
}
