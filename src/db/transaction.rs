//! Statements that run each on its own, and transactions that write.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement};
use tokio::sync::{Mutex, watch};

use super::{
    busy,
    connection::{Taken, failed},
    pool::Pool,
};
use crate::faults;

type Watch = dyn Fn(&str) + Send + Sync;

/// Told of each statement.
#[derive(Clone, Default)]
pub(super) struct Watcher(pub Option<Arc<Watch>>);

impl Watcher {
    fn hears(&self, statement: &Statement) {
        if let Some(watcher) = &self.0 {
            watcher(&statement.sql);
        }
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

/// Statements that only read, each on a connection of its own: whoever holds a transaction reads within it, and takes no second connection.
///
/// Dropped in the middle, as when a client hangs up, a statement ends soon after: on PostgreSQL it is cancelled; on SQLite it ends at its next row.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) pool: Pool,
    pub(super) watcher: Watcher,
}

#[async_trait::async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.watcher.hears(&statement);
        self.pool.take().await?.execute(statement).await.map_err(failed)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.pool.take().await?.execute_unprepared(sql).await.map_err(failed)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.watcher.hears(&statement);
        self.pool.take().await?.query_one(statement).await.map_err(failed)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.watcher.hears(&statement);
        self.pool.take().await?.query_all(statement).await.map_err(failed)
    }
}

/// A transaction that writes. Dropped without [`WriteTransaction::commit`], it leaves nothing behind.
pub struct WriteTransaction {
    pub(super) connection: Mutex<Taken>,
    pub(super) backend: DbBackend,
    pub(super) watcher: Watcher,
    pub(super) tells: AtomicBool,
    pub(super) told: watch::Sender<()>,
}

impl WriteTransaction {
    /// Notes that it tells of a change, so that whoever waits for one looks after the commit.
    pub fn tells(&self) {
        self.tells.store(true, Ordering::Relaxed);
    }

    /// Each place that commits is a crash point before and one after it. Where it can't be said whether the commit was done, because nothing was
    /// answered, the error is none that says that it may be tried again.
    #[track_caller]
    pub fn commit(self) -> impl Future<Output = Result<(), DbErr>> {
        let place = std::panic::Location::caller();
        async move {
            faults::crash_point(format_args!("before the commit at {place}"));
            let committed = self.connection.into_inner().commit().await;
            faults::crash_point(format_args!("after the commit at {place}"));
            if self.tells.into_inner() {
                self.told.send_replace(());
            }
            committed.map_err(|error| match busy::was_refused(&error) {
                true => failed(error),
                false => DbErr::Custom(format!("it is not known whether a commit was done: {error}")),
            })
        }
    }

    pub async fn rollback(self) -> Result<(), DbErr> {
        self.connection.into_inner().rollback().await.map_err(failed)
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for WriteTransaction {
    fn get_database_backend(&self) -> DbBackend {
        self.backend
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.watcher.hears(&statement);
        self.connection.lock().await.execute(statement).await.map_err(failed)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.connection.lock().await.execute_unprepared(sql).await.map_err(failed)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.watcher.hears(&statement);
        self.connection.lock().await.query_one(statement).await.map_err(failed)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.watcher.hears(&statement);
        self.connection.lock().await.query_all(statement).await.map_err(failed)
    }
}
