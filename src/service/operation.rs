//! Idempotency keys: a mutation runs once for its caller and key, and what came of it can be had again (rules I1 to I3).
//!
//! A key is written in the transaction that writes something else for the first time. So a request that was refused before leaves no key
//! behind, and a key without its work can't be. Nothing prunes them: a key is good for as long as its row is kept, and whoever comes to prune them keeps
//! those of the last 72 hours at least.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    fault::Faults,
    operation::{ActiveModel, Column, Entity, Model, State},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    TryInsertResult,
};
use sha2::{Digest, Sha256};

use crate::{
    app::App,
    auth::{Caller, CallerKind},
    db::WriteTransaction,
    error::{Error, Problem, Read},
    secret::hex,
};

/// A key with all that it is unique for, and the input that it stands for.
#[derive(Clone, Debug)]
pub struct Key {
    caller_kind: &'static str,
    caller_id: String,
    mutation: &'static str,
    key: String,
    fingerprint: String,
}

/// The mutations that go on after they have written something: a server may die in the middle of one.
pub(super) const RESUMABLE: [&str; 7] = [
    "attemptToPayForOrder",
    "authorizePayment",
    "authorizeAndCapturePayment",
    "capturePayment",
    "reverseAuthorization",
    "refundPayment",
    "creditPayment",
];

/// What a key stands for at this moment.
#[derive(Debug)]
pub enum Start {
    /// Nothing yet: go on.
    New,
    /// It ended; this is what came of it.
    Finished(Model),
    /// Whoever ran it is gone; go on from what it left.
    Resumed(Model),
}

impl Key {
    /// A key of 1 to 255 characters. `input` is all that distinguishes one request from another.
    pub fn new(caller: &Caller, mutation: &'static str, key: &str, input: &[&str]) -> Result<Self, Problem> {
        let mut faults = Faults::default();
        faults.text("idempotencyKey", key, 1..=255);
        faults.or(Some(()))?;
        let mut hash = Sha256::new();
        for part in input {
            hash.update(format!("{}:{part}", part.len()));
        }
        Ok(Self {
            caller_kind: caller.kind.name(),
            caller_id: caller.id.clone(),
            mutation,
            key: key.to_owned(),
            fingerprint: hex(&hash.finalize()),
        })
    }

    /// A key over inputs of which some may be missing: a missing one differs from an empty one.
    pub fn of_optional(
        caller: &Caller,
        mutation: &'static str,
        key: &str,
        input: &[Option<&str>],
    ) -> Result<Self, Problem> {
        let parts = input.iter().map(|part| part.map_or("-".to_owned(), |part| format!("={part}")));
        let parts: Vec<String> = parts.collect();
        Self::new(caller, mutation, key, &parts.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The key that a mutation was recorded under.
    pub(super) fn of(operation: &Model) -> Option<Self> {
        let kinds = [CallerKind::User, CallerKind::Anonymous, CallerKind::Service];
        let caller_kind = kinds.into_iter().map(CallerKind::name).find(|name| *name == operation.caller_kind)?;
        let mutation = RESUMABLE.into_iter().find(|mutation| *mutation == operation.mutation)?;
        let Model { caller_id, idempotency_key, fingerprint, .. } = operation.clone();
        Some(Self { caller_kind, caller_id, mutation, key: idempotency_key, fingerprint })
    }

    fn id(&self) -> (String, String, String, String) {
        let Self { caller_kind, caller_id, mutation, key, .. } = self;
        ((*caller_kind).to_owned(), caller_id.clone(), (*mutation).to_owned(), key.clone())
    }
}

/// Takes the key for this transaction, or tells what it stands for already. `lease` is how long a mutation that has not ended is believed to be
/// running: longer than all the calls that it may make.
pub async fn start(tx: &WriteTransaction, key: &Key, now: DateTime<Utc>, lease: TimeDelta) -> Result<Start, Error> {
    let (caller_kind, caller_id, mutation, idempotency_key) = key.id();
    let row = Model {
        caller_kind,
        caller_id,
        mutation,
        idempotency_key,
        fingerprint: key.fingerprint.clone(),
        state: State::InProgress,
        lease_expires_at: now + lease,
        problem: None,
        order_id: None,
        payment_id: None,
        attempt_id: None,
        transactions: None,
        started_at: now,
        finished_at: None,
    };
    // Where another transaction holds the same key, this waits for its end.
    let inserted = Entity::insert(row.into_active_model()).on_conflict_do_nothing().exec_without_returning(tx).await?;
    if matches!(inserted, TryInsertResult::Inserted(rows) if rows > 0) {
        return Ok(Start::New);
    }
    let found = match look(tx, key, now).await? {
        Start::Resumed(found) => found,
        // Whoever had it rolled back.
        Start::New => return Err(Problem::OperationInProgress.into()),
        Start::Finished(found) => return Ok(Start::Finished(found)),
    };
    let renewed = ActiveModel { lease_expires_at: Set(now + lease), ..ActiveModel::default() };
    update(tx, key, renewed).await?;
    Ok(Start::Resumed(found))
}

/// What a key stands for, without taking it.
pub async fn look(tx: &WriteTransaction, key: &Key, now: DateTime<Utc>) -> Result<Start, Error> {
    stands_for(Entity::find_by_id(key.id()).lock_exclusive().one(tx).await?, key, now)
}

/// What a key stood for a moment ago, without waiting for anybody: what ended then has ended, anything else may be different by now.
pub async fn peek(db: &impl ConnectionTrait, key: &Key, now: DateTime<Utc>) -> Result<Start, Error> {
    stands_for(Entity::find_by_id(key.id()).one(db).await?, key, now)
}

fn stands_for(found: Option<Model>, key: &Key, now: DateTime<Utc>) -> Result<Start, Error> {
    let Some(found) = found else { return Ok(Start::New) };
    if found.fingerprint != key.fingerprint {
        return Err(Problem::IdempotencyKeyReused.into());
    }
    if found.state != State::InProgress {
        return Ok(Start::Finished(found));
    }
    if found.lease_expires_at > now {
        return Err(Problem::OperationInProgress.into());
    }
    Ok(Start::Resumed(found))
}

/// What became of a mutation that this caller sent under this key; the last one, if several used it (rule I2).
pub async fn find(app: &App, caller: &Caller, key: Read<String>) -> Result<Option<Model>, Error> {
    let query = Entity::find()
        .filter(Column::CallerKind.eq(caller.kind.name()))
        .filter(Column::CallerId.eq(caller.id.clone()))
        .filter(Column::IdempotencyKey.eq(key?));
    Ok(query.order_by_desc(Column::StartedAt).one(app.db.read()).await?)
}

/// Notes what a mutation that goes on after this transaction has come to so far.
pub async fn note(tx: &WriteTransaction, key: &Key, came_to: ActiveModel) -> Result<(), Error> {
    update(tx, key, came_to).await
}

/// Ends it: a retry gets the same, and nothing runs again.
pub async fn finish(
    tx: &WriteTransaction,
    key: &Key,
    now: DateTime<Utc>,
    problem: Option<&Problem>,
    came_to: ActiveModel,
) -> Result<(), Error> {
    let told = problem.map(serde_json::to_value).transpose();
    let told = told.map_err(|error| Error::Fault(format!("a problem can't be kept: {error}")))?;
    let state = if problem.is_some() { State::Refused } else { State::Succeeded };
    let ended = ActiveModel { state: Set(state), problem: Set(told), finished_at: Set(Some(now)), ..came_to };
    update(tx, key, ended).await
}

/// Leaves it unfinished and free for a retry to take up.
pub async fn release(tx: &WriteTransaction, key: &Key, now: DateTime<Utc>) -> Result<(), Error> {
    let freed = ActiveModel { lease_expires_at: Set(now), ..ActiveModel::default() };
    update(tx, key, freed).await
}

/// The problem that a finished mutation ended with.
pub fn problem(operation: &Model) -> Result<Option<Problem>, Error> {
    let kept = operation.problem.clone().map(serde_json::from_value).transpose();
    kept.map_err(|error| Error::Fault(format!("a kept problem can't be read: {error}")))
}

async fn update(tx: &WriteTransaction, key: &Key, values: ActiveModel) -> Result<(), Error> {
    let (caller_kind, caller_id, mutation, idempotency_key) = key.id();
    Entity::update_many()
        .set(values)
        .filter(Column::CallerKind.eq(caller_kind))
        .filter(Column::CallerId.eq(caller_id))
        .filter(Column::Mutation.eq(mutation))
        .filter(Column::IdempotencyKey.eq(idempotency_key))
        .filter(Column::State.eq(State::InProgress))
        .exec(tx)
        .await?;
    Ok(())
}
