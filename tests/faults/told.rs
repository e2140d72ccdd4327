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
    /// A problem, and no outcome beside it: that promises that nothing was sent (rules K2, K5, P5, P10).
    Refused(String),
    /// A problem or an error that promises nothing; or `ok` where there is nothing more to tell.
    Word(String),
}

/// Problems that leave open what was done under the key, by this request or by another one.
const OPEN: [&str; 3] = ["OUTCOME_UNKNOWN", "OPERATION_IN_PROGRESS", "IDEMPOTENCY_KEY_REUSED"];

impl Answer {
    pub fn of(mutation: &str, answer: Option<&Value>) -> Self {
        let Some(answer) = answer else { return Self::Cut };
        let payload = &answer["data"][mutation];
        let (told, problem) = (&payload["outcome"], payload["problem"]["code"].as_str());
        match (problem, told["status"].as_str()) {
            // Where the outcome is not known, its problem says so.
            (Some(open), _) if OPEN.contains(&open) => Self::Word(open.to_owned()),
            (_, Some(status)) => Self::Outcome(status.to_owned(), cents(&told["amount"])),
            (Some(problem), None) => Self::Refused(problem.to_owned()),
            (None, None) => Self::Word(outcome(answer)),
        }
    }

    pub fn word(&self) -> &str {
        match self {
            Self::Cut => "cut",
            Self::Outcome(word, _) | Self::Refused(word) | Self::Word(word) => word,
        }
    }

    /// Whether the client does not know what became of it, and sends it again.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Cut => true,
            Self::Outcome(..) => false,
            Self::Refused(word) => word == "PAYMENT_LOCKED",
            Self::Word(word) => ["OUTCOME_UNKNOWN", "OPERATION_IN_PROGRESS", "INTERNAL"].contains(&word.as_str()),
        }
    }

    /// The status that the order has for good, where a refusal says so (rule O5).
    pub fn end(&self) -> Option<&'static str> {
        match self.word() {
            "ORDER_ALREADY_PAID" => Some("PAID"),
            "ORDER_CANCELLED" => Some("CANCELLED"),
            _ => None,
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
    /// The id of the order, payment or attempt that was told with it.
    pub made: Option<String>,
}

impl Sent {
    /// Whether it promises that nothing was written under the key: an attempt may stand beside a problem.
    pub fn is_refused(&self) -> bool {
        matches!(self.answer, Answer::Refused(_)) && self.made.is_none()
    }
}

/// All that was sent under one key.
#[derive(Clone, Debug)]
pub struct Entry {
    pub mutation: &'static str,
    pub input: Value,
    pub sent: Vec<Sent>,
}

/// An order, and the status that it came to by what was told.
pub type End = (String, &'static str);

#[derive(Default)]
pub struct Told {
    entries: Mutex<BTreeMap<String, Entry>>,
    words: Mutex<BTreeMap<String, usize>>,
    ends: Mutex<Vec<End>>,
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

    /// It was told that an order came to this, which nothing leaves (rule O5).
    pub fn notes_end(&self, order: &str, status: &'static str) {
        guard(&self.ends).push((order.to_owned(), status));
    }

    pub fn ends(&self) -> Vec<End> {
        guard(&self.ends).clone()
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
