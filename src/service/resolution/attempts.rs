//! Decisions about the money of a session (rules R3, T5).

use entity::{
    attempt::{self, News},
    money::Money,
    order as orders, payment as payment_row,
    reconciliation::Step,
    transaction::{Failure, ManagementState},
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};

use super::{Scene, Todo};
use crate::{
    error::{Error, Problem},
    service::{answer::Recorded, lease::HeldLock, order, payment as payments, settle},
};

/// Carries out what was decided about a session's money.
pub(super) async fn decide(
    step: Step,
    scene: &Scene<'_>,
    attempt: attempt::Model,
    order: orders::Model,
) -> Result<Todo, Error> {
    let &Scene { held, now, .. } = scene;
    let row = held.row();
    let reported = scene.case.reported().unwrap_or(attempt.amount());
    if matches!(step, Step::TakeIn | Step::TakeInUnwanted) && settle::booked_of(held.tx(), &attempt).await?.is_some() {
        let why = "can't be that: money of this attempt is in the books already; settle the rest at the provider, and WRITE_OFF";
        return Err(Problem::invalid("resolution", why).into());
    }
    match step {
        Step::TakeIn => {
            make_room(held, reported).await?;
            let was_open = order.status == orders::Status::AwaitingPayment;
            let id = order.id;
            settle::accept(row, &attempt, order, reported, now).await?;
            let after = order::by_id(held.tx(), id).await?.ok_or(Error::missing(id))?;
            let paid = was_open && after.status == orders::Status::Paid;
            Ok(Todo { recorded: Recorded { paid, unwanted: false }, ..Todo::default() })
        }
        Step::TakeInUnwanted => {
            settle::book(row, &attempt, reported, Some(ManagementState::RequiresReversal), now).await?;
            if let Some(to) = attempt.status.on(News::MoneyRefused) {
                settle::advance(row, &attempt, to, None, now).await?;
            }
            archive(held).await?;
            Ok(Todo { recorded: Recorded { paid: false, unwanted: true }, ..Todo::default() })
        }
        Step::GiveUp => {
            let Some(failed) = attempt.status.on(News::Failed) else {
                archive(held).await?;
                return Ok(Todo::default());
            };
            let message = "Somebody decided that nothing came of it.".to_owned();
            let failure = Failure { code: "written_off".into(), message, decline: None };
            settle::advance(row, &attempt, failed, Some(&failure), now).await?;
            Ok(Todo { given_up: Some(attempt), ..Todo::default() })
        }
        Step::Leave | Step::Ask | Step::GiveBack | Step::ReverseAgain | Step::Reversed => Ok(Todo::default()),
    }
}

/// A payment is at least as much as was taken for it.
async fn make_room(held: &HeldLock<'_>, taken: Money) -> Result<(), Error> {
    let payment = payments::by_id(held.tx(), held.payment_id()).await?;
    if payment.amount().covers(taken)? {
        return Ok(());
    }
    change_payment(held, payment_row::Column::AmountMinor, Expr::value(taken.minor())).await
}

/// Nothing counts on it towards its order any more.
async fn archive(held: &HeldLock<'_>) -> Result<(), Error> {
    change_payment(held, payment_row::Column::Status, Expr::value(payment_row::Status::Archived)).await
}

async fn change_payment(held: &HeldLock<'_>, column: payment_row::Column, value: Expr) -> Result<(), Error> {
    let change = payment_row::Entity::update_many().col_expr(column, value);
    change.filter(payment_row::Column::Id.eq(held.payment_id())).exec(held.tx()).await?;
    Ok(())
}
