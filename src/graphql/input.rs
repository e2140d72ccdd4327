//! Arguments made into nouns: what can't be is told with its path.

use std::str::FromStr;

use async_graphql::ID;
use entity::{
    fault::Faults,
    id::IdError,
    owner::{Owner, OwnerKind},
};

use crate::error::Problem;

/// The id in one argument of a query or a field of an input.
pub fn id<T: FromStr<Err = IdError>>(name: &str, id: &ID) -> Result<T, Problem> {
    id.parse().map_err(|error: IdError| Problem::invalid(name, error))
}

/// The owner with the id in one argument, of 1 to 255 characters (rule O1).
pub fn owner(name: &str, kind: OwnerKind, id: &ID) -> Result<Owner, Problem> {
    let mut faults = Faults::default();
    faults.length(name, id, 1..=255);
    let owner = Owner { kind, id: id.to_string() };
    faults.or(Some(owner)).map_err(Problem::from)
}
