//! The body of a request: read up to a size, and within a time.
//!
//! The time is one for the whole body, however steadily it trickles in. It holds for every route; the size is each route's to say.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::{Sleep, sleep};

use super::refusal;

/// Gives the body of a request so much time, from now on.
pub fn in_time(request: Request, time: Duration) -> Request {
    request.map(|body| match body.is_end_stream() {
        true => body,
        false => Body::new(InTime { body, time: Box::pin(sleep(time)) }),
    })
}

/// Refuses a body that is too large by its own account, before any of it is read.
#[expect(clippy::result_large_err, reason = "the answer is written either way")]
pub fn fits(body: &Body, most: usize) -> Result<(), Response> {
    let fits = usize::try_from(body.size_hint().lower()).is_ok_and(|least| least <= most);
    if fits { Ok(()) } else { Err(too_large(most)) }
}

/// Whether a body is known to have so many bytes at the most.
pub fn is_small(body: &Body, most: usize) -> bool {
    let exact = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    exact.is_some_and(|bytes| bytes <= most)
}

/// A whole body, or the answer that says why there is none.
pub async fn read(body: Body, most: usize) -> Result<Bytes, Response> {
    fits(&body, most)?;
    to_bytes(body, most).await.map_err(|error| match error {
        error if is::<TooSlow>(&error) => {
            refusal(StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "The body took too long to come.")
        }
        error if is::<LengthLimitError>(&error) => too_large(most),
        _ => refusal(StatusCode::BAD_REQUEST, "BAD_REQUEST", "The body broke off."),
    })
}

/// Takes in a body that nobody will look at, and keeps nothing of it: who still sends when the connection ends may never read the answer.
pub async fn discard(body: Body, most: usize) {
    let mut rest = Limited::new(body, most);
    while let Some(Ok(_)) = rest.frame().await {}
}

/// What is left of the body is not read, and stands in the way of another request on its connection: that one ends, and its client is told so.
fn too_large(most: usize) -> Response {
    let why = format!("The body has more than {most} bytes.");
    let mut answer = refusal(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", &why);
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Whether this lies under an error.
fn is<E: Error + 'static>(error: &axum::Error) -> bool {
    let mut error: Option<&(dyn Error + 'static)> = Some(error);
    std::iter::from_fn(|| {
        let found = error?;
        error = found.source();
        Some(found)
    })
    .any(|error| error.is::<E>())
}

/// A body that breaks off once its time is up.
struct InTime {
    body: Body,
    time: Pin<Box<Sleep>>,
}

/// A body took more time than it has.
#[derive(Debug)]
struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body took too long to come")
    }
}

impl Error for TooSlow {}

impl http_body::Body for InTime {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        // The time first: a body that always has another byte would never be late.
        if self.time.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(axum::Error::new(TooSlow))));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
