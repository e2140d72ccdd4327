//! The lock that a piece of work runs under, from the taking to the giving back (rules K1, K5, K7).
//!
//! What changes a payment asks for a [`HeldLock`], which only a lock that stands can give, within the transaction that writes; what records a
//! provider's answer asks for a [`LockedRow`] alone, because an answer is always stored (rule P7).
//!
//! Rows are locked in one order everywhere, so that nobody waits in a circle: an order's row first, then payments' locks by their ids.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    audit::Actor,
    id::PaymentId,
    lock::{ActiveModel, Busy, Column, Entity, Lost, Model, TokenHash},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};

use super::{lock::Token, payment};
use crate::{
    app::App,
    db::{Database, WriteTransaction},
    error::{Error, Problem},
    faults::{self, Broken},
};

/// What somebody comes to a payment for.
#[derive(Clone, Debug)]
pub(super) struct Errand<'a> {
    /// Who: so it stands in the audit trail.
    pub by: Actor,
    /// Under which lock, where they have one.
    pub token: Option<&'a Token>,
    /// Shown to whoever finds the payment locked meanwhile.
    pub purpose: &'a str,
}

/// The lock that a piece of work runs under: the caller's, or one that the work took itself and gives back.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    payment_id: PaymentId,
    token: TokenHash,
    fencing_number: i64,
    ours: bool,
    by: Actor,
}

/// A lock's row, locked in the database until the transaction ends: enough to record what a provider said. Nobody else writes to the payment's audit
/// trail meanwhile.
pub(super) struct LockedRow<'tx> {
    pub tx: &'tx WriteTransaction,
    pub payment_id: PaymentId,
    /// Who writes.
    pub by: Actor,
}

/// A lock that stands, with its row locked until the transaction ends: what every write that changes a payment needs (rule K5). Only a lock that was
/// looked at within this transaction gives one.
pub(super) struct HeldLock<'tx> {
    row: LockedRow<'tx>,
    fencing_number: i64,
}

impl Lease {
    /// Whether the work took it itself, and gives it back.
    pub fn is_ours(&self) -> bool {
        self.ours
    }
}

impl<'tx> HeldLock<'tx> {
    fn new(tx: &'tx WriteTransaction, payment_id: PaymentId, by: Actor, fencing_number: i64) -> Self {
        Self { row: LockedRow { tx, payment_id, by }, fencing_number }
    }

    /// The same lock, where what is done under it the server does of itself.
    pub fn of_the_server(mut self) -> Self {
        self.row.by = Actor::SERVER;
        self
    }

    pub fn row(&self) -> &LockedRow<'tx> {
        &self.row
    }

    pub fn tx(&self) -> &'tx WriteTransaction {
        self.row.tx
    }

    pub fn payment_id(&self) -> PaymentId {
        self.row.payment_id
    }

    pub fn fencing_number(&self) -> i64 {
        self.fencing_number
    }
}

/// Locks the row of a payment's lock, whoever holds the lock.
pub(super) async fn row(tx: &WriteTransaction, payment_id: PaymentId, by: Actor) -> Result<LockedRow<'_>, Error> {
    lock_row(tx, payment_id).await?;
    Ok(LockedRow { tx, payment_id, by })
}

/// Takes the lock for a piece of work, or looks whether the caller's stands (rule K1).
pub(super) async fn enter<'tx>(
    app: &App,
    tx: &'tx WriteTransaction,
    payment_id: PaymentId,
    errand: &Errand<'_>,
) -> Result<(Lease, HeldLock<'tx>), Error> {
    let row = lock_row(tx, payment_id).await?;
    let now = Database::now(tx).await?;
    let by = errand.by.clone();
    let lease = match errand.token {
        Some(token) => {
            let token = token.hash();
            row.check(&token, row.fencing_number, now).map_err(|Lost| lost(payment_id))?;
            // It has to last until whoever waits for a provider holds on to it.
            let extended = row.extend(&token, now, ttl(app)).map_err(|Lost| lost(payment_id))?;
            if extended != row {
                write(tx, &extended).await?;
            }
            Lease { payment_id, token, fencing_number: row.fencing_number, ours: false, by }
        }
        None => {
            let token = Token::random()?.hash();
            let taken = row.take(token.clone(), Some(errand.purpose.to_owned()), now, ttl(app));
            let taken = taken.map_err(|busy| locked(payment_id, busy, now))?;
            write(tx, &taken).await?;
            Lease { payment_id, token, fencing_number: taken.fencing_number, ours: true, by }
        }
    };
    let held = HeldLock::new(tx, payment_id, lease.by.clone(), lease.fencing_number);
    Ok((lease, held))
}

/// Takes the lock for a piece of work in a transaction of its own, or looks whether the caller's stands.
pub(super) async fn acquire(app: &App, payment_id: PaymentId, errand: &Errand<'_>) -> Result<Lease, Error> {
    let tx = app.db.begin_write().await?;
    let (lease, _) = enter(app, &tx, payment_id, errand).await?;
    tx.commit().await?;
    Ok(lease)
}

/// Looks whether one could [`enter`], and touches nothing.
pub(super) async fn look(tx: &WriteTransaction, payment_id: PaymentId, token: Option<&Token>) -> Result<(), Error> {
    let row = lock_row(tx, payment_id).await?;
    let now = Database::now(tx).await?;
    match token {
        Some(token) => row.check(&token.hash(), row.fencing_number, now).map_err(|Lost| lost(payment_id).into()),
        None => row.holder_at(now).map_err(|busy| locked(payment_id, busy, now).into()),
    }
}

/// Takes the lock for this transaction alone, or looks whether the caller's stands: for work that asks no provider.
pub(super) async fn pass<'tx>(
    tx: &'tx WriteTransaction,
    payment_id: PaymentId,
    errand: &Errand<'_>,
) -> Result<HeldLock<'tx>, Error> {
    let row = lock_row(tx, payment_id).await?;
    let now = Database::now(tx).await?;
    let fencing_number = match errand.token {
        Some(token) => {
            let number = row.fencing_number;
            row.check(&token.hash(), number, now).map_err(|Lost| lost(payment_id))?;
            number
        }
        None => {
            let passed = row.take_and_give_back(now).map_err(|busy| locked(payment_id, busy, now))?;
            write(tx, &passed).await?;
            passed.fencing_number
        }
    };
    Ok(HeldLock::new(tx, payment_id, errand.by.clone(), fencing_number))
}

/// As [`pass`], where the caller's lock may be on this payment or on another one.
pub(super) async fn pass_if_mine<'tx>(
    tx: &'tx WriteTransaction,
    payment_id: PaymentId,
    errand: &Errand<'_>,
) -> Result<HeldLock<'tx>, Error> {
    let row = lock_row(tx, payment_id).await?;
    let token = errand.token.filter(|token| row.belongs_to(&token.hash()));
    pass(tx, payment_id, &Errand { token, ..errand.clone() }).await
}

/// The lock of a payment that this transaction makes.
pub(super) async fn make(tx: &WriteTransaction, payment_id: PaymentId) -> Result<(), DbErr> {
    Entity::insert(Model::new(payment_id).into_active_model()).exec_without_returning(tx).await.map(|_| ())
}

/// Whether work that goes on under a lease may still write, with the row locked for it (rule K5).
pub(super) async fn hold<'tx>(tx: &'tx WriteTransaction, lease: &Lease) -> Result<HeldLock<'tx>, Error> {
    let payment_id = lease.payment_id;
    let held = HeldLock::new(tx, payment_id, lease.by.clone(), lease.fencing_number);
    if faults::is_broken(Broken::NoLock) {
        return Ok(held);
    }
    let row = lock_row(tx, payment_id).await?;
    let now = Database::now(tx).await?;
    row.check(&lease.token, lease.fencing_number, now).map_err(|Lost| lost(payment_id))?;
    Ok(held)
}

/// Looks whether a lease still stands, right before something is sent under it.
pub(super) async fn still_stands(app: &App, lease: &Lease) -> Result<(), Error> {
    let (payment_id, db) = (lease.payment_id, app.db.read());
    if faults::is_broken(Broken::NoLock) {
        return Ok(());
    }
    let row = Entity::find_by_id(payment_id).one(db).await?.ok_or(Problem::PaymentNotFound)?;
    let now = Database::now(db).await?;
    row.check(&lease.token, lease.fencing_number, now).map_err(|Lost| lost(payment_id).into())
}

/// Waits for a provider, and holds on to the lease meanwhile (rule K7). A lease that is lost while waiting ends no waiting: an answer that arrives is
/// stored all the same.
pub(super) async fn keep<T>(app: &App, lease: &Lease, work: impl Future<Output = T>) -> T {
    // On the heap: whoever waits for a provider stands at the end of a long row of futures, each of which holds the next.
    let mut work = Box::pin(work);
    // The two go on side by side: work that holds the lock's row would wait for ever for a renewal that waits for the row.
    let done = tokio::select! {
        biased;
        done = &mut work => Some(done),
        () = Box::pin(renew_until_lost(app, lease)) => None,
    };
    match done {
        Some(done) => done,
        None => work.await,
    }
}

async fn renew_until_lost(app: &App, lease: &Lease) {
    loop {
        tokio::time::sleep(app.payment_lock_ttl / 3).await;
        match renew(app, lease).await {
            Ok(()) => {}
            Err(Error::Problem(problem)) => {
                tracing::warn!(payment = %lease.payment_id, %problem, "a lock was lost while a provider was asked");
                return;
            }
            Err(error) => {
                tracing::warn!(payment = %lease.payment_id, ?error, "a lock could not be held on to; it is tried again");
            }
        }
    }
}

/// Holds on to a lease from now for its whole time, or tells that it is lost: between one call to a provider and the next.
pub(super) async fn renew(app: &App, lease: &Lease) -> Result<(), Error> {
    let tx = app.db.begin_write().await?;
    let row = lock_row(&tx, lease.payment_id).await?;
    let now = Database::now(&tx).await?;
    let stands = row.check(&lease.token, lease.fencing_number, now);
    let extended = stands.and_then(|()| row.extend(&lease.token, now, ttl(app)));
    write(&tx, &extended.map_err(|Lost| lost(lease.payment_id))?).await?;
    Ok(tx.commit().await?)
}

/// Gives a lock back that the work took itself, within the transaction that ends the work; the caller's is left held (rule K1).
pub(super) async fn leave_within(row: &LockedRow<'_>, lease: &Lease) -> Result<(), Error> {
    if !lease.ours {
        return Ok(());
    }
    let lock = Entity::find_by_id(row.payment_id).one(row.tx).await?.ok_or(Error::missing(row.payment_id))?;
    match lock.give_back(&lease.token) {
        Some(free) => Ok(write(row.tx, &free).await?),
        None => Ok(()),
    }
}

/// Gives a lock back, whatever became of the work. If that can't be done it runs out by itself.
pub(super) async fn leave(app: &App, lease: &Lease) {
    if !lease.ours {
        return;
    }
    let left = async {
        let tx = app.db.begin_write().await?;
        leave_within(&row(&tx, lease.payment_id, lease.by.clone()).await?, lease).await?;
        Ok::<(), Error>(tx.commit().await?)
    };
    if let Err(error) = left.await {
        tracing::warn!(payment = %lease.payment_id, ?error, "a lock could not be given back; it will run out");
    }
}

fn ttl(app: &App) -> TimeDelta {
    TimeDelta::from_std(app.payment_lock_ttl).unwrap_or(TimeDelta::seconds(10))
}

pub(super) fn lost(payment_id: PaymentId) -> Problem {
    Problem::LockLost { payment_id: payment_id.to_string() }
}

pub(super) fn locked(payment_id: PaymentId, Busy { purpose, expires_at }: Busy, now: DateTime<Utc>) -> Problem {
    let wait = (expires_at - now).to_std().unwrap_or_default() + Duration::from_millis(1);
    let retry_after_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    Problem::PaymentLocked { payment_id: payment_id.to_string(), purpose, expires_at, retry_after_ms }
}

pub(super) async fn lock_row(tx: &WriteTransaction, payment_id: PaymentId) -> Result<Model, Error> {
    if faults::is_broken(Broken::NoLock) {
        // Everybody is given a lock that nobody has.
        return Ok(Model::new(payment_id));
    }
    if let Some(row) = Entity::find_by_id(payment_id).lock_exclusive().one(tx).await? {
        return Ok(row);
    }
    make_missing(tx, payment_id).await?;
    let made = Entity::find_by_id(payment_id).lock_exclusive().one(tx).await?;
    made.ok_or(Problem::PaymentNotFound.into())
}

/// While servers are replaced one by one, an older one may still make payments without their locks.
async fn make_missing(tx: &WriteTransaction, payment_id: PaymentId) -> Result<(), Error> {
    payment::by_id(tx, payment_id).await?;
    let row = Model::new(payment_id).into_active_model();
    Entity::insert(row).on_conflict_do_nothing().exec_without_returning(tx).await?;
    Ok(())
}

/// The rows of these locks, in the order of the ids, locked in that order until the transaction ends. Each payment has one.
pub(super) async fn lock_rows(tx: &WriteTransaction, ids: &[PaymentId]) -> Result<Vec<Model>, Error> {
    let locked = || {
        let query = Entity::find().filter(Column::PaymentId.is_in(ids.iter().copied()));
        query.order_by_asc(Column::PaymentId).lock_exclusive().all(tx)
    };
    let rows = locked().await?;
    if rows.len() == ids.len() {
        return Ok(rows);
    }
    for id in ids.iter().filter(|id| rows.iter().all(|row| row.payment_id != **id)) {
        make_missing(tx, *id).await?;
    }
    Ok(locked().await?)
}

pub(super) async fn write(tx: &WriteTransaction, lock: &Model) -> Result<(), DbErr> {
    if faults::is_broken(Broken::NoLock) {
        // The writing alone would make others wait.
        return Ok(());
    }
    let values = ActiveModel {
        token_hash: Set(lock.token_hash.clone()),
        fencing_number: Set(lock.fencing_number),
        purpose: Set(lock.purpose.clone()),
        acquired_at: Set(lock.acquired_at),
        expires_at: Set(lock.expires_at),
        ..ActiveModel::default()
    };
    Entity::update_many().set(values).filter(Column::PaymentId.eq(lock.payment_id)).exec(tx).await.map(|_| ())
}
