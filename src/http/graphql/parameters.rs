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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameters_are_the_same_in_a_body_and_in_an_address() {
        let body = br#"{"query":"{a}","operationName":"A","variables":{"x":[1]},"extensions":{"other":1},"more":2}"#;
        let address =
            "query=%7Ba%7D&operationName=A&variables=%7B%22x%22%3A%5B1%5D%7D&extensions=%7B%22other%22%3A1%7D&more=2";
        let [body, address] = [in_body(body), in_address(address)].map(Option::unwrap);
        assert_eq!(body.document, address.document);
        assert_eq!((body.operation_name, body.variables), (address.operation_name, address.variables));
    }

    #[test]
    fn what_is_of_another_type_is_not_read() {
        for body in [
            "",
            "[]",
            "{}",
            "7",
            r#"{"query":null}"#,
            r#"{"query":1}"#,
            r#"{"query":"{a}","variables":[]}"#,
            r#"{"query":"{a}","operationName":{}}"#,
            r#"{"query":"{a}","extensions":"x"}"#,
            r#"{"query":"a","query":"b"}"#,
            r#"{"query":"{a}","extensions":{"persistedQuery":{"version":2,"sha256Hash":"x"}}}"#,
        ] {
            assert!(in_body(body.as_bytes()).is_none(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_parameters_are_read_or_refused(body: Vec<u8>, address in "(query|variables|extensions|=|&|%[0-9A-F]{2}|\\{|\\}|\"|\\PC){0,40}") {
            let _ = in_body(&body);
            let _ = in_address(&address);
        }
    }
}
