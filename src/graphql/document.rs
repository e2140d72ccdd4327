//! Documents: parsed once and kept under the hash of their text, for whoever sends the same again, or its hash alone (automatic persisted queries).
//!
//! Where a list of trusted documents is configured nothing else runs, whoever asks.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_graphql::{
    ErrorExtensionValues, ServerError, Variables,
    parser::{parse_query, types::ExecutableDocument},
};
use lru::LruCache;
use sha2::{Digest, Sha256};

use super::{
    limit::{Limit, Limits},
    measure::{Tally, measure},
    shape::Shape,
    token_count::tokens,
    view::View,
};
use crate::secret::unhex;

/// The room for documents, in tokens of theirs: one takes a few hundred bytes.
const ROOM: usize = 100_000;
/// What a document takes beside its tokens, in as many of them.
const COVER: usize = 20;
/// How many kinds of callers a document is measured for at a time.
const MOST_MEASURES: usize = 8;

/// SHA-256 of a document's text.
pub type Hash = [u8; 32];

/// How a request names its document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The text itself.
    pub query: Option<String>,
    /// The id of a trusted document, or `sha256:` and a hash.
    pub id: Option<String>,
    /// The hash of an automatic persisted query.
    pub hash: Option<String>,
}

/// A document that was parsed.
#[derive(Debug)]
pub struct Document {
    pub parsed: ExecutableDocument,
    pub shape: Shape,
    /// Whether it was executed without an error, and so is valid.
    is_valid: AtomicBool,
    tokens: usize,
    measures: Mutex<Vec<Measure>>,
}

#[derive(Debug)]
struct Measure {
    view: Arc<View>,
    operation: Option<String>,
    tally: Tally,
}

impl Document {
    fn parse(text: &str, limits: &Limits) -> Result<Self, ServerError> {
        Limit::Characters.check(text.len().min(text.chars().count()), limits.characters)?;
        let tokens = tokens(text, limits.tokens);
        Limit::Tokens.check(tokens, limits.tokens)?;
        // What the parser says quotes the document; where it stumbled is enough.
        let parsed = parse_query(text).map_err(|error| ServerError {
            message: "The document is not GraphQL, from the location on.".into(),
            ..ServerError::from(error)
        })?;
        let (shape, is_valid) = (Shape::of(&parsed), AtomicBool::new(false));
        Ok(Self { parsed, shape, is_valid, tokens: tokens + COVER, measures: Mutex::default() })
    }

    /// Whether it need not be validated with these variables, because it was before.
    pub fn is_proven(&self, variables: &Variables) -> bool {
        self.shape.is_plain && self.is_valid.load(Ordering::Relaxed) && Shape::fits(&self.parsed, variables)
    }

    /// Notes that it was executed without an error.
    pub fn was_valid(&self) {
        self.is_valid.store(true, Ordering::Relaxed);
    }

    /// What was counted of an operation for callers who see this.
    pub fn measured(&self, view: &Arc<View>, operation: Option<&str>) -> Option<Tally> {
        let measures = self.measures.lock().unwrap_or_else(PoisonError::into_inner);
        let known = measures.iter().find(|of| Arc::ptr_eq(&of.view, view) && of.operation.as_deref() == operation);
        known.map(|known| known.tally)
    }

    /// Keeps what was counted, unless it is another number with other variables.
    pub fn keep(&self, view: &Arc<View>, operation: Option<&str>, tally: Tally) {
        if tally.varies {
            return;
        }
        let mut measures = self.measures.lock().unwrap_or_else(PoisonError::into_inner);
        if measures.len() == MOST_MEASURES {
            measures.remove(0);
        }
        measures.push(Measure { view: Arc::clone(view), operation: operation.map(str::to_owned), tally });
    }
}

/// The documents of a configured list, by their ids.
#[derive(Debug)]
pub struct Trusted {
    by_id: HashMap<String, Arc<Document>>,
    by_hash: HashMap<Hash, Arc<Document>>,
}

/// Why a list of trusted documents can't be used.
#[derive(Debug, PartialEq, Eq)]
pub struct Untrusted(pub String);

impl std::fmt::Display for Untrusted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Untrusted {}

impl Trusted {
    /// Reads a list: a JSON object that has each document's text under its id.
    pub fn read(json: &[u8], limits: &Limits) -> Result<Self, Untrusted> {
        let list: HashMap<String, String> =
            serde_json::from_slice(json).map_err(|error| Untrusted(format!("not a JSON object of texts: {error}")))?;
        let mut trusted = Self { by_id: HashMap::new(), by_hash: HashMap::new() };
        for (id, text) in list {
            let document =
                Document::parse(&text, limits).map_err(|error| Untrusted(format!("{id}: {}", error.message)))?;
            let document = Arc::new(document);
            trusted.by_hash.insert(Sha256::digest(&text).into(), Arc::clone(&document));
            trusted.by_id.insert(id, document);
        }
        Ok(trusted)
    }

    /// Whether what each asks for is there in one of these views.
    fn check(&self, views: &[Arc<View>]) -> Result<(), Untrusted> {
        for (id, document) in &self.by_id {
            for (_, operation) in document.parsed.operations.iter() {
                let mut why = None;
                let is_there = views.iter().any(|view| {
                    let measured = measure(&document.parsed, &operation.node, &Variables::default(), view);
                    measured.map_err(|error| why = Some(error.message)).is_ok()
                });
                if !is_there {
                    return Err(Untrusted(format!("{id}: {}", why.unwrap_or_default())));
                }
            }
        }
        Ok(())
    }
}

/// The documents that are known.
pub struct Documents {
    limits: Limits,
    trusted: Option<Trusted>,
    seen: Mutex<Seen>,
}

struct Seen {
    by_hash: LruCache<Hash, Arc<Document>>,
    tokens: usize,
}

impl Documents {
    pub fn new(limits: Limits, trusted: Option<Trusted>) -> Self {
        let seen = Seen { by_hash: LruCache::unbounded(), tokens: 0 };
        Self { limits, trusted, seen: Mutex::new(seen) }
    }

    /// Whether each trusted document is one for somebody who sees one of these views.
    pub fn check(&self, views: &[Arc<View>]) -> Result<(), Untrusted> {
        self.trusted.as_ref().map_or(Ok(()), |trusted| trusted.check(views))
    }

    /// The document that a request names.
    pub fn find(&self, named: &Named) -> Result<Arc<Document>, ServerError> {
        let hash = named.hash.as_deref().or_else(|| named.id.as_deref()?.strip_prefix("sha256:"));
        let hash = hash.map(|text| hash_of(text).ok_or_else(not_a_hash)).transpose();
        match &self.trusted {
            Some(trusted) => trusted.find(named, hash.ok().flatten()).ok_or_else(not_trusted),
            None => self.find_or_parse(named, hash?),
        }
    }

    /// The document that a request names by its text or its hash, if it was asked for before.
    pub fn known(&self, named: &Named) -> Option<Arc<Document>> {
        let hash = match &named.query {
            Some(text) => Sha256::digest(text).into(),
            None => hash_of(named.hash.as_deref().or_else(|| named.id.as_deref()?.strip_prefix("sha256:"))?)?,
        };
        match &self.trusted {
            Some(trusted) => trusted.by_hash.get(&hash).cloned(),
            None => self.seen(&hash),
        }
    }

    fn find_or_parse(&self, named: &Named, hash: Option<Hash>) -> Result<Arc<Document>, ServerError> {
        let Some(text) = &named.query else {
            return hash.ok_or_else(not_trusted).and_then(|hash| self.seen(&hash).ok_or_else(not_found));
        };
        // A text that is too long is not worth its hash.
        Limit::Characters.check(text.len() / 4, self.limits.characters)?;
        let actual = Sha256::digest(text).into();
        if hash.is_some_and(|hash| hash != actual) {
            return Err(refused("BAD_REQUEST", "The hash of the persisted query is not that of `query`."));
        }
        if let Some(known) = self.seen(&actual) {
            return Ok(known);
        }
        let document = Arc::new(Document::parse(text, &self.limits)?);
        self.keep(actual, Arc::clone(&document));
        Ok(document)
    }

    fn seen(&self, hash: &Hash) -> Option<Arc<Document>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).by_hash.get(hash).cloned()
    }

    /// Those that were not asked for the longest make room.
    fn keep(&self, hash: Hash, document: Arc<Document>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.tokens += document.tokens;
        if let Some(replaced) = seen.by_hash.put(hash, document) {
            seen.tokens -= replaced.tokens;
        }
        while seen.tokens > ROOM
            && let Some((_, oldest)) = seen.by_hash.pop_lru()
        {
            seen.tokens -= oldest.tokens;
        }
    }
}

impl Trusted {
    /// The document that is named; named in several ways, it has to be the same by each.
    fn find(&self, named: &Named, hash: Option<Hash>) -> Option<Arc<Document>> {
        let by_hash = |hash: &Hash| self.by_hash.get(hash);
        let text = named.query.as_ref().map(|text| Hash::from(Sha256::digest(text)));
        let by_id = named.id.as_ref().map(|id| self.by_id.get(id).or_else(|| hash.as_ref().and_then(by_hash)));
        let ways = [by_id, hash.as_ref().map(by_hash), text.as_ref().map(by_hash)];
        let mut found = ways.into_iter().flatten();
        let first = found.next()??;
        found.all(|other| other.is_some_and(|other| Arc::ptr_eq(other, first))).then(|| Arc::clone(first))
    }
}

fn hash_of(text: &str) -> Option<Hash> {
    unhex(text)?.try_into().ok()
}

fn not_a_hash() -> ServerError {
    refused("BAD_REQUEST", "The hash of a persisted query is SHA-256 in 64 hexadecimal digits.")
}

/// In the words of the protocol, which clients wait for before they send the text along.
fn not_found() -> ServerError {
    refused("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
}

fn not_trusted() -> ServerError {
    refused("DOCUMENT_NOT_TRUSTED", "The document is not one of those that this server runs.")
}

fn refused(code: &str, message: &str) -> ServerError {
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code);
    ServerError { extensions: Some(extensions), ..ServerError::new(message, None) }
}
