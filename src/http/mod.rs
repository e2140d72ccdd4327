//! The face in HTTP: routes, and what wraps every request.
//!
//! Each request gets an id, which its log lines and its answer carry. A panic is an answer with status 500, not a dead connection. What is too
//! much, too large, too slow or too often is refused before it costs anything.

mod access;
mod address;
mod admission;
mod body;
mod connection;
mod crowd;
pub mod graphiql;
mod graphql;
mod health;
pub mod host;
mod meter;
mod protection;
mod serving;
mod webhook;
mod websocket;

use std::{any::Any, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::Body,
    extract::{ConnectInfo, RawQuery, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn, map_request, map_response},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use entity::card::holds_card_number;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::{
    ServiceBuilderExt,
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, RequestId},
    trace::TraceLayer,
};

pub use self::{address::Failures, admission::Admission, serving::serve};
use crate::{
    app::App,
    auth::Issuers,
    config::{Sockets, Traffic},
    graphql::Schema,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// All that the routes need.
#[derive(Clone)]
pub struct Face {
    pub app: Arc<App>,
    pub schema: Schema,
    /// Whom tokens are taken from.
    pub issuers: Issuers,
    pub traffic: Traffic,
    pub sockets: Sockets,
    pub admission: Admission,
    pub failures: Failures,
    /// What a request leaves to be finished here is finished before the server ends.
    pub tasks: TaskTracker,
    /// From now on requests should go to other servers.
    pub leaving: CancellationToken,
    /// What would go on for ever ends with this.
    pub stop: CancellationToken,
}

/// Every route of the server itself.
pub fn routes(face: Face) -> Router {
    let leaving = face.leaving.clone();
    Router::new()
        .route("/graphql", post(graphql::post).get(get_or_open))
        .route("/webhooks/{provider}", post(webhook::receive))
        .route("/readyz", get(health::ready))
        .with_state(Arc::new(face))
        .layer(map_response(in_our_words))
        .route("/healthz", get(health::alive))
        .method_not_allowed_fallback(async || {
            refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                "The header Allow names the methods that this address answers.",
            )
        })
        .fallback(async || refusal(StatusCode::NOT_FOUND, "NOT_FOUND", "There is nothing at this address."))
        .layer(map_response(move |answer: Response| std::future::ready(last_if(leaving.is_cancelled(), answer))))
}

/// The last answer on its connection, so that the next request is sent on another one, to another server.
fn last_if(is_leaving: bool, mut answer: Response) -> Response {
    // One that is upgraded is no connection for requests any more.
    if is_leaving && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// `GET /graphql` is a query, or the beginning of a WebSocket.
async fn get_or_open(
    state: State<Arc<Face>>,
    id: Extension<RequestId>,
    peer: ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response, Response> {
    if request.headers().contains_key(header::UPGRADE) {
        return websocket::open(state, id, peer, request).await;
    }
    let (parts, _) = request.into_parts();
    graphql::get(state, id, peer, parts.headers, RawQuery(parts.uri.query().map(str::to_owned))).await
}

/// Says in our words what axum refuses in its own before a handler runs: a path that is no text.
async fn in_our_words(answer: Response) -> Response {
    if answer.extensions().get::<Refusal>().is_some() {
        return answer;
    }
    let is_text =
        answer.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    match answer.status() {
        status @ StatusCode::BAD_REQUEST if is_text => refusal(status, "BAD_REQUEST", "The request can't be read."),
        _ => answer,
    }
}

/// What holds for all routes.
pub struct Wrapping {
    pub body_timeout: Duration,
    pub cors_origins: Vec<HeaderValue>,
    /// Whether browsers reach the server by https.
    pub is_https: bool,
}

/// Wraps all routes: request id, log, what browsers are told, refusals, panics.
pub fn wrapped(routes: Router, wrapping: Wrapping) -> Router {
    let Wrapping { body_timeout, cors_origins, is_https } = wrapping;
    let inner = tower::ServiceBuilder::new()
        .layer(from_fn(write_refusal))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(map_request(move |request: Request| async move { body::in_time(request, body_timeout) }));
    let routes = routes.layer(inner);
    let routes = match &cors_origins[..] {
        [] => routes,
        origins => routes.layer(protection::cors(origins)),
    };
    let trace = TraceLayer::new_for_http().make_span_with(span).on_response(tell).on_request(()).on_failure(());
    let layers = tower::ServiceBuilder::new()
        .layer(map_request(drop_strange_id))
        .set_request_id(REQUEST_ID, MakeRequestUuid)
        .layer(trace)
        .propagate_request_id(REQUEST_ID)
        .layer(map_response(move |answer: Response| async move { protection::protected(answer, is_https) }));
    routes.layer(layers)
}

/// A request may bring its id along, for logs that span several servers; one that would not look well in a log, or may be a card number, is replaced.
async fn drop_strange_id(mut request: Request) -> Request {
    let is_plain = |id: &HeaderValue| {
        let mut bytes = id.as_bytes().iter();
        (1..=64).contains(&id.len()) && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
    };
    let is_card = |id: &HeaderValue| id.to_str().is_ok_and(holds_card_number);
    if !request.headers().get_all(REQUEST_ID).iter().all(|id| is_plain(id) && !is_card(id)) {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

fn span(request: &Request) -> tracing::Span {
    let id = request.extensions().get::<RequestId>().map(request_id).unwrap_or_default();
    // The path only: a query string may hold what is not for a log.
    let path = Some(request.uri().path()).filter(|path| !holds_card_number(path)).unwrap_or("…");
    tracing::info_span!("request", id, method = %request.method(), path)
}

fn tell<B>(response: &axum::http::Response<B>, latency: Duration, _: &tracing::Span) {
    // A number: JSON logs write u128 as text.
    let ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(status = response.status().as_u16(), ms, "answered");
}

fn request_id(id: &RequestId) -> String {
    id.header_value().to_str().unwrap_or_default().to_owned()
}

/// What is told of a fault of ours, beside the request's id.
const INTERNAL: (&str, &str) = ("INTERNAL", "Internal error.");

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    log_panic(&*panic);
    refusal(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL.0, INTERNAL.1)
}

fn log_panic(panic: &(dyn Any + Send)) {
    let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = words.unwrap_or("without words"), "a request panicked");
}

/// What a refusal says. It is written where the request's id is known.
#[derive(Clone)]
struct Refusal {
    code: String,
    message: String,
}

/// An answer in the form of GraphQL's errors, for requests that never become one. Its body is written by what is [`wrapped`] around all routes.
fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let refusal = Refusal { code: code.to_owned(), message: message.to_owned() };
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], Extension(refusal)).into_response()
}

async fn write_refusal(Extension(id): Extension<RequestId>, request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    if let Some(Refusal { code, message }) = answer.extensions_mut().remove() {
        let extensions = serde_json::json!({ "code": code, "requestId": request_id(&id) });
        let body = serde_json::json!({ "errors": [{ "message": message, "extensions": extensions }] });
        *answer.body_mut() = Body::from(body.to_string());
    }
    answer
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use tower::Service;

    use super::*;

    /// The id in the header of a refusal, and its body.
    async fn refused(id: &str) -> (String, serde_json::Value) {
        let refuse = get(async || refusal(StatusCode::BAD_REQUEST, "BAD_REQUEST", "No."));
        let request = Request::builder().header(REQUEST_ID, id).body(Body::empty()).unwrap();
        let wrapping = Wrapping { body_timeout: Duration::from_secs(1), cors_origins: vec![], is_https: false };
        let answer = wrapped(Router::new().route("/", refuse), wrapping).call(request).await.unwrap();
        let id = answer.headers()[REQUEST_ID].to_str().unwrap().to_owned();
        let length = answer.headers()[header::CONTENT_LENGTH].to_str().unwrap().to_owned();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        assert_eq!(length, body.len().to_string());
        (id, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_refusal_names_its_request() {
        let (id, body) = refused("from-the-proxy_1.2").await;
        let extensions = serde_json::json!({ "code": "BAD_REQUEST", "requestId": "from-the-proxy_1.2" });
        assert_eq!(id, "from-the-proxy_1.2");
        assert_eq!(body, serde_json::json!({ "errors": [{ "message": "No.", "extensions": extensions }] }));
    }

    #[tokio::test]
    async fn a_strange_request_id_is_replaced() {
        assert_eq!(refused(&"x".repeat(64)).await.0, "x".repeat(64));
        for strange in ["", "a b", "a\tb", "<script>", "4111111111111111", &"x".repeat(65)] {
            let (id, body) = refused(strange).await;
            assert_ne!(id, strange);
            assert_eq!(body["errors"][0]["extensions"]["requestId"], id);
        }
    }
}
