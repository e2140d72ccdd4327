//! Things that go wrong on demand: a test arms a fault, and the next calls of that kind meet it.
//!
//! Remembers nothing beyond the process, and touches neither the payment page nor the webhooks: those have test methods.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::RequestExt;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::answer::{Answer, Refusal};

/// Longer than a caller with sense waits.
const SLOW: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum Operation {
    #[serde(rename = "create_session")]
    Create,
    #[serde(rename = "find_session")]
    Find,
    #[serde(rename = "cancel_session")]
    Cancel,
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
    /// The shopper pays just before the cancellation arrives.
    SucceedFirst,
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
pub async fn meet(fault: Option<Fault>, work: impl Future<Output = Result<Answer, Refusal>>) -> Response {
    match fault {
        None | Some(Fault::SucceedFirst) => work.await.into_response(),
        Some(Fault::Slow) => {
            let answer = work.await;
            tokio::time::sleep(SLOW).await;
            answer.into_response()
        }
        Some(Fault::AnswerLost) => {
            // Lost is lost, whether it would have been good news or bad.
            drop(work.await);
            cut()
        }
        Some(Fault::RequestLost) => cut(),
        Some(Fault::Error500) => {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something broke, as was asked for.")
                .into_response()
        }
        Some(Fault::Rejected) => {
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "rejected", "Refused, as was asked for.").into_response()
        }
    }
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
