//! All that a verb may use: built the same way by the program and by the tests.

use crate::{clock::Clock, config::ReturnOrigins, db::Database, provider::Providers};

/// The database, the time, the providers, and what was configured for them.
pub struct App {
    pub db: Database,
    pub clock: Clock,
    pub providers: Providers,
    pub return_origins: ReturnOrigins,
}
