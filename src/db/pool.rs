//! The connections to one database, and who has them.
//!
//! They are sqlx's pool's. It makes them, tries them after a pause, and closes the old ones; but it asks each for a sign of life whenever it comes back,
//! which is a round trip more for each statement. So what comes back in order waits on a shelf for the next who needs one. If nobody comes within a second
//! it goes back to sqlx, as soon as anybody else takes or gives back a connection; and once a minute in any case.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sea_orm::{
    DbBackend, DbErr,
    sqlx::{self, PgPool, SqlitePool},
};
use tokio::{sync::Semaphore, time::timeout};

use super::{
    ACQUIRE_TIMEOUT,
    connection::{Connection, Taken, no_place, not_taken},
};

/// For so long a connection that nobody uses waits on the shelf. What waits longer may have died, and is tried before it is used.
const FRESH: Duration = Duration::from_secs(1);
/// After so long away from sqlx's pool a connection goes back to it, where it may be old enough to be closed.
const MOST_ABSENCE: Duration = Duration::from_secs(60);

/// Where connections come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// So many connections and no more. Its clones are the same pool.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    source: Source,
    /// Whoever has one has a connection, or may take one without waiting for another to come back.
    places: Arc<Semaphore>,
    shelf: Arc<Shelf>,
}

/// Connections that came back in order, the last one at the end. `None` once the pool is closed.
pub(super) struct Shelf(Mutex<Option<Vec<Shelved>>>);

struct Shelved {
    connection: Connection,
    away_since: Instant,
    since: Instant,
}

impl Pool {
    pub fn new(source: Source) -> Self {
        let most = match &source {
            Source::Postgres(pool) => pool.options().get_max_connections(),
            Source::Sqlite(pool) => pool.options().get_max_connections(),
        };
        let places = Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS));
        let shelf = Shelf(Mutex::new(Some(vec![])));
        Self { source, places: Arc::new(places), shelf: Arc::new(shelf) }
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    pub fn backend(&self) -> DbBackend {
        match self.source {
            Source::Postgres(_) => DbBackend::Postgres,
            Source::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    /// One connection, for nobody else. Who waits too long fails, and makes no longer queue.
    pub async fn take(&self) -> Result<Taken, DbErr> {
        timeout(ACQUIRE_TIMEOUT, self.take_in_time()).await.unwrap_or_else(|_| Err(no_place()))
    }

    async fn take_in_time(&self) -> Result<Taken, DbErr> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| not_taken(sqlx::Error::PoolClosed))?;
        if let Some(Shelved { connection, away_since, .. }) = self.shelf.take() {
            return Ok(Taken::new(connection, away_since, place, &self.shelf));
        }
        let connection = match &self.source {
            Source::Postgres(pool) => pool.acquire().await.map(Connection::Postgres),
            Source::Sqlite(pool) => pool.acquire().await.map(Connection::Sqlite),
        };
        Ok(Taken::new(connection.map_err(not_taken)?, Instant::now(), place, &self.shelf))
    }

    /// For whoever goes to sqlx's pool past this one: what waits on the shelf goes back there.
    pub fn source_for_others(&self) -> &Source {
        self.shelf.empties();
        &self.source
    }

    /// Waits until each connection is back, and closes it.
    pub async fn close(&self) {
        self.places.close();
        let shelved = self.shelf.connections().take().unwrap_or_default();
        shelved.into_iter().for_each(|shelved| shelved.connection.retires());
        match &self.source {
            Source::Postgres(pool) => pool.close().await,
            Source::Sqlite(pool) => pool.close().await,
        }
    }
}

impl Shelf {
    /// The connection that came back last, if that was just now.
    fn take(&self) -> Option<Shelved> {
        let newest = self.connections().as_mut()?.pop()?;
        if newest.since.elapsed() < FRESH {
            return Some(newest);
        }
        // The others are older still.
        self.empties();
        newest.connection.retires();
        None
    }

    /// Keeps a connection that is in order for whoever comes next.
    pub fn put(&self, connection: Connection, away_since: Instant) {
        let now = Instant::now();
        let mut connections = self.connections();
        match connections.as_mut().filter(|_| now - away_since < MOST_ABSENCE) {
            Some(connections) => {
                let stale = connections.iter().take_while(|shelved| now - shelved.since >= FRESH).count();
                connections.drain(..stale).for_each(|stale| stale.connection.retires());
                connections.push(Shelved { connection, away_since, since: now });
            }
            None => connection.retires(),
        }
    }

    fn empties(&self) {
        let all = self.connections().as_mut().map(std::mem::take).unwrap_or_default();
        all.into_iter().for_each(|shelved| shelved.connection.retires());
    }

    fn connections(&self) -> MutexGuard<'_, Option<Vec<Shelved>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shelf {
    /// There may be nobody left who could wait for a farewell.
    fn drop(&mut self) {
        for Shelved { connection, .. } in self.connections().take().unwrap_or_default() {
            connection.ends();
        }
    }
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shelf")
    }
}
