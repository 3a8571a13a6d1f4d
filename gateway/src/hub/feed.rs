//! The order of one channel with history, as one worker sees it.
//!
//! Place in the data path: between the mailbox and the channel's members. Publications carry offsets and may come out of
//! order or not at all, since they travel on several ways: what comes early is held, what is missing is read from
//! history, what came before is dropped. Members see each offset once, in order.
//!
//! Where the store may be set back to an earlier state, publications are tied to each other by tags. One that does not
//! fit is not delivered: history, which is told what this node has seen, says whether the channel began anew.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tidegate_protocol::position::{Link, Position, Tag};

use crate::worker::mail::Publication;

/// Publications that may wait for an earlier one; of more, the latest are read from history later.
const HELD_MAX: usize = 256;
/// Tags remembered of what was delivered: enough for what comes a second time.
const TAGS_MAX: usize = 32;

/// Where a channel with history stands on a worker.
#[derive(Debug)]
pub(crate) struct Feed {
    /// What members have been sent.
    head: Position,
    /// Tags of the last publications, the one at the head behind the others.
    tags: VecDeque<Tag>,
    held: BTreeMap<u64, Arc<Publication>>,
    /// Something is missing, or may be.
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
    /// A feed whose members have, or do not want, everything up to `head`, where the publication with `tag` is.
    pub(crate) fn new(head: Position, tag: Option<Tag>) -> Self {
        Self { head, tags: tag.into_iter().collect(), held: BTreeMap::new(), gap: false, repairing: false }
    }

    pub(crate) fn head(&self) -> Position {
        self.head
    }

    /// The tag of the last publication, if it is known.
    pub(crate) fn head_tag(&self) -> Option<Tag> {
        self.tags.back().copied()
    }

    /// Whether publications before one that is held are missing, or others may be.
    pub(crate) fn has_gap(&self) -> bool {
        self.gap
    }

    /// Notes that something may be missing. False: that is known.
    pub(crate) fn suspect(&mut self) -> bool {
        !std::mem::replace(&mut self.gap, true)
    }

    /// Notes where the channel's history ends; whether it has something that did not come here.
    pub(crate) fn compare(&mut self, head: Position) -> bool {
        (head.epoch != self.head.epoch || head.offset > self.head.offset) && self.suspect()
    }

    /// Notes that history could not be asked: what is missing is noticed again by what comes next, or by comparing.
    pub(crate) fn postpone(&mut self) {
        self.gap = false;
    }

    /// Notes that what history had behind the head was taken in.
    pub(crate) fn settle(&mut self) {
        self.gap = !self.held.is_empty();
    }

    /// Takes in one publication that has the position `at`.
    pub(crate) fn handle_publication(&mut self, at: Position, publication: Arc<Publication>) -> Intake {
        if at.epoch != self.head.epoch {
            self.gap = true;
            return Intake::Held;
        }
        if at.offset <= self.head.offset {
            if self.is_known(at.offset, publication.link) {
                return Intake::Duplicate;
            }
            self.gap = true;
            return Intake::Held;
        }
        if at.offset > self.head.offset + 1 {
            self.gap = true;
            if self.held.len() < HELD_MAX {
                self.held.insert(at.offset, publication);
            }
            return Intake::Held;
        }
        if !self.advance(publication.link) {
            self.gap = true;
            return Intake::Held;
        }
        let mut ready = vec![publication];
        self.take_ready(&mut ready);
        Intake::Deliver(ready)
    }

    /// Goes on behind what is lost, as far as that is up to `head`. The result is the position of the first publication that
    /// is not, and those that were held from there on. A channel that began anew is gone on with from its beginning, which
    /// history may still have.
    pub(crate) fn skip_to(&mut self, head: Position, tag: Option<Tag>) -> (Position, Vec<Arc<Publication>>) {
        if head.epoch != self.head.epoch {
            *self = Self::new(Position { offset: 0, ..head }, None);
            self.gap = head.offset > 0;
            return (self.head.next(), Vec::new());
        }
        let mut held = std::mem::take(&mut self.held);
        *self = Self::new(head, tag);
        self.held = held.split_off(&(head.offset + 1));
        let mut ready = Vec::new();
        self.take_ready(&mut ready);
        (head.next(), ready)
    }

    fn take_ready(&mut self, ready: &mut Vec<Arc<Publication>>) {
        while let Some(publication) = self.held.remove(&(self.head.offset + 1)) {
            if !self.advance(publication.link) {
                self.held.clear();
                self.gap = true;
                return;
            }
            ready.push(publication);
        }
        self.gap = !self.held.is_empty();
    }

    /// Moves on to the next publication, unless it follows on another one than the one at the head.
    fn advance(&mut self, link: Option<Link>) -> bool {
        match link {
            Some(link) if self.tags.back().is_some_and(|&tag| tag != link.previous) => return false,
            Some(link) => self.tags.push_back(link.tag),
            None => self.tags.clear(),
        }
        if self.tags.len() > TAGS_MAX {
            self.tags.pop_front();
        }
        self.head.offset += 1;
        true
    }

    /// Whether the publication at an offset up to the head is the one that was delivered, as far as can be told.
    fn is_known(&self, offset: u64, link: Option<Link>) -> bool {
        let Some(link) = link else { return true };
        let behind_head = usize::try_from(self.head.offset - offset).unwrap_or(usize::MAX);
        let at = self.tags.len().checked_sub(behind_head.saturating_add(1));
        at.is_some_and(|at| self.tags[at] == link.tag)
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
        Arc::new(Publication { position: Some(position), ..Publication::of(Arc::from([])) })
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
        let mut feed = Feed::new(at(3), None);
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
        let mut feed = Feed::new(at(1), None);
        assert_eq!(take_in(&mut feed, 4), None);
        assert_eq!(take_in(&mut feed, 9), None);
        assert_eq!(offsets(&feed.skip_to(at(3), None).1), [4]);
        assert!(feed.has_gap(), "5 to 8 are still missing");
        assert_eq!(offsets(&feed.skip_to(at(8), None).1), [9]);
        assert!(!feed.has_gap());
    }

    #[test]
    fn more_than_can_be_held_is_left_to_history() {
        let mut feed = Feed::new(at(0), None);
        for offset in 2..HELD_MAX as u64 + 12 {
            assert_eq!(take_in(&mut feed, offset), None);
        }
        let last_held = HELD_MAX as u64 + 1;
        assert_eq!(take_in(&mut feed, 1), Some((1..=last_held).collect()));
        assert_eq!(feed.head(), at(last_held));
    }

    #[test]
    fn a_channel_that_began_anew_waits_for_history_to_say_so_and_goes_on_from_its_beginning() {
        let mut feed = Feed::new(at(5), None);
        let [first, second] = [1, 2].map(|offset| Position { epoch: Epoch::new(8), offset });
        assert!(matches!(feed.handle_publication(second, publication(second)), Intake::Held));
        assert!(feed.has_gap());
        let (not_lost, ready) = feed.skip_to(second, None);
        assert_eq!((not_lost, ready.len()), (first, 0));
        assert!(feed.has_gap(), "both are still to be read");
        for position in [first, second] {
            assert!(matches!(feed.handle_publication(position, publication(position)), Intake::Deliver(_)));
        }
        assert!(!feed.has_gap());
    }

    #[test]
    fn a_channel_that_began_anew_and_is_empty_misses_nothing() {
        let mut feed = Feed::new(at(5), None);
        let (first, _) = feed.skip_to(Position { epoch: Epoch::new(8), offset: 0 }, None);
        assert_eq!(first.offset, 1);
        assert!(!feed.has_gap());
    }

    fn linked(offset: u64, tag: u64, previous: u64) -> Arc<Publication> {
        let link = Some(Link { tag: Tag::new(tag), previous: Tag::new(previous) });
        Arc::new(Publication { position: Some(at(offset)), link, ..Publication::of(Arc::from([])) })
    }

    #[test]
    fn a_publication_that_follows_on_another_one_is_not_delivered() {
        let mut feed = Feed::new(at(3), Some(Tag::new(30)));
        assert!(matches!(feed.handle_publication(at(4), linked(4, 40, 30)), Intake::Deliver(_)));
        assert!(matches!(feed.handle_publication(at(4), linked(4, 40, 30)), Intake::Duplicate));
        assert!(matches!(feed.handle_publication(at(3), linked(3, 30, 20)), Intake::Duplicate));

        assert!(matches!(feed.handle_publication(at(5), linked(5, 51, 41)), Intake::Held));
        assert!(feed.has_gap(), "history has to say what became of the fourth");
        assert_eq!(feed.head(), at(4));
    }

    #[test]
    fn another_publication_under_an_offset_that_was_delivered_is_no_duplicate() {
        let mut feed = Feed::new(at(3), Some(Tag::new(30)));
        assert!(matches!(feed.handle_publication(at(3), linked(3, 31, 20)), Intake::Held));
        assert!(feed.has_gap());
        feed.settle();
        assert!(!feed.has_gap(), "history had nothing else");
    }

    #[test]
    fn of_held_publications_those_behind_a_break_are_left_to_history() {
        let mut feed = Feed::new(at(3), Some(Tag::new(30)));
        for (offset, tag, previous) in [(5, 50, 40), (6, 61, 51)] {
            assert!(matches!(
                feed.handle_publication(at(offset), linked(offset, tag, previous)),
                Intake::Held
            ));
        }
        let Intake::Deliver(ready) = feed.handle_publication(at(4), linked(4, 40, 30)) else {
            panic!("it is next")
        };
        assert_eq!(offsets(&ready), [4, 5]);
        assert!(feed.has_gap());
    }

    #[test]
    fn a_history_that_is_further_shows_that_something_did_not_come() {
        let mut feed = Feed::new(at(3), None);
        assert!(!feed.compare(at(3)) && !feed.compare(at(2)));
        assert!(feed.compare(at(4)));
        assert!(!feed.compare(at(4)), "known");
        assert!(Feed::new(at(3), None).compare(Position { epoch: Epoch::new(8), offset: 0 }));
    }
}
