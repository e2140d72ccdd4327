//! One passing of a crash point, as `src/faults.rs` names it.

use std::{collections::BTreeMap, fmt};

/// A server that is told of it dies there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// `before run_transaction`, `after the commit at src/service/work.rs:168:13`
    pub point: String,
    /// The first time that the process passes it, or the second, …
    pub time: usize,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.point, self.time)
    }
}

/// The moments that a log tells of, without its first `skipped` lines.
pub fn moments(log: &str, skipped: usize) -> Vec<Moment> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    let mut moments = vec![];
    for (at, point) in log.lines().enumerate() {
        let time = times.entry(point).or_default();
        *time += 1;
        if at >= skipped {
            moments.push(Moment { point: point.to_owned(), time: *time });
        }
    }
    moments
}
