//! Payments with their ledgers, read in one statement for however many orders (rule S8).

use std::{collections::HashMap, sync::Arc};

use entity::{
    id::{OrderId, PaymentId},
    money::{Currency, Money, MoneyError},
    order,
    payment::{Column, Entity, Model, Status},
    summary::{Entry, PaymentSummary, amount_due},
    transaction::{self, Kind, ManagementState},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, JoinType, QueryFilter, QueryOrder, QueryResult,
    QuerySelect, RelationDef, sea_query::SimpleExpr,
};

use crate::{
    app::App,
    auth::{Audience, Caller, Scope},
    error::{Error, Problem},
};

/// A payment and what its transactions amount to.
#[derive(Clone, Debug)]
pub struct Booked {
    pub payment: Model,
    pub entries: Vec<Entry>,
}

/// An order's payments, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub payments: Vec<Arc<Booked>>,
}

impl Booked {
    /// What the payment's transactions add up to. A bound that is broken is logged, not hidden (rule S5).
    pub fn summary(&self) -> Result<PaymentSummary, Error> {
        let summary = PaymentSummary::of(self.payment.amount(), &self.entries)?;
        if !summary.sound {
            tracing::error!(payment = %self.payment.id, "the ledger breaks a bound");
        }
        Ok(summary)
    }
}

impl Ledger {
    /// The sum over all payments of the order that costs this much (rule S6).
    pub fn summary(&self, total: Money) -> Result<PaymentSummary, Error> {
        Ok(PaymentSummary::of(total, &self.all_entries())?)
    }

    /// What was captured and is not on its way back: a refund that is unanswered may have been carried out. It is what pays an order (rule O6).
    pub fn kept(&self, total: Money) -> Result<Money, Error> {
        let entries = self.all_entries();
        let goes_back = |entry: &&Entry| {
            entry.kind == Kind::Refund
                && entry.status.is_unanswered()
                && ManagementState::counts(entry.management_state)
        };
        let going_back = Money::sum(entries.iter().filter(goes_back).map(|entry| entry.amount), total.currency())?;
        Ok(PaymentSummary::of(total, &entries)?.captured.minus(going_back)?)
    }

    /// What is still to be committed to (rule S7).
    pub fn amount_due(&self, status: order::Status, total: Money) -> Result<Money, Error> {
        Ok(amount_due(status, total, &self.active_entries())?)
    }

    /// The transactions of the payments that still count towards the order.
    pub fn active_entries(&self) -> Vec<Entry> {
        self.entries(|payment| payment.status == Status::Active)
    }

    /// All transactions of the order's payments.
    pub fn all_entries(&self) -> Vec<Entry> {
        self.entries(|_| true)
    }

    /// The transactions of one of the payments.
    pub fn entries_of(&self, payment: PaymentId) -> Vec<Entry> {
        self.entries(|of| of.id == payment)
    }

    /// What the summary would be with one transaction more; fails where the books can't hold it.
    pub fn summary_with(&self, order: &order::Model, more: Entry) -> Result<PaymentSummary, MoneyError> {
        let mut entries = self.all_entries();
        entries.push(more);
        PaymentSummary::of(order.total(), &entries)
    }

    /// Whether it is not known yet what some call to a provider took or holds (rule T2).
    pub fn waits_for_a_charge(&self) -> bool {
        self.all_entries().iter().any(|entry| entry.status.is_unanswered() && entry.kind.charges())
    }

    fn entries(&self, of: impl Fn(&Model) -> bool) -> Vec<Entry> {
        let booked = self.payments.iter().filter(|booked| of(&booked.payment));
        booked.flat_map(|booked| booked.entries.iter().copied()).collect()
    }
}

/// The ledgers of these orders. The orders were found for a caller before: this looks at no owner.
pub async fn ledgers(db: &impl ConnectionTrait, orders: &[OrderId]) -> Result<HashMap<OrderId, Ledger>, DbErr> {
    let mut ledgers: HashMap<OrderId, Ledger> = HashMap::new();
    for booked in read(db, Column::OrderId.is_in(orders.iter().copied())).await? {
        ledgers.entry(booked.payment.order_id).or_default().payments.push(Arc::new(booked));
    }
    Ok(ledgers)
}

/// These payments with their ledgers, in the order of their ids. They were found for a caller before: this looks at no owner.
pub async fn booked(db: &impl ConnectionTrait, ids: &[PaymentId]) -> Result<Vec<Booked>, DbErr> {
    read(db, Column::Id.is_in(ids.iter().copied())).await
}

/// One payment with its ledger.
pub(super) async fn one_booked(db: &impl ConnectionTrait, id: PaymentId) -> Result<Booked, Error> {
    booked(db, &[id]).await?.pop().ok_or(Problem::PaymentNotFound.into())
}

async fn read(db: &impl ConnectionTrait, which: SimpleExpr) -> Result<Vec<Booked>, DbErr> {
    let rows = Entity::find()
        .filter(which)
        .join(JoinType::LeftJoin, to_transactions())
        .column_as(transaction::Column::Kind, "t_kind")
        .column_as(transaction::Column::Status, "t_status")
        .column_as(transaction::Column::ManagementState, "t_management_state")
        .column_as(transaction::Column::AmountMinor, "t_amount_minor")
        .column_as(transaction::Column::Currency, "t_currency")
        .order_by_asc(Column::Id)
        .into_model::<Row>()
        .all(db)
        .await?;
    let mut payments: Vec<Booked> = vec![];
    for Row { payment, entry } in rows {
        match payments.last_mut() {
            Some(last) if last.payment.id == payment.id => last.entries.extend(entry),
            _ => payments.push(Booked { payment, entries: entry.into_iter().collect() }),
        }
    }
    Ok(payments)
}

/// A payment by its id, whosever it is.
pub(super) async fn by_id(db: &impl ConnectionTrait, id: PaymentId) -> Result<Model, Error> {
    Entity::find_by_id(id).one(db).await?.ok_or(Problem::PaymentNotFound.into())
}

/// A payment's whole ledger, oldest first.
pub(super) async fn transactions(db: &impl ConnectionTrait, id: PaymentId) -> Result<Vec<transaction::Model>, DbErr> {
    let query = transaction::Entity::find().filter(transaction::Column::PaymentId.eq(id));
    query.order_by_asc(transaction::Column::CreatedAt).order_by_asc(transaction::Column::Id).all(db).await
}

/// The ledger of one order.
pub async fn ledger(db: &impl ConnectionTrait, order: OrderId) -> Result<Ledger, DbErr> {
    Ok(ledgers(db, &[order]).await?.remove(&order).unwrap_or_default())
}

/// One payment that the caller may see, or `None`: missing and foreign alike (rule A2).
pub async fn find(app: &App, caller: &Caller, id: PaymentId) -> Result<Option<Arc<Booked>>, Error> {
    let audience = caller.audience(Scope::OrdersRead)?;
    let query = Entity::find_by_id(id).join(JoinType::InnerJoin, order_of_payment());
    let Some(payment) = reached_by(query, &audience).one(app.db.read()).await? else { return Ok(None) };
    let ledger = ledger(app.db.read(), payment.order_id).await?;
    Ok(ledger.payments.into_iter().find(|booked| booked.payment.id == id))
}

/// Narrows a query that is joined with `orders` to what the audience may reach.
pub fn reached_by<Q: QueryFilter>(query: Q, audience: &Audience) -> Q {
    match audience.owner() {
        None => query,
        Some(owner) => {
            query.filter(order::Column::OwnerKind.eq(owner.kind)).filter(order::Column::OwnerId.eq(owner.id.clone()))
        }
    }
}

fn to_transactions() -> RelationDef {
    let to_payment: RelationDef =
        transaction::Entity::belongs_to(Entity).from(transaction::Column::PaymentId).to(Column::Id).into();
    to_payment.rev()
}

fn order_of_payment() -> RelationDef {
    Entity::belongs_to(order::Entity).from(Column::OrderId).to(order::Column::Id).into()
}

struct Row {
    payment: Model,
    entry: Option<Entry>,
}

impl FromQueryResult for Row {
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        let payment = Model::from_query_result(row, prefix)?;
        let kind: Option<Kind> = row.try_get(prefix, "t_kind")?;
        let entry = match kind {
            // A payment without a transaction: the outer join has nothing beside it.
            None => None,
            Some(kind) => Some(Entry {
                kind,
                status: row.try_get(prefix, "t_status")?,
                management_state: row.try_get(prefix, "t_management_state")?,
                amount: Money::new(
                    row.try_get(prefix, "t_amount_minor")?,
                    row.try_get::<Currency>(prefix, "t_currency")?,
                ),
            }),
        };
        Ok(Self { payment, entry })
    }
}
