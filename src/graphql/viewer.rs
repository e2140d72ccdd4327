//! Who the server thinks is asking.

use async_graphql::{Context, Enum, ID, Object};

use super::{
    context::app,
    failure::Failure,
    paging::{OrderConnection, OrderFilter, PageArguments, connection, filter_of, wanted},
    walk::Walked,
};
use crate::{
    auth::{Caller, CallerKind},
    service::order_list,
};

/// The three kinds of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "CallerKind")]
pub enum ViewerKind {
    /// A signed-in user.
    User,
    /// An anonymous user: a guest.
    Anonymous,
    /// A trusted service.
    Service,
}

/// Who the server thinks is asking, and the orders that belong to them.
pub struct Viewer(pub Caller);

/// Who the server thinks is asking, and the orders that belong to them.
#[Object]
impl Viewer {
    /// The id that the identity system gave them.
    async fn id(&self) -> ID {
        self.0.id.clone().into()
    }

    /// User, anonymous user or service.
    async fn kind(&self) -> ViewerKind {
        self.0.kind.into()
    }

    /// What a service may do; empty for shoppers.
    async fn scopes(&self) -> Vec<String> {
        self.0.scopes.iter().map(ToString::to_string).collect()
    }

    /// Their own orders, newest first; a service has none.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection are what they are")]
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first n, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
        #[graphql(desc = "The last n, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
        #[graphql(desc = "The k-th page of `first`, from 1; without cursors and filter.")] page: Option<i32>,
        #[graphql(desc = "Only these.")] filter: Option<OrderFilter>,
    ) -> Result<Walked<OrderConnection>, Failure> {
        let part = PageArguments { first, after, last, before, page }.part()?;
        let page = order_list::get_own_orders(app(ctx), &self.0, filter_of(filter)?, part, wanted(ctx)).await?;
        connection(ctx, page).await
    }
}
