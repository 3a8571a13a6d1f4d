//! Keeps calls from waiting for a server that does not answer: after some failures in a row they are refused at once,
//! until a probe has come back.
//!
//! Place in the data path: [`RedisClient`](super::RedisClient) asks before each call and tells it each outcome; only the
//! probes of its watch close it again. Time is an argument.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use tokio::sync::watch;

use crate::state::State;

#[cfg(test)]
mod tests;

/// Counts failures in a row, and says what they mean to everyone who watches.
#[derive(Debug)]
pub(super) struct Breaker {
    open: AtomicBool,
    failures: AtomicU32,
    state: watch::Sender<State>,
}

impl Breaker {
    /// Open: nothing is known of the server yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            open: AtomicBool::new(true),
            failures: AtomicU32::new(0),
            state: watch::Sender::new(State::Down { since: now }),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// A call was answered, by whatever: the server lives. Closes nothing, since it may be the answer to a call from
    /// before.
    pub(super) fn note_answer(&self) {
        // Most calls find it at zero: reading shares the cache line between workers, writing would not.
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A call got no answer; whether this was one too many.
    pub(super) fn note_failure(&self, now: Instant) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures < FAILURES_MAX || self.is_open() {
            return false;
        }
        self.open(now);
        true
    }

    /// Refuses calls from now on.
    pub(super) fn open(&self, now: Instant) {
        self.open.store(true, Ordering::Release);
        self.state.send_if_modified(|state| {
            let changes = !matches!(state, State::Down { .. });
            if changes {
                *state = State::Down { since: now };
            }
            changes
        });
    }

    /// A probe came back: calls may go again.
    pub(super) fn close(&self, pace: Pace) {
        self.failures.store(0, Ordering::Relaxed);
        self.open.store(false, Ordering::Release);
        let now = match pace {
            Pace::Fast => State::Up,
            Pace::Slow => State::Slow,
        };
        self.state.send_if_modified(|state| {
            let changes = *state != now;
            *state = now;
            changes
        });
    }
}

/// How a server answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pace {
    Fast,
    Slow,
}

/// So many calls in a row without an answer are no coincidence.
pub(super) const FAILURES_MAX: u32 = 5;
