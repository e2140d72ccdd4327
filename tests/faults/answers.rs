//! Compares what clients were told under their keys with what the database holds under them, whenever it was told.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    books::{Books, Transaction},
    support::cents,
    told::{Answer, Entry},
    wrong::{Kind, Wrong},
};

/// All that is wrong.
pub fn compare(books: &Books, told: &BTreeMap<String, Entry>) -> Vec<Wrong> {
    let mut wrong = vec![];
    let used: HashSet<&str> = books.operations.iter().map(|one| one.key.as_str()).collect();
    let mut rows: HashMap<&str, Vec<&Transaction>> = HashMap::new();
    for row in &books.transactions {
        if let Some(key) = &row.for_key {
            rows.entry(key).or_default().push(row);
        }
    }
    for (key, entry) in told {
        let rows = rows.remove(key.as_str()).unwrap_or_default();
        outcomes(key, entry, &rows, &mut wrong);
        refusals(key, entry, &rows, used.contains(key.as_str()), &mut wrong);
    }
    for (key, rows) in rows {
        wrong.push(Wrong::new(Kind::Contradiction, format!("nobody sent {key}, and there is {rows:?}")));
    }
    wrong
}

/// What was told of money is so, and was told no other way; no more moved than was asked for.
fn outcomes(key: &str, entry: &Entry, rows: &[&Transaction], wrong: &mut Vec<Wrong>) {
    let sum = |status: &str| -> i64 { rows.iter().filter(|row| row.status == status).map(|row| row.amount).sum() };
    let asked = entry.input["amount"]["amount"].as_str().map(|_| cents(&entry.input["amount"]));
    if asked.is_some_and(|asked| sum("SUCCEEDED") > asked) {
        wrong.push(Wrong::new(Kind::DoubleCharge, format!("{key} asked for {asked:?}, and got {rows:?}")));
    }
    let mut finals: Vec<&Answer> = entry.sent.iter().map(|sent| &sent.answer).filter(|told| told.is_final()).collect();
    finals.dedup();
    if let [first, second, ..] = finals.as_slice() {
        wrong.push(Wrong::new(Kind::Contradiction, format!("{key} was told {first:?}, and later {second:?}")));
    }
    for told in finals {
        let Answer::Outcome(status, amount) = told else { continue };
        if sum(status) != *amount {
            wrong.push(Wrong::new(Kind::Contradiction, format!("{key} was told {told:?}, and there is {rows:?}")));
        }
    }
}

/// A key that was only ever refused is not used up, and nothing was sent under it (rule I2); one that has an outcome is not refused any more.
fn refusals(key: &str, entry: &Entry, rows: &[&Transaction], is_used: bool, wrong: &mut Vec<Wrong>) {
    let is_refused = entry.sent.iter().all(|sent| sent.is_refused());
    if is_refused && (is_used || !rows.is_empty()) {
        let told: Vec<&str> = entry.sent.iter().map(|sent| sent.answer.word()).collect();
        let what =
            format!("{key}, {}, was only refused, by {told:?}, and is used up; there is {rows:?}", entry.mutation);
        wrong.push(Wrong::new(Kind::Contradiction, what));
    }
    let has_outcome = |told: &Answer| matches!(told, Answer::Outcome(..));
    let known = entry.sent.iter().filter(|sent| has_outcome(&sent.answer)).map(|sent| sent.ended).min();
    for sent in entry.sent.iter().filter(|sent| sent.is_refused()) {
        if known.is_some_and(|known| known < sent.begun) {
            let what = format!("{key} was told an outcome, and later {:?}: {:?}", sent.answer, entry.sent);
            wrong.push(Wrong::new(Kind::Contradiction, what));
        }
    }
}

/// What was sent again under a key that has ended was told how it ended (rule I2). Whether that is so is compared with the rest.
pub fn replays(asked: &[String], told: &BTreeMap<String, Entry>) -> Vec<Wrong> {
    let last = |key: &String| told.get(key).and_then(|entry| entry.sent.last().map(|sent| (entry, sent)));
    let mut wrong = vec![];
    for (key, (entry, sent)) in asked.iter().filter_map(|key| Some((key, last(key)?))) {
        if !sent.answer.is_final() && sent.made.is_none() {
            let what =
                format!("{key}, {}, has ended, and was told {:?} when all was well", entry.mutation, sent.answer);
            wrong.push(Wrong::new(Kind::Contradiction, what));
        }
    }
    wrong
}
