//! Rows, read one by one through their nouns, and what they are called where they can't be read.

use std::{collections::HashSet, fmt};

use entity::{
    attempt, audit, event,
    id::{AttemptId, CaseId, OrderId, PaymentId, TransactionId},
    lock, operation, order, outbox, owner, payment, reconciliation, snapshot, transaction,
};
use sea_orm::{
    ConnectionTrait, DbErr, EntityName, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QueryResult,
    QuerySelect, QueryTrait, Select, Statement, Value,
    sea_query::{Expr, ExprTrait},
};
use uuid::Uuid;

use super::{Check, Finding, PAGE};

/// The tables, in the order in which they are summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rows {
    Orders,
    Payments,
    Transactions,
    Entries,
    Attempts,
    Snapshots,
    Locks,
    Cases,
    Owners,
    Operations,
    Events,
    Changes,
}

impl Rows {
    pub const ALL: [Self; 12] = [
        Self::Orders,
        Self::Payments,
        Self::Transactions,
        Self::Entries,
        Self::Attempts,
        Self::Snapshots,
        Self::Locks,
        Self::Cases,
        Self::Owners,
        Self::Operations,
        Self::Events,
        Self::Changes,
    ];

    fn table(self) -> &'static str {
        match self {
            Self::Orders => order::Entity.table_name(),
            Self::Payments => payment::Entity.table_name(),
            Self::Transactions => transaction::Entity.table_name(),
            Self::Entries => audit::Entity.table_name(),
            Self::Attempts => attempt::Entity.table_name(),
            Self::Snapshots => snapshot::Entity.table_name(),
            Self::Locks => lock::Entity.table_name(),
            Self::Cases => reconciliation::Entity.table_name(),
            Self::Owners => owner::Entity.table_name(),
            Self::Operations => operation::Entity.table_name(),
            Self::Events => event::Entity.table_name(),
            Self::Changes => outbox::Entity.table_name(),
        }
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Orders => "orders",
            Self::Payments => "payments",
            Self::Transactions => "transactions",
            Self::Entries => "audit entries",
            Self::Attempts => "attempts",
            Self::Snapshots => "snapshots",
            Self::Locks => "locks",
            Self::Cases => "cases",
            Self::Owners => "owners",
            Self::Operations => "operations",
            Self::Events => "provider events",
            Self::Changes => "changes",
        })
    }
}

/// A table that the check reads.
pub(super) trait Row: EntityTrait {
    const ROWS: Rows;

    /// What a row is called, whether or not the rest of it can be read.
    fn name(row: &QueryResult) -> Result<String, DbErr>;
}

/// A table whose rows hang on an order or a payment.
pub(super) trait Hangs: Row {
    /// The column that says on which.
    const ON: &'static str;
}

/// A table that is read page by page, in the order of its primary key.
pub(super) trait Paged: Row {
    const KEY: &'static [Self::Column];

    /// Where a row stands in that order.
    fn place(row: &QueryResult) -> Result<Vec<Value>, DbErr>;
}

/// Tables that hang on others: what a row is called, by an id in one of its columns; and the column that says on what it hangs.
macro_rules! hangs {
    ($($entity:ident, $rows:ident, $words:literal, $id:ident, $column:literal, on $on:literal;)+) => { $(
        impl Row for $entity::Entity {
            const ROWS: Rows = Rows::$rows;

            fn name(row: &QueryResult) -> Result<String, DbErr> {
                Ok(format!($words, $id::from(row.try_get::<Uuid>("", $column)?)))
            }
        }

        impl Hangs for $entity::Entity {
            const ON: &'static str = $on;
        }
    )+ };
}

hangs! {
    order, Orders, "{}", OrderId, "id", on "id";
    payment, Payments, "{}", PaymentId, "id", on "order_id";
    transaction, Transactions, "{}", TransactionId, "id", on "payment_id";
    attempt, Attempts, "{}", AttemptId, "id", on "order_id";
    reconciliation, Cases, "{}", CaseId, "id", on "payment_id";
    snapshot, Snapshots, "the snapshot of {}", OrderId, "order_id", on "order_id";
    lock, Locks, "the lock of {}", PaymentId, "payment_id", on "payment_id";
}

impl Row for audit::Entity {
    const ROWS: Rows = Rows::Entries;

    fn name(row: &QueryResult) -> Result<String, DbErr> {
        let (payment, sequence) = (row.try_get::<Uuid>("", "payment_id")?, row.try_get::<i64>("", "sequence")?);
        Ok(format!("entry {sequence} of {}", PaymentId::from(payment)))
    }
}

impl Hangs for audit::Entity {
    const ON: &'static str = "payment_id";
}

impl Paged for order::Entity {
    const KEY: &'static [order::Column] = &[order::Column::Id];

    fn place(row: &QueryResult) -> Result<Vec<Value>, DbErr> {
        // In SQLite an id may be any bytes.
        let id = row.try_get::<Uuid>("", "id").map(Value::from);
        Ok(vec![id.or_else(|_| row.try_get::<Vec<u8>>("", "id").map(Value::from))?])
    }
}

impl Row for operation::Entity {
    const ROWS: Rows = Rows::Operations;

    fn name(row: &QueryResult) -> Result<String, DbErr> {
        let [kind, id, mutation, key] = texts(row, ["caller_kind", "caller_id", "mutation", "idempotency_key"])?;
        Ok(operation_name(&mutation, &kind, &id, &key))
    }
}

/// `capturePayment of SERVICE "checkout" under the key "k-1"`
pub(super) fn operation_name(mutation: &str, kind: &str, id: &str, key: &str) -> String {
    format!("{mutation} of {kind} {id:?} under the key {key:?}")
}

impl Paged for operation::Entity {
    const KEY: &'static [operation::Column] = &[
        operation::Column::CallerKind,
        operation::Column::CallerId,
        operation::Column::Mutation,
        operation::Column::IdempotencyKey,
    ];

    fn place(row: &QueryResult) -> Result<Vec<Value>, DbErr> {
        let key = texts(row, ["caller_kind", "caller_id", "mutation", "idempotency_key"])?;
        Ok(key.map(Value::from).into())
    }
}

impl Row for event::Entity {
    const ROWS: Rows = Rows::Events;

    fn name(row: &QueryResult) -> Result<String, DbErr> {
        let [provider, event] = texts(row, ["provider", "event_id"])?;
        Ok(format!("event {event:?} of {provider}"))
    }
}

impl Paged for event::Entity {
    const KEY: &'static [event::Column] = &[event::Column::Provider, event::Column::ExternalId, event::Column::EventId];

    fn place(row: &QueryResult) -> Result<Vec<Value>, DbErr> {
        Ok(texts(row, ["provider", "external_id", "event_id"])?.map(Value::from).into())
    }
}

impl Row for outbox::Entity {
    const ROWS: Rows = Rows::Changes;

    fn name(row: &QueryResult) -> Result<String, DbErr> {
        Ok(format!("change {}", row.try_get::<i64>("", "id")?))
    }
}

impl Paged for outbox::Entity {
    const KEY: &'static [outbox::Column] = &[outbox::Column::Id];

    fn place(row: &QueryResult) -> Result<Vec<Value>, DbErr> {
        Ok(vec![row.try_get::<i64>("", "id")?.into()])
    }
}

fn texts<const N: usize>(row: &QueryResult, columns: [&str; N]) -> Result<[String; N], DbErr> {
    let mut texts = [const { String::new() }; N];
    for (text, column) in texts.iter_mut().zip(columns) {
        *text = row.try_get("", column)?;
    }
    Ok(texts)
}

/// One page, and where the next begins.
pub(super) struct Page<M> {
    pub rows: Vec<M>,
    pub first: Vec<Value>,
    pub last: Vec<Value>,
}

impl Check<'_> {
    /// The rows after a place, those that can be read; `None` where there are no more.
    pub(super) async fn page<E: Paged>(
        &mut self,
        after: Option<&[Value]>,
        unreadable: &mut HashSet<Uuid>,
    ) -> Result<Option<Page<E::Model>>, DbErr> {
        let mut query = E::find().limit(PAGE);
        if let Some(after) = after {
            let key = Expr::tuple(E::KEY.iter().map(|column| Expr::col(*column)));
            query = query.filter(key.gt(Expr::tuple(after.iter().cloned().map(Expr::value))));
        }
        for column in E::KEY {
            query = query.order_by_asc(*column);
        }
        let found = self.db.query_all_raw(query.build(self.db.get_database_backend())).await?;
        let (Some(first), Some(last)) = (found.first(), found.last()) else { return Ok(None) };
        let (first, last) = (E::place(first)?, E::place(last)?);
        let rows = self.read::<E>(&found, |row| unreadable.extend(row.try_get::<Uuid>("", "id")));
        Ok(Some(Page { rows, first, last }))
    }

    /// All rows of a table that nothing else is to be said of.
    pub(super) async fn pages_of<E: Paged>(&mut self) -> Result<(), DbErr> {
        let mut after = None;
        while let Some(page) = self.page::<E>(after.as_deref(), &mut HashSet::new()).await? {
            after = Some(page.last);
        }
        Ok(())
    }

    /// The rows that can be read; on what the others hang is noted.
    pub(super) async fn hanging<E: Hangs>(
        &mut self,
        query: Select<E>,
        unreadable: &mut HashSet<Uuid>,
    ) -> Result<Vec<E::Model>, DbErr> {
        let found = self.db.query_all_raw(query.build(self.db.get_database_backend())).await?;
        Ok(self.read::<E>(&found, |row| unreadable.extend(row.try_get::<Uuid>("", E::ON))))
    }

    fn read<E: Row>(&mut self, found: &[QueryResult], mut unreadable: impl FnMut(&QueryResult)) -> Vec<E::Model> {
        self.counts(E::ROWS, found.len());
        let mut models = vec![];
        for row in found {
            match E::Model::from_query_result(row, "") {
                Ok(model) => models.push(model),
                Err(error) => {
                    unreadable(row);
                    let name = E::name(row).unwrap_or_else(|_| format!("a row of {}", E::ROWS.table()));
                    self.finds(&Finding::new(name, format!("can't be read: {error}")));
                }
            }
        }
        models
    }

    pub(super) fn counts(&mut self, rows: Rows, more: usize) {
        *self.verdict.looked_at.entry(rows).or_default() += u64::try_from(more).unwrap_or_default();
    }

    /// Each table has as many rows as were looked at: the others hang on nothing that is there.
    pub(super) async fn nothing_was_passed_over(&mut self) -> Result<(), DbErr> {
        for rows in Rows::ALL {
            let sql = format!("SELECT count(*) AS n FROM {}", rows.table());
            let counted = self.db.query_one_raw(Statement::from_string(self.db.get_database_backend(), sql)).await?;
            let there: i64 = counted.map(|row| row.try_get("", "n")).transpose()?.unwrap_or_default();
            let looked_at = self.verdict.looked_at.get(&rows).copied().unwrap_or_default();
            if u64::try_from(there) != Ok(looked_at) {
                let what = format!("has {there} rows, of which {looked_at} belong to something that is there");
                self.finds(&Finding::new(rows.table(), what));
            }
        }
        Ok(())
    }
}
