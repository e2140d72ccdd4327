//! Rows go into SQLite by statements with many rows each.

use std::collections::HashMap;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};

use super::{SeedError, batch::Rows};

/// So many rows a statement: more make it no faster.
const ROWS: usize = 100;

/// The one transaction in which all is written; it takes its time.
pub struct Inserting {
    db: DatabaseConnection,
    tx: DatabaseTransaction,
    /// The statements, by their table and number of rows.
    statements: HashMap<(String, usize), String>,
}

impl Inserting {
    /// Nobody else writes meanwhile.
    pub async fn begin(db: DatabaseConnection) -> Result<Self, SeedError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let tx = db.begin_with_options(options).await?;
        // Indexes of random numbers are written all over: what is at hand need not be read again. In kilobytes.
        tx.execute_unprepared("PRAGMA cache_size = -262144").await?;
        Ok(Self { db, tx, statements: HashMap::new() })
    }

    pub async fn finds(&mut self, sql: &str) -> Result<bool, SeedError> {
        Ok(self.tx.query_one_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?.is_some())
    }

    pub async fn write(&mut self, rows: &Rows) -> Result<(), SeedError> {
        for some in rows.values.chunks(ROWS) {
            let statement = self.statements.entry((rows.table.clone(), some.len()));
            let sql = statement.or_insert_with(|| insert(rows, some.len())).clone();
            let values = some.iter().flatten().cloned();
            self.tx.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)).await?;
        }
        Ok(())
    }

    /// Commits, and tells the planner what is there. A look at a part of each index is enough for it.
    pub async fn commit(self) -> Result<(), SeedError> {
        self.tx.commit().await?;
        self.db.execute_unprepared("PRAGMA analysis_limit = 1000; ANALYZE; PRAGMA wal_checkpoint(TRUNCATE)").await?;
        Ok(())
    }
}

fn insert(rows: &Rows, count: usize) -> String {
    let places = format!("({})", vec!["?"; rows.columns.len()].join(", "));
    let (table, columns) = (&rows.table, rows.columns.join(", "));
    format!("INSERT INTO {table} ({columns}) VALUES {}", vec![places; count].join(", "))
}
