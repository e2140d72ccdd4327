//! The verbs on transactions: each is one database transaction, so that what is left of an authorization is nobody else's meanwhile.
//!
//! Sends nothing and waits for nobody. What time alone brings about is written by whoever looks next, before anything is decided on it.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::card::Course;
use super::ledger::{self, Entry, RELEASE};
use super::method::Telling;
use super::parent::{self, Parent};
use super::rows::{self, Key, sql};
use super::session;
use super::store::{Created, Store};
use super::transaction::{Instruction, Kind, Reason, State, Step, Subject, Transaction};
use super::transaction_rows::{advance, due, insert, load, note_first_request, taken};
use super::webhook::Event;
use super::{SandboxError, now, unguessable};

impl Store {
    /// Does what the shop asks for, or finds that it was done. `course` is what its card foretells.
    pub async fn run(
        &self,
        wanted: Instruction,
        course: Result<Course, Reason>,
    ) -> Result<Created<Transaction>, SandboxError> {
        let now = now();
        let tx = self.begin().await?;
        let run = match load(&tx, Key::Reference(&wanted.reference)).await? {
            None => Created::New(self.carry_out_new(&tx, wanted, course, now).await?),
            Some(earlier) if earlier.wanted.asks_the_same(&wanted) => {
                Created::Same(self.settle_due(&tx, earlier, now).await?)
            }
            Some(_) => Created::Reused,
        };
        tx.commit().await?;
        Ok(run)
    }

    /// Whether no request under a reference has come before; the next one will find that this one has.
    pub async fn is_first_request(&self, reference: &str) -> Result<bool, SandboxError> {
        note_first_request(&self.db, reference, now()).await
    }

    pub async fn find_transaction(&self, key: Key<'_>) -> Result<Option<Transaction>, SandboxError> {
        match load(&self.db, key).await? {
            Some(transaction) if transaction.is_overdue(now()) => self.refresh_transaction(&transaction.id).await,
            found => Ok(found),
        }
    }

    /// Writes what time has done to a transaction and its family, and tells of it.
    pub async fn refresh_transaction(&self, id: &str) -> Result<Option<Transaction>, SandboxError> {
        let tx = self.begin().await?;
        let Some(transaction) = load(&tx, Key::Id(id)).await? else {
            return Ok(None);
        };
        let transaction = self.settle_due(&tx, transaction, now()).await?;
        tx.commit().await?;
        Ok(Some(transaction))
    }

    /// Transactions that time has changed and nobody has looked at since.
    pub async fn overdue_transactions(&self) -> Result<Vec<String>, SandboxError> {
        let rows = self.db.query_all_raw(sql(
            "SELECT id FROM sandbox_transaction WHERE status = 'pending' AND settles_at <= ? ORDER BY settles_at LIMIT 100",
            [now().timestamp_millis().into()],
        ));
        rows.await?.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    async fn carry_out_new(
        &self,
        tx: &DatabaseTransaction,
        wanted: Instruction,
        course: Result<Course, Reason>,
        now: DateTime<Utc>,
    ) -> Result<Transaction, SandboxError> {
        let course = match course {
            Ok(course) => course,
            Err(reason) => return write_new(tx, wanted, None, Step::Fail(reason), now).await,
        };
        let (moving, settles_at, telling) = match course {
            Course::AtOnce { moved } => (moved, now, Telling::Never),
            Course::Later { after, telling } => (wanted.amount, now + after, telling),
        };
        let parent = self.parent(tx, &wanted, now).await?;
        let acts_on = match parent::admit(&wanted, moving, parent, self.limits) {
            Ok(acts_on) => acts_on,
            Err(reason) => return write_new(tx, wanted, None, Step::Fail(reason), now).await,
        };
        let held = write_new(tx, wanted, acts_on, Step::Hold { settles_at, telling }, now).await?;
        if matches!(course, Course::AtOnce { .. }) {
            return self.succeed(tx, &held, moving, now).await;
        }
        match telling {
            Telling::InOrder | Telling::Thrice => self.tell(tx, &Event::of_transaction(&held, now)?, 1).await?,
            Telling::Backwards | Telling::Never => {}
        }
        Ok(held)
    }

    /// What an instruction names as its parent, up to date: a transaction, or else a session.
    async fn parent(
        &self,
        tx: &DatabaseTransaction,
        wanted: &Instruction,
        now: DateTime<Utc>,
    ) -> Result<Option<Parent>, SandboxError> {
        let Some(reference) = &wanted.parent else {
            return Ok(None);
        };
        if let Some(transaction) = load(tx, Key::Reference(reference)).await? {
            let transaction = self.settle_due(tx, transaction, now).await?;
            return Ok(Some(seen_by_others(tx, transaction).await?));
        }
        let Some(session) = rows::load(tx, Key::Reference(reference)).await? else {
            return Ok(None);
        };
        let session = self.catch_up(tx, session, now).await?;
        let moved = match session.state {
            session::State::Succeeded { received } => Some(received),
            _ => None,
        };
        let subject = Subject::Session(session.id);
        let taken = taken(tx, &subject).await?;
        Ok(Some(Parent { subject, kind: Kind::AuthorizeAndCapture, currency: session.currency, moved, taken }))
    }

    /// A transaction as time has left it, and its family with it.
    async fn settle_due(
        &self,
        tx: &DatabaseTransaction,
        mut transaction: Transaction,
        now: DateTime<Utc>,
    ) -> Result<Transaction, SandboxError> {
        for held in due(tx, &transaction, now).await? {
            let settled = self.succeed(tx, &held, held.wanted.amount, now).await?;
            if settled.id == transaction.id {
                transaction = settled;
            }
        }
        Ok(transaction)
    }

    /// The money of a pending transaction moves, and the shop shall hear of it as was settled when it began.
    async fn succeed(
        &self,
        tx: &DatabaseTransaction,
        held: &Transaction,
        moved: i64,
        now: DateTime<Utc>,
    ) -> Result<Transaction, SandboxError> {
        let State::Pending { telling, .. } = held.state else {
            return Err(SandboxError::Contradiction { id: held.id.clone() });
        };
        let released = self.released_by(tx, held, moved).await?;
        let done = advance(tx, held, Step::Succeed { moved, released }).await?;
        let subject = Subject::Transaction(done.id.clone());
        let currency = &done.wanted.currency;
        let kind = done.wanted.kind.name();
        ledger::write(tx, Entry { subject: &subject, kind, amount: moved, currency, at: now }).await?;
        if let Some(amount) = released {
            ledger::write(tx, Entry { subject: &subject, kind: RELEASE, amount, currency, at: now }).await?;
        }
        let success = Event::of_transaction(&done, now)?;
        match telling {
            Telling::InOrder => self.tell(tx, &success, 1).await?,
            Telling::Thrice => self.tell(tx, &success, 3).await?,
            Telling::Backwards => {
                self.tell(tx, &success, 1).await?;
                self.tell(tx, &Event::of_transaction(held, now)?, 1).await?;
            }
            Telling::Never => {}
        }
        Ok(done)
    }

    /// What a capture leaves of its authorization, where that ends with it.
    async fn released_by(
        &self,
        tx: &DatabaseTransaction,
        held: &Transaction,
        moved: i64,
    ) -> Result<Option<i64>, SandboxError> {
        let (Some(Subject::Transaction(id)), Kind::Capture) = (&held.acts_on, held.wanted.kind) else {
            return Ok(None);
        };
        if !self.limits.capture_ends_authorization {
            return Ok(None);
        }
        let Some(authorization) = load(tx, Key::Id(id)).await? else {
            return Err(SandboxError::Contradiction { id: held.id.clone() });
        };
        // What this one held is taken already; what it does not move of that is left too.
        let rest = seen_by_others(tx, authorization).await?.rest() + held.wanted.amount - moved;
        Ok(Some(rest).filter(|rest| *rest > 0))
    }
}

/// Writes the beginning of a transaction's life.
async fn write_new(
    tx: &DatabaseTransaction,
    wanted: Instruction,
    acts_on: Option<Subject>,
    step: Step,
    now: DateTime<Utc>,
) -> Result<Transaction, SandboxError> {
    let id = unguessable("trx")?;
    let Some(state) = State::after(None, step) else {
        return Err(SandboxError::Contradiction { id });
    };
    let transaction = Transaction { id, wanted, acts_on, state, created_at: now };
    insert(tx, &transaction).await?;
    Ok(transaction)
}

async fn seen_by_others(tx: &DatabaseTransaction, transaction: Transaction) -> Result<Parent, SandboxError> {
    let moved = match transaction.state {
        State::Succeeded { moved, .. } => Some(moved),
        State::Pending { .. } | State::Failed(_) => None,
    };
    let subject = Subject::Transaction(transaction.id);
    let taken = taken(tx, &subject).await?;
    Ok(Parent { subject, kind: transaction.wanted.kind, currency: transaction.wanted.currency, moved, taken })
}
