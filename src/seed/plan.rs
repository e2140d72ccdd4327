//! How much is written, and how it is shared out among whom.

use std::collections::BTreeMap;

use clap::{Args, value_parser};
use entity::owner::{self, Owner, OwnerKind};

use super::{SeedError, dice::Dice};

/// How many orders each of those has who are there to be asked for: three pages of twenty.
const ORDERS_OF_A_REGULAR: u32 = 60;
/// How many of them there are, where there are enough users and orders.
const MOST_REGULARS: u32 = 1000;

/// What is to be written.
#[derive(Clone, Copy, Debug, Args)]
pub struct Plan {
    /// How many orders
    #[arg(long, default_value = "1000000", value_parser = value_parser!(u32).range(1..))]
    pub orders: u32,
    /// How many users they belong to
    #[arg(long, default_value = "50000", value_parser = value_parser!(u32).range(2..))]
    pub users: u32,
    /// How many of the orders belong to one user, `whale`
    #[arg(long, default_value = "100000", value_parser = value_parser!(u32).range(1..))]
    pub whale: u32,
    /// What everything follows from: the same seed writes the same rows
    #[arg(long, default_value = "1")]
    pub seed: u64,
}

impl Plan {
    /// How many users have 60 orders each: up to 1,000, and neither more than half of the users nor with more than half of what the whale leaves.
    pub fn regulars(&self) -> u32 {
        let left = self.orders.saturating_sub(self.whale);
        MOST_REGULARS.min(self.users.saturating_sub(1) / 2).min(left / ORDERS_OF_A_REGULAR / 2)
    }

    /// Everybody in the order in which they order, each as often as they do.
    pub(super) fn turns(&self, dice: &mut Dice) -> Result<Turns, SeedError> {
        let regulars = self.regulars();
        let others = self.users.saturating_sub(1).saturating_sub(regulars);
        let shared = regulars.saturating_mul(ORDERS_OF_A_REGULAR).saturating_add(self.whale);
        let least = shared.saturating_add(others);
        if self.orders < least {
            return Err(SeedError(format!(
                "{} orders are too few for {} users of whom one has {}: they would have to be {least} at least",
                self.orders, self.users, self.whale
            )));
        }
        let mut turns = vec![];
        for regular in 1..=regulars {
            turns.extend(std::iter::repeat_n(regular, usize::try_from(ORDERS_OF_A_REGULAR).unwrap_or_default()));
        }
        // Each of the others has one order at least.
        turns.extend(regulars + 1..self.users);
        for _ in least..self.orders {
            let other = u32::try_from(dice.below(others.into())).unwrap_or_default();
            turns.push(regulars + 1 + other);
        }
        turns.extend((0..self.whale).map(|_| WHALE));
        dice.shuffle(&mut turns);
        Ok(Turns { turns, regulars })
    }
}

/// The user with the many orders.
const WHALE: u32 = 0;

/// Whose order comes when: the n-th order is the n-th's.
pub(super) struct Turns {
    turns: Vec<u32>,
    regulars: u32,
}

impl Turns {
    pub fn chunks(&self, most: usize) -> impl Iterator<Item = &[u32]> {
        self.turns.chunks(most)
    }

    /// Who this is: `whale`, `regular-1` to `regular-1000`, `user-1` and so on.
    pub fn owner(&self, user: u32) -> Owner {
        let id = match user {
            WHALE => "whale".to_owned(),
            regular if regular <= self.regulars => format!("regular-{regular}"),
            other => format!("user-{}", other - self.regulars),
        };
        Owner { kind: OwnerKind::User, id }
    }

    /// Everybody with the number of their orders.
    pub fn owners(&self) -> Vec<owner::Model> {
        let mut counts = BTreeMap::<u32, i64>::new();
        for user in &self.turns {
            *counts.entry(*user).or_default() += 1;
        }
        let owner = |(user, order_count)| {
            let Owner { kind, id } = self.owner(user);
            owner::Model { kind, id, order_count }
        };
        counts.into_iter().map(owner).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(orders: u32, users: u32, whale: u32) -> Result<Vec<owner::Model>, String> {
        let turns = Plan { orders, users, whale, seed: 1 }.turns(&mut Dice::new(1));
        turns.map(|turns| turns.owners()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_million_orders_are_shared_out_as_the_help_says() {
        let owners = owners(1_000_000, 50_000, 100_000).unwrap();
        let counts = |prefix: &str| -> Vec<i64> {
            owners.iter().filter(|owner| owner.id.starts_with(prefix)).map(|owner| owner.order_count).collect()
        };
        assert_eq!(owners.len(), 50_000);
        assert_eq!(owners.iter().map(|owner| owner.order_count).sum::<i64>(), 1_000_000);
        assert_eq!(counts("whale"), [100_000]);
        assert_eq!(counts("regular-"), vec![60; 1000]);
        let others = counts("user-");
        assert!(
            others.iter().all(|count| (1..60).contains(count)),
            "{:?} to {:?}",
            others.iter().min(),
            others.iter().max()
        );
    }

    #[test]
    fn everybody_has_an_order_or_it_is_refused() {
        assert_eq!(owners(10, 6, 5).map(|owners| owners.len()), Ok(6));
        assert_eq!(
            owners(9, 6, 5),
            Err("9 orders are too few for 6 users of whom one has 5: they would have to be 10 at least".into())
        );
    }
}
