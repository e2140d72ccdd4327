//! The keys that tokens are checked with: one shared secret, or a set of public keys that is read again when it turns.
//!
//! Which algorithm a key is for is the configuration's word, never the token's (rule A1): a key that is found for a token brings its
//! algorithm along.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse},
};

use crate::secret::Secret;

/// A key set is read again when it is older than this.
const MOST_AGE: Duration = Duration::from_secs(300);
/// However many tokens name unknown keys, the set is not read more often than this.
const LEAST_AGE: Duration = Duration::from_secs(30);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// HS256 needs a secret as long as its output (RFC 7518 section 3.2).
const LEAST_SECRET_BYTES: usize = 32;

/// Where keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    Secret(Secret),
    File(PathBuf),
    Url(reqwest::Url),
}

/// Why there are no keys.
#[derive(Debug)]
pub struct KeyError(String);

impl std::fmt::Display for KeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyError {}

/// One key and the one algorithm that it is for.
#[derive(Clone)]
pub struct Key {
    pub decoding: DecodingKey,
    pub algorithm: Algorithm,
}

/// Finds the key for a token.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

enum Inner {
    Secret(Key),
    Set {
        source: SetSource,
        keys: RwLock<KeySet>,
        /// Held while the set is read, so that a crowd of tokens with a new key reads it once.
        reading: tokio::sync::Mutex<()>,
    },
}

enum SetSource {
    File(PathBuf),
    Url(reqwest::Client, reqwest::Url),
}

#[derive(Default)]
struct KeySet {
    by_id: HashMap<Option<String>, Key>,
    read_at: Option<Instant>,
}

impl Keys {
    /// Reads the keys for the first time; fails where there is none that can be used.
    pub async fn open(source: KeySource) -> Result<Self, KeyError> {
        let source = match source {
            KeySource::Secret(secret) => return Self::shared(&secret),
            KeySource::File(path) => SetSource::File(path),
            KeySource::Url(url) => {
                let client = reqwest::Client::builder()
                    .timeout(FETCH_TIMEOUT)
                    .redirect(reqwest::redirect::Policy::none())
                    .build()
                    .map_err(|error| KeyError(error.to_string()))?;
                SetSource::Url(client, url)
            }
        };
        let keys = RwLock::new(read(&source).await?);
        let reading = tokio::sync::Mutex::new(());
        Ok(Self(Arc::new(Inner::Set { source, keys, reading })))
    }

    fn shared(secret: &Secret) -> Result<Self, KeyError> {
        if secret.expose().len() < LEAST_SECRET_BYTES {
            return Err(KeyError(format!("the secret has fewer than {LEAST_SECRET_BYTES} bytes")));
        }
        Ok(Self(Arc::new(Inner::Secret(Key {
            decoding: DecodingKey::from_secret(secret.expose()),
            algorithm: Algorithm::HS256,
        }))))
    }

    /// The key with this id; an unknown one makes a set be read again, though not more often than every 30 s.
    pub async fn find(&self, id: Option<&str>) -> Option<Key> {
        let (source, keys, reading) = match &*self.0 {
            Inner::Secret(key) => return Some(key.clone()),
            Inner::Set { source, keys, reading } => (source, keys, reading),
        };
        if let Some(key) = known(keys, id, MOST_AGE) {
            return Some(key);
        }
        let _one_at_a_time = reading.lock().await;
        let fresh = keys.read().unwrap_or_else(PoisonError::into_inner).is_younger_than(LEAST_AGE);
        if !fresh {
            match read(source).await {
                Ok(set) => *keys.write().unwrap_or_else(PoisonError::into_inner) = set,
                Err(error) => {
                    // The keys that are known go on being good: an identity system that is down locks nobody out.
                    tracing::error!(%error, "the key set can't be read; the known keys stay");
                    keys.write().unwrap_or_else(PoisonError::into_inner).read_at = Some(Instant::now());
                }
            }
        }
        known(keys, id, Duration::MAX)
    }
}

fn known(keys: &RwLock<KeySet>, id: Option<&str>, most_age: Duration) -> Option<Key> {
    let keys = keys.read().unwrap_or_else(PoisonError::into_inner);
    if !keys.is_younger_than(most_age) {
        return None;
    }
    keys.by_id.get(&id.map(str::to_owned)).cloned()
}

impl KeySet {
    fn is_younger_than(&self, age: Duration) -> bool {
        self.read_at.is_some_and(|read_at| read_at.elapsed() < age)
    }
}

async fn read(source: &SetSource) -> Result<KeySet, KeyError> {
    let text = match source {
        SetSource::File(path) => {
            let path = path.clone();
            let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
            read.map_err(|error| KeyError(error.to_string()))?.map_err(|error| KeyError(error.to_string()))?
        }
        SetSource::Url(client, url) => fetch(client, url.clone()).await.map_err(|error| KeyError(error.to_string()))?,
    };
    let set: JwkSet = serde_json::from_slice(&text).map_err(|error| KeyError(format!("not a JWK set: {error}")))?;
    let by_id: HashMap<_, _> = set
        .keys
        .iter()
        .filter(|jwk| !matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)))
        .filter_map(|jwk| Some((jwk.common.key_id.clone(), key(jwk)?)))
        .collect();
    if by_id.is_empty() {
        return Err(KeyError("the JWK set holds no public key for signatures".into()));
    }
    let read_at = Some(Instant::now());
    Ok(KeySet { by_id, read_at })
}

async fn fetch(client: &reqwest::Client, url: reqwest::Url) -> Result<Vec<u8>, reqwest::Error> {
    let answer = client.get(url).send().await?.error_for_status()?;
    Ok(answer.bytes().await?.to_vec())
}

/// A public key with its one algorithm: the one that the set names, or the usual one of its type. Shared secrets have no place in a set.
fn key(jwk: &Jwk) -> Option<Key> {
    let usual = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
            EllipticCurve::P256 => Algorithm::ES256,
            EllipticCurve::P384 => Algorithm::ES384,
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(_) => Algorithm::EdDSA,
        _ => return None,
    };
    let algorithm = match jwk.common.key_algorithm {
        Some(named) => named.to_string().parse().ok()?,
        None => usual,
    };
    let decoding = DecodingKey::from_jwk(jwk).ok()?;
    // A set that names HS256 for a public key would let anybody sign with it.
    decoding.family().algorithms().contains(&algorithm).then_some(Key { decoding, algorithm })
}
