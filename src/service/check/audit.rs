//! The audit trail of each payment: whole, as it was written, and what its transactions are by it (test G23).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::{
    audit::{Standing, verify},
    id::TransactionId,
};

use super::{
    Finding,
    dossier::{Books, Dossier},
};

pub(super) fn look(dossier: &Dossier, _: DateTime<Utc>, found: &mut Vec<Finding>) {
    for books in &dossier.payments {
        found.extend(verify(&books.trail).into_iter().map(|flaw| Finding::new(books.payment.id, flaw)));
        against_transactions(books, found);
    }
}

/// Each transaction stands as the last entry about it says: what was changed past the trail shows here, and an end of the trail that was cut off.
fn against_transactions(books: &Books, found: &mut Vec<Finding>) {
    let mut last: HashMap<TransactionId, Standing> = HashMap::new();
    for entry in &books.trail {
        last.insert(entry.transaction_id, entry.standing());
    }
    for row in &books.transactions {
        let stands = Standing::from(row);
        match last.remove(&row.id) {
            None => found.push(Finding::new(row.id, "has no entry in the audit trail")),
            Some(written) if written != stands => {
                let what = format!("stands as {stands} in the ledger, and as {written} in the audit trail");
                found.push(Finding::new(row.id, what));
            }
            Some(_) => {}
        }
    }
    let mut foreign: Vec<TransactionId> = last.into_keys().collect();
    foreign.sort();
    for id in foreign {
        found.push(Finding::new(books.payment.id, format!("its audit trail is about {id}, which is not of it")));
    }
}
