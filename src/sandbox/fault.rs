//! Things that go wrong on demand: a test arms a fault, and the next calls of that kind meet it.
//!
//! Remembers nothing beyond the process, and touches neither the payment page nor the webhooks: those have test methods.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::{Json, RequestExt};
use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer::Refusal;

/// Longer than a caller with sense waits.
const SLOW: Duration = Duration::from_secs(5);

/// Between one byte and the next.
const DROP: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum Operation {
    #[serde(rename = "create_session")]
    Create,
    #[serde(rename = "find_session")]
    Find,
    #[serde(rename = "cancel_session")]
    Cancel,
    #[serde(rename = "run_transaction")]
    Run,
    #[serde(rename = "find_transaction")]
    FindTransaction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The work is done and the connection is cut: the caller cannot know.
    AnswerLost,
    /// The connection is cut and nothing was done: the caller cannot know that either.
    RequestLost,
    #[serde(rename = "error_500")]
    Error500,
    Slow,
    /// A refusal that is sure: nothing was done.
    Rejected,
    /// Turned away at the door, with nothing done; but whoever guards the door may not know.
    #[serde(rename = "error_429")]
    Error429,
    /// The work is done, and what comes back is nobody's JSON.
    Garbage,
    /// The work is done, and the answer comes a byte at a time, longer than a caller with sense reads.
    SlowDrip,
    /// The work is done, and the answer speaks of another currency.
    OtherCurrency,
    /// The shopper pays just before the cancellation arrives.
    SucceedFirst,
    /// The card is declined for now, and the transaction fails.
    Declined,
    /// The transaction is on its way for a moment before it succeeds.
    Pending,
}

impl Fault {
    /// Whether calls of that kind can meet it.
    pub fn suits(self, operation: Operation) -> bool {
        match self {
            Self::SucceedFirst => operation == Operation::Cancel,
            Self::Declined | Self::Pending => operation == Operation::Run,
            Self::OtherCurrency => operation != Operation::Cancel,
            Self::AnswerLost
            | Self::RequestLost
            | Self::Error500
            | Self::Error429
            | Self::Garbage
            | Self::SlowDrip
            | Self::Slow
            | Self::Rejected => true,
        }
    }

    /// What is answered instead of doing the work, where it is not done.
    pub fn instead_of_work(self) -> Option<Response> {
        match self {
            Self::RequestLost => Some(cut()),
            Self::Error500 => Some(
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something broke, as was asked for.")
                    .into_response(),
            ),
            Self::Rejected => Some(
                Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "rejected", "Refused, as was asked for.")
                    .into_response(),
            ),
            Self::Error429 => {
                let refusal =
                    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "Too many, as was asked for.");
                Some(([(RETRY_AFTER, "1")], refusal).into_response())
            }
            Self::AnswerLost
            | Self::Garbage
            | Self::SlowDrip
            | Self::OtherCurrency
            | Self::Slow
            | Self::SucceedFirst
            | Self::Declined
            | Self::Pending => None,
        }
    }
}

/// The faults that wait for their calls, oldest first.
#[derive(Default)]
pub struct Faults(Mutex<HashMap<Operation, VecDeque<Fault>>>);

impl Faults {
    pub fn arm(&self, operation: Operation, fault: Fault, times: usize) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(operation).or_default().extend(std::iter::repeat_n(fault, times));
    }

    pub fn next(&self, operation: Operation) -> Option<Fault> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.get_mut(&operation)?.pop_front()
    }
}

/// Answers a call under a fault, if there is one.
pub async fn meet(fault: Option<Fault>, work: impl Future<Output: IntoResponse>) -> Response {
    match fault.and_then(Fault::instead_of_work) {
        Some(answer) => answer,
        None => after_work(fault, work.await.into_response()).await,
    }
}

/// What the caller gets of the answer to a call whose work was done.
pub async fn after_work(fault: Option<Fault>, answer: Response) -> Response {
    match fault {
        // Lost is lost, whether it would have been good news or bad.
        Some(Fault::AnswerLost) => cut(),
        Some(Fault::Slow) => {
            tokio::time::sleep(SLOW).await;
            answer
        }
        Some(Fault::Garbage) => (StatusCode::OK, "<html>").into_response(),
        Some(Fault::SlowDrip) => dripping(answer),
        Some(Fault::OtherCurrency) => in_another_currency(answer).await,
        _ => answer,
    }
}

/// The answer's head at once, and its body a byte at a time.
fn dripping(answer: Response) -> Response {
    let (parts, body) = answer.into_parts();
    let drops = stream::once(to_bytes(body, usize::MAX)).flat_map(|body| {
        let bytes = body.unwrap_or_default();
        stream::iter((0..bytes.len()).map(move |at| bytes.slice(at..=at))).then(async |byte| {
            tokio::time::sleep(DROP).await;
            Ok::<_, Infallible>(byte)
        })
    });
    Response::from_parts(parts, Body::from_stream(drops))
}

async fn in_another_currency(answer: Response) -> Response {
    let (mut parts, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let Ok(mut told) = serde_json::from_slice::<Map<String, Value>>(&body) else {
        return Response::from_parts(parts, body.into());
    };
    for name in ["currency", "currency_received", "currency_moved"] {
        if let Some(currency) = told.get_mut(name).filter(|currency| currency.is_string()) {
            *currency = if currency == "CHF" { "EUR" } else { "CHF" }.into();
        }
    }
    parts.headers.remove(CONTENT_LENGTH);
    (parts, Json(told)).into_response()
}

/// A connection that breaks off instead of an answer.
///
/// The server cuts a connection whose body fails. axum has no failing body by name, but two bytes under a limit of one are one.
fn cut() -> Response {
    let mut request = Request::new(Body::from(".."));
    DefaultBodyLimit::max(1).apply(&mut request);
    Response::new(request.with_limited_body().into_body())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_meets_as_many_calls_as_it_was_armed_for_and_no_others() {
        let faults = Faults::default();
        faults.arm(Operation::Create, Fault::Slow, 2);
        faults.arm(Operation::Create, Fault::Rejected, 1);

        assert_eq!(faults.next(Operation::Find), None);
        let met = [(); 4].map(|()| faults.next(Operation::Create));
        assert_eq!(met, [Some(Fault::Slow), Some(Fault::Slow), Some(Fault::Rejected), None]);
    }
}
