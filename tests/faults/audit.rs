//! Compares two of the books: what the database holds, and what money did at the provider.

use std::collections::HashMap;

use crate::{
    books::{Books, Order, Payment, Transaction},
    provider::Movement,
    wrong::{Kind, Wrong},
};

/// All that is wrong.
pub fn audit(books: &Books) -> Vec<Wrong> {
    let mut wrong = vec![];
    movements(books, &mut wrong);
    for payment in &books.payments {
        bounds(books, payment, &mut wrong);
    }
    let mut sums: HashMap<&str, Sums> = HashMap::new();
    let orders: HashMap<&str, &str> =
        books.payments.iter().map(|payment| (payment.id.as_str(), payment.order_id.as_str())).collect();
    for row in &books.transactions {
        sums.entry(orders[row.payment_id.as_str()]).or_default().add(books, row);
    }
    for order in &books.orders {
        money_of(order, sums.entry(&order.id).or_default(), &mut wrong);
    }
    wrong
}

/// What must have moved under a row's reference by what the row says. What the provider let go of by itself it did in the course of a capture.
fn expected(row: &Transaction) -> Vec<Movement> {
    match (row.status.as_str(), row.source.as_deref()) {
        ("SUCCEEDED", source) if source != Some("provider") => {
            vec![Movement { kind: row.kind.to_lowercase(), amount: row.amount }]
        }
        _ => vec![],
    }
}

/// Each row that succeeded moved money exactly once, no other row did, and no money moved without a row.
fn movements(books: &Books, wrong: &mut Vec<Wrong>) {
    let mut left = books.movements.clone();
    for row in &books.transactions {
        let moved = left.remove(&row.reference).unwrap_or_default();
        let expected = expected(row);
        if moved == expected || (row.has_case && !row.is_answered()) {
            continue;
        }
        let kind = match (moved.len(), expected.len()) {
            (2.., _) => Kind::DoubleCharge,
            (1, 1) => Kind::WrongSum,
            _ => Kind::Lost,
        };
        wrong.push(Wrong::new(kind, format!("the provider moved {moved:?} for {row:?}")));
    }
    for attempt in &books.attempts {
        let Some(moved) = left.remove(&attempt.reference) else { continue };
        if !attempt.has_case {
            wrong.push(Wrong::new(Kind::Lost, format!("{moved:?} came for {attempt:?}, and no book has it")));
        }
    }
    for (reference, moved) in left {
        wrong.push(Wrong::new(Kind::DoubleCharge, format!("{moved:?} moved under {reference}, which nobody knows")));
    }
}

/// No more is held or taken for a payment than it is worth, and no more is taken or given back of a transaction than it had.
fn bounds(books: &Books, payment: &Payment, wrong: &mut Vec<Wrong>) {
    let mut sums = Sums::default();
    for row in books.transactions.iter().filter(|row| row.payment_id == payment.id) {
        sums.add(books, row);
    }
    let charged = sums.authorized - sums.reversed + sums.sold;
    let is_wrong = charged > payment.amount
        || sums.captured + sums.reversed > sums.authorized
        || sums.refunded > sums.captured + sums.sold;
    if is_wrong && !payment.has_case {
        wrong.push(Wrong::new(Kind::WrongSum, format!("{sums:?} at the provider for {payment:?}")));
    }
}

/// What money did at the provider.
#[derive(Clone, Debug, Default)]
struct Sums {
    authorized: i64,
    reversed: i64,
    captured: i64,
    sold: i64,
    refunded: i64,
    /// When the last money was taken, in milliseconds.
    taken_at: i64,
}

impl Sums {
    fn add(&mut self, books: &Books, row: &Transaction) {
        for movement in books.movements.get(&row.reference).into_iter().flatten() {
            let sum = match movement.kind.as_str() {
                "authorize" => &mut self.authorized,
                "reverse_authorize" | "release" => &mut self.reversed,
                "capture" => &mut self.captured,
                "authorize_and_capture" => &mut self.sold,
                "refund" => &mut self.refunded,
                _ => continue,
            };
            *sum += movement.amount;
            if ["capture", "authorize_and_capture"].contains(&movement.kind.as_str()) {
                self.taken_at = self.taken_at.max(row.settled_at.unwrap_or_default());
            }
        }
    }

    fn taken(&self) -> i64 {
        self.captured + self.sold
    }
}

/// An order is paid exactly where its money came; more, or money for one that is cancelled, is a person's to decide.
fn money_of(order: &Order, sums: &Sums, wrong: &mut Vec<Wrong>) {
    let (taken, kept) = (sums.taken(), sums.taken() - sums.refunded);
    let is_wrong = match order.status.as_str() {
        "PAID" if taken < order.total => Some((Kind::WrongSum, "it is paid without the money")),
        "PAID" if taken > order.total && !order.has_case => {
            Some((Kind::DoubleCharge, "it is paid twice, and nobody is asked"))
        }
        "AWAITING_PAYMENT" if kept >= order.total && !order.has_case => {
            Some((Kind::Lost, "its money came, and it is not paid"))
        }
        "CANCELLED" if order.cancelled_at < Some(sums.taken_at) && !order.has_case => {
            Some((Kind::Lost, "money came when it was cancelled, and nobody is asked"))
        }
        _ => None,
    };
    if let Some((kind, what)) = is_wrong {
        wrong.push(Wrong::new(kind, format!("{what}: {order:?} {sums:?}")));
    }
}
