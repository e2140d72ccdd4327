//! `POST /graphql`: a request in JSON, executed for its caller.
//!
//! Ours and not a stock handler: those execute what a browser may send across sites, and answer before they know who asks. Only JSON is read.

use std::sync::Arc;

use async_graphql::{
    ErrorExtensionValues, Request, Response as Answer, ServerError, Value, Variables,
    parser::types::{ExecutableDocument, OperationDefinition},
};
use axum::{
    Extension,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tower_http::request_id::RequestId;

use super::{Face, access, refusal, request_id};

const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";

/// The parameters of a request (GraphQL over HTTP, section 5.1). Extensions are allowed, and none is known.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    query: String,
    operation_name: Option<String>,
    variables: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Answers one request.
pub async fn answer(
    State(face): State<Arc<Face>>,
    Extension(id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !is_json(&headers) {
        let why = "Send the request as application/json.";
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", why);
    }
    let caller = match access::caller(&face, &headers).await {
        Ok(caller) => caller,
        Err(answer) => return answer,
    };
    let parameters: Parameters = match serde_json::from_slice(&body) {
        Ok(parameters) => parameters,
        Err(_) => {
            let why = "The body must be a JSON object with `query` (a string) and, where needed, `operationName` and `variables`.";
            return refusal(StatusCode::BAD_REQUEST, "BAD_REQUEST", why);
        }
    };
    let answer = match request(parameters) {
        Ok(request) if face.introspection => face.schema.execute(&face.app, caller, request).await,
        Ok(request) => face.schema.execute(&face.app, caller, request.disable_introspection()).await,
        Err(error) => Answer::from_errors(vec![error]),
    };
    respond(&headers, &request_id(&id), answer)
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

fn request(parameters: Parameters) -> Result<Request, ServerError> {
    let variables = parameters.variables.unwrap_or_default();
    let variables = Variables::from_json(serde_json::Value::Object(variables));
    let mut request = Request::new(parameters.query).variables(variables);
    request.operation_name = parameters.operation_name;
    let document = request.parsed_query()?.clone();
    if let Some(missing) = missing_variable(&document, request.operation_name.as_deref(), &request.variables) {
        return Err(ServerError::new(format!("The variable ${missing} is required."), None));
    }
    Ok(request)
}

/// A variable that must have a value and has none. The executor would run without it.
fn missing_variable(document: &ExecutableDocument, name: Option<&str>, variables: &Variables) -> Option<String> {
    let operation = operation(document, name)?;
    let definitions = operation.variable_definitions.iter().map(|definition| &definition.node);
    let missing = definitions
        .filter(|definition| !definition.var_type.node.nullable && definition.default_value.is_none())
        .find(|definition| matches!(variables.get(&definition.name.node), None | Some(Value::Null)));
    missing.map(|definition| definition.name.node.to_string())
}

fn operation<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Option<&'a OperationDefinition> {
    let mut operations = document.operations.iter();
    let found = match name {
        Some(name) => operations.find(|(found, _)| found.is_some_and(|found| found == name)),
        None => operations.next(),
    };
    found.map(|(_, operation)| &operation.node)
}

fn respond(headers: &HeaderMap, request_id: &str, mut answer: Answer) -> Response {
    for error in &mut answer.errors {
        let extensions = error.extensions.get_or_insert_with(ErrorExtensionValues::default);
        if extensions.get("code").is_none() {
            // What the library itself refuses: a document or variables that don't fit the schema.
            extensions.set("code", "BAD_REQUEST");
        }
        extensions.set("requestId", request_id);
    }
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (content_type, is_modern) = match accept.contains(GRAPHQL_RESPONSE) {
        true => (GRAPHQL_RESPONSE, true),
        false => ("application/json; charset=utf-8", false),
    };
    let never_ran = answer.data == Value::Null
        && !answer.errors.is_empty()
        && answer.errors.iter().all(|error| error.path.is_empty());
    let status = if never_ran && is_modern { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let body = if never_ran {
        serde_json::to_vec(&serde_json::json!({ "errors": answer.errors }))
    } else {
        serde_json::to_vec(&answer)
    };
    match body {
        Ok(body) => (status, [(header::CONTENT_TYPE, content_type)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer can't be written");
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "Internal error.")
        }
    }
}
