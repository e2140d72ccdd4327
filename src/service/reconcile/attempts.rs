//! Open attempts: answers that were lost, webhooks that never came, time that is up, and sessions that must not be paid any more (rules R1, T1, W3).

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    attempt::{ActiveModel, Column, Entity, Model, OPEN, Status},
    id::AttemptId,
    order as orders,
};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, Order, QueryFilter, QueryOrder, sea_query::NullOrdering};

use super::{ERRAND, claim_due, is_due, soon};
use crate::{
    app::App,
    auth::Audience,
    error::{Error, Problem},
    service::{
        attempt as attempts,
        case::{self, Checks, Question},
        lease, order, session,
    },
};

pub(super) async fn claim(app: &App, most: u64) -> Result<Vec<Model>, Error> {
    let due = Entity::find()
        .filter(Column::Status.is_in(OPEN))
        .filter(is_due(Column::NextCheckAt, Column::CreatedAt, app.checks.first(), app.clock.now()))
        .order_by_with_nulls(Column::NextCheckAt, Order::Asc, NullOrdering::First);
    claim_due(app, due, most, |found, until| {
        let values = ActiveModel { next_check_at: Set(Some(until)), ..ActiveModel::default() };
        Entity::update_many().set(values).filter(Column::Id.is_in(found.iter().map(|attempt| attempt.id)))
    })
    .await
}

/// Asks after an open attempt, or ends it where its order must not be charged.
pub(super) async fn settle(app: &App, id: AttemptId) -> Result<(), Error> {
    let attempt = attempts::by_id(app.db.read(), id).await?.ok_or(Error::missing(id))?;
    let order = order::by_id(app.db.read(), attempt.order_id).await?.ok_or(Error::missing(attempt.order_id))?;
    let may_be_charged = order.status == orders::Status::AwaitingPayment
        && !attempts::waits_for_decision(app.db.read(), order.id).await?;
    let seen_to = match attempt.status {
        Status::Created | Status::Pending | Status::Processing if !may_be_charged => {
            session::end_leftover(app, order.id).await
        }
        Status::Created => return look_up(app, &attempt).await,
        Status::Pending | Status::Processing => session::ask_after(app, &attempt).await,
        _ => return Ok(()),
    };
    note_check(app, &attempt, None).await?;
    seen_to
}

/// Looks up a session that may never have been opened, under its payment's lock (rule K1).
async fn look_up(app: &App, attempt: &Model) -> Result<(), Error> {
    let lease = match lease::acquire(app, attempt.payment_id, &ERRAND).await {
        // Whoever has it looks it up first.
        Err(Error::Problem(Problem::PaymentLocked { .. })) => {
            return note_check(app, attempt, Some(soon(app))).await;
        }
        lease => lease?,
    };
    let looked = lease::keep(app, &lease, session::look_up(app, attempt)).await;
    lease::leave(app, &lease).await;
    note_check(app, attempt, None).await?;
    looked.map(drop)
}

/// Counts the check of an attempt that is still open, and says when the next one is: when its time is up, if that is sooner. One that is put off was
/// no check.
async fn note_check(app: &App, attempt: &Model, put_off: Option<DateTime<Utc>>) -> Result<(), Error> {
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    order::lock(&tx, &Audience::of_the_server(), attempt.order_id).await?;
    let current = attempts::by_id(&tx, attempt.id).await?.ok_or(Error::missing(attempt.id))?;
    if !current.status.is_open() {
        return Ok(());
    }
    let made = if put_off.is_some() { current.checks } else { current.checks + 1 };
    let next_at = put_off.unwrap_or_else(|| now + app.checks.after(made));
    let ends_at = current.expires_at.filter(|at| *at > now).map(|at| at + TimeDelta::seconds(1));
    let next_at = ends_at.map_or(next_at, |ends_at| next_at.min(ends_at));
    let values = ActiveModel { checks: Set(made), next_check_at: Set(Some(next_at)), ..ActiveModel::default() };
    Entity::update_many().set(values).filter(Column::Id.eq(current.id)).exec(&tx).await?;
    if current.status == Status::Created && put_off.is_none() {
        let question =
            Question { attempt: Some(current.id), ..Question::unknown(current.payment_id, current.amount()) };
        case::ask_in_vain(&tx, question, Checks { made, next_at }, now).await?;
    }
    Ok(tx.commit().await?)
}
