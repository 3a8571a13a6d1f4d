//! A line on standard error once a second, so that a long run is seen to live.

use std::io::Write;
use std::time::Duration;

use crate::clock::Nanos;

/// When to print next, if at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    started_at: Nanos,
    /// `None`: never.
    next_at: Option<Nanos>,
}

const INTERVAL: Duration = Duration::from_secs(1);

impl Progress {
    pub(crate) fn every_second() -> Self {
        let now = Nanos::now();
        Self { started_at: now, next_at: Some(now + INTERVAL) }
    }

    pub(crate) fn silent() -> Self {
        Self { started_at: Nanos::now(), next_at: None }
    }

    /// When `tick` has something to do; without output a second from the start for ever, which wakes nobody too often.
    pub(crate) fn due_at(&self) -> Nanos {
        self.next_at.unwrap_or(Nanos(u64::MAX))
    }

    /// Prints `line` if its time has come. Nobody reading standard error is no reason to stop.
    pub(crate) fn tick(&mut self, now: Nanos, line: impl FnOnce() -> String) {
        if self.next_at.is_some_and(|at| at <= now) {
            self.next_at = Some(now + INTERVAL);
            let seconds = Duration::from_nanos(now.since(self.started_at)).as_secs();
            let _ = writeln!(std::io::stderr(), "{seconds:>4} s  {}", line());
        }
    }
}
