//! A provider's events: each is kept word for word, taken in once, and parked until its session is known (rules T3, W2).
//!
//! What the news means for an attempt is decided in `settle`; here it is only kept and handed on.

use chrono::{DateTime, Utc};
use entity::{
    attempt,
    audit::Actor,
    event::{ActiveModel, Column, Entity, Model, Report, State},
    id::AttemptId,
    payment, transaction,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, TryInsertResult,
    UpdateMany,
};

use super::{
    answer, attempt as attempts,
    lease::{self, Errand, LockedRow},
    order::lock,
    session,
    settle::{By, Effect, Settled, Told, end_what_must_not_be_paid, settled, subject, take_in, take_in_within},
    told::Told as Said,
};
use crate::{
    app::App,
    auth::Audience,
    db::WriteTransaction,
    error::{Error, Problem},
    provider::{About, Answer, Notice, SessionNews},
};

/// Takes in a provider's event, or keeps it until what it is about is known (rule W2). Returns once it is committed.
pub async fn process_event(app: &App, provider: &str, notice: Notice, body: &str) -> Result<(), Error> {
    let event_id = notice.event_id;
    match notice.about {
        About::Session(news) => process_session(app, provider, news, &event_id, body).await,
        About::Transaction { reference, answer } => {
            process_transaction(app, provider, &reference, answer, &event_id, body).await
        }
    }
}

async fn process_session(
    app: &App,
    provider: &str,
    news: SessionNews,
    event_id: &str,
    body: &str,
) -> Result<(), Error> {
    let external_id = news.external_id.clone();
    let told = Told::of_news(news, event_id.to_owned(), body);
    if let Some(settled) = take_in(app, provider, &external_id, told, By::Provider).await? {
        return end_what_must_not_be_paid(app, &settled).await;
    }
    park(app, provider, event_id, &external_id, body).await?;
    // The session may have become known between the look and the parking.
    match unpark(app, provider, &external_id).await? {
        Some(settled) => end_what_must_not_be_paid(app, &settled).await,
        None => Ok(()),
    }
}

async fn process_transaction(
    app: &App,
    provider: &str,
    reference: &str,
    answer: Answer,
    event_id: &str,
    body: &str,
) -> Result<(), Error> {
    match take_in_answer(app, provider, reference, answer, event_id, body).await? {
        true => Ok(()),
        false => park(app, provider, event_id, reference, body).await,
    }
}

/// News of a transaction is an answer like any other. Recording it once more changes nothing, so that its copies need no look-up. Gives whether the
/// transaction is known.
async fn take_in_answer(
    app: &App,
    provider: &str,
    reference: &str,
    answer: Answer,
    event_id: &str,
    body: &str,
) -> Result<bool, Error> {
    let known = transaction::Entity::find().filter(transaction::Column::Reference.eq(reference));
    let known = known.find_also_related(payment::Entity).one(app.db.read()).await?;
    let Some((transaction, Some(payment))) =
        known.filter(|(_, of)| of.as_ref().is_some_and(|of| of.provider == provider))
    else {
        return Ok(false);
    };
    let now = app.clock.now();
    let event = event_row(provider, event_id, reference, body, now, State::Applied);
    let keep = async move |row: &LockedRow<'_>| keep_applied(row.tx, event, now).await.map(drop);
    let told = Said::by(answer);
    let recorded = answer::record(app, &payment, transaction.id, &told, keep).await?;
    Box::pin(answer::follow_up(app, &payment, recorded)).await?;
    Ok(true)
}

/// Takes in what was kept of a session, if it is known by now. Whoever parks news and whoever makes a session known look for each other after they
/// have committed, so that one of them finds the other.
pub(super) async fn unpark(app: &App, provider: &str, external_id: &str) -> Result<Option<Settled>, Error> {
    let parked = Entity::find()
        .filter(Column::Provider.eq(provider))
        .filter(Column::ExternalId.eq(external_id))
        .filter(Column::State.eq(State::Parked))
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

async fn park(app: &App, provider: &str, event_id: &str, external_id: &str, body: &str) -> Result<(), Error> {
    let tx = app.db.begin_write().await?;
    let parked = event_row(provider, event_id, external_id, body, app.clock.now(), State::Parked);
    Entity::insert(parked.into_active_model()).on_conflict_do_nothing().exec_without_returning(&tx).await?;
    tx.commit().await?;
    tracing::info!(provider, event_id, "news of a session that is not known yet is kept");
    Ok(())
}

/// Takes in the events that were kept until this attempt's session was known, oldest first. The order is locked.
pub(super) async fn take_in_parked(
    app: &App,
    tx: &WriteTransaction,
    attempt: AttemptId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let (known, _) = subject(tx, attempt).await?;
    let (Some(provider), Some(external_id)) = (app.providers.named(&known.provider), &known.external_id) else {
        return Ok(());
    };
    let parked = Entity::find()
        .filter(Column::Provider.eq(provider.name()))
        .filter(Column::ExternalId.eq(external_id))
        .filter(Column::State.eq(State::Parked))
        .order_by_asc(Column::ReceivedAt)
        .all(tx)
        .await?;
    for event in parked {
        let body = event.report.0;
        match provider.read_event(body.as_bytes()) {
            Ok(Notice { event_id, about: About::Session(news) }) => {
                take_in_within(tx, attempt, &Told::of_news(news, event_id, &body), Actor::PROVIDER, now).await?;
            }
            Ok(_) | Err(_) => tracing::error!(event_id = event.event_id, "a kept event can't be read any more"),
        }
    }
    Ok(())
}

/// Notes the event; false if it was taken in before.
pub(super) async fn remember(
    tx: &WriteTransaction,
    provider: &str,
    external_id: &str,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    match applied(provider, external_id, told, now) {
        Some(event) => keep_applied(tx, event, now).await,
        None => Ok(true),
    }
}

/// The event that news came as, taken in now; none where the news has no id.
pub(super) fn applied(provider: &str, external_id: &str, told: &Told, now: DateTime<Utc>) -> Option<Model> {
    let event_id = told.event_id.as_ref()?;
    Some(event_row(provider, event_id, external_id, &told.words.0, now, State::Applied))
}

/// Keeps an event that is taken in now, whether or not it was parked before; false if it was taken in before.
async fn keep_applied(tx: &WriteTransaction, event: Model, now: DateTime<Utc>) -> Result<bool, Error> {
    let row = event.clone().into_active_model();
    let inserted = Entity::insert(row).on_conflict_do_nothing().exec_without_returning(tx).await?;
    if matches!(inserted, TryInsertResult::Inserted(rows) if rows > 0) {
        return Ok(true);
    }
    let applied = ActiveModel { state: Set(State::Applied), applied_at: Set(Some(now)), ..ActiveModel::default() };
    let unparked = Entity::update_many().set(applied).filter(is(&event)).filter(Column::State.eq(State::Parked));
    Ok(unparked.exec(tx).await?.rows_affected > 0)
}

fn is(event: &Model) -> Condition {
    Condition::all()
        .add(Column::Provider.eq(&event.provider))
        .add(Column::ExternalId.eq(&event.external_id))
        .add(Column::EventId.eq(&event.event_id))
}

/// Takes in an event that was kept, if what it is about is known by now; false where it is not.
pub(super) async fn take_in_again(app: &App, parked: &Model) -> Result<bool, Error> {
    let Some(provider) = app.providers.named(&parked.provider) else { return Ok(false) };
    let body = &parked.report.0;
    let notice = provider.read_event(body.as_bytes());
    let notice = notice.map_err(|_| Error::Fault(format!("the kept event {} can't be read", parked.event_id)))?;
    match notice.about {
        About::Session(news) => {
            let known = match unpark(app, &parked.provider, &news.external_id).await? {
                Some(settled) => Some(settled),
                None => look_up(app, &parked.provider, &news).await?,
            };
            match known {
                Some(settled) => Box::pin(end_what_must_not_be_paid(app, &settled)).await.map(|()| true),
                None => Ok(false),
            }
        }
        About::Transaction { reference, answer } => {
            Box::pin(take_in_answer(app, &parked.provider, &reference, answer, &parked.event_id, body)).await
        }
    }
}

/// Looks up a session that we do not know, under our own reference: its answer was lost, or it was opened when its attempt had been given up already.
/// What was kept of it is taken in with it. `None` where it is of no attempt, or somebody else is at work on it.
async fn look_up(app: &App, provider: &str, news: &SessionNews) -> Result<Option<Settled>, Error> {
    let Some(reference) = &news.reference else { return Ok(None) };
    let unheard_of = |attempt: &attempt::Model| attempt.provider == provider && attempt.external_id.is_none();
    let Some(attempt) = attempts::by_reference(app.db.read(), reference).await?.filter(unheard_of) else {
        return Ok(None);
    };
    let errand = Errand { by: Actor::SERVER, token: None, purpose: "look up a session" };
    let lease = match lease::acquire(app, attempt.payment_id, &errand).await {
        Err(Error::Problem(Problem::PaymentLocked { .. })) => return Ok(None),
        lease => lease?,
    };
    let looked = lease::keep(app, &lease, session::look_up(app, &attempt)).await;
    lease::leave(app, &lease).await;
    looked?;
    let found = attempts::with_order(app.db.read(), provider, &news.external_id).await?;
    Ok(found.map(|(attempt, order)| settled(attempt, order, Effect::Changed)))
}

/// Notes how often an event was tried, and when it is tried next.
pub(super) async fn try_again_at(
    tx: &WriteTransaction,
    parked: &Model,
    tries: i32,
    at: DateTime<Utc>,
) -> Result<(), Error> {
    let values = ActiveModel { tries: Set(tries), next_try_at: Set(Some(at)), ..ActiveModel::default() };
    Entity::update_many().set(values).filter(is(parked)).filter(Column::State.eq(State::Parked)).exec(tx).await?;
    Ok(())
}

/// These events are tried again then.
pub(super) fn put_off(parked: &[Model], until: DateTime<Utc>) -> UpdateMany<Entity> {
    let values = ActiveModel { next_try_at: Set(Some(until)), ..ActiveModel::default() };
    let these = parked.iter().fold(Condition::any(), |these, event| these.add(is(event)));
    Entity::update_many().set(values).filter(these).filter(Column::State.eq(State::Parked))
}

fn event_row(
    provider: &str,
    event_id: &str,
    external_id: &str,
    words: &str,
    now: DateTime<Utc>,
    state: State,
) -> Model {
    Model {
        provider: provider.to_owned(),
        event_id: event_id.to_owned(),
        external_id: external_id.to_owned(),
        state,
        report: Report(words.to_owned()),
        tries: 0,
        next_try_at: None,
        received_at: now,
        applied_at: (state == State::Applied).then_some(now),
    }
}
