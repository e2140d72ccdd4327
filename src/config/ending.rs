//! The settings of how a server ends.

use std::{ops::RangeInclusive, time::Duration};

use clap::Args;

use super::Mistakes;

/// Longer, and whoever replaces servers takes this one for one that does not end.
const DELAY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(300);
/// Balancers ask more often than this, or are told by those who end the server.
const DEFAULT_DELAY: Duration = Duration::from_secs(5);

/// The settings as they were given, not checked yet.
#[derive(Args, Clone)]
#[command(next_help_heading = "Settings")]
pub struct EndingSettings {
    /// How long the server goes on as before once it is told to end by SIGTERM, but for /readyz, which says that it is not ready: 0s to 5m. Make it
    /// longer than a balancer takes to hear of that. Ctrl-C ends the server at once, and so does a second SIGTERM [default: 5s, in development 0s]
    #[arg(long, env = "ORDERPAY_STOP_DELAY", global = true, value_name = "TIME")]
    stop_delay: Option<String>,
}

impl EndingSettings {
    /// How long a server goes on after SIGTERM.
    pub(super) fn check(&self, mistakes: &mut Mistakes, is_development: bool) -> Duration {
        match &self.stop_delay {
            Some(delay) => mistakes.duration("ORDERPAY_STOP_DELAY", delay, &DELAY),
            None if is_development => Duration::ZERO,
            None => DEFAULT_DELAY,
        }
    }
}
