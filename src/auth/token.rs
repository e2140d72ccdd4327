//! JWT access tokens in the manner of RFC 9068: checked, and minted for development.
//!
//! A token says who the caller is; it never says how it wants to be checked.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Caller, CallerKind, Keys, Scope, keys::Key};
use crate::secret::Secret;

/// How far the clocks of the identity system and of this server may differ, in seconds.
const LEEWAY_SECONDS: i64 = 5;
const MOST_TOKEN_BYTES: usize = 8 * 1024;
/// What an access token may call itself, in any case (RFC 9068 section 4, RFC 7515 section 4.1.9); one that says nothing is taken for one.
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];
/// The end of the year 9999: whatever expires later was not meant to expire at all, or is a mistake.
const MOST_EXP: i64 = 253_402_300_799;

/// What a token says. Times are in seconds since 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    pub sub: String,
    pub kind: CallerKind,
    /// Names with spaces between, for services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    pub exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<serde_json::Value>,
}

/// Why a token is not accepted, in words for whoever sent it: enough to mend a client, nothing about the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    Missing,
    /// There are several, and none is better than the others.
    Several,
    Malformed,
    /// It is a token for something else, or has to be read in a way that is not known here.
    Type,
    Signature,
    Expired,
    NotYetValid,
    Issuer,
    Audience,
    /// Its issuer may not speak for such callers.
    Kind,
    Claims,
    Revoked,
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "Send a token: `Authorization: Bearer …`.",
            Self::Several => "Send one token: there are several of `Authorization`.",
            Self::Malformed => "The bearer token is not a signed JWT.",
            Self::Type => "The bearer token is not an access token: its `typ` is another, or it has `crit`.",
            Self::Signature => "The bearer token is not signed by a key that is known here.",
            Self::Expired => "The bearer token has expired.",
            Self::NotYetValid => "The bearer token is not valid yet.",
            Self::Issuer => "The bearer token is from another issuer.",
            Self::Audience => "The bearer token is for another audience.",
            Self::Kind => "The bearer token's issuer does not speak for this kind of caller.",
            Self::Claims => {
                "The bearer token needs the claims `sub` (1 to 255 characters, none a control character), `kind` (user, anonymous or service) and `exp`, each once."
            }
            Self::Revoked => "The bearer token was revoked.",
        })
    }
}

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    Rejected(Rejected),
    /// Whether the token was revoked can't be looked up for now.
    Unavailable,
}

impl From<Rejected> for Denied {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}

/// A caller, and how long the token speaks for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub caller: Caller,
    /// From this moment on the token is good for nothing.
    pub until: DateTime<Utc>,
    /// For a token that can be revoked: good as long as this is its caller's generation.
    pub generation: Option<i64>,
}

impl Verified {
    /// Whom claims speak for whose signature was checked, if they do so now.
    pub(super) fn at(now: DateTime<Utc>, claims: Claims) -> Result<Self, Rejected> {
        let until = check_times(&claims, now)?;
        Ok(Self { caller: caller(claims)?, until, generation: None })
    }
}

/// What a token must say beside its signature.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub issuer: Option<String>,
    pub audience: Option<String>,
}

/// A token as it was sent: nothing that it says is believed yet, and no address in it is ever asked.
pub struct Sent<'a> {
    token: &'a str,
    key_id: Option<String>,
    issuer: Option<String>,
}

impl<'a> Sent<'a> {
    /// Refuses what is too long, not made of three parts, not an access token, or to be understood in a way that is not understood here.
    pub fn read(token: &'a str) -> Result<Self, Rejected> {
        /// Of all claims, the one that must be known before the others can be checked.
        #[derive(Deserialize)]
        struct Named {
            iss: Option<String>,
        }
        if token.len() > MOST_TOKEN_BYTES {
            return Err(Rejected::Malformed);
        }
        let mut parts = token.split('.');
        let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(Rejected::Malformed);
        };
        let header = jsonwebtoken::decode_header(token).map_err(|_| Rejected::Malformed)?;
        let is_known = |typ: &String| TYPES.iter().any(|known| typ.eq_ignore_ascii_case(known));
        if header.crit.is_some() || !header.typ.as_ref().is_none_or(is_known) {
            return Err(Rejected::Type);
        }
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| Rejected::Malformed)?;
        let Named { iss: issuer } = serde_json::from_slice(&claims).map_err(|_| Rejected::Claims)?;
        Ok(Self { token, key_id: header.kid, issuer })
    }

    /// Who it says it is from.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }
}

/// The caller that an issuer's token speaks for, or why it speaks for none (rule A1).
pub async fn verify(keys: &Keys, policy: &Policy, now: DateTime<Utc>, sent: &Sent<'_>) -> Result<Verified, Rejected> {
    let key = keys.find(sent.key_id.as_deref()).await.ok_or(Rejected::Signature)?;
    Verified::at(now, spoken(&key, policy, sent)?)
}

/// The claims of a token that this key signed, as this issuer makes them. Whether it is their time is not looked at.
pub(super) fn spoken<T: DeserializeOwned>(key: &Key, policy: &Policy, sent: &Sent<'_>) -> Result<T, Rejected> {
    let mut validation = Validation::new(key.algorithm);
    // Time is the clock's, which this library can't be given; see `check_times`.
    validation.validate_exp = false;
    let mut required = vec!["exp", "sub"];
    match &policy.issuer {
        Some(issuer) => {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        None => validation.iss = None,
    }
    match &policy.audience {
        Some(audience) => {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        None => validation.validate_aud = false,
    }
    // Without this the library lets a token pass that doesn't name an issuer at all.
    validation.set_required_spec_claims(&required);
    let decoded = jsonwebtoken::decode(sent.token, &key.decoding, &validation);
    Ok(decoded.map_err(|error| reason(error.kind()))?.claims)
}

/// Until when the token is good.
fn check_times(claims: &Claims, now: DateTime<Utc>) -> Result<DateTime<Utc>, Rejected> {
    if claims.exp > MOST_EXP {
        return Err(Rejected::Claims);
    }
    let until = claims.exp.saturating_add(LEEWAY_SECONDS);
    if until <= now.timestamp() {
        return Err(Rejected::Expired);
    }
    if claims.nbf.is_some_and(|nbf| nbf > now.timestamp() + LEEWAY_SECONDS) {
        return Err(Rejected::NotYetValid);
    }
    Ok(DateTime::from_timestamp(until, 0).unwrap_or(DateTime::<Utc>::MAX_UTC))
}

fn caller(claims: Claims) -> Result<Caller, Rejected> {
    if !(1..=255).contains(&claims.sub.chars().count()) || claims.sub.contains(char::is_control) {
        return Err(Rejected::Claims);
    }
    let kind = claims.kind;
    // Scopes that mean nothing here may mean something elsewhere.
    let scopes: BTreeSet<Scope> = match kind {
        CallerKind::Service => claims.scope.iter().flat_map(|names| names.split(' ')).flat_map(str::parse).collect(),
        CallerKind::User | CallerKind::Anonymous => BTreeSet::new(),
    };
    Ok(Caller { kind, id: claims.sub, scopes })
}

fn reason(kind: &ErrorKind) -> Rejected {
    match kind {
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            Rejected::Signature
        }
        ErrorKind::InvalidIssuer => Rejected::Issuer,
        ErrorKind::InvalidAudience => Rejected::Audience,
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => Rejected::Issuer,
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => Rejected::Audience,
        ErrorKind::MissingRequiredClaim(_) => Rejected::Claims,
        // The signature is checked before the claims are read, so that this is about the claims.
        ErrorKind::Json(_) => Rejected::Claims,
        _ => Rejected::Malformed,
    }
}

/// A token signed HS256 with a shared secret: of development, or of this server's own.
pub fn mint<T: Serialize>(secret: &Secret, claims: &T) -> Result<String, jsonwebtoken::errors::Error> {
    let mut header = Header::new(Algorithm::HS256);
    header.typ = Some("at+jwt".into());
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret.expose()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{auth::KeySource, clock::Clock};

    fn secret() -> Secret {
        Secret::new("0123456789abcdef0123456789abcdef")
    }

    fn claims() -> Claims {
        Claims {
            sub: "ada".into(),
            kind: CallerKind::User,
            scope: None,
            exp: 100,
            nbf: None,
            iat: None,
            iss: Some("https://id.example".into()),
            aud: Some("orderpay".into()),
        }
    }

    async fn verified(claims: &Claims, policy: Policy, now: i64) -> Result<Caller, Rejected> {
        whole(claims, policy, now).await.map(|verified| verified.caller)
    }

    async fn whole(claims: &Claims, policy: Policy, now: i64) -> Result<Verified, Rejected> {
        let keys = Keys::open(KeySource::Secret(secret()), Clock::default()).await.unwrap();
        let token = mint(&secret(), claims).unwrap();
        let now = DateTime::from_timestamp(now, 0).unwrap();
        verify(&keys, &policy, now, &Sent::read(&token)?).await
    }

    #[tokio::test]
    async fn a_token_is_good_until_it_expires() {
        assert!(verified(&claims(), Policy::default(), 104).await.is_ok());
        assert_eq!(verified(&claims(), Policy::default(), 105).await, Err(Rejected::Expired));
        let until = whole(&claims(), Policy::default(), 1).await.map(|verified| verified.until.timestamp());
        assert_eq!(until, Ok(105));
    }

    #[tokio::test]
    async fn a_token_expires_before_the_calendar_ends() {
        let long = Claims { exp: MOST_EXP, ..claims() };
        assert!(verified(&long, Policy::default(), 1).await.is_ok());
        for exp in [MOST_EXP + 1, i64::MAX] {
            let endless = Claims { exp, ..claims() };
            assert_eq!(verified(&endless, Policy::default(), 1).await, Err(Rejected::Claims));
        }
    }

    #[tokio::test]
    async fn a_token_is_not_good_before_its_time() {
        let later = Claims { nbf: Some(50), ..claims() };
        assert_eq!(verified(&later, Policy::default(), 44).await, Err(Rejected::NotYetValid));
        assert!(verified(&later, Policy::default(), 45).await.is_ok());
    }

    #[tokio::test]
    async fn issuer_and_audience_must_be_named_where_they_are_configured() {
        let policy = || Policy { issuer: Some("https://id.example".into()), audience: Some("orderpay".into()) };
        assert!(verified(&claims(), policy(), 1).await.is_ok());
        let without_issuer = Claims { iss: None, ..claims() };
        assert_eq!(verified(&without_issuer, policy(), 1).await, Err(Rejected::Issuer));
        let for_another = Claims { aud: Some("shop".into()), ..claims() };
        assert_eq!(verified(&for_another, policy(), 1).await, Err(Rejected::Audience));
        let without_audience = Claims { aud: None, ..claims() };
        assert_eq!(verified(&without_audience, policy(), 1).await, Err(Rejected::Audience));
    }

    #[tokio::test]
    async fn only_a_services_scopes_count() {
        let scope = Some("orders:read unheard:of".to_owned());
        let service = Claims { kind: CallerKind::Service, scope: scope.clone(), ..claims() };
        let scopes = verified(&service, Policy::default(), 1).await.unwrap().scopes;
        assert_eq!(scopes, BTreeSet::from([Scope::OrdersRead]));
        let user = Claims { scope, ..claims() };
        assert!(verified(&user, Policy::default(), 1).await.unwrap().scopes.is_empty());
    }

    #[tokio::test]
    async fn a_short_secret_is_refused() {
        assert!(Keys::open(KeySource::Secret(Secret::new("short")), Clock::default()).await.is_err());
    }

    proptest! {
        /// Any text, and a good token with one of its characters changed.
        #[test]
        fn any_token_but_a_good_one_is_refused(text in "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,4}|\\PC{0,60}", at: prop::sample::Index, other in "[A-Za-z0-9_.-]") {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let keys = Keys::open(KeySource::Secret(secret()), Clock::default()).await.unwrap();
                let good = mint(&secret(), &claims()).unwrap();
                let at = at.index(good.len());
                let mut changed = good.clone();
                changed.replace_range(at..=at, &other);
                for token in [text, changed] {
                    let is_good = match Sent::read(&token) {
                        Ok(sent) => verify(&keys, &Policy::default(), DateTime::UNIX_EPOCH, &sent).await.is_ok(),
                        Err(_) => false,
                    };
                    prop_assert!(!is_good || token == good, "{token}");
                }
                Ok(())
            })?;
        }
    }
}
