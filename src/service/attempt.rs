//! Attempts to pay: started, and found.
//!
//! The attempt is written before the provider is called, and never a second one under another reference while the first is unanswered
//! (rule T1).

use chrono::{DateTime, Utc};
use entity::{
    attempt::{Column, Entity, Model, OPEN, Status},
    id::{AttemptId, OrderId, PaymentId},
    metadata::Metadata,
    money::Money,
    operation as kept, order as orders,
    outbox::Topic,
    payment::{self as payments, Status as PaymentStatus},
    reconciliation,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, JoinType,
    QueryFilter, QueryOrder, QuerySelect, RelationDef,
};

use super::{
    operation::{self, Key, Start},
    order, outbox, payment, session,
};
use crate::{
    app::App,
    auth::{Audience, Caller, Scope},
    error::{Error, Problem},
    provider::PaymentProvider,
};

/// A request to start an attempt.
#[derive(Clone, Debug)]
pub struct AttemptToPay {
    pub order_id: OrderId,
    /// By name; the usual one where there is none.
    pub provider: Option<String>,
    pub return_url: Option<String>,
    /// What the shopper was shown.
    pub expected_amount: Option<Money>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Attempted {
    pub attempt: Option<Model>,
    /// Whether it was there before.
    pub replayed: bool,
    pub problem: Option<Problem>,
}

/// Starts an attempt for the amount due and opens a session for it at the provider; or gives back the open attempt for the same
/// amount, provider and cart (rules T1, T2). Shoppers may for their own orders, services with `attempts:write` for all.
pub async fn attempt_to_pay_for_order(
    app: &App,
    caller: &Caller,
    request: AttemptToPay,
    idempotency_key: &str,
) -> Result<Attempted, Error> {
    let audience = caller.audience(Scope::AttemptsWrite)?;
    let provider = choose_provider(app, &request)?;
    check_return_url(app, &request)?;
    let key = key(caller, &request, idempotency_key)?;
    // Each round ends an older attempt that is in the way.
    for _ in 0..session::MOST_ROUNDS {
        match begin(app, &audience, &request, provider, &key).await? {
            Begun::Replayed(done) => return Ok(done),
            Begun::Start { attempt, resumed } => return session::open(app, provider, attempt, resumed, &key).await,
            Begun::Superseded(older) => session::end(app, &older).await?,
        }
    }
    Err(Problem::OutcomeUnknown.into())
}

fn choose_provider<'a>(app: &'a App, request: &AttemptToPay) -> Result<&'a dyn PaymentProvider, Problem> {
    match &request.provider {
        None => app.providers.usual(),
        Some(name) => app.providers.named(name),
    }
    .ok_or_else(|| Problem::ProviderUnsupported { provider: request.provider.clone().unwrap_or_default() })
}

fn check_return_url(app: &App, request: &AttemptToPay) -> Result<(), Problem> {
    let Some(text) = &request.return_url else { return Ok(()) };
    let allowed = text.len() <= 2000 && text.parse().is_ok_and(|url| app.return_origins.allow(&url));
    if allowed {
        return Ok(());
    }
    Err(Problem::invalid(
        "returnUrl",
        "must be an http or https address of an origin that is configured for it, of up to 2000 bytes",
    ))
}

fn key(caller: &Caller, request: &AttemptToPay, idempotency_key: &str) -> Result<Key, Problem> {
    let order_id = request.order_id.to_string();
    let expected = request.expected_amount.map(|amount| amount.to_string());
    let input =
        [Some(order_id.as_str()), request.provider.as_deref(), request.return_url.as_deref(), expected.as_deref()]
            // An input that is missing differs from an empty one.
            .map(|part| part.map_or("-".to_owned(), |part| format!("={part}")));
    Key::new(caller, "attemptToPayForOrder", idempotency_key, &input.each_ref().map(String::as_str))
}

enum Begun {
    /// It was there before: this is all.
    Replayed(Attempted),
    /// Written down, to be opened at the provider; `resumed` if it may have been sent before.
    Start { attempt: Model, resumed: bool },
    /// This one is in the way.
    Superseded(Model),
}

/// Everything up to the provider: one transaction.
async fn begin(
    app: &App,
    audience: &Audience,
    request: &AttemptToPay,
    provider: &dyn PaymentProvider,
    key: &Key,
) -> Result<Begun, Error> {
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    let order = order::lock(&tx, audience, request.order_id).await?;
    match operation::start(&tx, key, now).await? {
        Start::New => {}
        Start::Finished(done) => return replay(&tx, &done).await.map(Begun::Replayed),
        Start::Resumed(left) => {
            if let Some(begun) = resume(&tx, key, &left, now).await? {
                tx.commit().await?;
                return Ok(begun);
            }
        }
    }
    order::awaiting_payment(&order)?;
    let due = payment::ledger(&tx, order.id).await?.amount_due(&order)?;
    check_amount(request, due)?;
    if waits_for_decision(&tx, order.id).await? {
        return Err(Problem::AttemptConflicted.into());
    }
    let fits = |open: &Model| {
        open.amount() == due && open.provider == provider.name() && open.cart_digest == order.cart_digest
    };
    let begun = match open_on(&tx, order.id).await? {
        Some(open) if !fits(&open) => return Ok(Begun::Superseded(open)),
        Some(open) if open.status == Status::Created => {
            operation::note(&tx, key, came_to(&open)).await?;
            Begun::Start { attempt: open, resumed: true }
        }
        Some(open) => {
            operation::finish(&tx, key, now, None, came_to(&open)).await?;
            Begun::Replayed(Attempted { attempt: Some(open), replayed: true, problem: None })
        }
        None => {
            let attempt = write(&tx, &order, due, request, provider.name(), now).await?;
            operation::note(&tx, key, came_to(&attempt)).await?;
            Begun::Start { attempt, resumed: false }
        }
    };
    tx.commit().await?;
    Ok(begun)
}

fn check_amount(request: &AttemptToPay, due: Money) -> Result<(), Problem> {
    match request.expected_amount {
        Some(expected) if expected != due => Err(Problem::AmountDueChanged { expected, amount_due: due }),
        _ if due.is_zero() => {
            Err(Problem::invalid("orderId", "is an order on which nothing is due; processOrderToPaid marks it paid"))
        }
        _ => Ok(()),
    }
}

/// What an operation on an attempt notes of it.
pub(super) fn came_to(attempt: &Model) -> kept::ActiveModel {
    kept::ActiveModel {
        order_id: Set(Some(attempt.order_id)),
        payment_id: Set(Some(attempt.payment_id)),
        attempt_id: Set(Some(attempt.id)),
        ..kept::ActiveModel::default()
    }
}

async fn replay(tx: &DatabaseTransaction, done: &kept::Model) -> Result<Attempted, Error> {
    let attempt = match done.attempt_id {
        Some(id) => by_id(tx, id).await?,
        None => None,
    };
    Ok(Attempted { attempt, replayed: true, problem: operation::problem(done)? })
}

/// Takes up a request whose server died (rule I3): the attempt that it left is looked up, not made anew.
async fn resume(
    tx: &DatabaseTransaction,
    key: &Key,
    left: &kept::Model,
    now: DateTime<Utc>,
) -> Result<Option<Begun>, Error> {
    let Some(id) = left.attempt_id else { return Ok(None) };
    let attempt = by_id(tx, id).await?.ok_or(Error::missing(id))?;
    if attempt.status == Status::Created {
        return Ok(Some(Begun::Start { attempt, resumed: true }));
    }
    operation::finish(tx, key, now, None, came_to(&attempt)).await?;
    Ok(Some(Begun::Replayed(Attempted { attempt: Some(attempt), replayed: true, problem: None })))
}

async fn write(
    tx: &DatabaseTransaction,
    order: &orders::Model,
    due: Money,
    request: &AttemptToPay,
    provider: &str,
    now: DateTime<Utc>,
) -> Result<Model, Error> {
    let payment = payments::Model {
        id: PaymentId::new(now),
        order_id: order.id,
        provider: provider.to_owned(),
        status: PaymentStatus::Active,
        amount_minor: due.minor(),
        currency: due.currency(),
        display: Metadata::default(),
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let id = AttemptId::new(now);
    let attempt = Model {
        id,
        order_id: order.id,
        payment_id: payment.id,
        provider: provider.to_owned(),
        reference: id.to_string(),
        external_id: None,
        status: Status::Created,
        amount_minor: due.minor(),
        currency: due.currency(),
        cart_digest: order.cart_digest.clone(),
        return_url: request.return_url.clone(),
        redirect_url: None,
        client_secret: None,
        failure_code: None,
        failure_message: None,
        decline: None,
        expires_at: None,
        created_at: now,
        updated_at: now,
    };
    let changes = [(Topic::Payment, payment.id.uuid()), (Topic::PaymentAttempt, attempt.id.uuid())];
    payments::Entity::insert(payment.into_active_model()).exec_without_returning(tx).await?;
    Entity::insert(attempt.clone().into_active_model()).exec_without_returning(tx).await?;
    outbox::tell(tx, order.id, now, &changes).await?;
    Ok(attempt)
}

/// The order's one open attempt (rule T2).
pub(super) async fn open_on(db: &impl ConnectionTrait, order: OrderId) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::OrderId.eq(order)).filter(Column::Status.is_in(OPEN)).one(db).await
}

/// Whether money was reported on the order that was not accepted, and nobody decided yet: charging once more could charge twice.
async fn waits_for_decision(db: &impl ConnectionTrait, order: OrderId) -> Result<bool, DbErr> {
    let case = reconciliation::Entity::find()
        .join(JoinType::InnerJoin, attempt_of_case())
        .filter(Column::OrderId.eq(order))
        .filter(reconciliation::Column::State.eq(reconciliation::State::Open))
        .one(db)
        .await?;
    Ok(case.is_some())
}

pub(super) async fn by_id(db: &impl ConnectionTrait, id: AttemptId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// The attempts with this id of a provider's session: one, unless two providers use the same ids.
pub(super) async fn by_external_id(db: &impl ConnectionTrait, external_id: &str) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::ExternalId.eq(external_id)).all(db).await
}

/// The attempts of these orders, oldest first. The orders were found for a caller before: this looks at no owner.
pub async fn of_orders(db: &impl ConnectionTrait, orders: &[OrderId]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::OrderId.is_in(orders.iter().copied())).order_by_asc(Column::Id).all(db).await
}

/// These attempts, which were reached through something that the caller may see.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[AttemptId]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// How an attempt is named.
#[derive(Clone, Debug)]
pub enum Named {
    Id(AttemptId),
    ExternalId(String),
}

/// One attempt that the caller may see, or `None`: missing and foreign alike (rule A2).
pub async fn find(app: &App, caller: &Caller, named: Named) -> Result<Option<Model>, Error> {
    let audience = caller.audience(Scope::OrdersRead)?;
    let query = Entity::find().join(JoinType::InnerJoin, order_of_attempt());
    let query = match named {
        Named::Id(id) => query.filter(Column::Id.eq(id)),
        Named::ExternalId(external_id) => query.filter(Column::ExternalId.eq(external_id)),
    };
    Ok(payment::reached_by(query, &audience).one(app.db.read()).await?)
}

fn order_of_attempt() -> RelationDef {
    Entity::belongs_to(orders::Entity).from(Column::OrderId).to(orders::Column::Id).into()
}

fn attempt_of_case() -> RelationDef {
    reconciliation::Entity::belongs_to(Entity).from(reconciliation::Column::AttemptId).to(Column::Id).into()
}
