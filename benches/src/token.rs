//! Tokens for as many callers as are needed: each is like the one that `orderpay token` printed, but for whom it names.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// Signs as the server's own command does.
pub struct Mint {
    secret: Vec<u8>,
    header: String,
    claims: Value,
}

impl Mint {
    pub fn like(token: &str, secret: &str) -> Self {
        let mut parts = token.split('.');
        let mut next = || parts.next().expect("a token has three parts").to_owned();
        let (header, claims) = (next(), next());
        let claims = BASE64.decode(claims).expect("its claims");
        let claims = serde_json::from_slice(&claims).expect("its claims are JSON");
        Self { secret: secret.as_bytes().to_vec(), header, claims }
    }

    pub fn token(&self, sub: &str) -> String {
        let mut claims = self.claims.clone();
        claims["sub"] = sub.into();
        let signed = format!("{}.{}", self.header, BASE64.encode(claims.to_string()));
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("any length is a key");
        mac.update(signed.as_bytes());
        format!("{signed}.{}", BASE64.encode(mac.finalize().into_bytes()))
    }
}
