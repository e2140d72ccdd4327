//! The database: how it is reached, and how a writing transaction begins.
//!
//! Every write begins here, so that none is begun in a way that SQLite answers with "busy".

mod snapshot;

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database as SeaOrm, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    EntityTrait, ExecResult, QueryResult, RuntimeErr, SqliteTransactionMode, Statement, TransactionOptions,
    TransactionTrait,
    sqlx::{
        Connection,
        postgres::{PgConnectOptions, PgConnection},
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::faults;
use migration::{Migrator, MigratorTrait, seaql_migrations};

/// How long a request waits for a connection. After that it fails, and makes no longer queue.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a SQLite writer waits for another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long whoever was refused without waiting waits then.
const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// PostgreSQL's own defaults are to wait for ever. A server that hangs within a transaction loses it, and its locks, before those who wait for them
/// give up.
const POSTGRES_TIMEOUTS: [(&str, &str); 3] =
    [("idle_in_transaction_session_timeout", "5s"), ("lock_timeout", "8s"), ("statement_timeout", "30s")];
/// A number that nobody else takes advisory locks under: "orderpay" in bytes.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"orderpay");

/// A pool of connections.
#[derive(Clone, Debug)]
pub struct Database {
    pool: DatabaseConnection,
    /// Where one writes at a time, as in SQLite, those of this process stand in a row here: else each would hold a connection, and sleep and look
    /// again, until it happens to be the first.
    writers: Option<Arc<Semaphore>>,
}

/// A transaction that writes. Dropped without [`WriteTransaction::commit`], it leaves nothing behind.
pub struct WriteTransaction {
    tx: DatabaseTransaction,
    _turn: Option<OwnedSemaphorePermit>,
}

impl WriteTransaction {
    /// Each place that commits is a crash point before and one after it.
    #[track_caller]
    pub fn commit(self) -> impl Future<Output = Result<(), DbErr>> {
        let place = std::panic::Location::caller();
        async move {
            faults::crash_point(format_args!("before the commit at {place}"));
            let committed = self.tx.commit().await;
            faults::crash_point(format_args!("after the commit at {place}"));
            committed
        }
    }

    pub async fn rollback(self) -> Result<(), DbErr> {
        self.tx.rollback().await
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for WriteTransaction {
    fn get_database_backend(&self) -> DbBackend {
        self.tx.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.tx.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.tx.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.tx.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.tx.query_all_raw(statement).await
    }
}

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
            .map_sqlx_sqlite_opts(sqlite)
            .map_sqlx_postgres_opts(|options| options.options(POSTGRES_TIMEOUTS));
        match connect(&options).await {
            Ok(pool) => Ok(Self::of(pool)),
            Err(error) => Err(reason(url).await.unwrap_or(error)),
        }
    }

    fn of(pool: DatabaseConnection) -> Self {
        let one_at_a_time = pool.get_database_backend() == DbBackend::Sqlite;
        Self { pool, writers: one_at_a_time.then(|| Arc::new(Semaphore::new(1))) }
    }

    /// Where statements that only read run.
    pub fn read(&self) -> &DatabaseConnection {
        &self.pool
    }

    /// A transaction that will write.
    pub async fn begin_write(&self) -> Result<WriteTransaction, DbErr> {
        let turn = match &self.writers {
            Some(writers) => Some(turn(writers).await?),
            None => None,
        };
        // A deferred transaction that turns to writing fails at once where another writer was quicker; one that asks first waits.
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(WriteTransaction { tx: self.pool.begin_with_options(options).await?, _turn: turn })
    }

    /// What time it is for the database, at this moment: locks know no other clock (rule K3).
    pub async fn now(db: &impl ConnectionTrait) -> Result<DateTime<Utc>, DbErr> {
        let backend = db.get_database_backend();
        let sql = match backend {
            // `now()` would stand still for a whole transaction.
            DbBackend::Postgres => "SELECT clock_timestamp() AS now",
            _ => "SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now') AS now",
        };
        let row = db.query_one_raw(Statement::from_string(backend, sql)).await?;
        row.ok_or_else(|| DbErr::Custom("the database does not know what time it is".into()))?.try_get("", "now")
    }

    /// Brings the schema up to date; servers that start at once do it one after the other.
    pub async fn migrate(&self) -> Result<(), DbErr> {
        let tx = self.begin_write().await?;
        if tx.get_database_backend() == DbBackend::Postgres {
            // A step may take its time, and whoever comes second waits for it.
            tx.execute_unprepared("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0").await?;
            tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")).await?;
        }
        Migrator::up(&tx.tx, None).await?;
        tx.commit().await
    }

    /// Whether the database answers and has every step of the schema that this program knows. It may have more: while a newer server is rolled
    /// out, the older ones go on.
    pub async fn is_ready(&self) -> bool {
        match seaql_migrations::Entity::find().all(&self.pool).await {
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
        self.pool.set_metric_callback(move |info| watcher(&info.statement.sql));
    }

    pub async fn close(self) -> Result<(), DbErr> {
        self.pool.close().await
    }
}

/// Waits for the turn to write, as long as SQLite would.
async fn turn(writers: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, DbErr> {
    let turn = tokio::time::timeout(BUSY_TIMEOUT, Arc::clone(writers).acquire_owned()).await;
    turn.ok().and_then(Result::ok).ok_or_else(|| DbErr::Custom("the database is busy writing".into()))
}

/// Every acknowledged commit survives a power loss (`synchronous = FULL`), and readers don't wait for writers (WAL).
fn sqlite(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
}

/// Opens a pool. The first to open an empty SQLite file turns it to WAL, and SQLite refuses all others at that moment instead of letting them
/// wait: they come again.
async fn connect(options: &ConnectOptions) -> Result<DatabaseConnection, DbErr> {
    let tries = BUSY_TIMEOUT.as_millis() / BUSY_PAUSE.as_millis();
    for _ in 0..tries {
        match SeaOrm::connect(options.clone()).await {
            Err(error) if is_busy(&error) => tokio::time::sleep(BUSY_PAUSE).await,
            opened => return opened,
        }
    }
    SeaOrm::connect(options.clone()).await
}

/// SQLITE_BUSY.
fn is_busy(error: &DbErr) -> bool {
    let DbErr::Conn(RuntimeErr::SqlxError(error)) = error else { return false };
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("5"))
}

/// Why there is no connection to a PostgreSQL: a pool tries again until its time is up, and keeps the reason to itself.
async fn reason(url: &str) -> Option<DbErr> {
    let url: DatabaseUrl = url.parse().ok().filter(DatabaseUrl::is_postgres)?;
    let options: PgConnectOptions = url.as_str().parse().ok()?;
    let connected = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(&options)).await.ok()?;
    connected.err().map(|error| DbErr::Conn(RuntimeErr::SqlxError(error.into())))
}

/// Where a database is: `sqlite://…` or `postgres://…`. There may be a password in it, so Debug shows no more than that.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_postgres(&self) -> bool {
        self.0.starts_with("postgres")
    }
}

impl FromStr for DatabaseUrl {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let is_meant = match url.split_once(':') {
            Some(("sqlite", _)) => SqliteConnectOptions::from_str(url).is_ok(),
            Some(("postgres" | "postgresql", _)) => PgConnectOptions::from_str(url).is_ok(),
            _ => false,
        };
        if is_meant {
            Ok(Self(url.to_owned()))
        } else {
            Err("must be sqlite://FILE?mode=rwc or postgres://USER@HOST/NAME")
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_postgres() { "postgres://…" } else { "sqlite://…" })
    }
}
