//! Payment providers: what each of them can be asked, whatever its API looks like.
//!
//! A provider is reached over its API only, and nothing here writes to the database. An answer that can't be trusted is
//! [`CallError::Unknown`], never a failure (rule P8).

mod http;
pub mod sandbox;

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use entity::{
    attempt::{ClientSecret, Report},
    capability::Capabilities,
    money::Money,
    payment::MethodToken,
    transaction::{Failure, Kind, ProviderReference},
};

/// A session to be opened.
#[derive(Clone, Debug)]
pub struct SessionRequest<'a> {
    /// Ours, unique: asked twice under the same reference, a provider opens one session.
    pub reference: &'a str,
    pub amount: Money,
    /// Where the shopper goes afterwards; checked already (rule A7).
    pub return_url: Option<&'a str>,
    /// What the shopper reads beside the amount.
    pub description: String,
}

/// A session as the provider has it now.
#[derive(Clone, Debug)]
pub struct Session {
    pub external_id: String,
    pub report: Report,
    /// What the session is about, or, where money moved, what moved.
    pub amount: Money,
    pub redirect_url: Option<String>,
    pub client_secret: Option<ClientSecret>,
    pub failure: Option<Failure>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// A transaction to be run.
#[derive(Clone, Debug)]
pub struct TransactionRequest<'a> {
    /// Ours, unique: asked twice under the same reference, a provider moves money once.
    pub reference: &'a str,
    pub kind: Kind,
    pub amount: Money,
    /// The payment method; a payment through a hosted page has none of its own.
    pub method: Option<&'a MethodToken>,
    /// Our reference of what it acts on (rule P3).
    pub parent: Option<&'a str>,
}

/// A transaction as the provider has it now.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: Answered,
    /// What moved, or what it is about as long as nothing did.
    pub amount: Money,
    /// What a capture let go of its authorization (rule P10).
    pub released: Option<Money>,
    pub provider_reference: ProviderReference,
    pub failure: Option<Failure>,
}

/// How a transaction stands at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It will say later.
    Pending,
    Succeeded,
    Failed,
}

/// A provider's event, verified.
#[derive(Clone, Debug)]
pub struct Notice {
    pub event_id: String,
    pub about: About,
}

/// What an event tells of.
#[derive(Clone, Debug)]
pub enum About {
    Session(SessionNews),
    Transaction {
        /// Ours.
        reference: String,
        answer: Answer,
    },
}

/// News of a session.
#[derive(Clone, Debug)]
pub struct SessionNews {
    pub external_id: String,
    /// Ours, where the provider tells it: under which the session was opened.
    pub reference: Option<String>,
    pub report: Report,
    pub amount: Money,
    pub failure: Option<Failure>,
}

/// Why a call did not give what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// For sure nothing was done: the provider said no, or could not be reached. The words are the provider's.
    Refused(String),
    /// A timeout, a cut connection, a 5xx or an answer that makes no sense: it may have been done.
    Unknown(String),
}

/// Why a webhook is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookError {
    /// Not signed by the provider, or too long ago (rule W1).
    Unverified,
    /// Signed, and yet not readable.
    Unreadable,
}

/// One provider of payments.
#[async_trait::async_trait]
pub trait PaymentProvider: Send + Sync {
    /// As it stands in the API and in the database.
    fn name(&self) -> &'static str;

    /// What it can do (rule P10).
    fn capabilities(&self) -> Capabilities;

    /// Opens a session, or gives back the one that this reference opened before.
    async fn create_session(&self, request: &SessionRequest<'_>) -> Result<Session, CallError>;

    /// The session that was opened under our reference; `None` if there is none for sure.
    async fn find_session(&self, reference: &str) -> Result<Option<Session>, CallError>;

    /// Ends a session that is open. What comes back is the session as it is then: it may have been paid a moment before.
    async fn cancel_session(&self, external_id: &str) -> Result<Session, CallError>;

    /// Runs a transaction, or tells what became of the one that this reference ran before.
    async fn run_transaction(&self, request: &TransactionRequest<'_>) -> Result<Answer, CallError>;

    /// The transaction that was run under our reference; `None` if there is none for sure, at this moment.
    async fn find_transaction(&self, reference: &str) -> Result<Option<Answer>, CallError>;

    /// Whether the provider signed this raw body, and not long ago (rule W1). Nothing is parsed before.
    fn verify_webhook(&self, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<(), WebhookError>;

    /// Reads a body that was verified, now or when it was kept.
    fn read_event(&self, body: &[u8]) -> Result<Notice, WebhookError>;
}

/// The providers that are on; the first is the usual one.
pub struct Providers(Vec<Box<dyn PaymentProvider>>);

impl Providers {
    pub fn new(providers: Vec<Box<dyn PaymentProvider>>) -> Self {
        Self(providers)
    }

    pub fn usual(&self) -> Option<&dyn PaymentProvider> {
        self.0.first().map(AsRef::as_ref)
    }

    pub fn named(&self, name: &str) -> Option<&dyn PaymentProvider> {
        self.0.iter().find(|provider| provider.name() == name).map(AsRef::as_ref)
    }
}
