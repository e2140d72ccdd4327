//! The HTTP API for the shop's server: it opens, finds and cancels sessions, and shows what money really did.
//!
//! A session's money is moved by a press on the payment page only; transactions have an API of their own beside this one, under
//! the same key. Without the key nothing is answered.

use axum::Json;
use axum::Router;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hmac::Mac;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Refusal};
use super::fault::{self, Fault, Operation};
use super::ledger::Movement;
use super::method::{Method, Outcome};
use super::rows::Key;
use super::session::{Session, State as Life};
use super::store::{Change, Created, Wish};
use super::{Sandbox, api_key, authenticator, transaction_api};

pub fn router(sandbox: &Sandbox) -> Router {
    Router::new()
        .route("/v1/sessions", post(create).get(find_by_reference))
        .route("/v1/sessions/{id}", get(find))
        .route("/v1/sessions/{id}/cancel", post(cancel))
        .route("/v1/transactions", post(transaction_api::run).get(transaction_api::find_by_reference))
        .route("/v1/transactions/{id}", get(transaction_api::find))
        .route("/v1/ledger", get(ledger))
        .route("/v1/faults", post(arm))
        .route_layer(middleware::from_fn_with_state(sandbox.clone(), only_with_the_key))
        .with_state(sandbox.clone())
}

async fn only_with_the_key(State(sandbox): State<Sandbox>, request: Request, next: Next) -> Response {
    let secret = &sandbox.0.secret.0;
    let given =
        request.headers().get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    // Two authentication codes are compared in the same time wherever they differ, and whatever the length of what was given.
    let code = |key: &[u8]| authenticator(secret).chain_update(key).finalize();
    if given.is_some_and(|given| code(given) == code(api_key(secret).as_bytes())) {
        return next.run(request).await;
    }
    Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", "The API needs its key as a bearer token.").into_response()
}

#[derive(Deserialize)]
struct NewSession {
    reference: String,
    amount: i64,
    currency: String,
    return_url: Option<String>,
    webhook_url: String,
    description: Option<String>,
}

impl NewSession {
    fn checked(self) -> Result<Wish, Refusal> {
        check_terms(&self.reference, self.amount, &self.currency)?;
        check_web_address("webhook_url", &self.webhook_url)?;
        if let Some(return_url) = &self.return_url {
            check_web_address("return_url", return_url)?;
        }
        if self.description.as_ref().is_some_and(|text| text.chars().count() > 500) {
            return Err(Refusal::invalid("description must have at most 500 characters."));
        }
        Ok(Wish {
            reference: self.reference,
            amount: self.amount,
            currency: self.currency,
            return_url: self.return_url,
            webhook_url: self.webhook_url,
            description: self.description,
        })
    }
}

/// What is asked of a name and a price, whatever they are for.
pub fn check_terms(reference: &str, amount: i64, currency: &str) -> Result<(), Refusal> {
    check_reference("reference", reference)?;
    if amount < 1 {
        return Err(Refusal::invalid("amount must be above zero, in the currency's smallest unit."));
    }
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(Refusal::invalid("currency must be an ISO 4217 code, such as EUR."));
    }
    Ok(())
}

pub fn check_reference(field: &str, text: &str) -> Result<(), Refusal> {
    match text.chars().count() {
        1..=255 => Ok(()),
        _ => Err(Refusal::invalid(format!("{field} must have 1 to 255 characters."))),
    }
}

pub fn check_web_address(field: &str, text: &str) -> Result<(), Refusal> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(()),
        _ => Err(Refusal::invalid(format!("{field} must be an http or https URL."))),
    }
}

async fn create(State(sandbox): State<Sandbox>, body: Result<Json<NewSession>, JsonRejection>) -> Response {
    let fault = sandbox.0.faults.next(Operation::Create);
    fault::meet(fault, async {
        let Json(wanted) = body?;
        let created = sandbox.0.store.create(wanted.checked()?).await?;
        sandbox.0.news.notify_one();
        match created {
            Created::New(session) => Answer::session(StatusCode::CREATED, &sandbox, &session),
            Created::Same(session) => Answer::session(StatusCode::OK, &sandbox, &session),
            Created::Reused => Err(Refusal::new(
                StatusCode::CONFLICT,
                "reference_reused",
                "This reference belongs to a session for another amount or currency.",
            )),
        }
    })
    .await
}

#[derive(Deserialize)]
pub struct ByReference {
    pub reference: String,
}

async fn find(State(sandbox): State<Sandbox>, Path(id): Path<String>) -> Response {
    let fault = sandbox.0.faults.next(Operation::Find);
    fault::meet(fault, look_up(&sandbox, Key::Id(&id))).await
}

async fn find_by_reference(
    State(sandbox): State<Sandbox>,
    query: Result<Query<ByReference>, QueryRejection>,
) -> Response {
    let fault = sandbox.0.faults.next(Operation::Find);
    fault::meet(fault, async {
        let Query(ByReference { reference }) = query?;
        look_up(&sandbox, Key::Reference(&reference)).await
    })
    .await
}

async fn look_up(sandbox: &Sandbox, key: Key<'_>) -> Result<Answer, Refusal> {
    let session = sandbox.0.store.find(key).await?.ok_or_else(Refusal::no_such_session)?;
    Answer::session(StatusCode::OK, sandbox, &session)
}

async fn cancel(State(sandbox): State<Sandbox>, Path(id): Path<String>) -> Response {
    let fault = sandbox.0.faults.next(Operation::Cancel);
    fault::meet(fault, async {
        if fault == Some(Fault::SucceedFirst) {
            sandbox.0.store.press(&id, Outcome::Pay, Method::Ok).await?;
        }
        let change = sandbox.0.store.cancel(&id).await?.ok_or_else(Refusal::no_such_session)?;
        sandbox.0.news.notify_one();
        let (Change::Made(session) | Change::TooLate(session)) = change;
        without_money(&sandbox, &session)
    })
    .await
}

/// Over without money, one way or another: that is what a cancellation asks for. Anything else refuses it.
fn without_money(sandbox: &Sandbox, session: &Session) -> Result<Answer, Refusal> {
    let (code, message) = match session.state {
        Life::Open | Life::Failed(_) | Life::Cancelled | Life::Expired => {
            return Answer::session(StatusCode::OK, sandbox, session);
        }
        Life::Succeeded { .. } => ("session_succeeded", "The money has moved already."),
        Life::Processing { .. } => ("session_processing", "The money is on its way already."),
    };
    let answer = Answer::session(StatusCode::CONFLICT, sandbox, session)?;
    Err(Refusal::new(StatusCode::CONFLICT, code, message).showing(answer))
}

#[derive(Serialize)]
struct Ledger {
    movements: Vec<Movement>,
}

#[derive(Deserialize)]
struct Part {
    reference: Option<String>,
}

async fn ledger(
    State(sandbox): State<Sandbox>,
    query: Result<Query<Part>, QueryRejection>,
) -> Result<Json<Ledger>, Refusal> {
    let Query(Part { reference }) = query?;
    Ok(Json(Ledger { movements: sandbox.0.store.movements(reference.as_deref()).await? }))
}

#[derive(Deserialize)]
struct Arm {
    operation: Operation,
    fault: Fault,
    times: usize,
}

async fn arm(State(sandbox): State<Sandbox>, body: Result<Json<Arm>, JsonRejection>) -> Result<StatusCode, Refusal> {
    let Json(Arm { operation, fault, times }) = body?;
    if times > 1000 || !fault.suits(operation) {
        return Err(Refusal::invalid(
            "times is at most 1000; a cancellation alone can meet succeed_first and can't other_currency, and a transaction alone declined or pending.",
        ));
    }
    sandbox.0.faults.arm(operation, fault, times);
    Ok(StatusCode::NO_CONTENT)
}
