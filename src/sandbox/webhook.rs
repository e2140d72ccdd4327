//! How events get out: signed, in the order of the outbox, and again and again until the shop has acknowledged them.
//!
//! Promises "at least once" and never "exactly once". Follows no redirect, and gives up only after three days.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{Client, redirect};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::outbox::Due;
use super::session::{self, Session};
use super::transaction::{self, Transaction};
use super::{Sandbox, SandboxError, Secret, now, sign, unguessable};

/// How long one delivery may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the worker rests where its store fails.
const REST: Duration = Duration::from_secs(5);

/// What is said to the shop.
#[derive(Serialize)]
pub struct Event<'a> {
    /// The id of what it tells of: the shop hears everything about one subject in order.
    #[serde(skip)]
    pub subject: &'a str,
    #[serde(skip)]
    pub webhook_url: &'a str,
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    pub created_at: DateTime<Utc>,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Data<'a> {
    Session(session::Shown<'a>),
    Transaction(transaction::Shown<'a>),
}

impl<'a> Event<'a> {
    pub fn of_session(session: &'a Session, public_url: &str, now: DateTime<Utc>) -> Result<Self, SandboxError> {
        Ok(Self {
            subject: &session.id,
            webhook_url: &session.webhook_url,
            id: unguessable("evt")?,
            kind: session.state.event(),
            created_at: now,
            data: Data::Session(session.shown(public_url)),
        })
    }

    pub fn of_transaction(transaction: &'a Transaction, now: DateTime<Utc>) -> Result<Self, SandboxError> {
        Ok(Self {
            subject: &transaction.id,
            webhook_url: &transaction.wanted.webhook_url,
            id: unguessable("evt")?,
            kind: transaction.state.event(),
            created_at: now,
            data: Data::Transaction(transaction.shown()),
        })
    }

    pub fn body(&self) -> Result<String, SandboxError> {
        serde_json::to_string(self).map_err(SandboxError::Encoding)
    }
}

/// The worker behind [`Sandbox::deliver_webhooks`]: finishes the round it is in when told to stop.
pub async fn work(sandbox: &Sandbox, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let pause = match round(sandbox).await {
            Ok(pause) => pause,
            Err(error) => {
                error!(%error, "the sandbox cannot deliver its webhooks");
                REST
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = sandbox.0.news.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One round over all that is due; says how long to wait for the next.
async fn round(sandbox: &Sandbox) -> Result<Duration, SandboxError> {
    let store = &sandbox.0.store;
    let mut well = true;
    for id in store.overdue().await? {
        well &= succeeded(store.refresh(&id).await);
    }
    for id in store.overdue_transactions().await? {
        well &= succeeded(store.refresh_transaction(&id).await);
    }
    let mut deliveries = JoinSet::new();
    for subject in store.subjects_with_news().await? {
        let sandbox = sandbox.clone();
        deliveries.spawn(async move { succeeded(sandbox.deliver(&subject).await) });
    }
    well &= deliveries.join_all().await.into_iter().all(|delivered| delivered);
    // Where a result could not be written down, what was due still is: without a rest the shop would be flooded.
    if well { store.quiet_for().await } else { Ok(REST) }
}

/// A fault with one session or transaction must not keep the others from being heard of.
fn succeeded<T>(result: Result<T, SandboxError>) -> bool {
    if let Err(error) = &result {
        error!(%error, "the sandbox could not deliver a webhook, end a session or settle a transaction");
    }
    result.is_ok()
}

impl Sandbox {
    /// Sends what is due of one session or transaction. An event that is refused is only given its next time, and ends the delivery:
    /// those behind it must not overtake it.
    pub(super) async fn deliver(&self, subject: &str) -> Result<(), SandboxError> {
        let (store, courier) = (&self.0.store, &self.0.courier);
        let _turn = courier.lane(subject).lock().await;
        while let Some(event) = store.next_event(subject).await? {
            let acknowledged = courier.send(&event).await;
            store.record(&event, acknowledged).await?;
            if !acknowledged {
                break;
            }
        }
        Ok(())
    }
}

pub struct Courier {
    client: Client,
    secret: Secret,
    /// One delivery at a time for each subject, whether the page or the worker is at it. A lane may serve several of them:
    /// that costs them a wait, and saves a table of locks that somebody would have to clean up.
    lanes: [Mutex<()>; 64],
}

impl Courier {
    pub fn new(secret: Secret) -> Result<Self, SandboxError> {
        let client = Client::builder()
            .timeout(PATIENCE)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(SandboxError::HttpClient)?;
        Ok(Self { client, secret, lanes: std::array::from_fn(|_| Mutex::new(())) })
    }

    fn lane(&self, subject: &str) -> &Mutex<()> {
        let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(subject);
        #[expect(clippy::indexing_slicing, reason = "a remainder of 64 is below 64")]
        &self.lanes[(hash % 64) as usize]
    }

    /// Whether the shop acknowledged.
    async fn send(&self, event: &Due) -> bool {
        let signature = sign(&self.secret.0, now().timestamp(), event.body.as_bytes());
        let request = self
            .client
            .post(&event.webhook_url)
            .header("content-type", "application/json")
            .header("orderpay-signature", signature)
            .body(event.body.clone());
        match request.send().await {
            Ok(answer) if answer.status().is_success() => true,
            Ok(answer) => {
                warn!(subject = event.subject, status = answer.status().as_u16(), "a webhook was refused");
                false
            }
            Err(error) => {
                warn!(subject = event.subject, error = %error.without_url(), "a webhook did not arrive");
                false
            }
        }
    }
}
