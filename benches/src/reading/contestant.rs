//! Whoever is compared by what a page takes: servers, and a database without one.

use std::time::Duration;

use super::{peer::Peer, pgbench::Pgbench, round::Round};
use crate::{postgres::Postgres, process::memory_of, table::megabytes};

/// As many as ask at once, each of whom waits for its answer.
pub const CLIENTS: usize = 16;
const WARMING_UP: Duration = Duration::from_secs(2);

pub enum Contestant<'a> {
    Server(Peer),
    Database(Pgbench<'a>),
}

impl Contestant<'_> {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Server(peer) => peer.name,
            Self::Database(_) => "pgbench, the bare handler's statement",
        }
    }

    pub async fn round(&self, postgres: &Postgres, lasts: Duration) -> Round {
        match self {
            Self::Server(peer) => {
                peer.closed(CLIENTS, WARMING_UP).await;
                Round::of(peer, postgres, peer.closed(CLIENTS, lasts)).await
            }
            Self::Database(pgbench) => {
                pgbench.round(WARMING_UP).await;
                pgbench.round(lasts).await
            }
        }
    }

    /// What it holds now.
    pub fn memory(&self) -> String {
        match self {
            Self::Server(peer) => format!("{} MB", megabytes(memory_of(peer.process).now)),
            Self::Database(_) => "-".to_owned(),
        }
    }
}
