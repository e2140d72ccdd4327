//! The schema as one kind of caller sees it (rule A4): what is not in it is refused as if there were no such thing.
//!
//! It is what an introspection tells such a caller, so that what is hidden and what is refused are the same by construction.

use std::{
    collections::{BTreeSet, HashMap},
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use lru::LruCache;
use serde::Deserialize;

use crate::auth::{Caller, CallerKind, Scope};

/// What is asked of the schema to make a view.
pub const INTROSPECTION: &str = "{ __schema {
    queryType { name } mutationType { name } subscriptionType { name }
    types { kind name fields(includeDeprecated: true) { name args { name } type { ...of } } inputFields { name } } } }
    fragment of on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

/// More kinds of callers than any system has.
const MOST_VIEWS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// What some callers see.
#[derive(Debug)]
pub struct View {
    types: HashMap<String, HashMap<String, Field>>,
    /// The names of Query, Mutation and Subscription, as far as there are any.
    pub query: Option<String>,
    pub mutation: Option<String>,
    pub subscription: Option<String>,
}

/// A field that may be asked for.
#[derive(Debug)]
pub struct Field {
    /// The name of its type, without lists and exclamation marks.
    pub of: String,
    pub is_list: bool,
    /// Whether something is selected of it.
    pub is_object: bool,
    arguments: Vec<String>,
}

impl Field {
    pub fn has_argument(&self, name: &str) -> bool {
        self.arguments.iter().any(|argument| argument == name)
    }

    /// Whether it gives a page at a time.
    pub fn is_paged(&self) -> bool {
        self.has_argument("first")
    }
}

impl View {
    /// Reads the answer to [`INTROSPECTION`].
    pub fn read(told: serde_json::Value) -> Result<Self, serde_json::Error> {
        let Told { schema } = serde_json::from_value(told)?;
        let types = schema.types.into_iter().map(|of| {
            let fields = of.fields.unwrap_or_default().into_iter().map(ToldField::read);
            (of.name, fields.collect())
        });
        let name = |of: Option<Named>| of.map(|of| of.name);
        Ok(Self {
            types: types.collect(),
            query: name(schema.query_type),
            mutation: name(schema.mutation_type),
            subscription: name(schema.subscription_type),
        })
    }

    pub fn has_type(&self, name: &str) -> bool {
        self.types.contains_key(name)
    }

    pub fn field(&self, of: &str, name: &str) -> Option<&Field> {
        self.types.get(of)?.get(name)
    }
}

#[derive(Deserialize)]
struct Told {
    #[serde(rename = "__schema")]
    schema: ToldSchema,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToldSchema {
    query_type: Option<Named>,
    mutation_type: Option<Named>,
    subscription_type: Option<Named>,
    types: Vec<ToldType>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct ToldType {
    name: String,
    fields: Option<Vec<ToldField>>,
}

#[derive(Deserialize)]
struct ToldField {
    name: String,
    args: Vec<Named>,
    #[serde(rename = "type")]
    of: TypeRef,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypeRef {
    kind: String,
    name: Option<String>,
    of_type: Option<Box<TypeRef>>,
}

impl ToldField {
    fn read(self) -> (String, Field) {
        let mut is_list = false;
        let mut of = self.of;
        while let Some(inner) = of.of_type {
            is_list |= of.kind == "LIST";
            of = *inner;
        }
        let is_object = matches!(of.kind.as_str(), "OBJECT" | "INTERFACE" | "UNION");
        let arguments = self.args.into_iter().map(|argument| argument.name).collect();
        (self.name, Field { of: of.name.unwrap_or_default(), is_list, is_object, arguments })
    }
}

/// What decides about what a caller sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Eyes {
    kind: CallerKind,
    scopes: BTreeSet<Scope>,
}

impl From<&Caller> for Eyes {
    fn from(caller: &Caller) -> Self {
        Self { kind: caller.kind, scopes: caller.scopes.clone() }
    }
}

/// The views that were made, by whose they are.
pub struct Views(Mutex<LruCache<Eyes, Arc<View>>>);

impl Default for Views {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST_VIEWS)))
    }
}

impl Views {
    pub fn find(&self, eyes: &Eyes) -> Option<Arc<View>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(eyes).cloned()
    }

    pub fn keep(&self, eyes: Eyes, view: Arc<View>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(eyes, view);
    }
}
