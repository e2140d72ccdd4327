//! What must be seen by nobody (rule P11): method tokens, lock tokens, what the provider said, and what callers and webhooks are known by.
//!
//! The program itself runs as a process that logs all it can. Everything is done with tokens that can be told from any other text; then they are
//! looked for in its log, in its answers, and in each column of its database.

use std::{collections::BTreeSet, marker::PhantomData};

use entity::{
    attempt::ClientSecret,
    event::Report,
    lock::TokenHash,
    payment::MethodToken,
    transaction::{Failure, ProviderReference},
};
use orderpay::{
    auth::CallerKind,
    sandbox::api_key,
    secret::Secret,
    service::{lock::Token, payment_change::NewPayment},
};
use serde_json::{Value, json};

use crate::support::{
    ANONYMOUS_TOKEN_SECRET, Actor, Engine, JWT_SECRET, Payment, Shop, WEBHOOK_SECRET, code, euros, fresh_file,
    outcome_of, process::Process, shop::unlimited,
};

on_each_database![no_secret_is_logged_answered_or_kept];

/// A method that works, because the provider is told that it will; one that is lost on the way; and one that is declined.
const WORKS: &str = "tok_hush_works";
const LOST: &str = "tok_hush_lost";
const DECLINED: &str = "tok_hush_declined";
/// Those that come to no payment.
const REFUSED: [&str; 4] = ["tok_hush_refused", "tok_hush_listed", "tok_hush_inline", "tok_hush_broken"];

const DATABASE_PASSWORD: &str = "pw_hush_database";

/// The program with all of its log, and the provider inside it.
pub fn serve(shop: &Shop) -> Process {
    // PostgreSQL lets the tests in whatever the password is.
    let database = shop.database_url().replacen("postgres@", &format!("postgres:{DATABASE_PASSWORD}@"), 1);
    let settings = [
        "--database-url",
        &database,
        "--listen=127.0.0.1:0",
        "--jwt-secret",
        JWT_SECRET,
        "--providers=sandbox",
        "--sandbox-webhook-secret",
        WEBHOOK_SECRET,
        "--sandbox-database-url",
        &fresh_file("sandbox"),
        "--return-origins=https://shop.example",
        "--anonymous-token-secret",
        ANONYMOUS_TOKEN_SECRET,
        "--log=trace",
    ];
    Process::start(&[&unlimited(&settings)[..], &["serve"]].concat())
}

async fn no_secret_is_logged_answered_or_kept(shop: Shop) {
    shop.stop().await;
    let server = serve(&shop);
    let shop = shop.at(&server.url, &format!("{}/sandbox", server.url));
    let (checkout, office) = (shop.checkout(), shop.back_office());

    let mut locks = money_moves(&shop, &checkout, &office).await;
    locks.extend(things_go_wrong(&shop, &checkout).await);
    let stranger = wrong_callers(&shop).await;
    locks.push(guests_come_and_go(&shop).await);

    // A session's id is the shopper's to know, and stands in the address of its page.
    let ids = "SELECT provider_reference AS id FROM payment_transaction WHERE provider_reference LIKE 'trx%'";
    let of_provider = shop.database().await.texts(ids, "id").await;
    assert!(of_provider.len() > 5 && locks.len() > 2, "{of_provider:?}, {}", locks.len());
    let secrets = [JWT_SECRET, WEBHOOK_SECRET, ANONYMOUS_TOKEN_SECRET, DATABASE_PASSWORD];
    let callers: Vec<String> =
        [checkout.token(), office.token(), &stranger].iter().chain(&secrets).map(ToString::to_string).collect();
    let provider_key = api_key(WEBHOOK_SECRET.as_bytes());
    let methods = [WORKS, LOST, DECLINED].iter().chain(&REFUSED).map(ToString::to_string);
    let all: Vec<String> =
        methods.chain(locks.clone()).chain(of_provider.clone()).chain(callers.clone()).chain([provider_key]).collect();

    not_in_the_log(&server, &all);
    not_in_the_answers(&shop, &all, &locks);
    for method in [WORKS, LOST, DECLINED] {
        assert_eq!(places(&shop, method).await, BTreeSet::from(["payment.method_token".to_owned()]), "{method}");
    }
    for nowhere in locks.iter().map(String::as_str).chain(REFUSED).chain(callers.iter().map(String::as_str)) {
        assert_eq!(places(&shop, nowhere).await, BTreeSet::new(), "{nowhere}");
    }
    let theirs = ["payment_transaction.provider_reference", "provider_event.report"].map(str::to_owned);
    for id in &of_provider {
        let found = places(&shop, id).await;
        assert!(found.is_subset(&theirs.clone().into()), "{id}: {found:?}");
    }
}

/// All six, with a lock and without; gives the tokens of locks.
async fn money_moves(shop: &Shop, checkout: &Actor, office: &Actor) -> Vec<String> {
    let payment = shop.payment(WORKS).await;
    let token = checkout.locks_one(&payment).await;
    let steps = [
        (checkout, "authorizePayment", "20.00"),
        (checkout, "capturePayment", "5.00"),
        (checkout, "reverseAuthorization", "15.00"),
        (checkout, "authorizeAndCapturePayment", "9.90"),
        (office, "refundPayment", "4.00"),
        (office, "creditPayment", "1.00"),
    ];
    for (actor, mutation, amount) in steps {
        shop.provider_will("run_transaction", "pending").await;
        let key = json!({ "lockToken": token, "idempotencyKey": mutation });
        let done = actor.moves(mutation, &payment, amount, key).await;
        assert_eq!(outcome_of(&done), format!("PENDING {amount}"));
        shop.comes_to_rest(&payment).await;
        actor.sees_operation(mutation).await;
        office.sees_ledger(&payment).await;
    }
    checkout.extends(&payment, &token, json!({})).await;
    checkout.unlocks(&payment, &token).await;
    let declined = shop.payment(DECLINED).await;
    checkout.authorizes(&declined, "1.00").await;
    checkout.changes_payment(&declined, json!({ "display": { "brand": "Visa" }, "amount": euros("2.00") })).await;
    checkout.archives(&declined).await;
    let (_, attempt) = shop.open_attempt().await;
    shop.shopper_pays(&attempt).await;
    vec![token]
}

/// Answers that are lost, a provider that breaks, locks that are held by others, and input of every wrong kind; gives the tokens of locks.
async fn things_go_wrong(shop: &Shop, checkout: &Actor) -> Vec<String> {
    let payment = shop.payment(LOST).await;
    for fault in ["answer_lost", "request_lost", "error_500", "rejected"] {
        shop.provider_will("run_transaction", fault).await;
        shop.provider_will("find_transaction", "error_500").await;
        let key = json!({ "idempotencyKey": fault });
        checkout.moves("authorizePayment", &payment, "1.00", key.clone()).await;
        checkout.moves("authorizePayment", &payment, "1.00", key.clone()).await;
        checkout.moves("authorizePayment", &payment, "1.00", key).await;
    }
    let token = checkout.locks_one(&payment).await;
    checkout.sells(&payment, "1.00").await;
    let strange = "lck_hush_strange".to_owned();
    checkout.moves("authorizePayment", &payment, "1.00", json!({ "lockToken": strange })).await;
    checkout.changes_payment(&payment, json!({ "display": {}, "lockToken": strange })).await;
    checkout.extends(&payment, &strange, json!({})).await;
    checkout.unlocks(&payment, &strange).await;
    shop.lets_lock_run_out(&payment).await;
    checkout.moves("authorizePayment", &payment, "1.00", json!({ "lockToken": token })).await;
    let wrong_kind = json!({ "lockToken": ["lck_hush_listed"] });
    let input = json!({ "paymentId": payment.id, "amount": euros("1.00"), "idempotencyKey": "k" });
    checkout.tries("authorizePayment", crate::support::with(input, wrong_kind), "").await;
    refused_payments(shop, checkout, &payment).await;
    vec![token, strange, "lck_hush_listed".to_owned()]
}

/// Payments that can't be made, with a method token in each place where a message could quote it.
async fn refused_payments(shop: &Shop, checkout: &Actor, payment: &Payment) {
    let order = &payment.order;
    let [refused, listed, inline, broken] = REFUSED;
    let unknown = json!({ "methodToken": refused, "provider": "barter" });
    assert_eq!(code(&checkout.makes_payment_with(order, unknown).await), "PROVIDER_UNSUPPORTED");
    let oversized = json!({ "methodToken": refused.repeat(20) });
    assert_eq!(code(&checkout.makes_payment_with(order, oversized).await), "INVALID_INPUT");
    let input = json!({
        "orderId": order, "provider": "sandbox", "amount": euros("1.00"), "methodToken": [listed], "idempotencyKey": "k",
    });
    checkout.tries("createPayment", input, "").await;
    let literal = format!(
        "mutation {{ createPayment(input: {{ orderId: \"{order}\", methodToken: \"{inline}\", secret: \"{inline}\" }}) {{ problem {{ code }} }} }}"
    );
    checkout.asks(&literal, json!({})).await;
    // The document ends in the middle of it; and what is sent is no JSON.
    checkout.asks(&format!("mutation {{ createPayment(input: {{ methodToken: \"{broken}"), json!({})).await;
    checkout.sends(format!("{{ \"query\": \"{broken}")).await;
    let news = format!("{{ \"id\": \"{broken}\"");
    shop.webhook(&news).await;
    shop.webhook_signed(Some(broken), &news).await;
}

/// Callers that are nobody; gives the token that one came with.
async fn wrong_callers(shop: &Shop) -> String {
    let stranger = Actor::new(shop, CallerKind::User, "mallory", "");
    let forged = format!("{}hush", stranger.token());
    Actor::with_token(shop, &forged).sends("{}".to_owned()).await;
    stranger.sees("{ viewer { id } }", json!({})).await;
    stranger.asks("mutation { unlockPayments(input: { locks: [] }) { unlockedPaymentIds } }", json!({})).await;
    stranger.token().to_owned()
}

/// A guest is issued a token, which is used, revoked and refused; gives it.
async fn guests_come_and_go(shop: &Shop) -> String {
    let till = shop.service(&["tokens:write"]);
    let guest = json!({ "anonymousUserId": "g-1" });
    let issued = till.does("issueAnonymousToken", guest.clone(), "token").await;
    let token = issued["token"].as_str().expect("a token").to_owned();
    let guest_with_token = Actor::with_token(shop, &token);
    guest_with_token.sees("{ viewer { id } }", json!({})).await;
    till.does("revokeAnonymousTokens", guest, "revokedAt").await;
    assert_eq!(guest_with_token.sends("{}".to_owned()).await.0, 401);
    token
}

fn not_in_the_log(server: &Process, secrets: &[String]) {
    let log = server.log();
    assert!(log.contains("TRACE") && log.contains("answered"), "it logs all it can");
    for secret in secrets {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(secret.as_str())).take(3).collect();
        assert!(lines.is_empty(), "{secret} is logged: {lines:#?}");
    }
}

/// A lock's token is given to whoever takes the lock or holds on to it, a guest's to whoever it is issued to; nothing else is answered with.
fn not_in_the_answers(shop: &Shop, secrets: &[String], locks: &[String]) {
    let answers = shop.answers();
    assert!(answers.len() > 50, "{}", answers.len());
    for answer in &answers {
        let parsed: Value = serde_json::from_str(answer).unwrap_or_default();
        let gives_locks =
            ["lockPayments", "extendPaymentLocks"].iter().any(|of| parsed["data"][of]["locks"].is_array());
        let gives_locks = gives_locks || parsed["data"]["issueAnonymousToken"]["token"].is_string();
        for secret in secrets.iter().filter(|secret| answer.contains(secret.as_str())) {
            assert!(gives_locks && locks.contains(secret), "{secret} is answered: {answer}");
        }
    }
}

/// The columns of the database that a text is in: `table.column`.
pub async fn places(shop: &Shop, text: &str) -> BTreeSet<String> {
    let look = shop.database().await;
    let mut found = BTreeSet::new();
    for table in look.tables().await {
        let (columns, as_text) = match shop.engine() {
            Engine::Sqlite => (
                format!("SELECT name FROM pragma_table_info('{table}')"),
                "CASE typeof(COL) WHEN 'blob' THEN hex(COL) ELSE CAST(COL AS text) END",
            ),
            Engine::Postgres => (
                format!(
                    "SELECT column_name::text AS name FROM information_schema.columns WHERE table_name = '{table}'"
                ),
                "COL::text",
            ),
        };
        for column in look.texts(&columns, "name").await {
            let value = as_text.replace("COL", &format!("\"{column}\""));
            let holds = format!("SELECT count(*) AS n FROM \"{table}\" WHERE {value} LIKE '%{text}%'");
            if look.number(&holds).await > 0 {
                found.insert(format!("{table}.{column}"));
            }
        }
    }
    found
}

// rule P11: by accident it is Debug that shows
#[test]
fn no_debug_output_shows_a_secret() {
    let hush = || "hush".to_owned();
    let failure = Failure { code: "card_declined".into(), message: "Declined.".into(), decline: None };
    let new = NewPayment {
        order_id: entity::id::OrderId::new(chrono::DateTime::UNIX_EPOCH),
        provider: "sandbox".into(),
        amount: entity::money::Money::new(1, "EUR".parse().expect("a currency")),
        method_token: MethodToken(hush()),
        display: entity::metadata::Metadata::default(),
    };
    let told = [
        format!("{:?}", MethodToken(hush())),
        format!("{:?}", ProviderReference(hush())),
        format!("{:?}", ClientSecret(hush())),
        format!("{:?}", Report(hush())),
        format!("{:?}", TokenHash(b"hush".to_vec())),
        format!("{:?}", Token::new(hush())),
        format!("{:?}", Secret::new("hush")),
        format!("{new:?}"),
        format!("{failure:?}"),
    ];

    for text in &told {
        assert!(!text.contains("hush") && !text.contains("104, 117"), "{text}");
    }
    let method = entity::method::Model {
        id: entity::id::PaymentId::new(chrono::DateTime::UNIX_EPOCH),
        method_token: Some(MethodToken(hush())),
    };
    assert!(!format!("{method:?}").contains("hush"));
}

/// Whether two of a type can be compared: the first is taken where it holds, else the second.
struct Compares<T>(PhantomData<T>);

impl<T: PartialEq> Compares<T> {
    const IT: bool = true;
}

trait Otherwise {
    const IT: bool = false;
}

impl<T> Otherwise for Compares<T> {}

// How long `==` takes tells where two differ. What is compared of these is a hash or a code, in constant time.
#[test]
fn no_secret_can_be_compared() {
    let compare = [Compares::<Secret>::IT, Compares::<Token>::IT, Compares::<String>::IT];

    assert_eq!(compare, [false, false, true]);
}
