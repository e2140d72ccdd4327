//! Locks on payments: taken, held on to, and given back (rules K1 to K8).
//!
//! The protocol's steps are [`entity::lock`]'s; here each is one transaction with the lock's row locked in the database, and the database's time.
//! What changes a payment asks for a [`HeldLock`], which only a lock that stands can give, within the transaction that writes; what records a
//! provider's answer asks for a [`LockedRow`] alone, because an answer is always stored (rule P7).
//!
//! Rows are locked in one order everywhere, so that nobody waits in a circle: an order's row first, then payments' locks by their ids.

use std::{collections::BTreeMap, fmt, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    id::PaymentId,
    lock::{ActiveModel, Busy, Column, Entity, Lost, Model, TokenHash},
    payment as payments,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect,
};
use sha2::{Digest, Sha256};

use super::payment::{self, Booked};
use crate::{
    app::App,
    auth::{Caller, Scope},
    db::Database,
    error::{Error, Problem, Read},
    secret::Secret,
};

/// What whoever took a lock shows to work under it. Stored as a hash only, and its Debug shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    pub fn new(token: String) -> Self {
        Self(token)
    }

    /// 256 random bits.
    fn random() -> Result<Self, Error> {
        let secret = Secret::random()?;
        Ok(Self(format!("lck_{}", String::from_utf8_lossy(secret.expose()))))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(&self.0).to_vec())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Payments to be locked: all or none.
#[derive(Clone, Debug)]
pub struct LockPayments {
    pub payment_ids: Vec<PaymentId>,
    pub ttl: TimeDelta,
    pub purpose: Option<String>,
    /// The version of each that the caller read.
    pub expected_versions: Option<Vec<i32>>,
}

/// A lock by the payment and the token.
#[derive(Clone, Debug)]
pub struct NamedLock {
    pub payment_id: PaymentId,
    pub token: Token,
}

/// Locks to be held on to: all or none.
#[derive(Clone, Debug)]
pub struct ExtendLocks {
    pub locks: Vec<NamedLock>,
    pub ttl: TimeDelta,
}

/// A lock that was taken or extended.
#[derive(Clone, Debug)]
pub struct Granted {
    pub payment: Booked,
    pub token: Token,
    pub fencing_number: i64,
    pub expires_at: DateTime<Utc>,
}

/// Locks payments, all or none, in the order of their ids (rule K4). Needs `locks:write`.
pub async fn lock_payments(app: &App, caller: &Caller, request: Read<LockPayments>) -> Result<Vec<Granted>, Error> {
    caller.require(Scope::LocksWrite)?;
    let LockPayments { payment_ids, ttl, purpose, expected_versions } = request?;
    let mut wanted: BTreeMap<PaymentId, Option<i32>> = payment_ids.iter().map(|id| (*id, None)).collect();
    for (id, version) in payment_ids.iter().zip(expected_versions.iter().flatten()) {
        wanted.insert(*id, Some(*version));
    }
    let tx = app.db.begin_write().await?;
    let ids: Vec<PaymentId> = wanted.keys().copied().collect();
    let rows = lock_rows(&tx, &ids).await?;
    let now = Database::now(&tx).await?;
    let mut taken = vec![];
    for row in &rows {
        let token = Token::random()?;
        let lock = row.take(token.hash(), purpose.clone(), now, ttl).map_err(|busy| locked(row.payment_id, busy, now))?;
        write(&tx, &lock).await?;
        taken.push((lock, token));
    }
    // Under the locks, so that a version that is right now stays so.
    let booked = payment::booked(&tx, &ids).await?;
    for booked in &booked {
        expect_version(&booked.payment, wanted.get(&booked.payment.id).copied().flatten())?;
    }
    tx.commit().await?;
    Ok(granted(taken, booked))
}

/// Holds on to locks, all or none; never for less than they have (rules K5, K6). Needs `locks:write`.
pub async fn extend_payment_locks(
    app: &App,
    caller: &Caller,
    request: Read<ExtendLocks>,
) -> Result<Vec<Granted>, Error> {
    caller.require(Scope::LocksWrite)?;
    let ExtendLocks { locks, ttl } = request?;
    let named: BTreeMap<PaymentId, Token> = locks.into_iter().map(|lock| (lock.payment_id, lock.token)).collect();
    let tx = app.db.begin_write().await?;
    let ids: Vec<PaymentId> = named.keys().copied().collect();
    let rows = lock_rows(&tx, &ids).await?;
    let now = Database::now(&tx).await?;
    let mut extended = vec![];
    for (row, token) in rows.iter().zip(named.into_values()) {
        let lock = row.extend(&token.hash(), now, ttl).map_err(|Lost| lost(row.payment_id))?;
        write(&tx, &lock).await?;
        extended.push((lock, token));
    }
    let booked = payment::booked(&tx, &ids).await?;
    tx.commit().await?;
    Ok(granted(extended, booked))
}

/// Gives locks back. Those that were this token's to give are named in what comes back; the others are left as they are (rule K6). Needs
/// `locks:write`.
pub async fn unlock_payments(
    app: &App,
    caller: &Caller,
    request: Read<Vec<NamedLock>>,
) -> Result<Vec<PaymentId>, Error> {
    caller.require(Scope::LocksWrite)?;
    let named = request?;
    let mut ids: Vec<PaymentId> = named.iter().map(|lock| lock.payment_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let tx = app.db.begin_write().await?;
    let mut unlocked = vec![];
    for row in lock_rows(&tx, &ids).await? {
        let tokens = named.iter().filter(|lock| lock.payment_id == row.payment_id);
        if let Some(free) = tokens.into_iter().find_map(|lock| row.give_back(&lock.token.hash())) {
            write(&tx, &free).await?;
            unlocked.push(free.payment_id);
        }
    }
    tx.commit().await?;
    Ok(unlocked)
}

/// The locks on these payments that are held now.
pub async fn held(db: &impl ConnectionTrait, payments: &[PaymentId]) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find().filter(Column::PaymentId.is_in(payments.iter().copied()));
    let rows = query.filter(Column::TokenHash.is_not_null()).all(db).await?;
    if rows.is_empty() {
        return Ok(rows);
    }
    let now = Database::now(db).await?;
    Ok(rows.into_iter().filter(|row| row.holder_at(now).is_err()).collect())
}

/// The lock that a piece of work runs under: the caller's, or one that the work took itself and gives back.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    payment_id: PaymentId,
    token: TokenHash,
    fencing_number: i64,
    ours: bool,
}

/// A lock's row, locked in the database until the transaction ends: enough to record what a provider said.
pub(super) struct LockedRow<'tx> {
    pub tx: &'tx DatabaseTransaction,
    pub payment_id: PaymentId,
}

/// A lock that stands, with its row locked until the transaction ends: what every write that changes a payment needs (rule K5). Only a lock that was
/// looked at within this transaction gives one.
pub(super) struct HeldLock<'tx> {
    tx: &'tx DatabaseTransaction,
    payment_id: PaymentId,
    fencing_number: i64,
}

impl<'tx> HeldLock<'tx> {
    pub fn tx(&self) -> &'tx DatabaseTransaction {
        self.tx
    }

    pub fn payment_id(&self) -> PaymentId {
        self.payment_id
    }

    pub fn fencing_number(&self) -> i64 {
        self.fencing_number
    }
}

/// Locks the row of a payment's lock, whoever holds the lock.
pub(super) async fn row(tx: &DatabaseTransaction, payment_id: PaymentId) -> Result<LockedRow<'_>, Error> {
    lock_row(tx, payment_id).await?;
    Ok(LockedRow { tx, payment_id })
}

/// Takes the lock for a piece of work, or looks whether the caller's stands (rule K1).
pub(super) async fn enter<'tx>(
    app: &App,
    tx: &'tx DatabaseTransaction,
    payment_id: PaymentId,
    token: Option<&Token>,
    purpose: &str,
) -> Result<(Lease, HeldLock<'tx>), Error> {
    let row = lock_row(tx, payment_id).await?;
    let now = Database::now(tx).await?;
    let lease = match token {
        Some(token) => {
            let token = token.hash();
            row.check(&token, row.fencing_number, now).map_err(|Lost| lost(payment_id))?;
            Lease { payment_id, token, fencing_number: row.fencing_number, ours: false }
        }
        None => {
            let token = Token::random()?.hash();
            let taken = row.take(token.clone(), Some(purpose.to_owned()), now, ttl(app));
            let taken = taken.map_err(|busy| locked(payment_id, busy, now))?;
            write(tx, &taken).await?;
            Lease { payment_id, token, fencing_number: taken.fencing_number, ours: true }
        }
    };
    let fencing_number = lease.fencing_number;
    Ok((lease, HeldLock { tx, payment_id, fencing_number }))
}

/// Takes the lock for a piece of work in a transaction of its own, or looks whether the caller's stands.
pub(super) async fn acquire(
    app: &App,
    payment_id: PaymentId,
    token: Option<&Token>,
    purpose: &str,
) -> Result<Lease, Error> {
    let tx = app.db.begin_write().await?;
    let (lease, _) = enter(app, &tx, payment_id, token, purpose).await?;
    tx.commit().await?;
    Ok(lease)
}

/// Looks whether one could [`enter`], and touches nothing.
pub(super) async fn look<'tx>(
    tx: &'tx DatabaseTransaction,
    payment_id: PaymentId,
    token: Option<&Token>,
) -> Result<(), Error> {
    let row = lock_row(tx, payment_id).await?;
    let now = Database::now(tx).await?;
    match token {
        Some(token) => row.check(&token.hash(), row.fencing_number, now).map_err(|Lost| lost(payment_id).into()),
        None => row.holder_at(now).map_err(|busy| locked(payment_id, busy, now).into()),
    }
}

/// Takes the lock for this transaction alone, or looks whether the caller's stands: for work that asks no provider.
pub(super) async fn pass<'tx>(
    tx: &'tx DatabaseTransaction,
    payment_id: PaymentId,
    token: Option<&Token>,
) -> Result<HeldLock<'tx>, Error> {
    let row = lock_row(tx, payment_id).await?;
    let now = Database::now(tx).await?;
    let fencing_number = match token {
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
    Ok(HeldLock { tx, payment_id, fencing_number })
}

/// The lock of a payment that this transaction makes.
pub(super) async fn make(tx: &DatabaseTransaction, payment_id: PaymentId) -> Result<(), DbErr> {
    Entity::insert(Model::new(payment_id).into_active_model()).exec_without_returning(tx).await.map(|_| ())
}

/// Whether work that goes on under a lease may still write, with the row locked for it (rule K5).
pub(super) async fn hold<'tx>(tx: &'tx DatabaseTransaction, lease: &Lease) -> Result<HeldLock<'tx>, Error> {
    let payment_id = lease.payment_id;
    let row = lock_row(tx, payment_id).await?;
    let now = Database::now(tx).await?;
    row.check(&lease.token, lease.fencing_number, now).map_err(|Lost| lost(payment_id))?;
    Ok(HeldLock { tx, payment_id, fencing_number: lease.fencing_number })
}

/// Looks whether a lease still stands, right before something is sent under it.
pub(super) async fn still_stands(app: &App, lease: &Lease) -> Result<(), Error> {
    let (payment_id, db) = (lease.payment_id, app.db.read());
    let row = Entity::find_by_id(payment_id).one(db).await?.ok_or(Problem::PaymentNotFound)?;
    let now = Database::now(db).await?;
    row.check(&lease.token, lease.fencing_number, now).map_err(|Lost| lost(payment_id).into())
}

/// Waits for a provider, and holds on to the lease meanwhile (rule K7). A lease that is lost while waiting ends no waiting: an answer that arrives is
/// stored all the same.
pub(super) async fn keep<T>(app: &App, lease: &Lease, work: impl Future<Output = T>) -> T {
    // On the heap: whoever waits for a provider stands at the end of a long row of futures, each of which holds the next.
    let mut work = Box::pin(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::time::sleep(app.payment_lock_ttl / 3) => {}
        }
        // Not within the select: a transaction that is dropped half way would be rolled back for nothing.
        if let Err(error) = renew(app, lease).await {
            tracing::warn!(payment = %lease.payment_id, ?error, "a lock could not be held on to while a provider was asked");
            return work.await;
        }
    }
}

async fn renew(app: &App, lease: &Lease) -> Result<(), Error> {
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
        leave_within(&row(&tx, lease.payment_id).await?, lease).await?;
        Ok::<(), Error>(tx.commit().await?)
    };
    if let Err(error) = left.await {
        tracing::warn!(payment = %lease.payment_id, ?error, "a lock could not be given back; it will run out");
    }
}

/// Refuses a payment that was read at another version.
pub(super) fn expect_version(payment: &payments::Model, expected: Option<i32>) -> Result<(), Problem> {
    match expected {
        Some(expected) if expected != payment.version => Err(Problem::StaleVersion { current: payment.version }),
        _ => Ok(()),
    }
}

fn ttl(app: &App) -> TimeDelta {
    TimeDelta::from_std(app.payment_lock_ttl).unwrap_or(TimeDelta::seconds(10))
}

fn lost(payment_id: PaymentId) -> Problem {
    Problem::LockLost { payment_id: payment_id.to_string() }
}

fn locked(payment_id: PaymentId, Busy { purpose, expires_at }: Busy, now: DateTime<Utc>) -> Problem {
    let wait = (expires_at - now).to_std().unwrap_or_default() + Duration::from_millis(1);
    let retry_after_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    Problem::PaymentLocked { payment_id: payment_id.to_string(), purpose, expires_at, retry_after_ms }
}

fn granted(locks: Vec<(Model, Token)>, booked: Vec<Booked>) -> Vec<Granted> {
    let granted = locks.into_iter().zip(booked).map(|((lock, token), payment)| Granted {
        payment,
        token,
        fencing_number: lock.fencing_number,
        expires_at: lock.expires_at.unwrap_or_default(),
    });
    granted.collect()
}

async fn lock_row(tx: &DatabaseTransaction, payment_id: PaymentId) -> Result<Model, Error> {
    let found = Entity::find_by_id(payment_id).lock_exclusive().one(tx).await?;
    found.ok_or(Problem::PaymentNotFound.into())
}

/// The rows of these locks, in the order of the ids, locked in that order until the transaction ends. Each payment has one.
async fn lock_rows(tx: &DatabaseTransaction, ids: &[PaymentId]) -> Result<Vec<Model>, Error> {
    let query = Entity::find().filter(Column::PaymentId.is_in(ids.iter().copied()));
    let rows = query.order_by_asc(Column::PaymentId).lock_exclusive().all(tx).await?;
    if rows.len() == ids.len() { Ok(rows) } else { Err(Problem::PaymentNotFound.into()) }
}

async fn write(tx: &DatabaseTransaction, lock: &Model) -> Result<(), DbErr> {
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
