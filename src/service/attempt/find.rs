//! Attempts as they are found: by their own ids, by the provider's, by ours at the provider, and on their orders.

use entity::{
    attempt::{Column, Entity, Model, OPEN},
    id::{AttemptId, OrderId},
    order as orders, payment as payments, reconciliation,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, JoinType, QueryFilter, QueryOrder, QuerySelect, RelationDef,
};

use crate::{
    app::App,
    auth::{Caller, Scope},
    error::Error,
    service::payment,
};

/// The order's one open attempt (rule T2).
pub async fn open_on(db: &impl ConnectionTrait, order: OrderId) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::OrderId.eq(order)).filter(Column::Status.is_in(OPEN)).one(db).await
}

/// Whether money was reported on the order that was not accepted, and nobody decided yet: charging once more could charge twice.
pub async fn waits_for_decision(db: &impl ConnectionTrait, order: OrderId) -> Result<bool, DbErr> {
    // What could not be given back is no charge, and what is unanswered is reserved.
    let case = reconciliation::Entity::find()
        .join(JoinType::InnerJoin, payment_of_case())
        .filter(payments::Column::OrderId.eq(order))
        .filter(reconciliation::Column::State.eq(reconciliation::State::Open))
        .filter(reconciliation::Column::Reason.is_in(reconciliation::MONEY_UNDECIDED))
        .one(db)
        .await?;
    Ok(case.is_some())
}

pub async fn by_id(db: &impl ConnectionTrait, id: AttemptId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// The attempt whose session was asked for under this reference of ours.
pub async fn by_reference(db: &impl ConnectionTrait, reference: &str) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::Reference.eq(reference)).one(db).await
}

/// The attempts with this id of a provider's session: one, unless two providers use the same ids.
pub async fn by_external_id(db: &impl ConnectionTrait, external_id: &str) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::ExternalId.eq(external_id)).all(db).await
}

/// The attempt with this id of the provider's session, and its order.
pub async fn with_order(
    db: &impl ConnectionTrait,
    provider: &str,
    external_id: &str,
) -> Result<Option<(Model, orders::Model)>, DbErr> {
    let query = Entity::find().filter(Column::ExternalId.eq(external_id)).filter(Column::Provider.eq(provider));
    let found = query.join(JoinType::InnerJoin, order_of_attempt()).select_also(orders::Entity).one(db).await?;
    Ok(found.and_then(|(attempt, order)| Some((attempt, order?))))
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

fn payment_of_case() -> RelationDef {
    let to = payments::Column::Id;
    reconciliation::Entity::belongs_to(payments::Entity).from(reconciliation::Column::PaymentId).to(to).into()
}
