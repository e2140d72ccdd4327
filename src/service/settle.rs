//! What a provider reports is compared with what was asked for, and taken in once (rules T3 to T6).
//!
//! A webhook and `updateAttemptToPay` come here alike. The order's row is locked for it, so copies of the same news queue up behind one another,
//! whichever server they came to.

mod at_once;
mod money;

use chrono::{DateTime, Utc};
use entity::{
    attempt::{ActiveModel, Column, Entity, Model, News, Report, Status},
    audit::Actor,
    event::Report as Words,
    id::AttemptId,
    money::Money,
    order,
    outbox::Topic,
    payment,
    transaction::Failure,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter,
    sea_query::{Expr, ExprTrait},
};

use super::{
    attempt as attempts, case, event,
    lease::{self, Errand, LockedRow},
    lock::Token,
    order::{by_id, lock},
    outbox, session,
};
use crate::{
    app::App,
    auth::{Audience, Caller, Scope},
    db::{WriteTransaction, tried_again},
    error::{Error, Problem, Read},
    provider::{Session, SessionNews},
};

pub(super) use self::money::{accept, book, booked_of};

/// News of a session, from whomever it comes.
#[derive(Clone, Debug)]
pub struct Told {
    pub report: Report,
    pub amount: Money,
    pub failure: Option<Failure>,
    /// The provider's id of the event, where it has one.
    pub event_id: Option<String>,
    /// As it was told, word for word.
    pub words: Words,
}

/// News of a session that a service reports.
#[derive(Clone, Debug)]
pub struct Reported {
    pub external_id: String,
    pub told: Told,
    /// The caller's lock on the payment of the attempt.
    pub lock_token: Option<Token>,
}

/// Who tells it.
#[derive(Clone, Copy, Debug)]
pub(super) enum By<'a> {
    /// The provider: what it says is always stored (rule P7).
    Provider,
    /// A service, under its own lock or when nobody has one (rule K1).
    Service(&'a Errand<'a>),
}

impl Told {
    /// What a session that was asked for says of itself.
    pub fn of_session(session: Session) -> Self {
        Self {
            words: Words(format!("asked, the provider said: {:?}, {}", session.report, session.amount)),
            report: session.report,
            amount: session.amount,
            failure: session.failure,
            event_id: None,
        }
    }

    pub(super) fn of_news(news: SessionNews, event_id: String, body: &str) -> Self {
        Self {
            report: news.report,
            amount: news.amount,
            failure: news.failure,
            event_id: Some(event_id),
            words: Words(body.to_owned()),
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
    /// Whether it is known that no other session of the order is open.
    none_is_open: bool,
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
    let Reported { external_id, told, lock_token } = reported?;
    let found = attempts::by_external_id(app.db.read(), &external_id).await?;
    let provider = match found.as_slice() {
        [] => return Err(Problem::AttemptNotFound.into()),
        [attempt] => attempt.provider.clone(),
        _ => return Err(Problem::invalid("attemptExternalId", "names sessions of more than one provider").into()),
    };
    let errand = Errand { by: caller.actor(), token: lock_token.as_ref(), purpose: "updateAttemptToPay" };
    let settled =
        take_in(app, &provider, &external_id, told, By::Service(&errand)).await?.ok_or(Problem::AttemptNotFound)?;
    Box::pin(end_what_must_not_be_paid(app, &settled)).await?;
    match settled.attempt.status.ended_without_money() {
        true => Box::pin(end_as_told(app, settled)).await,
        false => Ok(settled),
    }
}

/// An attempt that ended by a service's word has a session that the provider may still let be paid: it is ended there too, and what it came to instead
/// is taken in (rule T2). Said once more it is tried once more.
async fn end_as_told(app: &App, settled: Settled) -> Result<Settled, Error> {
    if let Err(error) = session::cancel(app, &settled.attempt).await {
        tracing::warn!(attempt = %settled.attempt.id, ?error, "a session stays open at the provider, though its attempt was said to have ended");
    }
    let attempt = attempts::by_id(app.db.read(), settled.attempt.id).await?.unwrap_or(settled.attempt);
    let order = by_id(app.db.read(), attempt.order_id).await?.unwrap_or(settled.order);
    Ok(Settled { attempt, order, ..settled })
}

/// Once an order is paid, or holds money that nobody decided about, no other session of it may be paid. Done for old news as well: whoever
/// took it in first may not have come this far.
pub(super) async fn end_what_must_not_be_paid(app: &App, settled: &Settled) -> Result<(), Error> {
    let order = &settled.order;
    if settled.none_is_open {
        return Ok(());
    }
    if order.status == order::Status::Paid || attempts::waits_for_decision(app.db.read(), order.id).await? {
        Box::pin(session::end_leftover(app, order.id)).await?;
    }
    Ok(())
}

/// Takes news in: one transaction, whatever it leads to. `None` where the session is not known.
pub(super) async fn take_in(
    app: &App,
    provider: &str,
    external_id: &str,
    told: Told,
    by: By<'_>,
) -> Result<Option<Settled>, Error> {
    tried_again(|| Box::pin(take_in_once(app, provider, external_id, &told, by))).await
}

async fn take_in_once(
    app: &App,
    provider: &str,
    external_id: &str,
    told: &Told,
    by: By<'_>,
) -> Result<Option<Settled>, Error> {
    let Some((attempt, order)) = attempts::with_order(app.db.read(), provider, external_id).await? else {
        return Ok(None);
    };
    let at_once = match by {
        By::Provider => at_once::take_in(app, &attempt, &order, told).await?,
        By::Service(_) => None,
    };
    let (tx, settled) = match at_once {
        Some(done) => done,
        None => take_in_step_by_step(app, &attempt, told, by).await?,
    };
    tx.commit().await?;
    Ok(Some(settled))
}

async fn take_in_step_by_step(
    app: &App,
    known: &Model,
    told: &Told,
    by: By<'_>,
) -> Result<(WriteTransaction, Settled), Error> {
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    lock(&tx, &Audience::of_the_server(), known.order_id).await?;
    let actor = match by {
        By::Provider => Actor::PROVIDER,
        By::Service(errand) => lease::pass(&tx, known.payment_id, errand).await?.row().by.clone(),
    };
    event::take_in_parked(app, &tx, known.id, now).await?;
    let effect = take_in_within(&tx, known.id, told, actor, now).await?;
    let (attempt, order) = subject(&tx, known.id).await?;
    Ok((tx, settled(attempt, order, effect)))
}

pub(super) fn settled(attempt: Model, order: order::Model, effect: Effect) -> Settled {
    let refused = effect == Effect::Refused || attempt.status == Status::Conflicted;
    let problem = refused.then_some(Problem::AttemptConflicted);
    Settled { attempt, order, already_processed: effect == Effect::None, problem, none_is_open: false }
}

/// An attempt and its order as they are now.
pub(super) async fn subject(tx: &WriteTransaction, id: AttemptId) -> Result<(Model, order::Model), Error> {
    let attempt = attempts::by_id(tx, id).await?.ok_or(Error::missing(id))?;
    let order = by_id(tx, attempt.order_id).await?.ok_or(Error::missing(attempt.order_id))?;
    Ok((attempt, order))
}

/// Takes news in within a transaction that holds the order's row.
pub(super) async fn take_in_within(
    tx: &WriteTransaction,
    id: AttemptId,
    told: &Told,
    by: Actor,
    now: DateTime<Utc>,
) -> Result<Effect, Error> {
    let (attempt, order) = subject(tx, id).await?;
    let external_id = attempt.external_id.as_deref().unwrap_or_default();
    let is_new = event::remember(tx, &attempt.provider, external_id, told, now).await?;
    // Money is looked at even under an event id that was seen: a success must not be lost to a caller who reuses ids.
    if !is_new && told.report != Report::Succeeded {
        return Ok(Effect::None);
    }
    let row = lease::row(tx, attempt.payment_id, by).await?;
    compare(&row, &attempt, order, told, now).await
}

/// Compares news with the attempt and the order, and writes what follows.
async fn compare(
    row: &LockedRow<'_>,
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
        Report::Succeeded => return money::compare(row, attempt, order, told, now).await,
    };
    let Some(to) = attempt.status.on(news) else { return Ok(Effect::None) };
    advance(row, attempt, to, told.failure.as_ref(), now).await?;
    Ok(Effect::Changed)
}

/// Moves an attempt on, and its payment with it: archived where it ended without money, active where money came (rule T3).
pub(super) async fn advance(
    row: &LockedRow<'_>,
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
    Entity::update_many().set(values).filter(Column::Id.eq(attempt.id)).exec(row.tx).await?;
    if attempt.status == Status::Created {
        let what = format!("it turned out to be {to:?}");
        case::answered(row.tx, None, Some(attempt.id), what, now).await?;
    }
    let mut changes = vec![(Topic::PaymentAttempt, attempt.id.uuid())];
    if let Some(status) = payment_status(to) {
        use payment::Column as Payment;
        payment::Entity::update_many()
            .col_expr(Payment::Status, Expr::value(status))
            .col_expr(Payment::Version, Expr::col(Payment::Version).add(1))
            .col_expr(Payment::UpdatedAt, Expr::value(now))
            .filter(Payment::Id.eq(attempt.payment_id))
            .exec(row.tx)
            .await?;
        changes.push((Topic::Payment, attempt.payment_id.uuid()));
    }
    Ok(outbox::tell(row.tx, attempt.order_id, now, &changes).await?)
}

fn payment_status(attempt: Status) -> Option<payment::Status> {
    match attempt {
        Status::Failed | Status::Cancelled | Status::Expired => Some(payment::Status::Archived),
        Status::Succeeded | Status::Conflicted => Some(payment::Status::Active),
        Status::Created | Status::Pending | Status::Processing => None,
    }
}
