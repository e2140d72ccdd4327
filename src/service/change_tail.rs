//! How far a reader of the outbox has come, when rows do not come in the order of their ids.
//!
//! An id that is skipped may belong to a transaction that is still at work, or to one that was rolled back. It is kept as a gap until no
//! transaction can live that long. Nothing waits behind it meanwhile.

use std::time::{Duration, Instant};

use sea_orm::FromQueryResult;

/// Longer than any of our transactions can live: each of its few statements ends within seconds, and so does each pause between two.
const LONGEST_TRANSACTION: Duration = Duration::from_secs(300);

/// Ids in a row that have not been seen, from the first to the last.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Gap {
    pub first: i64,
    pub last: i64,
    /// When somebody first saw that they were skipped.
    #[sea_orm(skip)]
    since: Since,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Since(Instant);

impl Default for Since {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Gap {
    fn new(first: i64, last: i64, since: Since) -> Option<Self> {
        (first <= last).then_some(Self { first, last, since })
    }
}

/// Where a reader stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The highest id that was seen.
    last: i64,
    /// What is missing below, in ascending order; none touches another one.
    gaps: Vec<Gap>,
}

impl Tail {
    pub fn new(last: i64, gaps: Vec<Gap>) -> Self {
        Self { last, gaps }
    }

    /// The highest id that was seen.
    pub fn last(&self) -> i64 {
        self.last
    }

    /// The ids below that were not seen, and may still come.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Notes that these ids were seen, of which each is higher than the last one or fills a part of a gap.
    pub fn see(&mut self, ids: impl Iterator<Item = i64>) {
        let now = Since::default();
        for id in ids {
            if id > self.last {
                self.gaps.extend(Gap::new(self.last + 1, id - 1, now));
                self.last = id;
            } else {
                self.fill(id);
            }
        }
    }

    fn fill(&mut self, id: i64) {
        let at = self.gaps.partition_point(|gap| gap.last < id);
        if let Some(gap) = self.gaps.get(at).filter(|gap| gap.first <= id).cloned() {
            let rest = [Gap::new(gap.first, id - 1, gap.since), Gap::new(id + 1, gap.last, gap.since)];
            self.gaps.splice(at..=at, rest.into_iter().flatten());
        }
    }

    /// Gives up what was missing for longer than a transaction can live when a read began that found nothing of it.
    pub fn forget(&mut self, read_began: Instant) {
        self.gaps.retain(|gap| read_began.saturating_duration_since(gap.since.0) <= LONGEST_TRANSACTION);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn gaps(tail: &Tail) -> Vec<(i64, i64)> {
        tail.gaps().iter().map(|gap| (gap.first, gap.last)).collect()
    }

    #[test]
    fn what_is_skipped_is_a_gap_until_it_comes() {
        let mut tail = Tail::new(10, vec![]);
        tail.see([11, 15].into_iter());
        assert_eq!((tail.last(), gaps(&tail)), (15, vec![(12, 14)]));
        tail.see([13].into_iter());
        assert_eq!(gaps(&tail), [(12, 12), (14, 14)]);
        tail.see([12, 14, 16].into_iter());
        assert_eq!((tail.last(), gaps(&tail)), (16, vec![]));
    }

    #[test]
    fn a_gap_is_given_up_when_no_transaction_can_live_that_long() {
        let mut tail = Tail::new(0, vec![]);
        tail.see([2].into_iter());
        let seen = tail.gaps()[0].since.0;
        tail.forget(seen + LONGEST_TRANSACTION);
        assert_eq!(gaps(&tail), [(1, 1)]);
        tail.forget(seen + LONGEST_TRANSACTION + Duration::from_millis(1));
        assert_eq!(gaps(&tail), []);
    }

    proptest! {
        /// Whatever the order in which rows are committed, and wherever somebody reads between: each is read once.
        #[test]
        fn every_row_is_read_once(order in Just((1..=40_i64).collect::<Vec<_>>()).prop_shuffle(), step in 1..10_usize) {
            let (mut tail, mut committed, mut read) = (Tail::new(0, vec![]), BTreeSet::new(), vec![]);
            for ids in order.chunks(step) {
                committed.extend(ids);
                let is_unseen = |id: &i64| *id > tail.last() || tail.gaps().iter().any(|gap| (gap.first..=gap.last).contains(id));
                let unseen: Vec<i64> = committed.iter().copied().filter(is_unseen).collect();
                tail.see(unseen.iter().copied());
                read.extend(unseen);
            }
            read.sort_unstable();
            prop_assert_eq!(read, (1..=40).collect::<Vec<_>>());
            prop_assert!(tail.gaps().is_empty());
        }
    }
}
