//! Orders: made, found, changed, cancelled, and marked paid.
//!
//! Every verb that changes an order locks its row first, so that what was checked still holds when it is written.

use chrono::{DateTime, Utc};
use entity::{
    cart::Cart,
    id::{AttemptId, OrderId},
    metadata::Metadata,
    money::Money,
    operation,
    order::{ActiveModel, Column, Entity, Event, Model, Status, number},
    outbox::Topic,
    owner::{self, Owner},
    snapshot,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, SqlErr,
    sea_query::{Expr, ExprTrait, OnConflict},
};

use super::{
    attempt,
    lease::Errand,
    lock::Token,
    operation as idempotency,
    operation::{Key, Start},
    outbox,
    payment::{self, reached_by},
    reversal, session,
};
use crate::{
    app::App,
    auth::{Audience, Caller, Scope},
    db::{WriteTransaction, tried_again},
    error::{Error, Problem, Read},
    faults::{self, Broken},
};

/// Ten random characters don't meet twice; if they do, others are drawn.
const NUMBER_TRIES: usize = 3;

/// An order to be made.
#[derive(Clone, Debug)]
pub struct NewOrder {
    pub owner: Owner,
    pub cart: Cart,
    pub metadata: Metadata,
}

/// Makes an order that awaits payment (rules O1 to O4). The same key again gives the same order back, as it is by then (rule I2).
pub async fn create_order(
    app: &App,
    caller: &Caller,
    new: Read<NewOrder>,
    idempotency_key: &str,
) -> Result<Model, Error> {
    caller.require(Scope::OrdersWrite)?;
    let new = new?;
    let metadata = serde_json::to_string(&new.metadata).map_err(|error| Error::Fault(error.to_string()))?;
    let digest = new.cart.digest().to_string();
    let owner_kind = format!("{:?}", new.owner.kind);
    let input = [&owner_kind, &new.owner.id, &digest, &metadata].map(String::as_str);
    let key = Key::new(caller, "createOrder", idempotency_key, &input)?;
    for _ in 0..NUMBER_TRIES {
        if let Some(order) = tried_again(|| create_once(app, &new, &key)).await? {
            return Ok(order);
        }
    }
    Err(Error::Fault("no free order number".into()))
}

/// `None` where its number is taken.
async fn create_once(app: &App, new: &NewOrder, key: &Key) -> Result<Option<Model>, Error> {
    let tx = app.db.begin_write().await?;
    match idempotency::start(&tx, key, app.clock.now(), app.patience()).await? {
        Start::New => {}
        // Work and key are written in one transaction, so what is there is whole.
        Start::Finished(done) | Start::Resumed(done) => {
            let id = done.order_id.ok_or(Error::Fault("a finished createOrder without an order".into()))?;
            return by_id(&tx, id).await?.ok_or(Error::missing(id)).map(Some);
        }
    }
    let sequence = next_sequence(&tx, &new.owner).await?;
    // Asked once the owner's row is held, so that the order of their orders is that of their times.
    let now = app.clock.now();
    let mut random = [0; 10];
    getrandom::fill(&mut random)?;
    let order = Model {
        id: OrderId::new(now),
        owner_kind: new.owner.kind,
        owner_id: new.owner.id.clone(),
        owner_sequence: sequence,
        number: number(random),
        status: Status::AwaitingPayment,
        cart_digest: new.cart.digest(),
        currency: new.cart.currency(),
        total_minor: new.cart.total().minor(),
        cart: new.cart.clone(),
        metadata: new.metadata.clone(),
        version: 1,
        created_at: now,
        updated_at: now,
        paid_at: None,
        cancelled_at: None,
        cancel_reason: None,
    };
    let inserted = Entity::insert(order.clone().into_active_model()).exec_without_returning(&tx).await;
    match inserted {
        Err(error) if breaks_number(&error) => return Ok(None),
        inserted => inserted?,
    };
    let came_to = operation::ActiveModel { order_id: Set(Some(order.id)), ..operation::ActiveModel::default() };
    idempotency::finish(&tx, key, now, None, came_to).await?;
    outbox::tell(&tx, order.id, now, &[(Topic::Order, order.id.uuid())]).await?;
    tx.commit().await?;
    Ok(Some(order))
}

fn breaks_number(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(what)) if what.contains("number"))
}

/// The next place in the owner's row of orders. Holds the owner's row until the transaction ends: their orders are made one after the
/// other.
async fn next_sequence(tx: &WriteTransaction, owner: &Owner) -> Result<i64, DbErr> {
    let first = owner::Model { kind: owner.kind, id: owner.id.clone(), order_count: 1 };
    let count = Expr::col((owner::Entity, owner::Column::OrderCount)).add(1);
    let counted = owner::Entity::insert(first.into_active_model())
        .on_conflict(
            OnConflict::columns([owner::Column::Kind, owner::Column::Id])
                .value(owner::Column::OrderCount, count)
                .to_owned(),
        )
        .exec_with_returning(tx)
        .await?;
    Ok(counted.order_count)
}

/// One order that the caller may see, or `None`: missing and foreign alike (rule A2).
pub async fn find(app: &App, caller: &Caller, id: OrderId) -> Result<Option<Model>, Error> {
    faults::panic_point("an order is looked for");
    let audience = caller.audience(Scope::OrdersRead)?;
    Ok(reached_by(Entity::find_by_id(id), &audience).one(app.db.read()).await?)
}

/// These orders, which were reached through something that the caller may see.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[OrderId]) -> Result<Vec<Model>, DbErr> {
    faults::panic_point("orders are loaded");
    Entity::find().filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

pub(super) async fn by_id(db: &impl ConnectionTrait, id: OrderId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// The snapshots of these orders; those that are not paid have none.
pub async fn snapshots(db: &impl ConnectionTrait, ids: &[OrderId]) -> Result<Vec<snapshot::Model>, DbErr> {
    snapshot::Entity::find().filter(snapshot::Column::OrderId.is_in(ids.iter().copied())).all(db).await
}

/// The order with its row locked until the transaction ends.
pub(super) async fn lock(tx: &WriteTransaction, audience: &Audience, id: OrderId) -> Result<Model, Error> {
    let query = Entity::find_by_id(id);
    let query = if faults::is_broken(Broken::NoLock) { query } else { query.lock_exclusive() };
    let found = reached_by(query, audience).one(tx).await?;
    found.ok_or(Problem::OrderNotFound.into())
}

/// An order that may be paid now: not paid, not cancelled, and without money on it that nobody has decided about.
pub async fn get_order_to_pay(app: &App, caller: &Caller, id: Read<OrderId>) -> Result<Model, Error> {
    let audience = caller.audience(Scope::OrdersRead)?;
    let order = reached_by(Entity::find_by_id(id?), &audience).one(app.db.read()).await?;
    let order = order.ok_or(Problem::OrderNotFound)?;
    attempt::may_be_charged(app.db.read(), &order).await?;
    Ok(order)
}

/// Refuses an order that is paid or cancelled.
pub(super) fn awaiting_payment(order: &Model) -> Result<(), Problem> {
    match order.status {
        Status::AwaitingPayment => Ok(()),
        Status::Paid => Err(Problem::OrderAlreadyPaid),
        Status::Cancelled => Err(Problem::OrderCancelled),
    }
}

fn expect_version(order: &Model, expected: Option<i32>) -> Result<(), Problem> {
    match expected {
        Some(expected) if expected != order.version => {
            Err(Problem::StaleVersion { of: order.id.to_string(), current: order.version })
        }
        _ => Ok(()),
    }
}

/// Another cart for an order.
#[derive(Clone, Debug)]
pub struct CartChange {
    pub order_id: OrderId,
    pub cart: Cart,
    /// The version that the caller read.
    pub expected_version: Option<i32>,
}

/// Puts another cart in place of the order's (rules O2, O7). One whose total was captured already makes the order paid (rule O6); one that costs
/// less than that is refused, until the difference is refunded.
pub async fn update_order_cart(app: &App, caller: &Caller, change: Read<CartChange>) -> Result<Model, Error> {
    let everybody = caller.require(Scope::OrdersWrite)?;
    let change = change?;
    tried_again(|| change_cart(app, &everybody, change.clone())).await
}

async fn change_cart(app: &App, audience: &Audience, change: CartChange) -> Result<Model, Error> {
    let CartChange { order_id: id, cart, expected_version } = change;
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    let order = lock(&tx, audience, id).await?;
    awaiting_payment(&order)?;
    expect_version(&order, expected_version)?;
    if attempt::open_on(&tx, id).await?.is_some() {
        return Err(Problem::OrderHasOpenAttempt.into());
    }
    let paid_in = payment::ledger(&tx, id).await?;
    // Money that is on its way was asked for the cart as it stands.
    if paid_in.waits_for_a_charge() {
        return Err(Problem::OutcomeUnknown.into());
    }
    if cart.currency() != order.currency && !paid_in.payments.is_empty() {
        let message =
            format!("The order has payments in {}; its cart can't change to {}.", order.currency, cart.currency());
        return Err(Problem::CurrencyMismatch { message }.into());
    }
    let captured = match paid_in.payments.is_empty() {
        true => Money::zero(cart.currency()),
        false => paid_in.summary(order.total())?.captured,
    };
    if !cart.total().covers(captured)? {
        let why =
            format!("costs {}, less than the {captured} that were captured: refund the difference first", cart.total());
        return Err(Problem::invalid("cart", why).into());
    }
    let changed = Model {
        cart_digest: cart.digest(),
        currency: cart.currency(),
        total_minor: cart.total().minor(),
        cart,
        version: order.version + 1,
        updated_at: now,
        ..order
    };
    let values = ActiveModel {
        cart_digest: Set(changed.cart_digest.clone()),
        currency: Set(changed.currency),
        total_minor: Set(changed.total_minor),
        cart: Set(changed.cart.clone()),
        ..touched(&changed)
    };
    write(&tx, &changed, values).await?;
    let changed = match captured.is_zero() {
        // What is free and was never charged is paid by its own verb alone.
        true => changed,
        false => match pay_if_covered(&tx, changed.clone(), None, now).await? {
            Payable::Paid(paid) => *paid,
            Payable::NotCovered(_) => changed,
        },
    };
    tx.commit().await?;
    Ok(changed)
}

/// What every change of an order writes.
fn touched(changed: &Model) -> ActiveModel {
    ActiveModel { version: Set(changed.version), updated_at: Set(changed.updated_at), ..ActiveModel::default() }
}

async fn write(tx: &WriteTransaction, changed: &Model, values: ActiveModel) -> Result<(), Error> {
    let query = Entity::update_many().set(values).filter(Column::Id.eq(changed.id));
    let written = query.filter(Column::Version.eq(changed.version - 1)).exec(tx).await?.rows_affected;
    if written != 1 {
        return Err(Error::Fault(format!("{} was locked and changed all the same", changed.id)));
    }
    Ok(outbox::tell(tx, changed.id, changed.updated_at, &[(Topic::Order, changed.id.uuid())]).await?)
}

/// An order to be cancelled.
#[derive(Clone, Debug)]
pub struct Cancellation {
    pub order_id: OrderId,
    /// Why, for the record.
    pub reason: Option<String>,
    /// The version that the caller read.
    pub expected_version: Option<i32>,
    /// The caller's lock on the payment of the attempt that is open.
    pub lock_token: Option<Token>,
}

/// Cancels an order (rules O5, O7). What payments hold for it is given back. An open attempt is cancelled at the provider first; if it was paid a moment before, the order is paid
/// and not cancelled. Cancelling twice gives the cancelled order back.
pub async fn cancel_order(app: &App, caller: &Caller, cancellation: Read<Cancellation>) -> Result<Model, Error> {
    let everybody = caller.require(Scope::OrdersWrite)?;
    let Cancellation { order_id: id, reason, expected_version, lock_token } = cancellation?;
    // Each round ends one open attempt; another one may be opened meanwhile, though not for ever.
    for _ in 0..session::MOST_ROUNDS {
        let tx = app.db.begin_write().await?;
        let order = lock(&tx, &everybody, id).await?;
        match order.status {
            Status::Cancelled => return Ok(order),
            Status::Paid => return Err(Problem::OrderAlreadyPaid.into()),
            Status::AwaitingPayment => expect_version(&order, expected_version)?,
        }
        match attempt::open_on(&tx, id).await? {
            None => {
                let errand = Errand { by: caller.actor(), token: lock_token.as_ref(), purpose: "cancelOrder" };
                return cancel_now(app, tx, order, reason, &errand).await;
            }
            Some(open) => {
                tx.rollback().await?;
                Box::pin(session::end(app, &open, lock_token.as_ref())).await?;
            }
        }
    }
    Err(Problem::OrderHasOpenAttempt.into())
}

async fn cancel_now(
    app: &App,
    tx: WriteTransaction,
    order: Model,
    reason: Option<String>,
    errand: &Errand<'_>,
) -> Result<Model, Error> {
    let now = app.clock.now();
    let holding = reversal::mark_order(&tx, order.id, errand, now).await?;
    let cancelled = Model {
        status: next(&order, Event::Cancelled)?,
        cancelled_at: Some(now),
        cancel_reason: reason,
        version: order.version + 1,
        updated_at: now,
        ..order
    };
    let values = ActiveModel {
        status: Set(cancelled.status),
        cancelled_at: Set(cancelled.cancelled_at),
        cancel_reason: Set(cancelled.cancel_reason.clone()),
        ..touched(&cancelled)
    };
    write(&tx, &cancelled, values).await?;
    tx.commit().await?;
    for payment in &holding {
        Box::pin(reversal::reverse_unwanted_if_free(app, payment, errand.token)).await?;
    }
    Ok(cancelled)
}

pub(super) fn next(order: &Model, event: Event) -> Result<Status, Error> {
    order.status.on(event).map_err(|illegal| Error::Fault(format!("{}: {illegal:?}", order.id)))
}

/// Marks an order paid if captured money covers it; a paid order comes back unchanged (rule O6).
pub async fn process_order_to_paid(app: &App, caller: &Caller, id: Read<OrderId>) -> Result<Model, Error> {
    let everybody = caller.require(Scope::OrdersWrite)?;
    let tx = app.db.begin_write().await?;
    let order = lock(&tx, &everybody, id?).await?;
    match order.status {
        Status::Paid => return Ok(order),
        Status::Cancelled => return Err(Problem::OrderCancelled.into()),
        Status::AwaitingPayment => {}
    }
    let (total, now) = (order.total(), app.clock.now());
    match pay_if_covered(&tx, order, None, now).await? {
        Payable::Paid(paid) => {
            attempt::hide_open(&tx, paid.id, now).await?;
            tx.commit().await?;
            Box::pin(session::end_leftover(app, paid.id)).await?;
            Ok(*paid)
        }
        Payable::NotCovered(captured) => Err(Problem::OrderNotCovered { captured, total }.into()),
    }
}

/// What became of an order whose money was counted.
pub(super) enum Payable {
    Paid(Box<Model>),
    NotCovered(Money),
}

/// Marks a locked order that awaits payment as paid and takes its snapshot, if captured money covers its total (rules O6, T4).
pub(super) async fn pay_if_covered(
    tx: &WriteTransaction,
    order: Model,
    attempt_id: Option<AttemptId>,
    now: DateTime<Utc>,
) -> Result<Payable, Error> {
    let kept = payment::ledger(tx, order.id).await?.kept(order.total())?;
    if !kept.covers(order.total())? {
        return Ok(Payable::NotCovered(kept));
    }
    let paid = Model {
        status: next(&order, Event::Paid)?,
        paid_at: Some(now),
        version: order.version + 1,
        updated_at: now,
        ..order
    };
    let values = ActiveModel { status: Set(paid.status), paid_at: Set(paid.paid_at), ..touched(&paid) };
    write(tx, &paid, values).await?;
    let snapshot = snapshot::Model {
        order_id: paid.id,
        cart: paid.cart.clone(),
        cart_digest: paid.cart_digest.clone(),
        attempt_id,
        taken_at: now,
    };
    snapshot::Entity::insert(snapshot.into_active_model()).exec_without_returning(tx).await?;
    Ok(Payable::Paid(Box::new(paid)))
}
