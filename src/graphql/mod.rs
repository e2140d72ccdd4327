//! The face in GraphQL: arguments become nouns, one verb is called, and what comes back is wrapped.
//!
//! No query and no rule of the business is here. Objects wrap a row and name each field that they show, so that a new column is never shown by
//! accident; nothing of [`crate::error::Error`] reaches a client but through `failure`.

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
    let options = async_graphql::SDLExportOptions::new().prefer_single_line_descriptions();
    let sdl = builder().finish().sdl_with_options(options);
    format!("{}\n", sdl.trim_end())
}

#[cfg(test)]
mod tests {
    use super::{walk::StockOnly, *};
    use crate::{
        auth::{CallerKind, Scope},
        clock::Clock,
        config::ReturnOrigins,
        db::Database,
        provider::Providers,
        service::order::{NewOrder, create_order},
    };
    use entity::{
        cart::{Cart, Draft, Line},
        metadata::Metadata,
        money::Money,
        owner::{Owner, OwnerKind},
    };

    fn checkout() -> Caller {
        Caller { kind: CallerKind::Service, id: "checkout".into(), scopes: Scope::ALL.into() }
    }

    /// An app with two orders and nobody to pay them.
    async fn app() -> Arc<App> {
        let db = Database::open("sqlite::memory:", 1).await.unwrap();
        db.migrate().await.unwrap();
        let providers = Providers::new(vec![]);
        let app = App { db, clock: Clock::default(), providers, return_origins: ReturnOrigins::Loopback };
        for (key, quantity) in [("1", 1), ("2", 2)] {
            let currency = "KWD".parse().unwrap();
            let zero = Money::zero(currency);
            let attributes = Metadata::new([("colour".to_owned(), "red".to_owned())].into()).unwrap();
            let unit_price = Money::new(1250, currency);
            let line = Line { sku: "TEA".into(), name: "Tea".into(), quantity, unit_price, attributes };
            let draft =
                Draft { external_id: None, currency, lines: vec![line], discount: zero, shipping: zero, tax: zero };
            let owner = Owner { kind: OwnerKind::User, id: "ada".into() };
            let new = NewOrder { owner, cart: Cart::new(draft).unwrap(), metadata: Metadata::default() };
            create_order(&app, &checkout(), new, key).await.unwrap();
        }
        Arc::new(app)
    }

    const QUERIES: [&str; 9] = [
        "{ orders { edges { cursor node { id number status } } pageInfo { hasNextPage endCursor startCursor hasPreviousPage } } }",
        "{ orders { totalCount pageCount nodes { total { amount currency minorUnits } amountDue { amount } version metadata } } }",
        "{ orders { nodes { cart { digest externalId lines { sku quantity unitPrice { amount } lineTotal { amount } attributes }
           subtotal { amount } discountTotal { amount } shippingTotal { amount } taxTotal { amount } total { amount } } } } }",
        "{ orders { nodes { payments { id summary { fullyCaptured } } paymentAttempts { id order { id } } snapshot { takenAt }
           paymentSummary { amountAvailableForAuthorize { amount } amountPending { minorUnits } fullyAuthorized } } } }",
        "{ again: orders(first: 1) { n: nodes { a: number b: number __typename } __typename } viewer { id kind scopes } }",
        "query($no: Boolean = false, $yes: Boolean = true) { orders { nodes { id @skip(if: $yes) number @include(if: $no) status } } }",
        "{ orders { nodes { ...one ... on Node { id } ... on Order { owner { kind id } } ... { createdAt updatedAt } } } }
         fragment one on Order { total { amount } ...two } fragment two on Order { total { currency } paidAt cancelledAt }",
        "{ orders { nodes { total { amount } total { currency } } nodes { number } edges { cursor } edges { node { id } } } }",
        "{ orders(first: 0) { nodes { id } } }",
    ];

    #[tokio::test]
    async fn a_walk_answers_as_the_stock_executor_does() {
        let app = app().await;
        let schema = Schema::new(Arc::clone(&app));
        for query in QUERIES {
            let walked = schema.execute(&app, checkout(), Request::new(query)).await;
            let stock = schema.execute(&app, checkout(), Request::new(query).data(StockOnly)).await;
            let shown = |answer: &Response| serde_json::to_string(answer).unwrap();
            assert_eq!(shown(&walked), shown(&stock), "{query}");
            assert!(walked.is_ok() || query.contains("first: 0"), "{query}: {:?}", walked.errors);
        }
    }

    #[tokio::test]
    async fn the_examples_of_the_page_fit_the_schema() {
        let app = app().await;
        let schema = Schema::new(Arc::clone(&app));
        let made = schema.execute(&app, checkout(), Request::new("{ orders(first: 1) { nodes { id } } }")).await;
        let made = made.data.into_json().unwrap();
        let order_id = made.pointer("/orders/nodes/0/id").and_then(|id| id.as_str()).unwrap();
        for example in crate::http::graphiql::EXAMPLES {
            // What the page puts in their place.
            let variables = example
                .variables
                .replace("{{orderId}}", order_id)
                .replace("{{pageUrl}}", "http://127.0.0.1/")
                .replace("{{", "")
                .replace("}}", "");
            let variables: serde_json::Value = serde_json::from_str(&variables).unwrap();
            let request = Request::new(example.query).variables(async_graphql::Variables::from_json(variables));
            let answer = schema.execute(&app, checkout(), request).await;
            assert!(answer.is_ok(), "{}: {:?}", example.query, answer.errors);
        }
    }
}
