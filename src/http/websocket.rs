//! `GET /graphql` with an upgrade to WebSocket: subscriptions in the protocol graphql-transport-ws.
//!
//! async-graphql speaks it. What it leaves open is here: the rules of the protocol (`talk`), whose token it is and until when, limits, and an end for
//! whoever does not read, does not answer, or is still there when the server stops. Nothing but subscriptions runs here: a mutation has to run to its
//! end, and belongs to `POST`.

mod guest;
mod listening;
mod talk;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_graphql::{Data, futures_util::stream::poll_fn};
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::{
    Error, Extension,
    extract::{
        ConnectInfo, FromRequestParts, Request, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, interval, sleep_until, timeout},
};
use tokio_util::sync::PollSender;
use tower_http::request_id::RequestId;
use tracing::Instrument;

use self::{
    guest::{Guest, Session, Unwelcome, who},
    listening::Listening,
    talk::{Goodbye, Talk},
};
use super::{Face, access, refusal, request_id};
use crate::{
    auth::{Denied, Rejected},
    service::anonymous_token,
};

const PROTOCOL: &str = "graphql-transport-ws";
/// Each connection has buffers of its own.
const BUFFER_BYTES: usize = 4 * 1024;
/// How long a client may take to close its side.
const CLOSE: Duration = Duration::from_secs(1);

/// Opens a socket.
pub async fn open(
    State(face): State<Arc<Face>>,
    Extension(id): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response, Response> {
    let mut parts = request.into_parts().0;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await.map_err(|_| {
        let why = "The request for a WebSocket is not one (RFC 6455, section 4.1).";
        refusal(StatusCode::BAD_REQUEST, "BAD_REQUEST", why)
    })?;
    let protocol = protocol(&upgrade, &mut parts).await?;
    let refused = |denied| access::refused(&face, peer, &parts.headers, denied);
    let from_header = match access::in_headers(&parts.headers).map_err(|rejected| refused(rejected.into()))? {
        Some(authorization) => Some(access::verified(&face, Some(authorization)).await.map_err(refused)?),
        None => None,
    };
    let guest = Guest { from_header, place: face.failures.place(peer, &parts.headers) };
    let running = face.tasks.token();
    // What is a few times as long as it may be is not even taken in.
    let most_bytes = face.sockets.message_bytes.saturating_mul(4);
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(most_bytes)
        .max_frame_size(most_bytes);
    Ok(upgrade.on_upgrade(move |socket| {
        let work = async move {
            converse(face, socket, protocol, guest, &request_id(&id)).await;
            drop(running);
        };
        work.in_current_span()
    }))
}

/// The one protocol that is spoken here, of those that the client speaks.
async fn protocol(upgrade: &WebSocketUpgrade, parts: &mut Parts) -> Result<GraphQLProtocol, Response> {
    let refused =
        || refusal(StatusCode::BAD_REQUEST, "BAD_REQUEST", "The WebSocket's protocol is graphql-transport-ws.");
    if !upgrade.requested_protocols().any(|protocol| protocol == PROTOCOL) {
        return Err(refused());
    }
    parts.headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    GraphQLProtocol::from_request_parts(parts, &()).await.map_err(|_| refused())
}

/// Speaks with a client until one of the two has enough of it.
async fn converse(face: Arc<Face>, socket: WebSocket, protocol: GraphQLProtocol, guest: Guest, request_id: &str) {
    let session = Session::default();
    let (hears, mut heard) = mpsc::channel(1);
    let (says, said) = mpsc::channel(1);
    let listening = Listening::new(Arc::clone(&face), Arc::clone(&session), request_id);
    let heard = poll_fn(move |cx| heard.poll_recv(cx));
    let init = {
        let (face, session) = (Arc::clone(&face), Arc::clone(&session));
        move |payload: serde_json::Value| async move {
            let known = who(&face, guest, &payload).await;
            let refused = known.as_ref().err().map(|unwelcome| unwelcome.goodbye().reason);
            // It is asked for once.
            let _ = session.set(known);
            refused.map_or_else(|| Ok(Data::default()), |why| Err(async_graphql::Error::new(why)))
        }
    };
    let graphql = GraphQLWebSocket::new_with_pair(PollSender::new(says), heard, listening, protocol);
    let graphql = graphql.on_connection_init(init).serve();
    let pings = interval(face.sockets.ping_interval);
    let mut line = Line {
        face,
        socket,
        session,
        talk: Talk::default(),
        hears,
        said,
        pings,
        opened_at: Instant::now(),
        heard_at: Instant::now(),
    };
    // It ends when it hears or says nothing more, which the line notices.
    let goodbye = tokio::select! {
        goodbye = line.run() => goodbye,
        goodbye = async { graphql.await; std::future::pending().await } => goodbye,
    };
    line.hang_up(goodbye).await;
}

/// The line between a client and async-graphql.
struct Line {
    face: Arc<Face>,
    socket: WebSocket,
    session: Session,
    talk: Talk,
    /// What async-graphql hears.
    hears: mpsc::Sender<Result<Message, Error>>,
    /// What async-graphql says.
    said: mpsc::Receiver<Message>,
    pings: Interval,
    opened_at: Instant,
    heard_at: Instant,
}

impl Line {
    /// Carries messages both ways, one at a time, until there is a reason to end; `None` if nobody would hear it.
    async fn run(&mut self) -> Option<Goodbye> {
        loop {
            let ended = tokio::select! {
                () = self.face.stop.cancelled() => Err(Some(stopping())),
                () = sleep_until(self.opened_at + self.face.sockets.init_timeout), if self.session.get().is_none() => {
                    Err(Some(Goodbye::new(4408, "Connection initialisation timeout")))
                }
                () = sleep_until(self.expires_at()) => Err(Some(expired())),
                message = self.said.recv() => self.says(message).await,
                frame = self.socket.recv(), if self.hears.capacity() > 0 => self.hears(frame),
                _ = self.pings.tick() => self.pings().await,
            };
            if let Err(goodbye) = ended {
                return goodbye;
            }
        }
    }

    /// When the client's token is good no more, or a moment that is far away. Not by the clock, which a test may move: see `is_expired`.
    fn expires_at(&self) -> Instant {
        let left = match self.session.get() {
            Some(Ok(known)) => (known.verified.until - self.face.app.clock.now()).to_std().unwrap_or_default(),
            _ => Duration::MAX,
        };
        let far = Duration::from_secs(24 * 60 * 60);
        Instant::now() + left.min(far)
    }

    fn is_expired(&self) -> bool {
        matches!(self.session.get(), Some(Ok(known)) if known.verified.until <= self.face.app.clock.now())
    }

    /// Whether the client's token was revoked since it was let in.
    async fn looks_again(&mut self) -> Result<(), Denied> {
        match self.session.get() {
            Some(Ok(known)) => anonymous_token::look_again(&self.face.app, &known.verified).await,
            _ => Ok(()),
        }
    }

    async fn says(&mut self, message: Option<Message>) -> Result<(), Option<Goodbye>> {
        // What ends with the server ends with one word for all.
        if self.face.stop.is_cancelled() {
            return Err(Some(stopping()));
        }
        if self.is_expired() {
            return Err(Some(expired()));
        }
        // What was read for it before is not for it any more.
        self.looks_again().await.map_err(|denied| Some(Unwelcome::from(denied).goodbye()))?;
        match message {
            Some(Message::Text(text)) if !self.talk.says(&text) => Ok(()),
            Some(Message::Close(Some(CloseFrame { code, reason }))) => Err(Some(match self.session.get() {
                Some(Err(unwelcome)) => unwelcome.goodbye(),
                _ => Talk::closes(code, &reason),
            })),
            Some(message) => self.writes(message).await,
            None => Err(None),
        }
    }

    fn hears(&mut self, frame: Option<Result<Message, Error>>) -> Result<(), Option<Goodbye>> {
        self.heard_at = Instant::now();
        match frame {
            Some(Ok(Message::Text(text))) if text.len() > self.face.sockets.message_bytes => Err(Some(self.too_long())),
            Some(Ok(Message::Text(text))) => {
                self.talk.hears(&text)?;
                // There is room: it was looked for before.
                self.hears.try_send(Ok(Message::Text(text))).map_err(|_| None)
            }
            Some(Ok(Message::Binary(_))) => Err(Some(Goodbye::new(4400, "Messages are text."))),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Ok(Message::Close(_))) | None => Err(None),
            // Whoever lost the connection does not hear it.
            Some(Err(_)) => Err(Some(self.too_long())),
        }
    }

    /// Asks the client whether it is still there.
    async fn pings(&mut self) -> Result<(), Option<Goodbye>> {
        if self.is_expired() {
            return Err(Some(expired()));
        }
        // Where it can't be asked, nothing is shown meanwhile either.
        if let Err(denied @ Denied::Rejected(_)) = self.looks_again().await {
            return Err(Some(Unwelcome::from(denied).goodbye()));
        }
        if self.heard_at.elapsed() > self.face.sockets.silence {
            return Err(None);
        }
        self.writes(Message::Ping(Vec::new().into())).await
    }

    /// Whoever does not read has nothing to wait for.
    async fn writes(&mut self, message: Message) -> Result<(), Option<Goodbye>> {
        tokio::select! {
            () = self.face.stop.cancelled() => Err(Some(stopping())),
            written = timeout(self.face.sockets.write_timeout, self.socket.send(message)) => match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(None),
                Err(_) => {
                    tracing::info!("a client that does not read was cut off");
                    Err(None)
                }
            },
        }
    }

    fn too_long(&self) -> Goodbye {
        Goodbye::new(1009, &format!("A message has at most {} bytes.", self.face.sockets.message_bytes))
    }

    /// Says why, if it is for the client, and waits a moment for its answer: what is closed with words unread may take ours along.
    async fn hang_up(mut self, goodbye: Option<Goodbye>) {
        let Some(Goodbye { code, reason }) = goodbye else { return };
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let closed = async {
            self.socket.send(close).await?;
            while let Some(Ok(_)) = self.socket.recv().await {}
            Ok::<_, Error>(())
        };
        // Whoever is gone does not answer.
        let _ = timeout(CLOSE, closed).await;
    }
}

fn stopping() -> Goodbye {
    Goodbye::new(1001, "The server stops.")
}

fn expired() -> Goodbye {
    Unwelcome::from(Denied::from(Rejected::Expired)).goodbye()
}
