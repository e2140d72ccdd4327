//! Times, and whether two heaps of them are of the same kind.

#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "statistics of times; no money is near")]

use std::time::Duration;

#[derive(Default)]
pub struct Samples(Vec<u128>);

impl Samples {
    pub fn add(&mut self, time: Duration) {
        self.0.push(time.as_nanos());
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted[sorted.len() / 2] as f64
    }

    /// Both medians, how far apart they are, and how probable it is that as much is chance.
    pub fn beside(&self, other: &Self) -> String {
        let (ours, theirs) = (self.median(), other.median());
        let apart = (ours - theirs).abs() / theirs * 100.0;
        let p = self.probability(other);
        format!(
            "{} each, medians {:.0} µs and {:.0} µs, {apart:.2} % apart, p = {p:.3}",
            self.len(),
            ours / 1e3,
            theirs / 1e3
        )
    }

    /// The two-sided p of Mann and Whitney's test, by the normal distribution. Times in nanoseconds are hardly ever the same.
    fn probability(&self, other: &Self) -> f64 {
        let mut all: Vec<(u128, bool)> = self.0.iter().map(|time| (*time, true)).collect();
        all.extend(other.0.iter().map(|time| (*time, false)));
        all.sort_unstable();
        let ranks: f64 = (1..).zip(&all).filter(|(_, (_, is_ours))| *is_ours).map(|(rank, _)| f64::from(rank)).sum();
        let (ours, theirs) = (self.len() as f64, other.len() as f64);
        let u = ranks - ours * (ours + 1.0) / 2.0;
        let deviation = (ours * theirs * (ours + theirs + 1.0) / 12.0).sqrt();
        let z = (u - ours * theirs / 2.0).abs() / deviation;
        2.0 * beyond(z)
    }
}

/// How much of the normal distribution lies beyond z, to five places (Abramowitz and Stegun, 26.2.17).
fn beyond(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let sum = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let sum = sum.iter().rev().fold(0.0, |so_far, factor| (so_far + factor) * t);
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum
}

#[test]
fn a_heap_is_of_the_same_kind_as_itself_and_not_as_a_later_one() {
    let heap = |from: u128| Samples((0..1000).map(|at| from + at * 7 % 1000).collect());
    assert!(heap(0).probability(&heap(0)) > 0.9);
    assert!(heap(0).probability(&heap(100)) < 0.001);
    assert!((beyond(1.96) - 0.025).abs() < 0.0001);
}
