//! What the program says in the end: a table of what was done, and what was found.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use crate::{
    books::{Books, Transaction},
    clients::LIVE,
    stage::{SERVERS, Stage, guard},
    told::{Answer, Entry, Sent},
    wrong::Wrong,
};

/// So many faults are told in full.
const MOST: usize = 20;

/// How often a call that the provider had carried out, and whose answer nobody had written down, came to its end later all the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recoveries {
    /// The server that waited for the answer was killed.
    pub killed: usize,
    /// The server lived, and could not know or write down what the answer was.
    pub unknown: usize,
    /// Of both: the call was repeated, under the same reference.
    pub repeated: usize,
}

impl Recoveries {
    pub fn count(books: &Books, told: &BTreeMap<String, Entry>, stage: &Stage) -> Self {
        let deaths: [Vec<i64>; SERVERS] = stage.servers.each_ref().map(|place| guard(&place.deaths).clone());
        let mut all = Self::default();
        for row in books.transactions.iter().filter(|row| row.is_answered()) {
            let entry = row.for_key.as_ref().and_then(|key| told.get(key));
            let (Some(entry), Some(known), Some(answered)) = (entry, books.known.get(&row.reference), row.answered_at)
            else {
                continue;
            };
            // A moment at which the provider had it, and nobody had written any answer down: that it is on its way is one.
            let is_window = |at: i64| *known < at && at < answered;
            let by_death = |sent: &Sent| {
                let died = |at: &&i64| sent.begun < **at && **at < sent.ended + 50;
                sent.answer == Answer::Cut && deaths[sent.at].iter().filter(died).any(|at| is_window(*at))
            };
            let is_unknown = |sent: &Sent| {
                let word = sent.answer.word();
                ["OUTCOME_UNKNOWN", "INTERNAL"].contains(&word) && is_window(sent.ended)
            };
            match (entry.sent.iter().any(by_death), entry.sent.iter().any(is_unknown)) {
                (true, _) => all.killed += 1,
                (false, true) => all.unknown += 1,
                (false, false) => continue,
            }
            all.repeated += usize::from(row.sends > 1);
        }
        all
    }

    pub fn all(&self) -> usize {
        self.killed + self.unknown
    }
}

/// All that is told.
pub struct Report<'a> {
    pub seed: u64,
    pub command: &'a str,
    pub raged: Duration,
    pub weather: &'a BTreeMap<String, usize>,
    pub words: &'a BTreeMap<String, usize>,
    pub books: &'a Books,
    pub recoveries: Recoveries,
    pub settled: Duration,
    pub asked_again: usize,
    pub wrong: &'a [Wrong],
}

impl Report<'_> {
    /// How often something was killed.
    pub fn kills(&self) -> usize {
        self.weather.iter().filter(|(what, _)| what.starts_with("kill")).map(|(_, count)| count).sum()
    }

    pub fn print(&self) {
        let line = |what: &str, value: &str| println!("  {what:<48}{value}");
        println!("\nfaults");
        line("seed", &self.seed.to_string());
        line("the storm lasted", &format!("{:.1} s", self.raged.as_secs_f64()));
        for (what, count) in self.weather {
            line(what, &count.to_string());
        }
        line("orders that were worked on at any time", &LIVE.to_string());
        line("kills in all", &self.kills().to_string());
        line("requests", &self.words.values().sum::<usize>().to_string());
        for (word, count) in self.words {
            line(&format!("  answered {word}"), &count.to_string());
        }
        let statuses = |of: &mut dyn Iterator<Item = &str>| {
            let mut counts: HashMap<&str, usize> = HashMap::new();
            of.for_each(|status| *counts.entry(status).or_default() += 1);
            let mut counts: Vec<String> =
                counts.into_iter().map(|(status, count)| format!("{count} {status}")).collect();
            counts.sort();
            counts.join(", ")
        };
        line("orders", &statuses(&mut self.books.orders.iter().map(|order| order.status.as_str())));
        line("attempts", &statuses(&mut self.books.attempts.iter().map(|attempt| attempt.status.as_str())));
        line("transactions", &statuses(&mut self.books.transactions.iter().map(|row| row.status.as_str())));
        line("movements of money", &self.books.movements.values().map(Vec::len).sum::<usize>().to_string());
        line("transactions that were sent more than once", &self.repeated().to_string());
        let Recoveries { killed, unknown, repeated } = self.recoveries;
        line("recoveries inside a window", &self.recoveries.all().to_string());
        line("  the server was killed", &killed.to_string());
        line("  the answer was lost, or not written down", &unknown.to_string());
        line("  of both, repeated under the same reference", &repeated.to_string());
        line("all was settled after", &format!("{:.1} s", self.settled.as_secs_f64()));
        line("keys that were asked again", &self.asked_again.to_string());
        line("found wrong", &self.wrong.len().to_string());
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        self.wrong.iter().for_each(|wrong| *kinds.entry(format!("{:?}", wrong.kind)).or_default() += 1);
        kinds.iter().for_each(|(kind, count)| line(&format!("  {kind}"), &count.to_string()));
        for wrong in self.wrong.iter().take(MOST) {
            println!("  {wrong}");
        }
        println!("  again: {}", self.command);
    }

    fn repeated(&self) -> usize {
        self.books.transactions.iter().filter(|row: &&Transaction| row.sends > 1).count()
    }
}
