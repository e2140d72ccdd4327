//! The bearer token of a request, made into a caller.

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::Response,
};

use super::{Face, refusal};
use crate::auth::{Caller, Rejected, verify};

/// Who sends this request, or the answer that says why nobody known does.
pub async fn caller(face: &Face, headers: &HeaderMap) -> Result<Caller, Response> {
    let checked = match bearer(headers) {
        Some(token) => verify(&face.keys, &face.tokens, face.app.clock.now(), token).await,
        None => Err(Rejected::Missing),
    };
    checked.map_err(|rejected| {
        let mut answer = refusal(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", &rejected.to_string());
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        answer
    })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
