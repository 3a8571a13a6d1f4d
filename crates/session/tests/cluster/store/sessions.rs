//! Sessions under fences, by the rules of the scripts.

use std::collections::BTreeMap;

use tidegate_protocol::id::{ResumeSecret, SessionId};
use tidegate_protocol::position::Position;

use super::Terms;
use crate::Mutation;

#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    records: BTreeMap<SessionId, Record>,
    /// A write that was let through under a fence that was not the record's.
    pub(crate) violation: Option<String>,
}

#[derive(Clone, Debug)]
struct Record {
    secret: ResumeSecret,
    hold: Hold,
    node: usize,
    is_attached: bool,
    ends_at: u64,
    held: BTreeMap<usize, Option<Position>>,
}

/// Under what a connection owns a session. Those who made it again after a store was set back have the first fence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Hold {
    pub(crate) fence: u64,
    pub(crate) owner: u64,
}

/// A session as it was left.
#[derive(Clone, Debug)]
pub(crate) struct Resumption {
    pub(crate) fence: u64,
    pub(crate) taken_from: Option<usize>,
    pub(crate) held: BTreeMap<usize, Option<Position>>,
}

/// What is written of a session.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Save { subscribed: Vec<(usize, Option<Position>)>, unsubscribed: Vec<usize> },
    Touch,
    Detach,
    End,
}

/// How a write under a fence went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Written {
    Saved,
    Fenced,
    Gone,
}

/// How long a record stays without a write, in milliseconds.
pub(crate) const LIFE_MS: u64 = 6_000;

impl Sessions {
    /// Makes a record, unless there is one.
    pub(crate) fn create(
        &mut self,
        session: SessionId,
        secret: ResumeSecret,
        hold: Hold,
        node: usize,
        now: u64,
    ) {
        let (ends_at, held) = (now + LIFE_MS, BTreeMap::new());
        if self.live(session, now).is_none() {
            self.records.insert(session, Record { secret, hold, node, is_attached: true, ends_at, held });
        }
    }

    /// Takes a session over under a higher fence; `None`: there is none.
    pub(crate) fn resume(
        &mut self,
        session: SessionId,
        secret: &ResumeSecret,
        owner: u64,
        node: usize,
        now: u64,
    ) -> Option<Resumption> {
        let record = self.live(session, now).filter(|record| record.secret == *secret)?;
        let taken_from = record.is_attached.then_some(record.node);
        record.hold = Hold { fence: now.max(record.hold.fence + 1), owner };
        (record.node, record.is_attached, record.ends_at) = (node, true, now + LIFE_MS);
        Some(Resumption { fence: record.hold.fence, taken_from, held: record.held.clone() })
    }

    /// Writes under a fence, if that is still the record's.
    pub(crate) fn write(
        &mut self,
        session: SessionId,
        by: Hold,
        node: usize,
        write: Write,
        terms: Terms,
    ) -> Written {
        let Some(record) = self.live(session, terms.now) else { return Written::Gone };
        let is_owner = record.hold == by;
        if !is_owner && record.hold.fence >= by.fence {
            if terms.mutation != Mutation::FencesNotCompared {
                return Written::Fenced;
            }
            let Hold { fence, .. } = record.hold;
            self.violation =
                Some(format!("{write:?} under the fence {} of {session:?}, at {fence}", by.fence));
            return Written::Saved;
        }
        // The store was set back to before this owner's claim, and nobody has claimed since.
        (record.hold, record.node) = (by, node);
        record.ends_at = terms.now + LIFE_MS;
        match write {
            Write::Save { subscribed, unsubscribed } => {
                record.held.extend(subscribed);
                record.held.retain(|channel, _| !unsubscribed.contains(channel));
            }
            Write::Touch => {}
            Write::Detach => record.is_attached = false,
            Write::End => {
                self.records.remove(&session);
            }
        }
        Written::Saved
    }

    /// Under what a session is owned.
    pub(crate) fn hold(&mut self, session: SessionId, now: u64) -> Option<Hold> {
        self.live(session, now).map(|record| record.hold)
    }

    fn live(&mut self, session: SessionId, now: u64) -> Option<&mut Record> {
        if self.records.get(&session).is_some_and(|record| record.ends_at <= now) {
            self.records.remove(&session);
        }
        self.records.get_mut(&session)
    }
}
