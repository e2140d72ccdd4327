//! What is not wanted any more is given back (rule S1): authorizations of a payment that was archived or has another amount now, and money that somebody
//! decided not to keep (rule R3).
//!
//! They are marked in the transaction that makes them unwanted, and reversed after it: a server that dies between leaves a mark that says so.

use chrono::{DateTime, Utc};
use entity::{
    audit::Actor,
    id::{OrderId, TransactionId},
    money::{Money, MoneyError},
    order as orders, payment,
    share::rest,
    transaction::{Kind, ManagementState, Model, Status, Undoing},
};

use super::{
    answer::{self, SERVER, clear_state, set_state},
    audit,
    intent::{self, Intent, Source},
    lease::{self, Errand, HeldLock, Lease, LockedRow},
    lock::Token,
    order, payment as payments, recovery,
    told::Told,
    transaction,
};
use crate::{app::App, auth::Audience, db::WriteTransaction, error::Error};

/// Marks a payment's authorizations as unwanted, those that are still unanswered too, and gives the ids of what is to be sent for those of which a part
/// was captured already: they count on, and the rest of them is reversed.
pub(super) async fn mark_unwanted(
    held: &HeldLock<'_>,
    ledger: &[Model],
    now: DateTime<Utc>,
) -> Result<Vec<TransactionId>, Error> {
    let mut rests = vec![];
    for row in ledger.iter().filter(|row| row.kind == Kind::Authorize && row.status != Status::Failed) {
        rests.extend(give_back(held, row, ledger, now).await?);
    }
    Ok(rests)
}

/// Sees to it that what is left of a charge is given back: an authorization of which nothing was used is marked, and counts no more from now on; of
/// anything else the rest is, by a transaction whose id this gives.
pub(super) async fn give_back(
    held: &HeldLock<'_>,
    row: &Model,
    ledger: &[Model],
    now: DateTime<Utc>,
) -> Result<Option<TransactionId>, Error> {
    let left = rest(row, ledger)?;
    if row.kind == Kind::Authorize && left == row.amount() {
        if let Some(state) = ManagementState::on(row.management_state, Undoing::Unwanted) {
            set_state(held.row(), row, state, now).await?;
        }
    } else if ManagementState::counts(row.management_state) && left.minor() > 0 {
        return write(held, row, left, None, now).await.map(Some);
    }
    Ok(None)
}

/// What came to nothing on a payment that is closed leaves the authorization that it acted on held for nobody: all of it is marked, and of one that was
/// used in part the rest is written down to be reversed. Gives whether there is anything to be undone.
pub(super) async fn let_go_of(row: &LockedRow<'_>, failed: &Model, now: DateTime<Utc>) -> Result<bool, Error> {
    let is_ours = failed.source.as_deref() == Some(SERVER);
    let (false, Kind::Capture | Kind::ReverseAuthorize, Some(parent)) = (is_ours, failed.kind, failed.parent_id) else {
        return Ok(false);
    };
    let ledger = payments::transactions(row.tx, failed.payment_id).await?;
    let held = ledger.iter().find(|held| held.id == parent && ManagementState::counts(held.management_state));
    let Some(held) = held else { return Ok(false) };
    let left = rest(held, &ledger)?;
    let of_the_server = LockedRow { tx: row.tx, payment_id: row.payment_id, by: Actor::SERVER };
    if left == held.amount() {
        let Some(state) = ManagementState::on(held.management_state, Undoing::Unwanted) else { return Ok(false) };
        set_state(&of_the_server, held, state, now).await?;
    } else if left.minor() > 0 {
        let reversal = Model { source: Some(SERVER.to_owned()), ..beside(failed, left, now) };
        audit::insert(&of_the_server, reversal, now).await?;
    }
    Ok(left.minor() > 0)
}

/// A reversal of so much of what another transaction acts on, which nobody has sent.
pub(super) fn beside(other: &Model, amount: Money, now: DateTime<Utc>) -> Model {
    let id = TransactionId::new(now);
    Model {
        id,
        kind: Kind::ReverseAuthorize,
        status: Status::Sent,
        management_state: None,
        amount_minor: amount.minor(),
        reference: id.to_string(),
        provider_reference: None,
        failure_code: None,
        failure_message: None,
        decline: None,
        source: None,
        source_entity_type: None,
        source_entity_id: None,
        sends: 0,
        sent_at: None,
        checks: 0,
        next_check_at: None,
        created_at: now,
        settled_at: None,
        ..other.clone()
    }
}

/// Reverses what is marked, and what is still held for a payment or an order that is closed, one after the other, each once. Where a reversal does not
/// come to a good end, the mark stays, or a case is open.
pub(super) async fn reverse_unwanted(app: &App, payment: &payment::Model, lease: &Lease) -> Result<(), Error> {
    let mut tried = vec![];
    while let Some(step) = next_step(app, payment, &tried).await? {
        match step {
            Step::Send(reversal) => {
                let told = recovery::ask_after(app, payment, &reversal, lease).await?;
                answer::record(app, payment, reversal.id, &told, async |_| Ok(())).await?;
                tried.push(reversal.id);
            }
            Step::Begin => {
                let Some(reversal) = begin_next(app, payment, lease, &tried).await? else { return Ok(()) };
                send(app, payment, reversal, lease).await?;
                let Some(sent) = transaction::by_ids(app.db.read(), &[reversal]).await?.pop() else { return Ok(()) };
                if sent.status == Status::Failed {
                    tracing::warn!(payment = %payment.id, "what is not wanted can't be reversed at this moment");
                }
                tried.extend(sent.parent_id);
            }
        }
    }
    Ok(())
}

/// What there is to do.
enum Step {
    /// This was written down with what made it necessary, and nobody has set out to send it.
    Send(Box<Model>),
    /// Something is to be written down.
    Begin,
}

/// Whether there is anything to reverse: mostly there is not, and then nobody has to hold the lock for it.
async fn next_step(app: &App, payment: &payment::Model, tried: &[TransactionId]) -> Result<Option<Step>, Error> {
    let db = app.db.read();
    let ledger = payments::transactions(db, payment.id).await?;
    if ledger.is_empty() {
        return Ok(None);
    }
    let is_unsent = |row: &&Model| row.status == Status::Sent && row.sends == 0 && !tried.contains(&row.id);
    if let Some(unsent) = ledger.iter().find(is_unsent) {
        return Ok(Some(Step::Send(Box::new(unsent.clone()))));
    }
    let payment = payments::by_id(db, payment.id).await?;
    let order = order::by_id(db, payment.order_id).await?.ok_or(Error::missing(payment.order_id))?;
    Ok(next(&ledger, is_closed(&payment, &order), tried)?.map(|_| Step::Begin))
}

pub(super) fn is_closed(payment: &payment::Model, order: &orders::Model) -> bool {
    payment.status == payment::Status::Archived || order.status == orders::Status::Cancelled
}

/// Writes down the next reversal.
async fn begin_next(
    app: &App,
    payment: &payment::Model,
    lease: &Lease,
    tried: &[TransactionId],
) -> Result<Option<TransactionId>, Error> {
    let tx = app.db.begin_write().await?;
    let order = order::lock(&tx, &Audience::of_the_server(), payment.order_id).await?;
    let held = lease::hold(&tx, lease).await?.of_the_server();
    let payment = payments::by_id(&tx, payment.id).await?;
    let mut ledger = payments::transactions(&tx, payment.id).await?;
    let is_closed = is_closed(&payment, &order);
    let now = app.clock.now();
    let id = loop {
        match next(&ledger, is_closed, tried)? {
            None => {
                tx.commit().await?;
                return Ok(None);
            }
            Some((unwanted, left)) if left == unwanted.amount() => {
                set_state(held.row(), unwanted, ManagementState::ReversalInProgress, now).await?;
                let state = Some(ManagementState::ReversalTransaction);
                break write(&held, unwanted, left, state, now).await?;
            }
            Some((used, left)) if ManagementState::counts(used.management_state) => {
                break write(&held, used, left, None, now).await?;
            }
            // A part of it was used after it was marked, so that it counts.
            Some((used, _)) => clear_state(held.row(), used, now).await?,
        }
        ledger = payments::transactions(&tx, payment.id).await?;
    };
    intent::touch(&tx, &payment, now).await?;
    tx.commit().await?;
    Ok(Some(id))
}

/// The next charge of which something is to be given back, and how much: all of it where it is marked, or where it is an authorization of which
/// nothing was used and the payment is closed; the rest of one that was used, once.
fn next<'a>(
    ledger: &'a [Model],
    is_closed: bool,
    tried: &[TransactionId],
) -> Result<Option<(&'a Model, Money)>, MoneyError> {
    let may_be = |row: &&Model| row.kind.charges() && row.status == Status::Succeeded && !tried.contains(&row.id);
    for row in ledger.iter().filter(may_be) {
        let left = rest(row, ledger)?;
        let is_marked = row.management_state == Some(ManagementState::RequiresReversal);
        let is_closed = is_closed && row.kind == Kind::Authorize;
        let may_be = ManagementState::on(row.management_state, Undoing::Unwanted).is_some();
        let refused = ledger.iter().any(|child| {
            child.parent_id == Some(row.id) && child.status == Status::Failed && child.source.as_deref() == Some(SERVER)
        });
        if is_marked || (is_closed && may_be && left.minor() > 0 && !refused) {
            return Ok(Some((row, left)));
        }
    }
    Ok(None)
}

/// Writes down that so much of a charge is to be given back.
pub(super) async fn write(
    held: &HeldLock<'_>,
    of: &Model,
    amount: Money,
    management_state: Option<ManagementState>,
    now: DateTime<Utc>,
) -> Result<TransactionId, Error> {
    let source = Source { source: Some(SERVER), ..Source::default() };
    let kind = match of.kind {
        Kind::Authorize => Kind::ReverseAuthorize,
        _ => Kind::Refund,
    };
    let intent = Intent { kind, amount, parent: Some(of.id), management_state, source };
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
    let errand = Errand { by: Actor::SERVER, token, purpose: "reverse what is not wanted" };
    let lease = Box::pin(recovery::enter(app, payment, &errand)).await;
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
    tx: &WriteTransaction,
    order: OrderId,
    errand: &Errand<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<payment::Model>, Error> {
    let mut marked = vec![];
    for booked in payments::ledger(tx, order).await?.payments {
        let ledger = payments::transactions(tx, booked.payment.id).await?;
        let holds = |row: &Model| row.kind == Kind::Authorize && row.status != Status::Failed;
        if !ledger.iter().any(holds) {
            continue;
        }
        let held = lease::pass_if_mine(tx, booked.payment.id, errand).await?;
        mark_unwanted(&held, &ledger, now).await?;
        intent::touch(tx, &booked.payment, now).await?;
        marked.push(booked.payment.clone());
    }
    Ok(marked)
}
