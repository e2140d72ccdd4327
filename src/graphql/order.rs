//! Orders as the API shows them.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Lookahead, Object, SimpleObject};
use entity::{
    attempt, cart,
    id::OrderId,
    metadata,
    order::{self, Head, Model},
    owner::{self, Owner},
    snapshot,
};

use super::{
    attempt::PaymentAttempt,
    cart::Cart,
    failure::Failure,
    loader::{AttemptOf, AttemptsOf, LedgerOf, OrderOf, SnapshotOf, loader},
    money::Money,
    payment::Payment,
    scalar::{Instant, Metadata},
    summary::PaymentSummary,
    walk::{Displayed, Walked, at_hand, choice},
};
use crate::{
    error::Error,
    service::{
        order_list::{Listed, Wanted},
        payment::Ledger,
    },
};

/// The status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "order::Status")]
pub enum OrderStatus {
    /// It can be paid, and its cart can change.
    AwaitingPayment,
    /// Captured money covered its total. It stays paid, whatever is refunded.
    Paid,
    /// It will never be paid.
    Cancelled,
}

/// Which of the two kinds of shopper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "owner::OwnerKind")]
pub enum OwnerKind {
    /// Signed in.
    User,
    /// Not signed in: a guest.
    Anonymous,
}

choice!(OrderStatus);
choice!(OwnerKind);

/// Whose an order is.
#[derive(SimpleObject)]
pub struct OrderOwner {
    /// Signed in or not.
    kind: OwnerKind,
    /// The id that the identity system gave them.
    id: ID,
}

at_hand!(OrderOwner,
    "kind" => |it| it.kind,
    "id" => |it| it.id,
);

/// One owner, one cart, and the payments made for it.
#[derive(Clone)]
pub struct Order(Arc<Known>);

/// An order, and what was read of it and its surroundings together with it.
struct Known {
    head: Head,
    cart: Option<cart::Cart>,
    metadata: Option<metadata::Metadata>,
    ledger: Option<Arc<Ledger>>,
    attempts: Option<Arc<Vec<attempt::Model>>>,
    snapshot: Option<Option<Arc<snapshot::Model>>>,
}

impl From<Listed> for Known {
    fn from(listed: Listed) -> Self {
        let Listed { head, cart, metadata, ledger } = listed;
        Self { head, cart, metadata, ledger: ledger.map(Arc::new), attempts: None, snapshot: None }
    }
}

impl From<&Model> for Known {
    fn from(row: &Model) -> Self {
        let (cart, metadata) = (Some(row.cart.clone()), Some(row.metadata.clone()));
        Self { head: row.head(), cart, metadata, ledger: None, attempts: None, snapshot: None }
    }
}

/// What a list has to read of its orders for all of these selections.
pub fn wanted(orders: &[Lookahead<'_>]) -> Wanted {
    let selects = |name: &str| selects(orders, name);
    let ledgers = ["payments", "paymentSummary", "amountDue"].into_iter().any(selects);
    Wanted { total: false, carts: selects("cart"), metadata: selects("metadata"), ledgers, displays: ledgers }
}

fn selects(orders: &[Lookahead<'_>], name: &str) -> bool {
    orders.iter().any(|order| order.field(name).exists())
}

impl Order {
    pub fn new(row: &Model) -> Self {
        Self(Arc::new(row.into()))
    }

    /// The orders of a page, with all of their surroundings that are selected under any of these.
    pub async fn listed(
        ctx: &Context<'_>,
        orders: Vec<Listed>,
        selected: &[Lookahead<'_>],
    ) -> Result<Vec<Self>, Failure> {
        Self::with_surroundings(ctx, orders.into_iter().map(Known::from).collect(), selected).await
    }

    /// One order, with what is selected of the field that is resolved.
    pub async fn one(ctx: &Context<'_>, row: Model) -> Result<Walked<Self>, Failure> {
        let selected = [ctx.look_ahead()];
        let mut known = Known::from(&row);
        let id = row.id;
        loader(ctx).feed_one(OrderOf(id), Arc::new(row)).await;
        if wanted(&selected).ledgers {
            known.ledger = loader(ctx).load_one(LedgerOf(id)).await?;
        }
        let mut orders = Self::with_surroundings(ctx, vec![known], &selected).await?;
        Ok(Walked(orders.pop().ok_or_else(|| Error::missing(id))?))
    }

    /// Reads what is selected beside the ledgers, each in one statement for all of the orders; and hands the loaders what the way back from a payment
    /// or an attempt asks for, so that all of it is asked for at once.
    async fn with_surroundings(
        ctx: &Context<'_>,
        mut orders: Vec<Known>,
        selected: &[Lookahead<'_>],
    ) -> Result<Vec<Self>, Failure> {
        let ids: Vec<OrderId> = orders.iter().map(|order| order.head.id).collect();
        let selects_below = |name: &str, below: &str| selected.iter().any(|of| of.field(name).field(below).exists());
        if selects_below("payments", "order") || selects_below("paymentAttempts", "order") {
            loader(ctx).load_many(ids.iter().copied().map(OrderOf)).await?;
        }
        if selects_below("paymentAttempts", "payment") {
            let known = orders.iter().filter_map(|order| Some((LedgerOf(order.head.id), order.ledger.clone()?)));
            loader(ctx).feed_many(known).await;
        }
        if selects(selected, "paymentAttempts") || selects_below("snapshot", "paymentAttempt") {
            let mut attempts = loader(ctx).load_many(ids.iter().copied().map(AttemptsOf)).await?;
            let each = attempts.values().flat_map(|all| all.iter());
            loader(ctx).feed_many(each.map(|attempt| (AttemptOf(attempt.id), attempt.clone()))).await;
            orders.iter_mut().for_each(|order| order.attempts = attempts.remove(&AttemptsOf(order.head.id)));
        }
        if selects(selected, "snapshot") {
            let mut snapshots = loader(ctx).load_many(ids.iter().copied().map(SnapshotOf)).await?;
            orders.iter_mut().for_each(|order| order.snapshot = Some(snapshots.remove(&SnapshotOf(order.head.id))));
        }
        Ok(orders.into_iter().map(|known| Self(Arc::new(known))).collect())
    }

    /// What was not read with the order, because nobody was seen to ask for it.
    async fn row(&self, ctx: &Context<'_>) -> Result<Arc<Model>, Failure> {
        let id = self.0.head.id;
        Ok(loader(ctx).load_one(OrderOf(id)).await?.ok_or_else(|| Error::missing(id))?)
    }

    async fn ledger(&self, ctx: &Context<'_>) -> Result<Arc<Ledger>, Failure> {
        match &self.0.ledger {
            Some(ledger) => Ok(Arc::clone(ledger)),
            None => Ok(loader(ctx).load_one(LedgerOf(self.0.head.id)).await?.unwrap_or_default()),
        }
    }
}

impl Known {
    fn owner(&self) -> OrderOwner {
        let Owner { kind, id } = &self.head.owner;
        OrderOwner { kind: (*kind).into(), id: id.clone().into() }
    }

    fn amount_due(&self, ledger: &Ledger) -> Result<Money, Error> {
        Ok(ledger.amount_due(self.head.status, self.head.total)?.into())
    }

    fn summary(&self, ledger: &Ledger) -> Result<PaymentSummary, Error> {
        Ok(ledger.summary(self.head.total)?.into())
    }
}

fn payments(ledger: &Ledger) -> Vec<Walked<Payment>> {
    ledger.payments.iter().cloned().map(|booked| Walked(Payment::from(booked))).collect()
}

fn attempts(rows: &[attempt::Model]) -> Vec<Walked<PaymentAttempt>> {
    rows.iter().cloned().map(|row| Walked(PaymentAttempt(row))).collect()
}

/// One owner, one cart, and the payments made for it.
#[Object]
impl Order {
    /// `ord_` and a UUIDv7.
    pub async fn id(&self) -> ID {
        self.0.head.id.to_string().into()
    }

    /// Short code for people and receipts, unique: letters and digits without look-alikes.
    async fn number(&self) -> String {
        self.0.head.number.clone()
    }

    /// Whose it is.
    async fn owner(&self) -> OrderOwner {
        self.0.owner()
    }

    /// Its status.
    async fn status(&self) -> OrderStatus {
        self.0.head.status.into()
    }

    /// The cart as it stands. It can change while no payment attempt is open and the order is neither paid nor cancelled.
    async fn cart(&self, ctx: &Context<'_>) -> Result<Walked<Cart>, Failure> {
        let cart = match &self.0.cart {
            Some(cart) => cart.clone(),
            None => self.row(ctx).await?.cart.clone(),
        };
        Ok(Walked(Cart(cart)))
    }

    /// The cart as it was when the order was paid. Null until then; never changes after.
    async fn snapshot(&self, ctx: &Context<'_>) -> Result<Option<Walked<OrderSnapshot>>, Failure> {
        let snapshot = match &self.0.snapshot {
            Some(snapshot) => snapshot.clone(),
            None => loader(ctx).load_one(SnapshotOf(self.0.head.id)).await?,
        };
        Ok(snapshot.map(|snapshot| Walked(OrderSnapshot(snapshot))))
    }

    /// What it costs.
    async fn total(&self) -> Walked<Money> {
        Walked(self.0.head.total.into())
    }

    /// What the shopper still has to commit to: the total less what is authorized or captured, and zero once paid or cancelled.
    async fn amount_due(&self, ctx: &Context<'_>) -> Result<Walked<Money>, Failure> {
        Ok(Walked(self.0.amount_due(&*self.ledger(ctx).await?)?))
    }

    /// Each payment method's share, oldest first; archived ones too.
    async fn payments(&self, ctx: &Context<'_>) -> Result<Vec<Walked<Payment>>, Failure> {
        Ok(payments(&*self.ledger(ctx).await?))
    }

    /// Each attempt to pay, oldest first.
    async fn payment_attempts(&self, ctx: &Context<'_>) -> Result<Vec<Walked<PaymentAttempt>>, Failure> {
        let rows = match &self.0.attempts {
            Some(rows) => Arc::clone(rows),
            None => loader(ctx).load_one(AttemptsOf(self.0.head.id)).await?.unwrap_or_default(),
        };
        Ok(attempts(&rows))
    }

    /// The same sums as on each payment, over all payments of the order.
    async fn payment_summary(&self, ctx: &Context<'_>) -> Result<Walked<PaymentSummary>, Failure> {
        Ok(Walked(self.0.summary(&*self.ledger(ctx).await?)?))
    }

    /// Free-form pairs kept for the caller who made it.
    async fn metadata(&self, ctx: &Context<'_>) -> Result<Metadata, Failure> {
        match &self.0.metadata {
            Some(metadata) => Ok(metadata.into()),
            None => Ok((&self.row(ctx).await?.metadata).into()),
        }
    }

    /// Grows with each change; send it as `expectedVersion` to change only what was read.
    async fn version(&self) -> i32 {
        self.0.head.version
    }

    /// When it was made.
    async fn created_at(&self) -> Instant {
        Instant::At(self.0.head.created_at)
    }

    /// When it last changed.
    async fn updated_at(&self) -> Instant {
        Instant::At(self.0.head.updated_at)
    }

    /// When it was paid.
    async fn paid_at(&self) -> Option<Instant> {
        self.0.head.paid_at.map(Instant::At)
    }

    /// When it was cancelled.
    async fn cancelled_at(&self) -> Option<Instant> {
        self.0.head.cancelled_at.map(Instant::At)
    }
}

at_hand!(Order,
    "id" => |it| Displayed(it.0.head.id),
    "number" => |it| it.0.head.number,
    "owner" => |it| it.0.owner(),
    "status" => |it| OrderStatus::from(it.0.head.status),
    "cart" => |it| Cart(it.0.cart.clone()?),
    "snapshot" => |it| it.0.snapshot.clone()?.map(OrderSnapshot),
    "total" => |it| Money::from(it.0.head.total),
    "amountDue" => |it| it.0.amount_due(it.0.ledger.as_ref()?).ok()?,
    "payments" => |it| payments(it.0.ledger.as_ref()?),
    "paymentAttempts" => |it| attempts(it.0.attempts.as_ref()?),
    "paymentSummary" => |it| it.0.summary(it.0.ledger.as_ref()?).ok()?,
    "metadata" => |it| Metadata::from(it.0.metadata.as_ref()?),
    "version" => |it| it.0.head.version,
    "createdAt" => |it| Instant::At(it.0.head.created_at),
    "updatedAt" => |it| Instant::At(it.0.head.updated_at),
    "paidAt" => |it| it.0.head.paid_at.map(Instant::At),
    "cancelledAt" => |it| it.0.head.cancelled_at.map(Instant::At),
);

/// The cart as it was when its order was paid.
pub struct OrderSnapshot(Arc<snapshot::Model>);

/// The cart as it was when its order was paid.
#[Object]
impl OrderSnapshot {
    /// The cart that was paid.
    async fn cart(&self) -> Walked<Cart> {
        Walked(Cart(self.0.cart.clone()))
    }

    /// When the order was paid.
    async fn taken_at(&self) -> Instant {
        Instant::At(self.0.taken_at)
    }

    /// The attempt whose money made the order paid; null where it was paid otherwise.
    async fn payment_attempt(&self, ctx: &Context<'_>) -> Result<Option<Walked<PaymentAttempt>>, Failure> {
        let Some(id) = self.0.attempt_id else { return Ok(None) };
        let row = loader(ctx).load_one(AttemptOf(id)).await?.ok_or_else(|| Error::missing(id))?;
        Ok(Some(Walked(PaymentAttempt(row))))
    }
}

at_hand!(OrderSnapshot,
    "cart" => |it| Cart(it.0.cart.clone()),
    "takenAt" => |it| Instant::At(it.0.taken_at),
);
