//! What is unanswered on a payment is settled before anything new is begun on it (rules R2, P6, P8).
//!
//! A provider is asked by our reference, and where it knows of nothing the call is repeated under the same one: so money moves once, however often
//! that happens and whoever does it. Nothing is given up for lost here.

use entity::{
    id::PaymentId,
    method, payment,
    transaction::{Column, Entity, Model, Status, UNANSWERED},
};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};

use super::{
    answer::{self, Told},
    lease::{self, Lease},
    lock::Token,
    reversal,
};
use crate::{
    app::App,
    error::Error,
    provider::{Answer, CallError, PaymentProvider, TransactionRequest},
};

/// Takes a payment's lock, or looks whether the caller's stands, and settles what is unanswered on it.
pub(super) async fn enter(
    app: &App,
    payment: &payment::Model,
    token: Option<&Token>,
    purpose: &str,
) -> Result<Lease, Error> {
    let tx = app.db.begin_write().await?;
    let (lease, _) = lease::enter(app, &tx, payment.id, token, purpose).await?;
    let unanswered = unanswered(&tx, payment.id).await?;
    tx.commit().await?;
    match settle(app, payment, &unanswered, &lease).await {
        Ok(()) => Ok(lease),
        Err(error) => {
            lease::leave(app, &lease).await;
            Err(error)
        }
    }
}

/// What was asked of the provider for a payment, and not answered for sure; oldest first.
pub(super) async fn unanswered(db: &impl ConnectionTrait, payment: PaymentId) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find().filter(Column::PaymentId.eq(payment)).filter(Column::Status.is_in(UNANSWERED));
    query.order_by_asc(Column::CreatedAt).order_by_asc(Column::Id).all(db).await
}

/// Asks after each of these, and undoes what turns out not to be wanted any more.
pub(super) async fn settle(
    app: &App,
    payment: &payment::Model,
    unanswered: &[Model],
    lease: &Lease,
) -> Result<(), Error> {
    for transaction in unanswered {
        let told = ask_after(app, payment, transaction, lease).await?;
        answer::record(app, payment, transaction.id, &told, async |_| Ok(())).await?;
    }
    Box::pin(reversal::reverse_unwanted(app, payment, lease)).await
}

/// What the provider says of a transaction that may have been sent. Where it never heard of it, it is asked once more under the same reference.
pub(super) async fn ask_after(
    app: &App,
    payment: &payment::Model,
    transaction: &Model,
    lease: &Lease,
) -> Result<Told, Error> {
    let Some(provider) = app.providers.named(&payment.provider) else {
        return Ok(Told::by_call(Err(switched_off()), true));
    };
    match lease::keep(app, lease, provider.find_transaction(&transaction.reference)).await {
        Ok(Some(answer)) => Ok(Told::by(answer)),
        // It had it, and has it no more: that is not for us to do again.
        Ok(None) if transaction.status == Status::Pending => Ok(Told::nothing()),
        Ok(None) => {
            let said = send(app, payment, transaction, lease).await?;
            Ok(Told::by_call(said, true))
        }
        Err(error) => Ok(Told::by_call(Err(error), true)),
    }
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

impl Told {
    fn nothing() -> Self {
        Self::by_call(Err(CallError::Unknown("the provider has it no more".into())), true)
    }
}
