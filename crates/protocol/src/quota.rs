//! Quota of one sender: a GCRA limiter that takes time as an argument.
//!
//! Place in the data path: asked before a client's message becomes an effect. The [`Rate`] is shared by all senders of a
//! kind, so that what each of them holds is eight bytes.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::time::Millis;

#[cfg(test)]
mod tests;

/// How fast a sender may go on, and how much it may send at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// Time that one unit (a message, a byte) takes at this rate.
    interval_ns: u64,
    /// How far a sender may be ahead of its schedule.
    burst_ns: u64,
}

/// Where one sender is on its schedule. Never allocates.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quota {
    /// When the next unit would be exactly on schedule (GCRA's theoretical arrival time).
    due_at_ns: u64,
}

/// What the caller must do with what it asked about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Verdict {
    /// Let it pass.
    Admit,
    /// Refuse it, and say when to come back. Rounded up to whole milliseconds, so never zero.
    Defer {
        /// Time until the same will be admitted.
        retry_after: Duration,
    },
}

impl Rate {
    /// `per_second` units a second in the long run, `burst` of them at once.
    ///
    /// Rates above one unit a nanosecond do not exist: the type of `per_second` ends at about four.
    pub const fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let interval_ns = NS_PER_SECOND / per_second.get() as u64;
        Self { interval_ns, burst_ns: interval_ns * (burst.get() as u64 - 1) }
    }
}

impl Quota {
    /// A sender that has sent nothing yet.
    pub const fn new() -> Self {
        Self { due_at_ns: 0 }
    }

    /// Takes one unit.
    pub fn try_take(&mut self, rate: &Rate, now: Millis) -> Verdict {
        self.try_take_many(rate, 1, now)
    }

    /// Takes `units` at once.
    ///
    /// What is asked for may be more than a burst: it is admitted when one unit would be, and its sender then waits
    /// until it is back on schedule. So a large message is slow, not impossible.
    pub fn try_take_many(&mut self, rate: &Rate, units: u32, now: Millis) -> Verdict {
        let now_ns = now.count().saturating_mul(NS_PER_MS);
        let due_at_ns = self.due_at_ns.max(now_ns);
        let ahead_ns = due_at_ns - now_ns;
        if ahead_ns > rate.burst_ns {
            let wait_ms = (ahead_ns - rate.burst_ns).div_ceil(NS_PER_MS);
            return Verdict::Defer { retry_after: Duration::from_millis(wait_ms) };
        }

        // Only what is admitted moves the schedule: a flood cannot lock its sender out.
        self.due_at_ns = due_at_ns.saturating_add(rate.interval_ns.saturating_mul(u64::from(units)));
        Verdict::Admit
    }
}

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_SECOND: u64 = 1_000 * NS_PER_MS;
