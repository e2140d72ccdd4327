//! `/graphql`: a request with `POST`, or a query with `GET`, executed for its caller (GraphQL over HTTP).
//!
//! Ours and not a stock handler: those execute what a browser may send across sites, and answer before they know who asks.

mod media;
mod parameters;

use std::{net::SocketAddr, sync::Arc};

use async_graphql::{ErrorExtensionValues, Response as Answer, ServerError, Value};
use axum::{
    Extension,
    body::Body,
    extract::{ConnectInfo, RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use entity::card::holds_card_number;
use tower_http::request_id::RequestId;
use tracing::Instrument;

use self::media::MediaType;
use super::{
    Face, access,
    admission::{Class, Permit, Refused},
    body, refusal, request_id,
};
use crate::{
    auth::Caller,
    graphql::{Asked, Prepared, UNAVAILABLE, to_json},
};

/// What may be kept for a moment of what a stranger sends. Most queries are smaller.
const SMALL_BODY: usize = 4 * 1024;
/// The longest message of an error.
const MOST_MESSAGE_BYTES: usize = 500;

/// Answers what is sent with `POST`.
pub async fn post(
    State(face): State<Arc<Face>>,
    Extension(id): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    let media_type = MediaType::accepted(&headers).ok_or_else(not_acceptable)?;
    if !media::is_json(&headers) {
        let why = "Send the request as application/json.";
        return Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", why));
    }
    body::fits(&body, face.traffic.most_body_bytes())?;
    let body = if_there_is_room(&face, body).await?;
    let caller = match access::caller(&face, peer, &headers).await {
        Ok(caller) => caller,
        Err(refused) => {
            // Nothing is kept of what a stranger sends.
            body::discard(body, face.traffic.max_body_bytes).await;
            return Err(refused);
        }
    };
    let body = body::read(body, face.traffic.body_bytes_of(caller.kind)).await?;
    let asked = parameters::in_body(&body).ok_or_else(unreadable)?;
    let answer = answer(&face, caller, asked, |_| None).await?;
    Ok(respond(media_type, &request_id(&id), answer))
}

/// The body of a request that may be let in. Where there is no room for queries, one that is known to be one is refused before anybody looks at who
/// sends it: whoever it is, the answer is the same, and a crowd that is turned away takes as little as can be from those who are inside.
async fn if_there_is_room(face: &Face, body: Body) -> Result<Body, Response> {
    if !face.admission.is_full(Class::Query) || !body::is_small(&body, SMALL_BODY) {
        return Ok(body);
    }
    let body = body::read(body, SMALL_BODY).await?;
    match parameters::in_body(&body) {
        Some(asked) if face.schema.is_known_query(&asked) => Err(Refused::Overloaded.answer()),
        _ => Ok(Body::from(body)),
    }
}

/// Answers what is sent with `GET`: queries only, because anybody may make a browser send one.
pub async fn get(
    State(face): State<Arc<Face>>,
    Extension(id): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let media_type = MediaType::accepted(&headers).ok_or_else(not_acceptable)?;
    let caller = access::caller(&face, peer, &headers).await?;
    let asked = parameters::in_address(&query.unwrap_or_default()).ok_or_else(unreadable)?;
    let unsafe_here = |prepared: &Prepared| prepared.is_mutation().then(post_instead);
    let answer = answer(&face, caller, asked, unsafe_here).await?;
    Ok(respond(media_type, &request_id(&id), answer))
}

/// Answers a request, if there is room for what it costs. One that can't be run costs as little as can be.
async fn answer(
    face: &Arc<Face>,
    caller: Caller,
    asked: Asked,
    refused: impl FnOnce(&Prepared) -> Option<Response>,
) -> Result<Answer, Response> {
    let prepared = match face.schema.prepare(&caller, asked).await {
        Ok(prepared) => prepared,
        Err(error) => {
            let _permit = face.admission.enter(&caller, Class::Query, 1).map_err(|refused| refused.answer())?;
            return Ok(Answer::from_errors(vec![error]));
        }
    };
    if let Some(refused) = refused(&prepared) {
        return Err(refused);
    }
    let class = if prepared.is_mutation() { Class::Mutation } else { Class::Query };
    let permit = face.admission.enter(&caller, class, prepared.cost()).map_err(|refused| refused.answer())?;
    execute(face, caller, prepared, permit).await
}

fn not_acceptable() -> Response {
    let why = "Answers are application/graphql-response+json or application/json.";
    refusal(StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", why)
}

fn unreadable() -> Response {
    refusal(StatusCode::BAD_REQUEST, "BAD_REQUEST", parameters::EXPECTED)
}

fn post_instead() -> Response {
    let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "Mutations are sent with POST.");
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    answer
}

/// A mutation runs to its end even if its caller hangs up; a query ends with its connection. Each holds its permit until then. However slow the
/// database is, nobody waits for a query longer than it may take in all; what it asked of the database ends with it.
async fn execute(face: &Arc<Face>, caller: Caller, prepared: Prepared, permit: Permit) -> Result<Answer, Response> {
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

/// Gives each error its code, and the id of its request.
pub(super) fn name_errors(answer: &mut Answer, request_id: &str) {
    for error in &mut answer.errors {
        // What the library says may quote the document: a card number is not repeated, and the rest may be long.
        if holds_card_number(&error.message) {
            error.message = "The request can't be run; it holds what looks like a card number.".into();
        }
        let end = error.message.floor_char_boundary(MOST_MESSAGE_BYTES);
        error.message.truncate(end);
        let extensions = error.extensions.get_or_insert_with(ErrorExtensionValues::default);
        if extensions.get("code").is_none() {
            // What the library itself refuses: a document or variables that don't fit the schema.
            extensions.set("code", "BAD_REQUEST");
        }
        extensions.set("requestId", request_id);
    }
}

fn respond(media_type: MediaType, request_id: &str, mut answer: Answer) -> Response {
    name_errors(&mut answer, request_id);
    let never_ran = answer.data == Value::Null
        && !answer.errors.is_empty()
        && answer.errors.iter().all(|error| error.path.is_empty());
    let is_refused = never_ran && media_type == MediaType::GraphqlResponse;
    let status = if is_refused { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let body = to_json(&answer, !never_ran);
    (status, [(header::CONTENT_TYPE, media_type.content_type())], body).into_response()
}
