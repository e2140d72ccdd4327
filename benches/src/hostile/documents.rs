//! Requests that are meant to cost the server more than their sender.

use serde_json::{Value, json};

use crate::shop::{PAGE, Shop};
use crate::wire::post;

/// What a shopper's and a service's request may have in bytes, and a document in characters: the server's own limits.
const SHOPPERS_BODY: usize = 65_536;
const SERVICES_BODY: usize = 1_048_576;
const DOCUMENT: usize = 15_000;

/// One kind of attack: what it is, and the request.
pub struct Attack {
    pub name: &'static str,
    pub request: Vec<u8>,
}

/// All of them. Each is sent by somebody of its own, so that none is refused for another.
pub fn attacks(shop: &Shop) -> Vec<Attack> {
    let attack = |(number, (name, body)): (usize, (&'static str, Vec<u8>))| {
        let sender = format!("shopper-{}", 1000 + number);
        let token =
            if name.ends_with("by a service") { shop.services.token(&sender) } else { shop.shoppers.token(&sender) };
        Attack { name, request: post(&token, &body) }
    };
    let mut all: Vec<Attack> = bodies().into_iter().enumerate().map(attack).collect();
    let query = json!({ "query": PAGE }).to_string();
    all.push(Attack { name: "a forged signature", request: post(&shop.forged(), query.as_bytes()) });
    all.push(Attack { name: "a token of 8 KB that is none", request: post(&"x".repeat(8000), query.as_bytes()) });
    all
}

fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = deep();
    all.extend(wide());
    all.extend(fragments());
    all.extend(large());
    all
}

fn document(text: &str) -> Vec<u8> {
    json!({ "query": text }).to_string().into_bytes()
}

fn with(query: &str, variables: &Value) -> Vec<u8> {
    json!({ "query": query, "variables": variables }).to_string().into_bytes()
}

/// The same within itself.
fn nested(open: &str, within: &str, close: &str, times: usize) -> String {
    [&open.repeat(times), within, &close.repeat(times)].concat()
}

fn deep() -> Vec<(&'static str, Vec<u8>)> {
    let lists = nested("[", "1", "]", DOCUMENT / 2 - 50);
    let objects = nested("{a:", "1", "}", DOCUMENT / 4 - 50);
    let variables = |open, close, times| {
        let value = nested(open, "1", close, times);
        format!(r#"{{"query":"query($a:ID!){{order(id:$a){{id}}}}","variables":{{"a":{value}}}}}"#).into_bytes()
    };
    vec![
        ("10,000 braces within one another", document(&nested("{a", "", "}", 10_000))),
        ("as many braces as a body holds", document(&nested("{a", "", "}", (SHOPPERS_BODY - 20) / 3))),
        (
            "300 fields within one another, in few tokens",
            document(&format!("{{viewer{}}}", nested("{a", "", "}", 300))),
        ),
        ("lists within one another in an argument", document(&format!("{{order(id:{lists}){{id}}}}"))),
        ("objects within one another in an argument", document(&format!("{{order(id:{objects}){{id}}}}"))),
        ("30,000 lists within one another in the variables", variables("[", "]", 30_000)),
        ("10,000 objects within one another in the variables", variables(r#"{"a":"#, "}", 10_000)),
    ]
}

fn repeated(room: usize, mut one: impl FnMut(usize) -> String) -> String {
    let mut text = String::new();
    for number in 0.. {
        let next = one(number);
        if text.len() + next.len() > room {
            break;
        }
        text.push_str(&next);
    }
    text
}

fn wide() -> Vec<(&'static str, Vec<u8>)> {
    let aliases = |room: usize| document(&format!("{{{}}}", repeated(room - 50, |n| format!("a{n}:__typename "))));
    let directives = "@include(if:true)".repeat(160);
    let forms = |count: usize, form: fn(usize) -> String| {
        document(&format!("{{viewer{{{}}}}}", (0..count).map(form).collect::<String>()))
    };
    let roots: String = (0..10).map(|n| format!("a{n}:order(id:\"ord_{n}\"){{id}}")).collect();
    let conflicts = forms(95, |n| format!("orders(first:{}){{totalCount}}", n % 2 + 1));
    let batch: Vec<Value> = (0..1000).map(|_| json!({ "query": "{viewer{id}}" })).collect();
    vec![
        ("as many aliases as a shopper's body holds", aliases(SHOPPERS_BODY)),
        ("60,000 aliases by a service", aliases(SERVICES_BODY)),
        ("240 aliases, in few characters", forms(240, |n| format!("a{n}:id "))),
        ("160 directives on one field", document(&format!("{{viewer{{id {directives}}}}}"))),
        ("the same field 900 times", forms(900, |_| "id ".into())),
        ("900 fields that there are not", forms(900, |n| format!("x{n} "))),
        ("95 fields that contradict each other", conflicts),
        ("ten wrong ids at once", document(&format!("{{{roots}}}"))),
        ("a batch of 1,000 operations", Value::from(batch).to_string().into_bytes()),
        (
            "the schema asked for, ten deep",
            document(&format!("{{__schema{{types{}}}}}", nested("{fields{type", "{name}", "}}", 4))),
        ),
    ]
}

fn fragments() -> Vec<(&'static str, Vec<u8>)> {
    let doubling: String = (0..40).map(|n| format!("fragment f{n} on Viewer{{...f{} ...f{}}}", n + 1, n + 1)).collect();
    let aliases: String = (0..14).map(|n| format!("a{n}:id ")).collect();
    let circle: String = (0..60).map(|n| format!("fragment f{n} on Viewer{{...f{}}}", (n + 1) % 60)).collect();
    let spread = |text: &str| document(&format!("{{viewer{{...f0}}}} {text}"));
    vec![
        ("fragments that double 40 times", spread(&format!("{doubling}fragment f40 on Viewer{{{aliases}}}"))),
        (
            "14 aliases in a fragment, spread 200 times",
            document(&format!("{{viewer{{{}}}}} fragment f on Viewer{{{aliases}}}", "...f ".repeat(200))),
        ),
        ("a circle of 60 fragments", spread(&circle)),
    ]
}

fn large() -> Vec<(&'static str, Vec<u8>)> {
    let query = "query($a:ID!){order(id:$a){id}}";
    let long = format!("{{viewer{{id}}}}#{}", "x".repeat(1_000_000));
    let number = format!("{{viewer{{orders(first:{}){{totalCount}}}}}}", "9".repeat(14_000));
    let most: Vec<String> = (0..10).map(|n| format!("a{n}:viewer{{orders(first:100){{nodes{{id}}}}}}")).collect();
    vec![
        ("a document of 1 MB", document(&long)),
        ("a document of 1 MB by a service", document(&long)),
        ("a number of 14,000 digits", document(&number)),
        ("a variable of 60 KB", with(query, &json!({ "a": "x".repeat(60_000) }))),
        ("a variable of 1 MB by a service", with(query, &json!({ "a": "x".repeat(1_000_000) }))),
        ("a list of 100,000 in a variable by a service", with(query, &json!({ "a": vec![1; 100_000] }))),
        ("a body that is no JSON, of 60 KB", vec![b'{'; 60_000]),
        ("the dearest pages that are allowed", document(&format!("{{{}}}", most[..9].concat()))),
    ]
}
