//! The well-behaved: shoppers who look at a page of their orders now and then, from another address than the attack's, and never stop.

use std::{cell::RefCell, net::Ipv4Addr, rc::Rc, time::Duration};

use tokio::{
    task::AbortHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{latency::Latencies, server::Server, shop::Shop, wire::Client};

/// How often a page is asked for, by one shopper after the other: each of them stays far below what one may ask for.
pub const RATE: u32 = 40;
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const SHOPPERS: usize = 400;

pub struct Neighbour {
    seen: Rc<RefCell<Seen>>,
    task: AbortHandle,
}

/// What the well-behaved saw in a while.
#[derive(Default)]
pub struct Seen {
    took: Vec<Duration>,
    pub errors: Vec<String>,
}

impl Seen {
    pub fn latencies(&self) -> Latencies {
        self.took.iter().copied().collect()
    }
}

impl Neighbour {
    pub fn move_in(shop: &Shop, server: &Server) -> Self {
        let pages: Vec<Vec<u8>> = (0..SHOPPERS).map(|shopper| shop.page(shopper)).collect();
        let client = Rc::new(Client::new(ADDRESS, server.address));
        let (seen, pages) = (Rc::new(RefCell::new(Seen::default())), Rc::new(pages));
        let told = Rc::clone(&seen);
        let task = tokio::task::spawn_local(async move {
            let mut ticks = interval(Duration::from_secs(1) / RATE);
            // None is left out because the load was late: it is asked for as soon as can be, and its latency is from when it was meant.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for number in 0.. {
                let meant = ticks.tick().await;
                let (client, pages, told) = (Rc::clone(&client), Rc::clone(&pages), Rc::clone(&told));
                tokio::task::spawn_local(async move { look(&client, &pages[number % SHOPPERS], meant, &told).await });
            }
        });
        Self { seen, task: task.abort_handle() }
    }

    /// What was seen since this was asked for the last time.
    pub fn seen(&self) -> Seen {
        self.seen.take()
    }
}

async fn look(client: &Client, page: &[u8], meant: Instant, seen: &RefCell<Seen>) {
    let answer = client.ask(page).await;
    let mut seen = seen.borrow_mut();
    match answer {
        Ok(answer) if answer.is_good() => seen.took.push(meant.elapsed()),
        Ok(answer) => seen.errors.push(format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))),
        Err(error) => seen.errors.push(error.to_string()),
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.task.abort();
    }
}
