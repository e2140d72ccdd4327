//! A payment's books, read in two ways that know nothing of the server's own arithmetic: from the ledger that it shows, and from the provider's.

use serde_json::{Map, Value, json};

use super::{eventually, pay::Payment, shop::Shop};

/// An amount of euros in cents.
pub fn cents(amount: &Value) -> i64 {
    let text = amount["amount"].as_str().unwrap_or_else(|| panic!("{amount}"));
    let (whole, part) = text.split_once('.').expect("two places");
    assert_eq!(part.len(), 2, "{text}");
    format!("{whole}{part}").parse().expect("an amount")
}

pub fn of_cents(cents: i64) -> String {
    format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100)
}

/// The states in which a transaction counts nowhere (rule S1).
const UNDONE: [&str; 5] =
    ["REQUIRES_REVERSAL", "REVERSAL_IN_PROGRESS", "REVERSED", "FAILED_REVERSAL", "REVERSAL_TRANSACTION"];

pub fn is_unanswered(row: &Value) -> bool {
    ["SENT", "PENDING", "UNKNOWN"].contains(&row["status"].as_str().expect("a status"))
}

fn counts(row: &Value) -> bool {
    let undone = row["managementState"].as_str().is_some_and(|state| UNDONE.contains(&state));
    row["status"] == "SUCCEEDED" && !undone
}

fn sum<'a>(rows: impl Iterator<Item = &'a Value>) -> i64 {
    rows.map(|row| cents(&row["amount"])).sum()
}

/// The summary of a payment of so many cents, written down from rules S1 to S3.
pub fn summary_of(payment: i64, rows: &[Value]) -> Value {
    let known = |kind: &str| sum(rows.iter().filter(|row| counts(row) && row["kind"] == kind));
    let waiting = |kind: &str| sum(rows.iter().filter(|row| is_unanswered(row) && row["kind"] == kind));
    let (a, r, c) = (known("AUTHORIZE"), known("REVERSE_AUTHORIZE"), known("CAPTURE"));
    let (s, f, d) = (known("AUTHORIZE_AND_CAPTURE"), known("REFUND"), known("DETACHED_CREDIT"));
    let to_charge = payment - (a - r) - s - waiting("AUTHORIZE") - waiting("AUTHORIZE_AND_CAPTURE");
    let to_capture = a - r - c - waiting("CAPTURE") - waiting("REVERSE_AUTHORIZE");
    let sums = [
        ("amountAuthorized", a - r),
        ("amountCaptured", c + s - f),
        ("amountRefunded", f),
        ("amountCredited", d),
        ("amountAvailableForAuthorize", to_charge.max(0)),
        ("amountAvailableForAuthorizeAndCapture", to_charge.max(0)),
        ("amountAvailableForCapture", to_capture.max(0)),
        ("amountAvailableForReverseAuthorization", to_capture.max(0)),
        ("amountAvailableForRefund", (c + s - f - waiting("REFUND")).max(0)),
        ("totalEverCaptured", c + s),
        ("amountPending", sum(rows.iter().filter(|row| is_unanswered(row)))),
        ("amountStuckInReversal", sum(rows.iter().filter(|row| row["managementState"] == "FAILED_REVERSAL"))),
    ];
    let mut summary: Map<String, Value> =
        sums.into_iter().map(|(name, sum)| (name.to_owned(), json!({ "amount": of_cents(sum) }))).collect();
    let captured = c + s - f;
    let facts = [
        ("fullyAuthorized", a - r == payment),
        ("fullyCaptured", captured == payment),
        ("partiallyCaptured", 0 < captured && captured < payment),
        ("fullyRefunded", c + s > 0 && f == c + s),
    ];
    summary.extend(facts.into_iter().map(|(name, fact)| (name.to_owned(), json!(fact))));
    Value::Object(summary)
}

fn weighs(row: &Value) -> bool {
    counts(row) || is_unanswered(row)
}

/// What is held or taken by a ledger, or may be: known and unanswered charges, less what is given back unused. What is to be undone, or what the server
/// itself is about to give back, because its payment has another amount now, is not wanted any more.
pub fn charged(rows: &[Value]) -> i64 {
    let of = |kind: &str| {
        let wanted = rows.iter().filter(|row| weighs(row) && row["managementState"] != "REQUIRES_REVERSAL");
        sum(wanted.filter(|row| row["kind"] == kind))
    };
    let gone = |row: &&Value| {
        counts(row) || (is_unanswered(row) && row["managementState"].is_null() && row["source"] == "server")
    };
    let reversed = sum(rows.iter().filter(gone).filter(|row| row["kind"] == "REVERSE_AUTHORIZE"));
    of("AUTHORIZE") - reversed + of("AUTHORIZE_AND_CAPTURE")
}

/// What the bounds of rule P4 say of a ledger, in words where one is passed.
pub fn broken_bounds(payment: i64, rows: &[Value]) -> Vec<String> {
    let mut broken = vec![];
    for parent in rows {
        let children = sum(rows.iter().filter(|row| weighs(row) && row["parent"]["id"] == parent["id"]));
        if children > cents(&parent["amount"]) {
            broken.push(format!("{children} of {parent}"));
        }
    }
    if charged(rows) > payment {
        broken.push(format!("{} of a payment of {payment}", charged(rows)));
    }
    broken
}

/// What the provider must have moved by what a ledger says, sorted: our reference, the kind, and cents. What the provider let go of by itself it did
/// in the course of a capture.
fn movements_of(rows: &[Value]) -> Vec<(String, String, i64)> {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_else(|| panic!("{row}")).to_owned();
    let moved = |row: &Value| match row["source"] == "provider" {
        true => (text(row, "sourceEntityId"), "release".to_owned(), cents(&row["amount"])),
        false => (text(row, "reference"), text(row, "kind").to_lowercase(), cents(&row["amount"])),
    };
    let mut all: Vec<_> = rows.iter().filter(|row| row["status"] == "SUCCEEDED").map(moved).collect();
    all.sort();
    all
}

impl Shop {
    /// The summary that the API tells of a payment is what its ledger adds up to, and no bound is passed (rules S1 to S5, P4).
    pub async fn summary_agrees(&self, payment: &Payment) {
        let (seen, rows) = self.seen_at_once(payment).await;
        let amount = cents(&seen["amount"]);
        assert_eq!(seen["summary"], summary_of(amount, &rows), "{rows:#?}");
        assert_eq!(broken_bounds(amount, &rows), Vec::<String>::new(), "{rows:#?}");
    }

    /// A payment and its ledger as they are at one moment: what the provider tells meanwhile makes another version of it.
    async fn seen_at_once(&self, payment: &Payment) -> (Value, Vec<Value>) {
        let office = self.back_office();
        let mut seen = office.sees_payment(payment).await;
        loop {
            let rows = office.sees_transactions(payment).await;
            let after = office.sees_payment(payment).await;
            if after["version"] == seen["version"] {
                return (seen, rows);
            }
            seen = after;
        }
    }

    /// These payments' ledgers agree with their summaries and, movement by movement, with what money did at the provider, where nothing else moved.
    pub async fn books_agree(&self, payments: &[&Payment]) {
        let mut rows = vec![];
        for payment in payments {
            self.summary_agrees(payment).await;
            rows.extend(self.back_office().sees_transactions(payment).await);
        }
        assert!(!rows.iter().any(is_unanswered), "{rows:#?}");
        let mut moved = self.movements().await;
        moved.sort();
        assert_eq!(moved, movements_of(&rows));
    }

    /// Waits until the provider has told the end of everything on a payment.
    pub async fn comes_to_rest(&self, payment: &Payment) {
        eventually("nothing is pending", async || {
            let seen = self.back_office().sees_payment(payment).await;
            (seen["summary"]["amountPending"]["amount"] == "0.00").then_some(())
        })
        .await;
    }

    /// The kinds and cents of all that moved at the provider, oldest first: `authorize 2990`.
    pub async fn moved(&self) -> Vec<String> {
        self.movements().await.into_iter().map(|(_, kind, amount)| format!("{kind} {amount}")).collect()
    }

    /// The reasons of the cases that wait for a person, oldest first.
    pub async fn cases(&self) -> Vec<String> {
        let sql = "SELECT reason FROM reconciliation_case WHERE state = 'OPEN' ORDER BY created_at, id";
        self.database().await.texts(sql, "reason").await
    }

    /// Tries something, and expects that no row came or went, that these payments are as they were, and that no money moved.
    pub async fn leaving_all_as_it_was<T>(&self, payments: &[&Payment], act: impl AsyncFnOnce() -> T) -> T {
        let before = self.state_of(payments).await;
        let done = act().await;
        assert_eq!(self.state_of(payments).await, before);
        done
    }

    async fn state_of(&self, payments: &[&Payment]) -> Value {
        let mut state = vec![json!(self.rows().await), json!(self.movements().await)];
        for payment in payments {
            state.push(self.back_office().sees_payment(payment).await);
            state.push(self.back_office().sees_transactions(payment).await.into());
            state.push(self.user("ada").looks_at(&payment.order).await);
        }
        state.into()
    }
}
