//! The floor: one statement by hand (`floor.sql`) that writes the rows of a webhook, run by pgbench on a copy of the server's database. It is what is
//! left to be paid for the rows, their indexes and the commit.

use std::{cell::Cell, fs, path::PathBuf, process::Stdio, time::Duration};

use sqlx::PgConnection;

use super::{CLIENTS, news::News};
use crate::{latency::Latencies, postgres::Postgres, shop::id};

pub const DATABASE: &str = "floor";
const SCRIPT: &str = include_str!("floor.sql");

/// What a webhook brings, under a number; the rest is made of it by [`others`].
const TOLD: &str = "
CREATE SCHEMA bench;
CREATE TABLE bench.told (
    number          integer PRIMARY KEY,
    external_id     text NOT NULL,
    event_id        text NOT NULL,
    report          text NOT NULL,
    at              timestamptz NOT NULL DEFAULT now(),
    transaction_id  uuid,
    digest          bytea
)";

/// The ids of the transactions, and the digests of the entries about them in the audit trail: each is the first of its payment, by the provider.
fn others() -> String {
    let transaction = id("transaction", "number");
    format!(
        "UPDATE bench.told SET transaction_id = {transaction};
        UPDATE bench.told SET digest = (
            SELECT sha256(convert_to(string_agg(octet_length(text) || ':' || text, '' ORDER BY place), 'UTF8'))
            FROM unnest(ARRAY[
                'orderpay audit 1', '', 'pay_' || a.payment_id, '1', 'txn_' || transaction_id, 'AUTHORIZE_AND_CAPTURE', 'SUCCEEDED', '',
                a.amount_minor::text, a.currency, 'PROVIDER', '', (extract(epoch FROM at) * 1000000)::bigint::text
            ]) WITH ORDINALITY AS part (text, place)
        ) FROM payment_attempt AS a WHERE a.external_id = told.external_id"
    )
}

/// A copy of the server's database, in which the same is told.
pub struct Floor {
    directory: PathBuf,
    /// How much was told.
    told: Cell<usize>,
}

/// What pgbench says of a run.
pub struct Run {
    pub a_second: f64,
    pub latencies: Latencies,
}

impl Floor {
    /// Copies the database, to which nobody may be connected.
    pub async fn open(postgres: &Postgres, news: &[News]) -> Self {
        postgres.sql(&format!("CREATE DATABASE {DATABASE} TEMPLATE orderpay"), "postgres");
        postgres.sql(TOLD, DATABASE);
        bring(&mut postgres.connect(DATABASE).await, news).await;
        postgres.sql(&others(), DATABASE);
        postgres.sql("VACUUM (FULL, ANALYZE) bench.told", DATABASE);
        let directory = postgres.directory().to_owned();
        fs::write(directory.join("floor.sql"), SCRIPT).expect("the script is written");
        Self { directory, told: Cell::new(0) }
    }

    /// Each of the clients tells so much.
    pub fn run(&self, postgres: &Postgres, of_each: usize) -> Run {
        let first = self.told.replace(self.told.get() + of_each * CLIENTS);
        let mut pgbench = postgres.client("pgbench");
        pgbench.args([
            "--no-vacuum",
            "--protocol=prepared",
            "--jobs=1",
            "--file=floor.sql",
            "--log",
            "--log-prefix=floor",
        ]);
        pgbench.args([format!("--client={CLIENTS}"), format!("--transactions={of_each}")]);
        for (name, value) in [("first", first), ("clients", CLIENTS), ("taken", 0)] {
            pgbench.arg(format!("--define={name}={value}"));
        }
        let child = pgbench.arg(DATABASE).current_dir(&self.directory).stdout(Stdio::piped()).spawn().expect("pgbench");
        let log = self.directory.join(format!("floor.{}", child.id()));
        let ended = child.wait_with_output().expect("pgbench");
        assert!(ended.status.success(), "pgbench: {}", ended.status);
        let told = String::from_utf8_lossy(&ended.stdout);
        let log = fs::read_to_string(log).expect("pgbench's log");
        Run { a_second: a_second(&told), latencies: log.lines().map(latency).collect() }
    }
}

async fn bring(database: &mut PgConnection, news: &[News]) {
    let columns = |what: fn(&News) -> &String| news.iter().map(what).cloned().collect::<Vec<String>>();
    sqlx::query(
        "INSERT INTO bench.told (number, external_id, event_id, report)
        SELECT number - 1, external_id, event_id, report
        FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS told (external_id, event_id, report, number)",
    )
    .bind(columns(|news| &news.external_id))
    .bind(columns(|news| &news.event_id))
    .bind(columns(|news| &news.body))
    .execute(database)
    .await
    .expect("it is written");
}

/// `tps = 1234.567890 (without initial connection time)`
fn a_second(told: &str) -> f64 {
    let tps = told.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    tps.unwrap_or_else(|| panic!("pgbench tells how many a second: {told}"))
}

/// `client transaction_no time script_no time_epoch time_us`, the third in µs.
fn latency(line: &str) -> Duration {
    let time = line.split(' ').nth(2).and_then(|time| time.parse().ok());
    time.map(Duration::from_micros).unwrap_or_else(|| panic!("pgbench logs how long it took: {line}"))
}
