//! Fencing numbers: nothing was written under one that its payment's lock never gave (rule K5).

use chrono::{DateTime, Utc};

use super::{Finding, dossier::Dossier};

pub(super) fn look(dossier: &Dossier, _: DateTime<Utc>, found: &mut Vec<Finding>) {
    for books in &dossier.payments {
        let Some(lock) = &books.lock else {
            found.push(Finding::new(books.payment.id, "has no row for its lock"));
            continue;
        };
        for row in &books.transactions {
            if let Some(number) = row.fencing_number.filter(|number| *number > lock.fencing_number) {
                let what = format!(
                    "was written under the fencing number {number}, and the lock of {} has come to {} only",
                    books.payment.id, lock.fencing_number
                );
                found.push(Finding::new(row.id, what));
            }
        }
    }
}
