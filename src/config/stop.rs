//! How a server ends that is told to: how long it goes on as before, and how long what runs may go on after that.

use std::{ops::RangeInclusive, time::Duration};

use clap::Args;

use super::mistake::Mistakes;

/// Longer, and whoever replaces servers takes this one for one that does not end.
const DELAY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(300);
/// Balancers ask more often than this, or are told by those who end the server.
const DEFAULT_DELAY: Duration = Duration::from_secs(3);
const DRAIN: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);

/// The settings as they were given, not checked yet.
#[derive(Args, Clone)]
#[command(next_help_heading = "Settings")]
pub struct StopSettings {
    /// How long the server goes on as before once it is told to end by SIGTERM, but for /readyz, which says that it is not ready: 0s to 5m. Make it
    /// longer than a balancer takes to hear of that. Ctrl-C ends the server at once, and so does a second SIGTERM [default: 3s, in development 0s]
    #[arg(long, env = "ORDERPAY_STOP_DELAY", global = true, value_name = "TIME")]
    stop_delay: Option<String>,

    /// How long what runs may go on after that: 100ms to 5m. A call to a provider that takes longer is left as unanswered, and a server that runs finds
    /// out what came of it. Whatever starts servers and stops them has to wait 5s longer than both take together
    #[arg(long, env = "ORDERPAY_DRAIN_TIMEOUT", global = true, value_name = "TIME", default_value = "20s")]
    drain_timeout: String,
}

/// How long a server that is told to end may still run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// How long it goes on as before after SIGTERM.
    pub delay: Duration,
    /// How long what runs may go on after that.
    pub drain_timeout: Duration,
}

impl StopSettings {
    pub(super) fn check(&self, mistakes: &mut Mistakes, is_development: bool) -> Stop {
        let delay = match &self.stop_delay {
            Some(delay) => mistakes.duration("ORDERPAY_STOP_DELAY", delay, &DELAY),
            None if is_development => Duration::ZERO,
            None => DEFAULT_DELAY,
        };
        Stop { delay, drain_timeout: mistakes.duration("ORDERPAY_DRAIN_TIMEOUT", &self.drain_timeout, &DRAIN) }
    }
}
