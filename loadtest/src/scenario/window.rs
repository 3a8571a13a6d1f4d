//! Which part of a run is measured: open, warm up, measure, wait for the last answers.
//!
//! Place in the data path: a message scenario asks it before issuing and after completing; the server's CPU time is read at the
//! two moments between which units are counted.

use std::time::Duration;

use crate::clock::Nanos;
use crate::failure::Failure;
use crate::procfs::Snapshot;
use crate::report::ServerUse;

/// Bounds of a run; each always has a value, so that every run ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    /// Most units issued in the measured part.
    pub(crate) count: u64,
}

/// The phases of a run and what was read between them.
#[derive(Debug)]
pub(crate) struct Window {
    bounds: Bounds,
    pid: Option<u32>,
    phase: Phase,
    since: Nanos,
    until: Nanos,
    units_before: u64,
    units_after: u64,
    server_before: Option<Snapshot>,
    server_after: Option<Snapshot>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Opening,
    WarmingUp { until: Nanos },
    Measuring,
    Draining { until: Nanos },
    Done,
}

/// How far the scenario is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Units completed since the run began.
    pub(crate) units: u64,
    /// Units issued in the measured part.
    pub(crate) issued: u64,
    /// Units issued and not yet completed.
    pub(crate) in_flight: u64,
}

/// How long answers may take that are outstanding at the end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

impl Window {
    pub(crate) fn new(bounds: Bounds, pid: Option<u32>) -> Self {
        Self {
            bounds,
            pid,
            phase: Phase::Opening,
            since: Nanos(u64::MAX),
            until: Nanos(u64::MAX),
            units_before: 0,
            units_after: 0,
            server_before: None,
            server_after: None,
        }
    }

    /// All connections are open: the warm-up begins.
    pub(crate) fn begin(&mut self, now: Nanos) {
        if self.phase == Phase::Opening {
            self.phase = Phase::WarmingUp { until: now + self.bounds.warmup };
        }
    }

    /// Moves on when its time or its count is over.
    pub(crate) fn advance(&mut self, now: Nanos, standing: Standing) -> Result<(), Failure> {
        if let Phase::WarmingUp { until } = self.phase
            && now >= until
        {
            self.server_before = self.snapshot()?;
            self.units_before = standing.units;
            self.since = now;
            self.until = now + self.bounds.duration;
            self.phase = Phase::Measuring;
        }
        let counted_out = standing.issued >= self.bounds.count && standing.in_flight == 0;
        if self.phase == Phase::Measuring && (counted_out || now >= self.until) {
            self.server_after = self.snapshot()?;
            self.units_after = standing.units;
            self.until = now.min(self.until).max(self.since);
            self.phase = Phase::Draining { until: now + DRAIN_TIMEOUT };
        }
        if let Phase::Draining { until } = self.phase
            && (standing.in_flight == 0 || now >= until)
        {
            self.phase = Phase::Done;
        }
        Ok(())
    }

    /// Has `begin` not been called yet?
    pub(crate) fn is_opening(&self) -> bool {
        self.phase == Phase::Opening
    }

    /// Is the server to be kept busy?
    pub(crate) fn is_issuing(&self) -> bool {
        matches!(self.phase, Phase::WarmingUp { .. } | Phase::Measuring)
    }

    /// Does a unit issued now count against the bound?
    pub(crate) fn is_measuring(&self) -> bool {
        self.phase == Phase::Measuring
    }

    /// How many units may be issued in the measured part.
    pub(crate) fn count_max(&self) -> u64 {
        self.bounds.count
    }

    /// Is the latency of a unit issued, or due, at this time part of the result?
    pub(crate) fn covers(&self, issued_at: Nanos) -> bool {
        self.since <= issued_at && issued_at < self.until
    }

    pub(crate) fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// When `advance` has something to do even if nothing happens.
    pub(crate) fn due_at(&self) -> Nanos {
        match self.phase {
            Phase::Opening | Phase::Done => Nanos(u64::MAX),
            Phase::WarmingUp { until } | Phase::Draining { until } => until,
            Phase::Measuring => self.until,
        }
    }

    /// A word for the progress line.
    pub(crate) fn phase_name(&self) -> &'static str {
        match self.phase {
            Phase::Opening => "opening",
            Phase::WarmingUp { .. } => "warming up",
            Phase::Measuring => "measuring",
            Phase::Draining { .. } | Phase::Done => "waiting for the last answers",
        }
    }

    /// Units completed in the measured part.
    pub(crate) fn units(&self) -> u64 {
        self.units_after.saturating_sub(self.units_before)
    }

    /// Length of the measured part.
    pub(crate) fn nanoseconds(&self) -> u64 {
        if self.since == Nanos(u64::MAX) { 0 } else { self.until.since(self.since) }
    }

    /// What the server used for these units.
    pub(crate) fn server(&self) -> Option<ServerUse> {
        let (before, after) = (self.server_before.as_ref()?, self.server_after.as_ref()?);
        Some(ServerUse::between(before, after, self.units()))
    }

    fn snapshot(&self) -> Result<Option<Snapshot>, Failure> {
        self.pid.map(Snapshot::read).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn only_what_lies_between_warm_up_and_end_is_measured() {
        let mut window = window(u64::MAX);
        window.begin(Nanos(0));
        assert!(window.is_issuing() && !window.is_measuring());

        window.advance(Nanos(SECOND), standing(100, 0, 5)).unwrap();
        assert!(window.is_measuring());
        assert!(!window.covers(Nanos(SECOND - 1)) && window.covers(Nanos(SECOND)));

        window.advance(Nanos(3 * SECOND), standing(700, 600, 5)).unwrap();
        assert!(!window.is_issuing() && !window.is_done());
        assert!(!window.covers(Nanos(3 * SECOND)));
        assert_eq!((window.units(), window.nanoseconds()), (600, 2 * SECOND));

        window.advance(Nanos(3 * SECOND + 1), standing(705, 600, 0)).unwrap();
        assert!(window.is_done());
        assert_eq!(window.units(), 600, "answers that came while draining are not measured");
    }

    #[test]
    fn the_count_ends_a_run_once_everything_has_been_answered() {
        let mut window = window(10);
        window.begin(Nanos(0));
        window.advance(Nanos(SECOND), standing(0, 0, 0)).unwrap();
        window.advance(Nanos(SECOND + 5), standing(9, 10, 1)).unwrap();
        assert!(window.is_measuring());
        window.advance(Nanos(SECOND + 9), standing(10, 10, 0)).unwrap();
        assert!(window.is_done());
        assert_eq!((window.units(), window.nanoseconds()), (10, 9));
    }

    #[test]
    fn answers_that_never_come_do_not_hold_the_run() {
        let mut window = window(10);
        window.begin(Nanos(0));
        window.advance(Nanos(SECOND), standing(0, 0, 0)).unwrap();
        window.advance(window.due_at(), standing(3, 10, 7)).unwrap();
        assert!(!window.is_done());
        window.advance(window.due_at(), standing(3, 10, 7)).unwrap();
        assert!(window.is_done());
    }

    #[test]
    fn nothing_begins_before_all_connections_are_open() {
        let mut window = window(10);
        window.advance(Nanos(100 * SECOND), standing(0, 0, 0)).unwrap();
        assert!(!window.is_issuing() && window.nanoseconds() == 0);
    }

    fn window(count: u64) -> Window {
        let bounds = Bounds { warmup: Duration::from_secs(1), duration: Duration::from_secs(2), count };
        Window::new(bounds, None)
    }

    fn standing(units: u64, issued: u64, in_flight: u64) -> Standing {
        Standing { units, issued, in_flight }
    }
}
