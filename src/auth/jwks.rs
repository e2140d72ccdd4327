//! A JWK set (RFC 7517) as it is published: in a file, or at an address. It is read whole, and never more of it than any set that is meant has.

use std::{
    collections::HashMap,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse},
};
use reqwest::{Client, Url, redirect};

use super::keys::{Key, KeyError};

/// How long an address may take to give the whole set.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 256 * 1024;
const MOST_KEYS: usize = 100;

/// The keys of a set; one without an id is for tokens that name none.
pub type KeysById = HashMap<Option<String>, Key>;

/// Where a set is published.
pub enum Place {
    File(PathBuf),
    Url(Client, Url),
}

impl Place {
    /// An address. It is asked alone: where it sends us on to somebody else, that is an error.
    pub fn at(url: Url) -> Result<Self, KeyError> {
        let client = Client::builder().timeout(FETCH_TIMEOUT).redirect(redirect::Policy::none()).build();
        Ok(Self::Url(client.map_err(told)?, url))
    }

    /// The set as it is now.
    pub async fn read(&self) -> Result<KeysById, KeyError> {
        let text = match self {
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || whole_file(&path)).await;
                read.map_err(told)?.map_err(told)?
            }
            Self::Url(client, url) => fetch(client, url.clone()).await?,
        };
        if text.len() > MOST_BYTES {
            return Err(KeyError(format!("the JWK set has more than {MOST_BYTES} bytes")));
        }
        keys(&text)
    }
}

fn told(error: impl std::error::Error) -> KeyError {
    // A client's own words are no more than that it failed; why is beneath.
    let mut words = error.to_string();
    let mut beneath = error.source();
    while let Some(source) = beneath {
        words = format!("{words}: {source}");
        beneath = source.source();
    }
    KeyError(words)
}

/// What is in a file, and of too long a one a byte more than may be.
fn whole_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = vec![];
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    std::fs::File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut text)?;
    Ok(text)
}

/// What is at an address, and of too long an answer no more than tells that it is.
async fn fetch(client: &Client, url: Url) -> Result<Vec<u8>, KeyError> {
    let mut answer = client.get(url).send().await.and_then(reqwest::Response::error_for_status).map_err(told)?;
    if !answer.status().is_success() {
        return Err(KeyError(format!("the answer is {}", answer.status())));
    }
    let mut text = vec![];
    while let Some(chunk) = answer.chunk().await.map_err(told)? {
        text.extend_from_slice(&chunk);
        if text.len() > MOST_BYTES {
            break;
        }
    }
    Ok(text)
}

fn keys(text: &[u8]) -> Result<KeysById, KeyError> {
    let set: JwkSet = serde_json::from_slice(text).map_err(|error| KeyError(format!("not a JWK set: {error}")))?;
    if set.keys.len() > MOST_KEYS {
        return Err(KeyError(format!("the JWK set has more than {MOST_KEYS} keys")));
    }
    let for_signatures =
        set.keys.iter().filter(|jwk| !matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)));
    let by_id: KeysById = for_signatures.filter_map(|jwk| Some((jwk.common.key_id.clone(), key(jwk)?))).collect();
    if by_id.is_empty() {
        return Err(KeyError("the JWK set holds no public key for signatures".into()));
    }
    Ok(by_id)
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
