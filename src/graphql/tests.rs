//! The schema from inside: the walk against the stock executor, and that nothing is left undescribed.

mod introspection;
mod limits;
mod world;

use async_graphql::futures_util::StreamExt;
use entity::owner::{Owner, OwnerKind};

use self::world::{app, checkout, service};
use super::{walk::Only, *};
use crate::{
    auth::{CallerKind, Scope},
    service::order_list,
};

const QUERIES: [&str; 10] = [
    "{ orders { edges { cursor node { id number status } } pageInfo { hasNextPage endCursor startCursor hasPreviousPage } } }",
    "{ orders { totalCount pageCount nodes { total { amount currency minorUnits } amountDue { amount } version metadata } } }",
    "{ orders { nodes { cart { digest externalId lines { sku quantity unitPrice { amount } lineTotal { amount } attributes }
       subtotal { amount } discountTotal { amount } shippingTotal { amount } taxTotal { amount } total { amount } } } } }",
    "{ orders { nodes { payments { id summary { fullyCaptured } } paymentAttempts { id order { id } } snapshot { takenAt }
       paymentSummary { amountAvailableForAuthorize { amount } amountPending { minorUnits } fullyAuthorized } } } }",
    "{ orders { nodes { payments { lock { purpose acquiredAt expiresAt fencingNumber } transactions { id kind status managementState
       amount { amount } parent { kind parent { id } } reference providerReference failure { code message decline }
       source sourceEntityType sourceEntityId createdAt settledAt } } } } }",
    "{ again: orders(first: 1) { n: nodes { a: number b: number __typename } __typename } viewer { id kind scopes } }",
    "query($no: Boolean = false, $yes: Boolean = true) { orders { nodes { id @skip(if: $yes) number @include(if: $no) status } } }",
    "{ orders { nodes { ...one ... on Node { id } ... on Order { owner { kind id } } ... { createdAt updatedAt } } } }
     fragment one on Order { total { amount } ...two } fragment two on Order { total { currency } paidAt cancelledAt }",
    "{ orders { nodes { total { amount } total { currency } } nodes { number } edges { cursor } edges { node { id } } } }",
    "{ orders(first: 0) { nodes { id } } }",
];

/// A schema that anything may be asked of.
async fn open_schema() -> Schema {
    Schema::new(app().await, Settings { introspection: true, ..Settings::default() })
}

fn asked(query: &str) -> Asked {
    Asked { document: Named { query: Some(query.to_owned()), ..Named::default() }, ..Asked::default() }
}

async fn prepared(schema: &Schema, caller: &Caller, query: &str) -> Prepared {
    schema.prepare(caller, asked(query)).await.unwrap()
}

async fn answered(schema: &Schema, caller: Caller, query: &str) -> serde_json::Value {
    let prepared = prepared(schema, &caller, query).await;
    shown(&schema.execute(caller, prepared).await)
}

fn shown(answer: &Response) -> serde_json::Value {
    serde_json::from_slice(&to_json(answer, true)).unwrap()
}

/// Whether a part of an answer was written before the whole.
fn holds_json(of: &Value) -> bool {
    match of {
        Value::Binary(_) => true,
        Value::Object(fields) => fields.values().any(holds_json),
        Value::List(items) => items.iter().any(holds_json),
        _ => false,
    }
}

#[tokio::test]
async fn a_walk_answers_as_the_stock_executor_does() {
    let schema = open_schema().await;
    let (mut written, mut proven) = (0, 0);
    for query in QUERIES {
        let request = async || prepared(&schema, &checkout(), query).await;
        let stock = schema.execute(checkout(), request().await.with(Only::Stock)).await;
        assert!(stock.is_ok() || query.contains("first: 0"), "{query}: {:?}", stock.errors);
        // Once is known to be valid by then.
        for request in [request().await, request().await.with(Only::Values)] {
            proven += usize::from(request.is_proven());
            let walked = schema.execute(checkout(), request).await;
            written += usize::from(holds_json(&walked.data));
            let bytes = |answer: &Response| String::from_utf8(to_json(answer, true)).unwrap();
            assert_eq!(bytes(&walked), bytes(&stock), "{query}");
        }
    }
    // Two have keys that come twice, and one runs into an error.
    assert_eq!((written, proven), (QUERIES.len() - 3, 2 * (QUERIES.len() - 1)));
}

#[tokio::test]
async fn the_examples_of_the_page_fit_the_schema() {
    let schema = open_schema().await;
    let made = answered(&schema, checkout(), "{ orders(first: 1) { nodes { id payments { id } } } }").await;
    let id = |at: &str| made.pointer(at).and_then(|id| id.as_str()).unwrap();
    let (order_id, payment_id) = (id("/data/orders/nodes/0/id"), id("/data/orders/nodes/0/payments/0/id"));
    for example in crate::http::graphiql::EXAMPLES {
        // What the page puts in their place.
        let variables = example
            .variables
            .replace("{{orderId}}", order_id)
            .replace("{{paymentId}}", payment_id)
            .replace("{{pageUrl}}", "http://127.0.0.1/")
            .replace("{{", "")
            .replace("}}", "");
        let asked = Asked { variables: serde_json::from_str(&variables).unwrap(), ..asked(example.query) };
        let prepared = schema.prepare(&checkout(), asked).await.unwrap();
        let answer = match prepared.is_subscription() {
            true => schema.subscribe(checkout(), prepared).next().await.unwrap(),
            false => schema.execute(checkout(), prepared).await,
        };
        assert!(answer.is_ok(), "{}: {:?}", example.query, answer.errors);
    }
}

// rules A2, L1
#[tokio::test]
async fn a_forged_cursor_does_not_tell_whether_a_foreign_order_exists() {
    let schema = open_schema().await;
    let made = answered(&schema, checkout(), "{ orders(first: 1) { nodes { id } } }").await;
    let foreign = made.pointer("/data/orders/nodes/0/id").and_then(|id| id.as_str()).unwrap().parse().unwrap();
    let missing = entity::id::OrderId::new(chrono::DateTime::UNIX_EPOCH);
    let grace = Owner { kind: OwnerKind::User, id: "grace".into() };
    let answer = async |id| {
        let cursor = order_list::forged(grace.clone(), id);
        let query = format!("{{ viewer {{ orders(after: {cursor:?}) {{ nodes {{ id }} }} }} }}");
        let caller = Caller { kind: CallerKind::User, id: "grace".into(), scopes: [].into() };
        answered(&schema, caller, &query).await
    };
    let told = answer(foreign).await;
    assert_eq!(told, answer(missing).await);
    assert_eq!(told.pointer("/errors/0/extensions/code").and_then(|code| code.as_str()), Some("INVALID_INPUT"));
}

// rules A3, A5: what is hidden is refused too, were it ever shown by mistake
#[tokio::test]
async fn what_hides_is_not_what_refuses() {
    let schema = open_schema().await;
    let nobody = service(&[]);
    let mut refused = vec![];
    for example in crate::http::graphiql::EXAMPLES.iter().filter(|example| example.query.contains("mutation")) {
        let variables = serde_json::from_str(&example.variables.replace("{{", "").replace("}}", "")).unwrap();
        let prepared =
            schema.prepare(&service(&Scope::ALL), Asked { variables, ..asked(example.query) }).await.unwrap();
        let answer = shown(&schema.execute(nobody.clone(), prepared).await);
        refused.push(answer.pointer("/errors/0/extensions/code").and_then(|code| code.as_str()).map(str::to_owned));
    }
    assert!(refused.len() > 10);
    assert!(refused.iter().all(|code| code.as_deref() == Some("FORBIDDEN")), "{refused:?}");
}

// rule A4
#[tokio::test]
async fn transactions_are_nothing_to_whoever_does_not_audit() {
    let schema = open_schema().await;
    let reader = service(&[Scope::OrdersRead]);
    let refused = async |field: &str| {
        let query = format!("{{ orders {{ nodes {{ payments {{ id {field} {{ id }} }} }} }} }}");
        let error = schema.prepare(&reader, asked(&query)).await.err().unwrap();
        error.message.replace(field, "…")
    };
    assert_eq!(refused("transactions").await, "Unknown field \"…\" on type \"Payment\".");
    assert_eq!(refused("transactions").await, refused("transactionz").await);
}
