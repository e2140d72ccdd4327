//! What the sandbox answers and tells, as it stands in its JSON, and read with suspicion: what makes no sense is no answer (rule P8).

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use entity::{
    attempt::{ClientSecret, Report},
    money::Money,
    transaction::{Decline, Failure, ProviderReference},
};
use serde::Deserialize;

use crate::provider::{About, Answer, Answered, CallError, Notice, Session, SessionNews, WebhookError};

/// A session, or why there is none.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum SessionAnswer {
    Session(Shown),
    /// The session stands beside the error where it ended before it could be cancelled.
    Error {
        error: Refusal,
        session: Option<Shown>,
    },
}

/// Why something was not done.
#[derive(Deserialize)]
pub(super) struct Refusal {
    code: String,
}

#[derive(Deserialize)]
pub(super) struct Shown {
    id: String,
    reference: Option<String>,
    amount: i64,
    currency: String,
    status: String,
    amount_received: Option<i64>,
    currency_received: Option<String>,
    redirect_url: String,
    client_secret: String,
    expires_at: DateTime<Utc>,
    failure: Option<ShownFailure>,
}

#[derive(Deserialize)]
struct ShownFailure {
    code: String,
    message: String,
    decline: Option<String>,
}

/// A transaction, or why there is none.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum TransactionAnswer {
    Transaction(Box<ShownTransaction>),
    Error { error: Refusal },
}

#[derive(Deserialize)]
pub(super) struct ShownTransaction {
    id: String,
    reference: String,
    amount: i64,
    currency: String,
    status: String,
    amount_moved: Option<i64>,
    currency_moved: Option<String>,
    amount_released: Option<i64>,
    failure: Option<ShownFailure>,
}

impl ShownTransaction {
    /// The transaction, if it makes sense: one that succeeded says how much money moved, and no text holds what a database can't.
    fn read(self) -> Option<(String, Answer)> {
        let (status, minor, currency) = match (self.status.as_str(), self.amount_moved, self.currency_moved) {
            ("succeeded", Some(minor), Some(currency)) => (Answered::Succeeded, minor, currency),
            ("pending", None, None) => (Answered::Pending, self.amount, self.currency),
            ("failed", None, None) => (Answered::Failed, self.amount, self.currency),
            _ => return None,
        };
        let amount = Money::new(minor, currency.parse().ok()?);
        let failure = self.failure.map(ShownFailure::read);
        let texts = [
            Some(&self.id),
            Some(&self.reference),
            failure.as_ref().map(|it| &it.code),
            failure.as_ref().map(|it| &it.message),
        ];
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return None;
        }
        let released = self.amount_released.map(|minor| Money::new(minor, amount.currency()));
        let provider_reference = ProviderReference(self.id);
        Some((self.reference, Answer { status, amount, released, provider_reference, failure }))
    }
}

/// The transaction that an answer shows, if it is the one of this reference.
pub(super) fn transaction(
    (status, answer): (StatusCode, TransactionAnswer),
    reference: &str,
) -> Result<Answer, CallError> {
    match answer {
        TransactionAnswer::Transaction(shown) if status.is_success() => match shown.read() {
            Some((of, said)) if of == reference => Ok(said),
            _ => Err(unreadable()),
        },
        TransactionAnswer::Transaction(_) => Err(unreadable()),
        TransactionAnswer::Error { error } if status.is_client_error() => Err(CallError::Refused(error.code)),
        TransactionAnswer::Error { .. } => Err(unreadable()),
    }
}

/// The transaction of this reference, if the answer does not say that there is none.
pub(super) fn transaction_if_any(
    answer: (StatusCode, TransactionAnswer),
    reference: &str,
) -> Result<Option<Answer>, CallError> {
    match answer {
        (StatusCode::NOT_FOUND, TransactionAnswer::Error { error }) if error.code == "transaction_not_found" => {
            Ok(None)
        }
        answer => transaction(answer, reference).map(Some),
    }
}

#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: EventData,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum EventData {
    Session(Shown),
    Transaction(ShownTransaction),
}

impl Shown {
    /// The session, if it makes sense: one that succeeded says how much money moved, and no text holds what a database can't.
    fn read(self) -> Option<Session> {
        let report = report(&self.status)?;
        let (minor, currency) = match (report, self.amount_received, self.currency_received) {
            (Report::Succeeded, Some(minor), Some(currency)) => (minor, currency),
            (Report::Succeeded, ..) => return None,
            _ => (self.amount, self.currency),
        };
        let failure = self.failure.map(ShownFailure::read);
        let texts = [
            Some(&self.id),
            Some(&self.redirect_url),
            Some(&self.client_secret),
            self.reference.as_ref(),
            failure.as_ref().map(|it| &it.code),
            failure.as_ref().map(|it| &it.message),
        ];
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return None;
        }
        Some(Session {
            report,
            amount: Money::new(minor, currency.parse().ok()?),
            external_id: self.id,
            redirect_url: Some(self.redirect_url),
            client_secret: Some(ClientSecret(self.client_secret)),
            failure,
            expires_at: Some(self.expires_at),
        })
    }
}

impl ShownFailure {
    fn read(self) -> Failure {
        Failure {
            decline: match self.decline.as_deref() {
                Some("soft") => Some(Decline::Soft),
                Some("hard") => Some(Decline::Hard),
                _ => None,
            },
            code: self.code,
            message: self.message,
        }
    }
}

fn report(status: &str) -> Option<Report> {
    Some(match status {
        "open" | "pending" => Report::Pending,
        "processing" => Report::Processing,
        "succeeded" => Report::Succeeded,
        "failed" => Report::Failed,
        "cancelled" => Report::Cancelled,
        "expired" => Report::Expired,
        _ => return None,
    })
}

fn unreadable() -> CallError {
    CallError::Unknown("the provider's answer can't be read".into())
}

/// The session that an answer shows.
pub(super) fn session((status, answer): (StatusCode, SessionAnswer)) -> Result<Session, CallError> {
    match answer {
        SessionAnswer::Session(shown) if status.is_success() => shown.read().ok_or_else(unreadable),
        SessionAnswer::Session(_) => Err(unreadable()),
        SessionAnswer::Error { error, .. } if status.is_client_error() => Err(CallError::Refused(error.code)),
        SessionAnswer::Error { .. } => Err(unreadable()),
    }
}

/// The session that an answer shows, if it does not say that there is none.
pub(super) fn session_if_any(answer: (StatusCode, SessionAnswer)) -> Result<Option<Session>, CallError> {
    match answer {
        (StatusCode::NOT_FOUND, SessionAnswer::Error { error, .. }) if error.code == "session_not_found" => Ok(None),
        answer => session(answer).map(Some),
    }
}

/// The session as it ended, whether or not it could be cancelled.
pub(super) fn ended_session(answer: (StatusCode, SessionAnswer)) -> Result<Session, CallError> {
    match answer {
        // Too late to cancel: the session says what it came to instead.
        (StatusCode::CONFLICT, SessionAnswer::Error { session: Some(shown), .. }) => {
            shown.read().ok_or_else(unreadable)
        }
        answer => session(answer),
    }
}

/// Reads a webhook's body.
pub(super) fn event(body: &[u8]) -> Result<Notice, WebhookError> {
    let event: Event = serde_json::from_slice(body).map_err(|_| WebhookError::Unreadable)?;
    if event.id.contains('\0') {
        return Err(WebhookError::Unreadable);
    }
    let about = event.data.read(&event.kind).ok_or(WebhookError::Unreadable)?;
    Ok(Notice { event_id: event.id, about })
}

impl EventData {
    /// What an event of this type tells. One whose type and body contradict each other tells nothing.
    fn read(self, kind: &str) -> Option<About> {
        match self {
            Self::Session(shown) => {
                let told = kind.strip_prefix("session.").and_then(report)?;
                let reference = shown.reference.clone();
                let Session { external_id, report, amount, failure, .. } = shown.read()?;
                let agrees = (told == Report::Succeeded) == (report == Report::Succeeded);
                agrees.then_some(About::Session(SessionNews { external_id, reference, report: told, amount, failure }))
            }
            Self::Transaction(shown) => {
                let agrees = kind.strip_prefix("transaction.") == Some(shown.status.as_str());
                let (reference, answer) = shown.read()?;
                agrees.then_some(About::Transaction { reference, answer })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_body_is_an_event_or_refused(body: Vec<u8>, text in r#"\{"id":"[a-z]{0,3}","type":"(session|transaction)\.[a-z]{0,10}","data":\{.{0,60}\}\}"#) {
            for body in [&body[..], text.as_bytes()] {
                let _ = event(body);
            }
        }
    }
}
