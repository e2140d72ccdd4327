//! Tokens for anonymous users, so that a guest's orders are never guarded by an id alone: issued, revoked, and looked up whether they stand.
//!
//! No token is kept. Each carries a generation, and revoking makes a later one count from now on, at every server: whoever comes with a token is let in
//! once the database has been asked, and where it can't be asked nobody is.

use chrono::{DateTime, TimeDelta, Utc};
use entity::anonymous_token::{Entity, FIRST_GENERATION};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, Statement};

use crate::{
    app::App,
    auth::{AnonymousTokens, Caller, Denied, Rejected, Scope, Signed, Verified},
    db::tried_again,
    error::{Error, Read},
    secret::hex,
};

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// `None`: somebody new, under an id that nobody can guess.
    pub anonymous_user_id: Option<String>,
    pub ttl: TimeDelta,
}

/// A token that was made. It has no Debug: whoever holds the token is its anonymous user.
pub struct Issued {
    pub token: String,
    pub anonymous_user_id: String,
    pub expires_at: DateTime<Utc>,
}

/// Makes a token for an anonymous user. Each call makes another; those before stay good. Needs `tokens:write`.
pub async fn issue_anonymous_token(app: &App, caller: &Caller, new: Read<NewToken>) -> Result<Issued, Error> {
    caller.require(Scope::TokensWrite)?;
    let tokens = switched_on(app)?;
    let NewToken { anonymous_user_id, ttl } = new?;
    let (generation, anonymous_user_id) = match anonymous_user_id {
        Some(id) => (generation(app.db.read(), &id).await?, id),
        None => (FIRST_GENERATION, fresh_id()?),
    };
    let now = app.clock.now();
    // A token tells whole seconds.
    let expires_at = DateTime::from_timestamp((now + ttl).timestamp(), 0).unwrap_or(now);
    let issued = tokens.issue(&anonymous_user_id, generation, now, expires_at);
    let token = issued.map_err(|error| Error::Fault(format!("a token can't be signed: {error}")))?;
    Ok(Issued { token, anonymous_user_id, expires_at })
}

/// Revokes every token that an anonymous user was issued until now; gives when. Needs `tokens:write`.
pub async fn revoke_anonymous_tokens(
    app: &App,
    caller: &Caller,
    anonymous_user_id: Read<String>,
) -> Result<DateTime<Utc>, Error> {
    caller.require(Scope::TokensWrite)?;
    switched_on(app)?;
    let id = anonymous_user_id?;
    tried_again(|| next_generation(app, &id)).await
}

/// Lets in whoever's token stands.
pub async fn admit(app: &App, Signed(verified): Signed) -> Result<Verified, Denied> {
    look_again(app, &verified).await?;
    Ok(verified)
}

/// Whether the token of somebody who was let in was not revoked since. It asks the database of tokens that can be, and of no others.
pub async fn look_again(app: &App, verified: &Verified) -> Result<(), Denied> {
    let Some(of_token) = verified.generation else { return Ok(()) };
    match generation(app.db.read(), &verified.caller.id).await {
        Ok(counts) if counts == of_token => Ok(()),
        Ok(_) => Err(Rejected::Revoked.into()),
        Err(error) => {
            tracing::warn!(%error, "whether a token was revoked can't be looked up");
            Err(Denied::Unavailable)
        }
    }
}

fn switched_on(app: &App) -> Result<&AnonymousTokens, Error> {
    app.anonymous_tokens.as_ref().ok_or(Error::SwitchedOff("Issuing tokens to anonymous users"))
}

/// The generation of tokens that counts now.
async fn generation(db: &impl ConnectionTrait, anonymous_user_id: &str) -> Result<i64, DbErr> {
    let row = Entity::find_by_id(anonymous_user_id).one(db).await?;
    Ok(row.map_or(FIRST_GENERATION, |row| row.generation))
}

async fn next_generation(app: &App, anonymous_user_id: &str) -> Result<DateTime<Utc>, Error> {
    let now = app.clock.now();
    let tx = app.db.begin_write().await?;
    let raise = Statement::from_sql_and_values(
        tx.get_database_backend(),
        "INSERT INTO anonymous_token (anonymous_user_id, generation, revoked_at) VALUES ($1, $2, $3)
        ON CONFLICT (anonymous_user_id)
        DO UPDATE SET generation = anonymous_token.generation + 1, revoked_at = excluded.revoked_at",
        [anonymous_user_id.into(), (FIRST_GENERATION + 1).into(), now.into()],
    );
    tx.execute_raw(raise).await?;
    tx.commit().await?;
    Ok(now)
}

/// 128 random bits: to know the id is not to know a token, and to guess either is out of reach.
fn fresh_id() -> Result<String, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(format!("anon_{}", hex(&random)))
}
