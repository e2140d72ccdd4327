//! More than the server can do: how much of its work is left, how fast it says no, and how soon it is over.
//!
//! Requests come from a crowd of shoppers, none of whom asks for more than one may: what is refused is refused for want of room, by the limits
//! that hold without any setting.

mod capacity;
mod crowd;
mod flood;
mod rolling;

use crate::{machine, postgres::Postgres, say, server::Server, shop::Shop};

/// All of it, and a document about it.
pub async fn measure() -> String {
    let postgres = Postgres::start();
    let server = Server::start(&postgres);
    say("making orders");
    let shop = Shop::open(&postgres, &server).await;
    let (capacity, found_by) = capacity::find(&postgres, &server, &shop).await;
    let flood = flood::measure(&server, &shop, capacity).await;
    let faults = server.faults();
    drop(server);
    let rolling = rolling::measure(&postgres, &shop, capacity).await;
    faults.iter().take(10).for_each(|fault| say(fault));
    format!(
        "## Overload\n\n{found_by}\n{flood}\n{rolling}\n\nPanics and errors in the server's log: {}.\n\n{}.\n",
        faults.len(),
        machine::describe(&postgres.version())
    )
}
