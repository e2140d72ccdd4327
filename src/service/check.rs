//! Verifies a whole database: what must hold whatever became of the servers that wrote it, and names each fault.
//!
//! It only reads, within one snapshot and in pages, so that neither a running server nor millions of orders are in its way. Every row is read through
//! the same noun as the server reads it; one that can't be read is a fault like any other. Nothing that is sensitive is named (rule P11).
//!
//! | module | what it looks at |
//! |---|---|
//! | `database` | the schema's steps, and the database's own books |
//! | `owner` | the orders of each owner: how many, and their numbers |
//! | `dossier` | reads a page of orders with all that hangs on them, for those below |
//! | `state` | an order's state against its money, its cart and its snapshot |
//! | `money` | currencies, bounds, parents, and each summary against the same one in SQL |
//! | `sums` | that SQL |
//! | `undoing` | management states against what undoes them |
//! | `hold` | what is held for an order or a payment that is closed |
//! | `attempt` | attempts against their transactions, payments and cases |
//! | `lock` | fencing numbers |
//! | `audit` | the trail of each payment, and transactions against it |
//! | `operation` | idempotency keys against what they came to |
//! | `waiting` | what nobody will come back to |
//! | `row` | rows and their names |

mod attempt;
mod audit;
mod database;
mod dossier;
mod hold;
mod lock;
mod money;
mod operation;
mod owner;
mod row;
mod state;
mod sums;
mod undoing;
mod waiting;

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use entity::outbox;
use sea_orm::{DatabaseTransaction, DbErr};

use self::row::Rows;
use crate::db::ReadOnlyDatabase;

/// So many rows are looked at at a time; of orders, each with all that hangs on it.
const PAGE: u64 = 200;

/// Something that must not be, and what it is about: `ord_…: what is wrong, with the figures`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    of: String,
    what: String,
}

impl Finding {
    fn new(of: impl fmt::Display, what: impl fmt::Display) -> Self {
        // What somebody wrote into a row stays on its line.
        let line = |text: String| text.replace(char::is_control, " ");
        Self { of: line(of.to_string()), what: line(what.to_string()) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.of, self.what)
    }
}

/// What was looked at, and how many faults there are. Its words sum it up in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many rows, by what they are called.
    looked_at: BTreeMap<Rows, u64>,
    pub faults: u64,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted: Vec<String> =
            self.looked_at.iter().map(|(rows, count)| format!("{} {rows}", grouped(*count))).collect();
        match counted.is_empty() {
            true => f.write_str("looked at the schema only: ")?,
            false => write!(f, "looked at {}: ", counted.join(", "))?,
        }
        match self.faults {
            0 => f.write_str("nothing is wrong"),
            1 => f.write_str("1 fault"),
            faults => write!(f, "{} faults", grouped(faults)),
        }
    }
}

/// 120,000
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Looks at everything, and tells each fault as it is found. `now` is what makes something late.
pub async fn check(
    db: &ReadOnlyDatabase,
    now: DateTime<Utc>,
    tell: &mut (dyn FnMut(&Finding) + Send),
) -> Result<Verdict, DbErr> {
    let snapshot = db.begin_snapshot().await?;
    let mut check = Check { db: &snapshot, now, tell, verdict: Verdict::default() };
    if check.schema_is_whole().await? {
        check.everything().await?;
    }
    let verdict = check.verdict;
    snapshot.rollback().await?;
    Ok(verdict)
}

/// A check on its way.
struct Check<'a> {
    db: &'a DatabaseTransaction,
    now: DateTime<Utc>,
    tell: &'a mut (dyn FnMut(&Finding) + Send),
    verdict: Verdict,
}

impl Check<'_> {
    async fn everything(&mut self) -> Result<(), DbErr> {
        for rows in Rows::ALL {
            self.verdict.looked_at.insert(rows, 0);
        }
        self.own_books().await?;
        self.owners().await?;
        self.orders().await?;
        self.operations().await?;
        self.events().await?;
        self.pages_of::<outbox::Entity>().await?;
        self.nothing_was_passed_over().await
    }

    /// Every order, with all that hangs on it.
    async fn orders(&mut self) -> Result<(), DbErr> {
        let mut after = None;
        while let Some(page) = self.dossiers(after).await? {
            for dossier in &page.dossiers {
                let mut found = vec![];
                for look in [
                    state::look,
                    money::look,
                    undoing::look,
                    hold::look,
                    attempt::look,
                    lock::look,
                    audit::look,
                    waiting::look,
                ] {
                    look(dossier, self.now, &mut found);
                }
                found.iter().for_each(|finding| self.finds(finding));
            }
            self.summaries(&page).await?;
            after = Some(page.last);
        }
        Ok(())
    }

    fn finds(&mut self, finding: &Finding) {
        self.verdict.faults += 1;
        (self.tell)(finding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_one_line() {
        let looked_at = BTreeMap::from([(Rows::Orders, 1_234_567), (Rows::Payments, 890)]);
        let told = |faults| Verdict { looked_at: looked_at.clone(), faults }.to_string();
        assert_eq!(told(0), "looked at 1,234,567 orders, 890 payments: nothing is wrong");
        assert_eq!(told(1), "looked at 1,234,567 orders, 890 payments: 1 fault");
        assert_eq!(told(1000), "looked at 1,234,567 orders, 890 payments: 1,000 faults");
    }

    #[test]
    fn a_finding_stays_on_its_line() {
        let finding = Finding::new("ord_1", "holds\na line\u{1b}[31m that somebody wrote");
        assert_eq!(finding.to_string(), "ord_1: holds a line [31m that somebody wrote");
    }
}
