//! Finds what nobody has heard the end of, and sees to it: calls that are unanswered, sessions that nobody told of, news that was kept, and the keys of
//! requests whose server died (rules R1, W2, I3).
//!
//! Any number of servers do it side by side. Whoever finds a row claims it in the transaction that finds it, for as long as asking a provider may take;
//! a server that dies meanwhile leaves a claim that runs out.

mod attempts;
mod keys;
mod news;
mod payments;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    audit::Actor,
    id::{AttemptId, OrderId, PaymentId, TransactionId},
};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QuerySelect, Select, UpdateMany,
    sea_query::{LockBehavior, LockType},
};

use self::{keys::LeftKey, news::EventKey};
use super::lease::Errand;
use crate::{app::App, error::Error};

/// What is done under it is what the server does of itself.
const ERRAND: Errand<'static> = Errand { by: Actor::SERVER, token: None, purpose: "reconcile" };
/// How long whatever is locked by somebody else is left alone, at the most, before it is looked at again.
const LOCKED_PAUSE: TimeDelta = TimeDelta::seconds(5);

/// One thing to see to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Due {
    /// These transactions of one payment are unanswered, or to be undone.
    Payment(PaymentId, Vec<TransactionId>),
    /// This attempt is open, and may have been paid, or never been opened.
    Attempt(AttemptId),
    /// This event was kept because nobody knew what it is about.
    Event(EventKey),
    /// All that this mutation asked for is answered, and nobody has told its caller: its key, as the table has it, and the order.
    Operation(Box<LeftKey>, OrderId),
}

/// What is due by now, claimed for whoever asks; at the most so many rows of each kind.
///
/// What can't be looked for is told in the log, and keeps nothing else from being found.
pub async fn due(app: &App, most: u64) -> Vec<Due> {
    let mut of_payment: BTreeMap<PaymentId, Vec<TransactionId>> = BTreeMap::new();
    for row in found(payments::claim(app, most).await) {
        of_payment.entry(row.payment_id).or_default().push(row.id);
    }
    let mut due: Vec<Due> = of_payment.into_iter().map(|(payment, ids)| Due::Payment(payment, ids)).collect();
    due.extend(found(attempts::claim(app, most).await).into_iter().map(|attempt| Due::Attempt(attempt.id)));
    due.extend(found(news::claim(app, most).await).into_iter().map(|event| Due::Event(news::key(event))));
    due.extend(
        found(keys::left(app).await)
            .into_iter()
            .filter_map(|left| left.order_id.map(|order| Due::Operation(Box::new(keys::key(left)), order))),
    );
    due
}

fn found<T>(rows: Result<Vec<T>, Error>) -> Vec<T> {
    rows.unwrap_or_else(|error| {
        tracing::warn!(?error, "what is due can't be looked for");
        vec![]
    })
}

/// Sees to one thing.
pub async fn settle(app: &App, due: Due) -> Result<(), Error> {
    match due {
        Due::Payment(payment, ids) => Box::pin(payments::settle(app, payment, &ids)).await,
        Due::Attempt(id) => Box::pin(attempts::settle(app, id)).await,
        Due::Event(key) => Box::pin(news::settle(app, key)).await,
        Due::Operation(key, order) => keys::settle(app, *key, order).await,
    }
}

/// Sees to all that is due, one after the other; gives how much it was.
pub async fn reconcile(app: &App) -> Result<usize, Error> {
    const MANY: u64 = 1000;
    let due = due(app, MANY).await;
    let count = due.len();
    for due in due {
        settle(app, due).await?;
    }
    Ok(count)
}

/// What was never looked at since it is so old, or is to be looked at again by now.
fn is_due(next: impl ColumnTrait, since: impl ColumnTrait, first: TimeDelta, now: DateTime<Utc>) -> Condition {
    let fresh = Condition::all().add(next.is_null()).add(since.lte(now - first));
    Condition::any().add(next.lte(now)).add(fresh)
}

/// Finds what is due and claims it, so that no other server finds it for as long as asking a provider may take. `mark` writes until when.
async fn claim_due<E>(
    app: &App,
    due: Select<E>,
    most: u64,
    mark: impl Fn(&[E::Model], DateTime<Utc>) -> UpdateMany<E>,
) -> Result<Vec<E::Model>, Error>
where
    E: EntityTrait,
    E::Model: Send + Sync,
{
    let query = due.limit(most);
    if query.clone().one(app.db.read()).await?.is_none() {
        return Ok(vec![]);
    }
    let tx = app.db.begin_write().await?;
    let found = query.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked).all(&tx).await?;
    // Another server may have been quicker.
    if !found.is_empty() {
        mark(&found, app.clock.now() + app.patience()).exec(&tx).await?;
        tx.commit().await?;
    }
    Ok(found)
}

/// When what is locked by somebody else is looked at again.
fn soon(app: &App) -> DateTime<Utc> {
    app.clock.now() + LOCKED_PAUSE.min(app.checks.first())
}
