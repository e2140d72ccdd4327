//! How much a request may ask for, and what is said where it asks for more.
//!
//! What is counted is what would be answered: fragments count wherever they are spread, and what a directive leaves out counts all the same.

use async_graphql::{ErrorExtensionValues, Pos, ServerError, Value};

/// The most that one request may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Characters of the document.
    pub characters: usize,
    /// Its names, numbers, texts and signs.
    pub tokens: usize,
    /// Fields within fields; those of the introspection are counted by themselves.
    pub depth: usize,
    /// What reading it may cost, in points: an object is one, a list counts twice, a page as often as it has places, a mutation is ten.
    pub cost: usize,
    /// Fields under another name than their own.
    pub aliases: usize,
    /// Directives on fields, fragments and the operation.
    pub directives: usize,
    /// Fields of Query, Mutation or Subscription.
    pub root_fields: usize,
    /// Fields of Mutation.
    pub mutations: usize,
    /// Objects and lists within one another in the variables.
    pub variables_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            characters: 15_000,
            tokens: 1_000,
            depth: 10,
            cost: 1_000,
            aliases: 15,
            directives: 10,
            root_fields: 10,
            mutations: 1,
            variables_depth: 32,
        }
    }
}

/// What there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Characters,
    Tokens,
    Depth,
    Nesting,
    Cost,
    Aliases,
    Directives,
    RootFields,
    Mutations,
    Introspection,
    Fields,
    VariablesDepth,
    VariablesValues,
}

impl Limit {
    /// As it is called in an error, and what the number stands for.
    fn named(self) -> (&'static str, &'static str) {
        match self {
            Self::Characters => ("CHARACTERS", "characters in the document"),
            Self::Tokens => ("TOKENS", "tokens in the document"),
            Self::Depth => ("DEPTH", "fields within one another"),
            Self::Nesting => ("NESTING", "selections within one another"),
            Self::Cost => ("COST", "points of cost"),
            Self::Aliases => ("ALIASES", "aliases"),
            Self::Directives => ("DIRECTIVES", "directives"),
            Self::RootFields => ("ROOT_FIELDS", "fields at the root"),
            Self::Mutations => ("MUTATIONS", "mutations in one request"),
            Self::Introspection => ("INTROSPECTION", "lists within one another in an introspection"),
            Self::Fields => ("FIELDS", "fields, with fragments counted wherever they are spread"),
            Self::VariablesDepth => ("VARIABLES_DEPTH", "objects and lists within one another in the variables"),
            Self::VariablesValues => ("VARIABLES_VALUES", "values in the variables"),
        }
    }

    /// The error that names the limit and how much is allowed.
    pub fn exceeded(self, most: usize, at: Option<Pos>) -> ServerError {
        self.error(most, at, None)
    }

    fn error(self, most: usize, at: Option<Pos>, found: Option<usize>) -> ServerError {
        let (name, what) = self.named();
        let mut error = ServerError::new(format!("There are too many {what}: at most {most} are allowed."), at);
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", "LIMIT_EXCEEDED");
        extensions.set("limit", name);
        extensions.set("most", Value::from(most));
        if let Some(found) = found {
            extensions.set("found", Value::from(found));
        }
        error.extensions = Some(extensions);
        error
    }

    /// Passes what is within the limit.
    pub fn check(self, found: usize, most: usize) -> Result<(), ServerError> {
        if found > most { Err(self.error(most, None, Some(found))) } else { Ok(()) }
    }
}
