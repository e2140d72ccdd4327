//! Attempts to pay: started, and found.
//!
//! The attempt is written before the provider is called, and never a second one under another reference while the first is unanswered
//! (rule T1).

mod find;

use chrono::{DateTime, Utc};
use entity::{
    attempt::{self, Column, Entity, Model, OPEN, Status},
    id::{AttemptId, OrderId, PaymentId},
    metadata::Metadata,
    money::Money,
    operation as kept, order as orders,
    outbox::Topic,
    payment::{self as payments, Status as PaymentStatus},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryTrait,
    sea_query::{Expr, ExprTrait},
};
use url::Url;

use super::{
    lock::Token,
    operation::{self, Key, Start},
    order, outbox, payment, payment_change, session,
};
use crate::{
    app::App,
    auth::{Audience, Caller, Scope},
    db::{WriteTransaction, tried_again},
    error::{Error, Problem, Read},
    provider::PaymentProvider,
};

pub use self::find::{
    Named, by_external_id, by_id, by_ids, by_reference, find, of_orders, open_on, waits_for_decision, with_order,
};

/// A request to start an attempt.
#[derive(Clone, Debug)]
pub struct AttemptToPay {
    pub order_id: OrderId,
    /// By name; the default one where there is none.
    pub provider: Option<String>,
    /// Parsed once, and kept as parsed: another reader of the raw text might see another host in it (rule A7).
    pub return_url: Option<Url>,
    /// What the shopper was shown.
    pub expected_amount: Option<Money>,
    /// The caller's lock on the payment of the attempt that this one may supersede.
    pub lock_token: Option<Token>,
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
    request: Read<AttemptToPay>,
    idempotency_key: &str,
) -> Result<Attempted, Error> {
    let audience = caller.audience(Scope::AttemptsWrite)?;
    let request = request?;
    let provider = choose_provider(app, &request)?;
    check_return_url(app, &request)?;
    let key = key(caller, &request, idempotency_key)?;
    let mut asked = None;
    // Each round asks after or ends an attempt that was there before.
    for _ in 0..session::MOST_ROUNDS {
        let begun = tried_again(|| Box::pin(begin(app, &audience, &request, provider, &key, asked))).await;
        if let Err(Error::Problem(Problem::OrderAlreadyPaid | Problem::AttemptConflicted)) = &begun {
            // Whoever found out may not have been able to end what was open.
            session::end_leftover(app, request.order_id).await?;
        }
        match begun? {
            Begun::Done(done) => return Ok(done),
            Begun::Start { attempt, resumed, since } => {
                return Box::pin(session::open(app, &attempt, resumed, since, &key)).await;
            }
            Begun::AskAfter(open) => {
                Box::pin(session::ask_after(app, &open)).await?;
                asked = Some(open.id);
            }
            Begun::InTheWay(older) => {
                Box::pin(session::end(app, &older, request.lock_token.as_ref())).await.map_err(unanswered)?;
            }
        }
    }
    Err(Problem::OutcomeUnknown.into())
}

/// A session that can't be ended yet leaves open how it will end (rule T2).
fn unanswered(error: Error) -> Error {
    match error {
        Error::Problem(Problem::OrderHasOpenAttempt) => Problem::OutcomeUnknown.into(),
        error => error,
    }
}

fn choose_provider<'a>(app: &'a App, request: &AttemptToPay) -> Result<&'a str, Problem> {
    let provider = match &request.provider {
        None => app.providers.usual(),
        Some(name) => app.providers.named(name),
    };
    provider
        .map(PaymentProvider::name)
        .ok_or_else(|| Problem::unknown_provider(request.provider.as_deref().unwrap_or_default()))
}

fn check_return_url(app: &App, request: &AttemptToPay) -> Result<(), Problem> {
    let Some(url) = &request.return_url else { return Ok(()) };
    let why = if !app.return_origins.allow(url) {
        "is not of an origin that shoppers may be sent back to; the server's setting is ORDERPAY_RETURN_ORIGINS"
    } else if !url.username().is_empty() || url.password().is_some() {
        "holds a user name"
    } else if url.as_str().len() > 2000 {
        "is longer than 2000 bytes"
    } else {
        return Ok(());
    };
    Err(Problem::invalid("returnUrl", why))
}

fn key(caller: &Caller, request: &AttemptToPay, idempotency_key: &str) -> Result<Key, Problem> {
    let order_id = request.order_id.to_string();
    let expected = request.expected_amount.map(|amount| amount.to_string());
    let return_url = request.return_url.as_ref().map(Url::as_str);
    let input = [Some(order_id.as_str()), request.provider.as_deref(), return_url, expected.as_deref()];
    Key::of_optional(caller, "attemptToPayForOrder", idempotency_key, &input)
}

enum Begun {
    /// This is all.
    Done(Attempted),
    /// Written down, to be opened at the provider by whoever set out to at this time; `resumed` if it may have been sent before.
    Start { attempt: Model, resumed: bool, since: DateTime<Utc> },
    /// This one would be given back: has anything happened to it that nobody told?
    AskAfter(Model),
    /// This one has to be ended first.
    InTheWay(Model),
}

/// Everything up to the provider: one transaction. `asked` is the attempt that was just asked after.
async fn begin(
    app: &App,
    audience: &Audience,
    request: &AttemptToPay,
    provider: &str,
    key: &Key,
    asked: Option<AttemptId>,
) -> Result<Begun, Error> {
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    let order = order::lock(&tx, audience, request.order_id).await?;
    let left = match operation::start(&tx, key, now, app.patience()).await? {
        Start::New => None,
        Start::Finished(done) => return replay(&tx, &order, &done).await.map(Begun::Done),
        Start::Resumed(left) => left_by(&tx, &left).await?,
    };
    if let Some(left) = left.clone().filter(|left| left.status != Status::Created) {
        let problem = came_to_problem(&tx, &order, &left).await?;
        return done(tx, key, now, left, problem).await;
    }
    let due = match payable(&tx, &order, request).await {
        Ok(due) => due,
        // What was left may have been sent: it is ended before anything is said.
        Err(Error::Problem(problem)) => return left.map(Begun::InTheWay).ok_or(problem.into()),
        Err(error) => return Err(error),
    };
    let fits = |open: &Model| {
        open.amount() == due
            && open.provider == provider
            && open.cart_digest == order.cart_digest
            && (open.status != Status::Pending || open.can_be_paid())
    };
    match open_on(&tx, order.id).await? {
        Some(open) if !fits(&open) => Ok(Begun::InTheWay(open)),
        Some(open) if open.status == Status::Created => {
            touch(&tx, &open, now).await?;
            operation::note(&tx, key, came_to(&open)).await?;
            tx.commit().await?;
            Ok(Begun::Start { attempt: open, resumed: true, since: now })
        }
        Some(open) if asked != Some(open.id) => Ok(Begun::AskAfter(open)),
        Some(open) => done(tx, key, now, open, None).await,
        None => {
            let attempt = write(&tx, &order, due, request, provider, now).await?;
            operation::note(&tx, key, came_to(&attempt)).await?;
            tx.commit().await?;
            Ok(Begun::Start { attempt, resumed: false, since: now })
        }
    }
}

/// What is due on an order for which a session may be opened; otherwise why none may.
async fn payable(tx: &WriteTransaction, order: &orders::Model, request: &AttemptToPay) -> Result<Money, Error> {
    may_be_charged(tx, order).await?;
    let ledger = payment::ledger(tx, order.id).await?;
    if ledger.waits_for_a_charge() {
        return Err(Problem::OutcomeUnknown.into());
    }
    let due = ledger.amount_due(order.status, order.total())?;
    match request.expected_amount {
        Some(expected) if expected != due => Err(Problem::AmountDueChanged { expected, amount_due: due }.into()),
        _ if due.is_zero() => Err(Problem::NothingDue.into()),
        _ => Ok(due),
    }
}

/// Refuses an order that must not be charged: paid, cancelled, or with money on it that nobody has decided about.
pub(super) async fn may_be_charged(db: &impl ConnectionTrait, order: &orders::Model) -> Result<(), Error> {
    order::awaiting_payment(order)?;
    match waits_for_decision(db, order.id).await? {
        true => Err(Problem::AttemptConflicted.into()),
        false => Ok(()),
    }
}

async fn done(
    tx: WriteTransaction,
    key: &Key,
    now: DateTime<Utc>,
    attempt: Model,
    problem: Option<Problem>,
) -> Result<Begun, Error> {
    operation::finish(&tx, key, now, problem.as_ref(), came_to(&attempt)).await?;
    tx.commit().await?;
    Ok(Begun::Done(Attempted { attempt: Some(attempt), replayed: true, problem }))
}

/// Notes that the provider is about to be asked once more.
async fn touch(tx: &WriteTransaction, attempt: &Model, now: DateTime<Utc>) -> Result<(), DbErr> {
    let values = attempt::ActiveModel { updated_at: Set(now), ..attempt::ActiveModel::default() };
    Entity::update_many().set(values).filter(Column::Id.eq(attempt.id)).exec(tx).await.map(|_| ())
}

/// Why an attempt as it is now leads to no payment; `None` if it may be paid, was paid, or ended as its status says.
pub(super) async fn came_to_problem(
    tx: &WriteTransaction,
    order: &orders::Model,
    attempt: &Model,
) -> Result<Option<Problem>, Error> {
    let never_opened = attempt.status.ended_without_money() && attempt.external_id.is_none();
    match attempt.status {
        Status::Succeeded => Ok(None),
        Status::Conflicted => Ok(Some(Problem::AttemptConflicted)),
        Status::Created
        | Status::Pending
        | Status::Processing
        | Status::Failed
        | Status::Cancelled
        | Status::Expired => match may_be_charged(tx, order).await {
            Ok(()) => Ok(never_opened.then_some(Problem::ProviderUnavailable)),
            Err(Error::Problem(problem)) => Ok(Some(problem)),
            Err(error) => Err(error),
        },
    }
}

/// Ends the key of a request whose server died, once the attempt that it started is answered (rule I3). The order's row and the key's are locked.
pub(super) async fn finish_left(
    tx: &WriteTransaction,
    order: &orders::Model,
    left: &kept::Model,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let (Some(attempt), Some(key)) = (left_by(tx, left).await?, Key::of(left)) else { return Ok(()) };
    if attempt.status == Status::Created {
        return Ok(());
    }
    let problem = came_to_problem(tx, order, &attempt).await?;
    operation::finish(tx, &key, now, problem.as_ref(), kept::ActiveModel::default()).await
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

/// What was recorded; and where the attempt is still open, whether it may still be paid.
async fn replay(tx: &WriteTransaction, order: &orders::Model, done: &kept::Model) -> Result<Attempted, Error> {
    let attempt = match done.attempt_id {
        Some(id) => by_id(tx, id).await?,
        None => None,
    };
    let problem = match (operation::problem(done)?, &attempt) {
        (None, Some(attempt)) if attempt.status.is_open() => came_to_problem(tx, order, attempt).await?,
        (recorded, _) => recorded,
    };
    Ok(Attempted { attempt, replayed: true, problem })
}

/// The attempt that a request left whose server died (rule I3): it is looked up, not made anew.
async fn left_by(tx: &WriteTransaction, left: &kept::Model) -> Result<Option<Model>, Error> {
    let Some(id) = left.attempt_id else { return Ok(None) };
    by_id(tx, id).await?.ok_or(Error::missing(id)).map(Some)
}

async fn write(
    tx: &WriteTransaction,
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
        return_url: request.return_url.as_ref().map(Url::to_string),
        redirect_url: None,
        client_secret: None,
        failure_code: None,
        failure_message: None,
        decline: None,
        expires_at: None,
        checks: 0,
        next_check_at: None,
        created_at: now,
        updated_at: now,
    };
    let changes = [(Topic::Payment, payment.id.uuid()), (Topic::PaymentAttempt, attempt.id.uuid())];
    payment_change::insert(tx, &payment, None).await?;
    Entity::insert(attempt.clone().into_active_model()).exec_without_returning(tx).await?;
    outbox::tell(tx, order.id, now, &changes).await?;
    Ok(attempt)
}

/// Takes back the way to whatever session is open on an order that must not be charged any more: whether or not it can be ended at the provider,
/// nobody is sent there. Where it can't now, the reconciler goes on trying from its first pause.
///
/// Whoever watches an attempt that had a way is told that it has none any more. One that was not opened yet has none, and keeps the time at which
/// somebody last set out to open it.
pub(super) async fn hide_open(tx: &WriteTransaction, order: OrderId, now: DateTime<Utc>) -> Result<(), DbErr> {
    let hidden = attempt::ActiveModel {
        redirect_url: Set(None),
        client_secret: Set(None),
        checks: Set(0),
        next_check_at: Set(None),
        ..attempt::ActiveModel::default()
    };
    let had_a_way = Column::RedirectUrl.is_not_null().or(Column::ClientSecret.is_not_null());
    let updated_at = Expr::case(had_a_way, now).finally(Expr::col(Column::UpdatedAt));
    let open = Entity::update_many().set(hidden).col_expr(Column::UpdatedAt, updated_at.into());
    let mut open = open.filter(Column::OrderId.eq(order)).filter(Column::Status.is_in(OPEN)).into_query();
    let updated = tx.get_database_backend().build(open.returning_all());
    let updated = Entity::find().from_raw_sql(updated).all(tx).await?;
    let hidden = updated.iter().filter(|attempt| attempt.updated_at == now);
    let changes: Vec<_> = hidden.map(|attempt| (Topic::PaymentAttempt, attempt.id.uuid())).collect();
    match changes.as_slice() {
        [] => Ok(()),
        changes => outbox::tell(tx, order, now, changes).await,
    }
}
