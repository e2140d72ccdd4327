//! When a provider is asked again about what it has not answered (rule R1).

use chrono::TimeDelta;

/// Pauses, one after the other: before the first check, the second, and so on. The last one repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    first: TimeDelta,
    later: Vec<TimeDelta>,
}

impl Schedule {
    /// At least one pause.
    pub fn new(pauses: Vec<TimeDelta>) -> Option<Self> {
        let mut pauses = pauses.into_iter();
        Some(Self { first: pauses.next()?, later: pauses.collect() })
    }

    /// Rule R1's own: 30 s, 2 min, 10 min, 1 h, then daily.
    pub fn usual() -> Self {
        let later = [TimeDelta::minutes(2), TimeDelta::minutes(10), TimeDelta::hours(1), TimeDelta::days(1)];
        Self { first: TimeDelta::seconds(30), later: later.to_vec() }
    }

    /// How old something is when it is checked first.
    pub fn first(&self) -> TimeDelta {
        self.first
    }

    /// How long after so many checks the next one comes.
    pub fn after(&self, checks: i32) -> TimeDelta {
        let Some(later) = usize::try_from(checks).ok().and_then(|checks| checks.checked_sub(1)) else {
            return self.first;
        };
        self.later.get(later).or(self.later.last()).copied().unwrap_or(self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // rule R1
    #[test]
    fn the_last_pause_repeats() {
        let seconds: Vec<i64> = (0..7).map(|checks| Schedule::usual().after(checks).num_seconds()).collect();
        assert_eq!(seconds, [30, 120, 600, 3600, 86400, 86400, 86400]);
    }

    #[test]
    fn one_pause_is_a_schedule_and_none_is_none() {
        let schedule = Schedule::new(vec![TimeDelta::seconds(5)]).unwrap();
        assert_eq!((schedule.after(0), schedule.after(7)), (TimeDelta::seconds(5), TimeDelta::seconds(5)));
        assert_eq!(Schedule::new(vec![]), None);
    }
}
