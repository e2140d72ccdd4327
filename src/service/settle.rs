//! What a provider reports is compared with what was asked for, and taken in once (rules T3 to T6).
//!
//! A webhook and `updateAttemptToPay` come here alike. The order's row is locked for it, so copies of the same news queue up behind one another,
//! whichever server they came to.

use chrono::{DateTime, Utc};
use entity::{
    attempt::{ActiveModel, Column, Entity, Model, News, Report, Status, judge},
    event,
    id::{CaseId, TransactionId},
    money::Money,
    order,
    outbox::Topic,
    payment,
    reconciliation::{self, Reason},
    transaction::{self, Failure, Kind, ProviderReference},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, TryInsertResult,
    sea_query::{Expr, ExprTrait},
};

use super::{
    attempt as attempts,
    order::{Payable, by_id, lock, pay_if_covered},
    outbox, session,
};
use crate::{
    app::App,
    auth::{Audience, Caller, Scope},
    error::{Error, Problem},
    provider::{Notice, Session},
};

/// News of a session, from whomever it comes.
#[derive(Clone, Debug)]
pub struct Told {
    pub report: Report,
    pub amount: Money,
    pub failure: Option<Failure>,
    /// The provider's id of the event, where it has one.
    pub event_id: Option<String>,
    /// As it was told, word for word.
    pub words: String,
}

impl Told {
    /// What a session that was asked for says of itself.
    pub fn of_session(session: Session) -> Self {
        Self {
            words: format!("asked, the provider said: {:?}, {}", session.report, session.amount),
            report: session.report,
            amount: session.amount,
            failure: session.failure,
            event_id: None,
        }
    }
}

/// What came of news.
#[derive(Clone, Debug)]
pub struct Settled {
    pub attempt: Model,
    pub order: order::Model,
    /// Whether it changed nothing, because it was known.
    pub already_processed: bool,
    pub problem: Option<Problem>,
}

/// Takes in what a service reports of a session (rule T3): a compare, not a set. Needs `attempts:write`.
pub async fn update_attempt_to_pay(
    app: &App,
    caller: &Caller,
    external_id: &str,
    told: Told,
) -> Result<Settled, Error> {
    caller.require(Scope::AttemptsWrite)?;
    let found = attempts::by_external_id(app.db.read(), external_id).await?;
    let provider = match found.as_slice() {
        [] => return Err(Problem::AttemptNotFound.into()),
        [attempt] => attempt.provider.clone(),
        _ => return Err(Problem::invalid("attemptExternalId", "names sessions of more than one provider").into()),
    };
    let settled = take_in(app, &provider, external_id, told).await?.ok_or(Problem::AttemptNotFound)?;
    finish_order(app, &settled).await?;
    Ok(settled)
}

/// Takes in a provider's event, or keeps it until its session is known (rule W2). Returns once it is committed.
pub async fn process_event(app: &App, provider: &str, notice: Notice, body: &str) -> Result<(), Error> {
    let external_id = notice.external_id.clone();
    let told = Told {
        report: notice.report,
        amount: notice.amount,
        failure: notice.failure,
        event_id: Some(notice.event_id.clone()),
        words: body.to_owned(),
    };
    if let Some(settled) = take_in(app, provider, &external_id, told).await? {
        return finish_order(app, &settled).await;
    }
    park(app, provider, &notice.event_id, &external_id, body).await?;
    // The session may have become known between the look and the parking.
    unpark(app, provider, &external_id).await
}

async fn finish_order(app: &App, settled: &Settled) -> Result<(), Error> {
    match settled.order.status {
        order::Status::Paid if !settled.already_processed => session::end_leftover(app, settled.order.id).await,
        _ => Ok(()),
    }
}

async fn park(app: &App, provider: &str, event_id: &str, external_id: &str, body: &str) -> Result<(), Error> {
    let tx = app.db.begin_write().await?;
    let parked = event_row(provider, event_id, external_id, body, app.clock.now(), event::State::Parked);
    event::Entity::insert(parked.into_active_model()).on_conflict_do_nothing().exec_without_returning(&tx).await?;
    tx.commit().await?;
    tracing::info!(provider, event_id, "news of a session that is not known yet is kept");
    Ok(())
}

/// Takes in the events that were kept until this session is known, oldest first.
pub(super) async fn unpark(app: &App, provider: &str, external_id: &str) -> Result<(), Error> {
    let parked = event::Entity::find()
        .filter(event::Column::Provider.eq(provider))
        .filter(event::Column::ExternalId.eq(external_id))
        .filter(event::Column::State.eq(event::State::Parked))
        .order_by_asc(event::Column::ReceivedAt)
        .all(app.db.read())
        .await?;
    for event in parked {
        let Some(provider) = app.providers.named(provider) else {
            continue;
        };
        let body = event.report.0;
        let Ok(notice) = provider.read_event(body.as_bytes()) else {
            tracing::error!(event_id = event.event_id, "a kept event can't be read any more");
            continue;
        };
        let told = Told {
            report: notice.report,
            amount: notice.amount,
            failure: notice.failure,
            event_id: Some(event.event_id),
            words: body,
        };
        take_in(app, provider.name(), external_id, told).await?;
    }
    Ok(())
}

/// Takes news in: one transaction, whatever it leads to. `None` where the session is not known.
pub(super) async fn take_in(
    app: &App,
    provider: &str,
    external_id: &str,
    told: Told,
) -> Result<Option<Settled>, Error> {
    let known = attempts::by_external_id(app.db.read(), external_id).await?;
    let Some(known) = known.into_iter().find(|attempt| attempt.provider == provider) else {
        return Ok(None);
    };
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    let order = lock(&tx, &Audience::Everyone, known.order_id).await?;
    let attempt = attempts::by_id(&tx, known.id).await?.ok_or(Error::missing(known.id))?;
    if !remember(&tx, provider, external_id, &told, now).await? {
        return Ok(Some(settled(attempt, order, true)));
    }
    let changed = compare(&tx, &attempt, order, &told, now).await?;
    let attempt = attempts::by_id(&tx, known.id).await?.ok_or(Error::missing(known.id))?;
    let order = by_id(&tx, known.order_id).await?.ok_or(Error::missing(known.order_id))?;
    tx.commit().await?;
    Ok(Some(settled(attempt, order, !changed)))
}

fn settled(attempt: Model, order: order::Model, already_processed: bool) -> Settled {
    let problem = (attempt.status == Status::Conflicted).then_some(Problem::AttemptConflicted);
    Settled { attempt, order, already_processed, problem }
}

/// Notes the event; false if it was taken in before.
async fn remember(
    tx: &DatabaseTransaction,
    provider: &str,
    external_id: &str,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let Some(event_id) = &told.event_id else {
        return Ok(true);
    };
    let row = event_row(provider, event_id, external_id, &told.words, now, event::State::Applied);
    let inserted =
        event::Entity::insert(row.into_active_model()).on_conflict_do_nothing().exec_without_returning(tx).await?;
    if matches!(inserted, TryInsertResult::Inserted(rows) if rows > 0) {
        return Ok(true);
    }
    let applied = event::ActiveModel {
        state: Set(event::State::Applied),
        applied_at: Set(Some(now)),
        ..event::ActiveModel::default()
    };
    let unparked = event::Entity::update_many()
        .set(applied)
        .filter(event::Column::Provider.eq(provider))
        .filter(event::Column::EventId.eq(event_id))
        .filter(event::Column::State.eq(event::State::Parked))
        .exec(tx)
        .await?;
    Ok(unparked.rows_affected > 0)
}

fn event_row(
    provider: &str,
    event_id: &str,
    external_id: &str,
    words: &str,
    now: DateTime<Utc>,
    state: event::State,
) -> event::Model {
    event::Model {
        provider: provider.to_owned(),
        event_id: event_id.to_owned(),
        external_id: external_id.to_owned(),
        state,
        report: event::Report(words.to_owned()),
        received_at: now,
        applied_at: (state == event::State::Applied).then_some(now),
    }
}

/// Compares news with the attempt and the order, and writes what follows; false if nothing does.
async fn compare(
    tx: &DatabaseTransaction,
    attempt: &Model,
    order: order::Model,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let news = match told.report {
        Report::Pending => News::Opened,
        Report::Processing => News::Processing,
        Report::Failed => News::Failed,
        Report::Cancelled => News::Cancelled,
        Report::Expired => News::Expired,
        Report::Succeeded => return compare_money(tx, attempt, order, told, now).await,
    };
    let Some(to) = attempt.status.on(news) else {
        return Ok(false);
    };
    advance(tx, attempt, to, told.failure.clone(), now).await?;
    Ok(true)
}

async fn compare_money(
    tx: &DatabaseTransaction,
    attempt: &Model,
    order: order::Model,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    if attempt.status == Status::Succeeded && told.amount == attempt.amount() {
        return Ok(false);
    }
    match judge(attempt, &order, told.amount) {
        None => accept(tx, attempt, order, now).await,
        Some(reason) => refuse(tx, attempt, reason, told, now).await,
    }
}

/// Takes the money in (rule T4): the payment's transaction, and the order paid if it is covered.
async fn accept(
    tx: &DatabaseTransaction,
    attempt: &Model,
    order: order::Model,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let Some(to) = attempt.status.on(News::MoneyAccepted) else {
        return Ok(false);
    };
    let transaction = transaction::Model {
        id: TransactionId::new(now),
        payment_id: attempt.payment_id,
        kind: Kind::AuthorizeAndCapture,
        status: transaction::Status::Succeeded,
        management_state: None,
        amount_minor: attempt.amount_minor,
        currency: attempt.currency,
        parent_id: None,
        attempt_id: Some(attempt.id),
        reference: attempt.reference.clone(),
        provider_reference: attempt.external_id.clone().map(ProviderReference),
        created_at: now,
        settled_at: Some(now),
    };
    transaction::Entity::insert(transaction.into_active_model()).exec_without_returning(tx).await?;
    advance(tx, attempt, to, None, now).await?;
    match pay_if_covered(tx, order, Some(attempt.id), now).await? {
        Payable::Paid(_) | Payable::NotCovered(_) => Ok(true),
    }
}

/// Keeps money that is not accepted as a case (rule T5). The same report again is no second case.
async fn refuse(
    tx: &DatabaseTransaction,
    attempt: &Model,
    reason: Reason,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    use reconciliation::Column as Case;
    let known = reconciliation::Entity::find()
        .filter(Case::AttemptId.eq(attempt.id))
        .filter(Case::ReportedMinor.eq(told.amount.minor()))
        .filter(Case::ReportedCurrency.eq(told.amount.currency()))
        .one(tx)
        .await?;
    if known.is_some() {
        return Ok(false);
    }
    let case = reconciliation::Model {
        id: CaseId::new(now),
        state: reconciliation::State::Open,
        reason,
        payment_id: attempt.payment_id,
        attempt_id: Some(attempt.id),
        expected_minor: Some(attempt.amount_minor),
        expected_currency: Some(attempt.currency),
        reported_minor: Some(told.amount.minor()),
        reported_currency: Some(told.amount.currency()),
        report: Some(event::Report(told.words.clone())),
        checks: 0,
        next_check_at: None,
        evidence: None,
        created_at: now,
        resolved_at: None,
    };
    tracing::error!(case = %case.id, attempt = %attempt.id, ?reason, "reported money is not accepted");
    reconciliation::Entity::insert(case.into_active_model()).exec_without_returning(tx).await?;
    if let Some(to) = attempt.status.on(News::MoneyRefused) {
        advance(tx, attempt, to, None, now).await?;
    }
    Ok(true)
}

/// Moves an attempt on, and its payment with it: archived where it ended without money, active where money came (rule T3).
pub(super) async fn advance(
    tx: &DatabaseTransaction,
    attempt: &Model,
    to: Status,
    failure: Option<Failure>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let (code, message, decline) = match failure {
        Some(failure) => (Some(failure.code), Some(failure.message), failure.decline),
        None => (None, None, None),
    };
    let values = ActiveModel {
        status: Set(to),
        failure_code: Set(code),
        failure_message: Set(message),
        decline: Set(decline),
        updated_at: Set(now),
        ..ActiveModel::default()
    };
    Entity::update_many().set(values).filter(Column::Id.eq(attempt.id)).exec(tx).await?;
    let mut changes = vec![(Topic::PaymentAttempt, attempt.id.uuid())];
    if let Some(status) = payment_status(to) {
        use payment::Column as Payment;
        payment::Entity::update_many()
            .col_expr(Payment::Status, Expr::value(status))
            .col_expr(Payment::Version, Expr::col(Payment::Version).add(1))
            .col_expr(Payment::UpdatedAt, Expr::value(now))
            .filter(Payment::Id.eq(attempt.payment_id))
            .exec(tx)
            .await?;
        changes.push((Topic::Payment, attempt.payment_id.uuid()));
    }
    Ok(outbox::tell(tx, attempt.order_id, now, &changes).await?)
}

fn payment_status(attempt: Status) -> Option<payment::Status> {
    match attempt {
        Status::Failed | Status::Cancelled | Status::Expired => Some(payment::Status::Archived),
        Status::Succeeded | Status::Conflicted => Some(payment::Status::Active),
        Status::Created | Status::Pending | Status::Processing => None,
    }
}
