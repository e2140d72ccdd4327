//! The limits of one request to `/graphql`.

use std::{ops::RangeInclusive, path::PathBuf};

use clap::Args;

use super::Mistakes;
use crate::graphql::Limits;

/// Less than one is nothing, and what is more than this is no limit.
const ANY: RangeInclusive<usize> = 1..=1_000_000;
/// The parser and whatever walks a document go this deep.
const DEPTH: RangeInclusive<usize> = 1..=30;
/// Whoever wants more in one request wants a transaction, which this is not.
const MUTATIONS: RangeInclusive<usize> = 1..=5;

/// The settings as they were given, not checked yet.
#[derive(Args, Clone)]
#[command(next_help_heading = "Limits of one request")]
pub struct LimitSettings {
    /// The most characters of a document
    #[arg(long, env = "ORDERPAY_MAX_DOCUMENT_CHARACTERS", global = true, value_name = "N", default_value = "15000")]
    max_document_characters: String,

    /// The most tokens of a document
    #[arg(long, env = "ORDERPAY_MAX_DOCUMENT_TOKENS", global = true, value_name = "N", default_value = "1000")]
    max_document_tokens: String,

    /// The most fields within one another: 1 to 30
    #[arg(long, env = "ORDERPAY_MAX_DEPTH", global = true, value_name = "N", default_value = "10")]
    max_depth: String,

    /// The most that a request may cost, in points: an object is one, a list counts twice, a page as often as it has places, a mutation is ten
    #[arg(long, env = "ORDERPAY_MAX_COST", global = true, value_name = "N", default_value = "1000")]
    max_cost: String,

    /// The most aliases
    #[arg(long, env = "ORDERPAY_MAX_ALIASES", global = true, value_name = "N", default_value = "15")]
    max_aliases: String,

    /// The most directives
    #[arg(long, env = "ORDERPAY_MAX_DIRECTIVES", global = true, value_name = "N", default_value = "10")]
    max_directives: String,

    /// The most fields at the root of an operation
    #[arg(long, env = "ORDERPAY_MAX_ROOT_FIELDS", global = true, value_name = "N", default_value = "10")]
    max_root_fields: String,

    /// The most mutations in one request: 1 to 5
    #[arg(long, env = "ORDERPAY_MAX_MUTATIONS", global = true, value_name = "N", default_value = "1")]
    max_mutations: String,

    /// The most objects and lists within one another in the variables
    #[arg(long, env = "ORDERPAY_MAX_VARIABLES_DEPTH", global = true, value_name = "N", default_value = "32")]
    max_variables_depth: String,

    /// The only documents that run: a JSON file with an object that has each one's text under its id [default: any document runs]
    #[arg(long, env = "ORDERPAY_TRUSTED_DOCUMENTS", global = true, value_name = "FILE")]
    pub(super) trusted_documents: Option<PathBuf>,
}

impl LimitSettings {
    pub(super) fn check(&self, mistakes: &mut Mistakes) -> Limits {
        Limits {
            characters: mistakes.number("ORDERPAY_MAX_DOCUMENT_CHARACTERS", &self.max_document_characters, &ANY),
            tokens: mistakes.number("ORDERPAY_MAX_DOCUMENT_TOKENS", &self.max_document_tokens, &ANY),
            depth: mistakes.number("ORDERPAY_MAX_DEPTH", &self.max_depth, &DEPTH),
            cost: mistakes.number("ORDERPAY_MAX_COST", &self.max_cost, &ANY),
            aliases: mistakes.number("ORDERPAY_MAX_ALIASES", &self.max_aliases, &ANY),
            directives: mistakes.number("ORDERPAY_MAX_DIRECTIVES", &self.max_directives, &ANY),
            root_fields: mistakes.number("ORDERPAY_MAX_ROOT_FIELDS", &self.max_root_fields, &ANY),
            mutations: mistakes.number("ORDERPAY_MAX_MUTATIONS", &self.max_mutations, &MUTATIONS),
            variables_depth: mistakes.number("ORDERPAY_MAX_VARIABLES_DEPTH", &self.max_variables_depth, &(1..=100)),
        }
    }
}
