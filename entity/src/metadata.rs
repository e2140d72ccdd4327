//! Free-form pairs that a caller may leave with us.
//!
//! Never read, never acted upon, and bounded: at most 50 pairs.

use std::collections::BTreeMap;

use sea_orm::FromJsonQueryResult;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Faults};

const MOST_PAIRS: usize = 50;
const KEY_CHARACTERS: std::ops::RangeInclusive<usize> = 1..=64;
const VALUE_CHARACTERS: std::ops::RangeInclusive<usize> = 0..=1000;

/// Up to 50 pairs; keys of 1 to 64 characters, values of up to 1,000.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
#[serde(transparent)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    pub fn new(pairs: BTreeMap<String, String>) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        if pairs.len() > MOST_PAIRS {
            let found = pairs.len();
            return Err(vec![Fault {
                path: vec![],
                message: format!("has {found} pairs; at most {MOST_PAIRS} are allowed"),
            }]);
        }
        for (key, value) in &pairs {
            let mut of_pair = Faults::default();
            of_pair.text("key", key, KEY_CHARACTERS);
            of_pair.text("value", value, VALUE_CHARACTERS);
            if let Err(found) = of_pair.or(Some(())) {
                faults.nest_key(key, found);
            }
        }
        faults.or(Some(Self(pairs)))
    }

    pub fn pairs(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(count: usize) -> BTreeMap<String, String> {
        (0..count).map(|n| (format!("key {n}"), String::new())).collect()
    }

    #[test]
    fn fifty_pairs_are_kept_and_the_fifty_first_is_refused() {
        assert!(Metadata::new(pairs(50)).is_ok());
        assert!(Metadata::new(pairs(51)).is_err());
    }

    #[test]
    fn an_oversized_value_is_named_by_its_key() {
        let long = BTreeMap::from([("note".to_owned(), "x".repeat(1001))]);
        let faults = Metadata::new(long).unwrap_err();
        assert_eq!(faults[0].path, ["note", "value"]);
    }
}
