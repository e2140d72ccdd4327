//! Fills an empty database with the orders of two years: for benchmarks, and for whoever wants to see how the server fares with many.
//!
//! What is written is what the server itself would have written of such histories, made of the same nouns; so `orderpay check` finds nothing wrong
//! with it. Idempotency keys, providers' events and told changes are left out, as after a cleaning. The provider knows nothing of these payments: they
//! are there to be read.
//!
//! It refuses a database with an order in it, and writes all or nothing.
//!
//! | module | what it knows |
//! |---|---|
//! | `plan` | how many orders, and whose |
//! | `orders` | one after the other in time |
//! | `story` | what becomes of orders, and how often |
//! | `basket`, `history`, `till`, `page` | the carts, and the steps of an order, a payment and an attempt |
//! | `batch` | rows of models |
//! | `writer`, `postgres`, `sqlite` | how rows get into each database |
//! | `progress` | how far it is |
//! | `dice` | chance that comes again |

mod basket;
mod batch;
mod dice;
mod history;
mod orders;
mod page;
mod plan;
mod postgres;
pub mod progress;
mod sqlite;
mod story;
mod till;
mod writer;

use std::fmt;

use sea_orm::{DbErr, sqlx};

pub use self::plan::Plan;
use self::{
    batch::{Batch, Rows},
    dice::Dice,
    orders::Orders,
    writer::Writer,
};
use crate::db::Database;

/// Whose payments they are.
const PROVIDER: &str = "sandbox";
/// So many orders are made and written at a time.
const BATCH: usize = 2000;

/// Why nothing was written, in words for whoever asked for it.
#[derive(Debug)]
pub struct SeedError(String);

impl fmt::Display for SeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SeedError {}

impl From<DbErr> for SeedError {
    fn from(error: DbErr) -> Self {
        Self(error.to_string())
    }
}

impl From<sqlx::Error> for SeedError {
    fn from(error: sqlx::Error) -> Self {
        Self(error.to_string())
    }
}

/// What was written. Its words sum it up in one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub users: usize,
    pub orders: u32,
    pub payments: usize,
    pub transactions: usize,
    pub regulars: u32,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { users, orders, payments, transactions, regulars } = self;
        write!(f, "wrote {orders} orders, {payments} payments and {transactions} transactions of {users} users: ")?;
        write!(f, "whale, {regulars} with 60 orders each (regular-1, …), and the others (user-1, …)")
    }
}

/// Writes all of it, in one transaction. `tell` hears how many orders are written by now.
pub async fn seed(db: &Database, plan: Plan, mut tell: impl FnMut(u32)) -> Result<Written, SeedError> {
    let mut dice = Dice::new(plan.seed);
    let turns = plan.turns(&mut dice)?;
    let mut writer = Writer::begin(db).await?;
    if writer.finds("SELECT 1 FROM orders LIMIT 1").await? {
        return Err(SeedError("there are orders in it already, and only an empty database is filled".into()));
    }
    let owners = Rows::of(&turns.owners());
    let mut written = Written { users: owners.values.len(), regulars: plan.regulars(), ..Written::default() };
    writer.write(&owners).await?;
    let mut tables = vec![owners.table];
    let mut orders = Orders::new(plan.orders, dice)?;
    for users in turns.chunks(BATCH) {
        let mut batch = Batch::default();
        for user in users {
            orders.make(&mut batch, *user, turns.owner(*user))?;
        }
        for rows in batch.rows() {
            writer.write(&rows).await?;
            if !tables.contains(&rows.table) {
                tables.push(rows.table);
            }
        }
        written.orders = orders.made();
        written.payments += batch.payments.len();
        written.transactions += batch.transactions.len();
        tell(written.orders);
    }
    writer.commit(&tables).await?;
    Ok(written)
}
