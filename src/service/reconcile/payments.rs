//! Transactions that nobody has heard the end of, and those that are marked to be undone (rules R1, R2).

use chrono::{DateTime, Utc};
use entity::{
    id::{PaymentId, TransactionId},
    payment,
    transaction::{ActiveModel, Column, Entity, ManagementState, Model, Status, UNANSWERED},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, EntityTrait, Order, QueryFilter, QueryOrder, UpdateMany,
    sea_query::NullOrdering,
};

use super::{ERRAND, claim_due, is_due, soon};
use crate::{
    app::App,
    auth::Audience,
    error::{Error, Problem},
    service::{
        case::{self, Checks, Question},
        lease, order, payment as payments, recovery,
        transaction::by_ids,
    },
};

pub(super) async fn claim(app: &App, most: u64) -> Result<Vec<Model>, Error> {
    let marked = Column::ManagementState.eq(ManagementState::RequiresReversal);
    let open = Condition::any().add(Column::Status.is_in(UNANSWERED)).add(marked);
    let due = Entity::find()
        .filter(open)
        .filter(Column::Status.ne(Status::Failed))
        .filter(is_due(Column::NextCheckAt, Column::CreatedAt, app.checks.first(), app.clock.now()))
        .order_by_with_nulls(Column::NextCheckAt, Order::Asc, NullOrdering::First);
    claim_due(app, due, most, |found, until| {
        let ids: Vec<TransactionId> = found.iter().map(|row| row.id).collect();
        check_at(&ids, until)
    })
    .await
}

/// They are looked at again then.
fn check_at(ids: &[TransactionId], at: DateTime<Utc>) -> UpdateMany<Entity> {
    let values = ActiveModel { next_check_at: Set(Some(at)), ..ActiveModel::default() };
    Entity::update_many().set(values).filter(Column::Id.is_in(ids.iter().copied()))
}

/// Asks after what is unanswered on a payment, and undoes what is marked, under its lock.
pub(super) async fn settle(app: &App, id: PaymentId, claimed: &[TransactionId]) -> Result<(), Error> {
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
    let tx = app.db.begin_write().await?;
    order::lock(&tx, &Audience::of_the_server(), payment.order_id).await?;
    check_at(claimed, soon(app)).exec(&tx).await?;
    Ok(tx.commit().await?)
}

/// Counts the check of what is still open, and says when the next one is. What the provider does not say of is a case (rule R3).
async fn note_checks(
    app: &App,
    payment: &payment::Model,
    claimed: &[TransactionId],
    silent: &[TransactionId],
) -> Result<(), Error> {
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
