//! What is sent to take, hold and give back locks, and what comes back.

use std::{collections::HashMap, ops::RangeInclusive};

use async_graphql::{ID, InputObject, SimpleObject};
use chrono::TimeDelta;
use entity::{fault::Faults, id::PaymentId};

use super::{
    failure::{Failure, part},
    lock::PaymentLock,
    problem::Problem,
    token::TokenText,
};
use crate::{
    error::{Error, Read},
    service::lock::{ExtendLocks, Granted, LockPayments, NamedLock, Token},
};

/// What one lock may be taken for (rule K3).
const TTL_SECONDS: RangeInclusive<i32> = 1..=300;
const USUAL_TTL_SECONDS: i32 = 10;
const ENTRIES: RangeInclusive<usize> = 1..=100;

/// Payments to be locked, all or none.
#[derive(Clone, Debug, InputObject)]
pub struct LockPaymentsInput {
    /// The payments' ids (pay_…), 1 to 100; one that is given twice is locked once.
    payment_ids: Vec<ID>,
    /// After so many seconds the locks run out by themselves: 1 to 300.
    #[graphql(default_with = "Some(USUAL_TTL_SECONDS)")]
    ttl_seconds: Option<i32>,
    /// What for, in words that whoever finds the lock held is told: 1 to 255 characters.
    purpose: Option<String>,
    /// The version of each payment that was read, in the order of paymentIds; another one is STALE_VERSION.
    expected_versions: Option<Vec<i32>>,
}

impl LockPaymentsInput {
    pub fn read(self) -> Read<LockPayments> {
        let mut faults = Faults::default();
        check_count(&mut faults, "paymentIds", self.payment_ids.len());
        let each = self.payment_ids.iter().enumerate();
        let ids: Vec<Option<PaymentId>> =
            each.map(|(index, id)| faults.take(&format!("paymentIds.{index}"), id.parse())).collect();
        let ttl = ttl(&mut faults, self.ttl_seconds);
        if let Some(purpose) = &self.purpose {
            faults.text("purpose", purpose, 1..=255);
        }
        if let Some(versions) = &self.expected_versions {
            check_versions(&mut faults, &self.payment_ids, versions);
        }
        let Self { purpose, expected_versions, .. } = self;
        let payment_ids: Option<Vec<PaymentId>> = ids.into_iter().collect();
        faults.or(payment_ids.map(|payment_ids| LockPayments { payment_ids, ttl, purpose, expected_versions }))
    }
}

/// A lock, by its payment and its token.
#[derive(Clone, Debug, InputObject)]
pub struct PaymentLockTokenInput {
    /// The payment's id (pay_…).
    payment_id: ID,
    /// The token that was given to whoever took the lock.
    token: TokenText,
}

/// Locks to be held on to, all or none.
#[derive(Clone, Debug, InputObject)]
pub struct ExtendPaymentLocksInput {
    /// The locks, 1 to 100.
    locks: Vec<PaymentLockTokenInput>,
    /// From now they last so many seconds at least: 1 to 300.
    #[graphql(default_with = "Some(USUAL_TTL_SECONDS)")]
    ttl_seconds: Option<i32>,
}

impl ExtendPaymentLocksInput {
    pub fn read(self) -> Read<ExtendLocks> {
        let mut faults = Faults::default();
        let locks = named(&mut faults, self.locks);
        let ttl = ttl(&mut faults, self.ttl_seconds);
        faults.or(locks.map(|locks| ExtendLocks { locks, ttl }))
    }
}

/// Locks to be given back.
#[derive(Clone, Debug, InputObject)]
pub struct UnlockPaymentsInput {
    /// The locks, 1 to 100.
    locks: Vec<PaymentLockTokenInput>,
}

impl UnlockPaymentsInput {
    pub fn read(self) -> Read<Vec<NamedLock>> {
        let mut faults = Faults::default();
        let locks = named(&mut faults, self.locks);
        faults.or(locks)
    }
}

fn named(faults: &mut Faults, locks: Vec<PaymentLockTokenInput>) -> Option<Vec<NamedLock>> {
    check_count(faults, "locks", locks.len());
    let mut each = |(index, PaymentLockTokenInput { payment_id, token })| {
        let token = Token::new(token.read(faults, &format!("locks.{index}.token")));
        let payment_id = faults.take(&format!("locks.{index}.paymentId"), payment_id.parse())?;
        Some(NamedLock { payment_id, token })
    };
    let named: Vec<Option<NamedLock>> = locks.into_iter().enumerate().map(&mut each).collect();
    named.into_iter().collect()
}

fn check_count(faults: &mut Faults, path: &str, count: usize) {
    if !ENTRIES.contains(&count) {
        let (least, most) = (ENTRIES.start(), ENTRIES.end());
        faults.add(path, format!("has {count} entries; {least} to {most} are allowed"));
    }
}

/// One version for each payment, and only one for a payment that is given twice.
fn check_versions(faults: &mut Faults, ids: &[ID], versions: &[i32]) {
    if versions.len() != ids.len() {
        let (found, wanted) = (versions.len(), ids.len());
        faults.add("expectedVersions", format!("has {found} entries; one for each of {wanted} paymentIds is needed"));
    }
    // Equal ids are equal texts.
    let mut told: HashMap<&str, i32> = HashMap::new();
    for (index, (id, version)) in ids.iter().zip(versions).enumerate() {
        let before = *told.entry(id.as_str()).or_insert(*version);
        if before != *version {
            let path = format!("expectedVersions.{index}");
            faults.add(&path, format!("is {version}; {before} was given for the same payment"));
        }
    }
}

fn ttl(faults: &mut Faults, seconds: Option<i32>) -> TimeDelta {
    let seconds = seconds.unwrap_or(USUAL_TTL_SECONDS);
    if !TTL_SECONDS.contains(&seconds) {
        let (least, most) = (TTL_SECONDS.start(), TTL_SECONDS.end());
        faults.add("ttlSeconds", format!("is {seconds}; {least} to {most} are allowed"));
    }
    TimeDelta::seconds(seconds.into())
}

/// Locks, or why none.
#[derive(SimpleObject)]
pub struct LockPaymentsPayload {
    /// A lock for each payment, in the order of their ids; null where there is a problem.
    locks: Option<Vec<PaymentLock>>,
    /// Null on success.
    problem: Option<Problem>,
}

impl LockPaymentsPayload {
    pub fn of(given: Result<Vec<Granted>, Error>) -> Result<Self, Failure> {
        let (granted, problem) = part(given)?;
        let locks = granted.map(|granted| granted.into_iter().map(PaymentLock::from).collect());
        Ok(Self { locks, problem: problem.map(Problem::from) })
    }
}

/// Which locks were given back.
#[derive(SimpleObject)]
pub struct UnlockPaymentsPayload {
    /// The payments whose locks were given back. One is missing where the token was not its lock's any more; nothing was done to that lock.
    unlocked_payment_ids: Vec<ID>,
    /// Null on success.
    problem: Option<Problem>,
}

impl UnlockPaymentsPayload {
    pub fn of(given: Result<Vec<PaymentId>, Error>) -> Result<Self, Failure> {
        let (unlocked, problem) = part(given)?;
        let unlocked = unlocked.unwrap_or_default();
        let unlocked_payment_ids = unlocked.into_iter().map(|id| id.to_string().into()).collect();
        Ok(Self { unlocked_payment_ids, problem: problem.map(Problem::from) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn ids(count: usize) -> Vec<ID> {
        (0..count).map(|_| PaymentId::new(DateTime::UNIX_EPOCH).to_string().into()).collect()
    }

    fn input(payment_ids: Vec<ID>) -> LockPaymentsInput {
        LockPaymentsInput { payment_ids, ttl_seconds: None, purpose: None, expected_versions: None }
    }

    fn paths<T>(read: Read<T>) -> Vec<String> {
        read.err().unwrap_or_default().iter().map(|fault| fault.path.join(".")).collect()
    }

    // rule K3
    #[test]
    fn a_lock_lasts_for_1_to_300_seconds_and_for_10_if_nobody_says() {
        let lasting = |seconds| LockPaymentsInput { ttl_seconds: seconds, ..input(ids(1)) }.read();
        assert_eq!(lasting(None).unwrap().ttl, TimeDelta::seconds(10));
        assert_eq!([Some(1), Some(300)].map(|seconds| lasting(seconds).is_ok()), [true, true]);
        for seconds in [0, -1, 301, i32::MAX] {
            assert_eq!(paths(lasting(Some(seconds))), ["ttlSeconds"]);
        }
    }

    #[test]
    fn one_to_a_hundred_payments_are_locked_at_once() {
        assert!(input(ids(100)).read().is_ok());
        assert_eq!(paths(input(ids(101)).read()), ["paymentIds"]);
        assert_eq!(paths(input(vec![]).read()), ["paymentIds"]);
        assert_eq!(paths(UnlockPaymentsInput { locks: vec![] }.read()), ["locks"]);
    }

    #[test]
    fn every_id_that_is_none_is_told() {
        let mixed = vec!["ord_1".into(), ids(1).remove(0), "2".into()];
        assert_eq!(paths(input(mixed).read()), ["paymentIds.0", "paymentIds.2"]);
    }

    // rule K4
    #[test]
    fn a_payment_that_is_given_twice_has_one_version() {
        let id = ids(1).remove(0);
        let with = |versions| {
            let payment_ids = vec![id.clone(), id.clone()];
            LockPaymentsInput { expected_versions: Some(versions), ..input(payment_ids) }.read()
        };
        assert!(with(vec![2, 2]).is_ok());
        assert_eq!(paths(with(vec![2, 3])), ["expectedVersions.1"]);
        assert_eq!(paths(with(vec![2])), ["expectedVersions"]);
    }
}
