//! The keys that tokens are checked with: one shared secret, or a set of public keys that is read again when it turns.
//!
//! Which algorithm a key is for is the configuration's word, never the token's (rule A1): a key that is found for a token brings its
//! algorithm along.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey};

use super::jwks::{KeysById, Place};
use crate::{clock::Clock, secret::Secret};

/// A key set is read again when it is older than this.
const MOST_AGE: TimeDelta = TimeDelta::seconds(300);
/// However many tokens name unknown keys, the set is not read more often than this.
const LEAST_AGE: TimeDelta = TimeDelta::seconds(30);
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
pub struct KeyError(pub(super) String);

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
        place: Place,
        clock: Clock,
        keys: RwLock<KeySet>,
        /// Held while the set is read, so that a crowd of tokens with a new key reads it once.
        reading: tokio::sync::Mutex<()>,
    },
}

struct KeySet {
    by_id: KeysById,
    read_at: DateTime<Utc>,
}

impl Keys {
    /// Reads the keys for the first time; fails where there is none that can be used.
    pub async fn open(source: KeySource, clock: Clock) -> Result<Self, KeyError> {
        let place = match source {
            KeySource::Secret(secret) => return Self::shared(&secret),
            KeySource::File(path) => Place::File(path),
            KeySource::Url(url) => Place::at(url)?,
        };
        let by_id = place.read().await?;
        let keys = RwLock::new(KeySet { by_id, read_at: clock.now() });
        let reading = tokio::sync::Mutex::new(());
        Ok(Self(Arc::new(Inner::Set { place, clock, keys, reading })))
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
        let (place, clock, keys, reading) = match &*self.0 {
            Inner::Secret(key) => return Some(key.clone()),
            Inner::Set { place, clock, keys, reading } => (place, clock, keys, reading),
        };
        if let Some(key) = look(keys).younger_than(MOST_AGE, clock.now()).and_then(|set| set.key(id)) {
            return Some(key);
        }
        let _one_at_a_time = reading.lock().await;
        let is_fresh = look(keys).younger_than(LEAST_AGE, clock.now()).is_some();
        if !is_fresh {
            match place.read().await {
                Ok(by_id) => {
                    let set = KeySet { by_id, read_at: clock.now() };
                    *keys.write().unwrap_or_else(PoisonError::into_inner) = set;
                }
                Err(error) => {
                    // The keys that are known go on being good: an identity system that is down locks nobody out.
                    tracing::error!(%error, "the key set can't be read; the known keys stay");
                    keys.write().unwrap_or_else(PoisonError::into_inner).read_at = clock.now();
                }
            }
        }
        look(keys).key(id)
    }
}

fn look(keys: &RwLock<KeySet>) -> RwLockReadGuard<'_, KeySet> {
    keys.read().unwrap_or_else(PoisonError::into_inner)
}

impl KeySet {
    fn key(&self, id: Option<&str>) -> Option<Key> {
        self.by_id.get(&id.map(str::to_owned)).cloned()
    }

    /// The set, if it was read so lately. One from the future is not: a clock that was set back must not make it last.
    fn younger_than(&self, age: TimeDelta, now: DateTime<Utc>) -> Option<&Self> {
        (self.read_at <= now && now < self.read_at + age).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{CallerKind, Claims, Policy, Rejected, Sent, token::verify};
    use jsonwebtoken::{
        EncodingKey, Header, encode,
        jwk::{AlgorithmParameters, Jwk},
    };

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
        verify(keys, &Policy::default(), DateTime::UNIX_EPOCH, &Sent::read(token)?).await.map(|_| ())
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

    #[tokio::test]
    async fn a_clock_that_is_set_back_does_not_make_a_set_last() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH + TimeDelta::days(1));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let ((old, old_public), (_, new_public)) = (pair("old"), pair("new"));
        publish(&path, &[&old_public]);
        let keys = Keys::open(KeySource::File(path.clone()), clock.clone()).await.unwrap();
        publish(&path, &[&new_public]);
        clock.advance(-TimeDelta::hours(1));
        let old_token = token(Algorithm::EdDSA, Some("old"), &old);
        assert_eq!(check(&keys, &old_token).await, Err(Rejected::Signature));
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
    async fn a_set_is_no_larger_than_any_that_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let open = || Keys::open(KeySource::File(path.clone()), Clock::default());
        let (_, public) = pair("one");
        for (count, fits) in [(100, true), (101, false)] {
            publish(&path, &vec![&public; count]);
            assert_eq!(open().await.is_ok(), fits, "{count} keys");
        }
        let of_bytes = |bytes: usize| {
            let set = serde_json::json!({ "keys": [&public] }).to_string();
            std::fs::write(&path, format!("{set}{}", " ".repeat(bytes - set.len()))).unwrap();
        };
        for (bytes, fits) in [(256 * 1024, true), (256 * 1024 + 1, false)] {
            of_bytes(bytes);
            assert_eq!(open().await.is_ok(), fits, "{bytes} bytes");
        }
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
