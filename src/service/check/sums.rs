//! Each summary once more, as the database adds it up by itself, for a payment and for an order alike (rules S1 to S3, S6, S8).
//!
//! One statement a page. It is written down from the rules and shares nothing with `entity::summary`, so that a mistake would have to be made twice.

use std::collections::HashMap;

use entity::{
    id::{OrderId, PaymentId},
    summary::PaymentSummary,
};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};
use uuid::Uuid;

use super::{
    Check, Finding,
    dossier::{Dossier, Page},
};

const COLUMNS: [&str; 14] = [
    "authorized",
    "captured",
    "refunded",
    "credited",
    "available for authorize",
    "available for capture",
    "available for refund",
    "ever captured",
    "pending",
    "stuck in reversal",
    "fully authorized",
    "fully captured",
    "partially captured",
    "fully refunded",
];

/// The columns by their numbers, as text: a sum may have more digits than 64 bits hold. What is true is 1.
type Sums = [String; COLUMNS.len()];

const SQL: &str = "
WITH subject (id, amount, payment_id) AS (
    SELECT p.id, p.amount_minor, p.id FROM payment p WHERE p.order_id BETWEEN $1 AND $2
    UNION ALL
    SELECT o.id, o.total_minor, p.id FROM orders o LEFT JOIN payment p ON p.order_id = o.id WHERE o.id BETWEEN $1 AND $2
), line (id, amount, kind, minor, weighs) AS (
    SELECT s.id, s.amount, t.kind, t.amount_minor, CASE
        WHEN t.status IN ('SENT', 'PENDING', 'UNKNOWN') THEN 'PENDING'
        WHEN t.status <> 'SUCCEEDED' THEN 'NOT'
        WHEN t.management_state = 'FAILED_REVERSAL' THEN 'STUCK'
        WHEN t.management_state IN ('REQUIRES_REVERSAL', 'REVERSAL_IN_PROGRESS', 'REVERSED', 'REVERSAL_TRANSACTION') THEN 'NOT'
        ELSE 'KNOWN' END
    FROM subject s LEFT JOIN payment_transaction t ON t.payment_id = s.payment_id
), known (id, p, a, r, c, s, f, d, pa, pr, pc, ps, pf, pd, stuck) AS (
    SELECT id, amount,
        coalesce(sum(minor) FILTER (WHERE weighs = 'KNOWN' AND kind = 'AUTHORIZE'), 0),
        coalesce(sum(minor) FILTER (WHERE weighs = 'KNOWN' AND kind = 'REVERSE_AUTHORIZE'), 0),
        coalesce(sum(minor) FILTER (WHERE weighs = 'KNOWN' AND kind = 'CAPTURE'), 0),
        coalesce(sum(minor) FILTER (WHERE weighs = 'KNOWN' AND kind = 'AUTHORIZE_AND_CAPTURE'), 0),
        coalesce(sum(minor) FILTER (WHERE weighs = 'KNOWN' AND kind = 'REFUND'), 0),
        coalesce(sum(minor) FILTER (WHERE weighs = 'KNOWN' AND kind = 'DETACHED_CREDIT'), 0),
        coalesce(sum(minor) FILTER (WHERE weighs = 'PENDING' AND kind = 'AUTHORIZE'), 0),
        coalesce(sum(minor) FILTER (WHERE weighs = 'PENDING' AND kind = 'REVERSE_AUTHORIZE'), 0),
        coalesce(sum(minor) FILTER (WHERE weighs = 'PENDING' AND kind = 'CAPTURE'), 0),
        coalesce(sum(minor) FILTER (WHERE weighs = 'PENDING' AND kind = 'AUTHORIZE_AND_CAPTURE'), 0),
        coalesce(sum(minor) FILTER (WHERE weighs = 'PENDING' AND kind = 'REFUND'), 0),
        coalesce(sum(minor) FILTER (WHERE weighs = 'PENDING' AND kind = 'DETACHED_CREDIT'), 0),
        coalesce(sum(minor) FILTER (WHERE weighs = 'STUCK'), 0)
    FROM line GROUP BY id, amount
), left_over (id, charge, capture, refund) AS (
    SELECT id, p - a + r - s - pa - ps, a - r - c - pc - pr, c + s - f - pf FROM known
)
SELECT k.id,
    CAST(a - r AS text) AS s0,
    CAST(c + s - f AS text) AS s1,
    CAST(f AS text) AS s2,
    CAST(d AS text) AS s3,
    CAST(CASE WHEN charge > 0 THEN charge ELSE 0 END AS text) AS s4,
    CAST(CASE WHEN capture > 0 THEN capture ELSE 0 END AS text) AS s5,
    CAST(CASE WHEN refund > 0 THEN refund ELSE 0 END AS text) AS s6,
    CAST(c + s AS text) AS s7,
    CAST(pa + pr + pc + ps + pf + pd AS text) AS s8,
    CAST(stuck AS text) AS s9,
    CASE WHEN a - r = p THEN '1' ELSE '0' END AS s10,
    CASE WHEN c + s - f = p THEN '1' ELSE '0' END AS s11,
    CASE WHEN 0 < c + s - f AND c + s - f < p THEN '1' ELSE '0' END AS s12,
    CASE WHEN 0 < c + s AND f = c + s THEN '1' ELSE '0' END AS s13
FROM known k JOIN left_over l ON l.id = k.id";

impl Check<'_> {
    /// Compares every summary of these orders, and of their payments, with what the database makes of it.
    pub(super) async fn summaries(&mut self, page: &Page) -> Result<(), DbErr> {
        let sums = match sums(self, &page.first, &page.last).await {
            Err(error) if self.db.get_database_backend() == DbBackend::Sqlite => {
                // SQLite adds up no more than 64 bits, and doesn't say whose they are.
                tracing::debug!(%error, "the orders of a page can't be added up together");
                return self.one_by_one(page).await;
            }
            sums => sums?,
        };
        for dossier in &page.dossiers {
            self.compares(dossier, &sums);
        }
        Ok(())
    }

    async fn one_by_one(&mut self, page: &Page) -> Result<(), DbErr> {
        for dossier in &page.dossiers {
            let id = Value::from(dossier.order.id);
            match sums(self, &id, &id).await {
                Ok(sums) => self.compares(dossier, &sums),
                // It is told already.
                Err(_) if dossier.summary().is_err() => {}
                Err(error) => {
                    self.finds(&Finding::new(dossier.order.id, format!("can't be added up: {error}")));
                }
            }
        }
        Ok(())
    }

    fn compares(&mut self, dossier: &Dossier, sums: &HashMap<Uuid, Sums>) {
        // Where currencies meet or sums are too large, that is told elsewhere.
        if let Ok(summary) = dossier.summary() {
            let id: OrderId = dossier.order.id;
            self.compares_one(&id, id.uuid(), &summary, sums);
        }
        for books in &dossier.payments {
            if let Ok(summary) = books.summary() {
                let id: PaymentId = books.payment.id;
                self.compares_one(&id, id.uuid(), &summary, sums);
            }
        }
    }

    fn compares_one(
        &mut self,
        of: &dyn std::fmt::Display,
        id: Uuid,
        summary: &PaymentSummary,
        sums: &HashMap<Uuid, Sums>,
    ) {
        let Some(sums) = sums.get(&id) else {
            return self.finds(&Finding::new(of, "has no summary by SQL"));
        };
        for what in differences(summary, sums) {
            self.finds(&Finding::new(of, what));
        }
    }
}

fn differences(summary: &PaymentSummary, sums: &Sums) -> Vec<String> {
    let columns = COLUMNS.iter().zip(told(summary)).zip(sums);
    let differ = columns.filter(|((_, ours), theirs)| ours != *theirs);
    differ
        .map(|((column, ours), theirs)| {
            format!("{column} is {ours} by its summary, and {theirs} by SQL (in the smallest unit)")
        })
        .collect()
}

async fn sums(check: &Check<'_>, first: &Value, last: &Value) -> Result<HashMap<Uuid, Sums>, DbErr> {
    let backend = check.db.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, SQL, [first.clone(), last.clone()]);
    let rows = check.db.query_all_raw(statement).await?;
    rows.iter().filter_map(|row| Some((row.try_get::<Uuid>("", "id").ok()?, row))).map(read).collect()
}

fn read((id, row): (Uuid, &QueryResult)) -> Result<(Uuid, Sums), DbErr> {
    let mut sums = Sums::default();
    for (at, sum) in sums.iter_mut().enumerate() {
        *sum = row.try_get("", &format!("s{at}"))?;
    }
    Ok((id, sums))
}

fn told(summary: &PaymentSummary) -> Sums {
    let fact = |is: bool| u8::from(is).to_string();
    [
        summary.authorized.minor().to_string(),
        summary.captured.minor().to_string(),
        summary.refunded.minor().to_string(),
        summary.credited.minor().to_string(),
        summary.available_for_authorize.minor().to_string(),
        summary.available_for_capture.minor().to_string(),
        summary.available_for_refund.minor().to_string(),
        summary.total_ever_captured.minor().to_string(),
        summary.pending.minor().to_string(),
        summary.stuck_in_reversal.minor().to_string(),
        fact(summary.fully_authorized),
        fact(summary.fully_captured),
        fact(summary.partially_captured),
        fact(summary.fully_refunded),
    ]
}

#[cfg(test)]
mod tests {
    use entity::{
        money::{Currency, Money},
        summary::Entry,
        transaction::{Kind, Status},
    };

    use super::*;

    #[test]
    fn each_sum_is_compared() {
        let euros = |minor| Money::new(minor, Currency::EUR);
        let kind = Kind::Authorize;
        let entry = Entry { kind, status: Status::Succeeded, management_state: None, amount: euros(2990) };
        let summary = PaymentSummary::of(euros(2990), &[entry]).unwrap();
        assert_eq!(differences(&summary, &told(&summary)), Vec::<String>::new());

        for at in 0..COLUMNS.len() {
            let mut sums = told(&summary);
            sums[at] = "7".into();
            let column = COLUMNS[at];
            let ours = &told(&summary)[at];
            let expected = format!("{column} is {ours} by its summary, and 7 by SQL (in the smallest unit)");
            assert_eq!(differences(&summary, &sums), [expected]);
        }
    }
}
