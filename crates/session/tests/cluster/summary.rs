//! What happened in a run, to see that all of it did.

use std::collections::BTreeMap;

use crate::client::Counts;

/// How often each thing happened.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Summary(BTreeMap<&'static str, u64>);

/// What has to have happened at least a few times.
const EXPECTED: [&str; 23] = [
    "bus cut",
    "bus dropped",
    "bus doubled",
    "bus restarted",
    "connection abandoned",
    "connection cut",
    "connection cut silently",
    "crash",
    "duplicate recognised",
    "errors",
    "fork",
    "flush",
    "gap told",
    "not recovered",
    "pause",
    "received",
    "recovered",
    "resumed",
    "store cut",
    "store slow",
    "stood still",
    "taken over",
    "unsubscribed",
];

impl Summary {
    pub(crate) fn count(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    pub(crate) fn count_of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    pub(crate) fn count_client(&mut self, counts: &Counts) {
        for (what, times) in [
            ("received", counts.received),
            ("resumed", counts.resumed),
            ("recovered", counts.recovered),
            ("not recovered", counts.not_recovered),
            ("gap told", counts.gaps),
            ("duplicate recognised", counts.duplicates),
            ("taken over", counts.taken_over),
            ("errors", counts.errors),
        ] {
            self.count(what, times);
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.count(what, *times);
        }
    }

    pub(crate) fn assert_everything_happened(&self) {
        for what in EXPECTED {
            assert!(self.count_of(what) > 5, "{what}: {self:?}");
        }
    }
}
