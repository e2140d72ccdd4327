//! The settings of tokens beside those of one issuer: more issuers, and the secret of this server's own tokens.

use std::{fs::File, io::Read};

use clap::Args;
use serde_json::{Map, Value};

use super::{Mistakes, jwks, secret};
use crate::{
    auth::{CallerKind, KeySource, OWN_ISSUER, Policy},
    secret::Secret,
};

const ISSUERS: &str = "ORDERPAY_JWT_ISSUERS";
const FIELDS: [&str; 5] = ["issuer", "jwks", "secret", "audience", "kinds"];
/// HS256 needs a secret as long as its output (RFC 7518 section 3.2).
const LEAST_SECRET_BYTES: usize = 32;
const MOST_FILE_BYTES: u64 = 1024 * 1024;

/// The settings as they were given.
#[derive(Args, Clone)]
#[command(next_help_heading = "Settings")]
pub(super) struct TokenSettings {
    /// Issuers that are trusted beside the one above, or instead of it, as a JSON file:
    /// `[{"issuer": "https://id.example", "jwks": "FILE|URL", "audience": "…", "kinds": ["user", "anonymous", "service"]}, …]`. Each has a
    /// name (`iss`) and its own keys, `jwks` or a shared `secret`; `audience` and `kinds`, what kinds of caller it may speak for, may be left out.
    /// Beside these, ORDERPAY_JWT_SECRET and ORDERPAY_JWT_JWKS need an ORDERPAY_JWT_ISSUER
    #[arg(long, env = "ORDERPAY_JWT_ISSUERS", global = true, value_name = "FILE")]
    pub(super) jwt_issuers: Option<String>,

    /// The secret that the tokens of `issueAnonymousToken` are signed with, 32 bytes or more, the same for all servers of a database. Another one makes
    /// all tokens worthless that were signed with it. Without it the mutation is not there [in development: made from the development secret]
    #[arg(long, env = "ORDERPAY_ANONYMOUS_TOKEN_SECRET", global = true, value_name = "SECRET", hide_env_values = true)]
    #[arg(value_parser = secret)]
    anonymous_token_secret: Option<Secret>,
}

/// The settings, checked.
#[derive(Clone, Debug, Default)]
pub struct TokenConfig {
    /// Those of the file, in its order.
    pub issuers: Vec<TrustedIssuer>,
    pub anonymous_secret: Option<Secret>,
}

/// An issuer as it is configured.
#[derive(Clone, Debug)]
pub struct TrustedIssuer {
    pub policy: Policy,
    pub keys: KeySource,
    pub kinds: Vec<CallerKind>,
}

impl TokenSettings {
    /// `one` is the issuer of the other settings: whether there is one, and its name.
    pub(super) fn check(&self, mistakes: &mut Mistakes, one: Option<Option<&str>>, reads_files: bool) -> TokenConfig {
        let anonymous_secret = self.anonymous_token_secret.clone();
        if anonymous_secret.as_ref().is_some_and(|secret| secret.expose().len() < LEAST_SECRET_BYTES) {
            mistakes.add("ORDERPAY_ANONYMOUS_TOKEN_SECRET", format!("must have at least {LEAST_SECRET_BYTES} bytes"));
        }
        if one == Some(Some(OWN_ISSUER)) {
            mistakes.add("ORDERPAY_JWT_ISSUER", own_name());
        }
        if self.jwt_issuers.is_some() && one == Some(None) {
            mistakes.add("ORDERPAY_JWT_ISSUER", format!("is needed beside {ISSUERS}: each issuer has a name"));
        }
        let file = self.jwt_issuers.as_deref().filter(|_| reads_files);
        let issuers = file.map(|file| issuers(mistakes, file, one.flatten())).unwrap_or_default();
        TokenConfig { issuers, anonymous_secret }
    }
}

fn own_name() -> String {
    format!("{OWN_ISSUER:?} is the name of this server's own tokens")
}

fn issuers(mistakes: &mut Mistakes, file: &str, one: Option<&str>) -> Vec<TrustedIssuer> {
    let Some(entries) = mistakes.take(ISSUERS, entries(file)) else { return vec![] };
    if entries.is_empty() {
        mistakes.add(ISSUERS, "names no issuer");
    }
    let mut issuers: Vec<TrustedIssuer> = vec![];
    for (index, entry) in entries.iter().enumerate() {
        let setting = format!("{ISSUERS}, entry {}", index + 1);
        let Some(issuer) = issuer(mistakes, &setting, entry) else { continue };
        let name = &issuer.policy.issuer;
        if name.as_deref() == one || issuers.iter().any(|known| known.policy.issuer == *name) {
            mistakes.add(&setting, "names an issuer that was named before");
        }
        issuers.push(issuer);
    }
    issuers
}

/// What stands in the file. Its text is never quoted: there may be secrets in it.
fn entries(file: &str) -> Result<Vec<Value>, String> {
    let mut text = vec![];
    let opened = File::open(file).and_then(|file| file.take(MOST_FILE_BYTES).read_to_end(&mut text));
    opened.map_err(|error| format!("{file} can't be read: {error}"))?;
    match serde_json::from_slice(&text) {
        Ok(Value::Array(entries)) => Ok(entries),
        Ok(_) => Err(format!("{file} must hold a list of issuers")),
        Err(error) => Err(format!("{file} is not JSON, from line {} on", error.line())),
    }
}

fn issuer(mistakes: &mut Mistakes, setting: &str, entry: &Value) -> Option<TrustedIssuer> {
    let Some(entry) = entry.as_object() else {
        mistakes.add(setting, "must be an object such as {\"issuer\": \"https://id.example\", \"jwks\": \"FILE|URL\"}");
        return None;
    };
    if !entry.keys().all(|field| FIELDS.contains(&field.as_str())) {
        mistakes.add(setting, format!("has a field that is none of {}", FIELDS.join(", ")));
    }
    let name = text(mistakes, setting, entry, "issuer");
    match name.as_deref() {
        None => mistakes.add(setting, "needs an issuer"),
        Some(OWN_ISSUER) => mistakes.add(setting, own_name()),
        Some(_) => {}
    }
    let audience = text(mistakes, setting, entry, "audience");
    let kinds = kinds(mistakes, setting, entry.get("kinds"));
    let keys = keys(mistakes, setting, entry)?;
    Some(TrustedIssuer { policy: Policy { issuer: Some(name?), audience }, keys, kinds })
}

fn keys(mistakes: &mut Mistakes, setting: &str, entry: &Map<String, Value>) -> Option<KeySource> {
    match (text(mistakes, setting, entry, "jwks"), text(mistakes, setting, entry, "secret")) {
        (Some(place), None) => jwks(mistakes, setting, &place),
        (None, Some(secret)) if secret.len() < LEAST_SECRET_BYTES => {
            mistakes.add(setting, format!("its secret must have at least {LEAST_SECRET_BYTES} bytes"));
            None
        }
        (None, Some(secret)) => Some(KeySource::Secret(Secret::new(secret))),
        (Some(_), Some(_)) | (None, None) => {
            mistakes.add(setting, "needs its keys: jwks or secret, and not both");
            None
        }
    }
}

/// A field's text; one that is there and is not a text, or is an empty one, is a mistake.
fn text(mistakes: &mut Mistakes, setting: &str, entry: &Map<String, Value>, field: &str) -> Option<String> {
    match entry.get(field)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        _ => {
            mistakes.add(setting, format!("its {field} must be a text"));
            None
        }
    }
}

fn kinds(mistakes: &mut Mistakes, setting: &str, field: Option<&Value>) -> Vec<CallerKind> {
    let Some(field) = field else { return CallerKind::ALL.into() };
    let named = field.as_array().filter(|kinds| !kinds.is_empty());
    let read = |kind: &Value| serde_json::from_value(kind.clone()).ok();
    let kinds: Option<Vec<CallerKind>> = named.and_then(|kinds| kinds.iter().map(read).collect());
    kinds.unwrap_or_else(|| {
        mistakes.add(setting, "its kinds must be a list of user, anonymous and service");
        vec![]
    })
}
