//! A call to a provider's HTTP API: what came back, or why it can't be known.
//!
//! Nothing is sent twice here, and no answer's text is logged.

use std::time::Duration;

use axum::http::StatusCode;
use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;

use super::CallError;
use crate::faults;

/// How long a connection is kept that nothing is sent on.
const IDLE: Duration = Duration::from_secs(5);

/// A client that waits this long for a whole answer.
pub fn client(timeout: Duration) -> Result<Client, reqwest::Error> {
    Client::builder()
        .timeout(timeout)
        .connect_timeout(timeout)
        // Sooner than anybody closes a connection on which nothing comes: what is sent just then is lost, and is an unknown outcome.
        .pool_idle_timeout(IDLE)
        // A provider that answers with a redirect is not the one that was configured.
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

/// Sends a request, and reads the answer of any status that is final as JSON. What is not known for sure is `Unknown` (rule P8).
///
/// `name` is what the call is for.
pub async fn call<T: DeserializeOwned>(name: &str, request: RequestBuilder) -> Result<(StatusCode, T), CallError> {
    faults::crash_point(format_args!("before {name}"));
    let answer = send(request).await;
    faults::crash_point(format_args!("after {name}"));
    answer
}

async fn send<T: DeserializeOwned>(request: RequestBuilder) -> Result<(StatusCode, T), CallError> {
    let answer = request.send().await.map_err(|error| match error.is_connect() {
        // No connection, so nothing was sent.
        true => CallError::Refused("the provider can't be reached".into()),
        false => CallError::Unknown(kind(&error).into()),
    })?;
    let status = answer.status();
    // A gateway's time-out, "too early" and "too many" say nothing of what became of the request; neither does a redirect.
    let is_vague =
        status.is_server_error() || status.is_redirection() || matches!(status.as_u16(), 408 | 425 | 429 | 499);
    if is_vague {
        return Err(CallError::Unknown(format!("the provider answered {status}")));
    }
    let body = answer.bytes().await.map_err(|error| CallError::Unknown(kind(&error).into()))?;
    match serde_json::from_slice(&body) {
        Ok(body) => Ok((status, body)),
        // Somebody between us and the provider may have written it, after the provider did what was asked (rule P8).
        Err(_) => Err(CallError::Unknown("the provider's answer can't be read".into())),
    }
}

fn kind(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() { "the provider did not answer in time" } else { "the connection to the provider was cut" }
}
