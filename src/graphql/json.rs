//! Writes answers as JSON.
//!
//! The one way out for an answer in which the walk has written parts already (see `walk`): these are copied as they are.

use async_graphql::{Response, Value};
use serde::Serialize;

/// A whole answer. One that never ran has no data.
pub fn response(answer: &Response, ran: bool) -> Vec<u8> {
    let mut json = Vec::with_capacity(written(&answer.data) + 256);
    json.push(b'{');
    if !answer.errors.is_empty() {
        key("errors", &mut json);
        plain(&answer.errors, &mut json);
    }
    if ran {
        member("data", &mut json);
        value(&answer.data, &mut json);
    }
    if ran && !answer.extensions.is_empty() {
        member("extensions", &mut json);
        plain(&answer.extensions, &mut json);
    }
    json.push(b'}');
    json
}

/// Any value.
pub fn value(of: &Value, json: &mut Vec<u8>) {
    match of {
        Value::Binary(written) => json.extend_from_slice(written),
        Value::String(string) => text(string, json),
        Value::Enum(name) => text(name, json),
        Value::List(items) => {
            json.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    json.push(b',');
                }
                value(item, json);
            }
            json.push(b']');
        }
        Value::Object(fields) => {
            json.push(b'{');
            for (at, (name, field)) in fields.iter().enumerate() {
                if at > 0 {
                    json.push(b',');
                }
                text(name, json);
                json.push(b':');
                value(field, json);
            }
            json.push(b'}');
        }
        Value::Null | Value::Number(_) | Value::Boolean(_) => plain(of, json),
    }
}

/// A text, with escapes where it needs them.
pub fn text(text: &str, json: &mut Vec<u8>) {
    plain(text, json);
}

/// The name of a member, as GraphQL has names: without anything to escape.
pub fn key(name: &str, json: &mut Vec<u8>) {
    json.push(b'"');
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":");
}

/// The name of a member that is not the first, unless it is.
fn member(name: &str, json: &mut Vec<u8>) {
    if json.last() != Some(&b'{') {
        json.push(b',');
    }
    key(name, json);
}

/// What holds nothing that was written before. Memory is written to, which takes all.
fn plain(of: &(impl Serialize + ?Sized), json: &mut Vec<u8>) {
    let written = serde_json::to_writer(&mut *json, of);
    debug_assert!(written.is_ok(), "what is written as JSON can be");
}

/// How much of an answer was written before.
fn written(data: &Value) -> usize {
    match data {
        Value::Object(fields) => fields.values().map(written).sum(),
        Value::Binary(json) => json.len(),
        _ => 0,
    }
}
