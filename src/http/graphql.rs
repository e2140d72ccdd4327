//! `POST /graphql`: a request in JSON, executed for its caller.
//!
//! Ours and not a stock handler: those execute what a browser may send across sites, and answer before they know who asks. Only JSON is read.

use std::{net::SocketAddr, sync::Arc};

use async_graphql::{ErrorExtensionValues, Response as Answer, ServerError, Value};
use axum::{
    Extension,
    body::Body,
    extract::{ConnectInfo, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tower_http::request_id::RequestId;
use tracing::Instrument;

use super::{
    Face, access,
    admission::{Class, Permit},
    body, refusal, request_id,
};
use crate::{
    auth::Caller,
    graphql::{Prepared, UNAVAILABLE},
};

const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";

/// The parameters of a request (GraphQL over HTTP, section 5.1). Extensions are allowed, and none is known.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    query: String,
    operation_name: Option<String>,
    variables: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Answers one request.
pub async fn answer(
    State(face): State<Arc<Face>>,
    Extension(id): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let most_bytes = face.traffic.max_body_bytes;
    if !is_json(&headers) {
        let why = "Send the request as application/json.";
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", why);
    }
    if let Err(refused) = body::fits(&body, most_bytes) {
        return refused;
    }
    // Nothing is kept of what a stranger sends.
    let (caller, body) = match access::caller(&face, peer, &headers).await {
        Ok(caller) => (caller, body::read(body, most_bytes).await),
        Err(answer) => {
            body::discard(body, most_bytes).await;
            return answer;
        }
    };
    let body = match body {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let parameters: Parameters = match serde_json::from_slice(&body) {
        Ok(parameters) => parameters,
        Err(_) => {
            let why = "The body must be a JSON object with `query` (a string) and, where needed, `operationName` and `variables`.";
            return refusal(StatusCode::BAD_REQUEST, "BAD_REQUEST", why);
        }
    };
    let variables = parameters.variables.unwrap_or_default();
    let prepared = Prepared::new(parameters.query, parameters.operation_name, variables);
    let class = if prepared.as_ref().is_ok_and(Prepared::is_mutation) { Class::Mutation } else { Class::Query };
    let permit = match face.admission.enter(&caller, class, 1) {
        Ok(permit) => permit,
        Err(refused) => return refused.answer(),
    };
    let answer = match prepared {
        Ok(prepared) => execute(&face, caller, prepared, permit).await,
        Err(error) => Ok(Answer::from_errors(vec![error])),
    };
    match answer {
        Ok(answer) => respond(&headers, &request_id(&id), answer),
        Err(refused) => refused,
    }
}

/// A mutation runs to its end even if its caller hangs up; a query ends with its connection. Each holds its permit until then. However slow the
/// database is, nobody waits for a query longer than it may take in all; what it asked of the database ends with it.
async fn execute(face: &Arc<Face>, caller: Caller, prepared: Prepared, permit: Permit) -> Result<Answer, Response> {
    let prepared = match if face.introspection { Ok(prepared) } else { prepared.without_introspection() } {
        Ok(prepared) => prepared,
        Err(error) => return Ok(Answer::from_errors(vec![error])),
    };
    if prepared.is_subscription() {
        let why = "A subscription is sent over WebSocket, to this same address.";
        return Ok(Answer::from_errors(vec![ServerError::new(why, None)]));
    }
    if !prepared.is_mutation() {
        let answered = tokio::time::timeout(face.traffic.query_timeout, face.schema.execute(caller, prepared)).await;
        return answered.map_err(|_| {
            tracing::warn!("a query took too long");
            refusal(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", UNAVAILABLE)
        });
    }
    let schema = face.schema.clone();
    let work = async move {
        let _permit = permit;
        schema.execute(caller, prepared).await
    };
    face.tasks.spawn(work.in_current_span()).await.map_err(|error| {
        super::panicked(match error.try_into_panic() {
            Ok(panic) => panic,
            Err(cancelled) => Box::new(cancelled.to_string()),
        })
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

/// Gives each error its code, and the id of its request.
pub(super) fn name_errors(answer: &mut Answer, request_id: &str) {
    for error in &mut answer.errors {
        let extensions = error.extensions.get_or_insert_with(ErrorExtensionValues::default);
        if extensions.get("code").is_none() {
            // What the library itself refuses: a document or variables that don't fit the schema.
            extensions.set("code", "BAD_REQUEST");
        }
        extensions.set("requestId", request_id);
    }
}

fn respond(headers: &HeaderMap, request_id: &str, mut answer: Answer) -> Response {
    name_errors(&mut answer, request_id);
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (content_type, is_modern) = match accept.contains(GRAPHQL_RESPONSE) {
        true => (GRAPHQL_RESPONSE, true),
        false => ("application/json; charset=utf-8", false),
    };
    let never_ran = answer.data == Value::Null
        && !answer.errors.is_empty()
        && answer.errors.iter().all(|error| error.path.is_empty());
    let status = if never_ran && is_modern { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let body = if never_ran {
        serde_json::to_vec(&serde_json::json!({ "errors": answer.errors }))
    } else {
        serde_json::to_vec(&answer)
    };
    match body {
        Ok(body) => (status, [(header::CONTENT_TYPE, content_type)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer can't be written");
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "Internal error.")
        }
    }
}
