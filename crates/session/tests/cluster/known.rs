//! What a node has seen of each channel's stream, by the rules of `tidegate_cluster`'s Redis history.

use std::collections::BTreeMap;

use tidegate_protocol::position::{Link, Position, Tag};

/// The last thing seen of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    pub(crate) position: Position,
    pub(crate) tag: Tag,
}

/// What the store compares with what it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    pub(crate) seen: Option<Seen>,
    /// What subscribers were sent last: their order may be another one than that of the answers.
    pub(crate) sent: Option<Seen>,
}

#[derive(Debug, Default)]
pub(crate) struct Known {
    seen: BTreeMap<usize, Seen>,
    sent: BTreeMap<usize, Seen>,
}

impl Seen {
    pub(crate) fn is_before(self, other: Self) -> bool {
        let order = |seen: Self| (seen.position.epoch.number(), seen.position.offset);
        order(self) < order(other)
    }
}

impl Known {
    pub(crate) fn get(&self, channel: usize) -> Option<Seen> {
        self.seen.get(&channel).copied()
    }

    pub(crate) fn measure(&self, channel: usize) -> Measure {
        Measure { seen: self.get(channel), sent: self.sent.get(&channel).copied() }
    }

    pub(crate) fn channels(&self) -> impl Iterator<Item = (usize, Measure)> {
        self.seen.keys().map(|channel| (*channel, self.measure(*channel)))
    }

    /// Remembers what subscribers were sent last.
    pub(crate) fn note_sent(&mut self, channel: usize, sent: Seen) {
        self.sent.insert(channel, sent);
    }

    /// Remembers what the store said, unless something later is known, or something that the store was not compared with.
    /// The result is whether the stream has started again.
    pub(crate) fn note(&mut self, channel: usize, seen: Seen, compared: Option<Seen>) -> bool {
        let Some(known) = self.seen.get_mut(&channel) else {
            self.seen.insert(channel, seen);
            return false;
        };
        let before = *known;
        let started_again = before.position.epoch != seen.position.epoch;
        if before.is_before(seen) && (started_again || compared == Some(before)) {
            *known = seen;
        }
        started_again && before.is_before(seen)
    }

    /// Remembers a publication, unless it follows on another one than what is known.
    pub(crate) fn note_link(&mut self, channel: usize, position: Position, link: Link) {
        let follows = |known: Seen| {
            let next = known.position.next();
            position.epoch != next.epoch || position == next && link.previous == known.tag
        };
        let known = self.get(channel);
        if known.is_none_or(follows) {
            self.note(channel, Seen { position, tag: link.tag }, known);
        }
    }
}
