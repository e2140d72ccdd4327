//! Who is let in: the issuers with their keys and, in development, whom a developer can play.

use super::{ServerError, failed};
use crate::{
    auth::{AnonymousTokens, CallerKind, Issuer, Issuers, KeySource, Keys},
    clock::Clock,
    config::{Config, TrustedIssuer},
    development,
    http::graphiql::DemoCaller,
    secret::Secret,
};

/// What is known of callers before one comes.
pub struct Door {
    pub issuers: Issuers,
    pub anonymous_tokens: Option<AnonymousTokens>,
    /// None outside development.
    pub callers: Vec<DemoCaller>,
}

/// Reads the keys of every issuer; where one has none that can be used, it is named.
pub async fn open(config: &Config, clock: &Clock) -> Result<Door, ServerError> {
    let development = match config.is_development() {
        true => Some(development::secret().map_err(failed("the development secret can't be kept"))?),
        false => None,
    };
    let callers = match &development {
        Some(secret) => development::callers(secret, &config.tokens, clock.now()),
        None => Ok(vec![]),
    };
    let mut trusted = vec![];
    for (place, issuer) in configured(config, development.as_ref()) {
        let TrustedIssuer { policy, keys, kinds } = issuer;
        let keys = Keys::open(keys, clock.clone()).await.map_err(failed(&place))?;
        trusted.push(Issuer { keys, policy, kinds });
    }
    let secret = config.more_tokens.anonymous_secret.as_ref().or(development.as_ref());
    let anonymous_tokens = secret.map(AnonymousTokens::new);
    let issuers = Issuers::new(trusted, anonymous_tokens.clone());
    Ok(Door { issuers, anonymous_tokens, callers: callers.map_err(failed("no token can be minted"))? })
}

/// Each issuer, with the words for its having no keys.
fn configured(config: &Config, development: Option<&Secret>) -> Vec<(String, TrustedIssuer)> {
    let one = config.keys.clone().or_else(|| development.cloned().map(KeySource::Secret)).map(|keys| {
        let place = match &keys {
            KeySource::Secret(_) => "ORDERPAY_JWT_SECRET can't be used".to_owned(),
            KeySource::File(_) | KeySource::Url(_) => format!("ORDERPAY_JWT_JWKS, {}, can't be used", shown(&keys)),
        };
        (place, TrustedIssuer { policy: config.tokens.clone(), keys, kinds: CallerKind::ALL.into() })
    });
    let more = config.more_tokens.issuers.iter().enumerate().map(|(index, issuer)| {
        let (entry, keys) = (index + 1, shown(&issuer.keys));
        (format!("ORDERPAY_JWT_ISSUERS, entry {entry}: its keys, {keys}, can't be used"), issuer.clone())
    });
    one.into_iter().chain(more).collect()
}

fn shown(keys: &KeySource) -> String {
    match keys {
        KeySource::Secret(_) => "a secret".to_owned(),
        KeySource::File(file) => file.display().to_string(),
        KeySource::Url(url) => url.to_string(),
    }
}
