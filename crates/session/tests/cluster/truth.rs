//! What was appended, in all lives of the store: what clients' views are held against.

use std::collections::BTreeMap;

use tidegate_protocol::position::{Link, Position};

use crate::Checked;

#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// By tag.
    facts: BTreeMap<u64, Fact>,
    set_back: u64,
}

/// A publication that was appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fact {
    pub(crate) channel: usize,
    pub(crate) number: u64,
    pub(crate) position: Position,
    /// The tag of the one before it.
    pub(crate) previous: u64,
    /// When.
    pub(crate) at: u64,
    /// When its publisher was told.
    acknowledged_at: Option<u64>,
}

impl Truth {
    pub(crate) fn append(&mut self, channel: usize, number: u64, position: Position, link: Link, at: u64) {
        let previous = link.previous.number();
        let fact = Fact { channel, number, position, previous, at, acknowledged_at: None };
        self.facts.insert(link.tag.number(), fact);
    }

    pub(crate) fn fact(&self, tag: u64) -> Option<&Fact> {
        self.facts.get(&tag)
    }

    /// A publisher hears that its publication is at a position; that has to be true.
    pub(crate) fn acknowledge(
        &mut self,
        channel: usize,
        number: u64,
        position: Position,
        now: u64,
    ) -> Checked {
        let mut acknowledged = false;
        for fact in self.facts.values_mut() {
            if fact.channel == channel && fact.number == number && fact.position == position {
                fact.acknowledged_at = Some(now);
                acknowledged = true;
            }
        }
        match acknowledged {
            true => Ok(()),
            false => Err(format!("number {number} is acknowledged at {position:?}, and is not there")),
        }
    }

    pub(crate) fn acknowledged(&self, channel: usize) -> impl Iterator<Item = &Fact> {
        self.facts.values().filter(move |fact| fact.channel == channel && fact.acknowledged_at.is_some())
    }

    pub(crate) fn set_back(&mut self) {
        self.set_back += 1;
    }

    pub(crate) fn was_set_back(&self) -> bool {
        self.set_back > 0
    }
}
