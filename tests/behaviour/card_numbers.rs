//! Card numbers (test G22): a text that holds one is refused by the name of its field, wherever a text may be sent; it is not kept and not repeated.

use serde_json::{Value, json};

use crate::support::{
    Shop,
    forms::{Blank, Form, almighty, forms},
    outcome, writing_nothing,
};

on_each_database![no_text_of_any_field_holds_a_card_number, a_document_with_a_card_number_is_not_quoted];

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
        if form.is_mutation {
            // Nothing else is wrong with it.
            let plain = outcome(&form.is_sent_by(&service, form.variables.clone()).await);
            assert_ne!((plain.as_str(), form.name.as_str()), ("INVALID_INPUT", form.name.as_str()));
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
