//! Where a test makes a server die, and how it makes one wrong: compiled in for tests only, by the feature `faults`. Without it nothing here does
//! anything.
//!
//! Each commit of the server and each of its calls to a provider is a crash point before and one after it. A process that is started with
//! `ORDERPAY_CRASH_AT` aborts at the point of that name, and one with `ORDERPAY_CRASH_LOG` writes the names of those it passes into that file, a line
//! each. `ORDERPAY_BREAK` makes a server that does without one of the things that keep money safe, so that a test can show that it would notice.

use std::fmt::Display;

/// What a server can be made to do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Nobody is kept from a payment or an order that somebody else works on, and no bound is looked at when a transaction is written.
    NoLock,
    /// A call that is repeated goes out under a new reference.
    FreshKey,
}

#[cfg(not(feature = "faults"))]
pub fn crash_point(_: impl Display) {}

#[cfg(not(feature = "faults"))]
pub fn is_broken(_: Broken) -> bool {
    false
}

#[cfg(feature = "faults")]
pub use armed::{crash_point, is_broken};

#[cfg(feature = "faults")]
mod armed {
    use std::{fs::OpenOptions, io::Write, process, sync::OnceLock};

    use super::{Broken, Display};

    struct Settings {
        crash_at: Option<String>,
        log: Option<String>,
        broken: Option<Broken>,
    }

    fn settings() -> &'static Settings {
        static SETTINGS: OnceLock<Settings> = OnceLock::new();
        SETTINGS.get_or_init(|| Settings {
            crash_at: environment("ORDERPAY_CRASH_AT"),
            log: environment("ORDERPAY_CRASH_LOG"),
            broken: environment("ORDERPAY_BREAK").and_then(|name| match name.as_str() {
                "no-lock" => Some(Broken::NoLock),
                "fresh-key" => Some(Broken::FreshKey),
                _ => None,
            }),
        })
    }

    #[expect(clippy::disallowed_methods, reason = "no settings of the program's: a test's")]
    fn environment(name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    /// Dies here if this is the point.
    pub fn crash_point(name: impl Display) {
        let Settings { crash_at, log, .. } = settings();
        if crash_at.is_none() && log.is_none() {
            return;
        }
        let name = name.to_string();
        if let Some(log) = log {
            let opened = OpenOptions::new().create(true).append(true).open(log);
            let written = opened.and_then(|mut file| writeln!(file, "{name}"));
            if let Err(error) = written {
                tracing::error!(%error, "a crash point could not be noted");
            }
        }
        if crash_at.as_ref() == Some(&name) {
            process::abort();
        }
    }

    /// Whether the server does without this.
    pub fn is_broken(broken: Broken) -> bool {
        settings().broken == Some(broken)
    }
}
