//! What every answer tells a browser: to take it for nothing else than it is, to show it nowhere, and to keep nothing. And which websites' pages
//! may read answers at all.
//!
//! A route that needs something else says so itself, as pages do. No cookie is ever set or read, so that no page has a right that its script does
//! not bring along.

use std::time::Duration;

use axum::{
    http::{HeaderName, HeaderValue, Method, header},
    response::Response,
};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser keeps what it was told of CORS.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// `same-origin` in the last one concerns what a page takes in without asking, as an image or a script; what CORS allows is not held to it.
const ALWAYS: [(HeaderName, HeaderValue); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Adds what an answer does not say itself.
pub fn protected(mut answer: Response, is_https: bool) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(value);
    }
    if is_https {
        let value = HeaderValue::from_static("max-age=31536000");
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(value);
    }
    answer
}

/// Lets the pages of these websites, and of no others, read answers.
pub fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let request_id = HeaderName::from_static("x-request-id");
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::ACCEPT, request_id.clone()])
        .expose_headers([request_id, header::RETRY_AFTER])
        .max_age(REMEMBERED)
}
