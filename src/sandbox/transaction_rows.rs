//! How transactions lie in the store: the statements that write them and read them back.
//!
//! Opens no database transaction and decides nothing, and guesses nothing: a row whose columns contradict each other is an error.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseTransaction, FromQueryResult};

use super::SandboxError;
use super::method::Telling;
use super::parent::Taken;
use super::rows::{Key, sql, time};
use super::session::Decline;
use super::transaction::{Instruction, Kind, Reason, State, Step, Subject, Transaction};

#[derive(FromQueryResult)]
struct TransactionRow {
    id: String,
    reference: String,
    kind: String,
    amount: i64,
    currency: String,
    method: String,
    parent: Option<String>,
    parent_session_id: Option<String>,
    parent_transaction_id: Option<String>,
    status: String,
    amount_moved: Option<i64>,
    amount_released: Option<i64>,
    failure: Option<String>,
    decline: Option<String>,
    settles_at: Option<i64>,
    telling: Option<String>,
    webhook_url: String,
    created_at: i64,
}

/// The columns that carry what is known in a state.
#[derive(Default)]
struct Columns {
    moved: Option<i64>,
    released: Option<i64>,
    failure: Option<&'static str>,
    decline: Option<&'static str>,
    settles_at: Option<i64>,
    telling: Option<&'static str>,
}

impl From<State> for Columns {
    fn from(state: State) -> Self {
        match state {
            State::Pending { settles_at, telling } => Self {
                settles_at: Some(settles_at.timestamp_millis()),
                telling: Some(telling.name()),
                ..Self::default()
            },
            State::Succeeded { moved, released } => Self { moved: Some(moved), released, ..Self::default() },
            State::Failed(reason) => {
                let failure = reason.shown();
                let decline = failure.decline.map(Decline::name);
                Self { failure: Some(failure.code), decline, ..Self::default() }
            }
        }
    }
}

/// Where the reference is taken, the database refuses.
pub async fn insert(tx: &DatabaseTransaction, transaction: &Transaction) -> Result<(), SandboxError> {
    let (wanted, known) = (&transaction.wanted, Columns::from(transaction.state));
    let (session, parent) = transaction.acts_on.as_ref().map_or((None, None), Subject::columns);
    tx.execute_raw(sql(
        "INSERT INTO sandbox_transaction (id, reference, kind, amount, currency, method, parent, parent_session_id,
                                          parent_transaction_id, status, amount_moved, amount_released, failure, decline,
                                          settles_at, telling, webhook_url, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            transaction.id.as_str().into(),
            wanted.reference.as_str().into(),
            wanted.kind.name().into(),
            wanted.amount.into(),
            wanted.currency.as_str().into(),
            wanted.method.as_str().into(),
            wanted.parent.as_deref().into(),
            session.into(),
            parent.into(),
            transaction.state.name().into(),
            known.moved.into(),
            known.released.into(),
            known.failure.into(),
            known.decline.into(),
            known.settles_at.into(),
            known.telling.into(),
            wanted.webhook_url.as_str().into(),
            transaction.created_at.timestamp_millis().into(),
        ],
    ))
    .await?;
    Ok(())
}

/// One step of a transaction's life. The statement names the state that it leaves, so that a step taken twice changes nothing.
pub async fn advance(tx: &DatabaseTransaction, earlier: &Transaction, step: Step) -> Result<Transaction, SandboxError> {
    let contradiction = || SandboxError::Contradiction { id: earlier.id.clone() };
    let state = State::after(Some(earlier.state), step).ok_or_else(contradiction)?;
    let known = Columns::from(state);
    let statement = sql(
        "UPDATE sandbox_transaction
         SET status = ?, amount_moved = ?, amount_released = ?, failure = ?, decline = ?, settles_at = ?, telling = ?
         WHERE id = ? AND status = ?",
        [
            state.name().into(),
            known.moved.into(),
            known.released.into(),
            known.failure.into(),
            known.decline.into(),
            known.settles_at.into(),
            known.telling.into(),
            earlier.id.as_str().into(),
            earlier.state.name().into(),
        ],
    );
    if tx.execute_raw(statement).await?.rows_affected() != 1 {
        return Err(contradiction());
    }
    Ok(Transaction { state, ..earlier.clone() })
}

pub async fn load(db: &impl ConnectionTrait, key: Key<'_>) -> Result<Option<Transaction>, SandboxError> {
    let (text, value) = match key {
        Key::Id(id) => ("SELECT * FROM sandbox_transaction WHERE id = ?", id),
        Key::Reference(reference) => ("SELECT * FROM sandbox_transaction WHERE reference = ?", reference),
    };
    let row = TransactionRow::find_by_statement(sql(text, [value.into()])).one(db).await?;
    row.map(Transaction::try_from).transpose()
}

/// What was due by now in a transaction's family: itself, those that act on it, and those that act on the same as it does.
/// In the order in which it was due, because a capture may release what one before it left.
pub async fn due(
    tx: &DatabaseTransaction,
    transaction: &Transaction,
    now: DateTime<Utc>,
) -> Result<Vec<Transaction>, SandboxError> {
    let parent = transaction.acts_on.as_ref().and_then(|subject| subject.columns().1);
    let statement = sql(
        "SELECT * FROM sandbox_transaction
         WHERE status = 'pending' AND settles_at <= ?1
           AND (id = ?2 OR parent_transaction_id = ?2 OR parent_transaction_id = ?3)
         ORDER BY settles_at, rowid",
        [now.timestamp_millis().into(), transaction.id.as_str().into(), parent.into()],
    );
    let rows = TransactionRow::find_by_statement(statement).all(tx).await?;
    rows.into_iter().map(Transaction::try_from).collect()
}

/// What others have of a session's or a transaction's money.
pub async fn taken(tx: &DatabaseTransaction, subject: &Subject) -> Result<Taken, SandboxError> {
    let (column, id) = match subject {
        Subject::Session(id) => ("parent_session_id", id),
        Subject::Transaction(id) => ("parent_transaction_id", id),
    };
    let statement = sql(
        &format!(
            "SELECT coalesce(sum(coalesce(amount_moved, amount) + coalesce(amount_released, 0)), 0) AS amount,
                    count(*) FILTER (WHERE kind = 'capture') AS captures
             FROM sandbox_transaction WHERE {column} = ? AND status <> 'failed'"
        ),
        [id.as_str().into()],
    );
    match tx.query_one_raw(statement).await? {
        Some(row) => Ok(Taken { amount: row.try_get("", "amount")?, captures: row.try_get("", "captures")? }),
        None => Err(SandboxError::Contradiction { id: id.clone() }),
    }
}

/// Whether this is the first request under a reference. Only that is remembered, and nothing about the money.
pub async fn note_first_request(
    db: &impl ConnectionTrait,
    reference: &str,
    now: DateTime<Utc>,
) -> Result<bool, SandboxError> {
    let statement = sql(
        "INSERT INTO sandbox_first_request (reference, at)
         SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM sandbox_transaction WHERE reference = ?1)
         ON CONFLICT (reference) DO NOTHING",
        [reference.into(), now.timestamp_millis().into()],
    );
    Ok(db.execute_raw(statement).await?.rows_affected() == 1)
}

impl TryFrom<TransactionRow> for Transaction {
    type Error = SandboxError;

    fn try_from(row: TransactionRow) -> Result<Self, SandboxError> {
        let read = row.kind().zip(row.state()).zip(row.acts_on()).zip(time(row.created_at));
        let Some((((kind, state), acts_on), created_at)) = read else {
            return Err(SandboxError::Contradiction { id: row.id });
        };
        let wanted = Instruction {
            reference: row.reference,
            kind,
            amount: row.amount,
            currency: row.currency,
            method: row.method,
            parent: row.parent,
            webhook_url: row.webhook_url,
        };
        Ok(Self { id: row.id, wanted, acts_on, state, created_at })
    }
}

impl TransactionRow {
    fn kind(&self) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == self.kind)
    }

    fn state(&self) -> Option<State> {
        let money = (self.amount_moved, self.amount_released);
        let failure = (self.failure.as_deref(), self.decline.as_deref());
        let settlement = (self.settles_at.and_then(time), self.telling.as_deref());
        match (self.status.as_str(), money, failure, settlement) {
            ("pending", (None, None), (None, None), (Some(settles_at), Some(telling))) => {
                let telling = Telling::ALL.into_iter().find(|known| known.name() == telling)?;
                Some(State::Pending { settles_at, telling })
            }
            ("succeeded", (Some(moved), released), (None, None), (None, None)) => {
                Some(State::Succeeded { moved, released })
            }
            ("failed", (None, None), (Some(code), decline), (None, None)) => {
                let told = |reason: &Reason| {
                    let shown = reason.shown();
                    (shown.code, shown.decline.map(Decline::name))
                };
                Reason::ALL.into_iter().find(|reason| told(reason) == (code, decline)).map(State::Failed)
            }
            _ => None,
        }
    }

    /// The outer `None` is a contradiction.
    fn acts_on(&self) -> Option<Option<Subject>> {
        match (&self.parent_session_id, &self.parent_transaction_id) {
            (None, None) => Some(None),
            (Some(id), None) => Some(Some(Subject::Session(id.clone()))),
            (None, Some(id)) => Some(Some(Subject::Transaction(id.clone()))),
            (Some(_), Some(_)) => None,
        }
    }
}
