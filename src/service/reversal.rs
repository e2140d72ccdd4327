//! Authorizations that are not wanted any more, because their payment was archived or has another amount now, are given back (rule S1).
//!
//! They are marked in the transaction that makes them unwanted, and reversed after it: a server that dies between leaves a mark that says so.

use chrono::{DateTime, Utc};
use entity::{
    id::{OrderId, TransactionId},
    money::Money,
    payment,
    share::rest,
    transaction::{Column, Entity, Kind, ManagementState, Model, Status, Undoing},
};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder};

use super::{
    answer::{self, SERVER, Told, set_state},
    intent::{self, Intent, Source},
    lease::{self, HeldLock, Lease},
    lock::Token,
    order, payment as payments, recovery, transaction,
};
use crate::{app::App, auth::Audience, error::Error};

/// Marks a payment's authorizations as unwanted, those that are still unanswered too, and gives the ids of what is to be sent for those of which a part
/// was captured already: they count on, and the rest of them is reversed.
pub(super) async fn mark_unwanted(
    held: &HeldLock<'_>,
    ledger: &[Model],
    now: DateTime<Utc>,
) -> Result<Vec<TransactionId>, Error> {
    let mut rests = vec![];
    for row in ledger.iter().filter(|row| row.kind == Kind::Authorize && row.status != Status::Failed) {
        let left = rest(row, ledger)?;
        if left == row.amount() {
            if let Some(state) = ManagementState::on(row.management_state, Undoing::Unwanted) {
                set_state(held.tx(), row, state).await?;
            }
        } else if ManagementState::counts(row.management_state) && left.minor() > 0 {
            rests.push(write(held, row, left, None, now).await?);
        }
    }
    Ok(rests)
}

/// Reverses what is marked, one after the other; stops where the provider can't be asked, and leaves the mark.
pub(super) async fn reverse_unwanted(app: &App, payment: &payment::Model, lease: &Lease) -> Result<(), Error> {
    while let Some(reversal) = begin_next(app, payment, lease).await? {
        send(app, payment, reversal, lease).await?;
        let sent = transaction::by_ids(app.db.read(), &[reversal]).await?.pop();
        if sent.is_none_or(|sent| answer::was_never_run(&sent)) {
            tracing::warn!(payment = %payment.id, "what is not wanted can't be reversed at this moment");
            return Ok(());
        }
    }
    Ok(())
}

/// Writes down the reversal of the next one that is marked.
async fn begin_next(app: &App, payment: &payment::Model, lease: &Lease) -> Result<Option<TransactionId>, Error> {
    let tx = app.db.begin_write().await?;
    order::lock(&tx, &Audience::of_the_server(), payment.order_id).await?;
    let held = lease::hold(&tx, lease).await?;
    let marked = Entity::find()
        .filter(Column::PaymentId.eq(payment.id))
        .filter(Column::Status.eq(Status::Succeeded))
        .filter(Column::ManagementState.eq(ManagementState::RequiresReversal))
        .order_by_asc(Column::Id);
    let Some(unwanted) = marked.one(&tx).await? else { return Ok(None) };
    let now = app.clock.now();
    set_state(&tx, &unwanted, ManagementState::ReversalInProgress).await?;
    let state = Some(ManagementState::ReversalTransaction);
    let id = write(&held, &unwanted, unwanted.amount(), state, now).await?;
    intent::touch(&tx, payment, now).await?;
    tx.commit().await?;
    Ok(Some(id))
}

async fn write(
    held: &HeldLock<'_>,
    of: &Model,
    amount: Money,
    management_state: Option<ManagementState>,
    now: DateTime<Utc>,
) -> Result<TransactionId, Error> {
    let source = Source { source: Some(SERVER), ..Source::default() };
    let intent = Intent { kind: Kind::ReverseAuthorize, amount, parent: Some(of.id), management_state, source };
    intent::write(held, &intent, now).await
}

/// Sends a reversal that was written down, and records what became of it.
pub(super) async fn send(app: &App, payment: &payment::Model, id: TransactionId, lease: &Lease) -> Result<(), Error> {
    let Some(reversal) = transaction::by_ids(app.db.read(), &[id]).await?.pop() else { return Ok(()) };
    let said = recovery::send(app, payment, &reversal, lease).await?;
    let told = Told::by_call(said, Some(1));
    answer::record(app, payment, id, &told, async |_| Ok(())).await.map(|_| ())
}

/// Reverses what is marked on a payment that nobody works on; where somebody does, whoever works on it next does it.
pub(super) async fn reverse_unwanted_if_free(
    app: &App,
    payment: &payment::Model,
    token: Option<&Token>,
) -> Result<(), Error> {
    let lease = Box::pin(recovery::enter(app, payment, token, "reverse what is not wanted")).await;
    match lease {
        // Entering has done it already.
        Ok(lease) => {
            lease::leave(app, &lease).await;
            Ok(())
        }
        Err(Error::Problem(problem)) => {
            tracing::warn!(payment = %payment.id, %problem, "what is not wanted is not reversed yet");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Marks the authorizations of all payments of an order that is being cancelled, whose row is locked; gives those of which some are to be reversed.
pub(super) async fn mark_order(
    tx: &DatabaseTransaction,
    order: OrderId,
    token: Option<&Token>,
    now: DateTime<Utc>,
) -> Result<Vec<payment::Model>, Error> {
    let mut marked = vec![];
    for booked in payments::ledger(tx, order).await?.payments {
        let ledger = payments::transactions(tx, booked.payment.id).await?;
        let holds = |row: &Model| row.kind == Kind::Authorize && row.status != Status::Failed;
        if !ledger.iter().any(holds) {
            continue;
        }
        let held = lease::pass_if_mine(tx, booked.payment.id, token).await?;
        mark_unwanted(&held, &ledger, now).await?;
        intent::touch(tx, &booked.payment, now).await?;
        marked.push(booked.payment);
    }
    Ok(marked)
}
