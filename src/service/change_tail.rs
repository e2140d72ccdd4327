//! How far a reader of the outbox has come, when rows do not come in the order of their ids.
//!
//! An id that is skipped may belong to a transaction that is still at work, or to one that was rolled back. It is kept as a gap until no
//! transaction can live that long. Nothing waits behind it meanwhile.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use entity::outbox::Model;
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
    /// The change with the highest id that was seen. While its row is there, no id up to its own is given to another change.
    newest: Option<Model>,
    /// What is missing below, in ascending order; none touches another one.
    gaps: Vec<Gap>,
}

impl Tail {
    pub fn new(newest: Option<Model>, gaps: Vec<Gap>) -> Self {
        Self { newest, gaps }
    }

    /// The highest id that was seen.
    pub fn last(&self) -> i64 {
        self.newest.as_ref().map_or(0, |newest| newest.id)
    }

    /// The ids below that were not seen, and may still come.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Notes that these changes were seen, of which each has a higher id than the last one or fills a part of a gap.
    pub fn see(&mut self, changes: &[Model]) {
        let now = Since::default();
        for change in changes {
            if change.id > self.last() {
                self.gaps.extend(Gap::new(self.last() + 1, change.id - 1, now));
                self.newest = Some(change.clone());
            } else {
                self.fill(change.id);
            }
        }
    }

    /// Whether the newest change that was seen is missing from these rows, which are all from it on and in the gaps: the first so many, by their ids.
    pub fn is_cut(&self, rows: &[Model], most: usize) -> bool {
        let came_to_it = rows.len() < most || rows.last().is_some_and(|row| row.id >= self.last());
        came_to_it && self.newest.as_ref().is_some_and(|newest| !rows.contains(newest))
    }

    /// Whether the newest change that was seen was made before this.
    pub fn is_older_than(&self, at: DateTime<Utc>) -> bool {
        self.newest.as_ref().is_some_and(|newest| newest.created_at < at)
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

    use entity::{id::OrderId, outbox::Topic};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn row(id: i64) -> Model {
        let subject_id = Uuid::from_u128(7);
        let order_id = OrderId::from(subject_id);
        Model { id, topic: Topic::Order, order_id, subject_id, created_at: DateTime::UNIX_EPOCH }
    }

    fn rows<const N: usize>(ids: [i64; N]) -> [Model; N] {
        ids.map(row)
    }

    fn gaps(tail: &Tail) -> Vec<(i64, i64)> {
        tail.gaps().iter().map(|gap| (gap.first, gap.last)).collect()
    }

    #[test]
    fn what_is_skipped_is_a_gap_until_it_comes() {
        let mut tail = Tail::new(Some(row(10)), vec![]);
        tail.see(&rows([11, 15]));
        assert_eq!((tail.last(), gaps(&tail)), (15, vec![(12, 14)]));
        tail.see(&rows([13]));
        assert_eq!(gaps(&tail), [(12, 12), (14, 14)]);
        tail.see(&rows([12, 14, 16]));
        assert_eq!((tail.last(), gaps(&tail)), (16, vec![]));
    }

    #[test]
    fn a_gap_is_given_up_when_no_transaction_can_live_that_long() {
        let mut tail = Tail::new(None, vec![]);
        tail.see(&rows([2]));
        let seen = tail.gaps()[0].since.0;
        tail.forget(seen + LONGEST_TRANSACTION);
        assert_eq!(gaps(&tail), [(1, 1)]);
        tail.forget(seen + LONGEST_TRANSACTION + Duration::from_millis(1));
        assert_eq!(gaps(&tail), []);
    }

    #[test]
    fn the_newest_change_has_to_stay_as_it_was() {
        let mut tail = Tail::new(None, vec![]);
        assert!(!tail.is_cut(&[], 3), "nothing was seen");
        tail.see(&rows([2, 4]));
        let another = Model { subject_id: Uuid::from_u128(8), ..row(4) };
        for (found, is_cut) in [
            (vec![], true),
            (vec![row(5)], true),
            (vec![another], true),
            (vec![row(4)], false),
            (vec![row(3), row(4), row(5)], false),
            // It is not known yet.
            (vec![row(1), row(2), row(3)], false),
            (vec![row(1), row(3), row(5)], true),
        ] {
            assert_eq!(tail.is_cut(&found, 3), is_cut, "{found:?}");
        }
    }

    proptest! {
        /// Whatever the order in which rows are committed, and wherever somebody reads between: each is read once.
        #[test]
        fn every_row_is_read_once(order in Just((1..=40_i64).collect::<Vec<_>>()).prop_shuffle(), step in 1..10_usize) {
            let (mut tail, mut committed, mut read) = (Tail::new(None, vec![]), BTreeSet::new(), vec![]);
            for ids in order.chunks(step) {
                committed.extend(ids);
                let is_unseen = |id: &i64| *id > tail.last() || tail.gaps().iter().any(|gap| (gap.first..=gap.last).contains(id));
                let unseen: Vec<i64> = committed.iter().copied().filter(is_unseen).collect();
                tail.see(&unseen.iter().copied().map(row).collect::<Vec<_>>());
                read.extend(unseen);
            }
            read.sort_unstable();
            prop_assert_eq!(read, (1..=40).collect::<Vec<_>>());
            prop_assert!(tail.gaps().is_empty());
        }
    }
}
