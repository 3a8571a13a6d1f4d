//! Waiting for what cannot be blocked on: a metric, a log line, an exit status.

use std::thread;
use std::time::{Duration, Instant};

use crate::DEADLINE;

/// Asks `probe` again and again until it gives something.
///
/// # Panics
///
/// At [`DEADLINE`], naming `what` was waited for.
#[track_caller]
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain for: {what}");
        thread::sleep(POLL_INTERVAL);
    }
}

/// Between two looks: short against what a person notices, long against what a look costs.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
