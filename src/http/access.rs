//! The bearer token of a request, made into a caller.

use std::net::SocketAddr;

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::Response,
};

use super::{Face, refusal};
use crate::{
    auth::{Caller, Denied, Rejected, Verified},
    graphql::UNAVAILABLE,
    service::anonymous_token,
};

/// Who sends this request, or the answer that says why nobody known does.
pub async fn caller(face: &Face, peer: SocketAddr, headers: &HeaderMap) -> Result<Caller, Response> {
    let verified = match in_headers(headers) {
        Ok(authorization) => verified(face, authorization).await,
        Err(rejected) => Err(rejected.into()),
    };
    verified.map(|verified| verified.caller).map_err(|denied| refused(face, peer, headers, denied))
}

/// Who is spoken for by what stands under the name `Authorization`, and until when.
pub async fn verified(face: &Face, authorization: Option<&str>) -> Result<Verified, Denied> {
    let token = authorization.and_then(bearer).ok_or(Rejected::Missing)?;
    let signed = face.issuers.verify(face.app.clock.now(), token).await?;
    anonymous_token::admit(&face.app, signed).await
}

/// The answer to whoever is not let in. Whoever comes with one bad token after the other is told no more than that.
pub fn refused(face: &Face, peer: SocketAddr, headers: &HeaderMap, denied: Denied) -> Response {
    let rejected = match denied {
        Denied::Rejected(rejected) => rejected,
        Denied::Unavailable => return refusal(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", UNAVAILABLE),
    };
    if let Some(too_often) = is_suspect(rejected).then(|| face.failures.one_more(peer, headers)).flatten() {
        return too_often;
    }
    let mut answer = refusal(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", &rejected.to_string());
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    answer
}

/// Whether no honest client sends such a token: one that is late, or forgotten, is sent now and then by each.
pub fn is_suspect(rejected: Rejected) -> bool {
    match rejected {
        Rejected::Missing | Rejected::Expired | Rejected::NotYetValid | Rejected::Revoked => false,
        Rejected::Malformed
        | Rejected::Several
        | Rejected::Type
        | Rejected::Kind
        | Rejected::Signature
        | Rejected::Issuer
        | Rejected::Audience
        | Rejected::Claims => true,
    }
}

/// What a request's headers have under this name. Who sends two might be taken for either.
pub fn in_headers(headers: &HeaderMap) -> Result<Option<&str>, Rejected> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(only), None) => only.to_str().map(Some).map_err(|_| Rejected::Malformed),
        (Some(_), Some(_)) => Err(Rejected::Several),
    }
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
