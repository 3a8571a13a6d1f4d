//! The order of one channel with history, as one place sees it that many sessions are delivered from.
//!
//! Place in the data path: between what comes in from elsewhere and the channel's members. Publications carry offsets and
//! may come out of order or not at all, since they travel on several ways: what comes early is held, what is missing is
//! read from history, what came before is dropped. Members see each offset once, in order.
//!
//! Where the store may be set back to an earlier state, publications are tied to each other by tags. One that does not
//! fit is not delivered: history, which is told what this node has seen, says whether the channel began anew.

use std::collections::{BTreeMap, VecDeque};

use tidegate_protocol::position::{Link, Position, Tag};

#[cfg(test)]
mod tests;

/// Publications that may wait for an earlier one; of more, the latest are read from history later.
const HELD_MAX: usize = 256;
/// Tags remembered of what was delivered: enough for what comes a second time.
const TAGS_MAX: usize = 32;

/// Where a channel with history stands.
#[derive(Debug)]
pub struct Feed<T> {
    /// What members have been sent.
    head: Position,
    /// Tags of the last publications, the one at the head behind the others.
    tags: VecDeque<Tag>,
    held: BTreeMap<u64, Held<T>>,
    /// Something is missing, or may be.
    gap: bool,
    /// It is being read from history.
    is_repairing: bool,
}

#[derive(Debug)]
struct Held<T> {
    link: Option<Link>,
    publication: T,
}

/// What to do with a publication.
#[derive(Debug)]
#[must_use]
pub enum Intake<T> {
    /// These, in this order, are next for the members.
    Deliver(Vec<T>),
    /// It has been delivered already.
    Duplicate,
    /// Earlier ones are missing: it waits for them, or will be read from history with them. Or the channel began anew,
    /// which history has to say.
    Held,
}

/// What history has behind the head of a feed that asked for it.
#[derive(Debug)]
pub struct Past<T> {
    /// Where the history ends.
    pub head: Position,
    /// The tag of the publication there; `None` of a store that cannot be set back.
    pub head_tag: Option<Tag>,
    /// What follows the position that was asked for, up to the head, in order. `None`: history cannot say, for it no
    /// longer has all of it, or began anew.
    pub entries: Option<Vec<PastEntry<T>>>,
}

/// A publication out of the history.
#[derive(Debug)]
pub struct PastEntry<T> {
    /// Its number, in the epoch of [`Past::head`].
    pub offset: u64,
    /// Tells it from another one under this offset.
    pub tag: Option<Tag>,
    /// What members are sent.
    pub publication: T,
}

/// What follows from reading the history.
#[derive(Debug)]
#[must_use]
pub struct Repaired<T> {
    /// What is before this position and was not delivered cannot be had any more: members are told first.
    pub lost_before: Option<Position>,
    /// These, in this order, are next for the members, with their offsets.
    pub ready: Vec<T>,
}

impl<T> Feed<T> {
    /// A feed whose members have, or do not want, everything up to `head`, where the publication with `tag` is.
    pub fn new(head: Position, tag: Option<Tag>) -> Self {
        Self { head, tags: tag.into_iter().collect(), held: BTreeMap::new(), gap: false, is_repairing: false }
    }

    /// The position of what members have been sent last.
    pub fn head(&self) -> Position {
        self.head
    }

    /// The tag of the publication at the head, where it is known.
    pub fn head_tag(&self) -> Option<Tag> {
        self.tags.back().copied()
    }

    /// Whether publications before one that is held are missing, or others may be.
    pub fn has_gap(&self) -> bool {
        self.gap
    }

    /// Notes where the channel's history ends; whether it has something that did not come here.
    pub fn compare(&mut self, head: Position) -> bool {
        let is_behind = head.epoch != self.head.epoch || head.offset > self.head.offset;
        is_behind && !std::mem::replace(&mut self.gap, true)
    }

    /// Takes in one publication that has the position `at`.
    pub fn handle_publication(&mut self, at: Position, link: Option<Link>, publication: T) -> Intake<T> {
        if at.epoch != self.head.epoch {
            self.gap = true;
            return Intake::Held;
        }
        if at.offset <= self.head.offset {
            if self.is_known(at.offset, link.map(|link| link.tag)) {
                return Intake::Duplicate;
            }
            self.gap = true;
            return Intake::Held;
        }
        if at.offset > self.head.offset + 1 {
            self.gap = true;
            if self.held.len() < HELD_MAX {
                self.held.insert(at.offset, Held { link, publication });
            }
            return Intake::Held;
        }
        if !self.advance(link) {
            self.gap = true;
            return Intake::Held;
        }
        let mut ready = vec![publication];
        self.take_ready(&mut ready);
        Intake::Deliver(ready)
    }

    /// Begins to read what is missing: everything behind the position of the result. `None`: nothing is, or that is under
    /// way. Ends with [`handle_past`](Self::handle_past) or [`handle_unreadable`](Self::handle_unreadable).
    pub fn begin_repair(&mut self) -> Option<Position> {
        (self.gap && !std::mem::replace(&mut self.is_repairing, true)).then_some(self.head)
    }

    /// History did not answer: what is missing is noticed again by what comes next, or by comparing.
    pub fn handle_unreadable(&mut self) {
        (self.is_repairing, self.gap) = (false, false);
    }

    /// History has said what was missing. What it does not have is lost.
    pub fn handle_past(&mut self, past: Past<T>) -> Repaired<T> {
        self.is_repairing = false;
        let Some(entries) = past.entries else { return self.skip_to(past.head, past.head_tag) };
        let mut previous = self.tags.back().copied();
        // What is held is asked for again if it is still missing something then.
        self.gap = !self.held.is_empty();
        let mut ready = Vec::with_capacity(entries.len());
        for PastEntry { offset, tag, publication } in entries {
            let link = previous.zip(tag).map(|(previous, tag)| Link { tag, previous });
            previous = tag;
            let at = Position { offset, ..past.head };
            if let Intake::Deliver(next) = self.handle_publication(at, link, publication) {
                ready.extend(next);
            }
        }
        Repaired { lost_before: None, ready }
    }

    /// Goes on behind what is lost, as far as that is up to `head`. A channel that began anew is gone on with from its
    /// beginning, which history may still have.
    fn skip_to(&mut self, head: Position, tag: Option<Tag>) -> Repaired<T> {
        if head.epoch != self.head.epoch {
            *self = Self::new(Position { offset: 0, ..head }, None);
            self.gap = head.offset > 0;
            return Repaired { lost_before: Some(self.head.next()), ready: Vec::new() };
        }
        let is_ours = || tag.zip(self.tag_at(head.offset)).is_none_or(|(theirs, ours)| theirs == ours);
        if head.offset <= self.head.offset && is_ours() {
            // What was missing came while history was asked.
            self.gap = !self.held.is_empty();
            return Repaired { lost_before: None, ready: Vec::new() };
        }
        let mut held = std::mem::take(&mut self.held);
        *self = Self::new(head, tag);
        self.held = held.split_off(&(head.offset + 1));
        let mut ready = Vec::new();
        self.take_ready(&mut ready);
        Repaired { lost_before: Some(head.next()), ready }
    }

    fn take_ready(&mut self, ready: &mut Vec<T>) {
        while let Some(held) = self.held.remove(&(self.head.offset + 1)) {
            if !self.advance(held.link) {
                self.held.clear();
                self.gap = true;
                return;
            }
            ready.push(held.publication);
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
    fn is_known(&self, offset: u64, tag: Option<Tag>) -> bool {
        tag.is_none_or(|tag| self.tag_at(offset) == Some(tag))
    }

    /// The tag of the publication at an offset up to the head, if it is remembered.
    fn tag_at(&self, offset: u64) -> Option<Tag> {
        let behind_head = usize::try_from(self.head.offset - offset).ok()?;
        let at = self.tags.len().checked_sub(behind_head.checked_add(1)?)?;
        self.tags.get(at).copied()
    }
}
