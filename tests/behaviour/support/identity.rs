//! An identity system: keys of each kind, tokens signed with them, and an address where the public halves are published.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair},
};
use axum::{Router, extract::State, http::StatusCode, routing::get};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

/// A key pair under an id.
#[derive(Clone)]
pub struct Signer {
    pub id: String,
    pub algorithm: Algorithm,
    key: EncodingKey,
    /// The public half, in the DER that a PEM file holds.
    pub public_der: Vec<u8>,
}

impl Signer {
    pub fn rsa(id: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("DER");
        let private: Pkcs8V1Der<'_> = pair.as_der().expect("DER");
        // What is wanted is PKCS #1: what PKCS #8 puts before it is 26 bytes for a key of this size.
        let private = &private.as_ref()[26..];
        Self::of(id, Algorithm::RS256, EncodingKey::from_rsa_der(private), public.as_ref())
    }

    pub fn ec(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("DER");
        let private = pair.to_pkcs8v1().expect("DER");
        Self::of(id, Algorithm::ES256, EncodingKey::from_ec_der(private.as_ref()), public.as_ref())
    }

    pub fn ed(id: &str) -> Self {
        let pair = Ed25519KeyPair::generate().expect("a key");
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("DER");
        let private = pair.to_pkcs8v1().expect("DER");
        Self::of(id, Algorithm::EdDSA, EncodingKey::from_ed_der(private.as_ref()), public.as_ref())
    }

    fn of(id: &str, algorithm: Algorithm, key: EncodingKey, public_der: &[u8]) -> Self {
        Self { id: id.to_owned(), algorithm, key, public_der: public_der.to_vec() }
    }

    /// The public half as it is published.
    pub fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).expect("a JWK");
        jwk.common.key_id = Some(self.id.clone());
        serde_json::to_value(jwk).expect("JSON")
    }

    pub fn public_pem(&self) -> String {
        let text = STANDARD.encode(&self.public_der);
        let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// A header as this key's tokens have it.
    pub fn header(&self) -> Value {
        json!({ "alg": name(self.algorithm), "typ": "at+jwt", "kid": self.id })
    }

    /// A token with these very texts as its header and its claims.
    pub fn signs(&self, header: &str, claims: &str) -> String {
        signed(self.algorithm, &self.key, header, claims)
    }
}

fn name(algorithm: Algorithm) -> Value {
    serde_json::to_value(algorithm).expect("its name")
}

/// A token signed with any key, whatever its header says.
pub fn signed(algorithm: Algorithm, key: &EncodingKey, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).expect("a signature");
    format!("{message}.{signature}")
}

/// One signed HS256 with these bytes.
pub fn signed_with_secret(secret: &[u8], header: &str, claims: &str) -> String {
    signed(Algorithm::HS256, &EncodingKey::from_secret(secret), header, claims)
}

/// A set of public keys.
pub fn set(keys: &[&Signer]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

/// Where keys are published. It counts how often anything is fetched.
pub struct Identity {
    address: SocketAddr,
    published: Published,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Clone, Default)]
struct Published {
    /// `None`: it is down.
    body: Arc<Mutex<Option<String>>>,
    fetches: Arc<AtomicUsize>,
}

impl Identity {
    pub async fn publishing(keys: &[&Signer]) -> Self {
        let published = Published::default();
        let answer = async |State(published): State<Published>| {
            published.fetches.fetch_add(1, Ordering::SeqCst);
            published.body.lock().unwrap().clone().ok_or(StatusCode::SERVICE_UNAVAILABLE)
        };
        let routes = Router::new().route("/jwks.json", get(answer)).fallback(get(answer)).with_state(published.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        let identity = Self { address, published, _serving: AbortOnDropHandle::new(serving) };
        identity.publishes(keys);
        identity
    }

    pub fn url(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    pub fn publishes(&self, keys: &[&Signer]) {
        self.publishes_text(set(keys));
    }

    pub fn publishes_text(&self, text: String) {
        *self.published.body.lock().unwrap() = Some(text);
    }

    pub fn goes_down(&self) {
        *self.published.body.lock().unwrap() = None;
    }

    pub fn fetches(&self) -> usize {
        self.published.fetches.load(Ordering::SeqCst)
    }
}
