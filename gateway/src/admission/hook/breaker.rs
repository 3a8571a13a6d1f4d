//! The circuit breaker: leaves a server alone that fails, and sends one question ahead to see whether it is back.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Decides whether a question may go out. Time is an argument.
#[derive(Debug)]
pub(super) struct Breaker {
    failures_max: u32,
    open_for: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Questions pass; so many of the last ones failed in a row.
    Closed { failures: u32 },
    /// None passes before this.
    Open { until: Instant },
    /// One is out to see.
    Probing,
}

/// What the breaker does at the moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BreakerState {
    /// Questions pass.
    Closed,
    /// One question is out, or the next one will be, to see whether the server is back.
    HalfOpen,
    /// None passes.
    Open,
}

/// Leave to ask one question; its outcome moves the breaker.
#[derive(Debug)]
#[must_use]
pub(super) struct Pass<'b> {
    breaker: &'b Breaker,
    is_probe: bool,
    is_settled: bool,
}

impl Breaker {
    pub(super) fn new(failures_max: u32, open_for: Duration) -> Self {
        Self { failures_max, open_for, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    pub(super) fn failures_max(&self) -> u32 {
        self.failures_max
    }

    /// Leave to ask, or how long to wait.
    pub(super) fn try_pass(&self, now: Instant) -> Result<Pass<'_>, Duration> {
        let mut state = self.lock();
        let is_probe = match *state {
            State::Closed { .. } => false,
            State::Open { until } if now < until => return Err(until - now),
            State::Open { .. } => {
                *state = State::Probing;
                true
            }
            State::Probing => return Err(self.open_for),
        };
        Ok(Pass { breaker: self, is_probe, is_settled: false })
    }

    pub(super) fn state(&self, now: Instant) -> BreakerState {
        match *self.lock() {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until } if now < until => BreakerState::Open,
            State::Open { .. } | State::Probing => BreakerState::HalfOpen,
        }
    }

    /// A state is written whole, so a poisoned lock still guards a sound one.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    pub(super) fn succeed(mut self) {
        self.is_settled = true;
        let mut state = self.breaker.lock();
        // A question from before the breaker opened says nothing about the server of now.
        if self.is_probe || matches!(*state, State::Closed { .. }) {
            *state = State::Closed { failures: 0 };
        }
    }

    /// Says how many have failed in a row.
    pub(super) fn fail(mut self, now: Instant) -> u32 {
        self.is_settled = true;
        let open = State::Open { until: now + self.breaker.open_for };
        let mut state = self.breaker.lock();
        match *state {
            State::Closed { failures } => {
                let failures = failures + 1;
                *state =
                    if failures >= self.breaker.failures_max { open } else { State::Closed { failures } };
                failures
            }
            State::Probing if self.is_probe => {
                *state = open;
                self.breaker.failures_max + 1
            }
            State::Probing | State::Open { .. } => self.breaker.failures_max + 1,
        }
    }
}

/// A question that nobody waits for any more proves nothing; if it was the probe, the next one is.
impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_probe && !self.is_settled {
            *self.breaker.lock() = State::Open { until: Instant::now() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(5);

    fn open_breaker(now: Instant) -> Breaker {
        let breaker = Breaker::new(3, OPEN_FOR);
        for failures in 1..=3 {
            assert_eq!(breaker.state(now), BreakerState::Closed);
            assert_eq!(breaker.try_pass(now).unwrap().fail(now), failures);
        }
        assert_eq!(breaker.state(now), BreakerState::Open);
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_says_how_long() {
        let now = Instant::now();
        let breaker = open_breaker(now);

        assert_eq!(breaker.try_pass(now + Duration::from_secs(2)).unwrap_err(), Duration::from_secs(3));
    }

    #[test]
    fn a_success_in_between_starts_the_count_anew() {
        let now = Instant::now();
        let breaker = Breaker::new(3, OPEN_FOR);
        for _ in 0..3 {
            breaker.try_pass(now).unwrap().fail(now);
            breaker.try_pass(now).unwrap().fail(now);
            breaker.try_pass(now).unwrap().succeed();
        }

        assert_eq!(breaker.state(now), BreakerState::Closed);
    }

    #[test]
    fn one_probe_decides_and_all_others_wait_for_it() {
        let now = Instant::now();
        let later = now + OPEN_FOR;
        let breaker = open_breaker(now);

        let probe = breaker.try_pass(later).unwrap();
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        assert!(breaker.try_pass(later).is_err());
        probe.fail(later);
        assert_eq!(breaker.state(later), BreakerState::Open);

        let probe = breaker.try_pass(later + OPEN_FOR).unwrap();
        probe.succeed();
        assert_eq!(breaker.state(later), BreakerState::Closed);
        assert!(breaker.try_pass(later).is_ok());
    }

    #[test]
    fn an_answer_from_before_the_failure_does_not_close_it() {
        let now = Instant::now();
        let breaker = Breaker::new(1, OPEN_FOR);
        let early = breaker.try_pass(now).unwrap();
        breaker.try_pass(now).unwrap().fail(now);

        early.succeed();

        assert_eq!(breaker.state(now), BreakerState::Open);
    }

    #[test]
    fn a_probe_that_nobody_waits_for_makes_room_for_the_next() {
        let now = Instant::now();
        let breaker = open_breaker(now - OPEN_FOR);

        drop(breaker.try_pass(now).unwrap());

        assert!(breaker.try_pass(Instant::now()).is_ok());
    }
}
