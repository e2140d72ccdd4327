//! An order with all that hangs on it, as it is read for whoever judges it.
//!
//! A page of orders takes a number of statements that does not depend on how many they are. Where a row can't be read, that is all that is said of its
//! order: what else there is can't be added up without it.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::{
    attempt, audit,
    id::{OrderId, PaymentId},
    lock,
    money::MoneyError,
    order, payment, reconciliation, snapshot,
    summary::{Entry, PaymentSummary},
    transaction,
};
use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Value,
    sea_query::SelectStatement,
};
use uuid::Uuid;

use super::{Check, row::Page as Rows};

/// An order with all that hangs on it.
pub(super) struct Dossier {
    pub order: order::Model,
    pub snapshot: Option<snapshot::Model>,
    pub attempts: Vec<attempt::Model>,
    pub cases: Vec<reconciliation::Model>,
    pub payments: Vec<Books>,
}

/// A payment with its ledger, the trail of it, and its lock.
pub(super) struct Books {
    pub payment: payment::Model,
    pub transactions: Vec<transaction::Model>,
    /// In the order of their numbers.
    pub trail: Vec<audit::Model>,
    pub lock: Option<lock::Model>,
}

/// Some orders, and where they stand: all between these two ids.
pub(super) struct Page {
    pub dossiers: Vec<Dossier>,
    pub first: Value,
    pub last: Value,
}

impl Dossier {
    /// All that happened to the order's money.
    pub fn entries(&self) -> Vec<Entry> {
        self.payments.iter().flat_map(Books::entries).collect()
    }

    /// What it all adds up to (rule S6).
    pub fn summary(&self) -> Result<PaymentSummary, MoneyError> {
        PaymentSummary::of(self.order.total(), &self.entries())
    }

    /// Whether there is a case about this, decided or not.
    pub fn has_case(&self, about: impl Fn(&reconciliation::Model) -> bool) -> bool {
        self.cases.iter().any(about)
    }

    /// When an attempt may last have been written to: whatever pays its order or opens a case of it takes the way to an open session away, and of one that
    /// was not opened yet it leaves the attempt's own time as it was.
    pub fn touched_at(&self, attempt: &attempt::Model) -> DateTime<Utc> {
        let cases = self.cases.iter().map(|case| case.created_at);
        cases.fold(attempt.updated_at.max(self.order.updated_at), DateTime::max)
    }

    pub fn transactions(&self) -> impl Iterator<Item = &transaction::Model> {
        self.payments.iter().flat_map(|books| &books.transactions)
    }
}

impl Books {
    pub fn summary(&self) -> Result<PaymentSummary, MoneyError> {
        PaymentSummary::of(self.payment.amount(), &self.entries())
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.transactions.iter().map(transaction::Model::entry).collect()
    }

    /// When a transaction came to stand as it does.
    pub fn changed_at(&self, row: &transaction::Model) -> DateTime<Utc> {
        let last = self.trail.iter().rfind(|entry| entry.transaction_id == row.id);
        last.map_or(row.created_at, |entry| entry.written_at)
    }
}

impl Check<'_> {
    /// The dossiers of the orders after this one; `None` where there are no more.
    pub(super) async fn dossiers(&mut self, after: Option<Value>) -> Result<Option<Page>, DbErr> {
        let mut unreadable = HashSet::new();
        let after = after.map(|after| vec![after]);
        let page = self.page::<order::Entity>(after.as_deref(), &mut unreadable).await?;
        let Some(Rows { rows, first, last }) = page else { return Ok(None) };
        let (Some(first), Some(last)) = (first.into_iter().next(), last.into_iter().next()) else { return Ok(None) };
        let found = self.found_between(&first, &last, &mut unreadable).await?;
        let mut dossiers = found.sorted(rows);
        dossiers.retain(|dossier| {
            let payments = dossier.payments.iter().map(|books| books.payment.id.uuid());
            !payments.chain([dossier.order.id.uuid()]).any(|id| unreadable.contains(&id))
        });
        Ok(Some(Page { dossiers, first, last }))
    }

    /// What hangs on the orders between these.
    async fn found_between(
        &mut self,
        first: &Value,
        last: &Value,
        unreadable: &mut HashSet<Uuid>,
    ) -> Result<Found, DbErr> {
        use {attempt::Column as Attempt, audit::Column as Entry, lock::Column as Lock};
        use {payment::Column as Payment, reconciliation::Column as Case};
        use {snapshot::Column as Snapshot, transaction::Column as Transaction};
        let among = |column: Payment| column.between(first.clone(), last.clone());
        let payments: SelectStatement =
            payment::Entity::find().select_only().column(Payment::Id).filter(among(Payment::OrderId)).into_query();
        let snapshots = snapshot::Entity::find().filter(Snapshot::OrderId.between(first.clone(), last.clone()));
        let attempts = attempt::Entity::find().filter(Attempt::OrderId.between(first.clone(), last.clone()));
        let transactions = transaction::Entity::find().filter(Transaction::PaymentId.in_subquery(payments.clone()));
        let trail = audit::Entity::find().filter(Entry::PaymentId.in_subquery(payments.clone()));
        let locks = lock::Entity::find().filter(Lock::PaymentId.in_subquery(payments.clone()));
        let cases = reconciliation::Entity::find().filter(Case::PaymentId.in_subquery(payments));
        let payments = payment::Entity::find().filter(among(Payment::OrderId)).order_by_asc(Payment::Id);
        Ok(Found {
            payments: self.hanging(payments, unreadable).await?,
            snapshots: self.hanging(snapshots, unreadable).await?,
            attempts: self.hanging(attempts.order_by_asc(Attempt::Id), unreadable).await?,
            transactions: self.hanging(transactions.order_by_asc(Transaction::Id), unreadable).await?,
            trail: self.hanging(trail.order_by_asc(Entry::Sequence), unreadable).await?,
            locks: self.hanging(locks, unreadable).await?,
            cases: self.hanging(cases.order_by_asc(Case::Id), unreadable).await?,
        })
    }
}

/// What was found of a page, not sorted yet.
struct Found {
    payments: Vec<payment::Model>,
    snapshots: Vec<snapshot::Model>,
    attempts: Vec<attempt::Model>,
    transactions: Vec<transaction::Model>,
    trail: Vec<audit::Model>,
    locks: Vec<lock::Model>,
    cases: Vec<reconciliation::Model>,
}

impl Found {
    /// To each order what is its own.
    fn sorted(self, orders: Vec<order::Model>) -> Vec<Dossier> {
        let order_of: HashMap<PaymentId, OrderId> = self.payments.iter().map(|row| (row.id, row.order_id)).collect();
        let mut transactions = by(self.transactions, |row| Some(row.payment_id));
        let mut trails = by(self.trail, |row| Some(row.payment_id));
        let mut locks = by(self.locks, |row| Some(row.payment_id));
        let mut cases = by(self.cases, |row| order_of.get(&row.payment_id).copied());
        let mut attempts = by(self.attempts, |row| Some(row.order_id));
        let mut snapshots = by(self.snapshots, |row| Some(row.order_id));
        let books = self.payments.into_iter().map(|payment| Books {
            transactions: transactions.remove(&payment.id).unwrap_or_default(),
            trail: trails.remove(&payment.id).unwrap_or_default(),
            lock: locks.remove(&payment.id).unwrap_or_default().pop(),
            payment,
        });
        let mut payments = by(books.collect(), |books: &Books| Some(books.payment.order_id));
        let dossiers = orders.into_iter().map(|order| Dossier {
            snapshot: snapshots.remove(&order.id).unwrap_or_default().pop(),
            attempts: attempts.remove(&order.id).unwrap_or_default(),
            cases: cases.remove(&order.id).unwrap_or_default(),
            payments: payments.remove(&order.id).unwrap_or_default(),
            order,
        });
        dossiers.collect()
    }
}

fn by<K: std::hash::Hash + Eq, T>(rows: Vec<T>, key: impl Fn(&T) -> Option<K>) -> HashMap<K, Vec<T>> {
    let mut sorted: HashMap<K, Vec<T>> = HashMap::new();
    for row in rows {
        if let Some(key) = key(&row) {
            sorted.entry(key).or_default().push(row);
        }
    }
    sorted
}
