//! Opening many connections without a thundering herd: so many at a time, in the order of their lanes.

use std::ops::Range;

use crate::clock::Nanos;
use crate::engine::{Commands, Dial, Ending, Lane};
use crate::failure::Failure;

/// Opens a range of lanes, a bounded number at a time.
#[derive(Debug)]
pub(crate) struct Opener {
    lanes: Range<Lane>,
    next: Lane,
    open: usize,
    dial: Dial,
    /// Lanes take turns over so many targets, from that of `dial` on.
    targets: usize,
    url: String,
    failure: Option<Failure>,
}

/// Handshakes under way at a time: below any listener's backlog.
const UNDER_WAY_MAX: usize = 128;

impl Opener {
    /// `url` is for the error if it fails.
    pub(crate) fn new(lanes: Range<Lane>, dial: Dial, url: String) -> Self {
        Self { next: lanes.start, lanes, open: 0, dial, targets: 1, url, failure: None }
    }

    /// Spreads the lanes evenly over the first `targets` of the engine.
    pub(crate) fn spread(self, targets: usize) -> Self {
        Self { targets, ..self }
    }

    /// Dials the first connections; later calls do nothing.
    pub(crate) fn begin(&mut self, out: &mut Commands) {
        if self.next > self.lanes.start {
            return;
        }
        let first = self.lanes.end.min(self.next + UNDER_WAY_MAX);
        for lane in self.next..first {
            out.dial(lane, self.dial_of(lane));
        }
        self.next = first;
    }

    fn dial_of(&self, lane: Lane) -> Dial {
        Dial { target: self.dial.target + lane % self.targets, ..self.dial }
    }

    /// One of its lanes has opened: dials the next.
    pub(crate) fn handle_open(&mut self, out: &mut Commands) {
        self.open += 1;
        if self.next < self.lanes.end {
            out.dial(self.next, self.dial_of(self.next));
            self.next += 1;
        }
    }

    /// A connection ended. True if that happened while opening, which is the end of the run too.
    pub(crate) fn handle_end(&mut self, ending: &Ending) -> bool {
        if self.is_complete() {
            return false;
        }
        if self.failure.is_none() {
            self.failure = Some(Failure::Open {
                opened: self.open,
                wanted: self.lanes.len(),
                url: self.url.clone(),
                reason: ending.to_string(),
            });
        }
        true
    }

    /// All are open.
    pub(crate) fn is_complete(&self) -> bool {
        self.open == self.lanes.len()
    }

    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// [`Self::check`], and a failure if not all are open at that time.
    pub(crate) fn check_until(&mut self, until: Nanos, now: Nanos) -> Result<(), Failure> {
        if now >= until && !self.is_complete() {
            self.handle_end(&Ending::TimedOut);
        }
        self.check()
    }

    /// The failure, once, if there was one.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        self.failure.take().map_or(Ok(()), Err)
    }
}
