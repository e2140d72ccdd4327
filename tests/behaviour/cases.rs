//! Cases as people work with them: listed, and decided once, with who decided and on which evidence (rule R3). What each decision comes to is in
//! `decisions` and `transaction_decisions`, and what follows on it in `after_decisions`.

use serde_json::{Value, json};

use crate::support::{Attempt, Payment, Shop, code, outcome};

on_each_database![
    a_case_tells_what_was_asked_for_and_what_was_reported,
    a_decision_is_taken_once_however_often_it_is_sent,
    another_decision_about_a_resolved_case_is_refused,
    a_decision_that_cannot_be_read_changes_nothing,
    evidence_may_be_as_long_as_a_page,
    whoever_does_not_decide_cases_sees_none_and_changes_nothing,
    a_payment_that_somebody_has_locked_is_not_decided_about,
    of_two_people_who_decide_at_once_one_does,
    cases_are_listed_newest_first_page_by_page,
    cursors_of_another_list_are_refused,
];

/// An order of ada's whose page she paid one cent too little on, and the case of that.
pub async fn one_cent_short(shop: &Shop) -> (String, Attempt, Value) {
    let (order, attempt) = shop.open_attempt().await;
    shop.shopper_pays_with(&attempt, "tok_wrong_amount").await;
    (order, attempt, shop.newest_case().await)
}

pub fn payment_of(order: &str, case: &Value) -> Payment {
    Payment { id: case["payment"]["id"].as_str().expect("a payment").to_owned(), order: order.to_owned() }
}

async fn a_case_tells_what_was_asked_for_and_what_was_reported(shop: Shop) {
    let (_, attempt, case) = one_cent_short(&shop).await;

    let told = json!([
        case["state"],
        case["reason"],
        case["attempt"],
        case["expected"],
        case["reported"],
        case["checks"],
        case["nextCheckAt"],
        case["resolution"],
        case["evidence"],
        case["resolvedBy"],
        case["resolvedAt"],
    ]);
    let (expected, reported) =
        (json!({ "amount": "29.90", "currency": "EUR" }), json!({ "amount": "29.89", "currency": "EUR" }));
    let of = json!({ "id": attempt.id, "status": "CONFLICTED" });
    let open = json!(["OPEN", "AMOUNT_MISMATCH", of, expected, reported, 0, null, null, null, null, null]);
    assert_eq!(told, open);
    let question = case["question"].as_str().expect("a question");
    assert!(question.contains("29.90") && question.contains("29.89"), "{question}");
}

// rule R3
async fn a_decision_is_taken_once_however_often_it_is_sent(shop: Shop) {
    let (order, _, case) = one_cent_short(&shop).await;
    let (carla, dora) = (shop.accountant(), shop.accountant_named("dora"));

    let first = carla.decides(&case, "REFUND", "The shopper wants it back.").await;
    let again = carla.decides(&case, "REFUND", "Sent once more.").await;
    let by_another = dora.decides(&case, "REFUND", "I think so too.").await;

    assert_eq!(first["case"]["resolvedBy"], "SERVICE carla");
    assert_eq!(first["case"]["evidence"], "The shopper wants it back.");
    assert_eq!((&again, &by_another), (&first, &first));
    assert_eq!(shop.moved().await, ["authorize_and_capture 2989", "refund 2989"]);
    shop.books_agree(&[&payment_of(&order, &case)]).await;
}

// rule R3
async fn another_decision_about_a_resolved_case_is_refused(shop: Shop) {
    let (order, _, case) = one_cent_short(&shop).await;
    let payment = payment_of(&order, &case);
    shop.accountant().decides(&case, "ACCEPT", "one cent").await;
    let dora = shop.accountant_named("dora");

    let refused = shop
        .leaving_all_as_it_was(&[&payment], async || {
            [
                dora.decides(&case, "REFUND", "no").await,
                dora.decides(&case, "WRITE_OFF", "no").await,
                dora.decides(&case, "RECHECK", "no").await,
            ]
        })
        .await;

    assert_eq!(refused.each_ref().map(code), ["INVALID_INPUT"; 3]);
    let field = &refused[0]["problem"]["fields"][0];
    assert_eq!(field["path"], json!(["caseId"]));
    assert!(field["message"].as_str().is_some_and(|why| why.contains("SERVICE carla")), "{field}");
    assert_eq!(shop.case_again(&case).await["resolution"], "ACCEPT");
}

async fn a_decision_that_cannot_be_read_changes_nothing(shop: Shop) {
    let (order, _, case) = one_cent_short(&shop).await;
    let payment = payment_of(&order, &case);
    let accountant = shop.accountant();
    let unknown = json!({ "id": "rec_0198a000-0000-7000-8000-000000000000" });
    let tries = [
        (&unknown, "it is so", "caseId"),
        (&json!({ "id": payment.id }), "it is so", "caseId"),
        (&json!({ "id": "" }), "it is so", "caseId"),
        (&case, "", "evidence"),
        (&case, &"é".repeat(2001), "evidence"),
    ];

    for (case, evidence, path) in tries {
        let payload = shop
            .leaving_all_as_it_was(&[&payment], async || accountant.decides(case, "WRITE_OFF", evidence).await)
            .await;
        assert_eq!([code(&payload), &payload["case"]], [&json!("INVALID_INPUT"), &Value::Null]);
        assert_eq!(payload["problem"]["fields"][0]["path"], json!([path]));
    }
    assert_eq!(shop.case_again(&case).await, case);
}

async fn evidence_may_be_as_long_as_a_page(shop: Shop) {
    let (_, _, case) = one_cent_short(&shop).await;
    let evidence = "é".repeat(2000);

    shop.accountant().decides(&case, "WRITE_OFF", &evidence).await;

    assert_eq!(shop.case_again(&case).await["evidence"], evidence);
}

// rules A3, A5
async fn whoever_does_not_decide_cases_sees_none_and_changes_nothing(shop: Shop) {
    let (order, _, case) = one_cent_short(&shop).await;
    let payment = payment_of(&order, &case);
    let input = json!({ "caseId": case["id"], "resolution": "WRITE_OFF", "evidence": "mine" });

    for actor in [shop.user("ada"), shop.guest("g-1"), shop.checkout(), shop.back_office()] {
        let [listed, decided] = shop
            .leaving_all_as_it_was(&[&payment], async || {
                [
                    actor.asks("{ reconciliationCases { nodes { id } } }", json!({})).await,
                    actor.tries("resolveReconciliationCase", input.clone(), "case { id }").await,
                ]
            })
            .await;
        for answer in [listed, decided] {
            assert_eq!(outcome(&answer), "UNKNOWN", "{answer}");
            assert!(!answer.to_string().contains("rec_"), "{answer}");
        }
    }
}

// rules K1, K2
async fn a_payment_that_somebody_has_locked_is_not_decided_about(shop: Shop) {
    let (order, _, case) = one_cent_short(&shop).await;
    let payment = payment_of(&order, &case);
    let token = shop.checkout().locks_one(&payment).await;

    for resolution in ["ACCEPT", "REFUND", "WRITE_OFF", "RECHECK"] {
        let refused = shop
            .leaving_all_as_it_was(&[&payment], async || shop.accountant().decides(&case, resolution, "now").await)
            .await;
        assert_eq!([code(&refused), &refused["problem"]["paymentId"]], ["PAYMENT_LOCKED", payment.id.as_str()]);
    }

    assert_eq!(shop.case_again(&case).await, case);
    assert!(shop.checkout().unlocks(&payment, &token).await);
    assert_eq!(shop.accountant().decides(&case, "ACCEPT", "now").await["case"]["state"], "RESOLVED");
}

/// What became of a decision, in a word.
fn word(payload: &Value) -> String {
    let state = payload["case"]["resolution"].as_str().unwrap_or_default();
    code(payload).as_str().unwrap_or(state).to_owned()
}

// rule R3
async fn of_two_people_who_decide_at_once_one_does(shop: Shop) {
    let other = shop.second(&["--sandbox-url", &shop.url("/sandbox")]).await;
    let pairs = [("REFUND", "REFUND"), ("REFUND", "ACCEPT"), ("WRITE_OFF", "REFUND"), ("ACCEPT", "ACCEPT")];
    let mut payments = vec![];
    for (one, two) in pairs {
        let (order, _, case) = one_cent_short(&shop).await;
        let (carla, dora) = (shop.accountant(), other.accountant_named("dora"));

        let (first, second) = tokio::join!(carla.decides(&case, one, "mine"), dora.decides(&case, two, "mine"));

        let decided = shop.case_again(&case).await;
        let winner = decided["resolvedBy"].as_str().expect("somebody").to_owned();
        let words = [("SERVICE carla", one, word(&first)), ("SERVICE dora", two, word(&second))];
        for (name, wanted, word) in &words {
            let lost = ["PAYMENT_LOCKED", "INVALID_INPUT"].contains(&word.as_str());
            // The same decision is the same, whoever took it.
            let same = decided["resolution"] == *wanted && word == wanted;
            assert!(if *name == winner { word == wanted } else { lost || same }, "{words:?}");
        }
        payments.push((payment_of(&order, &case), decided["resolution"].clone()));
    }
    let refunds = payments.iter().filter(|(_, resolution)| resolution == "REFUND").count();
    assert_eq!(shop.moved().await.iter().filter(|moved| *moved == "refund 2989").count(), refunds);
    let in_the_books: i64 = payments.iter().map(|(_, resolution)| i64::from(resolution != "WRITE_OFF")).sum();
    assert_eq!(shop.count("payment_transaction WHERE kind = 'AUTHORIZE_AND_CAPTURE'").await, in_the_books);
    for (payment, _) in &payments {
        shop.summary_agrees(payment).await;
    }
    other.stop().await;
}

fn ids(page: &Value) -> Vec<&str> {
    let nodes = page["nodes"].as_array().expect("cases");
    nodes.iter().map(|node| node["id"].as_str().expect("an id")).collect()
}

// rule L1
async fn cases_are_listed_newest_first_page_by_page(shop: Shop) {
    let mut cases = vec![];
    for _ in 0..5 {
        cases.insert(0, one_cent_short(&shop).await.2);
    }
    let accountant = shop.accountant();
    accountant.decides(&cases[1], "WRITE_OFF", "no").await;
    accountant.decides(&cases[3], "WRITE_OFF", "no").await;
    let id = |at: usize| cases[at]["id"].as_str().expect("an id");

    let all = accountant.lists_cases("first: 100").await;
    let open = accountant.lists_cases("first: 2, state: OPEN").await;
    let after = open["pageInfo"]["endCursor"].as_str().expect("a cursor");
    let rest = accountant.lists_cases(&format!("first: 2, state: OPEN, after: \"{after}\"")).await;
    let resolved = accountant.lists_cases("state: RESOLVED").await;

    assert_eq!(ids(&all), (0..5).map(id).collect::<Vec<_>>());
    assert_eq!([ids(&open), ids(&rest), ids(&resolved)], [vec![id(0), id(2)], vec![id(4)], vec![id(1), id(3)]]);
    let has =
        |page: &Value| [&page["pageInfo"]["hasPreviousPage"], &page["pageInfo"]["hasNextPage"]].map(|has| has == true);
    assert_eq!([has(&open), has(&rest), has(&resolved)], [[false, true], [true, false], [false, false]]);
    assert_eq!(open["edges"][1]["cursor"], after);
    assert_eq!(open["edges"][1]["node"]["id"], id(2));
}

// rule L1
async fn cursors_of_another_list_are_refused(shop: Shop) {
    one_cent_short(&shop).await;
    let accountant = shop.accountant();
    let page = accountant.lists_cases("state: OPEN").await;
    let cursor = page["pageInfo"]["endCursor"].as_str().expect("a cursor");

    let bad = [
        format!("state: RESOLVED, after: \"{cursor}\""),
        format!("after: \"{cursor}\""),
        "after: \"made up\"".to_owned(),
        "after: \"\"".to_owned(),
        "first: 0".to_owned(),
        "first: 101".to_owned(),
        "first: -1".to_owned(),
    ];

    for part in bad {
        let document = format!("{{ reconciliationCases({part}) {{ nodes {{ id }} }} }}");
        let answer = accountant.asks(&document, json!({})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "INVALID_INPUT", "{part}: {answer}");
    }
    let same = accountant.lists_cases(&format!("state: OPEN, after: \"{cursor}\"")).await;
    assert_eq!(ids(&same), [""; 0]);
}
