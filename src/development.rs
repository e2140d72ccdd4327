//! Development mode: without configured keys the server makes itself a secret, and tokens to try (rule A6).
//!
//! The secret is kept in a file of the working directory that only its owner may read, so that tokens outlive a restart and
//! `orderpay token` can mint more. It is of no use anywhere else.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
};

use chrono::{DateTime, Duration, Utc};

use crate::{
    auth::{Claims, Kind, Policy, Scope, mint},
    http::graphiql,
    secret::Secret,
};

const SECRET_FILE: &str = ".orderpay-development-secret";
/// Tokens to try last longer than anybody keeps a development server running.
const TOKEN_TTL: Duration = Duration::days(30);

/// Somebody whom a developer can play.
#[derive(Clone)]
pub struct DemoCaller {
    pub name: &'static str,
    pub description: &'static str,
    pub token: String,
}

impl DemoCaller {
    /// As GraphiQL's page takes it.
    pub fn on_page(&self) -> graphiql::DemoCaller {
        let (name, description) = (self.name.to_owned(), self.description.to_owned());
        graphiql::DemoCaller { name, description, token: self.token.clone() }
    }
}

/// The secret of this working directory; made at first.
pub fn secret() -> io::Result<Secret> {
    let path = Path::new(SECRET_FILE);
    match fs::read_to_string(path) {
        Ok(kept) => return Ok(Secret::new(kept.trim_end())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let secret = Secret::random()?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(mut file) => file.write_all(secret.expose())?,
        // Another server was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Ok(Secret::new(fs::read_to_string(path)?.trim_end()));
        }
        Err(error) => return Err(error),
    }
    Ok(secret)
}

/// The callers of the demo, each with a token.
pub fn callers(
    secret: &Secret,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Result<Vec<DemoCaller>, jsonwebtoken::errors::Error> {
    [
        ("checkout (service)", "creates orders, reports payments; may do everything", "checkout", Kind::Service),
        ("Ada (user)", "a signed-in shopper with orders in every state", "ada", Kind::User),
        ("Grace (user)", "another signed-in shopper, to whom Ada's orders don't exist", "grace", Kind::User),
        ("guest-1 (anonymous)", "a shopper who is not signed in", "guest-1", Kind::Anonymous),
    ]
    .into_iter()
    .map(|(name, description, sub, kind)| {
        let token = mint(secret, &claims(policy, now, kind, sub, None, TOKEN_TTL))?;
        Ok(DemoCaller { name, description, token })
    })
    .collect()
}

/// Claims that this server accepts; a service without named scopes gets them all.
pub fn claims(
    policy: &Policy,
    now: DateTime<Utc>,
    kind: Kind,
    sub: &str,
    scope: Option<&str>,
    ttl: Duration,
) -> Claims {
    let every_scope = || Scope::ALL.map(Scope::name).join(" ");
    Claims {
        sub: sub.to_owned(),
        kind,
        scope: (kind == Kind::Service).then(|| scope.map_or_else(every_scope, str::to_owned)),
        exp: now.timestamp().saturating_add(ttl.num_seconds()),
        nbf: None,
        iat: Some(now.timestamp()),
        iss: policy.issuer.clone(),
        aud: policy.audience.clone().map(Into::into),
    }
}
