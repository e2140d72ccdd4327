//! The face in GraphQL: arguments become nouns, one verb is called, and what comes back is wrapped.
//!
//! No query and no rule of the business is here. Objects wrap a row and name each field that they show, so that a new column is never shown by
//! accident; nothing of [`crate::error::Error`] reaches a client but through [`failure`].

mod attempt;
mod cart;
mod failure;
mod input;
mod loader;
mod money;
mod mutation;
mod node;
mod order;
mod paging;
mod payment;
mod problem;
mod query;
mod scalar;
mod summary;
mod viewer;
mod visible;
mod walk;

use std::sync::Arc;

use async_graphql::{
    EmptySubscription, Request, Response,
    dataloader::{DataLoader, HashMapCache},
    runtime::TokioSpawner,
};

use self::loader::{Batch, NextTurn};
use crate::{app::App, auth::Caller};

/// The schema with all that its resolvers need of the server.
#[derive(Clone)]
pub struct Schema(async_graphql::Schema<query::Query, mutation::Mutation, EmptySubscription>);

impl Schema {
    /// A schema over this app. It has no extension: one alone would put every field on a slower path, so that whatever wraps an
    /// execution stands in the HTTP layer.
    pub fn new(app: Arc<App>) -> Self {
        Self(builder().data(app).finish())
    }

    /// Answers one request of a caller. Loaders are made anew for each: no stale rows, no batching across callers.
    pub async fn execute(&self, app: &Arc<App>, caller: Caller, request: Request) -> Response {
        let loader =
            DataLoader::with_cache(Batch(Arc::clone(app)), TokioSpawner::current(), NextTurn, HashMapCache::default());
        self.0.execute(request.data(caller).data(loader)).await
    }
}

fn builder() -> async_graphql::SchemaBuilder<query::Query, mutation::Mutation, EmptySubscription> {
    async_graphql::Schema::build(query::Query, mutation::Mutation, EmptySubscription).disable_suggestions()
}

/// The schema in the schema definition language, as it is checked in beside Cargo.toml.
pub fn sdl() -> String {
    let options = async_graphql::SDLExportOptions::new().sorted_fields().sorted_arguments().sorted_enum_items();
    let sdl = builder().finish().sdl_with_options(options);
    format!("{}\n", sdl.trim_end())
}
