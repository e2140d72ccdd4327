//! The HTTP API for the shop's server: it opens, finds and cancels sessions, and shows what money really did.
//!
//! Takes no card and moves no money: only a press on the payment page does that. Without the key it answers nothing.

use axum::Json;
use axum::Router;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use hmac::Mac;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Refusal};
use super::fault::{self, Fault, Operation};
use super::method::{Method, Outcome};
use super::rows::{Key, MovementRow, time};
use super::session::{Session, State as Life};
use super::store::{Change, Created, Wish};
use super::{Sandbox, api_key, authenticator};

pub fn router(sandbox: &Sandbox) -> Router {
    Router::new()
        .route("/v1/sessions", post(create).get(find_by_reference))
        .route("/v1/sessions/{id}", get(find))
        .route("/v1/sessions/{id}/cancel", post(cancel))
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
        let invalid = |message| Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", message);
        if !(1..=255).contains(&self.reference.chars().count()) {
            return Err(invalid("reference must have 1 to 255 characters."));
        }
        if self.amount < 1 {
            return Err(invalid("amount must be above zero, in the currency's smallest unit."));
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(invalid("currency must be an ISO 4217 code, such as EUR."));
        }
        if !is_web_address(&self.webhook_url) || !self.return_url.as_deref().is_none_or(is_web_address) {
            return Err(invalid("webhook_url and return_url must be http or https URLs."));
        }
        if self.description.as_ref().is_some_and(|text| text.chars().count() > 500) {
            return Err(invalid("description must have at most 500 characters."));
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

fn is_web_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

async fn create(State(sandbox): State<Sandbox>, body: Result<Json<NewSession>, JsonRejection>) -> Response {
    let fault = sandbox.0.faults.next(Operation::Create);
    fault::meet(fault, async {
        let Json(wanted) = body?;
        let created = sandbox.0.store.create(wanted.checked()?).await?;
        sandbox.0.news.notify_one();
        match created {
            Created::New(session) => Answer::new(StatusCode::CREATED, &sandbox, &session),
            Created::Same(session) => Answer::new(StatusCode::OK, &sandbox, &session),
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
struct ByReference {
    reference: String,
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
    Answer::new(StatusCode::OK, sandbox, &session)
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
            return Answer::new(StatusCode::OK, sandbox, session);
        }
        Life::Succeeded { .. } => ("session_succeeded", "The money has moved already."),
        Life::Processing { .. } => ("session_processing", "The money is on its way already."),
    };
    let answer = Answer::new(StatusCode::CONFLICT, sandbox, session)?;
    Err(Refusal::new(StatusCode::CONFLICT, code, message).showing(answer))
}

#[derive(Serialize)]
struct Ledger {
    movements: Vec<Movement>,
}

#[derive(Serialize)]
struct Movement {
    id: String,
    reference: String,
    session_id: String,
    kind: String,
    amount: i64,
    currency: String,
    at: Option<DateTime<Utc>>,
}

impl From<MovementRow> for Movement {
    fn from(row: MovementRow) -> Self {
        Self {
            id: row.id,
            reference: row.reference,
            session_id: row.session_id,
            kind: row.kind,
            amount: row.amount,
            currency: row.currency,
            at: time(row.at),
        }
    }
}

async fn ledger(
    State(sandbox): State<Sandbox>,
    query: Result<Query<ByReference>, QueryRejection>,
) -> Result<Json<Ledger>, Refusal> {
    let Query(ByReference { reference }) = query?;
    let movements = sandbox.0.store.movements(&reference).await?.into_iter().map(Movement::from).collect();
    Ok(Json(Ledger { movements }))
}

#[derive(Deserialize)]
struct Arm {
    operation: Operation,
    fault: Fault,
    times: usize,
}

async fn arm(State(sandbox): State<Sandbox>, body: Result<Json<Arm>, JsonRejection>) -> Result<StatusCode, Refusal> {
    let Json(Arm { operation, fault, times }) = body?;
    if times > 1000 || (fault == Fault::SucceedFirst && operation != Operation::Cancel) {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "times is at most 1000, and only a cancellation can meet succeed_first.",
        ));
    }
    sandbox.0.faults.arm(operation, fault, times);
    Ok(StatusCode::NO_CONTENT)
}
