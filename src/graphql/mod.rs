//! The face in GraphQL: arguments become nouns, one verb is called, and what comes back is wrapped.
//!
//! No query and no rule of the business is here. Objects wrap a row and name each field that they show, so that a new column is never shown by
//! accident; nothing of [`crate::error::Error`] reaches a client but through `failure`.

mod attempt;
mod attempt_input;
mod cart;
mod context;
mod failure;
mod input;
mod loader;
mod lock;
mod lock_input;
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
mod subscription;
mod summary;
#[cfg(test)]
mod tests;
mod token;
mod token_input;
mod transaction;
mod transaction_input;
mod viewer;
mod visible;
mod walk;

use std::sync::Arc;

use async_graphql::{
    Response,
    dataloader::{DataLoader, HashMapCache},
    futures_util::stream::{BoxStream, StreamExt},
};
use tokio::sync::Semaphore;
use tokio_util::sync::DropGuard;

use self::loader::{Batch, NextTurn, WhileAskedFor};
pub use self::{failure::UNAVAILABLE, request::Prepared};
use crate::{app::App, auth::Caller};

/// How many events are read at once: however many watch, there are connections to the database left for requests.
const READ_AT_ONCE: usize = 2;

/// The schema with all that its resolvers need of the server.
#[derive(Clone)]
pub struct Schema {
    app: Arc<App>,
    schema: async_graphql::Schema<query::Query, mutation::Mutation, subscription::Subscription>,
}

impl Schema {
    /// A schema over this app. It has no extension: one alone would put every field on a slower path, so that whatever wraps an
    /// execution stands in the HTTP layer.
    pub fn new(app: Arc<App>) -> Self {
        let turns = subscription::Turns(Semaphore::new(READ_AT_ONCE));
        Self { schema: builder().data(Arc::clone(&app)).data(turns).finish(), app }
    }

    /// Answers one request of a caller. Loaders are made anew for each: no batching across callers, and no row that is older than the request.
    /// Between one mutation of a request and the next nothing is kept.
    pub async fn execute(&self, caller: Caller, prepared: Prepared) -> Response {
        let (loader, _batches_end_with_it) = self.loader(!prepared.is_mutation());
        self.schema.execute(prepared.into_request().data(caller).data(loader)).await
    }

    /// Answers a subscription of a caller, event by event. Each is read anew: between one and the next nothing is kept.
    pub fn subscribe(&self, caller: Caller, prepared: Prepared) -> BoxStream<'static, Response> {
        let (loader, batches_end_with_it) = self.loader(false);
        let events = self.schema.execute_stream(prepared.into_request().data(caller).data(loader));
        Box::pin(events.inspect(move |_| {
            let _held = &batches_end_with_it;
        }))
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

fn builder() -> async_graphql::SchemaBuilder<query::Query, mutation::Mutation, subscription::Subscription> {
    async_graphql::Schema::build(query::Query, mutation::Mutation, subscription::Subscription).disable_suggestions()
}

/// The schema in the schema definition language, as it is checked in beside Cargo.toml.
pub fn sdl() -> String {
    let options = async_graphql::SDLExportOptions::new().prefer_single_line_descriptions();
    let sdl = builder().finish().sdl_with_options(options);
    format!("{}\n", sdl.trim_end())
}
