//! Finds what nobody has heard the end of, and sees to it: calls that are unanswered, sessions that nobody told of, news that was kept, and the keys of
//! requests whose server died (rules R1, W2, I3).
//!
//! Any number of servers do it side by side. Whoever finds a row claims it in the transaction that finds it, for as long as asking a provider may take;
//! a server that dies meanwhile leaves a claim that runs out.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    attempt::{self, OPEN},
    audit::Actor,
    event,
    id::{AttemptId, OrderId, PaymentId, TransactionId},
    operation as kept, order as orders, payment,
    transaction::{self, ManagementState, UNANSWERED},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, LockBehavior, LockType, NullOrdering},
};

use super::{
    attempt as attempts,
    case::{self, Checks, Question},
    event as events,
    lease::{self, Errand},
    order, payment as payments, recovery, session,
    transaction::by_ids,
    work,
};
use crate::{
    app::App,
    auth::Audience,
    error::{Error, Problem},
};

/// What is done under it is what the server does of itself.
const ERRAND: Errand<'static> = Errand { by: Actor::SERVER, token: None, purpose: "reconcile" };
/// How long whatever is locked by somebody else is left alone, at the most, before it is looked at again.
const LOCKED_PAUSE: TimeDelta = TimeDelta::seconds(5);
/// When news that was kept is tried again, once its session or transaction may be known; after the last try it is left for a person to find.
const TRIES: [TimeDelta; 5] =
    [TimeDelta::seconds(5), TimeDelta::seconds(30), TimeDelta::minutes(5), TimeDelta::hours(1), TimeDelta::hours(24)];

/// One thing to see to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Due {
    /// These transactions of one payment are unanswered, or to be undone.
    Payment(PaymentId, Vec<TransactionId>),
    /// This attempt is open, and may have been paid, or never been opened.
    Attempt(AttemptId),
    /// This event was kept because nobody knew what it is about.
    Event { provider: String, event_id: String, external_id: String },
    /// All that this mutation asked for is answered, and nobody has told its caller: its key, as the table has it, and the order.
    Operation(Box<LeftKey>, OrderId),
}

/// The caller's kind and id, the mutation, and the key.
type LeftKey = (String, String, String, String);

/// What is due by now, claimed for whoever asks; at the most so many rows of each kind.
///
/// What can't be looked for is told in the log, and keeps nothing else from being found.
pub async fn due(app: &App, most: u64) -> Vec<Due> {
    let mut of_payment: BTreeMap<PaymentId, Vec<TransactionId>> = BTreeMap::new();
    for row in found(claim_transactions(app, most).await) {
        of_payment.entry(row.payment_id).or_default().push(row.id);
    }
    let mut due: Vec<Due> = of_payment.into_iter().map(|(payment, ids)| Due::Payment(payment, ids)).collect();
    due.extend(found(claim_attempts(app, most).await).into_iter().map(|attempt| Due::Attempt(attempt.id)));
    due.extend(
        found(claim_events(app, most).await)
            .into_iter()
            .map(|event::Model { provider, event_id, external_id, .. }| Due::Event { provider, event_id, external_id }),
    );
    due.extend(found(left_over(app, most).await).into_iter().filter_map(|left| {
        let kept::Model { caller_kind, caller_id, mutation, idempotency_key, order_id, .. } = left;
        Some(Due::Operation(Box::new((caller_kind, caller_id, mutation, idempotency_key)), order_id?))
    }));
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
        Due::Payment(payment, ids) => Box::pin(settle_payment(app, payment, &ids)).await,
        Due::Attempt(id) => Box::pin(settle_attempt(app, id)).await,
        Due::Event { provider, event_id, external_id } => {
            Box::pin(settle_event(app, (provider, event_id, external_id))).await
        }
        Due::Operation(key, order) => settle_operation(app, *key, order).await,
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

// ── what is unanswered ──

fn is_due(next: impl ColumnTrait, since: impl ColumnTrait, first: TimeDelta, now: DateTime<Utc>) -> Condition {
    let fresh = Condition::all().add(next.is_null()).add(since.lte(now - first));
    Condition::any().add(next.lte(now)).add(fresh)
}

async fn claim_transactions(app: &App, most: u64) -> Result<Vec<transaction::Model>, Error> {
    use transaction::{ActiveModel, Column, Entity};
    let now = app.clock.now();
    let marked = Column::ManagementState.eq(ManagementState::RequiresReversal);
    let open = Condition::any().add(Column::Status.is_in(UNANSWERED)).add(marked);
    let query = Entity::find()
        .filter(open)
        .filter(Column::Status.ne(transaction::Status::Failed))
        .filter(is_due(Column::NextCheckAt, Column::CreatedAt, app.checks.first(), now))
        .order_by_with_nulls(Column::NextCheckAt, sea_orm::Order::Asc, NullOrdering::First)
        .limit(most);
    if query.clone().one(app.db.read()).await?.is_none() {
        return Ok(vec![]);
    }
    let tx = app.db.begin_write().await?;
    let found = query.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked).all(&tx).await?;
    let claim = ActiveModel { next_check_at: Set(Some(now + app.patience())), ..ActiveModel::default() };
    let ids = found.iter().map(|row| row.id);
    Entity::update_many().set(claim).filter(Column::Id.is_in(ids)).exec(&tx).await?;
    tx.commit().await?;
    Ok(found)
}

async fn settle_payment(app: &App, id: PaymentId, claimed: &[TransactionId]) -> Result<(), Error> {
    let payment = payments::by_id(app.db.read(), id).await?;
    let lease = match lease::acquire(app, id, &ERRAND).await {
        Err(Error::Problem(Problem::PaymentLocked { .. })) => return leave_alone(app, &payment, claimed).await,
        lease => lease?,
    };
    let asked = async {
        let open = recovery::unanswered(app.db.read(), id).await?;
        let open: Vec<_> = open.into_iter().filter(|row| claimed.contains(&row.id)).collect();
        recovery::settle(app, &payment, &open, &lease).await
    };
    let silent = Box::pin(asked).await;
    lease::leave(app, &lease).await;
    match silent {
        Ok(silent) => note_checks(app, &payment, claimed, &silent).await,
        // What failed half way is not asked after any sooner for that.
        Err(error) => {
            note_checks(app, &payment, claimed, claimed).await?;
            Err(error)
        }
    }
}

/// Somebody works on the payment; it is looked at again soon.
async fn leave_alone(app: &App, payment: &payment::Model, claimed: &[TransactionId]) -> Result<(), Error> {
    use transaction::{ActiveModel, Column, Entity};
    let soon = soon(app);
    let tx = app.db.begin_write().await?;
    order::lock(&tx, &Audience::of_the_server(), payment.order_id).await?;
    let values = ActiveModel { next_check_at: Set(Some(soon)), ..ActiveModel::default() };
    Entity::update_many().set(values).filter(Column::Id.is_in(claimed.iter().copied())).exec(&tx).await?;
    Ok(tx.commit().await?)
}

fn soon(app: &App) -> DateTime<Utc> {
    app.clock.now() + LOCKED_PAUSE.min(app.checks.first())
}

/// Counts the check of what is still open, and says when the next one is. What the provider does not say of is a case (rule R3).
async fn note_checks(
    app: &App,
    payment: &payment::Model,
    claimed: &[TransactionId],
    silent: &[TransactionId],
) -> Result<(), Error> {
    use transaction::{ActiveModel, Column, Entity};
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    order::lock(&tx, &Audience::of_the_server(), payment.order_id).await?;
    for row in by_ids(&tx, claimed).await? {
        let is_marked = row.management_state == Some(ManagementState::RequiresReversal);
        if !row.status.is_unanswered() && !is_marked {
            continue;
        }
        let made = row.checks + 1;
        let next_at = now + app.checks.after(made);
        let values = ActiveModel { checks: Set(made), next_check_at: Set(Some(next_at)), ..ActiveModel::default() };
        Entity::update_many().set(values).filter(Column::Id.eq(row.id)).exec(&tx).await?;
        if row.status.is_unanswered() && silent.contains(&row.id) {
            let question = Question { transaction: Some(row.id), ..Question::unknown(payment.id, row.amount()) };
            case::ask_in_vain(&tx, question, Checks { made, next_at }, now).await?;
        }
    }
    Ok(tx.commit().await?)
}

// ── open attempts ──

async fn claim_attempts(app: &App, most: u64) -> Result<Vec<attempt::Model>, Error> {
    use attempt::{ActiveModel, Column, Entity};
    let now = app.clock.now();
    let query = Entity::find()
        .filter(Column::Status.is_in(OPEN))
        .filter(is_due(Column::NextCheckAt, Column::CreatedAt, app.checks.first(), now))
        .order_by_with_nulls(Column::NextCheckAt, sea_orm::Order::Asc, NullOrdering::First)
        .limit(most);
    if query.clone().one(app.db.read()).await?.is_none() {
        return Ok(vec![]);
    }
    let tx = app.db.begin_write().await?;
    let found = query.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked).all(&tx).await?;
    let claim = ActiveModel { next_check_at: Set(Some(now + app.patience())), ..ActiveModel::default() };
    let ids = found.iter().map(|row| row.id);
    Entity::update_many().set(claim).filter(Column::Id.is_in(ids)).exec(&tx).await?;
    tx.commit().await?;
    Ok(found)
}

async fn settle_attempt(app: &App, id: AttemptId) -> Result<(), Error> {
    let attempt = attempts::by_id(app.db.read(), id).await?.ok_or(Error::missing(id))?;
    let order = order::by_id(app.db.read(), attempt.order_id).await?.ok_or(Error::missing(attempt.order_id))?;
    let may_be_charged = order.status == orders::Status::AwaitingPayment
        && !attempts::waits_for_decision(app.db.read(), order.id).await?;
    match attempt.status {
        attempt::Status::Created | attempt::Status::Pending | attempt::Status::Processing if !may_be_charged => {
            session::end_leftover(app, order.id).await?;
        }
        attempt::Status::Created => return look_up(app, &attempt).await,
        attempt::Status::Pending | attempt::Status::Processing => session::ask_after(app, &attempt).await?,
        _ => return Ok(()),
    }
    note_check(app, &attempt, None).await
}

/// Looks up a session that may never have been opened, under its payment's lock (rule K1).
async fn look_up(app: &App, attempt: &attempt::Model) -> Result<(), Error> {
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
async fn note_check(app: &App, attempt: &attempt::Model, put_off: Option<DateTime<Utc>>) -> Result<(), Error> {
    use attempt::{ActiveModel, Column, Entity};
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
    if current.status == attempt::Status::Created && put_off.is_none() {
        let question =
            Question { attempt: Some(current.id), ..Question::unknown(current.payment_id, current.amount()) };
        case::ask_in_vain(&tx, question, Checks { made, next_at }, now).await?;
    }
    Ok(tx.commit().await?)
}

// ── news that was kept ──

async fn claim_events(app: &App, most: u64) -> Result<Vec<event::Model>, Error> {
    use event::{Column, Entity};
    let now = app.clock.now();
    let [first, ..] = TRIES;
    let query = Entity::find()
        .filter(Column::State.eq(event::State::Parked))
        .filter(Column::Tries.lt(i32::try_from(TRIES.len()).unwrap_or(i32::MAX)))
        .filter(is_due(Column::NextTryAt, Column::ReceivedAt, first, now))
        .order_by_with_nulls(Column::NextTryAt, sea_orm::Order::Asc, NullOrdering::First)
        .limit(most);
    if query.clone().one(app.db.read()).await?.is_none() {
        return Ok(vec![]);
    }
    let tx = app.db.begin_write().await?;
    let found = query.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked).all(&tx).await?;
    for row in &found {
        events::try_again_at(&tx, row, row.tries, now + app.patience()).await?;
    }
    tx.commit().await?;
    Ok(found)
}

/// Takes in news that was kept, if what it is about is known by now. News that can't be taken in harms no other, and is given up after a few tries.
async fn settle_event(app: &App, key: (String, String, String)) -> Result<(), Error> {
    let Some(parked) = event::Entity::find_by_id(key).one(app.db.read()).await? else { return Ok(()) };
    if parked.state != event::State::Parked {
        return Ok(());
    }
    match events::take_in_again(app, &parked).await {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(error) => tracing::warn!(?error, "news that was kept can't be taken in"),
    }
    let tries = parked.tries + 1;
    let pause = usize::try_from(tries).ok().and_then(|tries| TRIES.get(tries));
    let tx = app.db.begin_write().await?;
    let next_at = app.clock.now() + pause.copied().unwrap_or_default();
    events::try_again_at(&tx, &parked, tries, next_at).await?;
    tx.commit().await?;
    if pause.is_none() {
        tracing::error!(
            event_id = parked.event_id,
            provider = parked.provider,
            "news that nobody knows the subject of is given up"
        );
    }
    Ok(())
}

// ── keys whose server died ──

/// The mutations of which nothing is unanswered and whose callers were not told. Who still runs one ends its key with its last answer, so that whatever
/// its lease says nobody does by the time of the first check.
async fn left_over(app: &App, most: u64) -> Result<Vec<kept::Model>, Error> {
    use kept::{Column, Entity};
    let now = app.clock.now();
    let left =
        Condition::any().add(Column::LeaseExpiresAt.lte(now)).add(Column::StartedAt.lte(now - app.checks.first()));
    let query = Entity::find()
        .filter(Column::State.eq(kept::State::InProgress))
        .filter(left)
        .filter(Expr::cust(NOTHING_UNANSWERED))
        .order_by_asc(Column::LeaseExpiresAt);
    Ok(query.limit(most).all(app.db.read()).await?)
}

const NOTHING_UNANSWERED: &str = "
NOT EXISTS (SELECT 1 FROM payment_transaction t WHERE t.payment_id = operation.payment_id AND t.status IN ('SENT', 'UNKNOWN'))
AND NOT EXISTS (SELECT 1 FROM payment_attempt a WHERE a.id = operation.attempt_id AND a.status = 'CREATED')";

async fn settle_operation(app: &App, key: LeftKey, order_id: OrderId) -> Result<(), Error> {
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    let order = order::lock(&tx, &Audience::of_the_server(), order_id).await?;
    let left = kept::Entity::find_by_id(key).lock_exclusive().one(&tx).await?;
    // Whoever sent it may have come back.
    let is_left = |left: &kept::Model| left.state == kept::State::InProgress;
    let Some(left) = left.filter(is_left) else { return Ok(()) };
    match left.attempt_id {
        Some(_) => attempts::finish_left(&tx, &order, &left, now).await?,
        None => work::finish_left(&tx, &left, now).await?,
    }
    Ok(tx.commit().await?)
}
