//! What a resolver finds in its context.

use std::sync::Arc;

use async_graphql::ContextBase;

use crate::{app::App, auth::Caller};

/// What the server is made of.
pub fn app<'a, T>(ctx: &ContextBase<'a, T>) -> &'a App {
    ctx.data_unchecked::<Arc<App>>()
}

/// Who is asking.
pub fn caller<'a, T>(ctx: &ContextBase<'a, T>) -> &'a Caller {
    ctx.data_unchecked()
}
