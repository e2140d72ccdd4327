//! Development mode: without configured keys the server makes itself a secret, and tokens to try (rule A6).
//!
//! The secret is kept in a file of the working directory that only its owner may read, so that tokens outlive a restart and
//! `orderpay token` can mint more. It is of no use anywhere else.

pub mod demo;

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

use chrono::{DateTime, Duration, Utc};

use crate::{
    auth::{CallerKind, Claims, Policy, Scope, mint},
    http::graphiql::DemoCaller,
    secret::Secret,
};

const SECRET_FILE: &str = ".orderpay-development-secret";
/// Tokens to try last longer than anybody keeps a development server running.
const TOKEN_TTL: Duration = Duration::days(30);

/// The secret of this working directory; made at first.
pub fn secret() -> io::Result<Secret> {
    secret_in(Path::new(SECRET_FILE))
}

fn secret_in(file: &Path) -> io::Result<Secret> {
    match fs::read_to_string(file) {
        Ok(kept) if !kept.is_empty() => return Ok(Secret::new(kept.trim_end())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // An empty one is still being written, or whoever made it died.
        Ok(_) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(file)?;
    // Of servers that start at once, the first one writes.
    file.lock()?;
    let mut kept = String::new();
    file.read_to_string(&mut kept)?;
    if !kept.is_empty() {
        return Ok(Secret::new(kept.trim_end()));
    }
    let secret = Secret::random()?;
    file.write_all(secret.expose())?;
    tracing::warn!(
        "made {SECRET_FILE} in this directory: tokens signed with it are good at a server started here, and nowhere else"
    );
    Ok(secret)
}

/// The callers of the demo, each with a token.
pub fn callers(
    secret: &Secret,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Result<Vec<DemoCaller>, jsonwebtoken::errors::Error> {
    [
        ("checkout (service)", "creates orders, reports payments; may do everything", "checkout", CallerKind::Service),
        ("Ada (user)", "a signed-in shopper with orders in every state", "ada", CallerKind::User),
        ("Grace (user)", "another signed-in shopper, to whom Ada's orders don't exist", "grace", CallerKind::User),
        ("guest-1 (anonymous)", "a shopper who is not signed in", "guest-1", CallerKind::Anonymous),
    ]
    .into_iter()
    .map(|(name, description, sub, kind)| {
        let token = mint(secret, &claims(policy, now, kind, sub, None, TOKEN_TTL))?;
        Ok(DemoCaller { name: name.to_owned(), description: description.to_owned(), token })
    })
    .collect()
}

/// Claims that this server accepts; a service without named scopes gets them all.
pub fn claims(
    policy: &Policy,
    now: DateTime<Utc>,
    kind: CallerKind,
    sub: &str,
    scopes: Option<&BTreeSet<Scope>>,
    ttl: Duration,
) -> Claims {
    let scopes: Vec<&str> = match scopes {
        Some(scopes) => scopes.iter().map(|scope| scope.name()).collect(),
        None => Scope::ALL.iter().map(|scope| scope.name()).collect(),
    };
    Claims {
        sub: sub.to_owned(),
        kind,
        scope: (kind == CallerKind::Service).then(|| scopes.join(" ")),
        exp: now.timestamp().saturating_add(ttl.num_seconds()),
        nbf: None,
        iat: Some(now.timestamp()),
        iss: policy.issuer.clone(),
        aud: policy.audience.clone().map(Into::into),
    }
}
