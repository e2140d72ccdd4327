//! How long things took: all of them are kept and sorted, so that no percentile is an estimate.

use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What this share of them, in hundredths, took at the most. Zero where there are none.
    pub fn percentile(&self, hundredths: f64) -> Duration {
        let rank = (self.0.len() as f64 * hundredths / 100.0).ceil() as usize;
        self.0.get(rank.max(1) - 1).copied().unwrap_or_default()
    }

    pub fn p50(&self) -> Duration {
        self.percentile(50.0)
    }

    pub fn p99(&self) -> Duration {
        self.percentile(99.0)
    }

    pub fn p999(&self) -> Duration {
        self.percentile(99.9)
    }

    pub fn longest(&self) -> Duration {
        self.percentile(100.0)
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(all: I) -> Self {
        let mut all: Vec<Duration> = all.into_iter().collect();
        all.sort_unstable();
        Self(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_those_that_were_measured() {
        let all: Latencies = (1..=200).rev().map(Duration::from_millis).collect();
        let told = [all.p50(), all.p99(), all.p999(), all.longest()].map(|time| time.as_millis());
        assert_eq!(told, [100, 198, 200, 200]);
        assert_eq!(Latencies::default().p99(), Duration::ZERO);
    }
}
