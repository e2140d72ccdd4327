//! How much somebody may do in a while: each has an account that fills up again by itself.
//!
//! Goes by the machine's monotonic time and not by the clock: an account must not fill up, or run dry, because somebody set the time. An account
//! is one moment, the one at which it is full again; a full one is not kept. Its memory is bounded: who comes when it is full of others is not
//! counted.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How many accounts are kept.
const MOST_ACCOUNTS: usize = 100_000;
/// How often, at the most, all of them are looked through for those that are full again.
const SWEEP: Duration = Duration::from_secs(1);

/// The accounts of many.
pub struct Meter {
    /// How long it takes until a point is there again.
    per_point: Duration,
    /// How long it takes to fill an empty account.
    whole: Duration,
    most: usize,
    accounts: Mutex<Accounts>,
}

struct Accounts {
    full_at: HashMap<u64, Instant>,
    swept_at: Option<Instant>,
}

impl Meter {
    /// Accounts that take in so many points per `every`, and hold what comes in during `whole`. `None`: no points are no limit.
    pub fn new(points: u32, every: Duration, whole: Duration) -> Option<Self> {
        let per_point = every.checked_div(points)?;
        let accounts = Mutex::new(Accounts { full_at: HashMap::new(), swept_at: None });
        Some(Self { per_point, whole, most: MOST_ACCOUNTS, accounts })
    }

    /// Takes points from an account, or tells after which time there are enough. What costs more than an account can hold is taken from a full
    /// one, which then owes the rest.
    pub fn spend(&self, who: u64, points: u32, now: Instant) -> Result<(), Duration> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = accounts.full_at.get(&who).map_or(now, |full_at| (*full_at).max(now));
        let cost = self.per_point.saturating_mul(points);
        let missing = (full_at - now + cost.min(self.whole)).saturating_sub(self.whole);
        if !missing.is_zero() {
            return Err(missing);
        }
        if accounts.has_room_for(who, self.most, now) {
            accounts.full_at.insert(who, full_at + cost);
        }
        Ok(())
    }
}

impl Accounts {
    fn has_room_for(&mut self, who: u64, most: usize, now: Instant) -> bool {
        let is_full = |accounts: &Self| accounts.full_at.len() >= most && !accounts.full_at.contains_key(&who);
        let was_swept = self.swept_at.is_some_and(|at| now.saturating_duration_since(at) < SWEEP);
        if is_full(self) && !was_swept {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.swept_at = Some(now);
        }
        !is_full(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Two points a second, and twenty in advance.
    fn meter() -> (Meter, Instant) {
        (Meter::new(2, SECOND, SECOND * 10).unwrap(), Instant::now())
    }

    #[test]
    fn an_account_fills_up_again_by_itself() {
        let (meter, now) = meter();
        assert_eq!(meter.spend(1, 20, now), Ok(()));
        assert_eq!(meter.spend(1, 3, now), Err(SECOND * 3 / 2));
        assert_eq!(meter.spend(1, 3, now + SECOND), Err(SECOND / 2));
        assert_eq!(meter.spend(1, 3, now + SECOND * 3 / 2), Ok(()));
        assert_eq!(meter.spend(1, 20, now + SECOND * 100), Ok(()));
        assert_eq!(meter.spend(1, 1, now + SECOND * 100), Err(SECOND / 2));
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let (meter, now) = meter();
        meter.spend(1, 20, now).unwrap();
        for _ in 0..1000 {
            assert_eq!(meter.spend(1, 2, now), Err(SECOND));
        }
        assert_eq!(meter.spend(1, 2, now + SECOND), Ok(()));
    }

    #[test]
    fn what_costs_more_than_an_account_holds_is_owed() {
        let (meter, now) = meter();
        meter.spend(1, 2, now).unwrap();
        assert_eq!(meter.spend(1, 100, now), Err(SECOND));
        assert_eq!(meter.spend(1, 100, now + SECOND), Ok(()));
        assert_eq!(meter.spend(1, 1, now + SECOND), Err(SECOND * 40 + SECOND / 2));
        assert_eq!(meter.spend(1, u32::MAX, now + SECOND), Err(SECOND * 50));
    }

    #[test]
    fn nobody_spends_what_is_anothers() {
        let (meter, now) = meter();
        meter.spend(1, 20, now).unwrap();
        assert_eq!(meter.spend(2, 20, now), Ok(()));
    }

    #[test]
    fn no_points_are_no_limit() {
        assert!(Meter::new(0, SECOND, SECOND).is_none());
    }

    #[test]
    fn there_are_only_so_many_accounts() {
        let (mut meter, now) = meter();
        meter.most = 10;
        for who in 0..100 {
            assert_eq!(meter.spend(who, 20, now), Ok(()));
        }
        assert_eq!(meter.accounts.lock().unwrap().full_at.len(), 10);
        // Those that are there stay counted, and make room once they are full again.
        assert!(meter.spend(0, 1, now).is_err());
        let later = now + SECOND * 11;
        meter.spend(1000, 20, later).unwrap();
        assert_eq!(meter.accounts.lock().unwrap().full_at.len(), 1);
        assert!(meter.spend(1000, 1, later).is_err());
    }
}
