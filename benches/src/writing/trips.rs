//! How often the server goes to the database for a webhook, counted on the line between them.

use std::{
    net::Ipv4Addr,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    SETTINGS,
    news::News,
    tap::{Heard, Tap},
    tell,
};
use crate::{postgres::Postgres, server::Server, wire::Client};

/// By these all connections that are needed are made, and all statements prepared.
const FIRST: usize = 100;
/// Until nothing is going on any more that came of a webhook.
const SETTLED: Duration = Duration::from_secs(1);

/// How many are needed for so many that are counted.
pub fn webhooks(counted: usize) -> usize {
    FIRST + counted
}

/// Another server, and one client; then as long without any, which is taken off.
pub async fn count(postgres: &Postgres, news: &[News]) -> String {
    let tap = Tap::open(postgres.address());
    // Whoever listens could not read what is encrypted.
    let database = format!("postgres://postgres@{}/orderpay?sslmode=disable", tap.address);
    let server = Server::start_with(postgres, &database, &SETTINGS);
    let client = Rc::new(Client::new(Ipv4Addr::LOCALHOST, server.address));
    let (first, counted) = news.split_at(FIRST);
    tell(&client, 1, first).await;
    let (begun, before) = (Instant::now(), tap.heard());
    tell(&client, 1, counted).await;
    let (lasted, busy) = (begun.elapsed(), tap.heard() - before);
    sleep(SETTLED).await;
    let before = tap.heard();
    sleep(lasted).await;
    told(busy, tap.heard() - before, counted.len())
}

fn told(busy: Heard, idle: Heard, webhooks: usize) -> String {
    let each = |what: fn(Heard) -> usize| (what(busy) as f64 - what(idle) as f64) / webhooks as f64;
    format!(
        "For a webhook the server makes **{:.2}** round trips to the database: so often PostgreSQL says that it is ready for the next statement \
         (`ReadyForQuery`), of which {:.2} answer a `NOTIFY` (many commits share one); {:.2} times it is the server's turn to speak again. \
         Counted on the line between them over {webhooks} webhooks of one client, less the {} of a server that idles as long.",
        each(|heard| heard.ready),
        each(|heard| heard.notified),
        each(|heard| heard.turns),
        idle.ready,
    )
}
