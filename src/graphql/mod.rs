//! The face in GraphQL: arguments become nouns, one verb is called, and what comes back is wrapped.
//!
//! No query and no rule of the business is here. Objects wrap a row and name each field that they show, so that a new column is never shown by
//! accident; nothing of [`crate::error::Error`] reaches a client but through `failure`.

mod attempt;
mod attempt_input;
mod cart;
mod context;
mod document;
mod failure;
mod input;
mod json;
mod limit;
mod loader;
mod lock;
mod lock_input;
mod measure;
mod money;
mod mutation;
mod node;
mod operation;
mod order;
mod order_input;
mod paging;
mod payment;
mod payment_input;
mod problem;
mod provider_failure;
mod query;
mod reconciliation;
mod request;
mod scalar;
mod shape;
mod subscription;
mod summary;
#[cfg(test)]
mod tests;
mod token;
mod token_count;
mod token_input;
mod transaction;
mod transaction_input;
mod view;
mod viewer;
mod visible;
mod walk;

use std::sync::Arc;

use async_graphql::{
    Request, Response, ServerError, ValidationMode, Value,
    dataloader::{DataLoader, HashMapCache},
    futures_util::stream::{BoxStream, StreamExt},
    value,
};
use tokio::sync::Semaphore;
use tokio_util::sync::DropGuard;

use self::{
    document::Documents,
    loader::{Batch, NextTurn, WhileAskedFor},
    view::{Eyes, View, Views},
    walk::AsJson,
};
pub use self::{
    document::{Named, Trusted, Untrusted},
    failure::UNAVAILABLE,
    json::response as to_json,
    limit::Limits,
    request::{Asked, Prepared},
};
use crate::{
    app::App,
    auth::{Caller, CallerKind, Scope},
};

/// How many events are read at once: however many watch, there are connections to the database left for requests.
const READ_AT_ONCE: usize = 2;

/// What a schema may be asked.
#[derive(Debug, Default)]
pub struct Settings {
    pub limits: Limits,
    /// Nothing else runs, if there are any.
    pub trusted: Option<Trusted>,
    pub introspection: bool,
}

/// The schema with all that its resolvers need of the server.
#[derive(Clone)]
pub struct Schema {
    app: Arc<App>,
    schema: Executor,
    /// The same, for documents that are known to be valid: it does not validate them again.
    trusting: Executor,
    asking: Arc<Asking>,
}

/// What a request has to pass before it runs.
struct Asking {
    limits: Limits,
    introspection: bool,
    documents: Documents,
    views: Views,
}

impl Schema {
    /// A schema over this app. It has no extension: one alone would put every field on a slower path, so that whatever wraps an
    /// execution stands in the HTTP layer.
    pub fn new(app: Arc<App>, settings: Settings) -> Self {
        let turns = subscription::Turns(Semaphore::new(READ_AT_ONCE));
        let Settings { limits, trusted, introspection } = settings;
        let documents = Documents::new(limits, trusted);
        let asking = Asking { limits, introspection, documents, views: Views::default() };
        let schema = builder().data(Arc::clone(&app)).data(turns).finish();
        let trusting = builder().data(Arc::clone(&app)).validation_mode(ValidationMode::Fast).finish();
        Self { schema, trusting, app, asking: Arc::new(asking) }
    }

    /// Makes a request of a caller ready to be executed, or says why it isn't.
    pub async fn prepare(&self, caller: &Caller, asked: Asked) -> Result<Prepared, ServerError> {
        let Asking { limits, introspection, documents, .. } = &*self.asking;
        let view = self.view(caller).await?;
        Prepared::new(asked, documents, &view, limits, *introspection)
    }

    /// Whether a request is for a query, as far as can be told without a look at its document: of one that is not known, nothing can.
    pub fn is_known_query(&self, asked: &Asked) -> bool {
        let known = self.asking.documents.known(&asked.document);
        known.is_some_and(|document| request::is_query(&document.parsed, asked.operation_name.as_deref()))
    }

    /// What a caller sees of the schema.
    async fn view(&self, caller: &Caller) -> Result<Arc<View>, ServerError> {
        let eyes = Eyes::from(caller);
        if let Some(view) = self.asking.views.find(&eyes) {
            return Ok(view);
        }
        let told = self.schema.execute(Request::new(view::INTROSPECTION).data(caller.clone())).await;
        let view = told.data.into_json().and_then(View::read).map_err(|error| {
            tracing::error!(%error, "the schema can't be read");
            failure::internal()
        })?;
        let view = Arc::new(view);
        self.asking.views.keep(eyes, Arc::clone(&view));
        Ok(view)
    }

    /// Whether each trusted document is one that some caller could run.
    pub async fn check_documents(&self) -> Result<(), Untrusted> {
        let service = Caller { kind: CallerKind::Service, id: "all".into(), scopes: Scope::ALL.into() };
        let shopper = Caller { kind: CallerKind::User, id: "one".into(), scopes: [].into() };
        let mut views = vec![];
        for caller in [service, shopper] {
            views.push(self.view(&caller).await.map_err(|error| Untrusted(error.message))?);
        }
        self.asking.documents.check(&views)
    }

    /// Answers one request of a caller. Loaders are made anew for each: no batching across callers, and no row that is older than the request.
    /// Between one mutation of a request and the next nothing is kept.
    ///
    /// Parts of the answer may be JSON already: it leaves through [`to_json`] and no other way.
    pub async fn execute(&self, caller: Caller, prepared: Prepared) -> Response {
        let (loader, _batches_end_with_it) = self.loader(!prepared.is_mutation());
        let cost = self.cost(&prepared);
        let document = prepared.document();
        let executor = if prepared.is_proven() { &self.trusting } else { &self.schema };
        let mut request = prepared.into_request().data(caller).data(loader).data(document.shape);
        if document.shape.keys_are_unique {
            request = request.data(AsJson);
        }
        let answer = executor.execute(request).await;
        if answer.is_ok() {
            document.was_valid();
        }
        answer.extension("cost", cost)
    }

    /// Answers a subscription of a caller, event by event. Each is read anew: between one and the next nothing is kept.
    pub fn subscribe(&self, caller: Caller, prepared: Prepared) -> BoxStream<'static, Response> {
        let (loader, batches_end_with_it) = self.loader(false);
        let events = self.schema.execute_stream(prepared.into_request().data(caller).data(loader));
        Box::pin(events.inspect(move |_| {
            let _held = &batches_end_with_it;
        }))
    }

    /// What the request costs at the most, and what it might have cost.
    fn cost(&self, prepared: &Prepared) -> Value {
        value!({ "requested": prepared.cost(), "limit": self.asking.limits.cost })
    }

    /// Loaders, and what ends their work when it is dropped.
    fn loader(&self, keeps: bool) -> (DataLoader<Batch, HashMapCache>, DropGuard) {
        let batch = Batch(Arc::clone(&self.app));
        let spawner = WhileAskedFor::default();
        let batches_end_with_it = spawner.until_dropped();
        let loader = DataLoader::with_cache(batch, spawner, NextTurn, HashMapCache::default());
        loader.enable_all_cache(keeps);
        (loader, batches_end_with_it)
    }
}

type Executor = async_graphql::Schema<query::Query, mutation::Mutation, subscription::Subscription>;

fn builder() -> async_graphql::SchemaBuilder<query::Query, mutation::Mutation, subscription::Subscription> {
    async_graphql::Schema::build(query::Query, mutation::Mutation, subscription::Subscription).disable_suggestions()
}

/// The schema in the schema definition language, as it is checked in beside Cargo.toml.
pub fn sdl() -> String {
    let options = async_graphql::SDLExportOptions::new().prefer_single_line_descriptions();
    let sdl = builder().finish().sdl_with_options(options);
    format!("{}\n", sdl.trim_end())
}
