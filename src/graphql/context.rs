//! What a resolver finds in its context.

use std::sync::Arc;

use async_graphql::Context;

use crate::{app::App, auth::Caller};

/// What the server is made of.
pub fn app<'a>(ctx: &Context<'a>) -> &'a App {
    ctx.data_unchecked::<Arc<App>>()
}

/// Who is asking.
pub fn caller<'a>(ctx: &Context<'a>) -> &'a Caller {
    ctx.data_unchecked()
}
