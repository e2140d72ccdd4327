//! Whom tokens are taken from: one issuer or several, each with its own keys, its own audience and the kinds of caller that it may speak for.
//!
//! What a token says of its issuer chooses whose keys are looked in, and is checked once the signature is: no issuer's key is ever tried on
//! another's token.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{
    AnonymousTokens, CallerKind, Keys, Policy, Rejected, Sent, Verified, anonymous::OWN_ISSUER, token::verify,
};

/// An issuer whose keys are known.
pub struct Issuer {
    pub keys: Keys,
    /// One without a name takes tokens of any issuer; it has to be the only one.
    pub policy: Policy,
    pub kinds: Vec<CallerKind>,
}

/// A caller whose token is signed and in time. Whether it was revoked is not looked at yet: `service::anonymous_token::admit` does.
#[derive(Debug)]
pub struct Signed(pub(crate) Verified);

/// All whom tokens are taken from.
#[derive(Clone)]
pub struct Issuers(Arc<Inner>);

struct Inner {
    trusted: Vec<Issuer>,
    own: Option<AnonymousTokens>,
}

impl Issuers {
    pub fn new(trusted: Vec<Issuer>, own: Option<AnonymousTokens>) -> Self {
        Self(Arc::new(Inner { trusted, own }))
    }

    /// Whom a token speaks for, or why for nobody (rule A1).
    pub async fn verify(&self, now: DateTime<Utc>, token: &str) -> Result<Signed, Rejected> {
        let sent = Sent::read(token)?;
        if sent.issuer() == Some(OWN_ISSUER) {
            let own = self.0.own.as_ref().ok_or(Rejected::Issuer)?;
            return own.verify(now, &sent).map(Signed);
        }
        let issuer = self.named(sent.issuer()).ok_or(Rejected::Issuer)?;
        let verified = verify(&issuer.keys, &issuer.policy, now, &sent).await?;
        if issuer.kinds.contains(&verified.caller.kind) { Ok(Signed(verified)) } else { Err(Rejected::Kind) }
    }

    fn named(&self, name: Option<&str>) -> Option<&Issuer> {
        self.0.trusted.iter().find(|issuer| match &issuer.policy.issuer {
            Some(known) => name == Some(known),
            None => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::{Claims, KeySource, mint},
        clock::Clock,
        secret::Secret,
    };

    const SHOP: &str = "https://shop.example";
    const STAFF: &str = "https://staff.example";

    fn secret_of(issuer: &str) -> Secret {
        Secret::new(format!("{issuer:*<32}"))
    }

    async fn issuer(name: &str, audience: Option<&str>, kinds: &[CallerKind]) -> Issuer {
        let keys = Keys::open(KeySource::Secret(secret_of(name)), Clock::default()).await.unwrap();
        let policy = Policy { issuer: Some(name.into()), audience: audience.map(str::to_owned) };
        Issuer { keys, policy, kinds: kinds.to_vec() }
    }

    /// Shoppers come from one, services from the other, for an audience.
    async fn two() -> Issuers {
        let shop = issuer(SHOP, None, &[CallerKind::User, CallerKind::Anonymous]).await;
        Issuers::new(vec![shop, issuer(STAFF, Some("orderpay"), &[CallerKind::Service]).await], None)
    }

    fn token(signed_by: &str, names: Option<&str>, kind: CallerKind, audience: Option<&str>) -> String {
        let claims = Claims {
            sub: "ada".into(),
            kind,
            scope: None,
            exp: 100,
            nbf: None,
            iat: None,
            iss: names.map(str::to_owned),
            aud: audience.map(Into::into),
        };
        mint(&secret_of(signed_by), &claims).unwrap()
    }

    async fn told(token: String) -> Result<CallerKind, Rejected> {
        let signed = two().await.verify(DateTime::UNIX_EPOCH, &token).await;
        signed.map(|Signed(verified)| verified.caller.kind)
    }

    // rule A1
    #[tokio::test]
    async fn each_issuer_speaks_for_its_own_kinds_of_caller() {
        assert_eq!(told(token(SHOP, Some(SHOP), CallerKind::User, None)).await, Ok(CallerKind::User));
        assert_eq!(told(token(SHOP, Some(SHOP), CallerKind::Service, None)).await, Err(Rejected::Kind));
        let service = token(STAFF, Some(STAFF), CallerKind::Service, Some("orderpay"));
        assert_eq!(told(service).await, Ok(CallerKind::Service));
    }

    // rule A1
    #[tokio::test]
    async fn the_key_of_one_issuer_does_not_check_anothers_tokens() {
        let forged = token(SHOP, Some(STAFF), CallerKind::Service, Some("orderpay"));
        assert_eq!(told(forged).await, Err(Rejected::Signature));
        assert_eq!(told(token(STAFF, Some(SHOP), CallerKind::User, None)).await, Err(Rejected::Signature));
    }

    // rule A1
    #[tokio::test]
    async fn each_issuer_has_its_own_audience() {
        let for_nobody = token(STAFF, Some(STAFF), CallerKind::Service, None);
        assert_eq!(told(for_nobody).await, Err(Rejected::Audience));
        let for_another = token(STAFF, Some(STAFF), CallerKind::Service, Some("shop"));
        assert_eq!(told(for_another).await, Err(Rejected::Audience));
    }

    #[tokio::test]
    async fn a_token_of_no_known_issuer_is_refused() {
        for names in [None, Some(""), Some("https://evil.example"), Some("https://shop.example/"), Some(OWN_ISSUER)] {
            assert_eq!(told(token(SHOP, names, CallerKind::User, None)).await, Err(Rejected::Issuer), "{names:?}");
        }
    }
}
