//! The order of one channel with history, as one worker sees it.
//!
//! Place in the data path: between the mailbox and the channel's members. Publications carry offsets and may come out of
//! order or not at all, since they travel on several ways: what comes early is held, what is missing is read from
//! history, what came before is dropped. Members see each offset once, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_protocol::position::Position;

use crate::worker::mail::Publication;

/// Publications that may wait for an earlier one; of more, the latest are read from history later.
const HELD_MAX: usize = 256;

/// Where a channel with history stands on a worker.
#[derive(Debug)]
pub(crate) struct Feed {
    /// What members have been sent.
    head: Position,
    held: BTreeMap<u64, Arc<Publication>>,
    /// Something is known to be missing.
    gap: bool,
    /// It is being read from history.
    pub(crate) repairing: bool,
}

/// What to do with a publication.
#[derive(Debug)]
#[must_use]
pub(crate) enum Intake {
    /// These, in this order, are next for the members.
    Deliver(Vec<Arc<Publication>>),
    /// It has been delivered already.
    Duplicate,
    /// Earlier ones are missing: it waits for them, or will be read from history with them. Or the channel began anew,
    /// which history has to say.
    Held,
}

impl Feed {
    /// A feed whose members have, or do not want, everything up to `head`.
    pub(crate) fn new(head: Position) -> Self {
        Self { head, held: BTreeMap::new(), gap: false, repairing: false }
    }

    pub(crate) fn head(&self) -> Position {
        self.head
    }

    /// Whether publications before one that is held are missing.
    pub(crate) fn has_gap(&self) -> bool {
        self.gap
    }

    /// Takes in one publication that has the position `at`.
    pub(crate) fn handle_publication(&mut self, at: Position, publication: Arc<Publication>) -> Intake {
        if at.epoch != self.head.epoch {
            self.gap = true;
            return Intake::Held;
        }
        if at.offset <= self.head.offset {
            return Intake::Duplicate;
        }
        if at.offset > self.head.offset + 1 {
            self.gap = true;
            if self.held.len() < HELD_MAX {
                self.held.insert(at.offset, publication);
            }
            return Intake::Held;
        }
        self.head.offset = at.offset;
        let mut ready = vec![publication];
        self.take_ready(&mut ready);
        Intake::Deliver(ready)
    }

    /// Goes on behind what is lost, as far as that is up to `head`. The result is the position of the first publication that
    /// is not, and those that were held from there on. A channel that began anew is gone on with from its beginning, which
    /// history may still have.
    pub(crate) fn skip_to(&mut self, head: Position) -> (Position, Vec<Arc<Publication>>) {
        if head.epoch != self.head.epoch {
            *self = Self::new(Position { offset: 0, ..head });
            self.gap = head.offset > 0;
            return (self.head.next(), Vec::new());
        }
        let mut held = std::mem::take(&mut self.held);
        *self = Self::new(head);
        self.held = held.split_off(&(head.offset + 1));
        let mut ready = Vec::new();
        self.take_ready(&mut ready);
        (head.next(), ready)
    }

    fn take_ready(&mut self, ready: &mut Vec<Arc<Publication>>) {
        while let Some(publication) = self.held.remove(&(self.head.offset + 1)) {
            self.head.offset += 1;
            ready.push(publication);
        }
        self.gap = !self.held.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::position::Epoch;

    use super::*;

    fn at(offset: u64) -> Position {
        Position { epoch: Epoch::new(7), offset }
    }

    fn publication(position: Position) -> Arc<Publication> {
        Arc::new(Publication { position: Some(position), conflate: 0, object: Arc::from([]) })
    }

    fn offsets(publications: &[Arc<Publication>]) -> Vec<u64> {
        publications.iter().filter_map(|publication| Some(publication.position?.offset)).collect()
    }

    /// The offsets that come out when the one at `offset` goes in.
    fn take_in(feed: &mut Feed, offset: u64) -> Option<Vec<u64>> {
        match feed.handle_publication(at(offset), publication(at(offset))) {
            Intake::Deliver(ready) => Some(offsets(&ready)),
            Intake::Duplicate => Some(Vec::new()),
            Intake::Held => None,
        }
    }

    #[test]
    fn publications_come_out_once_and_in_order_whatever_order_they_come_in() {
        let mut feed = Feed::new(at(3));
        assert_eq!(take_in(&mut feed, 4), Some(vec![4]));
        assert_eq!(take_in(&mut feed, 6), None);
        assert_eq!(take_in(&mut feed, 7), None);
        assert!(feed.has_gap());
        assert_eq!(take_in(&mut feed, 4), Some(vec![]));
        assert_eq!(take_in(&mut feed, 5), Some(vec![5, 6, 7]));
        assert!(!feed.has_gap());
        assert_eq!(take_in(&mut feed, 7), Some(vec![]));
        assert_eq!(feed.head(), at(7));
    }

    #[test]
    fn what_is_lost_is_skipped_and_what_was_held_behind_it_is_not() {
        let mut feed = Feed::new(at(1));
        assert_eq!(take_in(&mut feed, 4), None);
        assert_eq!(take_in(&mut feed, 9), None);
        assert_eq!(offsets(&feed.skip_to(at(3)).1), [4]);
        assert!(feed.has_gap(), "5 to 8 are still missing");
        assert_eq!(offsets(&feed.skip_to(at(8)).1), [9]);
        assert!(!feed.has_gap());
    }

    #[test]
    fn more_than_can_be_held_is_left_to_history() {
        let mut feed = Feed::new(at(0));
        for offset in 2..HELD_MAX as u64 + 12 {
            assert_eq!(take_in(&mut feed, offset), None);
        }
        let last_held = HELD_MAX as u64 + 1;
        assert_eq!(take_in(&mut feed, 1), Some((1..=last_held).collect()));
        assert_eq!(feed.head(), at(last_held));
    }

    #[test]
    fn a_channel_that_began_anew_waits_for_history_to_say_so_and_goes_on_from_its_beginning() {
        let mut feed = Feed::new(at(5));
        let [first, second] = [1, 2].map(|offset| Position { epoch: Epoch::new(8), offset });
        assert!(matches!(feed.handle_publication(second, publication(second)), Intake::Held));
        assert!(feed.has_gap());
        let (not_lost, ready) = feed.skip_to(second);
        assert_eq!((not_lost, ready.len()), (first, 0));
        assert!(feed.has_gap(), "both are still to be read");
        for position in [first, second] {
            assert!(matches!(feed.handle_publication(position, publication(position)), Intake::Deliver(_)));
        }
        assert!(!feed.has_gap());
    }

    #[test]
    fn a_channel_that_began_anew_and_is_empty_misses_nothing() {
        let mut feed = Feed::new(at(5));
        let (first, _) = feed.skip_to(Position { epoch: Epoch::new(8), offset: 0 });
        assert_eq!(first.offset, 1);
        assert!(!feed.has_gap());
    }
}
