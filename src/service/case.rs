//! Cases: what the server can't decide, kept for a person with the evidence (rule R3).
//!
//! Opened here, found, and closed; what a decision does is in `resolution`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use entity::{
    event::Report,
    id::{AttemptId, CaseId, PaymentId, TransactionId},
    money::Money,
    reconciliation::{ActiveModel, Column, Entity, Model, Reason, Resolution, State},
    transaction,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait, Select,
};
use uuid::Uuid;

use super::answer::SERVER;
use crate::{
    app::App,
    auth::{Caller, Scope},
    db::WriteTransaction,
    error::{Error, Problem, Read},
};

/// What a case is about.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub reason: Reason,
    pub payment: PaymentId,
    pub attempt: Option<AttemptId>,
    pub transaction: Option<TransactionId>,
    pub expected: Money,
    pub reported: Option<Money>,
    /// What was heard against the last word on a transaction.
    pub reported_status: Option<transaction::Status>,
    /// What the provider said, word for word.
    pub words: Option<Report>,
}

/// How often the provider was asked in vain, and when it is asked next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checks {
    pub made: i32,
    pub next_at: DateTime<Utc>,
}

impl Question {
    /// What came of this is not known, after the provider was asked.
    pub fn unknown(payment: PaymentId, expected: Money) -> Self {
        let (attempt, transaction, reported, reported_status, words) = (None, None, None, None, None);
        let reason = Reason::OutcomeUnknown;
        Self { reason, payment, attempt, transaction, expected, reported, reported_status, words }
    }

    fn case(self, now: DateTime<Utc>) -> Model {
        Model {
            id: CaseId::new(now),
            state: State::Open,
            reason: self.reason,
            payment_id: self.payment,
            attempt_id: self.attempt,
            transaction_id: self.transaction,
            expected_minor: Some(self.expected.minor()),
            expected_currency: Some(self.expected.currency()),
            reported_minor: self.reported.map(Money::minor),
            reported_currency: self.reported.map(Money::currency),
            reported_status: self.reported_status,
            report: self.words,
            checks: 0,
            next_check_at: None,
            resolution: None,
            evidence: None,
            resolved_by: None,
            created_at: now,
            resolved_at: None,
        }
    }
}

/// Opens it.
pub(super) async fn open(tx: &WriteTransaction, question: Question, now: DateTime<Utc>) -> Result<(), Error> {
    let case = question.case(now);
    tracing::error!(case = %case.id, payment = %case.payment_id, reason = ?case.reason, "a person has to decide");
    Entity::insert(case.into_active_model()).exec_without_returning(tx).await?;
    Ok(())
}

/// Opens it, unless the same was asked of this transaction before and still is, or somebody has decided. What could not be given back is asked again
/// once that was decided; so is what the provider's own word had settled.
pub(super) async fn open_once(tx: &WriteTransaction, question: Question, now: DateTime<Utc>) -> Result<(), Error> {
    let asked = Entity::find()
        .filter(Column::TransactionId.eq(question.transaction))
        .filter(Column::Reason.eq(question.reason))
        .filter(Column::State.eq(State::Open).or(Column::Resolution.ne(Resolution::Recheck)))
        .apply_if(question.reported, |query, reported| query.filter(Column::ReportedMinor.eq(reported.minor())))
        .apply_if(question.reported_status, |query, status| query.filter(Column::ReportedStatus.eq(status)))
        .apply_if((question.reason == Reason::FailedReversal).then_some(State::Open), of_state)
        .one(tx)
        .await?;
    match asked {
        Some(_) => Ok(()),
        None => open(tx, question, now).await,
    }
}

/// Notes that the provider was asked once more and has not said; a case is opened by the first such check.
pub(super) async fn ask_in_vain(
    tx: &WriteTransaction,
    question: Question,
    checks: Checks,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let (made, next_at) = (Set(checks.made), Set(Some(checks.next_at)));
    let values = ActiveModel { checks: made, next_check_at: next_at, ..ActiveModel::default() };
    let known = unknown(question.transaction, question.attempt);
    if Entity::update_many().set(values).filter(known).exec(tx).await?.rows_affected > 0 {
        return Ok(());
    }
    let case = Model { checks: checks.made, next_check_at: Some(checks.next_at), ..question.case(now) };
    tracing::warn!(case = %case.id, payment = %case.payment_id, "what came of it is still not known");
    Entity::insert(case.into_active_model()).exec_without_returning(tx).await?;
    Ok(())
}

/// Closes the case that asked what came of this: the provider has said.
pub(super) async fn answered(
    tx: &WriteTransaction,
    transaction: Option<TransactionId>,
    attempt: Option<AttemptId>,
    what: String,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let values = settled(what, now);
    Entity::update_many().set(values).filter(unknown(transaction, attempt)).exec(tx).await?;
    Ok(())
}

/// Closes the case that said that this could not be given back: it was.
pub(super) async fn reversed(tx: &WriteTransaction, id: TransactionId, now: DateTime<Utc>) -> Result<(), Error> {
    let stuck = Column::TransactionId.eq(id);
    let open = Condition::all().add(Column::State.eq(State::Open)).add(Column::Reason.eq(Reason::FailedReversal));
    let values = settled("it was reversed after all".to_owned(), now);
    Entity::update_many().set(values).filter(open.add(stuck)).exec(tx).await?;
    Ok(())
}

/// What is written where nobody had to decide.
fn settled(what: String, now: DateTime<Utc>) -> ActiveModel {
    ActiveModel {
        state: Set(State::Resolved),
        evidence: Set(Some(what)),
        resolved_by: Set(Some(SERVER.to_owned())),
        resolved_at: Set(Some(now)),
        next_check_at: Set(None),
        ..ActiveModel::default()
    }
}

/// The open case that asks what came of this transaction, or of this attempt.
fn unknown(transaction: Option<TransactionId>, attempt: Option<AttemptId>) -> Condition {
    let open = Condition::all().add(Column::State.eq(State::Open)).add(Column::Reason.eq(Reason::OutcomeUnknown));
    match transaction {
        Some(_) => open.add(Column::TransactionId.eq(transaction)),
        None => open.add(Column::AttemptId.eq(attempt)),
    }
}

/// Notes that the provider was asked once more, and that the case is still open.
pub(super) async fn asked_once_more(tx: &WriteTransaction, case: &Model) -> Result<(), Error> {
    let values = ActiveModel { checks: Set(case.checks + 1), ..ActiveModel::default() };
    Entity::update_many().set(values).filter(Column::Id.eq(case.id)).exec(tx).await?;
    Ok(())
}

/// Closes a case as somebody decided, with what they went by.
pub(super) async fn resolve(
    tx: &WriteTransaction,
    case: &Model,
    caller: &Caller,
    resolution: Resolution,
    evidence: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let values = ActiveModel {
        state: Set(State::Resolved),
        resolution: Set(Some(resolution)),
        evidence: Set(Some(evidence.to_owned())),
        resolved_by: Set(Some(format!("{} {}", caller.kind.name(), caller.id))),
        resolved_at: Set(Some(now)),
        next_check_at: Set(None),
        ..ActiveModel::default()
    };
    let query = Entity::update_many().set(values).filter(Column::Id.eq(case.id));
    match query.filter(Column::State.eq(State::Open)).exec(tx).await?.rows_affected {
        1 => Ok(()),
        _ => Err(Error::Fault(format!("{} was decided meanwhile, under a lock", case.id))),
    }
}

pub(super) async fn by_id(db: &impl ConnectionTrait, id: CaseId) -> Result<Model, Error> {
    let found = Entity::find_by_id(id).one(db).await?;
    found.ok_or_else(|| Problem::invalid("caseId", "names no case").into())
}

fn of_state(query: Select<Entity>, state: State) -> Select<Entity> {
    query.filter(Column::State.eq(state))
}

/// The largest page.
pub const MOST_PER_PAGE: i32 = 100;

/// Which part of the list of cases.
#[derive(Clone, Debug)]
pub struct CasePart {
    pub count: u64,
    pub after: Option<String>,
    /// None: open and resolved ones.
    pub state: Option<State>,
}

/// A part of the list of cases, newest first.
#[derive(Clone, Debug)]
pub struct CasePage {
    pub cases: Vec<Model>,
    pub has_next: bool,
    pub has_previous: bool,
}

/// A part of the list of cases, for services with `payments:reconcile`.
pub async fn get_cases(app: &App, caller: &Caller, part: Read<CasePart>) -> Result<CasePage, Error> {
    caller.require(Scope::PaymentsReconcile)?;
    let CasePart { count, after, state } = part?;
    let from = match &after {
        None => None,
        Some(cursor) => Some(
            position(state, cursor)
                .ok_or_else(|| Problem::invalid("after", "is not a cursor of this list with this state"))?,
        ),
    };
    let query =
        Entity::find().apply_if(state, of_state).apply_if(from, |query, from| query.filter(Column::Id.lt(from)));
    // One more than asked for tells whether there is a next one.
    let mut cases = query.order_by_desc(Column::Id).limit(count + 1).all(app.db.read()).await?;
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let has_next = cases.len() > most;
    cases.truncate(most);
    Ok(CasePage { cases, has_next, has_previous: from.is_some() })
}

/// The cursor that stands at a case, in the list of this state.
pub fn cursor(state: Option<State>, case: &Model) -> String {
    URL_SAFE_NO_PAD.encode([&[tag(state)], case.id.as_bytes().as_slice()].concat())
}

fn position(state: Option<State>, cursor: &str) -> Option<CaseId> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (list, id) = bytes.split_first()?;
    (*list == tag(state)).then(|| Uuid::from_slice(id).ok())?.map(CaseId::from)
}

/// Tells the lists apart, so that their cursors are not mixed up.
fn tag(state: Option<State>) -> u8 {
    match state {
        None => b'a',
        Some(State::Open) => b'o',
        Some(State::Resolved) => b'r',
    }
}
