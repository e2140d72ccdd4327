//! Orders, one after the other in time: whose, with what in the cart, and what becomes of them.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{order::number, owner::Owner};

use super::{
    SeedError,
    basket::Baskets,
    batch::Batch,
    dice::Dice,
    history::{History, NewOrder},
    story::{STORIES, Story},
};

/// 1 July 2024: what always begins on the same day is the same on any day.
const FIRST_DAY: TimeDelta = TimeDelta::seconds(1_719_792_000);
const PERIOD: TimeDelta = TimeDelta::days(2 * 365);
/// How many numbers of ten letters there are.
const NUMBERS: u128 = 31_u128.pow(10);
/// From one order's number to the next one's. It shares no factor with the numbers' count, so that they come round to the first again only when all
/// of them were given.
const STEP: u128 = 506_558_139_377_401;

/// What all orders of a database are made from.
pub struct Orders {
    dice: Dice,
    baskets: Baskets,
    /// How many orders each user has so far.
    had: HashMap<u32, i64>,
    made: u32,
    of: u32,
}

impl Orders {
    /// So many.
    pub fn new(of: u32, dice: Dice) -> Result<Self, SeedError> {
        Ok(Self { dice, baskets: Baskets::new()?, had: HashMap::new(), made: 0, of })
    }

    pub fn made(&self) -> u32 {
        self.made
    }

    /// The next order, and all that becomes of it.
    pub fn make(&mut self, batch: &mut Batch, user: u32, owner: Owner) -> Result<(), SeedError> {
        let at = self.next_moment();
        let had = self.had.entry(user).or_default();
        *had += 1;
        let new = NewOrder {
            owner,
            owner_sequence: *had,
            number: nth_number(self.made.into()),
            cart: self.baskets.fill(&mut self.dice)?,
            at,
        };
        self.made += 1;
        let story = self.dice.weighed(&STORIES).copied().unwrap_or(Story::Forgotten);
        let mut history = History::begin(batch, &mut self.dice, new);
        story.tell(&mut history)?;
        history.end();
        Ok(())
    }

    /// Later than the one before: each order has a share of the two years, and comes at some moment of it.
    fn next_moment(&mut self) -> DateTime<Utc> {
        let share = PERIOD.num_microseconds().unwrap_or_default() / i64::from(self.of).max(1);
        let moment = i64::from(self.made).saturating_mul(share) + self.dice.within(0, share.saturating_sub(1));
        DateTime::UNIX_EPOCH + FIRST_DAY + TimeDelta::microseconds(moment)
    }
}

/// A number that no other order of the database has.
fn nth_number(n: u128) -> String {
    let mut left = n.saturating_mul(STEP) % NUMBERS;
    number([(); 10].map(|()| {
        let letter = u8::try_from(left % 31).unwrap_or_default();
        left /= 31;
        letter
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use entity::owner::OwnerKind;

    use super::*;

    fn made(orders: u32, seed: u64) -> Batch {
        let mut batch = Batch::default();
        let mut making = Orders::new(orders, Dice::new(seed)).unwrap();
        for n in 0..orders {
            let owner = Owner { kind: OwnerKind::User, id: (n % 7).to_string() };
            making.make(&mut batch, n % 7, owner).unwrap();
        }
        batch
    }

    #[test]
    fn no_number_is_given_twice() {
        let numbers: HashSet<String> = (0..100_000).map(nth_number).collect();
        assert_eq!((numbers.len(), STEP.is_multiple_of(31)), (100_000, false));
    }

    #[test]
    fn orders_come_one_after_the_other_over_two_years() {
        let orders = made(1000, 1).orders;
        assert!(orders.is_sorted_by(|one, next| one.created_at < next.created_at && one.id < next.id));
        let days = |of: usize| (orders[of].created_at - DateTime::UNIX_EPOCH - FIRST_DAY).num_days();
        assert_eq!((days(0), days(999)), (0, 729));
    }

    #[test]
    fn the_same_seed_makes_the_same_rows() {
        let rows = |seed| made(50, seed).rows().map(|rows| rows.values);
        assert!(rows(1) == rows(1));
        assert!(rows(1) != rows(2));
    }

    #[test]
    fn an_order_has_about_one_payment_and_two_transactions() {
        let batch = made(10_000, 1);
        assert!((9_700..10_300).contains(&batch.payments.len()), "{} payments", batch.payments.len());
        assert!((20_500..22_500).contains(&batch.transactions.len()), "{} transactions", batch.transactions.len());
    }
}
