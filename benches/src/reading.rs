//! The reading job: a page of twenty orders of a random shopper, with their payments and summaries, of a million orders. What it costs here, and what the
//! same rows cost in a bare handler, in the database alone, and in a server that others have made.
//!
//! All are asked in turns (A B A B …), on the same database, and compared within each round: the machine is another one a minute later.

mod contestant;
mod deep;
mod open_loop;
mod page;
mod peer;
mod pgbench;
mod postgraphile;
mod question;
mod round;
mod same;
mod stand;

use std::time::Duration;

use self::{postgraphile::PostGraphile, stand::Stand};
use crate::{
    machine, say,
    table::{count, megabytes, ms},
};

/// How much is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Extent {
    /// How many orders the database holds
    #[arg(long, default_value_t = 1_000_000)]
    orders: u32,
    /// How many times each is asked
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// For how many seconds each time
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// For how many seconds each page deep in a list
    #[arg(long, default_value_t = 3)]
    deep_seconds: u64,
    /// On a SQLite file instead of a PostgreSQL
    #[arg(long)]
    sqlite: bool,
    /// Beside PostGraphile, which is installed from npm (Linux on x86-64 only)
    #[arg(long, conflicts_with = "sqlite")]
    postgraphile: bool,
}

impl Extent {
    fn lasts(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn each_page_lasts(&self) -> Duration {
        Duration::from_secs(self.deep_seconds)
    }
}

/// All of it, and a document about it.
pub async fn measure(extent: Extent) -> String {
    if extent.postgraphile {
        PostGraphile::install();
    }
    let stand = Stand::set_up(extent);
    same::check(&stand).await;
    let (page, capacities) = page::measure(&stand, &extent).await;
    let memory = stand.server.memory();
    let open_loop = open_loop::measure(&stand, &extent, capacities).await;
    let deep = deep::measure(&stand, &extent).await;
    let faults = stand.server.faults();
    faults.iter().take(10).for_each(|fault| say(fault));
    format!(
        "## Reading\n\n{} orders were made in {:.0} s. The server was ready {} after its start, and holds {} MB after the first load ({} MB at most). \
         Rounds: {}; numbers are their medians (lowest to highest), and µs are of processor time. Panics and errors in the server's log: {}. {}.\n\n\
         {page}\n{open_loop}\n{deep}",
        count(stand.seeded.orders as usize),
        stand.seeded_in.as_secs_f64(),
        ms(stand.ready_in),
        megabytes(memory.now),
        megabytes(memory.peak),
        extent.rounds,
        faults.len(),
        machine::describe(&stand.postgres.version()),
    )
}
