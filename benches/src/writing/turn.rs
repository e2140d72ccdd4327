//! One turn: what was told in it, how long it took, and who worked for it.

use std::{rc::Rc, time::Duration};

use tokio::time::sleep;

use super::{CLIENTS, WARMING_UP, floor::Floor, news::News, tell};
use crate::{
    latency::Latencies,
    load::Told,
    postgres::Postgres,
    server::Server,
    spread::Spread,
    table::{Table, ms},
    wire::Client,
};

/// Until processes that have ended are counted as such.
const SETTLED: Duration = Duration::from_millis(200);

pub struct Turn {
    webhooks: usize,
    /// How long processors worked for all of them.
    server: Duration,
    database: Duration,
    a_second: f64,
    latencies: Latencies,
}

impl Turn {
    /// Processor time for one webhook, in µs.
    fn each(&self, work: Duration) -> f64 {
        work.as_secs_f64() * 1e6 / self.webhooks as f64
    }
}

pub async fn of_server(server: &Server, postgres: &Postgres, client: &Rc<Client>, news: &[News]) -> Turn {
    let before = [server.work(), postgres.work()];
    let told = tell(client, CLIENTS, news).await;
    let time = told.iter().map(Told::ended).max().unwrap_or_default();
    let [server, database] = [server.work() - before[0], postgres.work() - before[1]];
    let latencies = told.iter().map(|one| one.took).collect();
    Turn { webhooks: news.len(), server, database, a_second: news.len() as f64 / time.as_secs_f64(), latencies }
}

/// The server's connections are there and warm when its turn begins; those of pgbench are made for each run. So a short run comes before, and what it
/// costs is taken off.
pub async fn of_floor(floor: &Floor, postgres: &Postgres, of_each: usize) -> Turn {
    let before = postgres.work();
    floor.run(postgres, WARMING_UP);
    sleep(SETTLED).await;
    let between = postgres.work();
    let run = floor.run(postgres, of_each);
    sleep(SETTLED).await;
    let [short, long] = [between - before, postgres.work() - between];
    Turn {
        webhooks: (of_each - WARMING_UP) * CLIENTS,
        server: Duration::ZERO,
        database: long.saturating_sub(short),
        a_second: run.a_second,
        latencies: run.latencies,
    }
}

pub fn table(turns: &[Vec<Turn>; 2]) -> String {
    let mut table = Table::new(&[
        "who writes",
        "CPU for each: server + database",
        "the database's",
        "to the one statement",
        "webhooks a second",
        "p50",
        "p99",
    ]);
    let database = |turn: &Turn| turn.each(turn.database);
    for (name, own) in ["orderpay", "one statement"].into_iter().zip(turns) {
        let of_all = |what: &dyn Fn(&Turn) -> f64| own.iter().map(what).collect::<Spread>();
        let latency = |of: fn(&Latencies) -> Duration| {
            ms(Duration::from_secs_f64(of_all(&|turn| of(&turn.latencies).as_secs_f64()).median()))
        };
        let ratios: Spread = own.iter().zip(&turns[1]).map(|(own, floor)| database(own) / database(floor)).collect();
        let server = of_all(&|turn| turn.each(turn.server)).median();
        table.row(vec![
            name.to_owned(),
            format!("{server:.0} + {:.0} µs", of_all(&database).median()),
            of_all(&database).tell(0, " µs"),
            ratios.tell(2, ""),
            format!("{:.0}", of_all(&|turn| turn.a_second).median()),
            latency(Latencies::p50),
            latency(Latencies::p99),
        ]);
    }
    table.finish()
}
