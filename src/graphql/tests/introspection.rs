//! What the schema says of itself: all of it described, none of it shown to whoever may not use it.

use super::{
    super::{attempt, cart, lock, money, order, paging, payment, provider_failure, summary, transaction},
    answered, open_schema,
    world::{checkout, service},
};
use crate::auth::{Caller, Scope};

/// All that the schema says of itself to this caller.
async fn introspected(caller: Caller) -> Vec<serde_json::Value> {
    let schema = open_schema().await;
    let query = "{ __schema { types { kind name description enumValues { name description }
        inputFields { name description } fields { name description args { name description } } } } }";
    let answer = answered(&schema, caller, query).await;
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
        let names = std::iter::once(scope.name()).chain(fields.map(|field| field["name"].as_str().unwrap()));
        table += &format!("{}\n", names.collect::<Vec<_>>().join(" "));
    }
    insta::assert_snapshot!(table, @r"
    orders:read
    orders:write createOrder updateOrderCart cancelOrder claimAnonymousOrders processOrderToPaid
    attempts:write attemptToPayForOrder updateAttemptToPay
    payments:write createPayment updatePayment archivePayment authorizePayment reverseAuthorization
    payments:capture authorizeAndCapturePayment capturePayment
    payments:refund refundPayment
    payments:credit creditPayment
    payments:audit
    payments:reconcile resolveReconciliationCase
    locks:write lockPayments extendPaymentLocks unlockPayments
    tokens:write issueAnonymousToken revokeAnonymousTokens
    ");
}

// rules A3, A4
#[tokio::test]
async fn subscriptions_are_shown_to_whoever_may_read_orders() {
    for scope in Scope::ALL {
        let types = introspected(service(&[scope])).await;
        let subscription = types.iter().find(|it| it["name"] == "Subscription");
        let names: Vec<&str> = subscription
            .into_iter()
            .flat_map(|it| each(it, "fields"))
            .filter_map(|field| field["name"].as_str())
            .collect();
        let all: &[&str] = &["orderUpdated", "paymentAttemptUpdated", "paymentUpdated"];
        assert_eq!(names, if scope == Scope::OrdersRead { all } else { &[] }, "{scope}");
    }
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
