//! What the server can do: as many pages a second as are answered when so many clients ask one after the other, the best of several numbers.

use std::time::{Duration, Instant};

use super::crowd::{Crowd, Outcome};
use crate::{
    latency::Latencies,
    load::{self, Told},
    postgres::Postgres,
    process::own_work,
    say,
    server::Server,
    shop::{ORDERS_OF_EACH, SHOPPERS, Shop},
    table::{Table, count, ms},
};

/// Fewer than the places that queries have, so that none is refused.
const CLIENTS: [usize; 3] = [8, 24, 64];
const WARMING_UP: Duration = Duration::from_secs(5);
const LASTS: Duration = Duration::from_secs(8);

/// Pages a second, and how it was found.
pub async fn find(postgres: &Postgres, server: &Server, shop: &Shop) -> (f64, String) {
    let crowd = Crowd::before(server.address, shop);
    ask(&crowd, CLIENTS[1], WARMING_UP).await;
    let mut table = Table::new(&[
        "clients",
        "pages a second",
        "p50",
        "p99",
        "CPU for each: server + PostgreSQL",
        "the load itself",
    ]);
    let mut best: f64 = 0.0;
    for clients in CLIENTS {
        say(&format!("{clients} clients"));
        let (begun, work) = (Instant::now(), [server.work(), postgres.work(), own_work()]);
        let told = ask(&crowd, clients, LASTS).await;
        let time = begun.elapsed().as_secs_f64();
        let [servers, postgres, own] = [server.work() - work[0], postgres.work() - work[1], own_work() - work[2]];
        let served = told.iter().filter(|one| one.outcome == Outcome::Served).count();
        assert_eq!(served, told.len(), "all are answered");
        let latencies: Latencies = told.iter().map(|one| one.took).collect();
        let each = |work: Duration| count((work.as_micros() / served.max(1) as u128) as usize);
        let rate = served as f64 / time;
        table.row(vec![
            clients.to_string(),
            format!("{rate:.0}"),
            ms(latencies.p50()),
            ms(latencies.p99()),
            format!("{} + {} µs", each(servers), each(postgres)),
            format!("{:.0} % of a core", 100.0 * own.as_secs_f64() / time),
        ]);
        best = best.max(rate);
    }
    let text = format!(
        "A page of twenty orders with their payments and summaries, of one of {} shoppers with {ORDERS_OF_EACH} orders each. **{best:.0} pages a second** \
         are what this server can do here, with as many clients as do it best, each of whom waits for its answer:\n\n{}",
        count(SHOPPERS),
        table.finish()
    );
    (best, text)
}

async fn ask(crowd: &Crowd, clients: usize, lasts: Duration) -> Vec<Told<Outcome>> {
    let crowd = crowd.clone();
    load::closed(clients, lasts, move |_, _| {
        let crowd = crowd.clone();
        async move { crowd.ask().await }
    })
    .await
}
