//! Compares what clients were told was made for them, and what their orders came to, with what the database holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    books::{Books, Operation},
    told::{End, Entry},
    wrong::{Kind, Wrong},
};

/// All that is wrong; `ends` are orders, and what they came to by what was told of those that have no key.
pub fn compare(books: &Books, told: &BTreeMap<String, Entry>, ends: &[End]) -> Vec<Wrong> {
    let mut wrong = vec![];
    told_of(books, told, &mut wrong);
    made_once(books, &mut wrong);
    let statuses: HashMap<String, &str> =
        books.orders.iter().map(|order| (format!("ord_{}", order.id), order.status.as_str())).collect();
    let all: BTreeSet<End> = ends.iter().cloned().chain(ends_of(books, told)).collect();
    for (order, told) in all {
        let status = statuses.get(&order);
        if status != Some(&told) {
            wrong.push(contradiction(format!("{order} was told to be {told}, and is {status:?}")));
        }
    }
    wrong
}

/// What orders came to, by the refusals of what was asked for them or for a payment of theirs.
fn ends_of(books: &Books, told: &BTreeMap<String, Entry>) -> Vec<End> {
    let payments: HashMap<String, String> =
        books.payments.iter().map(|one| (format!("pay_{}", one.id), format!("ord_{}", one.order_id))).collect();
    let mut ends = vec![];
    for Entry { input, sent, .. } in told.values() {
        let order =
            input["orderId"].as_str().or_else(|| payments.get(input["paymentId"].as_str()?).map(String::as_str));
        let Some(order) = order else { continue };
        ends.extend(sent.iter().filter_map(|sent| Some((order.to_owned(), sent.answer.end()?))));
    }
    ends
}

fn contradiction(what: String) -> Wrong {
    Wrong::new(Kind::Contradiction, what)
}

/// What was told under a key is there, and is the one thing that the key stands for; whoever sent the key is known.
fn told_of(books: &Books, told: &BTreeMap<String, Entry>, wrong: &mut Vec<Wrong>) {
    let held = ids(books);
    let mut operations: HashMap<&str, &Operation> = HashMap::new();
    for one in &books.operations {
        if told.get(&one.key).is_none_or(|entry| entry.mutation != one.mutation) {
            wrong.push(contradiction(format!("nobody sent {one:?}")));
        }
        if let Some(other) = operations.insert(&one.key, one) {
            wrong.push(contradiction(format!("one key stands for {one:?} and for {other:?}")));
        }
    }
    for (key, entry) in told {
        let made = operations.get(key.as_str()).and_then(|one| one.made.as_deref());
        let told: BTreeSet<&str> = entry.sent.iter().filter_map(|sent| sent.made.as_deref()).collect();
        for id in told {
            if made != Some(id) || !held.contains(id) {
                let what = format!("{key}, {}, was told of {id}, and the books have {made:?}", entry.mutation);
                wrong.push(contradiction(what));
            }
        }
    }
}

/// Everything that there is, as clients are told of it.
fn ids(books: &Books) -> BTreeSet<String> {
    let orders = books.orders.iter().map(|order| format!("ord_{}", order.id));
    let payments = books.payments.iter().map(|payment| format!("pay_{}", payment.id));
    orders.chain(payments).chain(books.attempts.iter().map(|attempt| attempt.reference.clone())).collect()
}

/// Each order and each payment was made under one key, or for one attempt; each attempt under one key or more, because an open one is given back.
fn made_once(books: &Books, wrong: &mut Vec<Wrong>) {
    let mut makers: HashMap<String, usize> = HashMap::new();
    let made = books.operations.iter().filter_map(|one| one.made.clone());
    for id in made.chain(books.attempts.iter().map(|attempt| format!("pay_{}", attempt.payment_id))) {
        *makers.entry(id).or_default() += 1;
    }
    for id in ids(books) {
        match makers.get(&id) {
            Some(1) => {}
            Some(_) if id.starts_with("att_") => {}
            made => wrong.push(contradiction(format!("{id} is there, and was made {} times", made.unwrap_or(&0)))),
        }
    }
}
