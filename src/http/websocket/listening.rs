//! Runs what a client subscribes to.

use std::sync::Arc;

use async_graphql::{
    Data, ErrorExtensionValues, Executor, Request, Response, ServerError, Value,
    futures_util::{
        StreamExt,
        stream::{BoxStream, once, poll_fn},
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::{
    super::{admission::Refused, graphql::name_errors},
    Face,
    guest::Session,
};
use crate::{auth::Caller, graphql::Prepared};

/// How many subscriptions may be open on one connection.
const MOST_SUBSCRIPTIONS: usize = 100;

/// What a subscription is told in place of events.
fn too_much(refused: Refused) -> ServerError {
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", refused.code());
    ServerError { extensions: Some(extensions), ..ServerError::new(refused.message(), None) }
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
        Self { face, session, request_id: request_id.into(), room: Arc::new(Semaphore::new(MOST_SUBSCRIPTIONS)) }
    }

    fn begin(&self, request: Request) -> Result<BoxStream<'static, Response>, ServerError> {
        let Some(Ok(known)) = self.session.get() else {
            return Err(ServerError::new("Say who you are first.", None));
        };
        let prepared = Prepared::of(request)?;
        if prepared.is_answered_at_once() {
            return Err(ServerError::new("Only subscriptions run here. Send queries and mutations with POST.", None));
        }
        let prepared = if self.face.introspection { prepared } else { prepared.without_introspection()? };
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            let why = format!("A connection has room for {MOST_SUBSCRIPTIONS} subscriptions.");
            return Err(ServerError::new(why, None));
        };
        let caller = known.verified.caller.clone();
        self.face.admission.spend(&caller, 1).map_err(too_much)?;
        Ok(self.events(caller, prepared, room))
    }

    /// The events of a subscription. They are made apart from the connection: one that does not move holds nothing that others wait for.
    fn events(&self, caller: Caller, prepared: Prepared, room: OwnedSemaphorePermit) -> BoxStream<'static, Response> {
        let (tells, mut told) = mpsc::channel(1);
        let (schema, request_id) = (self.face.schema.clone(), Arc::clone(&self.request_id));
        let work = async move {
            let mut events = schema.subscribe(caller, prepared);
            while let Some(mut event) = events.next().await {
                name_errors(&mut event, &request_id);
                // What can't be shown ends the subscription; a client never waits for what will not come.
                let is_last = event.data == Value::Null;
                if tells.send(event).await.is_err() || is_last {
                    break;
                }
            }
        };
        let work = AbortOnDropHandle::new(tokio::spawn(work.in_current_span()));
        Box::pin(poll_fn(move |cx| {
            let _held = (&work, &room);
            told.poll_recv(cx)
        }))
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
