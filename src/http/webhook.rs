//! `POST /webhooks/{provider}`: a provider's news.
//!
//! The signature is checked over the raw body before anything is parsed (rule W1), and the answer is 2xx only once the news is committed (rule W2):
//! until then the provider goes on telling it.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{ConnectInfo, Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};

use tracing::Instrument;

use super::{Face, body, refusal};
use crate::{error::Error, graphql::UNAVAILABLE, provider::WebhookError, service::event};

/// Takes in one event.
pub async fn receive(
    State(face): State<Arc<Face>>,
    Path(provider): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(provider) = face.app.providers.named(&provider) else {
        return refusal(StatusCode::NOT_FOUND, "NOT_FOUND", "There is no such provider here.");
    };
    let body = match body::read(body, face.traffic.max_webhook_bytes).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let verified = provider.verify_webhook(&headers, &body, face.app.clock.now());
    let notice = match verified.and_then(|()| provider.read_event(&body)) {
        Ok(notice) => notice,
        Err(WebhookError::Unverified) => {
            tracing::warn!(provider = provider.name(), "a webhook is not signed by its provider, or too old");
            let unverified =
                || refusal(StatusCode::UNAUTHORIZED, "UNVERIFIED", "The signature is missing, wrong, or too old.");
            return face.failures.one_more(peer, &headers).unwrap_or_else(unverified);
        }
        Err(WebhookError::Unreadable) => {
            tracing::error!(provider = provider.name(), "a signed webhook can't be read");
            return refusal(StatusCode::BAD_REQUEST, "BAD_REQUEST", "The event can't be read.");
        }
    };
    let permit = match face.admission.enter_webhook() {
        Ok(permit) => permit,
        Err(refused) => return refused.answer(),
    };
    // What was read as JSON is UTF-8.
    let words = String::from_utf8_lossy(&body).into_owned();
    let (app, name) = (Arc::clone(&face.app), provider.name());
    // It is taken in even if the provider hangs up meanwhile, and a failure is logged even if nobody waits for it.
    let work = async move {
        let _permit = permit;
        let taken_in = event::process_event(&app, name, notice, &words).await;
        taken_in.inspect_err(|error| tracing::error!(?error, provider = name, "an event could not be taken in"))
    };
    match face.tasks.spawn(work.in_current_span()).await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(Error::Busy(_))) => refusal(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", UNAVAILABLE),
        Ok(Err(_)) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "Internal error."),
        Err(error) => {
            tracing::error!(%error, provider = name, "taking in an event panicked");
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "Internal error.")
        }
    }
}
