//! What the program is asked for on its command line.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};

use crate::support::dice::seed;

/// As `cargo test` names it, and as a filter finds it.
const NAME: &str = "faults";

/// Kills servers, database and provider under load, heals them, and compares the books.
#[derive(Parser, Clone, Debug)]
#[command(name = NAME)]
pub struct Options {
    /// Draws the same weather and the same wishes again [default: a new one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// How long the storm lasts
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    minutes: Option<u64>,

    /// How long the storm lasts
    #[arg(long, value_name = "N", default_value_t = 40)]
    seconds: u64,

    /// Servers that are deliberately broken: the books have to be found wrong
    #[arg(long = "break", value_name = "HOW")]
    pub broken: Option<Broken>,

    /// Keeps the logs of all processes here
    #[arg(long, value_name = "DIRECTORY")]
    pub logs: Option<PathBuf>,

    /// As `cargo test` takes it: runs nothing where none of these words is in "faults"
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,

    /// What `cargo test` hands to every test program, and is of no meaning here.
    #[command(flatten)]
    _harness: Harness,
}

#[derive(clap::Args, Clone, Debug)]
struct Harness {
    #[arg(long, hide = true)]
    list: bool,
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    no_capture: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, short, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    skip: Vec<String>,
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
    #[arg(long, hide = true)]
    color: Option<String>,
    #[arg(long, hide = true)]
    format: Option<String>,
}

/// What the servers do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Broken {
    /// Locks and bounds are not looked at
    NoLock,
    /// A call that is repeated goes out under a new reference
    FreshKey,
}

impl Broken {
    /// As a server's environment has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoLock => "no-lock",
            Self::FreshKey => "fresh-key",
        }
    }
}

impl Options {
    /// `None` where nothing is to be run.
    pub fn read() -> Option<Self> {
        let mut options = Self::parse();
        if options._harness.list {
            println!("{NAME}: test");
            return None;
        }
        let is_named = |words: &[String]| words.iter().any(|word| NAME.contains(word.as_str()));
        let is_meant = options.filters.is_empty() || is_named(&options.filters);
        if !is_meant || options._harness.ignored || is_named(&options._harness.skip) {
            return None;
        }
        options.seed.get_or_insert_with(seed);
        Some(options)
    }

    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or_default()
    }

    pub fn lasts(&self) -> Duration {
        Duration::from_secs(self.minutes.map_or(self.seconds, |minutes| minutes * 60))
    }

    /// What to type to have the same again.
    pub fn command(&self) -> String {
        let broken = self.broken.map_or(String::new(), |broken| format!(" --break {}", broken.name()));
        format!("cargo test --test faults -- --seed {} --seconds {}{broken}", self.seed(), self.lasts().as_secs())
    }
}
