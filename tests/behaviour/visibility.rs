//! What is shown of the schema: to each caller what they may use, and nothing else (rule A4).

use std::collections::BTreeSet;

use orderpay::auth::Scope;
use serde_json::json;

use crate::{
    access::{OPERATIONS, SUBSCRIPTIONS, World, actors},
    support::{Actor, Shop},
};

on_each_database![
    everything_that_can_be_asked_or_done_is_in_the_table_of_who_may,
    a_mutation_is_shown_to_whoever_may_use_it,
    a_query_is_shown_to_whoever_may_use_it,
    a_subscription_is_shown_to_whoever_may_use_it,
    the_ledger_is_shown_to_auditors,
    cases_are_shown_to_whoever_decides_them,
    what_only_services_use_is_not_there_for_a_shopper,
    a_shopper_sees_only_the_mutation_that_they_may_use,
    whoever_may_do_nothing_sees_no_mutations,
];

/// The names of a type's fields, as a caller can introspect them; none where there is no such type for them.
async fn fields(actor: &Actor, of: &str) -> BTreeSet<String> {
    let document = "query($name: String!) { __type(name: $name) { fields { name } } }";
    let seen = actor.sees(document, json!({ "name": of })).await;
    let fields = seen["__type"]["fields"].as_array().cloned().unwrap_or_default();
    fields.iter().map(|field| field["name"].as_str().expect("a name").to_owned()).collect()
}

/// The names of all types that a caller can introspect.
async fn types(actor: &Actor) -> BTreeSet<String> {
    let seen = actor.sees("{ __schema { types { name } } }", json!({})).await;
    let types = seen["__schema"]["types"].as_array().expect("types");
    types.iter().map(|of_type| of_type["name"].as_str().expect("a name").to_owned()).collect()
}

/// The fields of Query, or those of Mutation, in the table.
fn in_the_table(of: &str) -> BTreeSet<String> {
    let of_roots = OPERATIONS.iter().filter(|operation| !operation.contains('.'));
    let (queries, mutations): (Vec<&str>, Vec<&str>) =
        of_roots.partition(|operation| OPERATIONS[..13].contains(operation));
    let names = if of == "Query" { queries } else { mutations };
    names.into_iter().map(str::to_owned).collect()
}

// whoever adds one adds a line to the table of `access`
async fn everything_that_can_be_asked_or_done_is_in_the_table_of_who_may(shop: Shop) {
    let everything = shop.service(&Scope::ALL.map(Scope::name));

    for of in ["Query", "Mutation"] {
        assert_eq!(fields(&everything, of).await, in_the_table(of));
    }
    let subscriptions = fields(&everything, "Subscription").await;
    assert_eq!(subscriptions.iter().map(String::as_str).collect::<Vec<_>>(), SUBSCRIPTIONS);
}

/// Each actor sees exactly those fields of Query or of Mutation that are not UNKNOWN to them.
async fn shown_is_allowed(shop: &Shop, of: &str) {
    let world = World::of(shop).await;
    let mut wrong = vec![];
    for (name, actor) in actors(shop) {
        let shown = fields(&actor, of).await;
        for operation in in_the_table(of) {
            let allowed = world.attempted(&actor, &operation).await != "UNKNOWN";
            if shown.contains(&operation) != allowed {
                wrong.push(format!("{operation} is {}shown to {name}", if allowed { "not " } else { "" }));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

async fn a_mutation_is_shown_to_whoever_may_use_it(shop: Shop) {
    shown_is_allowed(&shop, "Mutation").await;
}

async fn a_query_is_shown_to_whoever_may_use_it(shop: Shop) {
    shown_is_allowed(&shop, "Query").await;
}

async fn a_subscription_is_shown_to_whoever_may_use_it(shop: Shop) {
    let world = World::of(&shop).await;
    for (name, actor) in actors(&shop) {
        let shown = fields(&actor, "Subscription").await;
        for subscription in SUBSCRIPTIONS {
            let allowed = world.watched(&actor, subscription).await != "UNKNOWN";
            assert_eq!(shown.contains(subscription), allowed, "{subscription}, {name}");
        }
    }
}

/// What speaks of single transactions.
const LEDGER: [&str; 3] = ["PaymentTransaction", "TransactionKind", "TransactionManagementState"];

async fn the_ledger_is_shown_to_auditors(shop: Shop) {
    for (name, actor) in actors(&shop) {
        let audits = ["payments:audit", "auditor"].contains(&name);
        assert_eq!(fields(&actor, "Payment").await.contains("transactions"), audits, "{name}");
        let types = types(&actor).await;
        let seen: Vec<&str> = LEDGER.into_iter().filter(|of_type| types.contains(*of_type)).collect();
        assert_eq!(seen, if audits { LEDGER.to_vec() } else { vec![] }, "{name}");
    }
}

/// What speaks of cases.
const CASES: [&str; 5] = [
    "ReconciliationCase",
    "ReconciliationReason",
    "ReconciliationResolution",
    "ReconciliationState",
    "ResolveReconciliationCaseInput",
];

// rules A4, R3
async fn cases_are_shown_to_whoever_decides_them(shop: Shop) {
    for (name, actor) in actors(&shop) {
        let types = types(&actor).await;
        let seen: Vec<&str> = CASES.into_iter().filter(|of_type| types.contains(*of_type)).collect();
        assert_eq!(seen, if name == "payments:reconcile" { CASES.to_vec() } else { vec![] }, "{name}");
    }
}

async fn what_only_services_use_is_not_there_for_a_shopper(shop: Shop) {
    let not_theirs = [
        "TransactionInput",
        "TransactionPayload",
        "TransactionOutcome",
        "CreatePaymentInput",
        "UpdatePaymentInput",
        "ArchivePaymentInput",
        "LockPaymentsInput",
        "LockPaymentsPayload",
        "PaymentLock",
        "PaymentLockTokenInput",
        "ExtendPaymentLocksInput",
        "UnlockPaymentsInput",
        "CreateOrderInput",
        "UpdateAttemptToPayInput",
        "ClaimAnonymousOrdersPayload",
    ];
    for shopper in [shop.user("ada"), shop.guest("g-1")] {
        let types = types(&shopper).await;
        let seen: Vec<&str> = not_theirs.into_iter().filter(|of_type| types.contains(*of_type)).collect();
        assert_eq!(seen, [""; 0]);
        assert!(types.contains("PaymentSummary") && types.contains("PaymentLockState"), "{types:?}");
    }
}

async fn a_shopper_sees_only_the_mutation_that_they_may_use(shop: Shop) {
    let seen = fields(&shop.user("ada"), "Mutation").await;
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["attemptToPayForOrder"]);
}

// GraphQL knows no type without fields
async fn whoever_may_do_nothing_sees_no_mutations(shop: Shop) {
    let reader = shop.service(&["orders:read"]);

    let schema = reader.sees("{ __schema { mutationType { name } } }", json!({})).await;

    assert!(schema["__schema"]["mutationType"].is_null(), "{schema}");
    assert!(!types(&reader).await.contains("Mutation"));
}
