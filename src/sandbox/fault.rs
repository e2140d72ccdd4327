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

use super::answer::Refusal;

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
            Self::AnswerLost | Self::RequestLost | Self::Error500 | Self::Slow | Self::Rejected => true,
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
            Self::AnswerLost | Self::Slow | Self::SucceedFirst | Self::Declined | Self::Pending => None,
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
        _ => answer,
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
