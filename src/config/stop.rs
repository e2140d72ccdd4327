//! How long a server that is told to stop may still run.

use std::{ops::RangeInclusive, time::Duration};

use clap::Args;

use super::mistake::Mistakes;

const DRAIN: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);

/// The settings as they were given, not checked yet.
#[derive(Args, Clone)]
#[command(next_help_heading = "Settings")]
pub struct StopSettings {
    /// How long what runs may go on once the server is told to stop: 100ms to 5m. A call to a provider that takes longer is left as unanswered, and
    /// a server that runs finds out what came of it. Whatever starts servers and stops them has to wait 5s longer than this
    #[arg(long, env = "ORDERPAY_DRAIN_TIMEOUT", global = true, value_name = "TIME", default_value = "20s")]
    drain_timeout: String,
}

impl StopSettings {
    pub(super) fn check(&self, mistakes: &mut Mistakes) -> Duration {
        mistakes.duration("ORDERPAY_DRAIN_TIMEOUT", &self.drain_timeout, &DRAIN)
    }
}
