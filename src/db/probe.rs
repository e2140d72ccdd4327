//! Whether the database answers and is migrated, asked apart from all requests.
//!
//! It has a connection of its own, beside the pool: where all connections of the pool are at work the server is busy, and not without its database. Who is
//! refused then is told so (`UNAVAILABLE`), and comes again; were the server taken for lost instead, its share of the requests would go to the others,
//! which are as busy. That connection is made when it is first asked for, and again where it broke.

use std::{sync::Arc, time::Duration};

use sea_orm::DbErr;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{
    pool::{Pool, Source},
    postgres, sqlite,
    transaction::{Reader, Watcher},
};

/// A database that takes longer than this to answer is none to send requests to.
const PATIENCE: Duration = Duration::from_secs(1);
/// For so long what was found holds: however many ask, the database is not asked more often.
const FRESH: Duration = Duration::from_millis(200);

/// One connection, and what was found last. Its clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Probe(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reader: Reader,
    found: Mutex<Option<Found>>,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    is_ready: bool,
    at: Instant,
}

impl Probe {
    /// To the database of this pool.
    pub fn beside(pool: &Pool) -> Self {
        let source = match pool.source() {
            Source::Postgres(pool) => Source::Postgres(postgres::one_beside(pool)),
            Source::Sqlite(pool) => Source::Sqlite(sqlite::one_beside(pool)),
        };
        let reader = Reader { pool: Pool::new(source), watcher: Watcher::default() };
        Self(Arc::new(Inner { reader, found: Mutex::default() }))
    }

    /// What `ask` finds within a second, or what was found just now. One asks at a time.
    pub async fn finds(&self, ask: impl AsyncFnOnce(&Reader) -> Result<bool, DbErr>) -> bool {
        let mut found = self.0.found.lock().await;
        if let Some(found) = found.filter(|found| found.at.elapsed() < FRESH) {
            return found.is_ready;
        }
        let is_ready = match timeout(PATIENCE, ask(&self.0.reader)).await {
            Ok(Ok(is_ready)) => is_ready,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the database is not ready");
                false
            }
            Err(_) => {
                tracing::warn!("the database does not answer");
                false
            }
        };
        *found = Some(Found { is_ready, at: Instant::now() });
        is_ready
    }

    pub async fn close(&self) {
        self.0.reader.pool.close().await;
    }
}
