//! The schema from inside: the walk against the stock executor, and that nothing is left undescribed.

use super::{walk::StockOnly, *};
use crate::{
    auth::{CallerKind, Scope},
    clock::Clock,
    config::ReturnOrigins,
    db::Database,
    provider::Providers,
    service::{
        order::{NewOrder, create_order},
        order_list,
    },
};
use entity::{
    cart::{Cart, Draft, Line},
    metadata::Metadata,
    money::Money,
    owner::{Owner, OwnerKind},
};

fn service(scopes: &[Scope]) -> Caller {
    Caller { kind: CallerKind::Service, id: "checkout".into(), scopes: scopes.iter().copied().collect() }
}

fn checkout() -> Caller {
    service(&Scope::ALL)
}

/// An app with two orders and nobody to pay them.
async fn app() -> Arc<App> {
    let db = Database::open("sqlite::memory:", 1).await.unwrap();
    db.migrate().await.unwrap();
    let providers = Providers::new(vec![]);
    let provider_timeout = std::time::Duration::from_secs(1);
    let return_origins = ReturnOrigins::Loopback;
    let payment_lock_ttl = std::time::Duration::from_secs(10);
    let app = App { db, clock: Clock::default(), providers, return_origins, provider_timeout, payment_lock_ttl };
    for (key, quantity) in [("1", 1), ("2", 2)] {
        let currency = "KWD".parse().unwrap();
        let zero = Money::zero(currency);
        let attributes = Metadata::new([("colour".to_owned(), "red".to_owned())].into()).unwrap();
        let unit_price = Money::new(1250, currency);
        let line = Line { sku: "TEA".into(), name: "Tea".into(), quantity, unit_price, attributes };
        let draft = Draft { external_id: None, currency, lines: vec![line], discount: zero, shipping: zero, tax: zero };
        let owner = Owner { kind: OwnerKind::User, id: "ada".into() };
        let new = NewOrder { owner, cart: Cart::new(draft).unwrap(), metadata: Metadata::default() };
        create_order(&app, &checkout(), Ok(new), key).await.unwrap();
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

fn prepared(query: &str) -> Prepared {
    Prepared::new(query.to_owned(), None, serde_json::Map::new()).unwrap()
}

fn shown(answer: &Response) -> serde_json::Value {
    serde_json::to_value(answer).unwrap()
}

#[tokio::test]
async fn a_walk_answers_as_the_stock_executor_does() {
    let schema = Schema::new(app().await);
    for query in QUERIES {
        let walked = schema.execute(checkout(), prepared(query)).await;
        let stock = schema.execute(checkout(), prepared(query).with(StockOnly)).await;
        let bytes = |answer: &Response| serde_json::to_string(answer).unwrap();
        assert_eq!(bytes(&walked), bytes(&stock), "{query}");
        assert!(walked.is_ok() || query.contains("first: 0"), "{query}: {:?}", walked.errors);
    }
}

#[tokio::test]
async fn the_examples_of_the_page_fit_the_schema() {
    let schema = Schema::new(app().await);
    let made = shown(&schema.execute(checkout(), prepared("{ orders(first: 1) { nodes { id } } }")).await);
    let order_id = made.pointer("/data/orders/nodes/0/id").and_then(|id| id.as_str()).unwrap();
    for example in crate::http::graphiql::EXAMPLES {
        // What the page puts in their place.
        let variables = example
            .variables
            .replace("{{orderId}}", order_id)
            .replace("{{pageUrl}}", "http://127.0.0.1/")
            .replace("{{", "")
            .replace("}}", "");
        let prepared = Prepared::new(example.query.to_owned(), None, serde_json::from_str(&variables).unwrap());
        let answer = schema.execute(checkout(), prepared.unwrap()).await;
        assert!(answer.is_ok(), "{}: {:?}", example.query, answer.errors);
    }
}

// rules A2, L1
#[tokio::test]
async fn a_forged_cursor_does_not_tell_whether_a_foreign_order_exists() {
    let schema = Schema::new(app().await);
    let made = shown(&schema.execute(checkout(), prepared("{ orders(first: 1) { nodes { id } } }")).await);
    let foreign = made.pointer("/data/orders/nodes/0/id").and_then(|id| id.as_str()).unwrap().parse().unwrap();
    let missing = entity::id::OrderId::new(chrono::DateTime::UNIX_EPOCH);
    let grace = Owner { kind: OwnerKind::User, id: "grace".into() };
    let answer = async |id| {
        let cursor = order_list::forged(grace.clone(), id);
        let query = format!("{{ viewer {{ orders(after: {cursor:?}) {{ nodes {{ id }} }} }} }}");
        let caller = Caller { kind: CallerKind::User, id: "grace".into(), scopes: [].into() };
        shown(&schema.execute(caller, prepared(&query)).await)
    };
    let told = answer(foreign).await;
    assert_eq!(told, answer(missing).await);
    assert_eq!(told.pointer("/errors/0/extensions/code").and_then(|code| code.as_str()), Some("INVALID_INPUT"));
}

/// All that the schema says of itself to this caller.
async fn introspected(caller: Caller) -> Vec<serde_json::Value> {
    let schema = Schema::new(app().await);
    let query = "{ __schema { types { kind name description enumValues { name description }
        inputFields { name description } fields { name description args { name description } } } } }";
    let answer = shown(&schema.execute(caller, prepared(query)).await);
    let types = answer.pointer("/data/__schema/types").and_then(|types| types.as_array()).unwrap();
    // GraphQL's own are described in its specification.
    let is_ours = |name: &str| !name.starts_with("__") && !["ID", "String", "Int", "Float", "Boolean"].contains(&name);
    types.iter().filter(|it| is_ours(it["name"].as_str().unwrap())).cloned().collect()
}

fn each<'a>(parent: &'a serde_json::Value, children: &str) -> impl Iterator<Item = &'a serde_json::Value> {
    parent[children].as_array().into_iter().flatten()
}

#[tokio::test]
async fn everything_in_the_schema_has_a_description() {
    let types = introspected(checkout()).await;
    let is_bare = |it: &serde_json::Value| it["description"].as_str().is_none_or(str::is_empty);
    let mut bare = vec![];
    for of_type in &types {
        let fields = || each(of_type, "fields");
        let members = fields().chain(each(of_type, "enumValues")).chain(each(of_type, "inputFields"));
        let arguments = fields().flat_map(|field| each(field, "args"));
        let found = std::iter::once(of_type).chain(members).chain(arguments).filter(|it| is_bare(it));
        bare.extend(found.map(|it| format!("{}.{}", of_type["name"], it["name"])));
    }
    assert_eq!(bare, Vec::<String>::new());
    assert!(types.len() > 30);
}

/// Fields that are read on demand, so that a selection with one of them is answered by the stock executor.
const ON_DEMAND: [&str; 6] = [
    "Payment.order",
    "Payment.lock",
    "Payment.transactions",
    "PaymentAttempt.order",
    "PaymentAttempt.payment",
    "OrderSnapshot.paymentAttempt",
];

#[tokio::test]
async fn every_field_that_is_at_hand_is_answered_by_the_walk() {
    let walked: &[(&str, &[&str])] = &[
        ("Cart", cart::Cart::AT_HAND),
        ("CartLine", cart::CartLine::AT_HAND),
        ("Failure", provider_failure::ProviderFailure::AT_HAND),
        ("Money", money::Money::AT_HAND),
        ("Order", order::Order::AT_HAND),
        ("OrderConnection", paging::OrderConnection::AT_HAND),
        ("OrderEdge", paging::OrderEdge::AT_HAND),
        ("OrderOwner", order::OrderOwner::AT_HAND),
        ("OrderSnapshot", order::OrderSnapshot::AT_HAND),
        ("PageInfo", paging::PageInfo::AT_HAND),
        ("Payment", payment::Payment::AT_HAND),
        ("PaymentAttempt", attempt::PaymentAttempt::AT_HAND),
        ("PaymentLockState", lock::PaymentLockState::AT_HAND),
        ("PaymentSummary", summary::PaymentSummary::AT_HAND),
        ("PaymentTransaction", transaction::PaymentTransaction::AT_HAND),
    ];
    let types = introspected(checkout()).await;
    for (name, at_hand) in walked {
        let of_type = types.iter().find(|it| it["name"] == *name).unwrap();
        for field in each(of_type, "fields") {
            let field = field["name"].as_str().unwrap();
            let on_demand = ON_DEMAND.contains(&format!("{name}.{field}").as_str());
            assert_ne!(at_hand.contains(&field), on_demand, "{name}.{field}");
        }
    }
}

// rule A4
#[tokio::test]
async fn a_scope_shows_its_own_mutations_and_no_others() {
    let mut table = String::new();
    for scope in Scope::ALL {
        let types = introspected(service(&[scope])).await;
        let is_empty = |it: &serde_json::Value| it["kind"] == "OBJECT" && each(it, "fields").next().is_none();
        assert!(!types.iter().any(is_empty), "{scope}");
        let mutation = types.iter().find(|it| it["name"] == "Mutation");
        let fields = mutation.into_iter().flat_map(|it| each(it, "fields"));
        let fields: Vec<&str> = fields.map(|field| field["name"].as_str().unwrap()).collect();
        table += &format!("{scope} {fields:?}\n");
    }
    insta::assert_snapshot!(table, @r"
    orders:read: 
    orders:write: createOrder updateOrderCart cancelOrder claimAnonymousOrders processOrderToPaid
    attempts:write: attemptToPayForOrder updateAttemptToPay
    payments:write: createPayment updatePayment archivePayment authorizePayment reverseAuthorization
    payments:capture: authorizeAndCapturePayment capturePayment
    payments:refund: refundPayment
    payments:credit: creditPayment
    payments:audit: 
    payments:reconcile: 
    locks:write: lockPayments extendPaymentLocks unlockPayments
    ");
}

// rules A3, A4
#[tokio::test]
async fn nobody_but_an_auditor_is_told_that_there_are_transactions() {
    let ledger = ["PaymentTransaction", "TransactionKind", "TransactionManagementState"];
    let but_audit: Vec<Scope> = Scope::ALL.into_iter().filter(|scope| *scope != Scope::PaymentsAudit).collect();
    for (scopes, shown) in [(&but_audit[..], false), (&[Scope::PaymentsAudit], true)] {
        let types = introspected(service(scopes)).await;
        for name in ledger {
            assert_eq!(types.iter().any(|it| it["name"] == name), shown, "{name}");
        }
        let payment = types.iter().find(|it| it["name"] == "Payment").unwrap();
        assert_eq!(each(payment, "fields").any(|field| field["name"] == "transactions"), shown);
    }
}

#[test]
fn fragments_that_spread_each_other_twice_are_looked_through_once() {
    let fragment = |n: usize| format!("fragment f{n} on Query {{ ...f{} ...f{} }} ", n + 1, n + 1);
    let fragments: String = (0..30).map(fragment).collect();
    let asks = |last: &str| format!("{{ ...f0 }} {fragments} fragment f30 on Query {{ {last} }}");
    assert!(prepared(&asks("viewer { id }")).without_introspection().is_ok());
    assert!(prepared(&asks("__schema { __typename }")).without_introspection().is_err());
}
