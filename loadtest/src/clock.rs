//! The one clock of a run: nanoseconds of `CLOCK_MONOTONIC` as a plain number.
//!
//! Place in the data path: the engine reads it once per batch of socket events and hands the value to the scenario, so that
//! schedules and latencies are arithmetic on arguments. A plain number, not `Instant`, because the engine's timer
//! descriptor wants the absolute time of the same clock.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds on the monotonic clock.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Nanos(pub(crate) u64);

impl Nanos {
    /// The time now.
    pub(crate) fn now() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        Self(time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs())
    }

    /// Nanoseconds from `earlier` until this time; 0 if it is not later.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The same moment as the kernel's timers take it.
    pub(crate) fn to_timespec(self) -> Timespec {
        Timespec {
            tv_sec: (self.0 / 1_000_000_000).cast_signed(),
            tv_nsec: (self.0 % 1_000_000_000).cast_signed(),
        }
    }
}

impl std::ops::Add<Duration> for Nanos {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_does_not_go_back() {
        let first = Nanos::now();
        assert!(Nanos::now() >= first);
    }

    #[test]
    fn a_span_that_overflows_means_never() {
        assert_eq!(Nanos(5) + Duration::MAX, Nanos(u64::MAX));
        assert_eq!(Nanos(5).since(Nanos(9)), 0);
    }
}
