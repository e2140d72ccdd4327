//! Which rows are written, as PostgreSQL itself knows it: those whose newest version is of a transaction that began after a mark.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;

use crate::{postgres::Postgres, table::Table};

/// What is written for one webhook, by table. A row that is written twice counts once.
pub type Written = BTreeMap<String, Share>;

#[derive(Clone, Copy, Debug)]
pub struct Share {
    rows: f64,
    bytes: f64,
}

/// A moment in a cluster's life, by the number of its newest transaction.
pub struct Mark(i64);

pub async fn mark(postgres: &Postgres) -> Mark {
    let newest = sqlx::query_scalar("SELECT pg_current_xact_id()::text::bigint");
    Mark(newest.fetch_one(&mut postgres.connect("postgres").await).await.expect("a transaction has a number"))
}

/// What each of so many webhooks has written since then.
pub async fn since(postgres: &Postgres, database: &str, mark: &Mark, webhooks: usize) -> Written {
    let mut connection = postgres.connect(database).await;
    let tables = sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'");
    let tables: Vec<String> = tables.fetch_all(&mut connection).await.expect("tables");
    let mut written = Written::new();
    for table in tables {
        // The cluster is too young for a number to have come twice.
        let sums = AssertSqlSafe(format!(
            "SELECT count(*), coalesce(sum(pg_column_size(t.*)), 0)::bigint FROM {table} AS t WHERE xmin::text::bigint > $1"
        ));
        let sums = sqlx::query_as(sums).bind(mark.0).fetch_one(&mut connection).await;
        let (rows, bytes): (i64, i64) = sums.expect("sums");
        let each = |sum: i64| sum as f64 / webhooks as f64;
        if rows > 0 {
            written.insert(table, Share { rows: each(rows), bytes: each(bytes) });
        }
    }
    written
}

/// Panics unless both write as many rows of about the same size into the same tables.
pub fn compare(orderpay: &Written, statement: &Written) {
    let rows = |written: &Written| -> Vec<(String, f64)> {
        written.iter().map(|(table, share)| (table.clone(), share.rows)).collect()
    };
    assert_eq!(rows(orderpay), rows(statement), "floor.sql (right) writes the rows that the server writes (left)");
    for (table, share) in orderpay {
        let ratio = statement[table].bytes / share.bytes;
        assert!((0.97..1.03).contains(&ratio), "floor.sql writes {ratio:.2} times the bytes into {table}");
    }
}

pub fn table([orderpay, statement]: &[Written; 2]) -> String {
    let mut table = Table::new(&["written for a webhook", "rows", "bytes by orderpay", "bytes by the statement"]);
    for (name, share) in orderpay {
        let bytes = [share.bytes, statement[name].bytes].map(|bytes| format!("{bytes:.0}"));
        table.row([format!("`{name}`"), share.rows.to_string()].into_iter().chain(bytes).collect());
    }
    table.finish()
}
