//! Whatever has an id of its own, found by it.

use async_graphql::{Context, ID, Interface};

use super::{
    attempt::PaymentAttempt,
    context::{app, caller},
    failure::Failure,
    input,
    order::Order,
    payment::Payment,
};
use crate::{
    error::{Error, Problem},
    service::{
        attempt::{self, Named},
        order, payment,
    },
};

/// An id is a prefix and a UUIDv7: ord_…, pay_…, att_…, txn_…, rec_…. One of the wrong kind is refused by name.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Its id, with the prefix of its kind."))]
pub enum Node {
    Order(Order),
    Payment(Payment),
    PaymentAttempt(Box<PaymentAttempt>),
}

/// What has this id, where the caller may see it.
pub async fn find(ctx: &Context<'_>, id: ID) -> Result<Option<Node>, Failure> {
    let (app, caller) = (app(ctx), caller(ctx));
    match id.split_once('_').map(|(prefix, _)| prefix) {
        Some("ord") => {
            let row = order::find(app, caller, input::id("id", &id)?).await?;
            Ok(row.map(|row| Node::Order(Order::new(&row))))
        }
        Some("pay") => {
            let booked = payment::find(app, caller, input::id("id", &id)?).await?;
            Ok(booked.map(|booked| Node::Payment(Payment::from(booked))))
        }
        Some("att") => {
            let row = attempt::find(app, caller, Named::Id(input::id("id", &id)?)).await?;
            Ok(row.map(|row| Node::PaymentAttempt(Box::new(PaymentAttempt(row)))))
        }
        _ => {
            let why = "is not the id of an order, a payment or a payment attempt: those begin with ord_, pay_ or att_";
            Err(Error::from(Problem::invalid("id", why)).into())
        }
    }
}
