//! How rows get into a database: all in one transaction, by the fastest way that it has.

use super::{SeedError, batch::Rows, postgres::Copying, sqlite::Inserting};
use crate::db::Database;

/// A transaction that takes its time.
pub enum Writer {
    Postgres(Copying),
    Sqlite(Inserting),
}

impl Writer {
    pub async fn begin(db: &Database) -> Result<Self, SeedError> {
        match db.postgres() {
            Some(options) => Copying::begin(&options).await.map(Self::Postgres),
            None => Inserting::begin(db.sea_orm()).await.map(Self::Sqlite),
        }
    }

    /// Whether this query finds anything.
    pub async fn finds(&mut self, sql: &'static str) -> Result<bool, SeedError> {
        match self {
            Self::Postgres(copying) => copying.finds(sql).await,
            Self::Sqlite(inserting) => inserting.finds(sql).await,
        }
    }

    pub async fn write(&mut self, rows: &Rows) -> Result<(), SeedError> {
        match self {
            Self::Postgres(copying) => copying.write(rows).await,
            Self::Sqlite(inserting) => inserting.write(rows).await,
        }
    }

    /// Keeps all of it, and has the planner look at these tables.
    pub async fn commit(self, tables: &[String]) -> Result<(), SeedError> {
        match self {
            Self::Postgres(copying) => copying.commit(tables).await,
            Self::Sqlite(inserting) => inserting.commit().await,
        }
    }
}
