//! Orders as the API shows them.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Lookahead, Object, SimpleObject};
use entity::{
    order::{self, Model},
    owner, snapshot,
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
    walk::{Walked, at_hand, leaf},
};
use crate::{error::Error, service::payment::Ledger};

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

leaf!(OrderStatus, |it| async_graphql::resolver_utils::enum_value(*it));
leaf!(OwnerKind, |it| async_graphql::resolver_utils::enum_value(*it));

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
pub struct Order {
    row: Arc<Model>,
    known: Known,
}

/// What was read of an order's surroundings together with it.
#[derive(Clone, Default)]
pub struct Known {
    ledger: Option<Arc<Ledger>>,
    attempts: Option<Arc<Vec<entity::attempt::Model>>>,
    snapshot: Option<Option<Arc<snapshot::Model>>>,
}

impl Order {
    pub fn new(row: impl Into<Arc<Model>>) -> Self {
        let known = Known::default();
        Self { row: row.into(), known }
    }

    /// Orders with all of their surroundings that are selected under any of these, each read in one statement for all of them. What was read is
    /// handed to the loaders, so that the way back from a payment or an attempt costs nothing.
    pub async fn prefetched(
        ctx: &Context<'_>,
        rows: Vec<Model>,
        selected: &[Lookahead<'_>],
    ) -> Result<Vec<Self>, Failure> {
        let selects = |name: &str| selected.iter().any(|order| order.field(name).exists());
        let selects_attempt_of_snapshot =
            || selected.iter().any(|order| order.field("snapshot").field("paymentAttempt").exists());
        let rows: Vec<Arc<Model>> = rows.into_iter().map(Arc::new).collect();
        let ids = || rows.iter().map(|row| row.id);
        let loader = loader(ctx);
        loader.feed_many(rows.iter().map(|row| (OrderOf(row.id), Arc::clone(row)))).await;
        let mut ledgers = match ["payments", "paymentSummary", "amountDue"].into_iter().any(selects) {
            true => Some(loader.load_many(ids().map(LedgerOf)).await?),
            false => None,
        };
        let mut attempts = match selects("paymentAttempts") || selects_attempt_of_snapshot() {
            true => Some(loader.load_many(ids().map(AttemptsOf)).await?),
            false => None,
        };
        let each_attempt = attempts.iter().flat_map(|all| all.values()).flat_map(|all| all.iter());
        loader.feed_many(each_attempt.map(|attempt| (AttemptOf(attempt.id), attempt.clone()))).await;
        let mut snapshots = match selects("snapshot") {
            true => Some(loader.load_many(ids().map(SnapshotOf)).await?),
            false => None,
        };
        let order = |row: Arc<Model>| {
            let known = Known {
                ledger: ledgers.as_mut().and_then(|all| all.remove(&LedgerOf(row.id))),
                attempts: attempts.as_mut().and_then(|all| all.remove(&AttemptsOf(row.id))),
                snapshot: snapshots.as_mut().map(|all| all.remove(&SnapshotOf(row.id))),
            };
            Self { row, known }
        };
        Ok(rows.into_iter().map(order).collect())
    }

    /// One order, prefetched for what is selected of the field that is resolved.
    pub async fn one(ctx: &Context<'_>, row: Model) -> Result<Walked<Self>, Failure> {
        let mut orders = Self::prefetched(ctx, vec![row.clone()], &[ctx.look_ahead()]).await?;
        Ok(Walked(orders.pop().unwrap_or_else(|| Self::new(row))))
    }

    async fn ledger(&self, ctx: &Context<'_>) -> Result<Arc<Ledger>, Failure> {
        match &self.known.ledger {
            Some(ledger) => Ok(Arc::clone(ledger)),
            None => Ok(loader(ctx).load_one(LedgerOf(self.row.id)).await?.unwrap_or_default()),
        }
    }

    fn owner_at_hand(&self) -> OrderOwner {
        OrderOwner { kind: self.row.owner_kind.into(), id: self.row.owner_id.clone().into() }
    }
}

fn payments(ledger: &Ledger) -> Vec<Walked<Payment>> {
    let booked = ledger.payments.iter().cloned();
    booked.map(|booked| Walked(Payment::from(booked))).collect()
}

fn attempts(rows: &[entity::attempt::Model]) -> Vec<Walked<PaymentAttempt>> {
    rows.iter().cloned().map(|row| Walked(PaymentAttempt(row))).collect()
}

/// One owner, one cart, and the payments made for it.
#[Object]
impl Order {
    /// `ord_` and a UUIDv7.
    pub async fn id(&self) -> ID {
        self.row.id.to_string().into()
    }

    /// Short code for people and receipts, unique: letters and digits without look-alikes.
    async fn number(&self) -> String {
        self.row.number.clone()
    }

    /// Whose it is.
    async fn owner(&self) -> OrderOwner {
        self.owner_at_hand()
    }

    /// Its status.
    async fn status(&self) -> OrderStatus {
        self.row.status.into()
    }

    /// The cart as it stands. It can change while no payment attempt is open and the order is neither paid nor cancelled.
    async fn cart(&self) -> Walked<Cart> {
        Walked(Cart(self.row.cart.clone()))
    }

    /// The cart as it was when the order was paid. Null until then; never changes after.
    async fn snapshot(&self, ctx: &Context<'_>) -> Result<Option<Walked<OrderSnapshot>>, Failure> {
        let snapshot = match &self.known.snapshot {
            Some(snapshot) => snapshot.clone(),
            None => loader(ctx).load_one(SnapshotOf(self.row.id)).await?,
        };
        Ok(snapshot.map(|snapshot| Walked(OrderSnapshot(snapshot))))
    }

    /// What it costs.
    async fn total(&self) -> Walked<Money> {
        Walked(self.row.total().into())
    }

    /// What the shopper still has to commit to: the total less what is authorized or captured, and zero once paid or cancelled.
    async fn amount_due(&self, ctx: &Context<'_>) -> Result<Walked<Money>, Failure> {
        Ok(Walked(self.ledger(ctx).await?.amount_due(&self.row)?.into()))
    }

    /// Each payment method's share, oldest first; archived ones too.
    async fn payments(&self, ctx: &Context<'_>) -> Result<Vec<Walked<Payment>>, Failure> {
        Ok(payments(&*self.ledger(ctx).await?))
    }

    /// Each attempt to pay, oldest first.
    async fn payment_attempts(&self, ctx: &Context<'_>) -> Result<Vec<Walked<PaymentAttempt>>, Failure> {
        let rows = match &self.known.attempts {
            Some(rows) => Arc::clone(rows),
            None => loader(ctx).load_one(AttemptsOf(self.row.id)).await?.unwrap_or_default(),
        };
        Ok(attempts(&rows))
    }

    /// The same sums as on each payment, over all payments of the order.
    async fn payment_summary(&self, ctx: &Context<'_>) -> Result<Walked<PaymentSummary>, Failure> {
        Ok(Walked(self.ledger(ctx).await?.summary(&self.row)?.into()))
    }

    /// Free-form pairs kept for the caller who made it.
    async fn metadata(&self) -> Metadata {
        (&self.row.metadata).into()
    }

    /// Grows with each change; send it as `expectedVersion` to change only what was read.
    async fn version(&self) -> i32 {
        self.row.version
    }

    /// When it was made.
    async fn created_at(&self) -> Instant {
        Instant::At(self.row.created_at)
    }

    /// When it last changed.
    async fn updated_at(&self) -> Instant {
        Instant::At(self.row.updated_at)
    }

    /// When it was paid.
    async fn paid_at(&self) -> Option<Instant> {
        self.row.paid_at.map(Instant::At)
    }

    /// When it was cancelled.
    async fn cancelled_at(&self) -> Option<Instant> {
        self.row.cancelled_at.map(Instant::At)
    }
}

at_hand!(Order,
    "id" => |it| it.row.id.to_string(),
    "number" => |it| it.row.number,
    "owner" => |it| it.owner_at_hand(),
    "status" => |it| OrderStatus::from(it.row.status),
    "cart" => |it| Cart(it.row.cart.clone()),
    "snapshot" => |it| it.known.snapshot.clone()?.map(OrderSnapshot),
    "total" => |it| Money::from(it.row.total()),
    "amountDue" => |it| Money::from(it.known.ledger.as_ref()?.amount_due(&it.row).ok()?),
    "payments" => |it| payments(it.known.ledger.as_ref()?),
    "paymentAttempts" => |it| attempts(it.known.attempts.as_ref()?),
    "paymentSummary" => |it| PaymentSummary::from(it.known.ledger.as_ref()?.summary(&it.row).ok()?),
    "metadata" => |it| Metadata::from(&it.row.metadata),
    "version" => |it| it.row.version,
    "createdAt" => |it| Instant::At(it.row.created_at),
    "updatedAt" => |it| Instant::At(it.row.updated_at),
    "paidAt" => |it| it.row.paid_at.map(Instant::At),
    "cancelledAt" => |it| it.row.cancelled_at.map(Instant::At),
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
