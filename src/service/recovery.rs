//! What is unanswered on a payment is settled before anything new is begun on it (rules R2, P6, P8).
//!
//! A provider is asked by our reference, and where it knows of nothing the call is repeated under the same one: so money moves once, however often
//! that happens and whoever does it. Nothing is given up for lost here.

use entity::{
    id::{PaymentId, TransactionId},
    method, order as orders, payment,
    transaction::{ActiveModel, Column, Entity, Heard, ManagementState, Model, Status, UNANSWERED},
};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};

use super::{
    answer::{self, Recorded},
    attempt,
    lease::{self, Errand, Lease},
    order, payment as payments, reversal, session,
    told::Told,
};
use crate::{
    app::App,
    db::WriteTransaction,
    error::Error,
    faults::{self, Broken},
    provider::{Answer, CallError, PaymentProvider, TransactionRequest},
};

/// Takes a payment's lock, or looks whether the caller's stands, and settles what is unanswered on it.
pub(super) async fn enter(app: &App, payment: &payment::Model, errand: &Errand<'_>) -> Result<Lease, Error> {
    let tx = app.db.begin_write().await?;
    let (lease, _) = lease::enter(app, &tx, payment.id, errand).await?;
    let unanswered = unanswered(&tx, payment.id).await?;
    tx.commit().await?;
    match settle(app, payment, &unanswered, &lease).await {
        Ok(_) => Ok(lease),
        Err(error) => {
            lease::leave(app, &lease).await;
            Err(error)
        }
    }
}

/// What was asked of the provider for a payment and not answered for sure, and what is to be undone; oldest first.
pub(super) async fn unanswered(db: &impl ConnectionTrait, payment: PaymentId) -> Result<Vec<Model>, DbErr> {
    let marked = Column::ManagementState.eq(ManagementState::RequiresReversal);
    let open = Condition::any().add(Column::Status.is_in(UNANSWERED)).add(marked);
    let query =
        Entity::find().filter(Column::PaymentId.eq(payment)).filter(Column::Status.ne(Status::Failed)).filter(open);
    query.order_by_asc(Column::CreatedAt).order_by_asc(Column::Id).all(db).await
}

/// Asks after each of these, and undoes what turns out not to be wanted any more. Gives those of which the provider does not say.
pub(super) async fn settle(
    app: &App,
    payment: &payment::Model,
    unanswered: &[Model],
    lease: &Lease,
) -> Result<Vec<TransactionId>, Error> {
    let (mut recorded, mut silent) = (Recorded::default(), vec![]);
    let open = unanswered.iter().filter(|row| row.status.is_unanswered());
    for (at, transaction) in open.enumerate() {
        if at > 0 {
            lease::renew(app, lease).await?;
        }
        let told = ask_after(app, payment, transaction, lease).await?;
        if told.heard == Heard::Nothing {
            silent.push(transaction.id);
        }
        recorded.add(answer::record(app, payment, transaction.id, &told, async |_| Ok(())).await?);
    }
    if recorded.paid {
        lease::keep(app, lease, session::end_leftover(app, payment.order_id)).await?;
    }
    Box::pin(reversal::reverse_unwanted(app, payment, lease)).await?;
    Ok(silent)
}

/// What the provider says of a transaction that may have been sent. Where it never heard of it, it is asked once more under the same reference.
pub(super) async fn ask_after(
    app: &App,
    payment: &payment::Model,
    transaction: &Model,
    lease: &Lease,
) -> Result<Told, Error> {
    let Some(provider) = app.providers.named(&payment.provider) else { return Ok(Told::nothing()) };
    if faults::is_broken(Broken::FreshKey) {
        return repeat(app, payment, transaction, lease).await;
    }
    match lease::keep(app, lease, provider.find_transaction(&transaction.reference)).await {
        Ok(Some(answer)) => Ok(Told::by(answer)),
        // It had it, and has it no more: that is not for us to do again.
        Ok(None) if transaction.status == Status::Pending => Ok(Told::nothing()),
        Ok(None) => repeat(app, payment, transaction, lease).await,
        Err(error) => Ok(Told::by_call(Err(error), None)),
    }
}

/// Asks the provider how a transaction stands that it has answered before. What contradicts its last word is a case (rule P2). Gives whether it says
/// again what it said.
pub(super) async fn compare(
    app: &App,
    payment: &payment::Model,
    transaction: &Model,
    lease: &Lease,
) -> Result<bool, Error> {
    let Some(provider) = app.providers.named(&payment.provider) else { return Ok(false) };
    let Ok(Some(answer)) = lease::keep(app, lease, provider.find_transaction(&transaction.reference)).await else {
        return Ok(false);
    };
    let told = Told::by(answer);
    answer::record(app, payment, transaction.id, &told, async |_| Ok(())).await?;
    Ok(!transaction.status.contradicts(told.heard) && told.amount == Some(transaction.amount()))
}

/// Sends what the provider does not have. Once everybody who ever set out to send it must have come to an end, a refusal is the last word, and so is
/// that nobody wants it any more.
async fn repeat(app: &App, payment: &payment::Model, transaction: &Model, lease: &Lease) -> Result<Told, Error> {
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    lease::hold(&tx, lease).await?;
    let current = answer::by_id(&tx, transaction.id).await?;
    if !matches!(current.status, Status::Sent | Status::Unknown) {
        return Ok(Told::nothing());
    }
    let is_quiet = current.sent_at.unwrap_or(current.created_at) + app.patience() < now;
    if !is_wanted(&tx, &current).await? {
        return Ok(if is_quiet { Told::never_sent(current.sends) } else { Told::nothing() });
    }
    let sends = current.sends + 1;
    let mut values = ActiveModel { sends: Set(sends), sent_at: Set(Some(now)), ..ActiveModel::default() };
    let mut again = transaction.clone();
    if faults::is_broken(Broken::FreshKey) {
        again.reference = format!("{}~{sends}", transaction.id);
        values.reference = Set(again.reference.clone());
    }
    Entity::update_many().set(values).filter(Column::Id.eq(current.id)).exec(&tx).await?;
    tx.commit().await?;
    let said = send(app, payment, &again, lease).await?;
    Ok(Told::by_call(said, is_quiet.then_some(sends)))
}

/// Whether a charge that was never carried out is still to be. While there is money on its order that nobody has decided about, none is: to charge once
/// more could be to charge twice.
async fn is_wanted(tx: &WriteTransaction, transaction: &Model) -> Result<bool, Error> {
    if !transaction.kind.charges() {
        return Ok(true);
    }
    let payment = payments::by_id(tx, transaction.payment_id).await?;
    let order = order::by_id(tx, payment.order_id).await?.ok_or(Error::missing(payment.order_id))?;
    let is_open = order.status == orders::Status::AwaitingPayment
        && payment.status == payment::Status::Active
        && transaction.management_state != Some(ManagementState::RequiresReversal);
    Ok(is_open && !attempt::waits_for_decision(tx, order.id).await?)
}

/// Sends a transaction that was written down, under a lock that still stands; nothing is sent under one that does not (rule K5).
pub(super) async fn send(
    app: &App,
    payment: &payment::Model,
    transaction: &Model,
    lease: &Lease,
) -> Result<Result<Answer, CallError>, Error> {
    let Some(provider) = app.providers.named(&payment.provider) else { return Ok(Err(switched_off())) };
    let method = method::Entity::find_by_id(payment.id).one(app.db.read()).await?;
    let method = method.and_then(|row| row.method_token);
    let parent = match transaction.parent_id {
        Some(id) => Entity::find_by_id(id).one(app.db.read()).await?.map(|parent| parent.reference),
        None => None,
    };
    let request = TransactionRequest {
        reference: &transaction.reference,
        kind: transaction.kind,
        amount: transaction.amount(),
        method: method.as_ref(),
        parent: parent.as_deref(),
    };
    lease::still_stands(app, lease).await?;
    Ok(lease::keep(app, lease, run(provider, &request)).await)
}

async fn run(provider: &dyn PaymentProvider, request: &TransactionRequest<'_>) -> Result<Answer, CallError> {
    provider.run_transaction(request).await
}

fn switched_off() -> CallError {
    CallError::Unknown("the provider is switched off".into())
}
