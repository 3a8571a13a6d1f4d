//! How fast clients are sent away: a rate that keeps to a deadline and to the cluster's budget, and the moments it means.
//!
//! Place in the data path: none; `drain.rs` asks it how many clients go now, and when to ask again. Time and randomness
//! are arguments.

use std::time::{Duration, Instant};

/// A drain that nobody ordered goes no slower than this, whatever time it has: nobody notices so few reconnects a second.
pub(crate) const GENTLE_RATE: f64 = 50.0;
/// Longest and shortest time between two looks at who is due.
const GAP_MAX: Duration = Duration::from_millis(200);
const GAP_MIN: Duration = Duration::from_millis(20);

/// Counts out clients at a rate that may change at any time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pacer {
    /// Clients that may go and have not; below one but for what a late look has saved up.
    credit: f64,
    counted_at: Instant,
}

impl Pacer {
    /// Counts from `now` on; nobody is due yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self { credit: 0.0, counted_at: now }
    }

    /// How many clients of at most `most` go now, at `rate` a second since the last look.
    ///
    /// What a late look saves up is bounded by the longest gap: a process that stood still does not make up for it in
    /// one go.
    pub(crate) fn take(&mut self, now: Instant, rate: f64, most: u64) -> u64 {
        let passed = now.saturating_duration_since(self.counted_at).min(2 * GAP_MAX);
        self.counted_at = now;
        self.credit =
            (self.credit + rate * passed.as_secs_f64()).min(rate * GAP_MAX.as_secs_f64() * 2.0 + 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rates are finite and not negative, so the credit is a small positive number"
        )]
        let due = (self.credit as u64).min(most);
        #[expect(clippy::cast_precision_loss, reason = "what is due in a moment is far below 2^52")]
        let taken = due as f64;
        self.credit = if due == most { self.credit.fract() } else { self.credit - taken };
        due
    }

    /// When to look again: a time for one client, within bounds, and of that a random part between a half and all, so that
    /// nodes which drain together do not beat together. `random` is in 0..1.
    pub(crate) fn gap(rate: f64, random: f64) -> Duration {
        let interval = match rate > 0.0 {
            true => Duration::try_from_secs_f64(1.0 / rate).unwrap_or(GAP_MAX).clamp(GAP_MIN, GAP_MAX),
            false => GAP_MAX,
        };
        interval.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }
}

/// What one of `draining` nodes may send away a second when `max_rate` is for all of them.
pub(crate) fn share(max_rate: f64, draining: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a cluster has far fewer than 2^52 nodes")]
    let draining = draining.max(1) as f64;
    max_rate / draining
}

/// Clients a second that `count` clients need to be gone in `left`; unbounded where no time is left.
pub(crate) fn needed(count: u64, left: Duration) -> f64 {
    if count == 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a node has far fewer than 2^52 connections")]
    let count = count as f64;
    count / left.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn as_many_go_as_the_rate_says_and_no_look_is_too_early() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);

        assert_eq!(pacer.take(start, 100.0, 9), 0);
        assert_eq!(pacer.take(start + 9 * MS, 100.0, 9), 0);
        assert_eq!(pacer.take(start + 11 * MS, 100.0, 9), 1);
        assert_eq!(pacer.take(start + 51 * MS, 100.0, 9), 4);
    }

    #[test]
    fn a_process_that_stood_still_does_not_make_up_for_it_in_one_go() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);

        assert!(pacer.take(start + Duration::from_secs(60), 100.0, 10_000) <= 41);
    }

    #[test]
    fn what_nobody_was_there_for_is_not_saved_up() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);

        for step in 1..100 {
            assert_eq!(pacer.take(start + step * 100 * MS, 100.0, 0), 0);
        }

        assert!(pacer.take(start + 10_000 * MS, 100.0, 1_000) <= 11);
    }

    #[test]
    fn nodes_that_drain_together_share_the_budget() {
        assert_eq!(share(300.0, 3).to_bits(), 100_f64.to_bits());
        assert_eq!(share(300.0, 0).to_bits(), 300_f64.to_bits());
    }

    #[test]
    fn who_has_no_time_left_needs_an_unbounded_rate_and_an_empty_node_none() {
        assert!(needed(1, Duration::ZERO).is_infinite());
        assert_eq!(needed(0, Duration::ZERO).to_bits(), 0_f64.to_bits());
        assert_eq!(needed(30, Duration::from_secs(10)).to_bits(), 3_f64.to_bits());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_second_takes_more_than_a_tenth_over_the_rate(
            rate in 20.0..5_000.0,
            randoms in prop::collection::vec(0.0..1.0_f64, 600),
        ) {
            let start = Instant::now();
            let (mut pacer, mut now, mut taken) = (Pacer::new(start), start, Vec::new());
            for random in randoms {
                taken.push((now, pacer.take(now, rate, u64::MAX)));
                now += Pacer::gap(rate, random);
            }
            for (index, (from, _)) in taken.iter().enumerate() {
                let second = taken[index..].iter().take_while(|(at, _)| *at < *from + Duration::from_secs(1));
                let count: u64 = second.map(|(_, count)| count).sum();
                // What had gathered before its first look belongs to the second before.
                let bound = rate * 1.1 + rate * GAP_MIN.as_secs_f64() + 2.0;
                prop_assert!((count as f64) <= bound, "{count} in a second at {rate}");
            }
        }
    }
}
