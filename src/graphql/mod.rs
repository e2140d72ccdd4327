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
mod summary;
#[cfg(test)]
mod tests;
mod token;
mod transaction;
mod transaction_input;
mod viewer;
mod visible;
mod walk;

use std::sync::Arc;

use async_graphql::{
    EmptySubscription, Response,
    dataloader::{DataLoader, HashMapCache},
};

use self::loader::{Batch, NextTurn, WhileAskedFor};
pub use self::{failure::UNAVAILABLE, request::Prepared};
use crate::{app::App, auth::Caller};

/// The schema with all that its resolvers need of the server.
#[derive(Clone)]
pub struct Schema {
    app: Arc<App>,
    schema: async_graphql::Schema<query::Query, mutation::Mutation, EmptySubscription>,
}

impl Schema {
    /// A schema over this app. It has no extension: one alone would put every field on a slower path, so that whatever wraps an
    /// execution stands in the HTTP layer.
    pub fn new(app: Arc<App>) -> Self {
        Self { schema: builder().data(Arc::clone(&app)).finish(), app }
    }

    /// Answers one request of a caller. Loaders are made anew for each: no batching across callers, and no row that is older than the request.
    /// Between one mutation of a request and the next nothing is kept.
    pub async fn execute(&self, caller: Caller, prepared: Prepared) -> Response {
        let batch = Batch(Arc::clone(&self.app));
        let spawner = WhileAskedFor::default();
        let _batches_end_with_it = spawner.until_dropped();
        let loader = DataLoader::with_cache(batch, spawner, NextTurn, HashMapCache::default());
        loader.enable_all_cache(!prepared.is_mutation());
        self.schema.execute(prepared.into_request().data(caller).data(loader)).await
    }
}

fn builder() -> async_graphql::SchemaBuilder<query::Query, mutation::Mutation, EmptySubscription> {
    async_graphql::Schema::build(query::Query, mutation::Mutation, EmptySubscription).disable_suggestions()
}

/// The schema in the schema definition language, as it is checked in beside Cargo.toml.
pub fn sdl() -> String {
    let options = async_graphql::SDLExportOptions::new().prefer_single_line_descriptions();
    let sdl = builder().finish().sdl_with_options(options);
    format!("{}\n", sdl.trim_end())
}
