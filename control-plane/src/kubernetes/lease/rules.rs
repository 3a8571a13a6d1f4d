//! When the Lease may be written, and under which epoch. Pure; `now` is an argument.
//!
//! No clock of another machine is believed: a Lease is over when this process has seen the same version of it for its
//! whole duration. Its holder goes by its own clock too and stops earlier, which is for the election to see to.

use std::time::Duration;

use tidegate_cluster::leadership::Lead;
use tokio::time::Instant;

/// A Lease as it was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Record {
    /// Changes with every write.
    pub(super) version: String,
    /// Empty: it was given up.
    pub(super) holder: String,
    /// How often it changed hands.
    pub(super) epoch: u64,
    /// How long its holder may be silent.
    pub(super) duration: Duration,
}

/// What to do with the Lease that was read.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub(super) enum Step {
    /// Somebody else leads.
    Wait(Lead),
    /// It is to be written with the candidate's name, under this epoch.
    Write { epoch: u64 },
}

/// What this process remembers between two looks at the Lease.
#[derive(Debug, Default)]
pub(super) struct Rules {
    seen: Option<(Record, Instant)>,
    /// The highest epoch of any Lease that was read: it grows on even if the object is deleted.
    epoch_max: u64,
    /// The epoch that this process began. A container that starts again has the name of the one before it, and must not
    /// go on under its epoch: it does not know what was ordered.
    begun: Option<u64>,
}

impl Rules {
    /// Decides about the Lease that was read at `now`; `None` if there is none.
    pub(super) fn decide(
        &mut self,
        record: Option<Record>,
        candidate: &str,
        epoch_seen: u64,
        now: Instant,
    ) -> Step {
        let Some(record) = record else {
            self.seen = None;
            return Step::Write { epoch: self.epoch_max.max(epoch_seen) + 1 };
        };
        self.note(record.clone(), now);
        let is_ours = record.holder == candidate;
        let is_over = self.is_over(&record, now);
        let is_begun = is_ours && self.begun == Some(record.epoch);
        if is_begun && !is_over && record.epoch >= epoch_seen {
            Step::Write { epoch: record.epoch }
        } else if is_ours || is_over || record.holder.is_empty() {
            Step::Write { epoch: self.epoch_max.max(epoch_seen) + 1 }
        } else {
            Step::Wait(Lead { holder: record.holder.into(), epoch: record.epoch })
        }
    }

    /// The Lease was written by this process.
    pub(super) fn note_written(&mut self, record: Record, now: Instant) {
        self.begun = Some(record.epoch).filter(|_| !record.holder.is_empty());
        self.note(record, now);
    }

    /// Remembers since when the Lease looks like this.
    pub(super) fn note(&mut self, record: Record, now: Instant) {
        self.epoch_max = self.epoch_max.max(record.epoch);
        let is_known = self.seen.as_ref().is_some_and(|(seen, _)| seen.version == record.version);
        if !is_known {
            self.seen = Some((record, now));
        }
    }

    /// Whether the holder of this Lease has been silent for too long.
    pub(super) fn is_over(&self, record: &Record, now: Instant) -> bool {
        let since =
            self.seen.as_ref().filter(|(seen, _)| seen.version == record.version).map(|(_, since)| *since);
        since.is_some_and(|since| now >= since + record.duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(15);

    #[test]
    fn a_silent_leader_is_replaced_after_the_whole_duration_on_our_own_clock() {
        let start = Instant::now();
        let mut rules = Rules::default();
        let silent = record("v7", "one", 3);
        let wait = Step::Wait(Lead { holder: "one".into(), epoch: 3 });

        assert_eq!(rules.decide(Some(silent.clone()), "two", 0, start), wait);
        let just_before = start + DURATION - Duration::from_millis(1);
        assert_eq!(rules.decide(Some(silent), "two", 0, just_before), wait);
        assert_eq!(rules.decide(Some(record("v8", "one", 3)), "two", 0, start + DURATION), wait, "it spoke");
        let step = rules.decide(Some(record("v8", "one", 3)), "two", 0, start + DURATION * 2);
        assert_eq!(step, Step::Write { epoch: 4 });
    }

    #[test]
    fn a_lease_that_was_given_up_is_free_at_once() {
        let given_up = Some(record("v9", "", 5));

        assert_eq!(Rules::default().decide(given_up, "two", 0, Instant::now()), Step::Write { epoch: 6 });
    }

    #[test]
    fn a_leader_goes_on_under_its_epoch_unless_a_higher_one_was_seen() {
        let start = Instant::now();
        let mut rules = Rules::default();
        rules.note_written(record("v1", "one", 4), start);

        let ours = Some(record("v1", "one", 4));
        assert_eq!(rules.decide(ours.clone(), "one", 4, start), Step::Write { epoch: 4 });
        assert_eq!(rules.decide(ours.clone(), "one", 7, start), Step::Write { epoch: 8 });
        assert_eq!(
            rules.decide(ours, "one", 4, start + DURATION),
            Step::Write { epoch: 5 },
            "it was silent itself"
        );
    }

    #[test]
    fn a_process_that_has_the_name_of_the_one_before_it_begins_a_new_epoch() {
        let left_behind = Some(record("v1", "one", 4));

        assert_eq!(Rules::default().decide(left_behind, "one", 4, Instant::now()), Step::Write { epoch: 5 });
    }

    #[test]
    fn a_lease_that_was_deleted_comes_back_with_a_higher_epoch() {
        let start = Instant::now();
        let mut rules = Rules::default();
        let _ = rules.decide(Some(record("v1", "one", 41)), "one", 0, start);

        assert_eq!(rules.decide(None, "one", 0, start), Step::Write { epoch: 42 });
        assert_eq!(rules.decide(None, "one", 60, start), Step::Write { epoch: 61 });
    }

    fn record(version: &str, holder: &str, epoch: u64) -> Record {
        Record { version: version.to_owned(), holder: holder.to_owned(), epoch, duration: DURATION }
    }
}
