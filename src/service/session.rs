//! Sessions at a provider: opened for an attempt, looked up when an answer was lost, and ended.
//!
//! No database transaction is open while a provider is asked.

use chrono::Duration;
use entity::{
    attempt::{ActiveModel, Column, Entity, Model, News, Report},
    id::OrderId,
    outbox::Topic,
    transaction::Failure,
};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use super::{
    attempt::{self, Attempted, came_to},
    operation::{self, Key},
    order, outbox,
    settle::{self, Told},
};
use crate::{
    app::App,
    auth::Audience,
    error::{Error, Problem},
    provider::{CallError, PaymentProvider, Session, SessionRequest},
};

/// How many older attempts a verb ends before it says that it can't.
pub const MOST_ROUNDS: usize = 4;

/// How long a session that is not found may still come to be: whoever asked for it may be waiting for the answer.
const STILL_OPENING: Duration = Duration::seconds(30);

/// Opens the session of an attempt that was written down (rule T1). One that may have been sent before is looked up first.
pub async fn open(
    app: &App,
    provider: &dyn PaymentProvider,
    attempt: Model,
    resumed: bool,
    key: &Key,
) -> Result<Attempted, Error> {
    match ask(app, provider, &attempt, resumed).await {
        Ok(session) => {
            let attempt = record(app, &attempt, session, Some(key)).await?;
            Ok(Attempted { attempt: Some(attempt), replayed: resumed, problem: None })
        }
        Err(CallError::Refused(reason)) => {
            tracing::warn!(attempt = %attempt.id, provider = provider.name(), reason, "the provider opened no session");
            let failure = Failure {
                code: "provider_unavailable".into(),
                message: "The payment provider did not open a session.".into(),
                decline: None,
            };
            let attempt = fail(app, &attempt, failure, Some(key)).await?;
            let problem = Some(Problem::ProviderUnavailable);
            Ok(Attempted { attempt: Some(attempt), replayed: false, problem })
        }
        Err(CallError::Unknown(reason)) => {
            tracing::warn!(attempt = %attempt.id, provider = provider.name(), reason, "the provider's answer is not known");
            let tx = app.db.begin_write().await?;
            operation::release(&tx, key, app.clock.now()).await?;
            tx.commit().await?;
            let problem = Some(Problem::OutcomeUnknown);
            Ok(Attempted { attempt: Some(attempt), replayed: resumed, problem })
        }
    }
}

async fn ask(app: &App, provider: &dyn PaymentProvider, attempt: &Model, resumed: bool) -> Result<Session, CallError> {
    if resumed && let Some(session) = provider.find_session(&attempt.reference).await? {
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

/// Keeps what the provider answered, takes in news that came before the answer, and gives the attempt as it is then.
async fn record(app: &App, attempt: &Model, session: Session, key: Option<&Key>) -> Result<Model, Error> {
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    order::lock(&tx, &Audience::Everyone, attempt.order_id).await?;
    let current = attempt::by_id(&tx, attempt.id).await?.ok_or(Error::missing(attempt.id))?;
    let opened = current.status.on(News::Opened).unwrap_or(current.status);
    let values = ActiveModel {
        external_id: Set(Some(session.external_id.clone())),
        status: Set(opened),
        redirect_url: Set(session.redirect_url.clone()),
        client_secret: Set(session.client_secret.clone()),
        expires_at: Set(session.expires_at),
        updated_at: Set(now),
        ..ActiveModel::default()
    };
    Entity::update_many().set(values).filter(Column::Id.eq(attempt.id)).exec(&tx).await?;
    if let Some(key) = key {
        operation::finish(&tx, key, now, None, came_to(attempt)).await?;
    }
    outbox::tell(&tx, attempt.order_id, now, &[(Topic::PaymentAttempt, attempt.id.uuid())]).await?;
    tx.commit().await?;
    settle::unpark(app, &attempt.provider, &session.external_id).await?;
    if session.report != Report::Pending {
        settle::take_in(app, &attempt.provider, &session.external_id.clone(), Told::of_session(session)).await?;
    }
    attempt::by_id(app.db.read(), attempt.id).await?.ok_or(Error::missing(attempt.id))
}

/// Ends an attempt for which there is no session for sure.
async fn fail(app: &App, attempt: &Model, failure: Failure, key: Option<&Key>) -> Result<Model, Error> {
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    order::lock(&tx, &Audience::Everyone, attempt.order_id).await?;
    let current = attempt::by_id(&tx, attempt.id).await?.ok_or(Error::missing(attempt.id))?;
    if let Some(failed) = current.status.on(News::Failed) {
        settle::advance(&tx, &current, failed, Some(failure), now).await?;
    }
    if let Some(key) = key {
        operation::finish(&tx, key, now, Some(&Problem::ProviderUnavailable), came_to(attempt)).await?;
    }
    let ended = attempt::by_id(&tx, attempt.id).await?.ok_or(Error::missing(attempt.id))?;
    tx.commit().await?;
    Ok(ended)
}

/// Ends an open attempt: its session is cancelled at the provider, and whatever it came to instead is taken in (rule T2).
///
/// Where the provider can't say how it ended, nothing may be built on it: [`Problem::OutcomeUnknown`].
pub async fn end(app: &App, open: &Model) -> Result<(), Error> {
    let provider = app.providers.named(&open.provider).ok_or(Problem::OutcomeUnknown)?;
    let external_id = match &open.external_id {
        Some(external_id) => external_id.clone(),
        None => match look_up(app, provider, open).await? {
            Some(external_id) => external_id,
            None => return Ok(()),
        },
    };
    let session = provider.cancel_session(&external_id).await.map_err(|error| {
        tracing::warn!(attempt = %open.id, ?error, "the session could not be cancelled");
        Problem::OutcomeUnknown
    })?;
    if matches!(session.report, Report::Pending | Report::Processing) {
        return Err(Problem::OutcomeUnknown.into());
    }
    settle::take_in(app, provider.name(), &external_id, Told::of_session(session)).await?;
    Ok(())
}

/// The session of an attempt whose answer was lost; `None` if there is none, and the attempt has been ended.
async fn look_up(app: &App, provider: &dyn PaymentProvider, open: &Model) -> Result<Option<String>, Error> {
    match provider.find_session(&open.reference).await {
        Ok(Some(session)) => Ok(record(app, open, session, None).await?.external_id),
        Ok(None) if open.created_at + STILL_OPENING < app.clock.now() => {
            let failure = Failure {
                code: "session_not_opened".into(),
                message: "The payment provider never opened a session.".into(),
                decline: None,
            };
            fail(app, open, failure, None).await?;
            Ok(None)
        }
        Ok(None) | Err(_) => Err(Problem::OutcomeUnknown.into()),
    }
}

/// Ends what is still open on an order that money of an older attempt has paid, so that nobody pays it twice. If that can't be done now, a
/// second payment becomes a case (rule T5).
pub async fn end_leftover(app: &App, order: OrderId) -> Result<(), Error> {
    let Some(open) = attempt::open_on(app.db.read(), order).await? else {
        return Ok(());
    };
    if let Err(error) = end(app, &open).await {
        tracing::warn!(attempt = %open.id, ?error, "an attempt stays open on a paid order");
    }
    Ok(())
}
