//! All that a verb may use: built the same way by the program and by the tests.

use std::time::Duration;

use chrono::TimeDelta;
use entity::schedule::Schedule;

use crate::{
    auth::AnonymousTokens, clock::Clock, config::ReturnOrigins, db::Database, provider::Providers,
    service::change::Changes,
};

/// The database, the time, the providers, and what was configured for them.
pub struct App {
    pub db: Database,
    pub clock: Clock,
    pub providers: Providers,
    /// Who watches what changes.
    pub changes: Changes,
    pub return_origins: ReturnOrigins,
    /// What makes anonymous users' tokens; `None`: this server makes none.
    pub anonymous_tokens: Option<AnonymousTokens>,
    /// How long a provider may take to answer one call.
    pub provider_timeout: Duration,
    /// When a provider is asked again about what it has not answered (rule R1).
    pub checks: Schedule,
    /// How long a mutation that takes a payment's lock itself takes it for (rule K3).
    pub payment_lock_ttl: Duration,
}

impl App {
    /// How long whoever asks a provider for something may still be waiting for the answer: the look-up and the call, and time to write it
    /// down.
    pub fn patience(&self) -> TimeDelta {
        let calls = TimeDelta::from_std(self.provider_timeout * 2).unwrap_or(TimeDelta::minutes(2));
        calls + TimeDelta::seconds(10)
    }
}
