//! Time as an argument: a count of milliseconds since a moment that its user chose.
//!
//! Place in the data path: drivers read their clock once a turn and hand it to everything pure.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since the start of a clock: monotonic or Unix, which the field that holds it says.
///
/// Arithmetic saturates at both ends: a deadline that no clock reaches never comes, it does not wrap.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Millis(u64);

impl Millis {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);
    /// Later than any reading.
    pub const MAX: Self = Self(u64::MAX);

    /// `count` milliseconds after the clock's start.
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// Milliseconds since the clock's start.
    pub const fn count(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero where `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Millis {
    type Output = Self;

    /// Rounded down to whole milliseconds.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_ms(duration)))
    }
}

impl Sub<Duration> for Millis {
    type Output = Self;

    /// Rounded down to whole milliseconds.
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(whole_ms(duration)))
    }
}

/// A duration in whole milliseconds, at most `u64::MAX`.
pub fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let second = Duration::from_secs(1);

        assert_eq!(Millis::new(500) + second, Millis::new(1500));
        assert_eq!(Millis::MAX + second, Millis::MAX);
        assert_eq!(Millis::new(500) - second, Millis::ZERO);
        assert_eq!(Millis::new(500).since(Millis::new(1500)), Duration::ZERO);
        assert_eq!(Millis::new(1500).since(Millis::new(500)), second);
        assert_eq!(Millis::ZERO + Duration::MAX, Millis::MAX);
    }
}
