//! The keys that tokens are checked with: one shared secret, or a set of public keys that is read again when it turns.
//!
//! Which algorithm a key is for is the configuration's word, never the token's (rule A1): a key that is found for a token brings its
//! algorithm along.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse},
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{clock::Clock, secret::Secret};

/// A key set is read again when it is older than this.
const MOST_AGE: TimeDelta = TimeDelta::seconds(300);
/// However many tokens name unknown keys, the set is not read more often than this.
const LEAST_AGE: TimeDelta = TimeDelta::seconds(30);
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
        clock: Clock,
        keys: RwLock<KeySet>,
        /// Held while the set is read, so that a crowd of tokens with a new key reads it once.
        reading: tokio::sync::Mutex<()>,
    },
}

enum SetSource {
    File(PathBuf),
    Url(reqwest::Client, reqwest::Url),
}

struct KeySet {
    by_id: HashMap<Option<String>, Key>,
    read_at: DateTime<Utc>,
}

impl Keys {
    /// Reads the keys for the first time; fails where there is none that can be used.
    pub async fn open(source: KeySource, clock: Clock) -> Result<Self, KeyError> {
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
        let keys = RwLock::new(read(&source, clock.now()).await?);
        let reading = tokio::sync::Mutex::new(());
        Ok(Self(Arc::new(Inner::Set { source, clock, keys, reading })))
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
        let (source, clock, keys, reading) = match &*self.0 {
            Inner::Secret(key) => return Some(key.clone()),
            Inner::Set { source, clock, keys, reading } => (source, clock, keys, reading),
        };
        if let Some(key) = known(keys, id, clock.now() - MOST_AGE) {
            return Some(key);
        }
        let _one_at_a_time = reading.lock().await;
        let fresh = keys.read().unwrap_or_else(PoisonError::into_inner).read_at > clock.now() - LEAST_AGE;
        if !fresh {
            match read(source, clock.now()).await {
                Ok(set) => *keys.write().unwrap_or_else(PoisonError::into_inner) = set,
                Err(error) => {
                    // The keys that are known go on being good: an identity system that is down locks nobody out.
                    tracing::error!(%error, "the key set can't be read; the known keys stay");
                    keys.write().unwrap_or_else(PoisonError::into_inner).read_at = clock.now();
                }
            }
        }
        known(keys, id, DateTime::UNIX_EPOCH)
    }
}

/// The key with this id in a set that was read after this instant.
fn known(keys: &RwLock<KeySet>, id: Option<&str>, read_after: DateTime<Utc>) -> Option<Key> {
    let keys = keys.read().unwrap_or_else(PoisonError::into_inner);
    if keys.read_at <= read_after {
        return None;
    }
    keys.by_id.get(&id.map(str::to_owned)).cloned()
}

async fn read(source: &SetSource, now: DateTime<Utc>) -> Result<KeySet, KeyError> {
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
    Ok(KeySet { by_id, read_at: now })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{CallerKind, Claims, Policy, Rejected, verify};
    use jsonwebtoken::{EncodingKey, Header, encode};

    /// A fresh Ed25519 key pair under this id: what signs, and what is published.
    fn pair(id: &str) -> (EncodingKey, Jwk) {
        // RFC 8410: what stands before the 32 random bytes of a private key.
        let mut der =
            vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        der.extend(seed);
        let key = EncodingKey::from_ed_der(&der);
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::EdDSA).unwrap();
        jwk.common.key_id = Some(id.to_owned());
        (key, jwk)
    }

    fn publish(path: &std::path::Path, keys: &[&Jwk]) {
        std::fs::write(path, serde_json::json!({ "keys": keys }).to_string()).unwrap();
    }

    fn token(algorithm: Algorithm, id: Option<&str>, key: &EncodingKey) -> String {
        let mut header = Header::new(algorithm);
        header.kid = id.map(str::to_owned);
        let (iss, aud, scope, nbf, iat) = (None, None, None, None, None);
        let claims = Claims { sub: "ada".into(), kind: CallerKind::User, scope, exp: 100, nbf, iat, iss, aud };
        encode(&header, &claims, key).unwrap()
    }

    async fn check(keys: &Keys, token: &str) -> Result<(), Rejected> {
        verify(keys, &Policy::default(), DateTime::UNIX_EPOCH, token).await.map(|_| ())
    }

    // rule A1
    #[tokio::test]
    async fn a_key_set_is_read_again_when_keys_turn() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH + TimeDelta::days(1));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let ((old, old_public), (new, new_public)) = (pair("old"), pair("new"));
        publish(&path, &[&old_public]);
        let keys = Keys::open(KeySource::File(path.clone()), clock.clone()).await.unwrap();
        let old_token = token(Algorithm::EdDSA, Some("old"), &old);
        let new_token = token(Algorithm::EdDSA, Some("new"), &new);
        assert_eq!(check(&keys, &old_token).await, Ok(()));

        publish(&path, &[&new_public]);
        assert_eq!(check(&keys, &new_token).await, Err(Rejected::Signature), "the set was read a moment ago");
        clock.advance(LEAST_AGE);
        assert_eq!(check(&keys, &new_token).await, Ok(()));
        assert_eq!(check(&keys, &old_token).await, Err(Rejected::Signature));
    }

    #[tokio::test]
    async fn keys_that_cannot_be_read_again_stay_good() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH + TimeDelta::days(1));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let (key, public) = pair("one");
        publish(&path, &[&public]);
        let keys = Keys::open(KeySource::File(path.clone()), clock.clone()).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        clock.advance(MOST_AGE);
        assert_eq!(check(&keys, &token(Algorithm::EdDSA, Some("one"), &key)).await, Ok(()));
    }

    // The public key, used as a shared secret, signs nothing.
    #[tokio::test]
    async fn the_algorithm_is_the_keys_and_not_the_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let (key, public) = pair("one");
        publish(&path, &[&public]);
        let keys = Keys::open(KeySource::File(path), Clock::default()).await.unwrap();
        let AlgorithmParameters::OctetKeyPair(parameters) = &public.algorithm else { panic!("an Ed25519 key") };
        let as_secret = EncodingKey::from_secret(parameters.x.as_bytes());
        let forged = token(Algorithm::HS256, Some("one"), &as_secret);
        assert_eq!(check(&keys, &forged).await, Err(Rejected::Signature));
        let unnamed = token(Algorithm::EdDSA, None, &key);
        assert_eq!(check(&keys, &unnamed).await, Err(Rejected::Signature), "a key has to be named");
    }

    #[tokio::test]
    async fn a_set_without_a_public_key_for_signatures_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let secret = r#"{"kty":"oct","kid":"one","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
        for text in ["", "{}", r#"{"keys":[]}"#, &format!(r#"{{"keys":[{secret}]}}"#)] {
            std::fs::write(&path, text).unwrap();
            assert!(Keys::open(KeySource::File(path.clone()), Clock::default()).await.is_err(), "{text}");
        }
    }
}
