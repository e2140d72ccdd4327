//! Runs what a client subscribes to.

use std::{panic::AssertUnwindSafe, sync::Arc};

use async_graphql::{
    Data, ErrorExtensionValues, Executor, Request, Response, ServerError, Value,
    futures_util::{
        FutureExt, StreamExt,
        stream::{BoxStream, once, poll_fn},
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::{
    super::{INTERNAL, admission::Refused, graphql::name_errors, log_panic},
    Face,
    guest::Session,
};
use crate::{
    auth::Caller,
    graphql::{Asked, Named},
};

/// What a subscription is told in place of events.
fn too_much(refused: Refused) -> ServerError {
    coded(refused.code(), refused.message())
}

fn coded(code: &str, message: &str) -> ServerError {
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code);
    ServerError { extensions: Some(extensions), ..ServerError::new(message, None) }
}

/// What one client may listen to.
#[derive(Clone)]
pub struct Listening {
    face: Arc<Face>,
    session: Session,
    request_id: Arc<str>,
    room: Arc<Semaphore>,
}

impl Listening {
    pub fn new(face: Arc<Face>, session: Session, request_id: &str) -> Self {
        let room = Arc::new(Semaphore::new(face.sockets.subscriptions));
        Self { face, session, request_id: request_id.into(), room }
    }

    fn begin(&self, request: Request) -> Result<BoxStream<'static, Response>, ServerError> {
        let Some(Ok(known)) = self.session.get() else {
            return Err(ServerError::new("Say who you are first.", None));
        };
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            let why = format!("A connection has room for {} subscriptions.", self.face.sockets.subscriptions);
            return Err(ServerError::new(why, None));
        };
        Ok(self.events(known.verified.caller.clone(), request, room))
    }

    /// The events of a subscription. They are made apart from the connection: one that does not move holds nothing that others wait for. A panic is
    /// the last of them.
    fn events(&self, caller: Caller, request: Request, room: OwnedSemaphorePermit) -> BoxStream<'static, Response> {
        let (tells, mut told) = mpsc::channel(1);
        let listening = self.clone();
        let work = async move {
            let telling = AssertUnwindSafe(listening.tells(caller, request, &tells)).catch_unwind().await;
            if let Err(panic) = telling {
                log_panic(&*panic);
                // Whoever is gone does not hear it.
                let _ = tells.send(listening.refused(coded(INTERNAL.0, INTERNAL.1))).await;
            }
        };
        let work = AbortOnDropHandle::new(tokio::spawn(work.in_current_span()));
        Box::pin(poll_fn(move |cx| {
            let _held = (&work, &room);
            told.poll_recv(cx)
        }))
    }

    /// Tells each event until the last one, or until nobody listens.
    async fn tells(&self, caller: Caller, request: Request, tells: &mpsc::Sender<Response>) {
        let mut events = match self.subscribe(caller, request).await {
            Ok(events) => events,
            Err(error) => Box::pin(once(async { Response::from_errors(vec![error]) })),
        };
        while let Some(mut event) = events.next().await {
            name_errors(&mut event, &self.request_id);
            // What can't be shown ends the subscription; a client never waits for what will not come.
            let is_last = event.data == Value::Null;
            if tells.send(event).await.is_err() || is_last {
                break;
            }
        }
    }

    async fn subscribe(&self, caller: Caller, request: Request) -> Result<BoxStream<'static, Response>, ServerError> {
        let schema = &self.face.schema;
        let prepared = match schema.prepare(&caller, asked(request)).await {
            Ok(prepared) => prepared,
            Err(error) => {
                self.face.admission.spend(&caller, 1).map_err(too_much)?;
                return Err(error);
            }
        };
        if prepared.is_answered_at_once() {
            return Err(ServerError::new("Only subscriptions run here. Send queries and mutations with POST.", None));
        }
        self.face.admission.spend(&caller, prepared.cost()).map_err(too_much)?;
        Ok(schema.subscribe(caller, prepared))
    }

    fn refused(&self, error: ServerError) -> Response {
        let mut refused = Response::from_errors(vec![error]);
        name_errors(&mut refused, &self.request_id);
        refused
    }
}

impl Executor for Listening {
    async fn execute(&self, _: Request) -> Response {
        self.refused(ServerError::new("Only subscriptions run here.", None))
    }

    fn execute_stream(&self, request: Request, _: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        match self.begin(request) {
            Ok(events) => events,
            Err(error) => {
                let refused = self.refused(error);
                Box::pin(once(async { refused }))
            }
        }
    }
}

/// What a message asks for: the text of a document, or the hash of one.
fn asked(request: Request) -> Asked {
    let variables = match serde_json::to_value(&request.variables) {
        Ok(serde_json::Value::Object(variables)) => variables,
        _ => serde_json::Map::new(),
    };
    let hash = match request.extensions.get("persistedQuery") {
        Some(Value::Object(persisted)) => match persisted.get("sha256Hash") {
            Some(Value::String(hash)) => Some(hash.clone()),
            _ => None,
        },
        _ => None,
    };
    let query = Some(request.query).filter(|query| !query.is_empty() || hash.is_none());
    Asked { document: Named { query, id: None, hash }, operation_name: request.operation_name, variables }
}
