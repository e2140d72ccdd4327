//! Arguments made into nouns: what can't be is told with its path.

use std::{ops::RangeInclusive, str::FromStr};

use async_graphql::ID;
use entity::{
    fault::Faults,
    id::IdError,
    owner::{Owner, OwnerKind},
};

use crate::error::Read;

/// The id in one argument.
pub fn id<T: FromStr<Err = IdError>>(name: &str, id: &ID) -> Read<T> {
    let mut faults = Faults::default();
    let id = faults.take(name, id.parse());
    faults.or(id)
}

/// The text in one argument, of so many characters.
pub fn text(name: &str, text: String, characters: RangeInclusive<usize>) -> Read<String> {
    let mut faults = Faults::default();
    faults.text(name, &text, characters);
    faults.or(Some(text))
}

/// The owner with the id in one argument, of 1 to 255 characters (rule O1).
pub fn owner(name: &str, kind: OwnerKind, id: &ID) -> Read<Owner> {
    let mut faults = Faults::default();
    faults.text(name, id, 1..=255);
    let owner = Owner { kind, id: id.to_string() };
    faults.or(Some(owner))
}
