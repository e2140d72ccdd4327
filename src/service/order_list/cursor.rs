//! Cursors of lists: each names the order that it stands at, sealed for its list and filter.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entity::id::OrderId;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Filter, List};

/// Makes and reads the cursors of one list with one filter.
///
/// The seal keeps cursors of different lists from being mixed up. It is no secret: whether the order is in the list is looked up all the same.
#[derive(Clone, Debug)]
pub struct Seal(Sha256);

impl Seal {
    pub fn of(list: &List, filter: &Filter) -> Self {
        Self(Sha256::new_with_prefix(format!("{list:?} {filter:?}")))
    }

    /// The cursor that stands at an order.
    pub fn cursor(&self, order: OrderId) -> String {
        let id = order.as_bytes();
        let mut bytes = id.to_vec();
        bytes.extend(self.mark(id));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The order that a cursor stands at, if it is one of this list with this filter (rule L1).
    pub fn position(&self, cursor: &str) -> Option<OrderId> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (id, mark) = bytes.split_at_checked(16)?;
        let id: &[u8; 16] = id.try_into().ok()?;
        (mark == self.mark(id)).then(|| Uuid::from_bytes(*id).into())
    }

    fn mark(&self, id: &[u8; 16]) -> [u8; 8] {
        let digest: [u8; 32] = self.0.clone().chain_update(id).finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        [a, b, c, d, e, f, g, h]
    }
}

/// A cursor of this owner's list that stands at any order, as anybody could make it who has read this file: for tests.
#[cfg(test)]
pub fn forged(owner: entity::owner::Owner, order: OrderId) -> String {
    Seal::of(&List::Owner(owner), &Filter::default()).cursor(order)
}

#[cfg(test)]
mod tests {
    use entity::{
        order::Status,
        owner::{Owner, OwnerKind},
    };
    use proptest::prelude::*;

    use super::*;

    fn list(id: &str) -> List {
        let kind = OwnerKind::User;
        List::Owner(Owner { kind, id: id.into() })
    }

    fn seal(list: &List) -> Seal {
        Seal::of(list, &Filter::default())
    }

    fn cursor(list: &List, id: [u8; 16]) -> String {
        seal(list).cursor(Uuid::from_bytes(id).into())
    }

    // rule L1
    #[test]
    fn a_cursor_is_good_for_its_list_and_filter_only() {
        let paid = Filter { statuses: Some(vec![Status::Paid]), ..Filter::default() };
        let own = cursor(&list("ada"), [7; 16]);
        assert!(seal(&list("ada")).position(&own).is_some());
        assert!(seal(&list("bob")).position(&own).is_none());
        assert!(Seal::of(&list("ada"), &paid).position(&own).is_none());
        assert!(seal(&List::Everybody).position(&own).is_none());
    }

    #[test]
    fn every_bit_of_a_cursor_counts() {
        let own = cursor(&list("ada"), [7; 16]);
        let bytes = URL_SAFE_NO_PAD.decode(&own).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let cursor = URL_SAFE_NO_PAD.encode(flipped);
            assert!(seal(&list("ada")).position(&cursor).is_none(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn any_text_that_is_a_cursor_was_sealed_for_its_list(text in "[A-Za-z0-9_-]{0,40}|\\PC{0,60}", id: [u8; 16]) {
            prop_assert!(seal(&list("ada")).position(&text).is_none());
            prop_assert!(seal(&list("ada")).position(&cursor(&list("bob"), id)).is_none());
        }
    }
}
