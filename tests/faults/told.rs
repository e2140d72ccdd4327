//! The clients' own book: what was sent under each key, and what was answered.

use std::{collections::BTreeMap, sync::Mutex};

use chrono::{DateTime, Utc};
use orderpay::clock::Clock;
use serde_json::Value;

use crate::{
    stage::guard,
    support::{cents, outcome},
};

/// The machine's time in milliseconds, as all the processes have it.
pub fn now() -> i64 {
    let now: DateTime<Utc> = Clock::System.now();
    now.timestamp_millis()
}

/// What a client was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: the connection broke off, or took too long.
    Cut,
    /// Money moved, did not, or is on its way: the status and cents.
    Outcome(String, i64),
    /// A problem, or an error; or `ok` where there is nothing more to tell.
    Word(String),
}

impl Answer {
    pub fn of(mutation: &str, answer: Option<&Value>) -> Self {
        let Some(answer) = answer else { return Self::Cut };
        let told = &answer["data"][mutation]["outcome"];
        match (outcome(answer).as_str(), told["status"].as_str()) {
            // Where the outcome is not known, its problem says so.
            ("OUTCOME_UNKNOWN", _) | (_, None) => Self::Word(outcome(answer)),
            (_, Some(status)) => Self::Outcome(status.to_owned(), cents(&told["amount"])),
        }
    }

    pub fn word(&self) -> &str {
        match self {
            Self::Cut => "cut",
            Self::Outcome(word, _) | Self::Word(word) => word,
        }
    }

    /// Whether the client does not know what became of it, and sends it again.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Cut => true,
            Self::Outcome(..) => false,
            Self::Word(word) => {
                ["OUTCOME_UNKNOWN", "OPERATION_IN_PROGRESS", "PAYMENT_LOCKED", "INTERNAL"].contains(&word.as_str())
            }
        }
    }

    /// What can't be taken back: that money moved, or that it never will.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Outcome(status, _) if status == "SUCCEEDED" || status == "FAILED")
    }
}

/// One request under a key.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Which server it went to.
    pub at: usize,
    pub begun: i64,
    pub ended: i64,
    pub answer: Answer,
}

/// All that was sent under one key.
#[derive(Clone, Debug)]
pub struct Entry {
    pub mutation: &'static str,
    pub input: Value,
    pub sent: Vec<Sent>,
}

#[derive(Default)]
pub struct Told {
    entries: Mutex<BTreeMap<String, Entry>>,
    words: Mutex<BTreeMap<String, usize>>,
}

impl Told {
    pub fn notes(&self, key: &str, mutation: &'static str, input: &Value, sent: Sent) {
        let mut entries = guard(&self.entries);
        let fresh = || Entry { mutation, input: input.clone(), sent: vec![] };
        entries.entry(key.to_owned()).or_insert_with(fresh).sent.push(sent);
    }

    /// An answer to what has no key.
    pub fn counts(&self, answer: &Answer) {
        *guard(&self.words).entry(answer.word().to_owned()).or_default() += 1;
    }

    pub fn entries(&self) -> BTreeMap<String, Entry> {
        guard(&self.entries).clone()
    }

    pub fn entry(&self, key: &str) -> Option<Entry> {
        guard(&self.entries).get(key).cloned()
    }

    /// How often each answer was given.
    pub fn words(&self) -> BTreeMap<String, usize> {
        guard(&self.words).clone()
    }
}
