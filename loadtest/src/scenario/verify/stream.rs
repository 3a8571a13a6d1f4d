//! What one subscriber gets of one publisher on one channel: each number once, and in order.
//!
//! Place in the data path: under `feed.rs`. Pure: a number goes in, a judgement comes out. A number that is skipped is missing until
//! it comes late; what is missing at the end is lost.

use std::collections::HashSet;
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
    /// The channel began anew before this number: the server has forgotten which of those below it had.
    forgotten_below: u64,
    /// Those of them that have come again since.
    repeated: HashSet<u64>,
}

/// Numbers that never came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Missing {
    pub(super) numbers: Range<u64>,
    /// What is said for it, apart from the places of its messages.
    pub(super) excuse: Excuse,
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
    /// It had come before the channel began anew, and not since.
    AgainAnew,
}

impl Stream {
    /// From the last number to the next that comes, messages may be missing for this reason.
    pub(super) fn excuse(&mut self, excuse: Excuse) {
        self.excuse = excuse;
    }

    /// The server says that the channel began anew: what was published before and is sent again may come again, once.
    pub(super) fn begin_anew(&mut self) {
        self.forgotten_below = self.next;
        self.repeated.clear();
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
            Some(_) | None if number < self.forgotten_below && self.repeated.insert(number) => {
                Arrival::AgainAnew
            }
            Some(_) | None => Arrival::Again,
        }
    }

    /// Has everything below `end` come?
    pub(super) fn is_complete(&self, end: u64) -> bool {
        self.next >= end && self.missing.is_empty()
    }

    /// What is missing below `end`, at the end of the run.
    pub(super) fn missing(&self, end: u64) -> impl Iterator<Item = Missing> {
        let rest = Missing { numbers: self.next..end.max(self.next), excuse: self.excuse };
        self.missing.iter().cloned().chain(std::iter::once(rest))
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
        assert_eq!(losses(&stream, 10), [0, 0, 0]);
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
        assert_eq!(losses(&stream, 6), [3, 0, 0]);
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

        assert_eq!(losses(&stream, 10), [1 + 2, 2, 1]);
        stream.excuse(Excuse::Away);
        assert_eq!(losses(&stream, 10), [1, 2 + 2, 1]);
    }

    #[test]
    fn what_comes_again_once_the_channel_began_anew_is_told_from_a_duplicate() {
        let mut stream = arrived([0, 1, 2]);
        stream.begin_anew();
        assert_eq!(stream.arrive(2), Arrival::AgainAnew);
        assert_eq!(stream.arrive(2), Arrival::Again, "twice since");
        assert_eq!(stream.arrive(3), Arrival::Due);
        assert_eq!(stream.arrive(3), Arrival::Again, "it was not there before");

        stream.begin_anew();
        assert_eq!((stream.arrive(2), stream.arrive(3)), (Arrival::AgainAnew, Arrival::AgainAnew));
    }

    /// How many are missing without an excuse, away, and as told.
    fn losses(stream: &Stream, end: u64) -> [u64; 3] {
        [Excuse::None, Excuse::Away, Excuse::Told].map(|excuse| {
            stream
                .missing(end)
                .filter(|one| one.excuse == excuse)
                .map(|one| one.numbers.end - one.numbers.start)
                .sum()
        })
    }

    fn arrived<const N: usize>(numbers: [u64; N]) -> Stream {
        let mut stream = Stream::default();
        for number in numbers {
            stream.arrive(number);
        }
        stream
    }
}
