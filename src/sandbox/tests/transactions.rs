//! What a shop asks for by a payment token: once under each reference, seen in the ledger, and refused where it makes no sense.

use super::*;

/// One transaction that a shop asks for; a test says what is special about it.
#[derive(Clone)]
pub struct Ask {
    pub reference: String,
    pub kind: &'static str,
    pub amount: i64,
    pub method: &'static str,
    pub parent: Option<String>,
}

pub fn ask(reference: &str, kind: &'static str, amount: i64) -> Ask {
    Ask { reference: reference.to_owned(), kind, amount, method: "tok_ok", parent: None }
}

impl Ask {
    pub fn on(self, parent: &str) -> Self {
        Self { parent: Some(parent.to_owned()), ..self }
    }

    pub fn by(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    pub fn body(&self, shop: &str) -> Value {
        json!({
            "reference": self.reference, "kind": self.kind, "amount": self.amount, "currency": "EUR",
            "method": self.method, "parent": self.parent, "webhook_url": format!("{shop}/hook"),
        })
    }
}

impl World {
    /// A sandbox on a file of its own that nobody works for: what time does there, only those who look can find out.
    pub async fn without_worker(limits: Limits) -> (Self, Sandbox) {
        let (world, place) = (Self::new().await, Place::new());
        let alone = place.open(TTL, limits).await;
        let sandbox = format!("http://{}", serve(alone.router()).await);
        (Self { sandbox, place, ..world }, alone)
    }

    pub async fn try_run(&self, ask: &Ask) -> Result<(u16, Value), reqwest::Error> {
        self.call("/v1/transactions", Some(ask.body(&self.shop))).await
    }

    /// A new transaction, as the sandbox answers with it.
    pub async fn run(&self, ask: Ask) -> Value {
        let (status, transaction) = self.try_run(&ask).await.unwrap();
        assert_eq!(status, 201, "{transaction}");
        transaction
    }

    /// The status of a new transaction, or the code of its failure.
    pub async fn outcome(&self, ask: Ask) -> String {
        let transaction = self.run(ask).await;
        let told = transaction["failure"]["code"].as_str().or(transaction["status"].as_str());
        told.unwrap().to_owned()
    }

    pub async fn found(&self, reference: &str) -> (u16, Value) {
        self.call(&format!("/v1/transactions?reference={reference}"), None).await.unwrap()
    }

    /// The movements under a reference, or all of them, e.g. `capture 100, release 20`.
    pub async fn books(&self, reference: Option<&str>) -> String {
        let query = reference.map(|reference| format!("?reference={reference}")).unwrap_or_default();
        let (_, ledger) = self.call(&format!("/v1/ledger{query}"), None).await.unwrap();
        let line = |movement: &Value| format!("{} {}", movement["kind"].as_str().unwrap(), movement["amount"]);
        ledger["movements"].as_array().unwrap().iter().map(line).collect::<Vec<_>>().join(", ")
    }
}

#[tokio::test]
async fn a_payment_goes_its_whole_way_and_the_books_say_so() {
    let world = World::new().await;

    let authorized = world.run(ask("a", "authorize", 100)).await;
    let rest = [
        world.outcome(ask("c", "capture", 60).on("a")).await,
        world.outcome(ask("v", "reverse_authorize", 40).on("a")).await,
        world.outcome(ask("f", "refund", 60).on("c")).await,
        world.outcome(ask("s", "authorize_and_capture", 30)).await,
        world.outcome(ask("d", "detached_credit", 5)).await,
    ];

    assert_eq!(rest, ["succeeded"; 5]);
    let id = authorized["id"].as_str().unwrap();
    assert!(id.starts_with("trx_"));
    assert_eq!(
        authorized,
        json!({
            "id": id, "reference": "a", "kind": "authorize", "amount": 100, "currency": "EUR", "status": "succeeded",
            "amount_moved": 100, "currency_moved": "EUR", "amount_released": null, "failure": null,
            "created_at": authorized["created_at"],
        })
    );
    assert_eq!(world.found("a").await, (200, authorized.clone()));
    assert_eq!(world.call(&format!("/v1/transactions/{id}"), None).await.unwrap(), (200, authorized.clone()));
    assert_eq!(
        world.books(None).await,
        "authorize 100, capture 60, reverse_authorize 40, refund 60, authorize_and_capture 30, detached_credit 5"
    );
}

#[tokio::test]
async fn only_what_acts_on_nothing_earlier_needs_a_method() {
    let world = World::new().await;
    world.run(ask("a", "authorize", 100)).await;
    let mut statuses = Vec::new();
    for ask in [ask("c", "capture", 60).on("a"), ask("s", "authorize_and_capture", 30)] {
        let mut body = ask.body(&world.shop);
        body["method"] = Value::Null;
        statuses.push(world.call("/v1/transactions", Some(body)).await.unwrap().0);
    }
    assert_eq!(statuses, [201, 400]);
}

#[tokio::test]
async fn a_movement_is_of_a_transaction_or_of_a_session() {
    let mut world = World::new().await;
    let session = world.session("hosted").await;
    world.press(&session, "outcome=pay").await;
    let transaction = world.run(ask("a", "authorize", 100)).await;

    let (_, ledger) = world.call("/v1/ledger", None).await.unwrap();

    let ids = |at: usize| {
        let movement = &ledger["movements"][at];
        (movement["reference"].clone(), movement["session_id"].clone(), movement["transaction_id"].clone())
    };
    assert_eq!(ids(0), (json!("hosted"), json!(session), Value::Null));
    assert_eq!(ids(1), (json!("a"), Value::Null, transaction["id"].clone()));
    assert_eq!(world.books(Some("a")).await, "authorize 100");
    assert_eq!(world.books(Some("hosted")).await, "authorize_and_capture 4200");
    assert_eq!(world.books(Some("b")).await, "");
}

#[tokio::test]
async fn twenty_copies_are_one_transaction() {
    let world = Arc::new(World::new().await);
    for method in ["tok_ok", "tok_async"] {
        let mut copies = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (world, copy) = (Arc::clone(&world), ask(method, "authorize_and_capture", 100).by(method));
            copies.spawn(async move { world.try_run(&copy).await.unwrap() });
        }
        let answers = copies.join_all().await;

        assert_eq!(answers.iter().filter(|(status, _)| *status == 201).count(), 1);
        assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 19);
        assert!(answers.iter().all(|(_, transaction)| transaction["id"] == answers[0].1["id"]));
    }
    assert_eq!(world.books(Some("tok_ok")).await, "authorize_and_capture 100");
}

#[tokio::test]
async fn two_references_are_two_charges() {
    let world = World::new().await;
    for reference in ["a", "b"] {
        world.run(ask(reference, "authorize_and_capture", 100)).await;
    }
    assert_eq!(world.books(None).await, "authorize_and_capture 100, authorize_and_capture 100");
}

#[tokio::test]
async fn a_reference_stays_with_what_it_was_first_used_for() {
    let world = World::new().await;
    for reference in ["a", "b"] {
        world.run(ask(reference, "authorize", 100)).await;
    }
    let first = ask("c", "capture", 10).on("a");
    world.run(first.clone()).await;
    world.run(ask("d", "refund", 500).on("c")).await;

    let others = [
        Ask { amount: 11, ..first.clone() },
        Ask { kind: "reverse_authorize", ..first.clone() },
        first.clone().on("b"),
        first.clone().by("tok_async"),
        first.clone().by("tok_request_lost"),
    ];
    for other in others {
        let (status, answer) = world.try_run(&other).await.unwrap();
        assert_eq!((status, &answer["error"]["code"]), (409, &json!("reference_reused")));
    }
    let mut dollars = first.body(&world.shop);
    dollars["currency"] = json!("USD");
    assert_eq!(world.call("/v1/transactions", Some(dollars)).await.unwrap().0, 409);
    // Where the news shall go is not what was asked for, and a failure stands like a success.
    let mut elsewhere = first.body(&world.shop);
    elsewhere["webhook_url"] = json!("https://shop.example/");
    assert_eq!(world.call("/v1/transactions", Some(elsewhere)).await.unwrap().0, 200);
    let (status, failed) = world.try_run(&ask("d", "refund", 500).on("c")).await.unwrap();
    assert_eq!((status, &failed["failure"]["code"]), (200, &json!("amount_too_large")));
    assert_eq!(world.books(Some("c")).await, "capture 10");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_uses_up_no_reference() {
    let world = World::new().await;
    let good = ask("a", "authorize", 1).body(&world.shop);
    let cases = [
        ("reference", json!("")),
        ("reference", json!("x".repeat(256))),
        ("amount", json!(0)),
        ("amount", json!(-1)),
        ("currency", json!("eur")),
        ("currency", json!("EURO")),
        ("webhook_url", json!("ftp://shop.example/")),
        ("parent", json!("b")),
        ("parent", json!("")),
    ];
    for (field, value) in cases {
        let mut body = good.clone();
        body[field] = value;
        let (status, answer) = world.call("/v1/transactions", Some(body)).await.unwrap();
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("invalid_request")), "{field}");
    }
    for kind in ["capture", "reverse_authorize", "refund"] {
        let (status, answer) = world.try_run(&ask("a", kind, 1)).await.unwrap();
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("invalid_request")), "{kind}");
    }
    let (status, answer) = world.try_run(&ask("a", "chargeback", 1)).await.unwrap();
    assert_eq!((status, &answer["error"]["code"]), (422, &json!("invalid_request")));

    let (status, answer) = world.found("a").await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("transaction_not_found")));
    assert_eq!(world.call("/v1/transactions/trx_unknown", None).await.unwrap().0, 404);
    assert_eq!(world.run(ask("a", "authorize", 1)).await["status"], "succeeded");
}

#[tokio::test]
async fn nobody_without_the_key_runs_or_finds_a_transaction() {
    let world = World::new().await;
    let url = format!("{}/v1/transactions", world.sandbox);
    let body = ask("a", "authorize", 1).body(&world.shop);

    assert_eq!(world.client.post(&url).json(&body).send().await.unwrap().status(), 401);
    for path in ["?reference=a", "/trx_1"] {
        assert_eq!(world.client.get(format!("{url}{path}")).send().await.unwrap().status(), 401);
    }
    assert_eq!(world.books(None).await, "");
}

#[tokio::test]
async fn an_armed_fault_wins_over_the_token() {
    let mut world = World::new().await;
    world.run(ask("a", "authorize", 100)).await;

    world.arm("run_transaction", "declined").await;
    let declined = world.run(ask("b", "capture", 10).on("a").by("tok_async")).await;
    assert_eq!((&declined["status"], &declined["failure"]["decline"]), (&json!("failed"), &json!("soft")));
    assert_eq!(world.try_run(&ask("b", "capture", 10).on("a").by("tok_async")).await.unwrap(), (200, declined));

    world.arm("run_transaction", "pending").await;
    assert_eq!(world.run(ask("c", "authorize", 10).by("tok_declined_hard")).await["status"], "pending");
    assert_eq!([world.news().await, world.news().await], ["transaction.pending", "transaction.succeeded"]);

    world.arm("run_transaction", "rejected").await;
    assert_eq!(world.try_run(&ask("d", "authorize", 10)).await.unwrap().0, 422);
    world.arm("run_transaction", "error_500").await;
    assert_eq!(world.try_run(&ask("d", "authorize", 10).by("tok_answer_lost")).await.unwrap().0, 500);
    world.arm("run_transaction", "request_lost").await;
    assert!(world.try_run(&ask("d", "authorize", 10)).await.is_err());
    assert_eq!(world.found("d").await.0, 404);

    world.arm("run_transaction", "answer_lost").await;
    assert!(world.try_run(&ask("d", "authorize", 10).by("tok_request_lost")).await.is_err());
    assert_eq!(world.found("d").await.1["status"], "succeeded");
    assert_eq!(world.books(None).await, "authorize 100, authorize 10, authorize 10");
}

#[tokio::test]
async fn a_look_up_meets_its_own_faults_and_each_fault_the_calls_that_it_suits() {
    let world = World::new().await;
    let transaction = world.run(ask("a", "authorize", 100)).await;
    let by_id = format!("/v1/transactions/{}", transaction["id"].as_str().unwrap());

    world.arm("find_transaction", "error_500").await;
    assert_eq!(world.found("a").await.0, 500);
    world.arm("find_transaction", "answer_lost").await;
    assert!(world.call(&by_id, None).await.is_err());
    assert_eq!(world.call(&by_id, None).await.unwrap().0, 200);

    let unsuitable =
        [("find_transaction", "declined"), ("create_session", "pending"), ("run_transaction", "succeed_first")];
    for (operation, fault) in unsuitable {
        let arm = json!({ "operation": operation, "fault": fault, "times": 1 });
        assert_eq!(world.call("/v1/faults", Some(arm)).await.unwrap().0, 400, "{operation} {fault}");
    }
}
