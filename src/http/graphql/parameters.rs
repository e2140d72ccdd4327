//! The parameters of a request (GraphQL over HTTP, section 5): the same, whether they come in a body or in an address.

use serde::{Deserialize, Deserializer, de::Error};

use crate::graphql::{Asked, Named};

/// What is wrong with the parameters, in words for whoever sent them.
pub const EXPECTED: &str = "The parameters are `query` (a text) or `documentId`, and where needed `operationName` (a text), `variables` and `extensions` (JSON objects).";

/// Anything else that is sent along is passed over, as the specification wants it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    query: Option<String>,
    document_id: Option<String>,
    operation_name: Option<String>,
    variables: Option<Object>,
    extensions: Option<Extensions>,
}

type Object = serde_json::Map<String, serde_json::Value>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extensions {
    persisted_query: Option<PersistedQuery>,
}

/// Automatic persisted queries, as Apollo's clients send them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PersistedQuery {
    #[serde(deserialize_with = "one")]
    #[expect(dead_code, reason = "it is only looked at whether it is the version that is known")]
    version: u64,
    sha256_hash: String,
}

fn one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match u64::deserialize(deserializer)? {
        1 => Ok(1),
        other => Err(D::Error::custom(format!("version {other} is not known"))),
    }
}

/// The same in an address, where objects are texts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InAddress {
    query: Option<String>,
    document_id: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

/// Reads a body; `None` if it holds no parameters.
pub fn in_body(body: &[u8]) -> Option<Asked> {
    let parameters: Parameters = serde_json::from_slice(body).ok()?;
    parameters.asked()
}

/// Reads what comes after the question mark of an address.
pub fn in_address(query: &str) -> Option<Asked> {
    let axum::extract::Query(InAddress { query, document_id, operation_name, variables, extensions }) =
        axum::extract::Query::try_from_uri(&format!("/?{query}").parse().ok()?).ok()?;
    let parameters = Parameters {
        query,
        document_id,
        operation_name: operation_name.filter(|name| !name.is_empty()),
        variables: read(variables)?,
        extensions: read(extensions)?,
    };
    parameters.asked()
}

/// A JSON object, if there is one.
fn read<T: for<'de> Deserialize<'de>>(text: Option<String>) -> Option<Option<T>> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) => serde_json::from_str(&text).ok(),
        None => Some(None),
    }
}

impl Parameters {
    fn asked(self) -> Option<Asked> {
        let hash = self.extensions.and_then(|extensions| extensions.persisted_query).map(|of| of.sha256_hash);
        let document = Named { query: self.query, id: self.document_id, hash };
        let variables = self.variables.unwrap_or_default();
        (document != Named::default()).then_some(Asked { document, operation_name: self.operation_name, variables })
    }
}
