//! What is somebody else's can't be told from what is not there by anything (rule A2, tests G8 and G9): not by the answer, byte for byte, wherever the
//! schema takes an id, and not by what the database is asked for it.
//!
//! How long it takes is measured where `ORDERPAY_TEST_ORACLE=2000` says how often, and told; no test depends on a time.

mod samples;

use std::time::Instant;

use serde_json::{Value, json};

use self::samples::Samples;
use crate::support::{
    Actor, Known, Shop,
    dice::{Dice, seed},
    environment,
    forms::{Blank, Form, almighty, forms},
    say,
    schema::Schema,
};

on_each_database![
    foreign_and_missing_are_the_same_wherever_an_id_is_taken,
    foreign_and_missing_cost_the_same_statements,
    foreign_and_missing_take_as_long,
];

/// What ada has, by whatever name it goes.
struct Hers {
    known: Known,
    case: String,
    transaction: String,
    key: String,
}

impl Hers {
    async fn of(shop: &Shop) -> Self {
        let paid = shop.authorized().await;
        let transaction =
            shop.back_office().sees_transactions(&paid).await[0]["id"].as_str().expect("an id").to_owned();
        let (_, attempt) = shop.open_attempt().await;
        shop.hears(&crate::support::News::that(&attempt, "succeeded").received(2990, "USD")).await;
        let case = shop.newest_case().await["id"].as_str().expect("an id").to_owned();
        let (known, key) = (shop.known_to_ada().await, "ada's key".to_owned());
        shop.user("ada").tries_to_pay(&known.order, json!({ "idempotencyKey": key })).await;
        // There is a guest, and bob has an order of his own.
        shop.checkout().creates_order_for(&shop.guest("g-0")).await;
        shop.checkout().creates_order_for(&shop.user("bob")).await;
        Self { known, case, transaction, key }
    }

    /// What may be written into a blank: hers. `None`: it names nothing that is in the shop.
    fn written_into(&self, form: &Form, blank: &Blank) -> Option<Vec<String>> {
        let Known { order, payment, attempt, session } = &self.known;
        let path = blank.path();
        let name = path.iter().rev().find(|name| name.parse::<usize>().is_err()).expect("a name");
        let ids: &[&String] = match (form.name.as_str(), *name) {
            ("order" | "orderToPay", "id" | "orderId") | (_, "orderId") => &[order],
            ("payment", "id") | (_, "paymentId" | "paymentIds") => &[payment],
            ("paymentAttempt", "id") => &[attempt],
            ("paymentAttempt", "externalId") | (_, "attemptExternalId") => &[session],
            ("node", "id") => &[order, payment, attempt],
            ("operation", "idempotencyKey") => &[&self.key],
            (_, "caseId") => &[&self.case],
            (_, "parentTransactionId") => &[&self.transaction],
            (_, "userId") => return Some(vec!["ada".into()]),
            (_, "anonymousUserId") => return Some(vec!["g-0".into()]),
            // Whom an order is made for, what a caller calls something, and what a new thing is called.
            ("createOrder", "id") => return None,
            (_, "externalId" | "eventId" | "sourceEntityId") => return None,
            _ if blank.of != "ID" => return None,
            _ => panic!("{}, {path:?}: what is a foreign one?", form.name),
        };
        Some(ids.iter().map(|id| (*id).clone()).collect())
    }
}

/// Something of the same kind that nobody has.
fn missing(hers: &str) -> String {
    match hers.split_once('_') {
        Some((kind @ ("ord" | "pay" | "att" | "txn" | "rec"), _)) => {
            format!("{kind}_00000000-0000-7000-8000-000000000000")
        }
        _ => "nobody's".to_owned(),
    }
}

/// One question about what is ada's, and the same about what is not there.
struct Question {
    name: String,
    is_mutation: bool,
    document: String,
    foreign: Value,
    missing: Value,
}

/// A question for each place that takes the id of something, with everything selected that is shown to this actor.
async fn questions(shop: &Shop, hers: &Hers, asker: &Actor) -> Vec<Question> {
    let (all, shown) = (Schema::of(shop).await, Schema::shown_to(asker).await);
    let mut questions = vec![];
    for form in forms(&almighty(shop)).await {
        let (_, root) = all.root(&form.name);
        let selection = match all.root(&form.name).0 {
            "query" if root.of.ends_with("Connection") => {
                "__typename totalCount pageCount nodes { __typename id }".to_owned()
            }
            _ => shown.everything_of(&root.of),
        };
        for blank in &form.blanks {
            for id in hers.written_into(&form, blank).into_iter().flatten() {
                questions.push(Question {
                    name: format!("{} {:?} of {}", form.name, blank.path(), asker.id),
                    is_mutation: form.is_mutation,
                    document: form.selecting(&selection),
                    foreign: form.with(&blank.pointer, json!(id)),
                    missing: form.with(&blank.pointer, json!(missing(&id))),
                });
            }
        }
    }
    questions
}

impl Question {
    /// The whole answer, status and body: the request's id stands in it, and is the same.
    async fn is_asked_by(&self, actor: &Actor, variables: &Value) -> (u16, String) {
        let body = json!({ "query": self.document, "variables": variables });
        let request = actor.shop.client().post(actor.shop.url("/graphql")).header("x-request-id", "the-same");
        let answer = request.bearer_auth(actor.token()).json(&body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }
}

/// Who has nothing to do with what is ada's: shoppers, and a service that may do something else.
fn others(shop: &Shop) -> [Actor; 3] {
    [shop.user("bob"), shop.guest("g-1"), shop.service(&["tokens:write"])]
}

/// Whether this asks for something of the asker's, or for what they may do for everybody.
fn is_their_right(actor: &Actor, question: &Question) -> bool {
    actor.kind == "SERVICE" && question.name.contains("AnonymousToken")
}

async fn foreign_and_missing_are_the_same_wherever_an_id_is_taken(shop: Shop) {
    let hers = Hers::of(&shop).await;
    let mut asked = 0;
    for actor in others(&shop) {
        for question in questions(&shop, &hers, &actor).await {
            if is_their_right(&actor, &question) {
                continue;
            }
            let foreign = question.is_asked_by(&actor, &question.foreign).await;
            let missing = question.is_asked_by(&actor, &question.missing).await;
            assert_eq!(foreign, missing, "{}", question.name);
            assert!(foreign.0 == 200 && !foreign.1.contains("29.90"), "{}: {foreign:?}", question.name);
            asked += 1;
        }
    }
    // Whose it is, is told of it: these are questions that can be answered.
    for question in questions(&shop, &hers, &shop.user("ada")).await.iter().filter(|question| !question.is_mutation) {
        let owner = if question.name.contains("anonymous") { shop.guest("g-0") } else { shop.user("ada") };
        let hers = question.is_asked_by(&owner, &question.foreign).await;
        let missing = question.is_asked_by(&owner, &question.missing).await;
        assert!(question.name.starts_with("reconciliation") || hers != missing, "{}: {hers:?}", question.name);
    }
    assert!(asked > 60, "{asked}");
}

/// A statement without the values in it, which differ.
fn shape(sql: &str) -> String {
    sql.split('\'').step_by(2).collect::<Vec<_>>().join("?")
}

/// What a shopper asks that is not refused before the database is asked.
async fn answered(shop: &Shop, hers: &Hers, actor: &Actor) -> Vec<Question> {
    let mut all = questions(shop, hers, actor).await;
    let shown = Schema::shown_to(actor).await;
    let is_shown =
        |root: &str| ["Query", "Mutation"].iter().any(|of| shown.fields(of).iter().any(|it| it.name == root));
    all.retain(|question| is_shown(question.name.split(' ').next().unwrap_or_default()));
    all
}

// G9: a lock, a row or a statement more would be more time
async fn foreign_and_missing_cost_the_same_statements(shop: Shop) {
    let hers = Hers::of(&shop).await;
    // At a server of its own: the first one may still be told news by the provider.
    let quiet = shop.second(&[]).await;
    for actor in [quiet.user("bob"), quiet.guest("g-1")] {
        let questions = answered(&quiet, &hers, &actor).await;
        assert!(questions.len() >= 10, "{}", questions.len());
        for question in questions {
            let mut ran = vec![];
            for variables in [&question.foreign, &question.missing] {
                quiet.forgets_statements();
                question.is_asked_by(&actor, variables).await;
                ran.push(quiet.statements().iter().map(|sql| shape(sql)).collect::<Vec<_>>());
            }
            assert_eq!(ran[0], ran[1], "{}", question.name);
        }
    }
    quiet.stop().await;
}

// G9: as many times as ORDERPAY_TEST_ORACLE says, and not at all where it says nothing
async fn foreign_and_missing_take_as_long(shop: Shop) {
    let Some(times) = environment("ORDERPAY_TEST_ORACLE") else { return };
    let times: usize = times.parse().expect("a number");
    let (hers, bob) = (Hers::of(&shop).await, shop.user("bob"));
    let mut dice = Dice(seed());
    for question in answered(&shop, &hers, &bob).await {
        let [mut foreign, mut missing] = [Samples::default(), Samples::default()];
        for at in 0..2 * times + 200 {
            let is_foreign =
                if foreign.len() == missing.len() { dice.below(2) == 0 } else { foreign.len() < missing.len() };
            let begun = Instant::now();
            question.is_asked_by(&bob, if is_foreign { &question.foreign } else { &question.missing }).await;
            let took = begun.elapsed();
            // The first ones find nothing warm.
            if at >= 200 {
                if is_foreign { foreign.add(took) } else { missing.add(took) }
            }
        }
        say(&format!("{:?}, {}: {}", shop.engine(), question.name, foreign.beside(&missing)));
    }
}
