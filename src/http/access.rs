//! The bearer token of a request, made into a caller.

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::Response,
};

use super::{Face, refusal};
use crate::auth::{Caller, Rejected, Verified, verify};

/// Who sends this request, or the answer that says why nobody known does.
pub async fn caller(face: &Face, headers: &HeaderMap) -> Result<Caller, Response> {
    verified(face, in_headers(headers)).await.map(|verified| verified.caller).map_err(unauthenticated)
}

/// Who is spoken for by what stands under the name `Authorization`, and until when.
pub async fn verified(face: &Face, authorization: Option<&str>) -> Result<Verified, Rejected> {
    match authorization.and_then(bearer) {
        Some(token) => verify(&face.keys, &face.tokens, face.app.clock.now(), token).await,
        None => Err(Rejected::Missing),
    }
}

/// The answer to whoever nobody known is.
pub fn unauthenticated(rejected: Rejected) -> Response {
    let mut answer = refusal(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", &rejected.to_string());
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    answer
}

/// What a request's headers have under this name.
pub fn in_headers(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
