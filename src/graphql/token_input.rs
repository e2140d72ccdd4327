//! What is sent to issue and to revoke anonymous users' tokens, and what comes back.

use std::ops::RangeInclusive;

use async_graphql::{ID, InputObject, SimpleObject};
use chrono::{DateTime, TimeDelta, Utc};
use entity::fault::Faults;

use super::{
    failure::{Failure, part},
    problem::Problem,
    scalar::Instant,
};
use crate::{
    error::{Error, Read},
    service::anonymous_token::{Issued, NewToken},
};

/// From a minute to a year.
const TTL_SECONDS: RangeInclusive<i32> = 60..=365 * 24 * 60 * 60;
/// Thirty days: about as long as a shop keeps a cart.
const USUAL_TTL_SECONDS: i32 = 30 * 24 * 60 * 60;

/// A token to be issued to an anonymous user.
#[derive(Clone, Debug, InputObject)]
pub struct IssueAnonymousTokenInput {
    /// The anonymous user that it will speak for, 1 to 255 characters; without one, somebody new, whose id nobody can guess.
    anonymous_user_id: Option<ID>,
    /// For so many seconds the token is good: 60 to 31536000 (365 days).
    #[graphql(default_with = "Some(USUAL_TTL_SECONDS)")]
    ttl_seconds: Option<i32>,
}

impl IssueAnonymousTokenInput {
    pub fn read(self) -> Read<NewToken> {
        let mut faults = Faults::default();
        let anonymous_user_id = self.anonymous_user_id.map(|id| subject(&mut faults, id));
        let seconds = self.ttl_seconds.unwrap_or(USUAL_TTL_SECONDS);
        if !TTL_SECONDS.contains(&seconds) {
            let (least, most) = (TTL_SECONDS.start(), TTL_SECONDS.end());
            faults.add("ttlSeconds", format!("is {seconds}; {least} to {most} are allowed"));
        }
        faults.or(Some(NewToken { anonymous_user_id, ttl: TimeDelta::seconds(seconds.into()) }))
    }
}

/// Whose tokens are to be revoked.
#[derive(Clone, Debug, InputObject)]
pub struct RevokeAnonymousTokensInput {
    /// The anonymous user, 1 to 255 characters.
    anonymous_user_id: ID,
}

impl RevokeAnonymousTokensInput {
    pub fn read(self) -> Read<String> {
        let mut faults = Faults::default();
        let id = subject(&mut faults, self.anonymous_user_id);
        faults.or(Some(id))
    }
}

/// An id that may stand in a token, or a fault.
fn subject(faults: &mut Faults, ID(id): ID) -> String {
    faults.text("anonymousUserId", &id, 1..=255);
    if id.contains(|character: char| character.is_control() && character != '\0') {
        faults.add("anonymousUserId", "holds a control character");
    }
    id
}

/// A token, or why none.
#[derive(SimpleObject)]
pub struct IssueAnonymousTokenPayload {
    /// What the anonymous user sends as `Authorization: Bearer …`. It is shown here and nowhere else; null where there is a problem.
    token: Option<String>,
    /// Whom it speaks for: the owner that their orders are made for.
    anonymous_user_id: Option<ID>,
    /// From then on it is good for nothing.
    expires_at: Option<Instant>,
    /// Null on success.
    problem: Option<Problem>,
}

impl IssueAnonymousTokenPayload {
    pub fn of(given: Result<Issued, Error>) -> Result<Self, Failure> {
        let (issued, problem) = part(given)?;
        let problem = problem.map(Problem::from);
        Ok(match issued {
            Some(Issued { token, anonymous_user_id, expires_at }) => Self {
                token: Some(token),
                anonymous_user_id: Some(anonymous_user_id.into()),
                expires_at: Some(Instant::At(expires_at)),
                problem,
            },
            None => Self { token: None, anonymous_user_id: None, expires_at: None, problem },
        })
    }
}

/// When tokens were revoked, or why none.
#[derive(SimpleObject)]
pub struct RevokeAnonymousTokensPayload {
    /// What was issued to the anonymous user until then is good for nothing; null where there is a problem.
    revoked_at: Option<Instant>,
    /// Null on success.
    problem: Option<Problem>,
}

impl RevokeAnonymousTokensPayload {
    pub fn of(given: Result<DateTime<Utc>, Error>) -> Result<Self, Failure> {
        let (revoked_at, problem) = part(given)?;
        Ok(Self { revoked_at: revoked_at.map(Instant::At), problem: problem.map(Problem::from) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths<T>(read: Read<T>) -> Vec<String> {
        read.err().unwrap_or_default().iter().map(|fault| fault.path.join(".")).collect()
    }

    fn lasting(ttl_seconds: Option<i32>) -> Read<NewToken> {
        IssueAnonymousTokenInput { anonymous_user_id: None, ttl_seconds }.read()
    }

    #[test]
    fn a_token_lasts_for_a_minute_to_a_year_and_for_thirty_days_if_nobody_says() {
        assert_eq!(lasting(None).unwrap().ttl, TimeDelta::days(30));
        assert_eq!([Some(60), Some(31_536_000)].map(|seconds| lasting(seconds).is_ok()), [true, true]);
        for seconds in [59, 0, -1, 31_536_001, i32::MAX] {
            assert_eq!(paths(lasting(Some(seconds))), ["ttlSeconds"]);
        }
    }

    #[test]
    fn a_token_is_for_an_id_that_a_token_can_have() {
        let told = |id: &str| paths(RevokeAnonymousTokensInput { anonymous_user_id: id.into() }.read());
        assert_eq!([told("g"), told(&"é".repeat(255))], [[""; 0]; 2]);
        for id in ["", &"x".repeat(256), "a\0", "a\nb", "\u{7f}", "\u{85}"] {
            assert_eq!(told(id), ["anonymousUserId"], "{id:?}");
        }
    }
}
