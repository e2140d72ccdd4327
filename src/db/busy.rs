//! What a database could not do for now, and trying it again where that is safe.

use std::time::{Duration, Instant};

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, error::DatabaseError, postgres::PgDatabaseError, postgres::PgSeverity},
};

use crate::error::Error;

/// How often a transaction is tried.
const TRIES: u32 = 3;
/// The pause before the second try; the third waits twice as long. Up to as much again is added at random, so that those who met part.
const PAUSE: Duration = Duration::from_millis(10);
/// Who waited for so long in vain (for a connection, for a row's lock, or for the turn to write) does not wait again. PostgreSQL takes a second to see
/// a deadlock.
const PATIENCE: Duration = Duration::from_millis(1500);

/// In PostgreSQL's words and in SQLite's: whoever tries again meets another moment.
const REFUSALS: [&str; 13] = [
    "40001", // serialization_failure
    "40P01", // deadlock_detected
    "55P03", // lock_not_available: lock_timeout
    "57014", // query_canceled: statement_timeout
    "25P03", // idle_in_transaction_session_timeout
    "57P01", // admin_shutdown
    "57P02", // crash_shutdown
    "57P03", // cannot_connect_now: starting up, or shutting down
    "53300", // too_many_connections
    "5",     // SQLITE_BUSY
    "261",   // SQLITE_BUSY_RECOVERY
    "517",   // SQLITE_BUSY_SNAPSHOT
    "6",     // SQLITE_LOCKED
];

/// Whether the database could not do what it was asked for now, and has done nothing of it: there was no connection, it refused, or it went away before
/// a commit. A commit that nobody answered is no such error (see [`WriteTransaction::commit`](super::WriteTransaction::commit)).
pub fn is_busy(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) => true,
        // Something between here and there hangs up in the middle of a greeting: sqlx takes that for an odd answer.
        DbErr::Conn(RuntimeErr::SqlxError(error)) if matches!(**error, sqlx::Error::Protocol(_)) => true,
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => match &**error {
            sqlx::Error::Database(error) => is_refusal(&**error),
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                true
            }
            _ => false,
        },
        _ => false,
    }
}

pub(super) fn is_refusal(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| REFUSALS.contains(&&*code))
}

/// Whether the database itself said that it did not commit. One that says so and ends the connection may have committed before.
pub(super) fn was_refused(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    let said = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
    said.is_none_or(|severity| severity == PgSeverity::Error)
}

/// Runs a transaction, from its beginning to its commit, and once more where the database was busy and nothing of it was done: twice more at the most, and
/// only for as long as somebody would wait. What asks a provider in between is not run like this.
pub async fn tried_again<T, F>(mut transaction: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let begun = Instant::now();
    for tried in 1..TRIES {
        match transaction().await {
            Err(Error::Busy(why)) if begun.elapsed() < PATIENCE => {
                tracing::info!(why, "the database was busy; a transaction is tried again");
                tokio::time::sleep(pause(tried)).await;
            }
            done => return done,
        }
    }
    transaction().await
}

fn pause(tried: u32) -> Duration {
    let mut random = [0; 1];
    // Without randomness they meet again, and that is all.
    let _ = getrandom::fill(&mut random);
    let [random] = random;
    PAUSE * tried + PAUSE * tried * u32::from(random) / 256
}
