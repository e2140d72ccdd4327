//! The bearer token of a request, made into a caller.

use std::net::SocketAddr;

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::Response,
};

use super::{Face, refusal};
use crate::auth::{Caller, Rejected, Verified, verify};

/// Who sends this request, or the answer that says why nobody known does.
pub async fn caller(face: &Face, peer: SocketAddr, headers: &HeaderMap) -> Result<Caller, Response> {
    let verified = verified(face, in_headers(headers)).await;
    verified.map(|verified| verified.caller).map_err(|rejected| unauthenticated(face, peer, headers, rejected))
}

/// Who is spoken for by what stands under the name `Authorization`, and until when.
pub async fn verified(face: &Face, authorization: Option<&str>) -> Result<Verified, Rejected> {
    match authorization.and_then(bearer) {
        Some(token) => verify(&face.keys, &face.tokens, face.app.clock.now(), token).await,
        None => Err(Rejected::Missing),
    }
}

/// The answer to whoever nobody known is. Whoever comes with one bad token after the other is told no more than that.
pub fn unauthenticated(face: &Face, peer: SocketAddr, headers: &HeaderMap, rejected: Rejected) -> Response {
    if let Some(too_often) = is_suspect(rejected).then(|| face.failures.one_more(peer, headers)).flatten() {
        return too_often;
    }
    let mut answer = refusal(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", &rejected.to_string());
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    answer
}

/// Whether no honest client sends such a token: one that is late, or forgotten, is sent now and then by each.
fn is_suspect(rejected: Rejected) -> bool {
    match rejected {
        Rejected::Missing | Rejected::Expired | Rejected::NotYetValid => false,
        Rejected::Malformed | Rejected::Signature | Rejected::Issuer | Rejected::Audience | Rejected::Claims => true,
    }
}

/// What a request's headers have under this name.
pub fn in_headers(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
