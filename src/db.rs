//! The database: how it is reached, and how a writing transaction begins.
//!
//! Every write begins here, so that none is begun in a way that SQLite answers with "busy".

use std::{str::FromStr, time::Duration};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database as SeaOrm, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    EntityTrait, SqliteTransactionMode, TransactionOptions, TransactionTrait,
    sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use migration::{Migrator, MigratorTrait, seaql_migrations};

/// How long a request waits for a connection before it is told that the server is busy.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a SQLite writer waits for another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A number that nobody else takes advisory locks under: "orderpay" in bytes.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"orderpay");

/// A pool of connections.
#[derive(Clone, Debug)]
pub struct Database(DatabaseConnection);

impl Database {
    /// Opens a pool; a SQLite file is made where there is none.
    pub async fn open(url: &str, most_connections: u32) -> Result<Self, DbErr> {
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(most_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_timeout(ACQUIRE_TIMEOUT)
            .sqlx_logging(false)
            .test_before_acquire(false)
            .map_sqlx_sqlite_opts(sqlite);
        SeaOrm::connect(options).await.map(Self)
    }

    /// Where statements that only read run.
    pub fn read(&self) -> &DatabaseConnection {
        &self.0
    }

    /// A transaction that will write. Dropped without `commit`, it leaves nothing behind.
    pub async fn begin_write(&self) -> Result<DatabaseTransaction, DbErr> {
        // A deferred transaction that turns to writing fails at once where another writer was quicker; one that asks first waits.
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.0.begin_with_options(options).await
    }

    /// Brings the schema up to date; servers that start at once do it one after the other.
    pub async fn migrate(&self) -> Result<(), DbErr> {
        let tx = self.begin_write().await?;
        if tx.get_database_backend() == DbBackend::Postgres {
            tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")).await?;
        }
        Migrator::up(&tx, None).await?;
        tx.commit().await
    }

    /// Whether the database answers and has every step of the schema that this program knows. It may have more: while a newer server is rolled
    /// out, the older ones go on.
    pub async fn is_ready(&self) -> bool {
        match seaql_migrations::Entity::find().all(&self.0).await {
            Ok(applied) => {
                Migrator::migrations().iter().all(|step| applied.iter().any(|applied| applied.version == step.name()))
            }
            Err(error) => {
                tracing::warn!(%error, "the database is not ready");
                false
            }
        }
    }

    /// Watches every statement: for tests that count them.
    pub fn watch(&mut self, watcher: impl Fn(&str) + Send + Sync + 'static) {
        self.0.set_metric_callback(move |info| watcher(&info.statement.sql));
    }

    pub async fn close(self) -> Result<(), DbErr> {
        self.0.close().await
    }
}

/// Every acknowledged commit survives a power loss (`synchronous = FULL`), and readers don't wait for writers (WAL).
fn sqlite(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
}

/// Whether a database can be meant by this: `sqlite://…` or `postgres://…`.
pub fn is_database_url(url: &str) -> bool {
    match url.split_once(':') {
        Some(("sqlite", _)) => SqliteConnectOptions::from_str(url).is_ok(),
        Some(("postgres" | "postgresql", _)) => reqwest::Url::parse(url).is_ok(),
        _ => false,
    }
}
