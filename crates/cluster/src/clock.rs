//! The time of a store: the machine's, or one that a test turns by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidegate_protocol::time::{Millis, whole_ms};

/// A clock in Unix milliseconds that never goes back. Cheap to clone; clones agree.
#[derive(Clone, Debug)]
pub struct Clock(Source);

/// A clock that stands still until it is [advanced](Self::advance); what was made with [`clock`](Self::clock) follows.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

#[derive(Clone, Debug)]
enum Source {
    /// The wall clock as it was when the clock was made, and the steady one from there: leases and retention must not
    /// jump when someone sets the machine's time.
    System {
        made_at: Instant,
        made_at_unix: Millis,
    },
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's time.
    pub fn system() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Source::System { made_at: Instant::now(), made_at_unix: Millis::new(whole_ms(since_1970)) })
    }

    /// What it shows.
    pub fn now(&self) -> Millis {
        match &self.0 {
            Source::System { made_at, made_at_unix } => *made_at_unix + made_at.elapsed(),
            Source::Manual(shown_ms) => Millis::new(shown_ms.load(Ordering::Acquire)),
        }
    }
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Millis) -> Self {
        Self(Arc::new(AtomicU64::new(start.count())))
    }

    /// A view of it for whoever only reads.
    pub fn clock(&self) -> Clock {
        Clock(Source::Manual(Arc::clone(&self.0)))
    }

    /// Lets whole milliseconds pass.
    pub fn advance(&self, time: Duration) {
        self.0.fetch_add(whole_ms(time), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stands_still_until_it_is_advanced() {
        let manual = ManualClock::new(Millis::new(5));
        let clock = manual.clock();

        assert_eq!(clock.now(), Millis::new(5));
        manual.advance(Duration::from_secs(1));
        assert_eq!((clock.now(), clock.clone().now()), (Millis::new(1005), Millis::new(1005)));
    }

    #[test]
    fn the_system_clock_shows_unix_time_and_does_not_go_back() {
        let clock = Clock::system();
        let first = clock.now();

        let year_2020 = Millis::new(1_577_836_800_000);
        assert!(first > year_2020);
        assert!(clock.now() >= first);
    }
}
