//! A token bucket as one number: when it will be full again (GCRA).
//!
//! Place in the data path: the memory implementation is made of these; a node that cannot ask the others has one for
//! its share.

use std::num::NonZeroU32;
use std::time::Duration;

use tidegate_protocol::time::Millis;

use super::{Granted, Rate};

/// Full at first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    /// On the clock that `now` is read from.
    full_at: Duration,
}

impl Bucket {
    pub(crate) fn try_take(&mut self, rate: Rate, amount: NonZeroU32, now: Millis) -> Granted {
        let now = Duration::from_millis(now.count());
        let empty = now.saturating_add(rate.interval.saturating_mul(rate.burst.get()));
        // One that was filled more slowly until now may be emptier than an empty one fills from now on.
        let full_at = self.full_at.clamp(now, empty);
        let taken = full_at.saturating_add(rate.interval.saturating_mul(amount.get()));
        if taken > empty {
            return Granted::Later { after: taken - empty };
        }
        self.full_at = taken;
        Granted::Now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_there_at_once_and_comes_back_at_the_rate() {
        let (mut bucket, rate) = (Bucket::default(), rate(100, 3));

        assert_eq!(bucket.try_take(rate, number(3), at(1_000)), Granted::Now);
        let after = Duration::from_millis(100);
        assert_eq!(bucket.try_take(rate, number(1), at(1_000)), Granted::Later { after });
        assert_eq!(bucket.try_take(rate, number(1), at(1_099)), Granted::Later { after: after / 100 });
        assert_eq!(bucket.try_take(rate, number(1), at(1_100)), Granted::Now);
        assert_eq!(bucket.try_take(rate, number(3), at(9_000)), Granted::Now, "it fills up, and no further");
        assert_eq!(bucket.try_take(rate, number(1), at(9_000)), Granted::Later { after });
    }

    #[test]
    fn more_than_the_burst_is_never_there() {
        let (mut bucket, rate) = (Bucket::default(), rate(100, 3));

        for now in [0, 1_000_000] {
            let after = Duration::from_millis(100);
            assert_eq!(bucket.try_take(rate, number(4), at(now)), Granted::Later { after });
        }
        assert_eq!(bucket.try_take(rate, number(3), at(1_000_000)), Granted::Now, "a refusal takes nothing");
    }

    #[test]
    fn a_rate_that_rises_is_not_held_back_by_the_one_before() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.try_take(rate(60_000, 10), number(10), at(0)), Granted::Now);

        let after = Duration::from_millis(1);
        assert_eq!(bucket.try_take(rate(1, 1), number(1), at(0)), Granted::Later { after });
        assert_eq!(bucket.try_take(rate(1, 1), number(1), at(1)), Granted::Later { after });
    }

    fn rate(interval_ms: u64, burst: u32) -> Rate {
        Rate { interval: Duration::from_millis(interval_ms), burst: number(burst) }
    }

    fn number(value: u32) -> NonZeroU32 {
        NonZeroU32::new(value).unwrap()
    }

    fn at(ms: u64) -> Millis {
        Millis::new(ms)
    }
}
