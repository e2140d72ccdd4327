//! The face in HTTP: routes, and what wraps every request.
//!
//! Each request gets an id, which its log lines and its answer carry. A panic is an answer with status 500, not a dead connection.

mod access;
pub mod graphiql;
mod graphql;
mod health;
mod webhook;

use std::{any::Any, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::DefaultBodyLimit,
    http::{HeaderName, Request, Response, StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use tower_http::{
    ServiceBuilderExt,
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, RequestId},
    trace::TraceLayer,
};

use crate::{
    app::App,
    auth::{Keys, Policy},
    graphql::Schema,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// All that the routes need.
#[derive(Clone)]
pub struct Face {
    pub app: Arc<App>,
    pub schema: Schema,
    pub keys: Keys,
    pub tokens: Policy,
    pub introspection: bool,
    pub max_body_bytes: usize,
}

/// Every route of the server itself.
pub fn routes(face: Face) -> Router {
    let body_limit = DefaultBodyLimit::max(face.max_body_bytes);
    Router::new()
        .route("/graphql", post(graphql::answer))
        .route("/webhooks/{provider}", post(webhook::receive))
        .route("/readyz", get(health::ready))
        .with_state(Arc::new(face))
        .layer(body_limit)
        .route("/healthz", get(health::alive))
}

/// Wraps all routes: request id, log, panics.
pub fn wrapped(routes: Router) -> Router {
    let trace = TraceLayer::new_for_http().make_span_with(span).on_response(tell).on_request(()).on_failure(());
    let layers = tower::ServiceBuilder::new()
        .set_request_id(REQUEST_ID, MakeRequestUuid)
        .layer(trace)
        .propagate_request_id(REQUEST_ID)
        .layer(CatchPanicLayer::custom(panicked));
    routes.layer(layers)
}

fn span(request: &Request<Body>) -> tracing::Span {
    let id = request.extensions().get::<RequestId>().map(request_id).unwrap_or_default();
    // The path only: a query string may hold what is not for a log.
    tracing::info_span!("request", id, method = %request.method(), path = request.uri().path())
}

fn tell<B>(response: &Response<B>, latency: std::time::Duration, _: &tracing::Span) {
    tracing::info!(status = response.status().as_u16(), ms = latency.as_millis(), "answered");
}

fn request_id(id: &RequestId) -> String {
    id.header_value().to_str().unwrap_or_default().to_owned()
}

fn panicked(panic: Box<dyn Any + Send>) -> axum::response::Response {
    let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = words.unwrap_or("without words"), "a request panicked");
    refusal(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "Internal error.")
}

/// An answer in the form of GraphQL's errors, for requests that never become one.
fn refusal(status: StatusCode, code: &str, message: &str) -> axum::response::Response {
    let body = serde_json::json!({ "errors": [{ "message": message, "extensions": { "code": code } }] });
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body.to_string()).into_response()
}
