//! What one subscriber gets of one publisher on one channel: each number once, and in order.
//!
//! Place in the data path: under `feed.rs`. Pure: a number goes in, a judgement comes out. A number that is skipped is missing until
//! it comes late; what is missing at the end is lost.

use std::ops::Range;

/// How far a stream has come, and what it left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    /// The number that is due.
    next: u64,
    /// Ranges that were skipped, in order.
    missing: Vec<Missing>,
    /// For what the next number skips, if it does.
    excuse: Excuse,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Missing {
    numbers: Range<u64>,
    excuse: Excuse,
}

/// Why messages may be missing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Excuse {
    /// There is none: they are lost.
    #[default]
    None,
    /// The channel keeps nothing, and the subscriber was away.
    Away,
    /// The server said so: `recovered: false`, or `gap`.
    Told,
}

/// What a number that came means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Arrival {
    /// It was due.
    Due,
    /// These are missing before it.
    Skipping(Range<u64>),
    /// It was missing: others came before it.
    Late,
    /// It had come before.
    Again,
}

/// Messages that never came.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Losses {
    pub(super) unexcused: u64,
    pub(super) away: u64,
    pub(super) told: u64,
}

impl Stream {
    /// From the last number to the next that comes, messages may be missing for this reason.
    pub(super) fn excuse(&mut self, excuse: Excuse) {
        self.excuse = excuse;
    }

    /// Takes up a number.
    pub(super) fn arrive(&mut self, number: u64) -> Arrival {
        if number >= self.next {
            let skipped = self.next..number;
            self.next = number + 1;
            let excuse = std::mem::take(&mut self.excuse);
            if skipped.is_empty() {
                return Arrival::Due;
            }
            self.missing.push(Missing { numbers: skipped.clone(), excuse });
            return Arrival::Skipping(skipped);
        }
        let at = self.missing.partition_point(|missing| missing.numbers.end <= number);
        match self.missing.get_mut(at) {
            Some(missing) if missing.numbers.contains(&number) => {
                let Missing { numbers, excuse } = missing.clone();
                let rests = [numbers.start..number, number + 1..numbers.end];
                let rests = rests.into_iter().filter(|rest| !rest.is_empty());
                self.missing.splice(at..=at, rests.map(|numbers| Missing { numbers, excuse }));
                Arrival::Late
            }
            Some(_) | None => Arrival::Again,
        }
    }

    /// Has everything below `end` come?
    pub(super) fn is_complete(&self, end: u64) -> bool {
        self.next >= end && self.missing.is_empty()
    }

    /// The first number that has not come.
    pub(super) fn first_missing(&self) -> u64 {
        self.missing.first().map_or(self.next, |missing| missing.numbers.start)
    }

    /// What is missing below `end`, at the end of the run.
    pub(super) fn losses(&self, end: u64) -> Losses {
        let mut losses = Losses::default();
        for missing in &self.missing {
            losses.add(missing.numbers.end - missing.numbers.start, missing.excuse);
        }
        losses.add(end.saturating_sub(self.next), self.excuse);
        losses
    }
}

impl Losses {
    fn add(&mut self, count: u64, excuse: Excuse) {
        match excuse {
            Excuse::None => self.unexcused += count,
            Excuse::Away => self.away += count,
            Excuse::Told => self.told += count,
        }
    }
}

impl std::ops::AddAssign for Losses {
    fn add_assign(&mut self, other: Self) {
        self.unexcused += other.unexcused;
        self.away += other.away;
        self.told += other.told;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_order_are_due_one_after_the_other() {
        let mut stream = Stream::default();
        for number in 0..10 {
            assert_eq!(stream.arrive(number), Arrival::Due);
        }
        assert!(stream.is_complete(10) && !stream.is_complete(11));
        assert_eq!(stream.losses(10), Losses::default());
    }

    #[test]
    fn a_number_that_comes_again_is_a_duplicate_not_a_late_one() {
        let mut stream = arrived([0, 1, 2]);
        assert_eq!(stream.arrive(1), Arrival::Again);
        assert_eq!(stream.arrive(2), Arrival::Again);
        assert!(stream.is_complete(3));
    }

    #[test]
    fn a_number_that_was_skipped_and_comes_is_late_once_and_then_again() {
        let mut stream = arrived([0]);
        assert_eq!(stream.arrive(5), Arrival::Skipping(1..5));
        assert_eq!(stream.arrive(3), Arrival::Late);
        assert_eq!(stream.arrive(3), Arrival::Again);
        assert_eq!(stream.losses(6).unexcused, 3);
        for number in [1, 4, 2] {
            assert_eq!(stream.arrive(number), Arrival::Late);
        }
        assert!(stream.is_complete(6));
    }

    #[test]
    fn what_never_comes_is_lost_with_the_excuse_of_its_time() {
        let mut stream = arrived([0]);
        stream.excuse(Excuse::Away);
        stream.arrive(3);
        stream.excuse(Excuse::Told);
        stream.arrive(5);
        stream.arrive(7);

        assert_eq!(stream.losses(10), Losses { unexcused: 1 + 2, away: 2, told: 1 });
        stream.excuse(Excuse::Away);
        assert_eq!(stream.losses(10), Losses { unexcused: 1, away: 2 + 2, told: 1 });
    }

    fn arrived<const N: usize>(numbers: [u64; N]) -> Stream {
        let mut stream = Stream::default();
        for number in numbers {
            stream.arrive(number);
        }
        stream
    }
}
