//! One channel on one worker: its members, and the runs of frames that have not reached all of them.
//!
//! Place in the data path: between publishing and the members' sockets. A run reaches the members that were there when it
//! was published, each once, no matter who joins or leaves while it is under way.

use std::collections::VecDeque;
use std::sync::Arc;

use tidegate_session::Feed;

use super::directory::ChannelEntry;
use super::run::CompressedForms;
use crate::connection::outbox::shed::Mark;
use crate::worker::mail::Publication;

/// A channel with at least one member on this worker.
pub(crate) struct Channel {
    pub(crate) entry: Arc<ChannelEntry>,
    members: Vec<Member>,
    /// The first run may have reached some members, the others none.
    backlog: VecDeque<Delivery>,
    /// Subscribers that are being caught up: their sessions are handed what comes live.
    gated: Vec<Member>,
    /// The order of its publications, if it has a history.
    pub(crate) feed: Option<Box<Feed<Arc<Publication>>>>,
}

/// One subscription of one connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Member {
    /// Slot of the connection.
    pub(crate) connection: u32,
    /// Index among the connection's subscriptions.
    pub(crate) subscription: u32,
}

/// A member that has a new position in the list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Moved {
    pub(crate) member: Member,
    pub(crate) position: u32,
}

/// A run of whole frames on its way to the members `next..end`.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    pub(crate) frames: Vec<u8>,
    pub(crate) messages: u32,
    pub(crate) next: u32,
    pub(crate) end: u32,
    pub(crate) forms: CompressedForms,
    /// One mark a frame, where frames may be left out for a slow reader; else none.
    pub(crate) marks: Vec<Mark>,
}

impl Channel {
    pub(super) fn new(entry: Arc<ChannelEntry>) -> Self {
        Self { entry, members: Vec::new(), backlog: VecDeque::new(), gated: Vec::new(), feed: None }
    }

    /// Whether nobody listens.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.gated.is_empty()
    }

    pub(crate) fn gated(&self) -> &[Member] {
        &self.gated
    }

    pub(super) fn gate(&mut self, member: Member) {
        self.gated.push(member);
    }

    pub(super) fn ungate(&mut self, member: Member) {
        self.gated.retain(|&gated| gated != member);
    }

    /// Members in no order, except that those who joined after a run was published are behind those who get it.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(crate) fn backlog_runs(&self) -> usize {
        self.backlog.len()
    }

    pub(super) fn backlog_bytes(&self) -> usize {
        self.backlog.iter().map(|run| run.frames.len()).sum()
    }

    /// The runs that have not reached the member at `position`, oldest first.
    pub(crate) fn backlog_of(&self, position: u32) -> impl Iterator<Item = &Delivery> {
        self.backlog.iter().filter(move |run| (run.next..run.end).contains(&position))
    }

    pub(super) fn push(&mut self, member: Member) -> u32 {
        self.members.push(member);
        count(self.members.len() - 1)
    }

    /// Removes the member at `position`. The list is cut into stretches by how far each run has come: the gap is filled
    /// from the end of its own stretch, the gap that leaves there from the end of the next one, and so on, so that
    /// nobody gets a run twice or misses one.
    pub(super) fn remove(&mut self, position: u32) -> Vec<Moved> {
        let mut gap = position;
        let mut moved = Vec::new();
        let mut fill = |members: &mut Vec<Member>, gap: &mut u32, last: u32| {
            if *gap != last {
                let member = members[last as usize];
                members[*gap as usize] = member;
                moved.push(Moved { member, position: *gap });
                *gap = last;
            }
        };
        // In ascending order: a run that began later reaches as many members or more, and only the first has begun.
        let next = self.backlog.front_mut().map(|run| &mut run.next);
        if let Some(next) = next.filter(|next| **next > gap) {
            *next -= 1;
            fill(&mut self.members, &mut gap, *next);
        }
        for run in &mut self.backlog {
            if run.end > gap {
                run.end -= 1;
                fill(&mut self.members, &mut gap, run.end);
            }
        }
        let last = count(self.members.len() - 1);
        fill(&mut self.members, &mut gap, last);
        self.members.pop();
        moved
    }

    /// Adds a run behind the others, to the last of them if the same members get it and it has not begun. True: it is one
    /// of its own.
    pub(super) fn keep(&mut self, delivery: Delivery) -> bool {
        match self.backlog.back_mut() {
            Some(last) if last.next == 0 && delivery.next == 0 && last.end == delivery.end => {
                last.frames.extend_from_slice(&delivery.frames);
                last.marks.extend_from_slice(&delivery.marks);
                last.messages += delivery.messages;
                false
            }
            _ => {
                self.backlog.push_back(delivery);
                true
            }
        }
    }

    /// Drops what is under way. The result is how many bytes and runs that were.
    pub(super) fn drop_backlog(&mut self) -> (usize, usize) {
        let dropped = (self.backlog_bytes(), self.backlog_runs());
        self.backlog.clear();
        dropped
    }

    /// The first run, with its place in the backlog kept for it. Nobody may leave until it is put back.
    pub(super) fn take_first(&mut self) -> Option<Delivery> {
        let first = self.backlog.front_mut()?;
        let (next, end, messages) = (first.next, first.end, first.messages);
        Some(Delivery {
            next,
            end,
            messages,
            frames: std::mem::take(&mut first.frames),
            forms: std::mem::take(&mut first.forms),
            marks: std::mem::take(&mut first.marks),
        })
    }

    /// Puts the first run back, or drops it when all its members have it: then the result is its length in bytes.
    pub(super) fn put_back(&mut self, delivery: Delivery) -> Option<usize> {
        if delivery.next >= delivery.end {
            self.backlog.pop_front();
            return Some(delivery.frames.len());
        }
        *self.backlog.front_mut()? = delivery;
        None
    }
}

fn count(members: usize) -> u32 {
    u32::try_from(members).expect("members are connections, which a u32 counts")
}

#[cfg(test)]
mod tests;
