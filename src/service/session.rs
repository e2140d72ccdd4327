//! Sessions at a provider: opened for an attempt, looked up when an answer was lost, and ended.
//!
//! No database transaction is open while a provider is asked, so whatever it answers is compared with what the order has come to meanwhile.

use chrono::{DateTime, Utc};
use entity::{
    attempt::{ActiveModel, Column, Entity, Model, News, Report, Status},
    audit::Actor,
    event::Report as Words,
    id::OrderId,
    outbox::Topic,
    transaction::Failure,
};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use super::{
    attempt::{self, Attempted, came_to},
    case, event,
    lease::{self, Errand},
    lock::Token,
    operation::{self, Key},
    order, outbox,
    settle::{self, By, Told},
};
use crate::{
    app::App,
    auth::Audience,
    db::tried_again,
    error::{Error, Problem},
    provider::{CallError, PaymentProvider, Session, SessionRequest},
};

/// How many older attempts a verb asks after or ends before it says that it can't.
pub const MOST_ROUNDS: usize = 5;

/// Opens the session of an attempt that was written down (rule T1), by whoever set out to at this time. One that may have been sent before is looked up
/// first.
pub async fn open(
    app: &App,
    attempt: &Model,
    resumed: bool,
    since: DateTime<Utc>,
    key: &Key,
) -> Result<Attempted, Error> {
    let asked = match app.providers.named(&attempt.provider) {
        Some(provider) => ask(app, provider, attempt, resumed).await,
        None => Err(CallError::Unknown("the provider is switched off".into())),
    };
    match asked {
        Ok(session) => {
            let (attempt, problem) = record(app, attempt, session, Some(key)).await?;
            Ok(Attempted { attempt: Some(attempt), replayed: resumed, problem })
        }
        // An earlier request under this reference may still be on its way, so that this "no" is not the last word.
        Err(CallError::Refused(reason)) if !resumed || is_quiet(app, attempt) => {
            tracing::warn!(attempt = %attempt.id, reason, "the provider opened no session");
            // Another one may have set out to open it meanwhile.
            let nobody_else = |current: &Model| current.updated_at == since;
            let (attempt, problem) = fail(app, attempt, "provider_unavailable", Some(key), nobody_else).await?;
            Ok(Attempted { attempt: Some(attempt), replayed: false, problem })
        }
        Err(CallError::Refused(reason) | CallError::Unknown(reason)) => {
            tracing::warn!(attempt = %attempt.id, reason, "the provider's answer is not known");
            let tx = app.db.begin_write().await?;
            operation::release(&tx, key, app.clock.now()).await?;
            tx.commit().await?;
            Ok(Attempted { attempt: Some(attempt.clone()), replayed: resumed, problem: Some(Problem::OutcomeUnknown) })
        }
    }
}

/// Whether nobody can be waiting any more for an answer about this attempt.
fn is_quiet(app: &App, attempt: &Model) -> bool {
    attempt.updated_at + app.patience() < app.clock.now()
}

async fn ask(app: &App, provider: &dyn PaymentProvider, attempt: &Model, resumed: bool) -> Result<Session, CallError> {
    if resumed && let Some(session) = find(provider, attempt).await? {
        return Ok(session);
    }
    let number = order::by_id(app.db.read(), attempt.order_id).await;
    let number = number.ok().flatten().map(|order| order.number).unwrap_or_default();
    let request = SessionRequest {
        reference: &attempt.reference,
        amount: attempt.amount(),
        return_url: attempt.return_url.as_deref(),
        description: format!("Order {number}"),
    };
    provider.create_session(&request).await
}

/// Looks a session up. A look-up that is refused says nothing of the session.
async fn find(provider: &dyn PaymentProvider, attempt: &Model) -> Result<Option<Session>, CallError> {
    provider.find_session(&attempt.reference).await.map_err(|error| match error {
        CallError::Refused(reason) | CallError::Unknown(reason) => CallError::Unknown(reason),
    })
}

/// What was written down of a session.
struct Recorded {
    attempt: Model,
    /// Why the session must not be paid.
    problem: Option<Problem>,
    /// Whether the shopper could still pay it.
    is_live: bool,
}

/// Keeps what the provider answered and takes in what else is known of the session. Gives the attempt as it is then, and the problem where the session
/// must not be paid any more: it is ended in that case.
async fn record(
    app: &App,
    attempt: &Model,
    session: Session,
    key: Option<&Key>,
) -> Result<(Model, Option<Problem>), Error> {
    let Recorded { attempt: recorded, problem, is_live } =
        tried_again(|| Box::pin(write_down(app, attempt, &session, key))).await?;
    if let Err(error) = event::unpark(app, &recorded.provider, &session.external_id).await {
        tracing::error!(attempt = %attempt.id, ?error, "kept news could not be taken in");
    }
    if problem.is_some()
        && is_live
        && let Err(error) = cancel(app, &recorded).await
    {
        tracing::warn!(attempt = %attempt.id, ?error, "a session that must not be paid stays open at the provider");
    }
    let recorded = attempt::by_id(app.db.read(), attempt.id).await?.ok_or(Error::missing(attempt.id))?;
    Ok((recorded, problem))
}

/// One transaction, in which the kept news of the session is taken in as well.
async fn write_down(app: &App, attempt: &Model, session: &Session, key: Option<&Key>) -> Result<Recorded, Error> {
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    order::lock(&tx, &Audience::of_the_server(), attempt.order_id).await?;
    let current = attempt::by_id(&tx, attempt.id).await?.ok_or(Error::missing(attempt.id))?;
    let values = ActiveModel {
        external_id: Set(Some(session.external_id.clone())),
        status: Set(current.status.on(News::Opened).unwrap_or(current.status)),
        redirect_url: Set(session.redirect_url.clone()),
        client_secret: Set(session.client_secret.clone()),
        expires_at: Set(session.expires_at),
        updated_at: Set(now),
        ..ActiveModel::default()
    };
    Entity::update_many().set(values).filter(Column::Id.eq(attempt.id)).exec(&tx).await?;
    if current.status == Status::Created {
        case::answered(&tx, None, Some(attempt.id), "its session was found".into(), now).await?;
    }
    outbox::tell(&tx, attempt.order_id, now, &[(Topic::PaymentAttempt, attempt.id.uuid())]).await?;
    event::take_in_parked(app, &tx, attempt.id, now).await?;
    let is_open = session.report == Report::Pending;
    if !is_open {
        settle::take_in_within(&tx, attempt.id, &Told::of_session(session.clone()), Actor::PROVIDER, now).await?;
    }
    let (recorded, order) = settle::subject(&tx, attempt.id).await?;
    // It was given up while the provider was still opening it, or the provider opened something else than was asked for.
    let unwanted = current.status.ended_without_money() || (is_open && session.amount != attempt.amount());
    let problem = attempt::came_to_problem(&tx, &order, &recorded).await?;
    let problem = problem.or(unwanted.then_some(Problem::ProviderUnavailable));
    if problem.is_some() {
        // Its own way only: another attempt of the order may be a good one.
        let hidden = ActiveModel { redirect_url: Set(None), client_secret: Set(None), ..ActiveModel::default() };
        Entity::update_many().set(hidden).filter(Column::Id.eq(attempt.id)).exec(&tx).await?;
    }
    if let Some(key) = key {
        operation::finish(&tx, key, now, problem.as_ref(), came_to(attempt)).await?;
    }
    tx.commit().await?;
    let is_live = recorded.status.is_open() || (is_open && recorded.status.ended_without_money());
    Ok(Recorded { attempt: recorded, problem, is_live })
}

/// Ends an attempt for which there is no session for sure; one that has got a session meanwhile stays as it is.
async fn fail(
    app: &App,
    attempt: &Model,
    code: &str,
    key: Option<&Key>,
    is_over: impl Fn(&Model) -> bool,
) -> Result<(Model, Option<Problem>), Error> {
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    order::lock(&tx, &Audience::of_the_server(), attempt.order_id).await?;
    let current = attempt::by_id(&tx, attempt.id).await?.ok_or(Error::missing(attempt.id))?;
    let never_opened = current.status == Status::Created && current.external_id.is_none() && is_over(&current);
    if never_opened && let Some(failed) = current.status.on(News::Failed) {
        let message = "The payment provider did not open a session.".to_owned();
        let failure = Failure { code: code.to_owned(), message, decline: None };
        let row = lease::row(&tx, current.payment_id, Actor::SERVER).await?;
        settle::advance(&row, &current, failed, Some(&failure), now).await?;
    }
    let (ended, order) = settle::subject(&tx, attempt.id).await?;
    let problem = match ended.status {
        Status::Created => Some(Problem::OutcomeUnknown),
        _ => attempt::came_to_problem(&tx, &order, &ended).await?,
    };
    match key {
        Some(key) if ended.status == Status::Created => operation::release(&tx, key, now).await?,
        Some(key) => operation::finish(&tx, key, now, problem.as_ref(), came_to(attempt)).await?,
        None => {}
    }
    tx.commit().await?;
    Ok((ended, problem))
}

/// Looks for the session of an attempt whose answer was lost (rule T1), and takes in how it stands. Where there is none for sure, and nobody can be
/// opening one any more, the attempt came to nothing. Gives whether that is known now.
pub async fn look_up(app: &App, open: &Model) -> Result<bool, Error> {
    let Some(provider) = app.providers.named(&open.provider) else { return Ok(false) };
    match find(provider, open).await {
        Ok(Some(session)) => record(app, open, session, None).await.map(|_| true),
        // Somebody may have set out to open it since this was read.
        Ok(None) if is_quiet(app, open) => {
            let (ended, _) = fail(app, open, "session_not_opened", None, |current| is_quiet(app, current)).await?;
            Ok(ended.status != Status::Created)
        }
        Ok(None) => Ok(false),
        Err(error) => {
            tracing::warn!(attempt = %open.id, ?error, "the provider can't say whether it opened a session");
            Ok(false)
        }
    }
}

/// Asks how a session stands, whatever its attempt came to, and takes that in.
pub async fn ask_again(app: &App, attempt: &Model) -> Result<(), Error> {
    match attempt.external_id {
        Some(_) => ask_after(app, attempt).await,
        None => look_up(app, attempt).await.map(drop),
    }
}

/// Takes in what became of an open session that nobody told (rule W3). A provider that can't say leaves it as it is.
pub async fn ask_after(app: &App, open: &Model) -> Result<(), Error> {
    let Some(provider) = app.providers.named(&open.provider) else { return Ok(()) };
    match find(provider, open).await {
        Ok(Some(session)) if session.report != Report::Pending => {
            let external_id = session.external_id.clone();
            settle::take_in(app, provider.name(), &external_id, Told::of_session(session), By::Provider)
                .await
                .map(|_| ())
        }
        Ok(None) if is_over(app, open) => expire(app, open).await,
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::warn!(attempt = %open.id, ?error, "the provider can't say how a session stands");
            Ok(())
        }
    }
}

/// Whether the time of an attempt's session has long been up.
fn is_over(app: &App, attempt: &Model) -> bool {
    attempt.expires_at.is_some_and(|at| at + app.patience() < app.clock.now())
}

/// Ends an attempt whose time is up and whose session the provider does not know any more. Money that comes all the same still wins.
async fn expire(app: &App, attempt: &Model) -> Result<(), Error> {
    let Some(external_id) = &attempt.external_id else { return Ok(()) };
    let told = Told {
        report: Report::Expired,
        amount: attempt.amount(),
        failure: None,
        event_id: None,
        words: Words("asked, the provider knows no such session".into()),
    };
    settle::take_in(app, &attempt.provider, external_id, told, By::Provider).await.map(|_| ())
}

/// Ends an open attempt, under the lock of its payment (rules T2, K1).
pub async fn end(app: &App, open: &Model, token: Option<&Token>) -> Result<(), Error> {
    let errand = Errand { by: Actor::SERVER, token, purpose: "end an attempt" };
    let lease = lease::acquire(app, open.payment_id, &errand).await?;
    let ended = lease::keep(app, &lease, end_now(app, open)).await;
    lease::leave(app, &lease).await;
    ended
}

/// Ends an open attempt: its session is cancelled at the provider, and whatever it came to instead is taken in (rule T2).
///
/// Where the provider can't say how it ended, nothing may be built on it: [`Problem::OutcomeUnknown`]. Where it is still at work on it:
/// [`Problem::OrderHasOpenAttempt`].
async fn end_now(app: &App, open: &Model) -> Result<(), Error> {
    if open.external_id.is_some() {
        return cancel(app, open).await;
    }
    if !look_up(app, open).await? {
        return Err(Problem::OutcomeUnknown.into());
    }
    match attempt::by_id(app.db.read(), open.id).await? {
        Some(found) if found.status.is_open() => cancel(app, &found).await,
        Some(_) | None => Ok(()),
    }
}

/// Cancels the session at the provider, and takes in what it came to instead.
pub async fn cancel(app: &App, attempt: &Model) -> Result<(), Error> {
    let provider = app.providers.named(&attempt.provider).ok_or(Problem::OutcomeUnknown)?;
    let external_id = attempt.external_id.as_deref().ok_or(Problem::OutcomeUnknown)?;
    let ended = match provider.cancel_session(external_id).await {
        // Why, and how it stands, it does not say. One whose time is up may be known no more.
        Err(CallError::Refused(_)) if is_over(app, attempt) => find(provider, attempt).await,
        ended => ended.map(Some),
    };
    let session = match ended {
        Ok(Some(session)) => session,
        Ok(None) => return expire(app, attempt).await,
        Err(error) => {
            tracing::warn!(attempt = %attempt.id, ?error, "the session could not be cancelled");
            return Err(Problem::OutcomeUnknown.into());
        }
    };
    if matches!(session.report, Report::Pending | Report::Processing) {
        return Err(Problem::OrderHasOpenAttempt.into());
    }
    settle::take_in(app, provider.name(), external_id, Told::of_session(session), By::Provider).await.map(|_| ())
}

/// Ends what is still open on an order that must not be charged any more, so that nobody pays it twice: whoever holds the payment's lock, because
/// only what the provider says is written. If that can't be done now, a second
/// payment becomes a case (rule T5).
pub async fn end_leftover(app: &App, order: OrderId) -> Result<(), Error> {
    let Some(open) = attempt::open_on(app.db.read(), order).await? else { return Ok(()) };
    if let Err(error) = Box::pin(end_now(app, &open)).await {
        tracing::warn!(attempt = %open.id, ?error, "an attempt stays open on an order that must not be charged");
    }
    Ok(())
}
