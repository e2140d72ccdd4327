//! The schema as the tests read it: its types, their fields, and a way to an object of each type.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::{actor::Actor, forms::almighty, shop::Shop};

const ASKED: &str =
    "{ __schema { types { kind name possibleTypes { name } fields { name type { ...Of } args { type { ...Of } } } } } }
    fragment Of on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

/// All that can be asked for.
pub struct Schema(BTreeMap<String, Type>);

/// An object type or an interface.
pub struct Type {
    pub is_interface: bool,
    /// Which objects an interface may stand for.
    possible: Vec<String>,
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    /// The name of its type, without lists and exclamation marks.
    pub of: String,
    pub is_object: bool,
    /// The types of its arguments, as variables are declared: `[ID!]!`.
    pub arguments: Vec<String>,
}

impl Field {
    fn read(told: &Value) -> Self {
        let arguments = told["args"].as_array().expect("arguments").iter();
        let of = named(&told["type"]);
        Self {
            name: text(&told["name"]),
            is_object: ["OBJECT", "INTERFACE"].contains(&of["kind"].as_str().expect("a kind")),
            of: text(&of["name"]),
            arguments: arguments.map(|argument| spelled(&argument["type"])).collect(),
        }
    }

    /// What is selected of it by whoever only wants to know whether it is there.
    pub fn selected(&self) -> String {
        if self.is_object { format!("{} {{ __typename }}", self.name) } else { self.name.clone() }
    }
}

/// The way to an object of a type.
#[derive(Clone, Debug)]
pub struct Way {
    /// The field of Query or of Mutation that it begins with.
    pub root: String,
    /// The fields from there on, and `... on X` where an interface stands for it.
    pub steps: Vec<String>,
}

impl Way {
    pub fn new(root: &str, steps: &[&str]) -> Self {
        Self { root: root.to_owned(), steps: steps.iter().map(|step| (*step).to_owned()).collect() }
    }

    fn then(&self, step: String) -> Self {
        Self { root: self.root.clone(), steps: [&self.steps[..], &[step]].concat() }
    }

    /// What is selected of the root field, so that this is selected at the end.
    pub fn selecting(&self, selection: &str) -> String {
        self.steps.iter().rev().fold(selection.to_owned(), |inner, step| format!("{step} {{ {inner} }}"))
    }

    /// The objects at the end of it, in what the root field gave.
    pub fn end<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        let fields = self.steps.iter().filter(|step| !step.starts_with("..."));
        let objects = fields.fold(vec![root], |objects, step| {
            objects.into_iter().flat_map(each).map(|object| &object[step.as_str()]).collect()
        });
        objects.into_iter().flat_map(each).filter(|object| object.is_object()).collect()
    }
}

/// What is in a list, and in lists in it; or the thing itself.
fn each(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |items| items.iter().flat_map(each).collect())
}

impl Schema {
    /// As it is shown to whoever may do everything.
    pub async fn of(shop: &Shop) -> Self {
        Self::shown_to(&almighty(shop)).await
    }

    /// As it is shown to somebody.
    pub async fn shown_to(actor: &Actor) -> Self {
        let told = actor.sees(ASKED, json!({})).await;
        let types = told["__schema"]["types"].as_array().expect("types").iter();
        let objects = types.filter(|of| of["fields"].is_array() && !text(&of["name"]).starts_with("__"));
        let read = |of: &Value| {
            let possible = of["possibleTypes"].as_array().into_iter().flatten();
            let fields = of["fields"].as_array().expect("fields").iter();
            Type {
                is_interface: of["kind"] == "INTERFACE",
                possible: possible.map(|of| text(&of["name"])).collect(),
                fields: fields.map(Field::read).collect(),
            }
        };
        Self(objects.map(|of| (text(&of["name"]), read(of))).collect())
    }

    pub fn types(&self) -> impl Iterator<Item = (&String, &Type)> {
        self.0.iter()
    }

    pub fn fields(&self, of: &str) -> &[Field] {
        &self.0[of].fields
    }

    /// All that can be selected of an object of this type without going further.
    pub fn everything_of(&self, of: &str) -> String {
        let Some(of) = self.0.get(of) else { return "__typename".to_owned() };
        let fields = of.fields.iter().map(Field::selected);
        let possible = of.possible.iter().map(|of| format!("... on {of} {{ {} }}", self.everything_of(of)));
        // Fields of one name and another type can't stand side by side.
        let further: Vec<String> = if possible.len() > 4 { vec![] } else { possible.collect() };
        format!("__typename {} {}", fields.collect::<Vec<_>>().join(" "), further.join(" "))
    }

    /// The field of Query or of Mutation of this name, and which of the two.
    pub fn root(&self, name: &str) -> (&'static str, &Field) {
        let found = [("query", "Query"), ("mutation", "Mutation")]
            .into_iter()
            .find_map(|(kind, of)| Some((kind, self.fields(of).iter().find(|field| field.name == name)?)));
        found.unwrap_or_else(|| panic!("{name}"))
    }

    /// The shortest way to each type that can be reached; through queries where there is one. These `known` ones are taken as they are.
    pub fn ways(&self, known: BTreeMap<&'static str, Way>) -> BTreeMap<String, Way> {
        let mut ways: BTreeMap<String, Way> = known.into_iter().map(|(of, way)| (of.to_owned(), way)).collect();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        for root in ["Query", "Mutation"] {
            let begins = self.fields(root).iter().map(|field| (field.of.clone(), Way::new(&field.name, &[])));
            let mut ahead: VecDeque<(String, Way)> = begins.collect();
            while let Some((of, way)) = ahead.pop_front() {
                if !seen.insert(of.clone()) {
                    continue;
                }
                let way = ways.entry(of.clone()).or_insert(way).clone();
                let of = &self.0[&of];
                ahead.extend(of.possible.iter().map(|of| (of.clone(), way.then(format!("... on {of}")))));
                let further = of.fields.iter().filter(|field| field.is_object && !of.is_interface);
                ahead.extend(further.map(|field| (field.of.clone(), way.then(field.name.clone()))));
            }
        }
        ways
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// The type without its wrappings.
fn named(of: &Value) -> &Value {
    if of["ofType"].is_object() { named(&of["ofType"]) } else { of }
}

fn spelled(of: &Value) -> String {
    match of["kind"].as_str() {
        Some("NON_NULL") => format!("{}!", spelled(&of["ofType"])),
        Some("LIST") => format!("[{}]", spelled(&of["ofType"])),
        _ => text(&of["name"]),
    }
}
