//! Who works on a payment, and until when: every step of the lock's protocol (rules K1 to K8), as pure functions.
//!
//! A step takes the row as it is and the database's time, and gives the row as it shall be. Whoever calls holds the row locked in the database until
//! the outcome is written, and knows no other clock. The row outlives each lock: its fencing number only grows.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::entity::prelude::*;
use subtle::ConstantTimeEq;

use crate::id::PaymentId;

/// What a token is stored as: its SHA-256. Its Debug shows nothing, and comparing two takes the same time wherever they differ.
#[derive(Clone, Eq, DeriveValueType)]
pub struct TokenHash(pub Vec<u8>);

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_lock")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub payment_id: PaymentId,
    /// Null while nobody took it, or whoever did gave it back.
    pub token_hash: Option<TokenHash>,
    /// Grows with every acquisition.
    pub fencing_number: i64,
    pub purpose: Option<String>,
    pub acquired_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// Somebody else holds the lock, until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    pub purpose: Option<String>,
    pub expires_at: DateTime<Utc>,
}

/// The token does not stand any more: it ran out, was given back, or the lock was taken by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

impl Model {
    /// The lock of a payment that nobody has worked on yet.
    pub fn new(payment_id: PaymentId) -> Self {
        Self { payment_id, token_hash: None, fencing_number: 1, purpose: None, acquired_at: None, expires_at: None }
    }

    /// Whoever holds it now (rule K2): one that ran out holds nobody off.
    pub fn holder_at(&self, now: DateTime<Utc>) -> Result<(), Busy> {
        match self.expires_at {
            Some(expires_at) if self.token_hash.is_some() && expires_at > now => {
                Err(Busy { purpose: self.purpose.clone(), expires_at })
            }
            _ => Ok(()),
        }
    }

    /// Takes a free lock: a new token and a greater number, so that whatever was begun under an older one can't write any more (rule K5).
    pub fn take(
        &self,
        token: TokenHash,
        purpose: Option<String>,
        now: DateTime<Utc>,
        ttl: TimeDelta,
    ) -> Result<Self, Busy> {
        self.holder_at(now)?;
        Ok(Self {
            payment_id: self.payment_id,
            token_hash: Some(token),
            fencing_number: self.fencing_number + 1,
            purpose,
            acquired_at: Some(now),
            expires_at: Some(now + ttl),
        })
    }

    /// Whether work that began under this token and number may write now (rule K5).
    pub fn check(&self, token: &TokenHash, number: i64, now: DateTime<Utc>) -> Result<(), Lost> {
        let stands = self.belongs_to(token) && self.fencing_number == number && self.holder_at(now).is_err();
        if stands { Ok(()) } else { Err(Lost) }
    }

    /// Whether it was taken with this token last and not given back since, run out or not.
    pub fn belongs_to(&self, token: &TokenHash) -> bool {
        self.token_hash.as_ref() == Some(token)
    }

    /// Holds on to it for so long from now; never for less than it has (rules K5, K7). One that ran out and was taken by nobody is whole again.
    pub fn extend(&self, token: &TokenHash, now: DateTime<Utc>, ttl: TimeDelta) -> Result<Self, Lost> {
        if !self.belongs_to(token) {
            return Err(Lost);
        }
        Ok(Self { expires_at: self.expires_at.max(Some(now + ttl)), ..self.clone() })
    }

    /// Gives it back; `None` if it isn't this token's to give (rule K6).
    pub fn give_back(&self, token: &TokenHash) -> Option<Self> {
        self.belongs_to(token).then(|| self.freed(self.fencing_number))
    }

    /// Takes a free lock and gives it back within one database transaction: what was begun before under a lock that ran out is fenced off all the
    /// same.
    pub fn take_and_give_back(&self, now: DateTime<Utc>) -> Result<Self, Busy> {
        self.holder_at(now)?;
        Ok(self.freed(self.fencing_number + 1))
    }

    fn freed(&self, fencing_number: i64) -> Self {
        Self { fencing_number, ..Self::new(self.payment_id) }
    }
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: TimeDelta = TimeDelta::seconds(10);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn token(name: u8) -> TokenHash {
        TokenHash(vec![name])
    }

    fn free() -> Model {
        Model::new(PaymentId::new(DateTime::UNIX_EPOCH))
    }

    fn taken(by: u8) -> Model {
        free().take(token(by), Some("capture".into()), at(0), TTL).unwrap()
    }

    // rule K2
    #[test]
    fn a_lock_that_is_held_is_not_taken_until_it_runs_out() {
        let busy = taken(1).take(token(2), None, at(9), TTL);
        assert_eq!(busy, Err(Busy { purpose: Some("capture".into()), expires_at: at(10) }));
        assert!(taken(1).take(token(2), None, at(10), TTL).is_ok());
    }

    // rule K5
    #[test]
    fn every_acquisition_raises_the_number() {
        let first = taken(1);
        let second = first.take(token(2), None, at(10), TTL).unwrap();
        let third = second.take_and_give_back(at(20)).unwrap();
        assert_eq!([first.fencing_number, second.fencing_number, third.fencing_number], [2, 3, 4]);
    }

    // rule K5
    #[test]
    fn only_a_token_that_stands_may_write() {
        let lock = taken(1);
        assert_eq!(lock.check(&token(1), 2, at(9)), Ok(()));
        assert_eq!(lock.check(&token(1), 2, at(10)), Err(Lost), "it ran out");
        assert_eq!(lock.check(&token(2), 2, at(9)), Err(Lost), "another token");
        assert_eq!(lock.check(&token(1), 1, at(9)), Err(Lost), "an older number");
        let freed = lock.give_back(&token(1)).unwrap();
        assert_eq!(freed.check(&token(1), 2, at(9)), Err(Lost), "given back");
    }

    // rule K5
    #[test]
    fn a_lock_that_ran_out_is_extended_if_nobody_took_it() {
        let late = taken(1).extend(&token(1), at(60), TTL).unwrap();
        assert_eq!(late.check(&token(1), 2, at(69)), Ok(()));
        let anothers = taken(1).take(token(2), None, at(10), TTL).unwrap();
        assert_eq!(anothers.extend(&token(1), at(60), TTL), Err(Lost));
        let passed_through = taken(1).take_and_give_back(at(10)).unwrap();
        assert_eq!(passed_through.extend(&token(1), at(60), TTL), Err(Lost));
    }

    // rule K7
    #[test]
    fn extending_never_shortens() {
        let short = taken(1).extend(&token(1), at(1), TimeDelta::seconds(1)).unwrap();
        assert_eq!(short.expires_at, Some(at(10)));
    }

    // rule K6
    #[test]
    fn an_old_token_unlocks_nothing() {
        let anothers = taken(1).take(token(2), None, at(10), TTL).unwrap();
        assert_eq!(anothers.give_back(&token(1)), None);
        assert!(anothers.give_back(&token(2)).unwrap().holder_at(at(11)).is_ok());
    }
}
