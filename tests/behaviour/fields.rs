//! Who sees what: every field of every type, generated from the schema. A new field is in no line of the table until somebody says whose it is.
//!
//! What can be asked, done and watched at all, that is the fields of Query, Mutation and Subscription, is in the tables of `access`.

mod things;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use orderpay::{
    auth::{CallerKind, Claims, Scope, mint},
    secret::Secret,
};
use serde_json::{Value, json};

use self::things::Things;
use crate::{
    access::{World, actors},
    support::{
        Actor, JWT_SECRET, Shop, euros,
        schema::{Field, Schema, Way},
        with,
    },
};

on_each_database![who_sees_what];

/// Types that stand beside those of the shop.
const ROOTS: [&str; 3] = ["Query", "Mutation", "Subscription"];
/// What an errand is: the type that it is run for, the way there, and what is laid over what would be right.
type Errand = (&'static str, Way, Value);

/// What comes only of what is wrong, or of something fresh.
async fn errands(shop: &Shop, world: &World) -> Vec<Errand> {
    let problem = |mutation: &str, of: &'static str, over: Value| {
        (of, Way::new(mutation, &["problem", &format!("... on {of}")]), over)
    };
    let declined = shop.payment("tok_declined_soft").await;
    let no_key = json!({ "idempotencyKey": "" });
    vec![
        problem("attemptToPayForOrder", "AmountDueChanged", json!({ "expectedAmount": euros("1.00") })),
        problem("capturePayment", "AmountExceedsAvailable", json!({ "amount": euros("99.00") })),
        problem("attemptToPayForOrder", "InvalidInput", no_key.clone()),
        ("InvalidField", Way::new("attemptToPayForOrder", &["problem", "... on InvalidInput", "fields"]), no_key),
        problem("updatePayment", "PaymentLocked", json!({ "paymentId": world.locked_payment() })),
        problem("updateOrderCart", "StaleVersion", json!({ "expectedVersion": 99 })),
        ("TransactionOutcome", Way::new("authorizePayment", &["outcome"]), json!({ "paymentId": declined.id })),
    ]
}

/// Ada with a token that was good once, and whoever has none.
fn strangers(shop: &Shop) -> [(&'static str, Actor); 2] {
    let claims = Claims {
        sub: "ada".into(),
        kind: CallerKind::User,
        scope: None,
        exp: (shop.now() - TimeDelta::hours(1)).timestamp(),
        nbf: None,
        iat: None,
        iss: None,
        aud: None,
    };
    let late = mint(&Secret::new(JWT_SECRET), &claims).expect("a token");
    [("no token", Actor::with_token(shop, "")), ("ada, too late", Actor::with_token(shop, &late))]
}

/// What a caller is told of each field of a type, in a word.
type Words = BTreeMap<String, String>;

/// What is asked of one type.
struct Question<'a> {
    of: &'a str,
    fields: &'a [Field],
    way: &'a Way,
}

impl Question<'_> {
    /// Asks for all fields at once, and once more without each that there is not for this caller. `roots` is written in place of the way's first
    /// field, `head` before all.
    async fn asks(&self, actor: &Actor, head: &str, roots: &[String], variables: &Value) -> Words {
        let mut words = Words::new();
        loop {
            let left: Vec<&Field> = self.fields.iter().filter(|field| !words.contains_key(&field.name)).collect();
            let all = |word: &str| left.iter().map(|field| (field.name.clone(), word.to_owned())).collect::<Words>();
            if left.is_empty() {
                return words;
            }
            let selection: Vec<String> = left.iter().map(|field| field.selected()).collect();
            let selected = self.way.selecting(&format!("__typename {}", selection.join(" ")));
            let asked: Vec<String> =
                roots.iter().enumerate().map(|(at, root)| format!("a{at}: {root} {{ {selected} }}")).collect();
            let document = format!("{head} {{ {} }}", asked.join(" "));
            let answer = actor.sends(json!({ "query": document, "variables": variables }).to_string()).await.1;
            let answer: Value = serde_json::from_str(&answer).expect("JSON");
            match (unknown(&answer), self.refused(&answer, &left)) {
                (Some((of, name)), _) if of == self.of && left.iter().any(|field| field.name == name) => {
                    words.insert(name, "UNKNOWN".into());
                }
                (Some(_), _) => words.extend(all("UNKNOWN")),
                (None, Some(refused)) => words.extend(refused),
                (None, None) => {
                    words.extend(left.iter().map(|field| (field.name.clone(), self.told(&answer, &field.name))));
                }
            }
        }
    }

    /// The code of the error that one of these fields, or all of them, have in place of a value.
    fn refused(&self, answer: &Value, fields: &[&Field]) -> Option<Words> {
        let error = answer["errors"].as_array()?.first()?;
        let code = error["extensions"]["code"].as_str().unwrap_or("no code").to_owned();
        let place = error["path"].as_array().and_then(|path| path.last()).and_then(Value::as_str);
        let at_one = fields.iter().filter(|field| place == Some(&field.name)).map(|field| field.name.clone());
        let names: Vec<String> = at_one.collect();
        let names = if names.is_empty() { fields.iter().map(|field| field.name.clone()).collect() } else { names };
        Some(names.into_iter().map(|name| (name, code.clone())).collect())
    }

    /// What an answer tells of a field.
    fn told(&self, answer: &Value, field: &str) -> String {
        let roots = answer["data"].as_object().into_iter().flat_map(|data| data.values());
        let values: Vec<&Value> = roots.flat_map(|root| self.way.end(root)).map(|object| &object[field]).collect();
        let best = ["ok", "zero", "nothing"].into_iter().find(|word| values.iter().any(|value| weigh(value) == *word));
        best.unwrap_or("nothing").to_owned()
    }
}

/// A type and its field that the caller is told not to be there.
fn unknown(answer: &Value) -> Option<(String, String)> {
    let message = answer["errors"][0]["message"].as_str()?.strip_prefix("Unknown ")?;
    let mut quoted = message.split('"').skip(1).step_by(2).map(str::to_owned);
    let name = quoted.next()?;
    Some((quoted.next().unwrap_or_default(), name))
}

fn weigh(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Array(items) if items.is_empty() => "nothing",
        Value::Number(number) if number.as_i64() == Some(0) => "zero",
        _ => "ok",
    }
}

/// Everything that is asked about.
struct Scene {
    shop: Shop,
    schema: Schema,
    ways: BTreeMap<String, Way>,
    world: World,
    things: Vec<Things>,
    /// What is laid over a mutation's input on the way to a type.
    laid_over: BTreeMap<&'static str, Value>,
}

impl Scene {
    async fn set(shop: &Shop) -> Self {
        let schema = Schema::of(shop).await;
        let world = World::of(shop).await;
        let case = shop.newest_case().await;
        shop.accountant().decides(&case, "WRITE_OFF", "it was looked at").await;
        stays_unknown(shop).await;
        let things = vec![
            Things::of(shop, "ada's", &shop.user("ada")).await,
            Things::of(shop, "the guest's", &shop.guest("g-1")).await,
            Things::missing(shop),
            Things::nobodys(),
        ];
        let mut known = BTreeMap::new();
        let mut laid_over = BTreeMap::new();
        for (of, way, over) in errands(shop, &world).await {
            known.insert(of, way);
            laid_over.insert(of, over);
        }
        let ways = schema.ways(known);
        Self { shop: shop.clone(), schema, ways, world, things, laid_over }
    }

    /// What each of these is told of the fields of a type: for each of whose things, by whom.
    async fn rows(
        &self,
        of: &str,
        actors: &[(&'static str, Actor)],
    ) -> Vec<(&'static str, Vec<(&'static str, Words)>)> {
        let way = self.ways.get(of).unwrap_or_else(|| panic!("there is no way to {of}"));
        let question = Question { of, fields: self.schema.fields(of), way };
        let (kind, root) = self.schema.root(&way.root);
        let mut rows = vec![];
        if kind == "mutation" {
            let head = format!("mutation($input: {})", root.arguments[0]);
            let call = [format!("{}(input: $input)", root.name)];
            let mut told = vec![];
            let mut input = self.input(of, &root.name).await;
            for (name, actor) in actors {
                let words = question.asks(actor, &head, &call, &json!({ "input": input })).await;
                // What was not refused may have been done.
                if words.values().any(|word| word != "UNKNOWN" && word != "UNAUTHENTICATED") {
                    input = self.input(of, &root.name).await;
                }
                told.push((*name, words));
            }
            rows.push(("done", told));
        }
        for things in self.things.iter().filter(|things| !things.asked_by(&root.name).is_empty()) {
            let mut told = vec![];
            for (name, actor) in actors {
                told.push((*name, question.asks(actor, kind, things.asked_by(&root.name), &Value::Null).await));
            }
            rows.push((things.whose, told));
        }
        assert!(!rows.is_empty(), "nobody asks for {of} through {}", root.name);
        rows
    }

    async fn input(&self, of: &str, mutation: &str) -> Value {
        let input = match mutation {
            "claimAnonymousOrders" => {
                let guest = self.shop.guest("g-3");
                self.shop.checkout().creates_order_for(&guest).await;
                json!({ "anonymousUserId": guest.id, "userId": "carl" })
            }
            // What is locked stays locked for a while.
            "lockPayments" => json!({ "paymentIds": [self.shop.payment("tok_ok").await.id] }),
            _ => self.world.input_of(&self.shop, mutation).await,
        };
        with(input, self.laid_over.get(of).cloned().unwrap_or(json!({})))
    }
}

/// A case of a transaction that the provider does not answer about.
async fn stays_unknown(shop: &Shop) {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "answer_lost").await;
    shop.checkout().authorizes(&payment, "29.90").await;
    shop.provider_will("find_transaction", "error_500").await;
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.reconciles().await;
}

/// Who is told which word; whoever is told that there is no such thing is left out.
fn said(words: &[(&'static str, &str)]) -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = vec![];
    for (name, word) in words.iter().filter(|(_, word)| *word != "UNKNOWN") {
        match groups.iter_mut().find(|(known, _)| known == word) {
            Some((_, names)) => names.push(name),
            None => groups.push((word, vec![name])),
        }
    }
    let told = groups.iter().map(|(word, names)| format!("{word}: {}", listed(names, words.len())));
    told.collect::<Vec<_>>().join("; ")
}

/// Names in a row; those of all services that read no orders as one.
fn listed(names: &[&str], all: usize) -> String {
    if names.len() == all {
        return "everybody".to_owned();
    }
    let blind = |name: &&str| name.parse::<Scope>().is_ok_and(|scope| scope != Scope::OrdersRead);
    if names.iter().copied().filter(blind).count() < Scope::ALL.len() - 1 {
        return names.join(", ");
    }
    let seeing = names.iter().copied().filter(|name| !blind(name));
    seeing.chain(["every other service"]).collect::<Vec<_>>().join(", ")
}

/// Fields by what becomes of those who ask for them.
#[derive(Default)]
struct Table(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

impl Table {
    fn add(&mut self, policy: String, of: &str, field: &str) {
        self.0.entry(policy).or_default().entry(of.to_owned()).or_default().insert(field.to_owned());
    }

    fn written(&self) -> String {
        let mut written = String::new();
        for (policy, types) in &self.0 {
            written += &format!("{policy}\n");
            for (of, fields) in types {
                let names = fields.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
                written += &format!("    {of}: {names}\n");
            }
        }
        written
    }
}

// rules A2, A3, A4 (test G8): this table is the policy, field by field. To whoever a line does not name there is no such field; "nothing" is what is
// told of what is not there, "zero" what is counted of it. Whoever has no good token is told UNAUTHENTICATED whatever they ask.
#[expect(clippy::too_many_lines, reason = "the table is long")]
async fn who_sees_what(shop: Shop) {
    let scene = Scene::set(&shop).await;
    let (callers, strangers) = (actors(&shop), strangers(&shop));
    let mut table = Table::default();
    let mut not_shown = vec![];
    for (of, _) in scene.schema.types().filter(|(of, _)| !ROOTS.contains(&of.as_str())) {
        for (_, told) in scene.rows(of, &strangers).await {
            let words = told.iter().flat_map(|(_, words)| words.values());
            assert_eq!(words.filter(|word| *word != "UNAUTHENTICATED").count(), 0, "{of}: {told:?}");
        }
        let rows = scene.rows(of, &callers).await;
        for field in scene.schema.fields(of) {
            let name = field.name.as_str();
            let mut policy = vec![];
            for (whose, told) in &rows {
                let words: Vec<_> = told.iter().map(|(caller, words)| (*caller, words[name].as_str())).collect();
                policy.push(format!("{whose} = {}", said(&words)));
            }
            let policy = policy.join("\n");
            // A payload's problem is there where something is wrong; what it can be has rows of its own.
            if !policy.contains("ok: ") && field.of != "Problem" {
                not_shown.push(format!("{of}.{name}"));
            }
            table.add(policy, of, name);
        }
    }

    assert_eq!(not_shown, [""; 0], "nobody sees them: there is none among the things");
    insta::allow_duplicates! {
        insta::assert_snapshot!(table.written(), @r"
        ada's = nothing: ada, bob, guest; ok: orders:read, auditor, every other service
        the guest's = nothing: ada, bob, guest; ok: orders:read, auditor, every other service
        missing = nothing: everybody
            Operation: problem
        ada's = ok: ada, bob, guest, orders:read, auditor
        the guest's = ok: ada, bob, guest, orders:read, auditor
        missing = ok: ada, bob, guest, orders:read, auditor
            OrderConnection: pageInfo
            OrderToPayPayload: problem
            PageInfo: hasNextPage hasPreviousPage
            PlainProblem: code message retryable
            Problem: code message retryable
        ada's = ok: ada, orders:read, auditor, every other service; nothing: bob, guest
        the guest's = nothing: ada, bob; ok: guest, orders:read, auditor, every other service
        missing = nothing: everybody
            Operation: finishedAt idempotencyKey mutation startedAt state
        ada's = ok: ada, orders:read, auditor; nothing: bob, guest
        the guest's = nothing: ada, bob; ok: guest, orders:read, auditor
        missing = nothing: ada, bob, guest, orders:read, auditor
            Cart: digest discountTotal externalId lines shippingTotal subtotal taxTotal total
            CartLine: attributes lineTotal name quantity sku unitPrice
            Failure: code decline message
            Money: amount currency minorUnits
            Node: id
            Order: amountDue cancelledAt cart createdAt id metadata number owner paidAt paymentAttempts paymentSummary payments snapshot status total updatedAt version
            OrderConnection: edges nodes
            OrderEdge: cursor node
            OrderOwner: id kind
            OrderSnapshot: cart paymentAttempt takenAt
            OrderToPayPayload: order
            PageInfo: endCursor startCursor
            Payment: amount createdAt display id lock order provider status summary updatedAt version
            PaymentAttempt: amount clientSecret createdAt expiresAt externalId failure id order payment provider redirectUrl status updatedAt
            PaymentLockState: acquiredAt expiresAt fencingNumber purpose
            PaymentSummary: amountAuthorized amountAvailableForAuthorize amountAvailableForAuthorizeAndCapture amountAvailableForCapture amountAvailableForRefund amountAvailableForReverseAuthorization amountCaptured amountCredited amountPending amountRefunded amountStuckInReversal fullyAuthorized fullyCaptured fullyRefunded partiallyCaptured totalEverCaptured
        ada's = ok: ada, orders:read, auditor; nothing: bob, guest; FORBIDDEN: every other service
        the guest's = nothing: ada, bob; ok: guest, orders:read, auditor; FORBIDDEN: every other service
        missing = nothing: everybody
            Operation: attempt order payment
        ada's = ok: ada, orders:read, auditor; zero: bob, guest
        the guest's = zero: ada, bob; ok: guest, orders:read, auditor
        missing = zero: ada, bob, guest, orders:read, auditor
            OrderConnection: pageCount totalCount
        ada's = ok: auditor
        the guest's = ok: auditor
        missing = nothing: auditor
            Payment: transactions
            PaymentTransaction: amount createdAt failure id kind managementState parent providerReference reference settledAt source sourceEntityId sourceEntityType status
        any = nothing: ada, bob, guest; ok: orders:read, auditor, every other service
            Viewer: scopes
        any = ok: everybody
            Viewer: id kind orders
        any = ok: payments:reconcile
            ReconciliationCase: attempt checks createdAt evidence expected id nextCheckAt payment question reason reported resolution resolvedAt resolvedBy state
            ReconciliationCaseConnection: edges nodes pageInfo
            ReconciliationCaseEdge: cursor node
        done = nothing: ada, attempts:write; ok: bob, guest
            PaymentAttemptPayload: problem
        done = nothing: attempts:write
            UpdateAttemptToPayPayload: problem
        done = nothing: locks:write
            LockPaymentsPayload: problem
            UnlockPaymentsPayload: problem
        done = nothing: orders:write
            ClaimAnonymousOrdersPayload: problem
            OrderPayload: problem
        done = nothing: payments:reconcile
            ReconciliationCasePayload: problem
        done = nothing: payments:write
            PaymentPayload: problem
            TransactionPayload: problem
        done = nothing: tokens:write
            IssueAnonymousTokenPayload: problem
            RevokeAnonymousTokensPayload: problem
        done = ok: ada, attempts:write; nothing: bob, guest
            AmountDueChanged: amountDue code expected message retryable
            PaymentAttemptPayload: attempt
        done = ok: ada, bob, guest, attempts:write
            InvalidField: message path
            InvalidInput: code fields message retryable
            PaymentAttemptPayload: replayed
        done = ok: attempts:write
            UpdateAttemptToPayPayload: alreadyProcessed attempt order
        done = ok: locks:write
            LockPaymentsPayload: locks
            PaymentLock: expiresAt fencingNumber payment token
            UnlockPaymentsPayload: unlockedPaymentIds
        done = ok: orders:write
            ClaimAnonymousOrdersPayload: claimedCount
            OrderPayload: order
            StaleVersion: code currentVersion message retryable
        done = ok: payments:capture
            AmountExceedsAvailable: available code message requested retryable
        done = ok: payments:reconcile
            ReconciliationCasePayload: case
        done = ok: payments:write
            PaymentLocked: code expiresAt message paymentId purpose retryAfterMs retryable
            PaymentPayload: payment
            TransactionOutcome: amount failure status summary
            TransactionPayload: outcome payment replayed
        done = ok: tokens:write
            IssueAnonymousTokenPayload: anonymousUserId expiresAt token
            RevokeAnonymousTokensPayload: revokedAt
        ");
    }
}
