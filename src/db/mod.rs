//! The database: how it is reached, how one reads, and how a writing transaction begins.
//!
//! Every write begins here, so that none is begun in a way that SQLite answers with "busy". Nothing here waits for ever: there is a limit on the wait for
//! a connection (`ACQUIRE_TIMEOUT`), for PostgreSQL's own waits (`postgres`), and for an answer of any kind (`connection`).

mod busy;
mod connection;
mod pool;
mod postgres;
mod probe;
mod snapshot;
mod sql;
mod sqlite;
mod transaction;
mod url;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait, SqliteTransactionMode, SqlxPostgresConnector,
    SqlxSqliteConnector, Statement, TransactionOptions, TransactionTrait, sqlx::postgres::PgConnectOptions,
};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};

use crate::faults;
use migration::{Migrator, MigratorTrait, seaql_migrations};

pub use self::{
    busy::{is_busy, tried_again},
    connection::RowLock,
    snapshot::ReadOnlyDatabase,
    sql::Sql,
    transaction::{Reader, WriteTransaction},
    url::DatabaseUrl,
};
use self::{
    connection::{failed, no_place},
    pool::{Pool, Source},
    probe::Probe,
    transaction::Watcher,
};

/// How long a request waits for a connection. After that it fails, and makes no longer queue.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// A number that nobody else takes advisory locks under: "orderpay" in bytes.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"orderpay");

/// A pool of connections.
#[derive(Clone, Debug)]
pub struct Database {
    reader: Reader,
    /// Where one writes at a time, as in SQLite, those of this process stand in a row here: else each would hold a connection, and sleep and look
    /// again, until it happens to be the first.
    writers: Option<Arc<Semaphore>>,
    probe: Probe,
    /// Rung after each commit of this process that told of a change.
    told: watch::Sender<()>,
}

impl Database {
    /// Opens a pool; a SQLite file is made where there is none, and a PostgreSQL that is starting is waited for.
    pub async fn open(url: &str, most_connections: u32) -> Result<Self, DbErr> {
        let source = match url.starts_with("postgres") {
            true => Source::Postgres(postgres::open(url, most_connections).await?),
            false => Source::Sqlite(sqlite::open(url, most_connections).await?),
        };
        Ok(Self::of(Pool::new(source)))
    }

    fn of(pool: Pool) -> Self {
        let one_at_a_time = pool.backend() == DbBackend::Sqlite;
        let writers = one_at_a_time.then(|| Arc::new(Semaphore::new(1)));
        let probe = Probe::beside(&pool);
        Self { reader: Reader { pool, watcher: Watcher::default() }, writers, probe, told: watch::Sender::new(()) }
    }

    /// The same pool as SeaORM has it, without the limits on an answer: for what takes SeaORM's transactions only, and may take its time.
    pub(crate) fn sea_orm(&self) -> DatabaseConnection {
        match self.reader.pool.source_for_others() {
            Source::Postgres(pool) => SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone()),
            Source::Sqlite(pool) => SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone()),
        }
    }

    /// Where statements that only read run.
    pub fn read(&self) -> &Reader {
        &self.reader
    }

    /// A transaction that will write.
    pub async fn begin_write(&self) -> Result<WriteTransaction, DbErr> {
        self.begin_write_locking(&[]).await
    }

    /// A transaction that will write, with these rows locked one after the other in the round trip that begins it. A row that is not there is none that
    /// is locked. On SQLite whoever may write is alone anyway.
    pub async fn begin_write_locking(&self, rows: &[RowLock]) -> Result<WriteTransaction, DbErr> {
        let turn = self.turn().await?;
        let Reader { pool, watcher } = &self.reader;
        let mut connection = pool.take().await?;
        connection.begin(turn, rows).await.map_err(failed)?;
        Ok(WriteTransaction {
            connection: Mutex::new(connection),
            backend: pool.backend(),
            watcher: watcher.clone(),
            tells: AtomicBool::new(false),
            told: self.told.clone(),
        })
    }

    /// Rings after each commit of this process that told of a change; many commits may be one ring.
    pub fn told(&self) -> watch::Receiver<()> {
        self.told.subscribe()
    }

    /// How PostgreSQL is reached by a connection beside the pool; `None` on SQLite.
    pub fn postgres(&self) -> Option<PgConnectOptions> {
        match self.reader.pool.source() {
            Source::Postgres(pool) => Some((*pool.connect_options()).clone()),
            Source::Sqlite(_) => None,
        }
    }

    /// Waits for the turn to write, as long as SQLite would; on PostgreSQL many write at once.
    async fn turn(&self) -> Result<Option<OwnedSemaphorePermit>, DbErr> {
        let Some(writers) = &self.writers else { return Ok(None) };
        let turn = tokio::time::timeout(sqlite::BUSY_TIMEOUT, Arc::clone(writers).acquire_owned()).await;
        turn.ok().and_then(Result::ok).map(Some).ok_or_else(no_place)
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

    /// Brings the schema up to date; servers that start at once do it one after the other. A step may take its time, so that it has none of the limits
    /// that requests have.
    ///
    /// Where nothing is to be done it waits for nobody: a server that starts beside others that write is not kept from it.
    pub async fn migrate(&self) -> Result<(), DbErr> {
        if matches!(is_migrated(self.read()).await, Ok(true)) {
            return Ok(());
        }
        let _turn = self.turn().await?;
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let tx = self.sea_orm().begin_with_options(options).await?;
        if tx.get_database_backend() == DbBackend::Postgres {
            // Whoever comes second waits for the first.
            tx.execute_unprepared("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0").await?;
            tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")).await?;
        }
        Migrator::up(&tx, None).await?;
        faults::crash_point("before the migration's commit");
        let committed = tx.commit().await;
        faults::crash_point("after the migration's commit");
        committed
    }

    /// Whether the database answers and has every step of the schema that this program knows. It may have more: while a newer server is rolled
    /// out, the older ones go on. Whoever is at work with the pool is not in the way.
    pub async fn is_ready(&self) -> bool {
        self.probe.finds(async |reader| is_migrated(reader).await).await
    }

    /// Watches every statement: for tests that count them.
    pub fn watch(&mut self, watcher: impl Fn(&str) + Send + Sync + 'static) {
        self.reader.watcher = Watcher(Some(Arc::new(watcher)));
    }

    /// Waits until each connection is back, and closes it.
    pub async fn close(self) -> Result<(), DbErr> {
        self.probe.close().await;
        self.reader.pool.close().await;
        Ok(())
    }
}

async fn is_migrated(reader: &Reader) -> Result<bool, DbErr> {
    let applied = seaql_migrations::Entity::find().all(reader).await?;
    Ok(Migrator::migrations().iter().all(|step| applied.iter().any(|applied| applied.version == step.name())))
}
