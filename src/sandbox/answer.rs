//! What the API says: a session or a transaction, or why not, in one shape each.
//!
//! Decides nothing. What broke inside goes to the log and not to the caller.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::session::Session;
use super::transaction::Transaction;
use super::{Sandbox, SandboxError};

/// A session or a transaction, as the API answers with it.
pub struct Answer {
    status: StatusCode,
    body: Value,
}

impl Answer {
    pub fn session(status: StatusCode, sandbox: &Sandbox, session: &Session) -> Result<Self, Refusal> {
        Self::showing(status, session.shown(&sandbox.0.public_url))
    }

    pub fn transaction(status: StatusCode, transaction: &Transaction) -> Result<Self, Refusal> {
        Self::showing(status, transaction.shown())
    }

    fn showing(status: StatusCode, shown: impl Serialize) -> Result<Self, Refusal> {
        let body = serde_json::to_value(shown).map_err(SandboxError::Encoding)?;
        Ok(Self { status, body })
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

/// Anything but what was asked for.
pub struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    session: Option<Value>,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), session: None }
    }

    /// The refusal, with the session that is the reason for it.
    pub fn showing(self, answer: Answer) -> Self {
        Self { session: Some(answer.body), ..self }
    }

    pub fn no_such_session() -> Self {
        Self::new(StatusCode::NOT_FOUND, "session_not_found", "There is no such session.")
    }

    pub fn no_such_transaction() -> Self {
        Self::new(StatusCode::NOT_FOUND, "transaction_not_found", "There is no such transaction.")
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = json!({ "code": self.code, "message": self.message });
        let body = match self.session {
            Some(session) => json!({ "error": error, "session": session }),
            None => json!({ "error": error }),
        };
        (self.status, Json(body)).into_response()
    }
}

impl From<SandboxError> for Refusal {
    fn from(error: SandboxError) -> Self {
        tracing::error!(%error, "a call of the sandbox failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The sandbox failed; its log says how.")
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "invalid_request", rejection.body_text())
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), "invalid_request", rejection.body_text())
    }
}
