//! Card numbers (test G22): a text that holds one is refused by the name of its field, wherever a text may be sent; it is not kept and not repeated.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::secrets::{places, serve};
use crate::support::{
    RETURN_URL, Shop,
    forms::{Blank, Form, almighty, forms},
    outcome, writing_nothing,
};

on_each_database![
    no_text_of_any_field_holds_a_card_number,
    a_document_with_a_card_number_is_not_quoted,
    no_card_number_is_logged_answered_or_kept,
    an_address_to_return_to_hides_no_card_number,
];

const NUMBERS: [&str; 2] = ["4111111111111111", "card 5555 5555-5555 4444 1"];
/// Scalars that have a form of their own, which no card number has.
const FORMED: [&str; 3] = ["ID", "CurrencyCode", "DateTime"];

/// What is put into a blank, and where the fault is.
fn entries<'a>(blank: &'a Blank, number: &str) -> Vec<(Value, Vec<&'a str>)> {
    let path = blank.path();
    match blank.of.as_str() {
        "Metadata" => vec![
            (json!({ "note": number }), [&path[..], &["note", "value"]].concat()),
            // The path would repeat the key.
            (json!({ number: "word" }), [&path[..], &["key"]].concat()),
            (json!({ number: 1 }), path),
        ],
        _ => vec![(json!(number), path)],
    }
}

fn is_repeated(answer: &Value) -> bool {
    let digits: String = answer.to_string().chars().filter(|character| !" -".contains(*character)).collect();
    digits.contains("4111111111111111") || digits.contains("5555555555554444")
}

/// Whether the answer refuses a mutation's field at this path.
fn is_refused(answer: &Value, form: &Form, blank: &Blank, path: &[&str]) -> bool {
    let is_word = |message: &Value| {
        FORMED.contains(&blank.of.as_str()) || message.as_str().is_some_and(|it| it.contains("card number"))
    };
    let fields = answer["data"][&form.name]["problem"]["fields"].as_array().cloned().unwrap_or_default();
    fields.iter().any(|field| field["path"] == json!(path) && (is_word(&field["message"]) || blank.of == "Metadata"))
}

async fn no_text_of_any_field_holds_a_card_number(shop: Shop) {
    let service = almighty(&shop);
    let mut tried = 0;
    for form in forms(&service).await {
        // Nothing else is wrong with it; but a case that is not there is told of as a wrong id.
        if form.is_mutation && form.name != "resolveReconciliationCase" {
            let plain = form.is_sent_by(&service, form.variables.clone()).await;
            assert_ne!(outcome(&plain), "INVALID_INPUT", "{plain}");
        }
        writing_nothing(&shop, async || {
            for blank in &form.blanks {
                for (entry, path) in NUMBERS.iter().flat_map(|number| entries(blank, number)) {
                    let answer = form.is_sent_by(&service, form.with(&blank.pointer, entry)).await;
                    assert_eq!(outcome(&answer), "INVALID_INPUT", "{} {path:?}: {answer}", form.name);
                    assert!(!is_repeated(&answer), "{answer}");
                    assert!(!form.is_mutation || is_refused(&answer, &form, blank, &path), "{path:?}: {answer}");
                    tried += 1;
                }
            }
        })
        .await;
    }
    assert!(tried > 150, "{tried}");
}

async fn a_document_with_a_card_number_is_not_quoted(shop: Shop) {
    let number = NUMBERS[0];
    let service = almighty(&shop);
    for document in [
        format!("{{ card{number} }}"),
        format!("query {number} {{ viewer {{ id }} }}"),
        format!("{{ orders(filter: {{ status: [A{number}] }}) {{ totalCount }} }}"),
        format!("{{ orders(first: {number}) {{ totalCount }} }}"),
        format!("query($first: Int) {{ orders(first: $first, after: \"{number}\") {{ totalCount }} }}"),
    ] {
        let answer = service.asks(&document, json!({ "first": number })).await;
        assert!(answer["errors"].is_array(), "{answer}");
        assert!(!is_repeated(&answer), "{answer}");
    }
}

// whoever reads an address reads it so: the provider, the shop, and their logs
async fn an_address_to_return_to_hides_no_card_number(shop: Shop) {
    let order = shop.adas_order().await;
    let hidden = [
        "?card=%34%31%31%31%31%31%31%31%31%31%31%31%31%31%31%31",
        "?card=4111+1111+1111+1111",
        "/4111%201111%2D1111%201111",
        "#411111111111111%2531",
        "?card=4111\t1111\n11111111",
    ];
    for part in hidden {
        let address = format!("{RETURN_URL}{part}");
        let refused = writing_nothing(&shop, async || {
            shop.user("ada").tries_to_pay(&order, json!({ "returnUrl": address })).await
        })
        .await;
        let problem = &refused["problem"];
        assert_eq!((&problem["code"], &problem["fields"][0]["path"]), (&json!("INVALID_INPUT"), &json!(["returnUrl"])));
        assert!(problem["fields"][0]["message"].as_str().is_some_and(|why| why.contains("card number")), "{problem}");
        assert!(!problem.to_string().contains("1111"), "{problem}");
    }
    let plain = json!({ "returnUrl": format!("{RETURN_URL}?of=%34%31&at=2026-11-22T06%3A12%3A20.123Z") });
    assert_eq!(shop.user("ada").tries_to_pay(&order, plain).await["problem"], Value::Null);
}

/// In the log of a server that logs all it can, too (test G21); and an e-mail address that a caller leaves with us is kept, and not logged.
async fn no_card_number_is_logged_answered_or_kept(shop: Shop) {
    // The other server does not tell its schema.
    let all = forms(&almighty(&shop)).await;
    shop.stop().await;
    let server = serve(&shop);
    let shop = shop.at(&server.url, &format!("{}/sandbox", server.url));
    let service = almighty(&shop);
    let numbers = ["4111111111111111", "5555 5555 5555 4444, CVV 987", "cvc=987 3782-822463-10005"];
    let parts = ["4111111111111111", "5555 5555 5555 4444", "3782-822463-10005", "CVV 987", "cvc=987"];
    for form in all {
        for blank in &form.blanks {
            for number in numbers {
                let (entry, _) = entries(blank, number).swap_remove(0);
                form.is_sent_by(&service, form.with(&blank.pointer, entry)).await;
            }
        }
        form.is_sent_by(&service, json!({ "input": numbers, "id": [numbers[0]], "first": numbers[0] })).await;
    }
    let by_headers = comes_in_headers(&shop, numbers[0]).await;
    let email = "ada.hush@example.com";
    let order = json!({
        "owner": shop.user("ada").as_owner(), "cart": crate::support::tea(), "metadata": { "email": email }, "idempotencyKey": "k",
    });
    service.does("createOrder", order, "order { id }").await;

    let (log, answers) = (server.log(), [shop.answers(), by_headers].concat());
    assert!(log.contains("answered") && answers.len() > 200, "{}", answers.len());
    for part in parts {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(part)).take(3).collect();
        assert!(lines.is_empty(), "{part} is logged: {lines:#?}");
        assert_eq!(answers.iter().find(|answer| answer.contains(part)), None, "{part} is answered");
        assert_eq!(places(&shop, part).await, BTreeSet::new(), "{part} is kept");
    }
    assert!(!log.contains(email) && !places(&shop, email).await.is_empty());
}

/// In each part of a request that is no document: what was answered, headers included.
async fn comes_in_headers(shop: &Shop, number: &str) -> Vec<String> {
    let mut answers = vec![];
    let addresses = ["/graphql", &format!("/graphql?query={number}&operationName={number}"), &format!("/{number}")];
    for address in addresses.iter().map(ToString::to_string).chain([format!("/webhooks/{number}")]) {
        for method in [reqwest::Method::GET, reqwest::Method::POST] {
            let request = shop.client().request(method, shop.url(&address)).bearer_auth(number).body(number.to_owned());
            let named =
                ["x-request-id", "cookie", "origin", "user-agent", "referer", "content-type", "orderpay-signature"];
            let request = named.iter().fold(request, |request, name| request.header(*name, number));
            let answer = request.send().await.expect("it answers");
            answers.push(format!("{:?}", answer.headers()));
            answers.push(answer.text().await.expect("a body"));
        }
    }
    answers
}
