//! PostgreSQL's connections: with limits on every wait, and tried before they are used where that costs little.

use std::time::{Duration, Instant};

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{
        self, Connection, Executor,
        pool::PoolOptions,
        postgres::{PgConnectOptions, PgConnection, PgPool},
    },
};

use super::{ACQUIRE_TIMEOUT, busy};

/// PostgreSQL's own defaults are to wait for ever.
///
/// - `idle_in_transaction_session_timeout`: a server that hangs within a transaction loses it, and its locks, before those who wait for them give up.
/// - `lock_timeout`: whoever waits for a row gives up before its statement does, and is told why.
/// - `statement_timeout`: a statement that takes longer helps nobody any more; no client waits for it.
const TIMEOUTS: [(&str, &str); 3] =
    [("idle_in_transaction_session_timeout", "5s"), ("lock_timeout", "8s"), ("statement_timeout", "10s")];
/// How soon PostgreSQL notices, in the middle of a statement, that the connection is gone, and ends the statement. Servers before 14 don't know it, nor
/// some systems: there a statement that nobody waits for runs to its `statement_timeout`.
const NOTICE: &str = "SET client_connection_check_interval = '500ms'";
/// A connection that was not used for so long is asked for a sign of life first. Under load none is; where there is little to do, none is used that died.
const TRIED_AFTER: Duration = Duration::from_secs(1);
/// How long that sign may take.
const SIGN_OF_LIFE: Duration = Duration::from_millis(500);
/// How long a server that starts waits for a PostgreSQL that starts too, or has no place for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause after the first try; each is twice the one before, up to the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Opens a pool; where PostgreSQL is not there yet, it comes again.
pub async fn open(url: &str, most_connections: u32) -> Result<PgPool, DbErr> {
    let options: PgConnectOptions = url.parse().map_err(failed)?;
    let options = sqlx::ConnectOptions::disable_statement_logging(options).options(TIMEOUTS);
    let (begun, mut pause) = (Instant::now(), PAUSE);
    loop {
        let why = match pool(most_connections).connect_with(options.clone()).await {
            Ok(pool) => return Ok(pool),
            Err(sqlx::Error::PoolTimedOut) => reason(&options).await,
            Err(error) => error,
        };
        if !may_come(&why) || begun.elapsed() + pause > PATIENCE {
            return Err(failed(why));
        }
        tracing::warn!(%why, "PostgreSQL can't be reached; it is tried again");
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// A pool of one connection beside this one, made when it is first needed.
pub fn one_beside(other: &PgPool) -> PgPool {
    pool(1).connect_lazy_with((*other.connect_options()).clone())
}

fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}

fn pool(most_connections: u32) -> PoolOptions<sqlx::Postgres> {
    PoolOptions::new()
        .max_connections(most_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .after_connect(|connection: &mut PgConnection, _| {
            Box::pin(async {
                match connection.execute(NOTICE).await {
                    Err(error) if error.as_database_error().is_none() => Err(error),
                    _ => Ok(()),
                }
            })
        })
        .before_acquire(|connection: &mut PgConnection, used| {
            Box::pin(async move {
                if used.idle_for < TRIED_AFTER {
                    return Ok(true);
                }
                let alive = tokio::time::timeout(SIGN_OF_LIFE, connection.ping()).await;
                alive.map_err(|_| sqlx::Error::PoolTimedOut)?.map(|()| true)
            })
        })
}

/// Why there is no connection to a PostgreSQL; `None` if it is none, or there is.
pub async fn why(url: &str) -> Option<DbErr> {
    if !url.starts_with("postgres") {
        return None;
    }
    match reason(&url.parse().ok()?).await {
        sqlx::Error::PoolTimedOut => None,
        error => Some(failed(error)),
    }
}

/// Why there is no connection: a pool tries again until its time is up, and keeps the reason to itself.
async fn reason(options: &PgConnectOptions) -> sqlx::Error {
    match tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(Err(error)) => error,
        // It was there for a moment.
        Ok(Ok(_)) | Err(_) => sqlx::Error::PoolTimedOut,
    }
}

/// Whether what is not there now may be there soon: it refuses, says nothing, is starting, or has no place.
fn may_come(error: &sqlx::Error) -> bool {
    use std::io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, NotFound, TimedOut, UnexpectedEof,
    };
    match error {
        // Where it listens on a Unix socket there is no such file before it does.
        sqlx::Error::Io(error) => matches!(
            error.kind(),
            ConnectionRefused | ConnectionReset | ConnectionAborted | NotFound | TimedOut | UnexpectedEof
        ),
        sqlx::Error::Database(error) => busy::is_refusal(&**error),
        // Whoever listens there in its place hangs up: sqlx takes that for an odd answer.
        sqlx::Error::Protocol(_) | sqlx::Error::PoolTimedOut => true,
        _ => false,
    }
}
