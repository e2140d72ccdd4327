//! What a provider reports is compared with what was asked for, and taken in once (rules T3 to T6).
//!
//! A webhook and `updateAttemptToPay` come here alike. The order's row is locked for it, so copies of the same news queue up behind one another,
//! whichever server they came to.

use chrono::{DateTime, Utc};
use entity::{
    attempt::{ActiveModel, Column, Entity, Model, News, Report, Status, judge},
    event,
    id::{AttemptId, CaseId, TransactionId},
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
    error::{Error, Problem, Read},
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

/// News of a session that a service reports.
#[derive(Clone, Debug)]
pub struct Reported {
    pub external_id: String,
    pub told: Told,
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

    fn of_notice(notice: Notice, body: &str) -> Self {
        Self {
            report: notice.report,
            amount: notice.amount,
            failure: notice.failure,
            event_id: Some(notice.event_id),
            words: body.to_owned(),
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

/// What one piece of news does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing: it was known, or is old.
    None,
    Changed,
    /// Money was reported that is not accepted.
    Refused,
}

/// Takes in what a service reports of a session (rule T3): a compare, not a set. Needs `attempts:write`.
pub async fn update_attempt_to_pay(app: &App, caller: &Caller, reported: Read<Reported>) -> Result<Settled, Error> {
    caller.require(Scope::AttemptsWrite)?;
    let Reported { external_id, told } = reported?;
    let found = attempts::by_external_id(app.db.read(), &external_id).await?;
    let provider = match found.as_slice() {
        [] => return Err(Problem::AttemptNotFound.into()),
        [attempt] => attempt.provider.clone(),
        _ => return Err(Problem::invalid("attemptExternalId", "names sessions of more than one provider").into()),
    };
    let settled = take_in(app, &provider, &external_id, told).await?.ok_or(Problem::AttemptNotFound)?;
    end_what_must_not_be_paid(app, &settled).await?;
    Ok(settled)
}

/// Takes in a provider's event, or keeps it until its session is known (rule W2). Returns once it is committed.
pub async fn process_event(app: &App, provider: &str, notice: Notice, body: &str) -> Result<(), Error> {
    let (external_id, event_id) = (notice.external_id.clone(), notice.event_id.clone());
    if let Some(settled) = take_in(app, provider, &external_id, Told::of_notice(notice, body)).await? {
        return end_what_must_not_be_paid(app, &settled).await;
    }
    park(app, provider, &event_id, &external_id, body).await?;
    // The session may have become known between the look and the parking.
    match unpark(app, provider, &external_id).await? {
        Some(settled) => end_what_must_not_be_paid(app, &settled).await,
        None => Ok(()),
    }
}

/// Takes in what was kept of a session, if it is known by now. Whoever parks news and whoever makes a session known look for each other after they
/// have committed, so that one of them finds the other.
pub(super) async fn unpark(app: &App, provider: &str, external_id: &str) -> Result<Option<Settled>, Error> {
    let parked = event::Entity::find()
        .filter(event::Column::Provider.eq(provider))
        .filter(event::Column::ExternalId.eq(external_id))
        .filter(event::Column::State.eq(event::State::Parked))
        .one(app.db.read())
        .await?;
    let known = attempts::by_external_id(app.db.read(), external_id).await?;
    let known = known.into_iter().find(|attempt| attempt.provider == provider);
    let (Some(_), Some(known)) = (parked, known) else { return Ok(None) };
    let tx = app.db.begin_write().await?;
    lock(&tx, &Audience::of_the_server(), known.order_id).await?;
    take_in_parked(app, &tx, known.id, app.clock.now()).await?;
    let (attempt, order) = subject(&tx, known.id).await?;
    tx.commit().await?;
    Ok(Some(settled(attempt, order, Effect::Changed)))
}

/// Once an order is paid, or holds money that nobody decided about, no other session of it may be paid. Done for old news as well: whoever
/// took it in first may not have come this far.
async fn end_what_must_not_be_paid(app: &App, settled: &Settled) -> Result<(), Error> {
    let order = &settled.order;
    if order.status == order::Status::Paid || attempts::waits_for_decision(app.db.read(), order.id).await? {
        session::end_leftover(app, order.id).await?;
    }
    Ok(())
}

async fn park(app: &App, provider: &str, event_id: &str, external_id: &str, body: &str) -> Result<(), Error> {
    let tx = app.db.begin_write().await?;
    let parked = event_row(provider, event_id, external_id, body, app.clock.now(), event::State::Parked);
    event::Entity::insert(parked.into_active_model()).on_conflict_do_nothing().exec_without_returning(&tx).await?;
    tx.commit().await?;
    tracing::info!(provider, event_id, "news of a session that is not known yet is kept");
    Ok(())
}

/// Takes in the events that were kept until this attempt's session was known, oldest first. The order is locked.
pub(super) async fn take_in_parked(
    app: &App,
    tx: &DatabaseTransaction,
    attempt: AttemptId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let (known, _) = subject(tx, attempt).await?;
    let (Some(provider), Some(external_id)) = (app.providers.named(&known.provider), &known.external_id) else {
        return Ok(());
    };
    let parked = event::Entity::find()
        .filter(event::Column::Provider.eq(provider.name()))
        .filter(event::Column::ExternalId.eq(external_id))
        .filter(event::Column::State.eq(event::State::Parked))
        .order_by_asc(event::Column::ReceivedAt)
        .all(tx)
        .await?;
    for event in parked {
        let body = event.report.0;
        match provider.read_event(body.as_bytes()) {
            Ok(notice) => {
                take_in_within(tx, attempt, &Told::of_notice(notice, &body), now).await?;
            }
            Err(_) => tracing::error!(event_id = event.event_id, "a kept event can't be read any more"),
        }
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
    lock(&tx, &Audience::of_the_server(), known.order_id).await?;
    take_in_parked(app, &tx, known.id, now).await?;
    let effect = take_in_within(&tx, known.id, &told, now).await?;
    let (attempt, order) = subject(&tx, known.id).await?;
    tx.commit().await?;
    Ok(Some(settled(attempt, order, effect)))
}

fn settled(attempt: Model, order: order::Model, effect: Effect) -> Settled {
    let refused = effect == Effect::Refused || attempt.status == Status::Conflicted;
    let problem = refused.then_some(Problem::AttemptConflicted);
    Settled { attempt, order, already_processed: effect == Effect::None, problem }
}

/// An attempt and its order as they are now.
pub(super) async fn subject(tx: &DatabaseTransaction, id: AttemptId) -> Result<(Model, order::Model), Error> {
    let attempt = attempts::by_id(tx, id).await?.ok_or(Error::missing(id))?;
    let order = by_id(tx, attempt.order_id).await?.ok_or(Error::missing(attempt.order_id))?;
    Ok((attempt, order))
}

/// Takes news in within a transaction that holds the order's row.
pub(super) async fn take_in_within(
    tx: &DatabaseTransaction,
    id: AttemptId,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<Effect, Error> {
    let (attempt, order) = subject(tx, id).await?;
    let external_id = attempt.external_id.as_deref().unwrap_or_default();
    let is_new = remember(tx, &attempt.provider, external_id, told, now).await?;
    // Money is looked at even under an event id that was seen: a success must not be lost to a caller who reuses ids.
    if !is_new && told.report != Report::Succeeded {
        return Ok(Effect::None);
    }
    compare(tx, &attempt, order, told, now).await
}

/// Notes the event; false if it was taken in before.
async fn remember(
    tx: &DatabaseTransaction,
    provider: &str,
    external_id: &str,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let Some(event_id) = &told.event_id else { return Ok(true) };
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
        .filter(event::Column::ExternalId.eq(external_id))
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

/// Compares news with the attempt and the order, and writes what follows.
async fn compare(
    tx: &DatabaseTransaction,
    attempt: &Model,
    order: order::Model,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<Effect, Error> {
    let news = match told.report {
        Report::Pending => News::Opened,
        Report::Processing => News::Processing,
        Report::Failed => News::Failed,
        Report::Cancelled => News::Cancelled,
        Report::Expired => News::Expired,
        Report::Succeeded => return compare_money(tx, attempt, order, told, now).await,
    };
    let Some(to) = attempt.status.on(news) else { return Ok(Effect::None) };
    advance(tx, attempt, to, told.failure.as_ref(), now).await?;
    Ok(Effect::Changed)
}

async fn compare_money(
    tx: &DatabaseTransaction,
    attempt: &Model,
    order: order::Model,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<Effect, Error> {
    if attempt.status == Status::Succeeded && told.amount == attempt.amount() {
        return Ok(Effect::None);
    }
    if case_of(tx, attempt, told.amount).await? {
        // Refused once: whoever resolves the case decides, and not the next copy of the same report.
        return Ok(Effect::None);
    }
    match judge(attempt, &order, told.amount) {
        None => accept(tx, attempt, order, now).await,
        Some(reason) => refuse(tx, attempt, reason, told, now).await,
    }
}

/// Whether this report of money was refused before.
async fn case_of(tx: &DatabaseTransaction, attempt: &Model, amount: Money) -> Result<bool, Error> {
    use reconciliation::Column as Case;
    let known = reconciliation::Entity::find()
        .filter(Case::AttemptId.eq(attempt.id))
        .filter(Case::ReportedMinor.eq(amount.minor()))
        .filter(Case::ReportedCurrency.eq(amount.currency()))
        .one(tx)
        .await?;
    Ok(known.is_some())
}

/// Takes the money in (rule T4): the payment's transaction, and the order paid if it is covered.
async fn accept(
    tx: &DatabaseTransaction,
    attempt: &Model,
    order: order::Model,
    now: DateTime<Utc>,
) -> Result<Effect, Error> {
    let Some(to) = attempt.status.on(News::MoneyAccepted) else {
        return Ok(Effect::None);
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
    if let Payable::Paid(paid) = pay_if_covered(tx, order, Some(attempt.id), now).await? {
        attempts::hide_open(tx, paid.id).await?;
    }
    Ok(Effect::Changed)
}

/// Keeps money that is not accepted as a case (rule T5).
async fn refuse(
    tx: &DatabaseTransaction,
    attempt: &Model,
    reason: Reason,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<Effect, Error> {
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
    attempts::hide_open(tx, attempt.order_id).await?;
    Ok(Effect::Refused)
}

/// Moves an attempt on, and its payment with it: archived where it ended without money, active where money came (rule T3).
pub(super) async fn advance(
    tx: &DatabaseTransaction,
    attempt: &Model,
    to: Status,
    failure: Option<&Failure>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let (code, message, decline) = match failure {
        Some(failure) => (Some(failure.code.clone()), Some(failure.message.clone()), failure.decline),
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
