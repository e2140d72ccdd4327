//! A database that is only looked at, as it is at one moment.
//!
//! Nothing can be written through it, whatever it is asked, and no file is made where there is none.

use std::time::Duration;

use sea_orm::{
    AccessMode, ConnectOptions, Database as SeaOrm, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    IsolationLevel, TransactionOptions, TransactionTrait,
};

use super::{ACQUIRE_TIMEOUT, postgres, sqlite::BUSY_TIMEOUT};

/// Whoever looks at millions of rows is not hurried.
const POSTGRES_SETTINGS: [(&str, &str); 3] =
    [("default_transaction_read_only", "on"), ("idle_in_transaction_session_timeout", "0"), ("statement_timeout", "0")];
/// The one connection is never too old.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A database of which nothing can be changed.
#[derive(Debug)]
pub struct ReadOnlyDatabase(DatabaseConnection);

impl ReadOnlyDatabase {
    pub async fn open(url: &str) -> Result<Self, DbErr> {
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_timeout(ACQUIRE_TIMEOUT)
            .max_lifetime(FOR_EVER)
            .sqlx_logging(false)
            .map_sqlx_sqlite_opts(|options| options.read_only(true).foreign_keys(false).busy_timeout(BUSY_TIMEOUT))
            .map_sqlx_postgres_opts(|options| options.options(POSTGRES_SETTINGS));
        match SeaOrm::connect(options).await {
            Ok(pool) => Ok(Self(pool)),
            Err(error) => Err(postgres::why(url).await.unwrap_or(error)),
        }
    }

    /// A transaction that sees the database as it is at its first statement, whatever is committed after: what servers are about to write is in it
    /// whole or not at all.
    pub async fn begin_snapshot(&self) -> Result<DatabaseTransaction, DbErr> {
        let is_postgres = self.0.get_database_backend() == DbBackend::Postgres;
        // SQLite has no other transactions than these.
        let options = TransactionOptions {
            isolation_level: is_postgres.then_some(IsolationLevel::RepeatableRead),
            access_mode: is_postgres.then_some(AccessMode::ReadOnly),
            ..TransactionOptions::default()
        };
        self.0.begin_with_options(options).await
    }

    pub async fn close(self) -> Result<(), DbErr> {
        self.0.close().await
    }
}
