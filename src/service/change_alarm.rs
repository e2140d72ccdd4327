//! The alarm clock of those who read the outbox: a commit of this process rings it, and on PostgreSQL one of any other.
//!
//! It may ring for nothing, and a ring may be lost: what happened is in the table. A `NOTIFY` within a transaction would make every commit wait for
//! those of all others, so each server sends one of its own for however many commits.

use std::{future::pending, time::Duration};

use sea_orm::{
    ConnectionTrait,
    sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::change_hub::AGAIN;
use crate::db::Database;

const CHANNEL: &str = "orderpay_outbox";
/// Between two notifications of one server.
const PAUSE: Duration = Duration::from_millis(20);

/// Tells all servers of each commit of this one that told of a change.
pub(super) async fn ring(db: &Database) {
    let mut told = db.told();
    if db.postgres().is_none() {
        return;
    }
    while told.changed().await.is_ok() {
        while let Err(error) = db.read().execute_unprepared(&format!("NOTIFY {CHANNEL}")).await {
            tracing::warn!(%error, "the other servers can't be told that something changed; they look by themselves");
            sleep(AGAIN).await;
        }
        sleep(PAUSE).await;
    }
}

/// Rings when there may be something new.
pub(super) struct Alarm {
    here: watch::Receiver<()>,
    elsewhere: watch::Receiver<()>,
    /// Ends with this.
    listening: Option<JoinHandle<()>>,
}

impl Alarm {
    pub(super) fn of(db: &Database) -> Self {
        let (rings, elsewhere) = watch::channel(());
        let listening = db.postgres().map(|options| tokio::spawn(async move { listen(options, &rings).await }));
        Self { here: db.told(), elsewhere, listening }
    }

    /// Waits until it rings.
    pub(super) async fn rings(&mut self) {
        let elsewhere = async {
            // Nobody listens on SQLite.
            if self.elsewhere.changed().await.is_err() {
                pending::<()>().await;
            }
        };
        tokio::select! {
            _ = self.here.changed() => {}
            () = elsewhere => {}
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

/// Listens on a connection of its own, and on another one when that is lost. What was missed meanwhile is made good by one ring.
async fn listen(options: PgConnectOptions, rings: &watch::Sender<()>) {
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    loop {
        let listened = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(CHANNEL).await?;
            loop {
                rings.send_replace(());
                // Nothing instead of a notification: the connection was lost, and is there again.
                listener.try_recv().await?;
            }
        };
        let lost: Result<(), sea_orm::sqlx::Error> = listened.await;
        if let Err(error) = lost {
            tracing::warn!(%error, "the connection that listens for changes was lost");
        }
        sleep(AGAIN).await;
    }
}
