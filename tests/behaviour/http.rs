//! What is HTTP and not GraphQL: bodies, health, request ids, and what a browser may see.

use serde_json::{Value, json};

use crate::support::{Shop, outcome};

on_each_database![
    a_body_that_is_not_json_is_refused,
    a_body_without_a_query_is_refused,
    a_request_in_another_media_type_is_refused,
    a_body_above_the_limit_is_refused,
    every_refusal_has_one_form,
    a_document_that_does_not_parse_is_refused,
    a_field_that_is_not_there_is_refused,
    a_client_of_the_newer_protocol_is_told_by_the_status_too,
    the_process_is_alive,
    a_migrated_database_is_ready,
    a_database_that_misses_a_migration_is_not_ready,
    every_answer_carries_a_request_id,
    each_request_has_an_id_of_its_own,
    without_introspection_the_schema_is_not_told,
    graphiql_is_not_served_outside_development,
];

/// The status of an answer, and the code of its error.
async fn refused(shop: &Shop, body: &str) -> (u16, Value) {
    let before = shop.rows().await;
    let (status, body) = shop.checkout().sends(body.to_owned()).await;
    assert_eq!(shop.rows().await, before);
    let mut body: Value = serde_json::from_str(&body).expect("JSON");
    (status, body["errors"][0]["extensions"]["code"].take())
}

async fn a_body_that_is_not_json_is_refused(shop: Shop) {
    assert_eq!(refused(&shop, "{ \"query\": ").await, (400, json!("BAD_REQUEST")));
}

async fn a_body_without_a_query_is_refused(shop: Shop) {
    assert_eq!(refused(&shop, "{}").await, (400, json!("BAD_REQUEST")));
}

// A form can be sent across sites without asking; JSON can't.
async fn a_request_in_another_media_type_is_refused(shop: Shop) {
    let request = shop.client().post(shop.url("/graphql")).header("content-type", "text/plain");
    let answer = request.body("{ \"query\": \"{ viewer { id } }\" }").send().await.unwrap();

    assert_eq!(answer.status(), 415);
}

async fn a_body_above_the_limit_is_refused(shop: Shop) {
    let body = json!({ "query": "{ viewer { id } }", "padding": "x".repeat(1024 * 1024) }).to_string();

    let request = shop.client().post(shop.url("/graphql")).header("content-type", "application/json");
    let answer = request.body(body).send().await.unwrap();

    assert_eq!(answer.status(), 413);
    // What is left of it is not read, so nothing else can come on that connection.
    assert_eq!(answer.headers()["connection"], "close");
}

async fn every_refusal_has_one_form(shop: Shop) {
    let graphql = || shop.client().post(shop.url("/graphql")).header("content-type", "application/json");
    let refusals = [
        (graphql().body("{}"), 401, "UNAUTHENTICATED"),
        (shop.client().post(shop.url("/graphql")).body("{}"), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (shop.client().get(shop.url("/graphql")), 401, "UNAUTHENTICATED"),
        (shop.client().put(shop.url("/graphql")), 405, "METHOD_NOT_ALLOWED"),
        (shop.client().get(shop.url("/nowhere")), 404, "NOT_FOUND"),
        (shop.client().post(shop.url("/webhooks/nobody")), 404, "NOT_FOUND"),
        (shop.client().post(shop.url("/webhooks/sandbox")), 401, "UNVERIFIED"),
        // The last one: a connection with a body on it that nobody reads is closed.
        (graphql().body("x".repeat(2 * 1024 * 1024)), 413, "PAYLOAD_TOO_LARGE"),
    ];
    for (request, status, code) in refusals {
        let answer = request.send().await.unwrap();

        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        let told = (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON")["errors"][0].take());
        assert_eq!((told.0, &told.1["extensions"]), (status, &json!({ "code": code, "requestId": id })));
        assert!(told.1["message"].is_string());
    }
}

async fn a_document_that_does_not_parse_is_refused(shop: Shop) {
    let answer = shop.user("ada").asks("{ viewer { id }", json!({})).await;

    assert_eq!((outcome(&answer).as_str(), answer.get("data")), ("BAD_REQUEST", None));
}

async fn a_field_that_is_not_there_is_refused(shop: Shop) {
    let answer = shop.user("ada").asks("{ viewer { id password } }", json!({})).await;

    assert_eq!((outcome(&answer).as_str(), answer.get("data")), ("UNKNOWN", None));
}

async fn a_client_of_the_newer_protocol_is_told_by_the_status_too(shop: Shop) {
    let mut told = vec![];
    for document in ["{ viewer { password } }", "{ viewer { id } }"] {
        let request = shop.client().post(shop.url("/graphql")).bearer_auth(shop.user("ada").token());
        let request = request.header("accept", "application/graphql-response+json");
        told.push(request.json(&json!({ "query": document })).send().await.unwrap().status().as_u16());
    }

    assert_eq!(told, [400, 200]);
}

async fn status(shop: &Shop, path: &str) -> u16 {
    shop.client().get(shop.url(path)).send().await.unwrap().status().as_u16()
}

async fn the_process_is_alive(shop: Shop) {
    assert_eq!(status(&shop, "/healthz").await, 200);
}

async fn a_migrated_database_is_ready(shop: Shop) {
    assert_eq!(status(&shop, "/readyz").await, 200);
}

async fn a_database_that_misses_a_migration_is_not_ready(shop: Shop) {
    let newest = "(SELECT max(version) FROM seaql_migrations)";
    shop.is_tampered_with();
    shop.database().await.run(&format!("DELETE FROM seaql_migrations WHERE version = {newest}")).await;

    assert_eq!([status(&shop, "/readyz").await, status(&shop, "/healthz").await], [503, 200]);
}

/// The request id of the answer to each of these.
async fn request_ids(shop: &Shop, paths: &[&str]) -> Vec<Option<String>> {
    let mut ids = vec![];
    for path in paths {
        let answer = shop.client().post(shop.url(path)).send().await.unwrap();
        let id = answer.headers().get("x-request-id").and_then(|id| id.to_str().ok());
        ids.push(id.map(str::to_owned));
    }
    ids
}

async fn every_answer_carries_a_request_id(shop: Shop) {
    let ids = request_ids(&shop, &["/graphql", "/webhooks/sandbox", "/webhooks/paypal", "/healthz", "/nowhere"]).await;

    assert!(ids.iter().all(Option::is_some), "{ids:?}");
}

async fn each_request_has_an_id_of_its_own(shop: Shop) {
    let ids = request_ids(&shop, &["/graphql", "/graphql"]).await;

    assert_ne!(ids[0], ids[1]);
}

async fn without_introspection_the_schema_is_not_told(shop: Shop) {
    let discreet = shop.second(&["--introspection", "off"]).await;

    let answer = discreet.checkout().asks("{ __schema { types { name } } }", json!({})).await;

    assert_eq!(answer["data"]["__schema"], Value::Null);
    discreet.stop().await;
}

async fn graphiql_is_not_served_outside_development(shop: Shop) {
    assert_eq!(status(&shop, "/").await, 404);
}
