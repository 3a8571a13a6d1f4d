//! Pseudo-random numbers from a seed: mask keys, and the faults of `verify`, which can be run again with the same seed.

use std::io;
use std::time::Duration;

use crate::failure::Failure;

/// SplitMix64: fast, even, and the same on every machine. Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        debug_assert!(end > 0, "there is no number below 0");
        let scaled = (u128::from(self.next()) * end as u128) >> 64;
        usize::try_from(scaled).expect("a number below a usize is one")
    }

    /// True in this share of calls.
    #[expect(clippy::cast_precision_loss, reason = "53 random bits are exact")]
    pub(crate) fn hits(&mut self, percent: f64) -> bool {
        const BITS: u32 = 53;
        ((self.next() >> (64 - BITS)) as f64) < percent / 100.0 * (1_u64 << BITS) as f64
    }

    /// Up to and with `longest`.
    pub(crate) fn duration(&mut self, longest: Duration) -> Duration {
        let nanoseconds = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.next() % nanoseconds.saturating_add(1).max(1))
    }
}

/// A seed that no other run has.
pub(crate) fn seed() -> Result<u64, Failure> {
    getrandom::u64().map_err(|error| Failure::System {
        what: "asking the system for randomness",
        source: io::Error::other(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut one, mut other) = (Random::new(7), Random::new(7));
        assert!((0..100).all(|_| one.next() == other.next()));
    }

    #[test]
    fn a_share_is_hit_as_often_as_it_says() {
        let mut random = Random::new(1);
        let mut hits = |percent| (0..10_000).filter(|_| random.hits(percent)).count();
        assert_eq!((hits(0.0), hits(100.0)), (0, 10_000));
        assert!((400..600).contains(&hits(5.0)));
    }

    #[test]
    fn numbers_stay_in_their_bounds_and_reach_all_of_them() {
        let mut random = Random::new(1);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[random.below(5)] = true;
            assert!(random.duration(Duration::from_nanos(3)) <= Duration::from_nanos(3));
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.duration(Duration::ZERO), Duration::ZERO);
    }
}
