//! Who may do what: shoppers what is theirs, services what their scopes say. What is shown to whom of the schema is in `visibility`.

use orderpay::auth::{CallerKind, Scope};
use serde_json::{Value, json};

use crate::support::{Actor, Known, News, Payment, Shop, euros, outcome, tea, with};

on_each_database![
    who_may_do_what,
    who_may_watch_what,
    a_denied_mutation_changes_nothing,
    a_scope_in_a_shoppers_token_gives_nothing,
    a_viewer_is_told_who_they_are,
];

/// Every field of Query and of Mutation, and the fields of a payment that not everybody who sees it may see. `visibility` looks whether one is missing.
pub const OPERATIONS: [&str; 35] = [
    "viewer",
    "node",
    "order",
    "orderToPay",
    "userOrders",
    "anonymousUserOrders",
    "orders",
    "payment",
    "payment.lock",
    "payment.transactions",
    "paymentAttempt",
    "operation",
    "reconciliationCases",
    "createOrder",
    "updateOrderCart",
    "cancelOrder",
    "claimAnonymousOrders",
    "processOrderToPaid",
    "attemptToPayForOrder",
    "updateAttemptToPay",
    "createPayment",
    "updatePayment",
    "archivePayment",
    "authorizePayment",
    "authorizeAndCapturePayment",
    "capturePayment",
    "reverseAuthorization",
    "refundPayment",
    "creditPayment",
    "lockPayments",
    "extendPaymentLocks",
    "unlockPayments",
    "resolveReconciliationCase",
    "issueAnonymousToken",
    "revokeAnonymousTokens",
];

/// Every field of Subscription.
pub const SUBSCRIPTIONS: [&str; 3] = ["orderUpdated", "paymentAttemptUpdated", "paymentUpdated"];

/// What is ada's, and what can be done to it.
pub struct World {
    known: Known,
    /// 20.00 of its 29.90 EUR are authorized, and 5.00 of these captured.
    payment: Payment,
    /// One to be archived, one to be locked, and one that is locked, with its token.
    idle: Payment,
    free: Payment,
    locked: (Payment, String),
    /// Money in another currency was reported of an attempt.
    case: Value,
}

impl World {
    pub async fn of(shop: &Shop) -> Self {
        let payment = shop.payment("tok_ok").await;
        shop.checkout().authorizes(&payment, "20.00").await;
        shop.checkout().moves("capturePayment", &payment, "5.00", json!({ "idempotencyKey": "checkout's" })).await;
        let locked = shop.payment("tok_ok").await;
        let lock = shop.checkout().locks(&[&locked], json!({ "ttlSeconds": 300, "purpose": "a table" })).await;
        let token = lock["locks"][0]["token"].as_str().expect("a token").to_owned();
        let (_, attempt) = shop.open_attempt().await;
        shop.hears(&News::that(&attempt, "succeeded").received(2990, "USD")).await;
        Self {
            known: shop.known_to_ada().await,
            payment,
            idle: shop.payment("tok_ok").await,
            free: shop.payment("tok_ok").await,
            locked: (locked, token),
            case: shop.newest_case().await,
        }
    }

    /// What is sent for a mutation. What could be in each other's way gets an order of its own.
    pub async fn input_of(&self, shop: &Shop, mutation: &str) -> Value {
        let order = async || json!({ "orderId": shop.adas_order().await });
        let keyed = |input: Value| with(input, json!({ "idempotencyKey": shop.fresh_key() }));
        let (locked, token) = &self.locked;
        let locks = json!({ "locks": [{ "paymentId": locked.id, "token": token }] });
        match mutation {
            "createOrder" => keyed(json!({ "owner": { "kind": "USER", "id": "carl" }, "cart": tea() })),
            "updateOrderCart" => with(order().await, json!({ "cart": tea() })),
            "cancelOrder" => order().await,
            "claimAnonymousOrders" => json!({ "anonymousUserId": "g-3", "userId": "carl" }),
            "processOrderToPaid" => json!({ "orderId": free_order(shop).await }),
            "attemptToPayForOrder" => keyed(order().await),
            "updateAttemptToPay" => json!({
                "attemptExternalId": self.known.session, "status": "PENDING", "totalAmount": "29.90", "currency": "EUR",
            }),
            "createPayment" => {
                let terms = json!({ "provider": "sandbox", "amount": euros("0.01"), "methodToken": "tok_ok" });
                keyed(with(json!({ "orderId": self.payment.order }), terms))
            }
            "updatePayment" => json!({ "paymentId": self.payment.id, "display": { "brand": "Visa" } }),
            "archivePayment" => json!({ "paymentId": self.idle.id }),
            "lockPayments" => json!({ "paymentIds": [self.free.id] }),
            "extendPaymentLocks" | "unlockPayments" => locks,
            "resolveReconciliationCase" => {
                json!({ "caseId": self.case["id"], "resolution": "WRITE_OFF", "evidence": "it was looked at" })
            }
            "issueAnonymousToken" | "revokeAnonymousTokens" => json!({ "anonymousUserId": "g-2" }),
            _ => keyed(json!({ "paymentId": self.payment.id, "amount": euros("0.01") })),
        }
    }

    /// The id of the payment that is locked.
    pub fn locked_payment(&self) -> &str {
        &self.locked.0.id
    }

    /// The answer to an operation on what ada owns.
    async fn answer(&self, actor: &Actor, operation: &str) -> Value {
        let (known, by_id) = (&self.known, |id: &str| json!({ "id": id }));
        match operation {
            "viewer" => actor.asks("{ viewer { id } }", json!({})).await,
            "node" => actor.asks("query($id: ID!) { node(id: $id) { id } }", by_id(&known.order)).await,
            "order" => actor.asks("query($id: ID!) { order(id: $id) { id } }", by_id(&known.order)).await,
            "orderToPay" => {
                let document = "query($id: ID!) { orderToPay(orderId: $id) { order { id } problem { code } } }";
                actor.asks(document, by_id(&known.order)).await
            }
            "userOrders" => actor.asks("{ userOrders(userId: \"ada\") { nodes { id } } }", json!({})).await,
            "anonymousUserOrders" => {
                actor.asks("{ anonymousUserOrders(anonymousUserId: \"g-0\") { nodes { id } } }", json!({})).await
            }
            "reconciliationCases" => actor.asks("{ reconciliationCases { nodes { id } } }", json!({})).await,
            "orders" => actor.asks("{ orders { nodes { id } } }", json!({})).await,
            "payment" => actor.asks("query($id: ID!) { payment(id: $id) { id } }", by_id(&known.payment)).await,
            "payment.lock" => {
                let document = "query($id: ID!) { payment(id: $id) { lock { purpose } } }";
                actor.asks(document, by_id(&self.locked.0.id)).await
            }
            "payment.transactions" => {
                let document = "query($id: ID!) { payment(id: $id) { transactions { kind } } }";
                actor.asks(document, by_id(&self.payment.id)).await
            }
            "paymentAttempt" => {
                actor.asks("query($id: ID!) { paymentAttempt(id: $id) { id } }", by_id(&known.attempt)).await
            }
            "operation" => {
                let document = "query($id: String!) { operation(idempotencyKey: $id) { state } }";
                actor.asks(document, by_id("checkout's")).await
            }
            mutation => actor.tries(mutation, self.input_of(&actor.shop, mutation).await, "").await,
        }
    }

    /// What becomes of an operation on what ada owns, in a word.
    pub async fn attempted(&self, actor: &Actor, operation: &str) -> String {
        let answer = self.answer(actor, operation).await;
        let data = &answer["data"][operation];
        match data["nodes"].as_array().or(data["order"]["nodes"].as_array()) {
            Some(nodes) if nodes.is_empty() => "nothing".to_owned(),
            _ => match outcome(&answer).as_str() {
                "ORDER_NOT_FOUND" | "PAYMENT_NOT_FOUND" => "nothing".to_owned(),
                word => word.to_owned(),
            },
        }
    }
}

impl World {
    /// What becomes of watching what ada owns, in a word.
    pub async fn watched(&self, actor: &Actor, subscription: &str) -> String {
        let (argument, id) = match subscription {
            "orderUpdated" => ("orderId", &self.known.order),
            "paymentAttemptUpdated" => ("attemptId", &self.known.attempt),
            _ => ("paymentId", &self.known.payment),
        };
        let mut socket = actor.watches(&format!("{subscription}({argument}: $id)"), id, "id").await;
        match outcome(&socket.payload().await).as_str() {
            "NOT_FOUND" => "nothing".to_owned(),
            word => word.to_owned(),
        }
    }
}

/// An order that costs nothing, so that it may be marked paid.
async fn free_order(shop: &Shop) -> String {
    let sample = json!({ "sku": "SAMPLE", "name": "Sample", "quantity": 1, "unitPrice": "0" });
    shop.checkout().creates_order_of(&shop.user("ada"), json!({ "currency": "EUR", "lines": [sample] })).await
}

/// The owner, two others, a service with each one scope, and one that sees the ledgers of the payments that it sees.
pub fn actors(shop: &Shop) -> Vec<(&'static str, Actor)> {
    let mut actors = vec![("ada", shop.user("ada")), ("bob", shop.user("bob")), ("guest", shop.guest("g-1"))];
    actors.extend(Scope::ALL.map(|scope| (scope.name(), shop.service(&[scope.name()]))));
    actors.push(("auditor", shop.service(&["orders:read", "payments:audit"])));
    actors
}

// rules A2, A3, O2: this table is the policy. To whoever a line does not name there is no such field (rule A4): UNKNOWN; "nothing" is what is told of what is not there.
async fn who_may_do_what(shop: Shop) {
    shop.checkout().creates_order_for(&shop.guest("g-0")).await;
    let world = World::of(&shop).await;

    let mut table = String::new();
    let actors = actors(&shop);
    for operation in OPERATIONS {
        let mut words: Vec<(String, Vec<&str>)> = vec![];
        for (name, actor) in &actors {
            let word = world.attempted(actor, operation).await;
            match words.iter_mut().find(|(known, _)| *known == word) {
                Some((_, names)) => names.push(name),
                None => words.push((word, vec![name])),
            }
        }
        let told = words.iter().filter(|(word, _)| word != "UNKNOWN").map(|(word, names)| {
            let is_all = names.len() == actors.len();
            format!("{word}: {}", if is_all { "everybody".to_owned() } else { names.join(", ") })
        });
        table += &format!("{operation:<26} {}\n", told.collect::<Vec<_>>().join("; "));
    }

    insta::allow_duplicates! {
        insta::assert_snapshot!(table, @r"
        viewer                     ok: everybody
        node                       ok: ada, orders:read, auditor; nothing: bob, guest
        order                      ok: ada, orders:read, auditor; nothing: bob, guest
        orderToPay                 ok: ada, orders:read, auditor; nothing: bob, guest
        userOrders                 ok: ada, orders:read, auditor; nothing: bob, guest
        anonymousUserOrders        nothing: ada, bob, guest; ok: orders:read, auditor
        orders                     ok: orders:read, auditor
        payment                    ok: ada, orders:read, auditor; nothing: bob, guest
        payment.lock               ok: ada, orders:read, auditor; nothing: bob, guest
        payment.transactions       ok: auditor
        paymentAttempt             ok: ada, orders:read, auditor; nothing: bob, guest
        operation                  nothing: everybody
        reconciliationCases        ok: payments:reconcile
        createOrder                ok: orders:write
        updateOrderCart            ok: orders:write
        cancelOrder                ok: orders:write
        claimAnonymousOrders       ok: orders:write
        processOrderToPaid         ok: orders:write
        attemptToPayForOrder       ok: ada, attempts:write; nothing: bob, guest
        updateAttemptToPay         ok: attempts:write
        createPayment              ok: payments:write
        updatePayment              ok: payments:write
        archivePayment             ok: payments:write
        authorizePayment           ok: payments:write
        authorizeAndCapturePayment ok: payments:capture
        capturePayment             ok: payments:capture
        reverseAuthorization       ok: payments:write
        refundPayment              ok: payments:refund
        creditPayment              ok: payments:credit
        lockPayments               ok: locks:write
        extendPaymentLocks         ok: locks:write
        unlockPayments             ok: locks:write
        resolveReconciliationCase  ok: payments:reconcile
        issueAnonymousToken        ok: tokens:write
        revokeAnonymousTokens      ok: tokens:write
        ");
    }
}

// rules A2, A3: as above
async fn who_may_watch_what(shop: Shop) {
    let world = World::of(&shop).await;

    let mut table = String::new();
    for subscription in SUBSCRIPTIONS {
        let mut words = vec![];
        for (name, actor) in actors(&shop) {
            match world.watched(&actor, subscription).await.as_str() {
                "UNKNOWN" => {}
                word => words.push(format!("{name}: {word}")),
            }
        }
        table += &format!("{subscription:<21} {}\n", words.join(", "));
    }

    insta::allow_duplicates! {
        insta::assert_snapshot!(table, @r"
        orderUpdated          ada: ok, bob: nothing, guest: nothing, orders:read: ok, auditor: ok
        paymentAttemptUpdated ada: ok, bob: nothing, guest: nothing, orders:read: ok, auditor: ok
        paymentUpdated        ada: ok, bob: nothing, guest: nothing, orders:read: ok, auditor: ok
        ");
    }
}

// rule A5
async fn a_denied_mutation_changes_nothing(shop: Shop) {
    let world = World::of(&shop).await;
    let mutations = &OPERATIONS[13..];
    let mut inputs = vec![];
    for mutation in mutations {
        inputs.push(world.input_of(&shop, mutation).await);
    }
    let denied = [shop.user("ada"), shop.guest("g-1"), shop.service(&["orders:read", "payments:audit"])];
    let payments = [&world.payment, &world.idle, &world.free, &world.locked.0];

    let told = shop
        .leaving_all_as_it_was(&payments, async || {
            let mut told = vec![];
            for actor in &denied {
                for (mutation, input) in mutations.iter().zip(&inputs) {
                    let shoppers_own = *mutation == "attemptToPayForOrder" && actor.kind != "SERVICE";
                    if !shoppers_own {
                        told.push((*mutation, outcome(&actor.tries(mutation, input.clone(), "").await)));
                    }
                }
            }
            told
        })
        .await;

    assert_eq!(told.len(), 3 * 22 - 2);
    assert!(told.iter().all(|(_, word)| word == "UNKNOWN"), "{told:?}");
}

// rules A1, A3
async fn a_scope_in_a_shoppers_token_gives_nothing(shop: Shop) {
    let greedy = Actor::new(&shop, CallerKind::User, "bob", &Scope::ALL.map(Scope::name).join(" "));
    let world = World::of(&shop).await;

    let mut seen = vec![];
    for operation in ["order", "payment.transactions", "createOrder", "capturePayment", "lockPayments"] {
        seen.push(world.attempted(&greedy, operation).await);
    }

    assert_eq!(seen, ["nothing", "UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN"]);
}

async fn a_viewer_is_told_who_they_are(shop: Shop) {
    let viewer = "{ viewer { id kind scopes } }";
    let mut told = vec![];
    for actor in [shop.user("ada"), shop.guest("g-1"), shop.service(&["orders:write", "orders:read", "unheard:of"])] {
        told.push(actor.sees(viewer, json!({})).await["viewer"].take());
    }

    let expected = json!([
        { "id": "ada", "kind": "USER", "scopes": [] },
        { "id": "g-1", "kind": "ANONYMOUS", "scopes": [] },
        { "id": "back-office", "kind": "SERVICE", "scopes": ["orders:read", "orders:write"] },
    ]);
    assert_eq!(Value::from(told), expected);
}
