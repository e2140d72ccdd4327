//! A person's decision about a case, carried out under the lock of its payment (rules R3, K1).
//!
//! What a decision comes to is said by [`entity::reconciliation::step`]; here it is done, with the case closed in the same transaction. What is to be
//! given back is sent after it.

mod attempts;
mod transactions;

use chrono::{DateTime, Utc};
use entity::{
    attempt,
    id::{CaseId, TransactionId},
    order as orders, payment as payment_row,
    reconciliation::{Model, Reason, Resolution, State, Step, Subject, step},
    transaction,
};

use super::{
    answer::{self, Recorded},
    attempt as attempt_rows, case, intent,
    lease::{self, Errand, HeldLock, Lease},
    order, payment as payments, recovery, reversal, session,
};
use crate::{
    app::App,
    auth::{Audience, Caller, Scope},
    error::{Error, Problem, Read},
};

/// What somebody decided, and what they went by.
#[derive(Clone, Debug)]
pub struct Decision {
    pub case_id: CaseId,
    pub resolution: Resolution,
    pub evidence: String,
}

/// What is to be done once the decision is committed.
#[derive(Default)]
struct Todo {
    recorded: Recorded,
    sends: Vec<TransactionId>,
    /// Of this attempt nothing is to come any more, and there may be a session of it that nobody knows.
    given_up: Option<attempt::Model>,
}

/// Where a decision is carried out.
struct Scene<'a> {
    held: &'a HeldLock<'a>,
    case: &'a Model,
    /// Whether a capture ends its authorization at this provider (rule P10).
    captures_end_authorizations: bool,
    now: DateTime<Utc>,
}

/// Carries out a decision. The same decision again gives the case as it is. Needs `payments:reconcile`.
pub async fn resolve_reconciliation_case(app: &App, caller: &Caller, decision: Read<Decision>) -> Result<Model, Error> {
    caller.require(Scope::PaymentsReconcile)?;
    let decision = decision?;
    let case = case::by_id(app.db.read(), decision.case_id).await?;
    if case.state == State::Resolved {
        return already(case, &decision);
    }
    let payment = payments::by_id(app.db.read(), case.payment_id).await?;
    let errand = Errand { by: caller.actor(), token: None, purpose: "resolveReconciliationCase" };
    let lease = lease::acquire(app, payment.id, &errand).await?;
    let carried_out = Box::pin(carry_out(app, caller, &payment, &decision, &lease)).await;
    lease::leave(app, &lease).await;
    carried_out?;
    case::by_id(app.db.read(), case.id).await
}

fn already(case: Model, decision: &Decision) -> Result<Model, Error> {
    // Where the provider's answer has settled it, there is nothing to ask any more.
    if case.resolution.unwrap_or(Resolution::Recheck) == decision.resolution {
        return Ok(case);
    }
    let by = case.resolved_by.unwrap_or_default();
    Err(Problem::invalid("caseId", format!("was resolved by {by} meanwhile")).into())
}

async fn carry_out(
    app: &App,
    caller: &Caller,
    payment: &payment_row::Model,
    decision: &Decision,
    lease: &Lease,
) -> Result<(), Error> {
    let asked = decision.resolution == Resolution::Recheck;
    let answered = asked && Box::pin(ask(app, payment, decision.case_id, lease)).await?;
    let tx = app.db.begin_write().await?;
    let now = app.clock.now();
    let order = order::lock(&tx, &Audience::of_the_server(), payment.order_id).await?;
    let held = lease::hold(&tx, lease).await?;
    let case = case::by_id(&tx, decision.case_id).await?;
    if case.state == State::Resolved {
        // The provider has answered, or somebody was quicker.
        return if asked { Ok(()) } else { already(case, decision).map(drop) };
    }
    let subject = Booked::of(&held, &case).await?;
    let step = step(case.reason, subject.subject(&case), decision.resolution)
        .map_err(|why| Problem::invalid("resolution", why))?;
    let mut todo = Todo::default();
    if step == Step::Ask && !answered {
        case::asked_once_more(&tx, &case).await?;
    } else {
        // Before anything else, so that an answer which settles the case by itself finds it decided.
        case::resolve(&tx, &case, caller, decision.resolution, &decision.evidence, now).await?;
        let provider = app.providers.named(&payment.provider);
        let captures_end_authorizations =
            provider.is_some_and(|provider| provider.capabilities().partial_capture_ends_authorization);
        let scene = Scene { held: &held, case: &case, captures_end_authorizations, now };
        todo = Box::pin(subject.takes(step, &scene, order)).await?;
        intent::touch(&tx, payment, now).await?;
    }
    tx.commit().await?;
    Box::pin(finish(app, payment, todo, lease)).await
}

/// Sends what is to be given back, and ends what must not be paid any more.
async fn finish(app: &App, payment: &payment_row::Model, todo: Todo, lease: &Lease) -> Result<(), Error> {
    if todo.recorded.paid {
        lease::keep(app, lease, session::end_leftover(app, payment.order_id)).await?;
    }
    if let Some(attempt) = todo.given_up
        && let Err(error) = lease::keep(app, lease, session::ask_again(app, &attempt)).await
    {
        tracing::warn!(attempt = %attempt.id, ?error, "whether a session was opened for it can't be found out now");
    }
    for id in todo.sends {
        reversal::send(app, payment, id, lease).await?;
    }
    if todo.recorded.unwanted {
        Box::pin(reversal::reverse_unwanted(app, payment, lease)).await?;
    }
    Ok(())
}

/// Asks the provider how that stands which a case is about, and records what it says. Gives whether that is an answer to the case: it says by now what
/// the books say.
async fn ask(app: &App, payment: &payment_row::Model, id: CaseId, lease: &Lease) -> Result<bool, Error> {
    let case = case::by_id(app.db.read(), id).await?;
    if case.reason == Reason::FailedReversal {
        return Ok(false);
    }
    if let Some(id) = case.transaction_id {
        let row = answer::by_id(app.db.read(), id).await?;
        if row.status.is_unanswered() {
            recovery::settle(app, payment, &[row], lease).await?;
            return Ok(!answer::by_id(app.db.read(), id).await?.status.is_unanswered());
        }
        let agrees = Box::pin(recovery::compare(app, payment, &row, lease)).await?;
        // That money came for an order which wants none is no less so because the provider says it again.
        let is_about_the_amount = case.reason == Reason::AmountMismatch;
        return Ok(agrees && (is_about_the_amount || case.reported_status != Some(row.status)));
    }
    let id = case.attempt_id.ok_or_else(|| Error::Fault(format!("{} is about nothing", case.id)))?;
    let before = attempt_rows::by_id(app.db.read(), id).await?.ok_or(Error::missing(id))?;
    lease::keep(app, lease, session::ask_again(app, &before)).await?;
    let after = attempt_rows::by_id(app.db.read(), id).await?.ok_or(Error::missing(id))?;
    Ok(after.status == attempt::Status::Succeeded && before.status != after.status)
}

/// What a case is about, as it is in the books.
enum Booked {
    Attempt(Box<attempt::Model>),
    Transaction(Box<transaction::Model>, Vec<transaction::Model>),
}

impl Booked {
    async fn of(held: &HeldLock<'_>, case: &Model) -> Result<Self, Error> {
        if let Some(id) = case.transaction_id {
            let row = answer::by_id(held.tx(), id).await?;
            let ledger = payments::transactions(held.tx(), case.payment_id).await?;
            return Ok(Self::Transaction(Box::new(row), ledger));
        }
        let id = case.attempt_id.ok_or_else(|| Error::Fault(format!("{} is about nothing", case.id)))?;
        let row = attempt_rows::by_id(held.tx(), id).await?.ok_or(Error::missing(id))?;
        Ok(Self::Attempt(Box::new(row)))
    }

    fn subject(&self, case: &Model) -> Subject {
        match self {
            Self::Attempt(row) => Subject::Attempt(row.status),
            Self::Transaction(row, _) => {
                Subject::Transaction { kind: row.kind, status: row.status, reported: case.reported_status }
            }
        }
    }

    async fn takes(self, step: Step, scene: &Scene<'_>, order: orders::Model) -> Result<Todo, Error> {
        match self {
            Self::Attempt(row) => attempts::decide(step, scene, *row, order).await,
            Self::Transaction(row, ledger) => transactions::decide(step, scene, *row, &ledger, order).await,
        }
    }
}
