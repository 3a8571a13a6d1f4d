//! What happened in which second, and deliveries that were late.
//!
//! Place in the data path: `clients.rs` counts into the current second; the report shows all of them, the greatest number of
//! reconnects among them, and how long after a fault deliveries were late.

use serde::Serialize;

use crate::clock::Nanos;

/// Counts of one second, from the first message on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(super) struct Second {
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    pub(super) delivered: u64,
    /// Connections that ended, by whomever.
    pub(super) disconnected: u64,
    /// Connections that were begun to come back.
    pub(super) retries: u64,
    /// Sessions that went on.
    pub(super) resumed: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    from: Option<Nanos>,
    seconds: Vec<Second>,
    /// Before the first message.
    before: Second,
    /// When late deliveries came, at most one for each [`GRAIN_NS`].
    late: Vec<Nanos>,
}

/// A live delivery this long after its message was due is late.
pub(super) const LATE_NS: u64 = 500_000_000;
const GRAIN_NS: u64 = 10_000_000;
/// No run is longer than a day.
const SECONDS_MAX: usize = 24 * 3600;

impl Timeline {
    /// The first second begins.
    pub(super) fn begin(&mut self, now: Nanos) {
        self.from = Some(now);
    }

    /// The current second.
    pub(super) fn at(&mut self, now: Nanos) -> &mut Second {
        let Some(from) = self.from else { return &mut self.before };
        let index =
            usize::try_from(now.since(from) / 1_000_000_000).unwrap_or(usize::MAX).min(SECONDS_MAX - 1);
        if self.seconds.len() <= index {
            self.seconds.resize(index + 1, Second::default());
        }
        &mut self.seconds[index]
    }

    /// A live delivery came so long after its message was due.
    pub(super) fn note_delivery(&mut self, now: Nanos, after_ns: u64) {
        if after_ns > LATE_NS && self.late.last().is_none_or(|last| now.since(*last) >= GRAIN_NS) {
            self.late.push(now);
        }
    }

    /// How long after `healed_at` deliveries were late still, of those before `until`; 0: none was.
    pub(super) fn late_after(&self, healed_at: Nanos, until: Nanos) -> u64 {
        let late = self.late.iter().rev().find(|at| **at < until);
        late.map_or(0, |at| at.since(healed_at))
    }

    pub(super) fn seconds(&self) -> &[Second] {
        &self.seconds
    }

    /// Most retries of one second.
    pub(super) fn retries_peak(&self) -> u64 {
        self.seconds.iter().map(|second| second.retries).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn events_are_counted_in_their_second() {
        let mut timeline = Timeline::default();
        timeline.at(Nanos(5)).sent += 7;
        timeline.begin(Nanos(100));
        timeline.at(Nanos(100)).retries += 1;
        timeline.at(Nanos(100 + 2 * SECOND)).retries += 3;
        timeline.at(Nanos(100 + 3 * SECOND - 1)).retries += 2;
        let retries: Vec<u64> = timeline.seconds().iter().map(|second| second.retries).collect();
        assert_eq!(retries, [1, 0, 5]);
        assert_eq!(timeline.retries_peak(), 5);
        assert_eq!(timeline.seconds()[0].sent, 0, "what was before the first second is not in it");
    }

    #[test]
    fn the_last_late_delivery_before_the_next_fault_tells_when_all_had_caught_up() {
        let mut timeline = Timeline::default();
        timeline.note_delivery(Nanos(SECOND), LATE_NS);
        assert_eq!(timeline.late_after(Nanos(0), Nanos(u64::MAX)), 0, "in time");
        for at in [2, 3, 7] {
            timeline.note_delivery(Nanos(at * SECOND), LATE_NS + 1);
        }
        assert_eq!(timeline.late_after(Nanos(SECOND), Nanos(5 * SECOND)), 2 * SECOND);
        assert_eq!(timeline.late_after(Nanos(4 * SECOND), Nanos(5 * SECOND)), 0);
        assert_eq!(timeline.late_after(Nanos(4 * SECOND), Nanos(u64::MAX)), 3 * SECOND);
    }
}
