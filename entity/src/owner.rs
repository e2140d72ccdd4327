//! Whose an order is: a user or an anonymous user, each named by the caller's identity system (rule O1).
//!
//! The row counts an owner's orders: the next order's sequence number comes from it, and so does the total of a list (rule L2).

use sea_orm::entity::prelude::*;

use crate::fault::{Fault, Faults};

/// Which of the two kinds of shopper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OwnerKind {
    User,
    Anonymous,
}

/// The one owner of an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    pub kind: OwnerKind,
    pub id: String,
}

impl Owner {
    /// An owner with an id of 1 to 255 characters.
    pub fn new(kind: OwnerKind, id: String) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        faults.text("id", &id, 1..=255);
        faults.or(Some(Self { kind, id }))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_owner")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: OwnerKind,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub order_count: i64,
}

impl Model {
    /// Whether so many orders, each with a number of its own from the first to the last, are numbered 1 to `order_count` (rule L2).
    pub fn is_dense(&self, orders: i64, first: Option<i64>, last: Option<i64>) -> bool {
        let (from, to) = if orders == 0 { (None, None) } else { (Some(1), Some(orders)) };
        self.order_count == orders && (first, last) == (from, to)
    }
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

#[cfg(test)]
mod tests {
    use super::*;

    // rule L2
    #[test]
    fn an_owners_numbers_have_no_gap() {
        let ada = |order_count| Model { kind: OwnerKind::User, id: "ada".into(), order_count };
        assert!(ada(0).is_dense(0, None, None));
        assert!(ada(3).is_dense(3, Some(1), Some(3)));
        assert!(!ada(3).is_dense(2, Some(1), Some(2)), "one is missing");
        assert!(!ada(2).is_dense(2, Some(1), Some(3)), "a gap");
        assert!(!ada(2).is_dense(2, Some(0), Some(1)), "from zero");
        assert!(!ada(1).is_dense(0, None, None), "nobody's");
    }
}
