//! What each mutation and query may be sent, as the schema tells it: a field that is new is tried without anybody thinking of it.

use entity::id::{CaseId, OrderId, PaymentId, TransactionId};
use orderpay::auth::Scope;
use serde_json::{Value, json};

use super::{actor::Actor, shop::Shop};

const SCHEMA: &str = "{ __schema {
    queryType { fields { ...Asked } } mutationType { fields { ...Asked } }
    types { kind name enumValues { name } fields { name } inputFields { name type { ...Of } } } } }
    fragment Asked on __Field { name type { ...Of } args { name type { ...Of } } }
    fragment Of on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

/// One mutation or query with something for each of its arguments.
#[derive(Clone, Debug)]
pub struct Form {
    pub name: String,
    pub is_mutation: bool,
    /// The field with its arguments, as GraphQL declares them: `mutation($input: CreateOrderInput!)`, and hands them on: `createOrder(input: $input)`.
    call: (String, String),
    selection: &'static str,
    pub variables: Value,
    /// Where texts may be put.
    pub blanks: Vec<Blank>,
    /// The input objects within, each by a JSON pointer.
    pub objects: Vec<String>,
}

/// A place for a text.
#[derive(Clone, Debug)]
pub struct Blank {
    /// A JSON pointer into the variables.
    pub pointer: String,
    /// The scalar's name.
    pub of: String,
}

impl Blank {
    /// As a fault's path has it: from the input on, or by the name of the argument.
    pub fn path(&self) -> Vec<&str> {
        let path = self.pointer.trim_start_matches('/');
        path.strip_prefix("input/").unwrap_or(path).split('/').collect()
    }
}

impl Form {
    /// With another value at this pointer; an object has it added.
    pub fn with(&self, pointer: &str, value: Value) -> Value {
        let mut variables = self.variables.clone();
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        match variables.pointer_mut(parent).expect("a parent") {
            Value::Array(items) => items[name.parse::<usize>().expect("an index")] = value,
            parent => parent[name] = value,
        }
        variables
    }

    /// The document that selects this.
    pub fn selecting(&self, selection: &str) -> String {
        let (head, field) = &self.call;
        format!("{head} {{ {field} {{ {selection} }} }}")
    }

    /// The whole answer.
    pub async fn is_sent_by(&self, actor: &Actor, variables: Value) -> Value {
        actor.asks(&self.selecting(self.selection), variables).await
    }
}

/// A service that may do everything.
pub fn almighty(shop: &Shop) -> Actor {
    let scopes: Vec<String> = Scope::ALL.iter().map(ToString::to_string).collect();
    shop.service(&scopes.iter().map(String::as_str).collect::<Vec<_>>())
}

/// All that this actor may send.
pub async fn forms(actor: &Actor) -> Vec<Form> {
    let schema = actor.sees(SCHEMA, json!({})).await["__schema"].take();
    let roots = [("query", "queryType"), ("mutation", "mutationType")];
    let forms = roots.iter().flat_map(|(kind, root)| {
        let fields = schema[root]["fields"].as_array().expect("fields").iter();
        fields.filter(|field| field["args"] != json!([])).map(|field| form(&schema, kind, field)).collect::<Vec<_>>()
    });
    forms.collect()
}

fn form(schema: &Value, kind: &str, field: &Value) -> Form {
    let name = field["name"].as_str().expect("a name");
    let args = field["args"].as_array().expect("arguments");
    let (mut declared, mut handed) = (vec![], vec![]);
    let mut filled = Filled { schema, blanks: vec![], objects: vec![] };
    let mut variables = json!({});
    for arg in args {
        let of = arg["name"].as_str().expect("a name");
        declared.push(format!("${of}: {}", spelled(&arg["type"])));
        handed.push(format!("{of}: ${of}"));
        let value = filled.value(of, &arg["type"], &format!("/{of}"));
        // A list's other arguments exclude one another.
        variables[of] = if kind == "query" && arg["type"]["kind"] != "NON_NULL" { Value::Null } else { value };
    }
    let of = type_of(schema, &named(&field["type"]));
    let has_problem = of["fields"].as_array().is_some_and(|fields| fields.iter().any(|it| it["name"] == "problem"));
    let selection = if has_problem {
        "problem { code message ... on InvalidInput { fields { path message } } }"
    } else {
        "__typename"
    };
    Form {
        name: name.to_owned(),
        is_mutation: kind == "mutation",
        call: (format!("{kind}({})", declared.join(", ")), format!("{name}({})", handed.join(", "))),
        selection,
        variables,
        blanks: filled.blanks,
        objects: filled.objects,
    }
}

/// Values made of types, and what was met on the way.
struct Filled<'a> {
    schema: &'a Value,
    blanks: Vec<Blank>,
    objects: Vec<String>,
}

impl Filled<'_> {
    fn value(&mut self, name: &str, of: &Value, pointer: &str) -> Value {
        match of["kind"].as_str().expect("a kind") {
            "NON_NULL" => self.value(name, &of["ofType"], pointer),
            "LIST" => json!([self.value(name, &of["ofType"], &format!("{pointer}/0"))]),
            "ENUM" => self.choice(of["name"].as_str().expect("a name")),
            "INPUT_OBJECT" => {
                self.objects.push(pointer.to_owned());
                let fields = type_of(self.schema, of["name"].as_str().expect("a name"))["inputFields"].clone();
                let mut object = json!({});
                for field in fields.as_array().expect("fields") {
                    let name = field["name"].as_str().expect("a name");
                    object[name] = self.value(name, &field["type"], &format!("{pointer}/{name}"));
                }
                object
            }
            _ => {
                let of = of["name"].as_str().expect("a name");
                if !["Int", "Boolean", "Float", "Decimal"].contains(&of) {
                    self.blanks.push(Blank { pointer: pointer.to_owned(), of: of.to_owned() });
                }
                scalar(name, of)
            }
        }
    }

    /// The last value; of statuses, a provider's own.
    fn choice(&self, name: &str) -> Value {
        let values = type_of(self.schema, name)["enumValues"].as_array().expect("values").clone();
        let succeeded = values.iter().find(|value| value["name"] == "SUCCEEDED");
        succeeded.or(values.last()).expect("a value")["name"].clone()
    }
}

/// Something that is read without a fault.
fn scalar(name: &str, of: &str) -> Value {
    let then = chrono::DateTime::UNIX_EPOCH;
    match (of, name) {
        ("ID", "orderId") => json!(OrderId::new(then).to_string()),
        ("ID", "paymentId" | "paymentIds") => json!(PaymentId::new(then).to_string()),
        ("ID", "caseId") => json!(CaseId::new(then).to_string()),
        ("ID", "parentTransactionId") => json!(TransactionId::new(then).to_string()),
        (_, "returnUrl") => json!(super::shop::RETURN_URL),
        ("Int", "ttlSeconds") => json!(60),
        ("Int", _) => json!(1),
        ("Boolean", _) => json!(false),
        ("Decimal", _) => json!("1.00"),
        ("CurrencyCode", _) => json!("EUR"),
        ("DateTime", _) => json!("2026-11-21T09:30:00.000Z"),
        ("Metadata", _) => json!({ "note": "word" }),
        _ => json!("word"),
    }
}

fn type_of<'a>(schema: &'a Value, name: &str) -> &'a Value {
    let types = schema["types"].as_array().expect("types");
    types.iter().find(|of| of["name"] == name).unwrap_or_else(|| panic!("{name}"))
}

/// The type without its wrappings.
fn named(of: &Value) -> String {
    of["name"].as_str().map_or_else(|| named(&of["ofType"]), str::to_owned)
}

fn spelled(of: &Value) -> String {
    match of["kind"].as_str() {
        Some("NON_NULL") => format!("{}!", spelled(&of["ofType"])),
        Some("LIST") => format!("[{}]", spelled(&of["ofType"])),
        _ => named(of),
    }
}
