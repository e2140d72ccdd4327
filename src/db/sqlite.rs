//! SQLite's connections, and what they promise.
//!
//! - `journal_mode = WAL`: readers don't wait for the writer, nor it for them.
//! - `synchronous = FULL`: a commit is on the disk before it is acknowledged, so that it survives the machine's death as well as the process's. With
//!   NORMAL, SQLite's usual choice beside WAL, the last commits before a power loss would be gone, though the file would be whole.
//! - `foreign_keys`: what points to something points to something that is there.
//! - `busy_timeout`: who meets another writer waits for it.
//!
//! A server that finds other settings than these does not start.

use std::time::Duration;

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{
        self, ConnectOptions, Row,
        pool::PoolOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous},
    },
};

use super::{ACQUIRE_TIMEOUT, busy};

/// How long a SQLite writer waits for another one.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long whoever was refused without waiting waits then.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Opens a pool; a file is made where there is none and the address allows it. The first to open an empty file turns it to WAL, and SQLite refuses all
/// others at that moment instead of letting them wait: they come again.
pub async fn open(url: &str, most_connections: u32) -> Result<SqlitePool, DbErr> {
    let options: SqliteConnectOptions = url.parse().map_err(failed)?;
    let options = options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .disable_statement_logging();
    let tries = BUSY_TIMEOUT.as_millis() / BUSY_PAUSE.as_millis();
    for _ in 0..tries {
        match open_once(&options, most_connections).await {
            Err(error) if busy::is_busy(&error) => tokio::time::sleep(BUSY_PAUSE).await,
            opened => return opened,
        }
    }
    open_once(&options, most_connections).await
}

async fn open_once(options: &SqliteConnectOptions, most_connections: u32) -> Result<SqlitePool, DbErr> {
    let pool = pool(most_connections).connect_with(options.clone()).await.map_err(failed)?;
    keeps_promises(&pool).await?;
    Ok(pool)
}

/// A pool of one connection beside this one, made when it is first needed.
pub fn one_beside(other: &SqlitePool) -> SqlitePool {
    pool(1).connect_lazy_with((*other.connect_options()).clone())
}

fn pool(most_connections: u32) -> PoolOptions<sqlx::Sqlite> {
    PoolOptions::new()
        .max_connections(most_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        // A database in memory ends with its last connection.
        .idle_timeout(None)
        .max_lifetime(None)
}

fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}

/// Looks whether SQLite took what it was told: it keeps other settings to itself, where a file system or a build can't do better.
async fn keeps_promises(pool: &SqlitePool) -> Result<(), DbErr> {
    let sql = "SELECT (SELECT journal_mode FROM pragma_journal_mode) AS journal_mode,
        (SELECT synchronous FROM pragma_synchronous) AS synchronous,
        (SELECT foreign_keys FROM pragma_foreign_keys) AS foreign_keys,
        (SELECT timeout FROM pragma_busy_timeout) AS busy_timeout";
    let row = sqlx::query(sql).fetch_one(pool).await.map_err(failed)?;
    let text = |column: &str| row.try_get::<String, _>(column).map_err(failed);
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(failed);
    let journal = text("journal_mode")?;
    // A database in memory promises nothing, as everybody knows who asks for one.
    let is_kept = ["wal", "memory"].contains(&journal.as_str())
        && number("synchronous")? == 2
        && number("foreign_keys")? == 1
        && i128::from(number("busy_timeout")?) == i128::try_from(BUSY_TIMEOUT.as_millis()).unwrap_or_default();
    if is_kept {
        return Ok(());
    }
    Err(DbErr::Custom(format!(
        "SQLite does not promise here to lose nothing: it has journal_mode = {journal}, synchronous = {}, foreign_keys = {}, busy_timeout = {}, \
         where wal, 2 (FULL), 1 and {} are needed",
        number("synchronous")?,
        number("foreign_keys")?,
        number("busy_timeout")?,
        BUSY_TIMEOUT.as_millis(),
    )))
}
