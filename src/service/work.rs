//! The way of a transaction from the request to the answer, the same for all six verbs (rules P6 to P9, K1, I1 to I3, R2).
//!
//! Lock → settle what is unanswered → check → write as SENT with a reference of our own → commit → call the provider → record what it said → give the
//! lock back. No database transaction is open while a provider is asked, and a crash anywhere leaves a row that says so.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    audit::Actor,
    id::{PaymentId, TransactionId},
    money::Money,
    operation as kept, order as orders,
    payment::Model as Payment,
    summary::PaymentSummary,
    transaction::{Model, Status},
};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr};

use super::{
    answer::{self, Recorded},
    intent::{self, Intent, Source},
    lease::{self, Errand, HeldLock, Lease, LockedRow},
    operation::{self, Key, Start},
    order, payment as payments,
    plan::{Plan, plan},
    recovery, reversal,
    told::{Told, was_never_run, was_withdrawn},
    transaction::{Outcome, Transacted, TransactionRequest, Verb, by_ids},
};
use crate::{
    app::App,
    auth::{Audience, Caller},
    db::{WriteTransaction, tried_again},
    error::{Error, Problem, Read},
};

/// A request on its way, with all that each step needs.
struct Work<'a> {
    app: &'a App,
    payment: Payment,
    verb: Verb,
    request: TransactionRequest,
    key: Key,
    by: Actor,
}

/// How far it came up to the provider.
enum Begun {
    /// This is all: it was sent before, and is answered.
    Done(Box<Transacted>),
    /// The lock is taken, and other calls are unanswered: first those.
    SettleFirst { lease: Lease, unanswered: Vec<Model> },
    /// Written down, to be sent; `again` if it may have been sent before.
    Send { lease: Lease, ids: Vec<TransactionId>, again: bool },
}

/// Takes a request all the way.
pub(super) async fn run(
    app: &App,
    caller: &Caller,
    verb: Verb,
    request: Read<TransactionRequest>,
    idempotency_key: &str,
) -> Result<Transacted, Error> {
    caller.require(verb.scope)?;
    let request = request?;
    let key = key(caller, verb, &request, idempotency_key)?;
    let payment = payments::by_id(app.db.read(), request.payment_id).await?;
    let work = Work { app, payment, verb, request, key, by: caller.actor() };
    if work.request.dry_run {
        return work.dry_run().await;
    }
    // Most copies of a request come when it has ended, and have no need to wait for whoever works on the payment.
    if let Start::Finished(done) = operation::peek(app.db.read(), &work.key, app.clock.now()).await? {
        return work.replay(app.db.read(), &done).await;
    }
    // On the heap, step by step: together they would be too much for a thread's stack in a debug build.
    match tried_again(|| Box::pin(work.begin(None))).await? {
        Begun::Done(done) => Ok(*done),
        Begun::Send { lease, ids, again } => {
            work.under(lease, async |lease| Box::pin(work.send(lease, &ids, again)).await).await
        }
        Begun::SettleFirst { lease, unanswered } => {
            work.under(lease, async |lease| Box::pin(work.settle_and_send(lease, &unanswered)).await).await
        }
    }
}

fn key(caller: &Caller, verb: Verb, request: &TransactionRequest, idempotency_key: &str) -> Result<Key, Problem> {
    let TransactionRequest { payment_id, amount, parent, expected_version, .. } = request;
    let (payment, amount) = (payment_id.to_string(), amount.to_string());
    let (parent, version) = (parent.map(|id| id.to_string()), expected_version.map(|version| version.to_string()));
    // The lock is how it is done and not what: a retry may come under another one.
    let input = [
        Some(payment.as_str()),
        Some(amount.as_str()),
        parent.as_deref(),
        version.as_deref(),
        request.source.as_deref(),
        request.source_entity_type.as_deref(),
        request.source_entity_id.as_deref(),
    ];
    Key::of_optional(caller, verb.mutation, idempotency_key, &input)
}

impl Work<'_> {
    /// Does the rest under a lock; if that fails the lock is given back all the same (rule K1).
    async fn under(
        &self,
        lease: Lease,
        rest: impl AsyncFnOnce(&Lease) -> Result<Transacted, Error>,
    ) -> Result<Transacted, Error> {
        let done = rest(&lease).await;
        if done.is_err() {
            lease::leave(self.app, &lease).await;
        }
        done
    }

    async fn settle_and_send(&self, lease: &Lease, unanswered: &[Model]) -> Result<Transacted, Error> {
        recovery::settle(self.app, &self.payment, unanswered, lease).await?;
        match tried_again(|| Box::pin(self.begin(Some(lease)))).await? {
            Begun::Send { ids, again, .. } => Box::pin(self.send(lease, &ids, again)).await,
            Begun::Done(done) => {
                lease::leave(self.app, lease).await;
                Ok(*done)
            }
            Begun::SettleFirst { .. } => Err(Error::Fault("settled what is unanswered, and shall do so again".into())),
        }
    }

    /// Everything up to the provider: one transaction. `under` is the lock that is held already.
    async fn begin(&self, under: Option<&Lease>) -> Result<Begun, Error> {
        let app = self.app;
        let tx = app.db.begin_write().await?;
        let now = app.clock.now();
        let order = order::lock(&tx, &Audience::of_the_server(), self.payment.order_id).await?;
        let left = match operation::look(&tx, &self.key, now).await? {
            Start::New => None,
            Start::Finished(done) => return self.replay(&tx, &done).await.map(|done| Begun::Done(Box::new(done))),
            Start::Resumed(left) => Some(sent_by(&tx, &left).await?),
        };
        if let Some(sent) = &left
            && sent.iter().all(is_answered)
        {
            let ids: Vec<TransactionId> = sent.iter().map(|row| row.id).collect();
            self.end(&tx, sent, now).await?;
            tx.commit().await?;
            return self.transacted(&ids, true).await.map(|done| Begun::Done(Box::new(done)));
        }
        let (taken, held) = match under {
            Some(lease) => (lease.clone(), lease::hold(&tx, lease).await?),
            None => {
                let (by, token) = (self.by.clone(), self.request.lock_token.as_ref());
                lease::enter(app, &tx, self.payment.id, &Errand { by, token, purpose: self.verb.mutation }).await?
            }
        };
        if under.is_none() && left.is_none() {
            let unanswered = recovery::unanswered(&tx, self.payment.id).await?;
            if !unanswered.is_empty() {
                tx.commit().await?;
                return Ok(Begun::SettleFirst { lease: taken, unanswered });
            }
        }
        operation::start(&tx, &self.key, now, app.patience()).await?;
        let again = left.is_some();
        let ids = match left {
            Some(sent) => sent.iter().map(|row| row.id).collect(),
            None => Box::pin(self.write(&held, &order, now)).await?,
        };
        tx.commit().await?;
        Ok(Begun::Send { lease: taken, ids, again })
    }

    /// Writes down all that is to be sent, with the key that it is sent under.
    async fn write(
        &self,
        held: &HeldLock<'_>,
        order: &orders::Model,
        now: DateTime<Utc>,
    ) -> Result<Vec<TransactionId>, Error> {
        let tx = held.tx();
        let Plan { payment, kind, shares, .. } = plan(self.app, tx, order, self.verb.kind, &self.request).await?;
        let mut ids = vec![];
        for (at, share) in (0..).zip(shares) {
            // Each a moment after the one before: they are told apart, and found again, in the order in which they are sent.
            let now = now + TimeDelta::microseconds(at);
            let source = self.source();
            let intent = Intent { kind, amount: share.amount, parent: share.parent, management_state: None, source };
            ids.push(intent::write(held, &intent, now).await?);
        }
        intent::touch(tx, &payment, now).await?;
        // As long as all the calls may take, one after the other.
        let calls = i32::try_from(ids.len()).unwrap_or(i32::MAX);
        let came_to =
            kept::ActiveModel { lease_expires_at: Set(now + self.app.patience() * calls), ..self.came_to(&ids) };
        operation::note(tx, &self.key, came_to).await?;
        Ok(ids)
    }

    fn source(&self) -> Source<'_> {
        Source {
            source: self.request.source.as_deref(),
            entity_type: self.request.source_entity_type.as_deref(),
            entity_id: self.request.source_entity_id.as_deref(),
        }
    }

    fn came_to(&self, ids: &[TransactionId]) -> kept::ActiveModel {
        kept::ActiveModel {
            order_id: Set(Some(self.payment.order_id)),
            payment_id: Set(Some(self.payment.id)),
            transactions: Set(Some(kept::Transactions(ids.iter().map(|id| id.uuid()).collect()))),
            ..kept::ActiveModel::default()
        }
    }

    /// Sends what was written down, one after the other, and records each answer; with the last one it ends.
    async fn send(&self, lease: &Lease, ids: &[TransactionId], again: bool) -> Result<Transacted, Error> {
        let app = self.app;
        let rows = by_ids(app.db.read(), ids).await?;
        let open: Vec<&Model> = rows.iter().filter(|row| !is_answered(row)).collect();
        let mut recorded = Recorded::default();
        for (at, row) in open.iter().enumerate() {
            let asked = async {
                if at > 0 {
                    lease::renew(app, lease).await?;
                }
                self.ask(row, lease, again).await
            };
            let told = match asked.await {
                Ok(told) => told,
                Err(error) => {
                    // What is sent again may have been sent by another before.
                    let unsent = if again { &[] } else { open.get(at..).unwrap_or_default() };
                    return self.stop(error, unsent, ids, lease).await;
                }
            };
            let is_last = at + 1 == open.len();
            let also = async |locked: &LockedRow<'_>| match is_last {
                true => self.close(locked, ids, lease).await,
                false => Ok(()),
            };
            recorded.add(answer::record(app, &self.payment, row.id, &told, also).await?);
        }
        if open.is_empty() {
            self.close_now(ids, lease).await?;
        }
        if let Err(error) = self.follow_up(recorded, lease).await {
            // What was asked for is answered, whatever came after it.
            tracing::warn!(payment = %self.payment.id, ?error, "what followed on an answer is left to whoever comes next");
        }
        self.transacted(ids, again).await
    }

    async fn ask(&self, row: &Model, lease: &Lease, again: bool) -> Result<Told, Error> {
        if again {
            return recovery::ask_after(self.app, &self.payment, row, lease).await;
        }
        let said = recovery::send(self.app, &self.payment, row, lease).await?;
        // The one who wrote it down is the first to send it.
        Ok(Told::by_call(said, Some(1)))
    }

    /// Something is in the way of sending the rest. What was written down, and nobody has set out to send since, is withdrawn where the lock was lost:
    /// then it is certain that it never will be. What somebody else has taken up stays as it is, and a retry is told what became of it.
    async fn stop(
        &self,
        error: Error,
        unsent: &[&Model],
        ids: &[TransactionId],
        lease: &Lease,
    ) -> Result<Transacted, Error> {
        if !matches!(error, Error::Problem(Problem::LockLost { .. })) {
            self.close_now(ids, lease).await?;
            return Err(error);
        }
        for row in unsent {
            answer::record(self.app, &self.payment, row.id, &Told::withdrawn(), async |_| Ok(())).await?;
        }
        self.close_now(ids, lease).await?;
        self.transacted(ids, false).await
    }

    async fn close_now(&self, ids: &[TransactionId], lease: &Lease) -> Result<(), Error> {
        let tx = self.app.db.begin_write().await?;
        order::lock(&tx, &Audience::of_the_server(), self.payment.order_id).await?;
        self.close(&lease::row(&tx, self.payment.id, self.by.clone()).await?, ids, lease).await?;
        Ok(tx.commit().await?)
    }

    /// What recording led to is done under the caller's lock if there is one; its own has been given back.
    async fn follow_up(&self, recorded: Recorded, lease: &Lease) -> Result<(), Error> {
        let under_ours = Recorded { unwanted: recorded.unwanted && lease.is_ours(), ..recorded };
        Box::pin(answer::follow_up(self.app, &self.payment, under_ours)).await?;
        match recorded.unwanted && !lease.is_ours() {
            true => Box::pin(reversal::reverse_unwanted(self.app, &self.payment, lease)).await,
            false => Ok(()),
        }
    }

    /// Ends the work with its last answer: the key, and the lock if it is its own.
    async fn close(&self, locked: &LockedRow<'_>, ids: &[TransactionId], lease: &Lease) -> Result<(), Error> {
        let rows = by_ids(locked.tx, ids).await?;
        self.end(locked.tx, &rows, self.app.clock.now()).await?;
        lease::leave_within(locked, lease).await
    }

    /// Ends the key where all is answered; leaves it to a retry where something is not known (rule I3).
    async fn end(&self, tx: &WriteTransaction, rows: &[Model], now: DateTime<Utc>) -> Result<(), Error> {
        let ids: Vec<TransactionId> = rows.iter().map(|row| row.id).collect();
        match rows.iter().all(is_answered) {
            true => {
                let problem = problem(self.payment.id, rows);
                operation::finish(tx, &self.key, now, problem.as_ref(), self.came_to(&ids)).await
            }
            false => operation::release(tx, &self.key, now).await,
        }
    }

    /// What was recorded under the key, as it is by now (rule I2).
    async fn replay(&self, db: &impl ConnectionTrait, done: &kept::Model) -> Result<Transacted, Error> {
        let rows = sent_by(db, done).await?;
        let booked = payments::one_booked(db, self.payment.id).await?;
        let outcome = outcome(&rows, booked.summary()?)?;
        Ok(Transacted { payment: booked, outcome, replayed: true, problem: operation::problem(done)? })
    }

    async fn transacted(&self, ids: &[TransactionId], replayed: bool) -> Result<Transacted, Error> {
        let rows = by_ids(self.app.db.read(), ids).await?;
        let booked = payments::one_booked(self.app.db.read(), self.payment.id).await?;
        let outcome = outcome(&rows, booked.summary()?)?;
        Ok(Transacted { payment: booked, outcome, replayed, problem: problem(self.payment.id, &rows) })
    }

    /// Checks everything and says what the summary would be. Everything that was locked for it is let go of unchanged.
    async fn dry_run(&self) -> Result<Transacted, Error> {
        let tx = self.app.db.begin_write().await?;
        let order = order::lock(&tx, &Audience::of_the_server(), self.payment.order_id).await?;
        lease::look(&tx, self.payment.id, self.request.lock_token.as_ref()).await?;
        let plan = plan(self.app, &tx, &order, self.verb.kind, &self.request).await?;
        let booked = payments::one_booked(&tx, self.payment.id).await?;
        tx.rollback().await?;
        let (amount, summary) = (self.request.amount, plan.summary()?);
        let outcome = Some(Outcome { status: Status::Succeeded, amount, failure: None, summary });
        Ok(Transacted { payment: booked, outcome, replayed: false, problem: None })
    }
}

/// What stood in the way of transactions that one request became. A decline is a result and no problem (rule P9).
fn problem(payment: PaymentId, rows: &[Model]) -> Option<Problem> {
    if !rows.iter().all(is_answered) {
        return Some(Problem::OutcomeUnknown);
    }
    if rows.iter().any(was_withdrawn) {
        return Some(Problem::LockLost { payment_id: payment.to_string() });
    }
    rows.iter().all(was_never_run).then_some(Problem::ProviderUnavailable)
}

/// Ends the key of a request whose server died, once all that it asked of the provider is answered (rule I3). The order's row and the key's are locked.
pub(super) async fn finish_left(tx: &WriteTransaction, left: &kept::Model, now: DateTime<Utc>) -> Result<(), Error> {
    let rows = sent_by(tx, left).await?;
    let (Some(payment), Some(key)) = (left.payment_id, Key::of(left)) else { return Ok(()) };
    match !rows.is_empty() && rows.iter().all(is_answered) {
        true => operation::finish(tx, &key, now, problem(payment, &rows).as_ref(), kept::ActiveModel::default()).await,
        false => Ok(()),
    }
}

/// The provider has it, and said so: a pending one will be told of later.
fn is_answered(row: &Model) -> bool {
    match row.status {
        Status::Pending | Status::Succeeded | Status::Failed => true,
        Status::Sent | Status::Unknown => false,
    }
}

fn outcome(rows: &[Model], summary: PaymentSummary) -> Result<Option<Outcome>, Error> {
    let distance = |row: &Model| match row.status {
        Status::Succeeded => 0,
        Status::Pending => 1,
        Status::Failed => 2,
        Status::Sent | Status::Unknown => 3,
    };
    let Some(worst) = rows.iter().max_by_key(|row| distance(row)) else { return Ok(None) };
    let like_it = || rows.iter().filter(|row| distance(row) == distance(worst));
    let amount = Money::sum(like_it().map(Model::amount), worst.currency)?;
    let failure = like_it().find_map(Model::failure);
    let status = if is_answered(worst) { worst.status } else { Status::Unknown };
    Ok(Some(Outcome { status, amount, failure, summary }))
}

/// The transactions that a mutation became.
async fn sent_by(db: &impl ConnectionTrait, operation: &kept::Model) -> Result<Vec<Model>, DbErr> {
    let ids = operation.transactions.iter().flat_map(|sent| sent.0.iter().copied());
    by_ids(db, &ids.map(TransactionId::from).collect::<Vec<_>>()).await
}
