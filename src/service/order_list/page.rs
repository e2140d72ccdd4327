//! One statement for a page and all that is wanted of its orders.
//!
//! The page is cut out first, and what belongs to its orders is joined to it outside: nothing is read of an order that is not on it. What the whole list
//! has to say (how many there are, where the cursor stands) comes along, as one row that is there even if the page is empty.

use std::sync::Arc;

use entity::{
    cart::Cart,
    id::{OrderId, PaymentId},
    metadata::Metadata,
    money::Money,
    order::{Head, Status},
    owner::Owner,
    payment,
    summary::Entry,
    transaction,
};
use sea_orm::{ConnectionTrait, DbErr, Iterable, QueryResult, TryGetable};

use super::{Filter, List, Listed, Wanted};
use crate::{
    db::{Reader, Sql},
    service::payment::{Booked, Ledger},
};

/// Where a page begins.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// At the end that it is read from.
    End,
    /// Behind so many newer ones of an owner's.
    Skip(i64),
    /// Behind this order.
    Behind(OrderId),
}

/// A page to be read.
pub struct Cut<'a> {
    pub list: &'a List,
    pub filter: &'a Filter,
    pub start: Start,
    /// From the oldest on, instead of from the newest on.
    pub backward: bool,
    pub limit: u32,
    pub wanted: Wanted,
}

/// What was read.
pub struct Read {
    /// In the order in which they were read: from the newest, or the oldest, on.
    pub orders: Vec<Listed>,
    /// How many orders the list's owner has; looked up if it is wanted.
    pub owned: Option<i64>,
    /// How many orders pass the filter; counted if the total is wanted and nobody keeps it.
    pub counted: Option<i64>,
    /// Whether the order that the page begins behind is in the list: orders that were claimed meanwhile have moved, or left.
    pub is_placed: bool,
}

/// Of the whole list, the same in each row: how many orders its owner has, where the cursor stands, how many were counted.
const OF_LIST: [&str; 3] = ["list.owned", "list.place", "list.counted"];
/// Of an order, behind its id.
const OF_ORDER: [&str; 10] = [
    "o.owner_sequence",
    "o.number",
    "o.status",
    "o.currency",
    "o.total_minor",
    "o.version",
    "o.created_at",
    "o.updated_at",
    "o.paid_at",
    "o.cancelled_at",
];
/// Whose it is, where the list has more than one owner.
const OF_OWNER: [&str; 2] = ["o.owner_kind", "o.owner_id"];
/// Of a payment, behind its id.
const OF_PAYMENT: [&str; 7] =
    ["p.provider", "p.status", "p.amount_minor", "p.currency", "p.version", "p.created_at", "p.updated_at"];
const OF_TRANSACTION: [&str; 5] = ["t.kind", "t.status", "t.management_state", "t.amount_minor", "t.currency"];

/// Reads a page with all that is wanted of it.
pub async fn read(db: &Reader, cut: &Cut<'_>) -> Result<Read, DbErr> {
    let mut sql = Sql::default();
    cut.write(&mut sql);
    let rows = db.query_all_raw(sql.statement(db.get_database_backend())).await?;
    let mut read = Read { orders: vec![], owned: None, counted: None, is_placed: false };
    if let Some(row) = rows.first() {
        let mut columns = Columns { row, at: 0 };
        read.owned = columns.next()?;
        read.is_placed = columns.next::<Option<i64>>()?.is_some();
        read.counted = columns.next()?;
    }
    let owner = cut.list.owner();
    for row in &rows {
        read.add(cut.wanted, owner.as_ref(), Columns { row, at: OF_LIST.len() })?;
    }
    read.sort(owner.is_some(), cut.backward);
    Ok(read)
}

impl Cut<'_> {
    fn write(&self, sql: &mut Sql) {
        let owner = self.list.owner();
        let of_owner = owner.as_ref().map(|owner| {
            let (kind, id) = (sql.bind(owner.kind), sql.bind(owner.id.clone()));
            (format!("kind = {kind} AND id = {id}"), format!("owner_kind = {kind} AND owner_id = {id}"))
        });
        let in_list = of_owner.as_ref().map_or("true", |(_, orders)| orders);
        let matching = self.filter.conditions(in_list, sql);
        sql.push("WITH list AS (SELECT ");
        let needs_owned = self.wanted.total || matches!(self.start, Start::Skip(_));
        match &of_owner {
            Some((owners, _)) if needs_owned => {
                sql.push(&format!("COALESCE((SELECT order_count FROM order_owner WHERE {owners}), 0)"));
            }
            Some(_) | None => sql.push("CAST(NULL AS bigint)"),
        }
        sql.push(" AS owned, ");
        match self.start {
            Start::Behind(id) => {
                let id = sql.bind(id);
                sql.push(&format!("(SELECT owner_sequence FROM orders WHERE id = {id} AND {in_list})"));
            }
            Start::End | Start::Skip(_) => sql.push("CAST(NULL AS bigint)"),
        }
        sql.push(" AS place, ");
        match self.wanted.total && (owner.is_none() || !self.filter.is_empty()) {
            true => sql.push(&format!("(SELECT count(*) FROM orders WHERE {matching})")),
            false => sql.push("CAST(NULL AS bigint)"),
        }
        sql.push(&format!(" AS counted), o AS (SELECT * FROM orders WHERE {matching}"));
        self.write_range(owner.as_ref(), sql);
        sql.push(") SELECT ");
        sql.push(&self.columns(owner.is_some()).join(", "));
        self.write_tables(sql);
    }

    /// From where on, which way, and how many.
    fn write_range(&self, owner: Option<&Owner>, sql: &mut Sql) {
        let (beyond, direction) = if self.backward { (">", "ASC") } else { ("<", "DESC") };
        let key = if owner.is_some() { "owner_sequence" } else { "id" };
        match (self.start, owner) {
            (Start::End, _) => {}
            (Start::Skip(skipped), _) => {
                let skipped = sql.bind(skipped);
                sql.push(&format!(" AND owner_sequence <= (SELECT owned FROM list) - {skipped}"));
            }
            (Start::Behind(_), Some(_)) => sql.push(&format!(" AND owner_sequence {beyond} (SELECT place FROM list)")),
            (Start::Behind(id), None) => {
                let id = sql.bind(id);
                sql.push(&format!(" AND id {beyond} {id}"));
            }
        }
        let limit = sql.bind(i64::from(self.limit));
        sql.push(&format!(" ORDER BY {key} {direction} LIMIT {limit}"));
    }

    /// What is read of each row, in the order in which [`Read::add`] takes it in.
    fn columns(&self, is_of_one: bool) -> Vec<&'static str> {
        let Wanted { carts, metadata, ledgers, displays, .. } = self.wanted;
        let mut columns = OF_LIST.to_vec();
        columns.push("o.id");
        columns.extend(OF_ORDER);
        let mut add_if = |is_wanted: bool, more: &[&'static str]| {
            if is_wanted {
                columns.extend(more);
            }
        };
        add_if(!is_of_one, &OF_OWNER);
        add_if(carts, &["o.cart"]);
        add_if(metadata, &["o.metadata"]);
        add_if(ledgers, &["p.id"]);
        add_if(ledgers, &OF_PAYMENT);
        add_if(ledgers && displays, &["p.display"]);
        add_if(ledgers, &OF_TRANSACTION);
        columns
    }

    fn write_tables(&self, sql: &mut Sql) {
        sql.push(" FROM list LEFT JOIN o ON true");
        if self.wanted.ledgers {
            sql.push(" LEFT JOIN payment AS p ON p.order_id = o.id");
            sql.push(" LEFT JOIN payment_transaction AS t ON t.payment_id = p.id");
        }
    }
}

impl Filter {
    /// What has to hold of an order, all of it.
    fn conditions(&self, in_list: &str, sql: &mut Sql) -> String {
        let Self { statuses, created_from, created_to, number } = self;
        let mut all = in_list.to_owned();
        let mut add = |condition: String| all.extend([" AND ", &condition]);
        if let Some(statuses) = statuses {
            // Each once, so that there are few texts of this statement.
            let wanted = Status::iter().filter(|status| statuses.contains(status));
            let wanted: Vec<String> = wanted.map(|status| sql.bind(status)).collect();
            add(if wanted.is_empty() { "false".to_owned() } else { format!("status IN ({})", wanted.join(", ")) });
        }
        if let Some(from) = created_from {
            add(format!("created_at >= {}", sql.bind(*from)));
        }
        if let Some(to) = created_to {
            add(format!("created_at < {}", sql.bind(*to)));
        }
        if let Some(number) = number {
            add(format!("number = {}", sql.bind(number.clone())));
        }
        all
    }
}

impl Read {
    /// Takes in a row: an order with one transaction of one payment of it, or with none.
    fn add(&mut self, wanted: Wanted, owner: Option<&Owner>, mut columns: Columns<'_>) -> Result<(), DbErr> {
        let Some(id) = columns.next::<Option<OrderId>>()? else { return Ok(()) };
        let is_known = |listed: &Listed| listed.head.id == id;
        let known = match self.orders.last() {
            Some(last) if is_known(last) => Some(self.orders.len() - 1),
            _ => self.orders.iter().position(is_known),
        };
        let of_owner = if owner.is_some() { 0 } else { OF_OWNER.len() };
        let rest = OF_ORDER.len() + of_owner + usize::from(wanted.carts) + usize::from(wanted.metadata);
        let order = match known.and_then(|at| self.orders.get_mut(at)) {
            Some(known) => {
                columns.at += rest;
                known
            }
            None => {
                let head = columns.head(id, owner)?;
                let cart: Option<Cart> = columns.next_if(wanted.carts)?;
                let metadata: Option<Metadata> = columns.next_if(wanted.metadata)?;
                let ledger = wanted.ledgers.then(Ledger::default);
                self.orders.push(Listed { head, cart, metadata, ledger });
                let Some(new) = self.orders.last_mut() else { return Ok(()) };
                new
            }
        };
        match &mut order.ledger {
            Some(ledger) => ledger.add(id, wanted.displays, columns),
            None => Ok(()),
        }
    }

    /// No order of rows is promised by a join.
    fn sort(&mut self, is_of_one: bool, backward: bool) {
        match is_of_one {
            true => self.orders.sort_unstable_by_key(|listed| listed.head.owner_sequence),
            false => self.orders.sort_unstable_by_key(|listed| listed.head.id),
        }
        if !backward {
            self.orders.reverse();
        }
        for ledger in self.orders.iter_mut().filter_map(|listed| listed.ledger.as_mut()) {
            ledger.payments.sort_unstable_by_key(|booked| booked.payment.id);
        }
    }
}

impl Ledger {
    fn add(&mut self, order_id: OrderId, displays: bool, mut columns: Columns<'_>) -> Result<(), DbErr> {
        let Some(id) = columns.next::<Option<PaymentId>>()? else { return Ok(()) };
        let known = self.payments.iter().position(|booked| booked.payment.id == id);
        let booked = match known.and_then(|at| self.payments.get_mut(at)) {
            Some(known) => {
                columns.at += OF_PAYMENT.len() + usize::from(displays);
                known
            }
            None => {
                self.payments
                    .push(Arc::new(Booked { payment: columns.payment(id, order_id, displays)?, entries: vec![] }));
                let Some(new) = self.payments.last_mut() else { return Ok(()) };
                new
            }
        };
        // A payment without a transaction: the outer join has nothing beside it.
        if let Some(kind) = columns.next::<Option<transaction::Kind>>()? {
            Arc::make_mut(booked).entries.push(Entry {
                kind,
                status: columns.next()?,
                management_state: columns.next()?,
                amount: columns.money()?,
            });
        }
        Ok(())
    }
}

/// The columns of a row, one after the other.
struct Columns<'a> {
    row: &'a QueryResult,
    at: usize,
}

impl Columns<'_> {
    fn next<T: TryGetable>(&mut self) -> Result<T, DbErr> {
        let value = self.row.try_get_by_index(self.at)?;
        self.at += 1;
        Ok(value)
    }

    fn next_if<T: TryGetable>(&mut self, wanted: bool) -> Result<Option<T>, DbErr> {
        wanted.then(|| self.next()).transpose()
    }

    fn money(&mut self) -> Result<Money, DbErr> {
        let minor = self.next()?;
        Ok(Money::new(minor, self.next()?))
    }

    fn head(&mut self, id: OrderId, owner: Option<&Owner>) -> Result<Head, DbErr> {
        let (owner_sequence, number, status) = (self.next()?, self.next()?, self.next()?);
        let currency = self.next()?;
        let total = Money::new(self.next()?, currency);
        let (version, created_at, updated_at) = (self.next()?, self.next()?, self.next()?);
        let (paid_at, cancelled_at) = (self.next()?, self.next()?);
        let owner = match owner {
            Some(owner) => owner.clone(),
            None => Owner { kind: self.next()?, id: self.next()? },
        };
        Ok(Head {
            id,
            owner,
            owner_sequence,
            number,
            status,
            total,
            version,
            created_at,
            updated_at,
            paid_at,
            cancelled_at,
        })
    }

    fn payment(&mut self, id: PaymentId, order_id: OrderId, displays: bool) -> Result<payment::Model, DbErr> {
        Ok(payment::Model {
            id,
            order_id,
            provider: self.next()?,
            status: self.next()?,
            amount_minor: self.next()?,
            currency: self.next()?,
            version: self.next()?,
            created_at: self.next()?,
            updated_at: self.next()?,
            display: self.next_if(displays)?.unwrap_or_default(),
        })
    }
}
