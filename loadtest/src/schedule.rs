//! Open loop: when each message is due, whatever the server does meanwhile.
//!
//! Place in the data path: the scenarios ask how many messages are due and count a message's latency from the moment it was
//! *due*. A server that stalls for a second then shows a second of latency on everything that should have been sent during it,
//! where a closed loop would have recorded one slow message and waited politely.

use crate::clock::Nanos;

/// An even rate from a starting time on. Message `k` is due `k / rate` seconds after the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    started_at: Nanos,
    per_second: u64,
}

impl Schedule {
    /// `per_second` must not be 0.
    pub(crate) fn new(started_at: Nanos, per_second: u64) -> Self {
        debug_assert!(per_second > 0, "the command line refuses a rate of 0");
        Self { started_at, per_second }
    }

    /// When message `index` (from 0) is due.
    pub(crate) fn due_at(&self, index: u64) -> Nanos {
        let after = u128::from(index) * 1_000_000_000 / u128::from(self.per_second);
        Nanos(self.started_at.0.saturating_add(u64::try_from(after).unwrap_or(u64::MAX)))
    }

    /// How many messages are due by `now`, that is the index of the first that is not.
    pub(crate) fn due_count(&self, now: Nanos) -> u64 {
        if now < self.started_at {
            return 0;
        }
        // The largest k with k * 1e9 / rate (rounded down) <= elapsed, plus one.
        let elapsed = u128::from(now.since(self.started_at));
        let count = ((elapsed + 1) * u128::from(self.per_second)).div_ceil(1_000_000_000);
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn messages_are_spread_evenly() {
        let schedule = Schedule::new(Nanos(1_000), 4);
        let due: Vec<u64> = (0..4).map(|k| schedule.due_at(k).0).collect();
        assert_eq!(due, [1_000, 250_001_000, 500_001_000, 750_001_000]);
    }

    #[test]
    fn the_first_message_is_due_at_once_and_nothing_before() {
        let schedule = Schedule::new(Nanos(1_000), 4);
        assert_eq!(schedule.due_count(Nanos(999)), 0);
        assert_eq!(schedule.due_count(Nanos(1_000)), 1);
    }

    #[test]
    fn a_message_is_counted_exactly_when_it_is_due_also_at_odd_rates() {
        for rate in [1, 3, 7, 1_000, 30_011, 1_000_000_007] {
            let schedule = Schedule::new(Nanos(77), rate);
            for index in [0, 1, 2, 6, 7, 1_000, 123_457] {
                let due = schedule.due_at(index);
                assert!(schedule.due_count(due) > index, "rate {rate}, message {index}");
                if index > 0 {
                    assert!(schedule.due_count(Nanos(due.0 - 1)) <= index, "rate {rate}, message {index}");
                }
            }
        }
    }

    #[test]
    fn a_stall_makes_everything_in_it_due() {
        let schedule = Schedule::new(Nanos(0), 1_000);
        assert_eq!(schedule.due_count(Nanos(0) + Duration::from_secs(2)), 2_001);
    }
}
