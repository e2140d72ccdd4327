//! How sessions lie in the store: the statements that write them and read them back.
//!
//! Opens no transaction and decides nothing, and guesses nothing: a row whose columns contradict each other is an error.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, FromQueryResult, Statement, Value};

use super::SandboxError;
use super::ledger::{self, Entry};
use super::session::{Decline, Session, State, Step};
use super::transaction::{Kind, Subject};

/// The two names of a session or a transaction: the sandbox's and the shop's.
#[derive(Clone, Copy)]
pub enum Key<'a> {
    Id(&'a str),
    Reference(&'a str),
}

#[derive(FromQueryResult)]
struct SessionRow {
    id: String,
    reference: String,
    amount: i64,
    currency: String,
    status: String,
    amount_received: Option<i64>,
    decline: Option<String>,
    settles_at: Option<i64>,
    return_url: Option<String>,
    webhook_url: String,
    description: Option<String>,
    client_secret: String,
    expires_at: i64,
    created_at: i64,
}

/// False where the reference is taken.
pub async fn insert(tx: &DatabaseTransaction, session: &Session) -> Result<bool, SandboxError> {
    let statement = sql(
        "INSERT INTO sandbox_session (id, reference, amount, currency, status, return_url, webhook_url, description,
                                      client_secret, expires_at, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (reference) DO NOTHING",
        [
            session.id.as_str().into(),
            session.reference.as_str().into(),
            session.amount.into(),
            session.currency.as_str().into(),
            session.state.name().into(),
            session.return_url.clone().into(),
            session.webhook_url.as_str().into(),
            session.description.clone().into(),
            session.client_secret.as_str().into(),
            session.expires_at.timestamp_millis().into(),
            session.created_at.timestamp_millis().into(),
        ],
    );
    Ok(tx.execute_raw(statement).await?.rows_affected() == 1)
}

/// One step of a session's life. The statement names the state that it leaves, so that a step taken twice changes nothing.
pub async fn advance(
    tx: &DatabaseTransaction,
    session: Session,
    step: Step,
    now: DateTime<Utc>,
) -> Result<Session, SandboxError> {
    let Some(state) = session.state.on(step) else {
        return Err(SandboxError::Contradiction { id: session.id });
    };
    let (received, decline, settles_at) = columns(state);
    let statement = sql(
        "UPDATE sandbox_session SET status = ?, amount_received = ?, decline = ?, settles_at = ? WHERE id = ? AND status = ?",
        [
            state.name().into(),
            received.into(),
            decline.into(),
            settles_at.into(),
            session.id.as_str().into(),
            session.state.name().into(),
        ],
    );
    if tx.execute_raw(statement).await?.rows_affected() != 1 {
        return Err(SandboxError::Contradiction { id: session.id });
    }
    if let State::Succeeded { received } = state {
        let kind = Kind::AuthorizeAndCapture.name();
        let subject = Subject::Session(session.id.clone());
        ledger::write(tx, Entry { subject: &subject, kind, amount: received, currency: &session.currency, at: now })
            .await?;
    }
    Ok(Session { state, ..session })
}

pub async fn load(db: &impl ConnectionTrait, key: Key<'_>) -> Result<Option<Session>, SandboxError> {
    let (text, value) = match key {
        Key::Id(id) => ("SELECT * FROM sandbox_session WHERE id = ?", id),
        Key::Reference(reference) => ("SELECT * FROM sandbox_session WHERE reference = ?", reference),
    };
    let row = SessionRow::find_by_statement(sql(text, [value.into()])).one(db).await?;
    row.map(Session::try_from).transpose()
}

/// The columns that carry what is known in a state: amount received, decline, time of settlement.
fn columns(state: State) -> (Option<i64>, Option<&'static str>, Option<i64>) {
    match state {
        State::Processing { settles_at } => (None, None, Some(settles_at.timestamp_millis())),
        State::Succeeded { received } => (Some(received), None, None),
        State::Failed(decline) => (None, Some(decline.name()), None),
        State::Open | State::Cancelled | State::Expired => (None, None, None),
    }
}

impl TryFrom<SessionRow> for Session {
    type Error = SandboxError;

    fn try_from(row: SessionRow) -> Result<Self, SandboxError> {
        let contradiction = || SandboxError::Contradiction { id: row.id.clone() };
        let known = (row.amount_received, row.decline.as_deref(), row.settles_at.and_then(time));
        let state = match (row.status.as_str(), known) {
            ("open", (None, None, None)) => State::Open,
            ("processing", (None, None, Some(settles_at))) => State::Processing { settles_at },
            ("succeeded", (Some(received), None, None)) => State::Succeeded { received },
            ("failed", (None, Some("soft"), None)) => State::Failed(Decline::Soft),
            ("failed", (None, Some("hard"), None)) => State::Failed(Decline::Hard),
            ("cancelled", (None, None, None)) => State::Cancelled,
            ("expired", (None, None, None)) => State::Expired,
            _ => return Err(contradiction()),
        };
        Ok(Self {
            expires_at: time(row.expires_at).ok_or_else(contradiction)?,
            created_at: time(row.created_at).ok_or_else(contradiction)?,
            id: row.id,
            reference: row.reference,
            amount: row.amount,
            currency: row.currency,
            state,
            return_url: row.return_url,
            webhook_url: row.webhook_url,
            description: row.description,
            client_secret: row.client_secret,
        })
    }
}

pub fn time(milliseconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(milliseconds)
}

pub fn sql(text: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, text, values)
}
