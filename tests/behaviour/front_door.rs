//! What may be sent to `/graphql`, and how: methods, media types, persisted and trusted documents, limits, and documents that mean harm.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Shop, outcome};

on_each_database![
    what_a_browser_sends_across_sites_changes_nothing,
    a_query_may_be_sent_in_an_address,
    a_mutation_in_an_address_is_refused,
    what_is_accepted_is_what_is_answered,
    a_persisted_query_is_run_by_its_hash,
    a_hash_that_is_not_that_of_its_text_is_refused,
    only_trusted_documents_run_where_there_are_such,
    every_answer_tells_what_it_cost,
    a_document_that_means_harm_is_refused,
    variables_hold_only_so_many_values,
    a_hidden_field_is_refused_as_one_that_is_not_there,
    a_batch_is_refused,
];

const QUERY: &str = "{ viewer { id } }";

// test G3: what no preflight was asked for is not executed
async fn what_a_browser_sends_across_sites_changes_nothing(shop: Shop) {
    let checkout = shop.checkout();
    let input = json!({ "owner": shop.user("ada").as_owner(), "cart": crate::support::tea(), "idempotencyKey": "k" });
    let mutation = "mutation($input: CreateOrderInput!) { createOrder(input: $input) { order { id } } }";
    let types = [
        None,
        Some(""),
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("application/json"),
        Some("application/json; charset=utf-8"),
        Some("APPLICATION/JSON"),
        Some("application/graphql-response+json"),
    ];
    let mut executed = vec![];
    for method in [Method::GET, Method::POST] {
        for content_type in types {
            for (document, variables) in [(QUERY, json!({})), (mutation, json!({ "input": input }))] {
                let before = shop.rows().await;
                let request = shop.client().request(method.clone(), shop.url("/graphql")).bearer_auth(checkout.token());
                let request = content_type.into_iter().fold(request, |of, name| of.header("content-type", name));
                let request = match method == Method::GET {
                    true => request.query(&[("query", document), ("variables", &variables.to_string())]),
                    false => request.body(json!({ "query": document, "variables": variables }).to_string()),
                };
                let status = request.send().await.unwrap().status();
                let is_query = document == QUERY;
                match (method == Method::GET, is_query) {
                    (true, true) => assert_eq!(status, 200),
                    (true, false) => assert_eq!(status, 405),
                    (false, _) if status == 200 => executed.push((content_type, is_query)),
                    (false, _) => assert_eq!(status, 415, "{content_type:?}"),
                }
                if !is_query && status != 200 {
                    assert_eq!(shop.rows().await, before, "{method} {content_type:?}");
                }
            }
        }
    }
    let json = ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"].map(Some);
    assert_eq!(executed, json.into_iter().flat_map(|name| [(name, true), (name, false)]).collect::<Vec<_>>());
}

/// The status and the answer to what is sent in an address.
async fn gets(shop: &Shop, parameters: &[(&str, &str)]) -> (StatusCode, Value) {
    let request = shop.client().get(shop.url("/graphql")).bearer_auth(shop.checkout().token());
    let answer = request.query(parameters).send().await.unwrap();
    (answer.status(), answer.json().await.expect("JSON"))
}

async fn a_query_may_be_sent_in_an_address(shop: Shop) {
    let two = "query One { viewer { id } } query Two($yes: Boolean!) { viewer { kind @include(if: $yes) } }";

    let (status, answer) =
        gets(&shop, &[("query", two), ("operationName", "Two"), ("variables", r#"{ "yes": true }"#)]).await;

    assert_eq!((status.as_u16(), &answer["data"]), (200, &json!({ "viewer": { "kind": "SERVICE" } })));
    for wrong in [vec![], vec![("query", QUERY), ("variables", "[]")], vec![("query", QUERY), ("extensions", "7")]] {
        let (status, answer) = gets(&shop, &wrong).await;
        assert_eq!((status.as_u16(), outcome(&answer).as_str()), (400, "BAD_REQUEST"), "{wrong:?}");
    }
}

async fn a_mutation_in_an_address_is_refused(shop: Shop) {
    let mutation = "mutation { cancelOrder(input: { orderId: \"x\" }) { __typename } }";

    let request = shop.client().get(shop.url("/graphql")).bearer_auth(shop.checkout().token());
    let answer = request.query(&[("query", mutation)]).send().await.unwrap();

    assert_eq!((answer.status().as_u16(), answer.headers()["allow"].to_str().unwrap()), (405, "POST"));
}

async fn what_is_accepted_is_what_is_answered(shop: Shop) {
    for (accept, status, content_type) in [
        ("*/*", 200, "application/json; charset=utf-8"),
        ("application/graphql-response+json", 200, "application/graphql-response+json; charset=utf-8"),
        ("text/html", 406, "application/json; charset=utf-8"),
    ] {
        let request = shop.client().post(shop.url("/graphql")).bearer_auth(shop.checkout().token());
        let answer = request.header("accept", accept).json(&json!({ "query": QUERY })).send().await.unwrap();
        let told = (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap());
        assert_eq!(told, (status, content_type), "{accept}");
    }
}

fn hash(document: &str) -> String {
    Sha256::digest(document).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn sends(shop: &Shop, body: Value) -> Value {
    let (_, answer) = shop.checkout().sends(body.to_string()).await;
    serde_json::from_str(&answer).expect("JSON")
}

// as Apollo's clients do: the hash first, then the text with it, and from then on the hash
async fn a_persisted_query_is_run_by_its_hash(shop: Shop) {
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash(QUERY) } });

    let unknown = sends(&shop, json!({ "extensions": extensions })).await;
    let taught = sends(&shop, json!({ "query": QUERY, "extensions": extensions })).await;
    let known = sends(&shop, json!({ "extensions": extensions })).await;
    let (_, in_an_address) = gets(&shop, &[("extensions", &extensions.to_string())]).await;
    let by_id = sends(&shop, json!({ "documentId": format!("sha256:{}", hash(QUERY)) })).await;

    assert_eq!(outcome(&unknown), "PERSISTED_QUERY_NOT_FOUND");
    assert_eq!(unknown["errors"][0]["message"], "PersistedQueryNotFound");
    for answer in [taught, known, in_an_address, by_id] {
        assert_eq!(answer["data"], json!({ "viewer": { "id": "checkout" } }));
    }
}

async fn a_hash_that_is_not_that_of_its_text_is_refused(shop: Shop) {
    for wrong in [hash("{ viewer { kind } }"), "1".into(), "g".repeat(64)] {
        let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": wrong } });
        let answer = sends(&shop, json!({ "query": QUERY, "extensions": extensions })).await;
        assert_eq!(outcome(&answer), "BAD_REQUEST", "{wrong}");
    }
}

async fn only_trusted_documents_run_where_there_are_such(shop: Shop) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({ "who": QUERY }).to_string()).unwrap();
    let setting = format!("--trusted-documents={}", file.path().display());
    let strict = shop.second(&[&setting]).await;

    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash(QUERY) } });
    for trusted in [json!({ "documentId": "who" }), json!({ "query": QUERY }), json!({ "extensions": extensions })] {
        let answer = sends(&strict, trusted.clone()).await;
        assert_eq!(answer["data"], json!({ "viewer": { "id": "checkout" } }), "{trusted}");
    }
    let other = "{ viewer { kind } }";
    for untrusted in [
        json!({ "query": other }),
        json!({ "documentId": "nobody" }),
        json!({ "documentId": "nobody", "query": QUERY }),
        json!({ "query": other, "extensions": extensions, "documentId": "who2" }),
        json!({ "query": "{ __schema { queryType { name } } }" }),
        json!({ "query": other, "extensions": { "persistedQuery": { "version": 1, "sha256Hash": hash(other) } } }),
    ] {
        assert_eq!(outcome(&sends(&strict, untrusted.clone()).await), "DOCUMENT_NOT_TRUSTED", "{untrusted}");
    }
    strict.stop().await;
}

async fn every_answer_tells_what_it_cost(shop: Shop) {
    let query = "{ orders(first: 7) { nodes { id payments { id } } } }";
    let answer = shop.service(&["orders:read"]).asks(query, json!({})).await;

    assert_eq!(answer["extensions"]["cost"], json!({ "requested": 22, "limit": 1000 }));
}

/// Documents that cost whoever reads them more than whoever writes them.
fn harmful() -> Vec<String> {
    let doubling = |n: usize| format!("fragment f{n} on Query {{ ...f{} ...f{} }} ", n + 1, n + 1);
    let list = |open: &str, close: &str, count: usize| format!("{}{}", open.repeat(count), close.repeat(count));
    let mut documents = vec![
        list("{ viewer ", "}", 10_000),
        list("{", "", 60_000),
        list("[", "]", 20_000),
        format!("{{ viewer(x: {}) {{ id }} }}", list("[", "]", 7_000)),
        format!("{{ viewer(x: {}) {{ id }} }}", list("{a:", "}", 3_000)),
        format!("query($x: {}) {{ viewer {{ id }} }}", list("[", "]", 7_000)),
        format!("{{ {} }}", "__typename ".repeat(5_000)),
        format!("{{ {} }}", (0..5_000).map(|n| format!("a{n}:__typename ")).collect::<String>()),
        format!("{{ viewer {{ id {} }} }}", "@include(if:true)".repeat(3_000)),
        format!("{{ viewer {{ id {} }} }}", "@x".repeat(30_000)),
        format!(
            "{{ ...f0 }} {} fragment f60 on Query {{ viewer {{ id }} }}",
            (0..60).map(doubling).collect::<String>()
        ),
        "{ ...f } fragment f on Query { ...f }".to_owned(),
        "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a ...a ...a }".to_owned(),
        format!("{{ viewer(x: \"{}\") {{ id }} }}", "x".repeat(60_000)),
        format!("{{ viewer(x: \"\"\"{}\"\"\") {{ id }} }}", "\\\"\"\"".repeat(10_000)),
        format!("{{ orders(first: {}) {{ totalCount }} }}", "9".repeat(5_000)),
        format!("{{ orders(first: 1e{}) {{ totalCount }} }}", "9".repeat(300)),
        format!("{{ {} {{ id }} }}", "x".repeat(60_000)),
        format!("#{}", "\u{202e}é🦀".repeat(5_000)),
        "\u{0}\u{1}\u{feff}{ viewer { id } }".to_owned(),
        (0..2_000).map(|n| format!("query q{n} {{ viewer {{ id }} }} ")).collect(),
        format!("query({}) {{ viewer {{ id }} }}", (0..2_000).map(|n| format!("$v{n}: Int ")).collect::<String>()),
    ];
    for count in [1, 10, 20, 40] {
        documents.push(format!("{{ {} }}", "viewer { id } ".repeat(count * 11)));
        documents.push(format!("{{ order(id: \"x\") {{ {} }} }}", "payments { order { id } } ".repeat(count * 300)));
    }
    documents
}

// test G5
async fn a_document_that_means_harm_is_refused(shop: Shop) {
    let checkout = shop.checkout();
    for document in harmful() {
        let begun = std::time::Instant::now();
        let answer = checkout.asks(&document, json!({})).await;
        let start: String = document.chars().take(60).collect();
        let code = outcome(&answer);
        assert!(
            ["LIMIT_EXCEEDED", "BAD_REQUEST", "UNKNOWN", "PAYLOAD_TOO_LARGE"].contains(&code.as_str()),
            "{start}: {answer}"
        );
        assert!(answer.to_string().len() < 1_500, "{start}: {}", answer.to_string().len());
        // Not how fast it is, but whether it ends at all.
        assert!(begun.elapsed() < Duration::from_secs(10), "{start}");
    }
    assert_eq!(outcome(&checkout.asks(QUERY, json!({})).await), "ok");
}

// test G5
async fn variables_hold_only_so_many_values(shop: Shop) {
    let checkout = shop.checkout();
    let query = "query($ids: [ID!]) { order(id: $ids) { id } }";
    let asks = async |count: usize| {
        checkout.asks(query, json!({ "ids": vec![1; count] })).await["errors"][0]["extensions"].take()
    };

    // The list is a value too.
    let (most, more) = (asks(19_999).await, asks(20_000).await);

    assert_eq!(most["code"], "BAD_REQUEST", "{most}");
    assert_eq!(more["code"], "LIMIT_EXCEEDED", "{more}");
    assert_eq!([&more["limit"], &more["most"]], [&json!("VARIABLES_VALUES"), &json!(20_000)]);
}

// rule A4
async fn a_hidden_field_is_refused_as_one_that_is_not_there(shop: Shop) {
    let (order, ada) = (shop.adas_order().await, shop.user("ada"));
    for (hidden, missing, document) in [
        ("transactions", "transactionz", "query($id: ID!) { order(id: $id) { payments { transactions { id } } } }"),
        ("capturePayment", "capturePaymenz", "mutation { capturePayment(input: {}) { __typename } }"),
        ("orders", "orderz", "{ orders { totalCount } }"),
        (
            "transactions",
            "transactionz",
            "query($id: ID!) { order(id: $id) { id } } fragment f on Payment { transactions { id } }",
        ),
        ("PaymentTransaction", "PaymentTransactioz", "{ viewer { id } } fragment f on PaymentTransaction { id }"),
        ("RefundPaymentInput", "RefundPaymentInpuz", "query($x: RefundPaymentInput) { viewer { id } }"),
    ] {
        let mut told = vec![];
        for document in [document.to_owned(), document.replace(hidden, missing)] {
            let mut answer = ada.asks(&document, json!({ "id": order })).await;
            answer["errors"][0]["extensions"]["requestId"].take();
            told.push(answer.to_string().replace(missing, hidden));
        }
        assert_eq!(told[0], told[1]);
        assert!(told[0].contains("Unknown"), "{}", told[0]);
    }
}

async fn a_batch_is_refused(shop: Shop) {
    let (status, answer) = shop.checkout().sends(json!([{ "query": QUERY }, { "query": QUERY }]).to_string()).await;

    assert_eq!((status, outcome(&serde_json::from_str(&answer).expect("JSON")).as_str()), (400, "BAD_REQUEST"));
}
