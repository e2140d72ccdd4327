//! Where a test makes a server die, and how it makes one wrong: compiled in for tests only, by the feature `faults`. Without it nothing here does
//! anything.
//!
//! Each commit of the server and each of its calls to a provider is a crash point before and one after it. A process that is started with
//! `ORDERPAY_CRASH_AT` aborts at the point of that name: the first time that it passes it, or with `#3` after the name the third. With
//! `ORDERPAY_PANIC_AT` what passes it panics, once, and the process lives. One with `ORDERPAY_CRASH_LOG` writes the names of those it passes into
//! that file, a line each. `ORDERPAY_BREAK` makes a server that does without one of the
//! things that keep money safe, so that a test can show that it would notice.

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
pub fn panic_point(_: &str) {}

#[cfg(not(feature = "faults"))]
pub fn is_broken(_: Broken) -> bool {
    false
}

#[cfg(feature = "faults")]
pub use armed::{crash_point, is_broken, panic_point};

#[cfg(feature = "faults")]
mod armed {
    use std::{
        fs::OpenOptions,
        io::Write,
        process,
        sync::{
            OnceLock,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use super::{Broken, Display};

    /// What nobody outside may read.
    const WORDS: &str = "SELECT * FROM orders, at src/faults.rs: a test's own panic";

    struct Settings {
        crash_at: Option<Moment>,
        panic_at: Option<Moment>,
        log: Option<String>,
        broken: Option<Broken>,
    }

    /// One passing of a point.
    struct Moment {
        name: String,
        /// How often it is passed unharmed.
        left: AtomicUsize,
    }

    impl Moment {
        /// `name`, or `name#3` for the third time.
        fn of(text: &str) -> Self {
            let counted = text.rsplit_once('#').and_then(|(name, time)| Some((name, time.parse::<usize>().ok()?)));
            let (name, time) = counted.unwrap_or((text, 1));
            Self { name: name.to_owned(), left: AtomicUsize::new(time.saturating_sub(1)) }
        }

        fn is_now(&self, name: &str) -> bool {
            let one_less = |left: usize| left.checked_sub(1);
            self.name == name && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err()
        }

        /// The same, and never again.
        fn is_now_once(&self, name: &str) -> bool {
            self.name == name && self.left.fetch_sub(1, Ordering::Relaxed) == 0
        }
    }

    fn settings() -> &'static Settings {
        static SETTINGS: OnceLock<Settings> = OnceLock::new();
        SETTINGS.get_or_init(|| Settings {
            crash_at: environment("ORDERPAY_CRASH_AT").as_deref().map(Moment::of),
            panic_at: environment("ORDERPAY_PANIC_AT").as_deref().map(Moment::of),
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

    /// Dies or panics here if this is the point.
    #[expect(clippy::panic, reason = "so that a test can see one caught")]
    pub fn crash_point(name: impl Display) {
        let Settings { crash_at, panic_at, log, .. } = settings();
        if crash_at.is_none() && panic_at.is_none() && log.is_none() {
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
        if crash_at.as_ref().is_some_and(|moment| moment.is_now(&name)) {
            process::abort();
        }
        if panic_at.as_ref().is_some_and(|moment| moment.is_now_once(&name)) {
            panic!("{WORDS}");
        }
    }

    /// Panics here if this is the point. Nothing is written here, so that nobody dies of it and nobody notes it.
    #[expect(clippy::panic, reason = "so that a test can see one caught")]
    pub fn panic_point(name: &str) {
        if settings().panic_at.as_ref().is_some_and(|moment| moment.is_now_once(name)) {
            panic!("{WORDS}");
        }
    }

    /// Whether the server does without this.
    pub fn is_broken(broken: Broken) -> bool {
        settings().broken == Some(broken)
    }
}
