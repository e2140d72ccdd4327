//! Payments: made, changed, archived (rules P1, K1, S1).
//!
//! Nothing is charged here. An authorization that a change makes unwanted is reversed before the change is told as done.

use chrono::{DateTime, Utc};
use entity::{
    id::{OrderId, PaymentId, TransactionId},
    metadata::Metadata,
    method,
    money::Money,
    operation as kept,
    outbox::Topic,
    payment::{ActiveModel, Column, Entity, MethodToken, Model, Status},
    summary::{Entry, PaymentSummary},
    transaction::{Kind, Model as Transaction},
};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter,
};

use super::{
    attempt,
    lease::{self, Errand, HeldLock, Lease},
    lock::{Token, expect_version},
    operation::{self, Key, Start},
    order, outbox,
    payment::{self as payments, Booked},
    recovery, reversal,
};
use crate::{
    app::App,
    auth::{Audience, Caller, Scope},
    db::{WriteTransaction, tried_again},
    error::{Error, Problem, Read},
};

/// A payment to be made.
#[derive(Clone, Debug)]
pub struct NewPayment {
    pub order_id: OrderId,
    /// By name.
    pub provider: String,
    /// Its share of the order.
    pub amount: Money,
    pub method_token: MethodToken,
    /// Safe to show.
    pub display: Metadata,
}

/// Makes a payment for an order that awaits payment. The same key again gives the same payment back, as it is by then. Needs `payments:write`.
pub async fn create_payment(
    app: &App,
    caller: &Caller,
    new: Read<NewPayment>,
    idempotency_key: &str,
) -> Result<Booked, Error> {
    let everybody = caller.require(Scope::PaymentsWrite)?;
    let new = new?;
    let provider = app.providers.named(&new.provider).ok_or_else(|| Problem::unknown_provider(&new.provider))?;
    let key = key(caller, &new, idempotency_key)?;
    tried_again(|| Box::pin(create(app, &everybody, provider.name(), new.clone(), &key))).await
}

async fn create(app: &App, audience: &Audience, provider: &str, new: NewPayment, key: &Key) -> Result<Booked, Error> {
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    let order = order::lock(&tx, audience, new.order_id).await?;
    match operation::start(&tx, key, now, app.patience()).await? {
        Start::New => {}
        // Work and key are written in one transaction, so what is there is whole.
        Start::Finished(done) | Start::Resumed(done) => {
            let id = done.payment_id.ok_or(Error::Fault("a finished createPayment without a payment".into()))?;
            return payments::one_booked(&tx, id).await;
        }
    }
    order::awaiting_payment(&order)?;
    if new.amount.currency() != order.currency {
        let message = format!("The order is in {}, not in {}.", order.currency, new.amount.currency());
        return Err(Problem::CurrencyMismatch { message }.into());
    }
    let payment = Model {
        id: PaymentId::new(now),
        order_id: order.id,
        provider: provider.to_owned(),
        status: Status::Active,
        amount_minor: new.amount.minor(),
        currency: new.amount.currency(),
        display: new.display,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    insert(&tx, &payment, Some(new.method_token)).await?;
    let (order_id, payment_id) = (Set(Some(order.id)), Set(Some(payment.id)));
    let came_to = kept::ActiveModel { order_id, payment_id, ..kept::ActiveModel::default() };
    operation::finish(&tx, key, now, None, came_to).await?;
    outbox::tell(&tx, order.id, now, &[(Topic::Payment, payment.id.uuid())]).await?;
    tx.commit().await?;
    Ok(Booked { payment, entries: vec![] })
}

fn key(caller: &Caller, new: &NewPayment, idempotency_key: &str) -> Result<Key, Problem> {
    let display = serde_json::to_string(&new.display).unwrap_or_default();
    let (order, amount) = (new.order_id.to_string(), new.amount.to_string());
    // The fingerprint is a hash of all of it, so the token does not lie in the operation's row.
    let input = [order.as_str(), &new.provider, &amount, &new.method_token.0, &display];
    Key::new(caller, "createPayment", idempotency_key, &input)
}

/// Writes a new payment, and the lock that it is worked on under.
pub(super) async fn insert(tx: &WriteTransaction, payment: &Model, method: Option<MethodToken>) -> Result<(), Error> {
    Entity::insert(payment.clone().into_active_model()).exec_without_returning(tx).await?;
    if let Some(method) = method {
        let values = method::ActiveModel { method_token: Set(Some(method)), ..method::ActiveModel::default() };
        let query = method::Entity::update_many().set(values);
        query.filter(method::Column::Id.eq(payment.id)).exec(tx).await?;
    }
    Ok(lease::make(tx, payment.id).await?)
}

/// A change of a payment.
#[derive(Clone, Debug)]
pub struct PaymentChange {
    pub payment_id: PaymentId,
    pub amount: Option<Money>,
    pub display: Option<Metadata>,
    /// The version that the caller read.
    pub expected_version: Option<i32>,
    pub lock_token: Option<Token>,
}

impl PaymentChange {
    fn errand(&self, caller: &Caller) -> Errand<'_> {
        Errand { by: caller.actor(), token: self.lock_token.as_ref(), purpose: "updatePayment" }
    }
}

/// Changes a payment. Where its amount changes, authorizations for the amount that it had are given back (rule S1). Needs `payments:write`.
pub async fn update_payment(app: &App, caller: &Caller, change: Read<PaymentChange>) -> Result<Booked, Error> {
    caller.require(Scope::PaymentsWrite)?;
    let change = change?;
    let payment = payments::by_id(app.db.read(), change.payment_id).await?;
    if change.amount.is_none() {
        return tried_again(|| update_display(app, caller, &payment, change.clone())).await;
    }
    let lease = Box::pin(recovery::enter(app, &payment, &change.errand(caller))).await?;
    ending(app, &lease, update(app, &payment, change, &lease)).await
}

/// Changes what is shown of a payment: that asks no provider, and one transaction is enough.
async fn update_display(app: &App, caller: &Caller, payment: &Model, change: PaymentChange) -> Result<Booked, Error> {
    let tx = app.db.begin_write().await?;
    order::lock(&tx, &Audience::of_the_server(), payment.order_id).await?;
    let held = lease::pass(&tx, payment.id, &change.errand(caller)).await?;
    let current = active(&tx, payment.id, change.expected_version).await?;
    let now = app.clock.now();
    write(&held, &current, values(&current, change.display, now), now).await?;
    let changed = payments::one_booked(&tx, payment.id).await?;
    tx.commit().await?;
    Ok(changed)
}

/// What every change of a payment writes.
fn values(current: &Model, display: Option<Metadata>, now: DateTime<Utc>) -> ActiveModel {
    let (version, updated_at) = (Set(current.version + 1), Set(now));
    let display = display.map_or(NotSet, Set);
    ActiveModel { version, updated_at, display, ..ActiveModel::default() }
}

async fn update(app: &App, payment: &Model, change: PaymentChange, lease: &Lease) -> Result<Booked, Error> {
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    let order = order::lock(&tx, &Audience::of_the_server(), payment.order_id).await?;
    let held = lease::hold(&tx, lease).await?;
    let current = active(&tx, payment.id, change.expected_version).await?;
    let mut values = values(&current, change.display, now);
    let mut rests = vec![];
    if let Some(amount) = change.amount.filter(|amount| *amount != current.amount()) {
        order::awaiting_payment(&order)?;
        let ledger = payments::transactions(&tx, payment.id).await?;
        check_amount(&current, amount, &ledger)?;
        check_method(&tx, &current).await?;
        rests = reversal::mark_unwanted(&held, &ledger, now).await?;
        values.amount_minor = Set(amount.minor());
    }
    write(&held, &current, values, now).await?;
    tx.commit().await?;
    give_back(app, payment, &rests, lease).await?;
    payments::one_booked(app.db.read(), payment.id).await
}

/// A payment can't become smaller than what was taken for it, or is about to be.
fn check_amount(payment: &Model, amount: Money, ledger: &[Transaction]) -> Result<(), Error> {
    if amount.currency() != payment.currency {
        let message = format!("The payment is in {}, not in {}.", payment.currency, amount.currency());
        return Err(Problem::CurrencyMismatch { message }.into());
    }
    let taken = taken(payment, ledger)?;
    match amount.covers(taken)? {
        true => Ok(()),
        false => {
            Err(Problem::invalid("amount", format!("is less than {taken}, which is captured or about to be")).into())
        }
    }
}

/// What a shopper was asked for on a provider's page stays what they were asked for.
async fn check_method(tx: &WriteTransaction, payment: &Model) -> Result<(), Error> {
    let method = method::Entity::find_by_id(payment.id).one(tx).await?;
    match method.and_then(|row| row.method_token) {
        Some(_) => Ok(()),
        None => Err(Problem::invalid("amount", "was asked for on the provider's page, and can't change").into()),
    }
}

/// What was ever captured, and what may be about to be.
fn taken(payment: &Model, ledger: &[Transaction]) -> Result<Money, Error> {
    let entries: Vec<Entry> = ledger.iter().map(Transaction::entry).collect();
    let known = PaymentSummary::of(payment.amount(), &entries)?.total_ever_captured;
    let unanswered = ledger.iter().filter(|row| row.status.is_unanswered() && row.kind.captures());
    Ok(known.plus(Money::sum(unanswered.map(Transaction::amount), payment.currency)?)?)
}

/// A payment to be archived.
#[derive(Clone, Debug)]
pub struct Archiving {
    pub payment_id: PaymentId,
    /// The version that the caller read.
    pub expected_version: Option<i32>,
    pub lock_token: Option<Token>,
}

/// Archives a payment: its authorizations are given back (rule S1), and nothing new is begun on it. Archived again it comes back unchanged. One that
/// holds captured money is refunded first, so that no money lies where nobody looks. Needs `payments:write`.
pub async fn archive_payment(app: &App, caller: &Caller, archiving: Read<Archiving>) -> Result<Booked, Error> {
    caller.require(Scope::PaymentsWrite)?;
    let archiving = archiving?;
    let payment = payments::by_id(app.db.read(), archiving.payment_id).await?;
    let errand = Errand { by: caller.actor(), token: archiving.lock_token.as_ref(), purpose: "archivePayment" };
    let lease = Box::pin(recovery::enter(app, &payment, &errand)).await?;
    ending(app, &lease, archive(app, &payment, archiving.expected_version, &lease)).await
}

async fn archive(app: &App, payment: &Model, expected: Option<i32>, lease: &Lease) -> Result<Booked, Error> {
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    let order = order::lock(&tx, &Audience::of_the_server(), payment.order_id).await?;
    let held = lease::hold(&tx, lease).await?;
    let current = match active(&tx, payment.id, expected).await {
        Err(Error::Problem(Problem::PaymentArchived)) => return payments::one_booked(&tx, payment.id).await,
        current => current?,
    };
    if attempt::open_on(&tx, order.id).await?.is_some_and(|open| open.payment_id == payment.id) {
        return Err(Problem::OrderHasOpenAttempt.into());
    }
    let ledger = payments::transactions(&tx, payment.id).await?;
    check_money(&current, &ledger)?;
    let rests = reversal::mark_unwanted(&held, &ledger, now).await?;
    let values = ActiveModel { status: Set(Status::Archived), ..values(&current, None, now) };
    write(&held, &current, values, now).await?;
    tx.commit().await?;
    give_back(app, payment, &rests, lease).await?;
    payments::one_booked(app.db.read(), payment.id).await
}

fn check_money(payment: &Model, ledger: &[Transaction]) -> Result<(), Error> {
    let entries: Vec<Entry> = ledger.iter().map(Transaction::entry).collect();
    let captured = PaymentSummary::of(payment.amount(), &entries)?.captured;
    if captured.minor() > 0 {
        let why = format!("names a payment that holds captured money, {captured}; refund it first");
        return Err(Problem::invalid("paymentId", why).into());
    }
    let moving = |row: &&Transaction| row.status.is_unanswered() && row.kind != Kind::Authorize && row.kind.charges();
    match ledger.iter().find(moving) {
        Some(_) => Err(Problem::OutcomeUnknown.into()),
        None => Ok(()),
    }
}

/// A payment that something may be begun on.
async fn active(tx: &WriteTransaction, id: PaymentId, expected: Option<i32>) -> Result<Model, Error> {
    let payment = payments::by_id(tx, id).await?;
    if payment.status == Status::Archived {
        return Err(Problem::PaymentArchived.into());
    }
    expect_version(&payment, expected)?;
    Ok(payment)
}

async fn write(held: &HeldLock<'_>, current: &Model, values: ActiveModel, now: DateTime<Utc>) -> Result<(), Error> {
    let query = Entity::update_many().set(values).filter(Column::Id.eq(held.payment_id()));
    let written = query.filter(Column::Version.eq(current.version)).exec(held.tx()).await?.rows_affected;
    if written != 1 {
        return Err(Error::Fault(format!("{} changed under its lock", current.id)));
    }
    Ok(outbox::tell(held.tx(), current.order_id, now, &[(Topic::Payment, current.id.uuid())]).await?)
}

/// Sends the reversals that were written down, and those of what is marked. The change is made: if the lock is lost now, whoever works on the payment
/// next finds what is left to be sent.
async fn give_back(app: &App, payment: &Model, rests: &[TransactionId], lease: &Lease) -> Result<(), Error> {
    let sent = async {
        for id in rests {
            reversal::send(app, payment, *id, lease).await?;
        }
        reversal::reverse_unwanted(app, payment, lease).await
    };
    match sent.await {
        Err(Error::Problem(problem)) => {
            tracing::warn!(payment = %payment.id, %problem, "what is not wanted is not reversed yet");
            Ok(())
        }
        sent => sent,
    }
}

/// Gives the lock back on every way out (rule K1).
async fn ending(app: &App, lease: &Lease, work: impl Future<Output = Result<Booked, Error>>) -> Result<Booked, Error> {
    let done = Box::pin(work).await;
    lease::leave(app, lease).await;
    done
}
