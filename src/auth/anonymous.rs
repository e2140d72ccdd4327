//! Tokens of this server's own making: for anonymous users, and for nobody else.
//!
//! A shop that has no identity system for its guests asks for one with `issueAnonymousToken`. Each carries the generation that it is of; which
//! one counts now is the database's word, and asked for by [`crate::service::anonymous_token`].

use std::sync::Arc;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{
    CallerKind, Claims, Policy, Rejected, Sent, Verified,
    keys::Key,
    token::{mint, spoken},
};
use crate::secret::Secret;

/// The `iss` of these tokens. No other issuer may have this name.
pub const OWN_ISSUER: &str = "orderpay";
/// What else is ever made from the same secret has another label, and so another key.
const LABEL: &[u8] = b"orderpay anonymous tokens, HS256";

/// Makes these tokens, and knows them again. Nothing of its key is shown.
#[derive(Clone)]
pub struct AnonymousTokens(Arc<Inner>);

struct Inner {
    secret: Secret,
    key: Key,
    policy: Policy,
}

/// What such a token says.
#[derive(Serialize, Deserialize)]
struct Generated {
    #[serde(flatten)]
    claims: Claims,
    generation: i64,
}

/// Why a token can't be made. It is a fault of ours, and its text is for the log.
pub type IssueError = jsonwebtoken::errors::Error;

impl AnonymousTokens {
    /// Whoever has this secret makes and knows the same tokens: each server that shares a database needs the same one.
    pub fn new(secret: &Secret) -> Self {
        let secret = derived(secret);
        let key = Key { decoding: DecodingKey::from_secret(secret.expose()), algorithm: Algorithm::HS256 };
        let policy = Policy { issuer: Some(OWN_ISSUER.to_owned()), audience: None };
        Self(Arc::new(Inner { secret, key, policy }))
    }

    /// A token of this generation for an anonymous user, good until then. It is whole seconds that a token tells.
    pub fn issue(
        &self,
        id: &str,
        generation: i64,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<String, IssueError> {
        let claims = Claims {
            sub: id.to_owned(),
            kind: CallerKind::Anonymous,
            scope: None,
            exp: expires_at.timestamp(),
            nbf: None,
            iat: Some(now.timestamp()),
            iss: self.0.policy.issuer.clone(),
            aud: None,
        };
        mint(&self.0.secret, &Generated { claims, generation })
    }

    /// The anonymous user that one of these speaks for, unless it was revoked.
    pub(super) fn verify(&self, now: DateTime<Utc>, sent: &Sent<'_>) -> Result<Verified, Rejected> {
        let Inner { key, policy, .. } = &*self.0;
        let generated: Generated = spoken(key, policy, sent)?;
        let generation = Some(generated.generation);
        let verified = Verified { generation, ..Verified::at(now, generated.claims)? };
        if verified.caller.kind == CallerKind::Anonymous { Ok(verified) } else { Err(Rejected::Kind) }
    }
}

/// HMAC-SHA256 of the label under the secret: what is known of the one key tells nothing of another that is made from the same secret.
fn derived(secret: &Secret) -> Secret {
    // A key of any length will do, so that this can't fail; without it no token would be known.
    match Hmac::<Sha256>::new_from_slice(secret.expose()) {
        Ok(mac) => Secret::new(mac.chain_update(LABEL).finalize().into_bytes().to_vec()),
        Err(_) => secret.clone(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::auth::Issuers;

    fn secret() -> Secret {
        Secret::new("0123456789abcdef0123456789abcdef")
    }

    fn tokens() -> AnonymousTokens {
        AnonymousTokens::new(&secret())
    }

    fn later() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(1)
    }

    async fn verified(token: &str) -> Result<Verified, Rejected> {
        let issuers = Issuers::new(vec![], Some(tokens()));
        issuers.verify(DateTime::UNIX_EPOCH, token).await.map(|signed| signed.0)
    }

    #[tokio::test]
    async fn a_token_speaks_for_its_anonymous_user_and_tells_its_generation() {
        let token = tokens().issue("guest-1", 7, DateTime::UNIX_EPOCH, later()).unwrap();
        let verified = verified(&token).await.unwrap();
        assert_eq!((verified.caller.kind, &*verified.caller.id), (CallerKind::Anonymous, "guest-1"));
        assert_eq!(verified.generation, Some(7));
    }

    #[tokio::test]
    async fn the_secret_itself_signs_nothing() {
        let claims = Claims {
            sub: "guest-1".into(),
            kind: CallerKind::Anonymous,
            scope: None,
            exp: 100,
            nbf: None,
            iat: None,
            iss: Some(OWN_ISSUER.into()),
            aud: None,
        };
        let forged = mint(&secret(), &Generated { claims, generation: 0 }).unwrap();
        assert_eq!(verified(&forged).await.err(), Some(Rejected::Signature));
    }

    #[tokio::test]
    async fn such_a_token_speaks_for_no_other_kind_and_has_a_generation() {
        let claims = |kind| Claims {
            sub: "ada".into(),
            kind,
            scope: None,
            exp: 100,
            nbf: None,
            iat: None,
            iss: Some(OWN_ISSUER.into()),
            aud: None,
        };
        let of = |kind| mint(&tokens().0.secret, &Generated { claims: claims(kind), generation: 0 }).unwrap();
        assert!(verified(&of(CallerKind::Anonymous)).await.is_ok());
        assert_eq!(verified(&of(CallerKind::User)).await.err(), Some(Rejected::Kind));
        assert_eq!(verified(&of(CallerKind::Service)).await.err(), Some(Rejected::Kind));
        let without = mint(&tokens().0.secret, &claims(CallerKind::Anonymous)).unwrap();
        assert_eq!(verified(&without).await.err(), Some(Rejected::Claims));
    }

    #[tokio::test]
    async fn without_a_secret_of_its_own_the_server_knows_none_of_these() {
        let token = tokens().issue("guest-1", 0, DateTime::UNIX_EPOCH, later()).unwrap();
        let issuers = Issuers::new(vec![], None);
        assert_eq!(issuers.verify(DateTime::UNIX_EPOCH, &token).await.err(), Some(Rejected::Issuer));
    }
}
