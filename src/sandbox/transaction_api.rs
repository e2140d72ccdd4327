//! The HTTP API for transactions by payment token: it runs them and finds them again.
//!
//! Where a card's first request goes wrong on purpose, it goes wrong here: the store only ever knows what truly happened.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Sandbox;
use super::answer::{Answer, Refusal};
use super::api::{ByReference, check_reference, check_terms, check_web_address};
use super::card::Card;
use super::fault::{self, Fault, Operation};
use super::method::Method;
use super::rows::Key;
use super::store::Created;
use super::transaction::{Instruction, Kind};

#[derive(Deserialize)]
pub struct NewTransaction {
    reference: String,
    kind: Kind,
    amount: i64,
    currency: String,
    /// Missing where what is acted on came by the hosted page: it goes as with `tok_ok` then.
    method: Option<String>,
    parent: Option<String>,
    webhook_url: String,
}

impl NewTransaction {
    fn checked(self) -> Result<Instruction, Refusal> {
        check_terms(&self.reference, self.amount, &self.currency)?;
        check_web_address("webhook_url", &self.webhook_url)?;
        if let Some(parent) = &self.parent {
            check_reference("parent", parent)?;
        }
        if self.kind.acts_on_another() != self.parent.is_some() {
            return Err(Refusal::invalid(
                "parent must be there for capture, reverse_authorize and refund, and for no other.",
            ));
        }
        let method = match self.method {
            Some(method) => method,
            None if self.kind.acts_on_another() => Method::Ok.token().to_owned(),
            None => return Err(Refusal::invalid("method must be there but for what acts on another transaction.")),
        };
        Ok(Instruction {
            reference: self.reference,
            kind: self.kind,
            amount: self.amount,
            currency: self.currency,
            method,
            parent: self.parent,
            webhook_url: self.webhook_url,
        })
    }
}

pub async fn run(State(sandbox): State<Sandbox>, body: Result<Json<NewTransaction>, JsonRejection>) -> Response {
    let armed = sandbox.0.faults.next(Operation::Run);
    fault::meet(armed, async {
        let Json(wanted) = body?;
        carry_out(&sandbox, wanted.checked()?, armed).await
    })
    .await
}

/// Runs a transaction, and lets the first request under its reference meet what its card stands for. A fault that was armed wins.
async fn carry_out(sandbox: &Sandbox, wanted: Instruction, armed: Option<Fault>) -> Result<Response, Refusal> {
    let store = &sandbox.0.store;
    let card = Card::of(&wanted.method);
    let accident = if armed.is_none() { card.accident() } else { None };
    if let Some(answer) = accident.and_then(Fault::instead_of_work)
        && store.is_first_request(&wanted.reference).await?
    {
        return Ok(answer);
    }
    let course = card.course(wanted.kind, wanted.amount, armed);
    let run = store.run(wanted, course).await?;
    sandbox.0.news.notify_one();
    match run {
        Created::New(transaction) => {
            let answer = Answer::transaction(StatusCode::CREATED, &transaction)?.into_response();
            Ok(fault::after_work(accident, answer).await)
        }
        Created::Same(transaction) => Ok(Answer::transaction(StatusCode::OK, &transaction)?.into_response()),
        Created::Reused => Err(Refusal::new(
            StatusCode::CONFLICT,
            "reference_reused",
            "This reference belongs to a transaction of another kind, amount, currency, parent or method.",
        )),
    }
}

pub async fn find(State(sandbox): State<Sandbox>, Path(id): Path<String>) -> Response {
    let fault = sandbox.0.faults.next(Operation::FindTransaction);
    fault::meet(fault, look_up(&sandbox, Key::Id(&id))).await
}

pub async fn find_by_reference(
    State(sandbox): State<Sandbox>,
    query: Result<Query<ByReference>, QueryRejection>,
) -> Response {
    let fault = sandbox.0.faults.next(Operation::FindTransaction);
    fault::meet(fault, async {
        let Query(ByReference { reference }) = query?;
        look_up(&sandbox, Key::Reference(&reference)).await
    })
    .await
}

async fn look_up(sandbox: &Sandbox, key: Key<'_>) -> Result<Answer, Refusal> {
    let transaction = sandbox.0.store.find_transaction(key).await?.ok_or_else(Refusal::no_such_transaction)?;
    Answer::transaction(StatusCode::OK, &transaction)
}
