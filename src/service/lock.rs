//! Locks on payments for processes outside: taken, held on to, and given back (rules K2 to K6, K8).
//!
//! The protocol's steps are [`entity::lock`]'s; here each is one transaction with the locks' rows locked in the database, and the database's time.
//! What the server itself works under is in `lease`.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    id::PaymentId,
    lock::{Column, Entity, Lost, Model, TokenHash},
    payment as payments,
};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use sha2::{Digest, Sha256};

use super::{
    lease::{lock_rows, locked, lost, write},
    payment::{self, Booked},
};
use crate::{
    app::App,
    auth::{Caller, Scope},
    db::{Database, tried_again},
    error::{Error, Problem, Read},
    secret::Secret,
};

/// What whoever took a lock shows to work under it. Stored as a hash only, and its Debug shows nothing.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    pub fn new(token: String) -> Self {
        Self(token)
    }

    /// 256 random bits.
    pub(super) fn random() -> Result<Self, Error> {
        let secret = Secret::random()?;
        Ok(Self(format!("lck_{}", String::from_utf8_lossy(secret.expose()))))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn hash(&self) -> TokenHash {
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
    let request = request?;
    tried_again(|| take(app, &request)).await
}

async fn take(app: &App, request: &LockPayments) -> Result<Vec<Granted>, Error> {
    let LockPayments { payment_ids, ttl, purpose, expected_versions } = request;
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
        let lock =
            row.take(token.hash(), purpose.clone(), now, *ttl).map_err(|busy| locked(row.payment_id, busy, now))?;
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
    let request = request?;
    tried_again(|| extend(app, request.clone())).await
}

async fn extend(app: &App, request: ExtendLocks) -> Result<Vec<Granted>, Error> {
    let ExtendLocks { locks, ttl } = request;
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
    tried_again(|| give_back(app, &named)).await
}

async fn give_back(app: &App, named: &[NamedLock]) -> Result<Vec<PaymentId>, Error> {
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

/// Refuses a payment that was read at another version.
pub(super) fn expect_version(payment: &payments::Model, expected: Option<i32>) -> Result<(), Problem> {
    match expected {
        Some(expected) if expected != payment.version => {
            Err(Problem::StaleVersion { of: payment.id.to_string(), current: payment.version })
        }
        _ => Ok(()),
    }
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
