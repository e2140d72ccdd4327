//! Numbers that look like chance and come again with the same seed.
//!
//! Nothing that has to be secret, or must not be guessed, is drawn here.

/// SplitMix64.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to this, without it; 0 where there is nothing below.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or_default()
    }

    /// One of these numbers, the first and the last too.
    pub fn within(&mut self, first: i64, last: i64) -> i64 {
        let width = last.saturating_sub(first).saturating_add(1);
        let step = self.below(u64::try_from(width).unwrap_or_default());
        first.saturating_add(i64::try_from(step).unwrap_or_default())
    }

    /// So often of a hundred times.
    pub fn percent(&mut self, often: u64) -> bool {
        self.below(100) < often
    }

    /// One of these; `None` of none.
    pub fn among<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let place = self.below(u64::try_from(all.len()).unwrap_or_default());
        all.get(usize::try_from(place).unwrap_or_default())
    }

    /// One of these, each as often as its weight says; `None` of none.
    pub fn weighed<'a, T>(&mut self, all: &'a [(u64, T)]) -> Option<&'a T> {
        let mut left = self.below(all.iter().map(|(weight, _)| weight).sum());
        for (weight, one) in all {
            match left.checked_sub(*weight) {
                None => return Some(one),
                Some(rest) => left = rest,
            }
        }
        None
    }

    /// Puts them into an order of chance.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            let other = self.below(u64::try_from(last).unwrap_or_default().saturating_add(1));
            all.swap(last, usize::try_from(other).unwrap_or_default());
        }
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for part in bytes.chunks_mut(8) {
            for (byte, drawn) in part.iter_mut().zip(self.next().to_le_bytes()) {
                *byte = drawn;
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_and_another_one_does_not() {
        let drawn = |seed| Dice::new(seed).bytes::<16>();
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn weights_say_how_often() {
        let mut dice = Dice::new(1);
        let mut often = [0; 3];
        for _ in 0..10_000 {
            often[*dice.weighed(&[(1, 0_usize), (0, 1), (3, 2)]).unwrap()] += 1;
        }
        assert!((2300..2700).contains(&often[0]) && often[1] == 0, "{often:?}");
    }

    #[test]
    fn shuffling_loses_nothing() {
        let mut all: Vec<u32> = (0..1000).collect();
        Dice::new(1).shuffle(&mut all);
        assert_ne!(all, (0..1000).collect::<Vec<_>>());
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn both_ends_come_up() {
        let mut dice = Dice::new(1);
        let drawn: std::collections::BTreeSet<i64> = (0..100).map(|_| dice.within(-1, 1)).collect();
        assert_eq!(drawn, [-1, 0, 1].into());
    }
}
