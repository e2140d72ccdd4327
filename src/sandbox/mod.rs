//! The sandbox is a small payment provider of our own: whoever integrates orderpay can pay, decline and cancel without real money.
//!
//! It shares no code and no database with the rest of the crate, which speaks to it over HTTP only, as to any provider.
//! So what is tried against it is tried across a network: answers get lost, news comes late, twice, out of order, or never.
//! It refuses to touch real money, and to keep news to itself: it tells what happened until the shop has heard it, for three days.
//!
//! Money moves in two ways: a shopper pays a hosted *session* on the payment page, or the shop runs *transactions* by a payment token.
//!
//! - `session`: the one noun, and every life it can have. `method`: what a press on the payment page makes of it.
//! - `transaction`: the other noun, and its life. `card`: what a payment token makes of it. `parent`: what it acts on, and how much of that
//!   is left.
//! - `store`, `transaction_store`: the verbs, each one database transaction that writes a state and the events that tell of it.
//!   `rows`, `transaction_rows`: the statements. `upgrade`: the tables, and how an earlier version's become these.
//! - `ledger`: what money really did. `outbox`: what the shop has yet to hear.
//! - `webhook`: how events get out; signed, in order, repeated until acknowledged.
//! - `api`, `transaction_api`: the HTTP API for the shop's server, in the shapes of `answer`. `page`: the payment page for the shopper.
//! - `fault`: things that go wrong on demand, for tests.

mod answer;
mod api;
mod card;
mod fault;
mod ledger;
mod method;
mod outbox;
mod page;
mod parent;
mod rows;
mod session;
mod store;
#[cfg(test)]
mod tests;
mod transaction;
mod transaction_api;
mod transaction_rows;
mod transaction_store;
mod upgrade;
mod webhook;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use chrono::{DateTime, SubsecRound, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sea_orm::DbErr;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::fault::Faults;
pub use self::parent::Limits;
use self::store::Store;
use self::webhook::Courier;

pub struct Settings {
    /// `sqlite://file?mode=rwc`, or `sqlite::memory:` for a sandbox that forgets when it stops.
    pub database_url: String,
    /// Under which browsers reach this sandbox, e.g. `http://127.0.0.1:8080/sandbox`.
    pub public_url: String,
    /// Signs the webhooks; the API's key is made from it too.
    pub secret: Secret,
    /// How long a shopper may take to pay.
    pub session_ttl: Duration,
    /// What it shall not do, as some providers don't.
    pub limits: Limits,
}

/// A secret that cannot be printed by accident.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self(value.into())
    }
}

/// A running sandbox; cloning it gives another handle on the same one.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    store: Store,
    courier: Courier,
    faults: Faults,
    secret: Secret,
    public_url: String,
    /// Rings when there may be something to deliver or to bring up to date sooner than was known.
    news: Notify,
}

impl Sandbox {
    /// Opens the store; makes its tables where they are missing, and upgrades those of an earlier version.
    pub async fn open(settings: Settings) -> Result<Self, SandboxError> {
        let public_url = settings.public_url.trim_end_matches('/').to_owned();
        Ok(Self(Arc::new(Inner {
            store: Store::open(&settings.database_url, public_url.clone(), settings.session_ttl, settings.limits)
                .await?,
            courier: Courier::new(settings.secret.clone())?,
            faults: Faults::default(),
            secret: settings.secret,
            public_url,
            news: Notify::new(),
        })))
    }

    /// The API under `/v1` and the payment page under `/pay`; its links are relative, so it may be nested anywhere.
    pub fn router(&self) -> Router {
        api::router(self).merge(page::router(self))
    }

    /// The worker: ends sessions whose time is up, settles what is pending, and delivers what is due, until told to stop.
    ///
    /// A sandbox without it still works, but only a press on the page tells the shop anything, and only once.
    pub async fn deliver_webhooks(&self, stop: CancellationToken) {
        webhook::work(self, stop).await;
    }
}

/// The bearer key of the API: whoever knows the webhook secret knows it, so there is one secret to configure.
pub fn api_key(secret: &[u8]) -> String {
    hex(&authenticator(secret).chain_update(b"orderpay sandbox api key").finalize().into_bytes())
}

/// The `Orderpay-Signature` of a webhook. The time is signed too, so that a recorded delivery cannot be played again later.
pub fn sign(secret: &[u8], at_unix_seconds: i64, body: &[u8]) -> String {
    let signed = authenticator(secret).chain_update(format!("{at_unix_seconds}.")).chain_update(body);
    format!("t={at_unix_seconds},v1={}", hex(&signed.finalize().into_bytes()))
}

/// HMAC-SHA256 with any key. The key is brought to the block's size here, as RFC 2104 says, because that constructor cannot fail.
fn authenticator(key: &[u8]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    match block.get_mut(..key.len()) {
        Some(start) => start.copy_from_slice(key),
        None => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    Hmac::new(&block.into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name that nobody can guess: to know a session's id is to be allowed to pay it.
fn unguessable(prefix: &str) -> Result<String, SandboxError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(SandboxError::Randomness)?;
    Ok(format!("{prefix}_{}", hex(&random)))
}

/// The sandbox's own clock, in the milliseconds that its store keeps; a real provider has a clock of its own too.
fn now() -> DateTime<Utc> {
    #[expect(clippy::disallowed_methods, reason = "a provider has a clock of its own")]
    DateTime::<Utc>::from(SystemTime::now()).trunc_subsecs(3)
}

#[derive(Debug)]
pub enum SandboxError {
    Database(DbErr),
    /// The columns of this session or transaction contradict each other, or a step was written that its life does not have.
    Contradiction {
        id: String,
    },
    Randomness(getrandom::Error),
    HttpClient(reqwest::Error),
    Encoding(serde_json::Error),
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => write!(f, "the sandbox's database failed: {error}"),
            Self::Contradiction { id } => write!(f, "the sandbox's {id} contradicts itself"),
            Self::Randomness(error) => write!(f, "the system gave no random bytes: {error}"),
            Self::HttpClient(error) => write!(f, "the sandbox's HTTP client cannot start: {error}"),
            Self::Encoding(error) => write!(f, "the sandbox cannot encode an event: {error}"),
        }
    }
}

impl std::error::Error for SandboxError {}

impl From<DbErr> for SandboxError {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}
