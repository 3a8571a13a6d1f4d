//! What a node has seen of each channel's stream, by the rules of `tidegate_cluster`'s Redis history.

use std::collections::BTreeMap;

use tidegate_protocol::position::{Link, Position, Tag};

/// The last thing seen of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    pub(crate) position: Position,
    pub(crate) tag: Tag,
}

#[derive(Debug, Default)]
pub(crate) struct Known(BTreeMap<usize, Seen>);

impl Seen {
    pub(crate) fn is_before(self, other: Self) -> bool {
        let order = |seen: Self| (seen.position.epoch.number(), seen.position.offset);
        order(self) < order(other)
    }
}

impl Known {
    pub(crate) fn get(&self, channel: usize) -> Option<Seen> {
        self.0.get(&channel).copied()
    }

    pub(crate) fn channels(&self) -> impl Iterator<Item = (usize, Option<Seen>)> {
        self.0.iter().map(|(channel, seen)| (*channel, Some(*seen)))
    }

    /// Remembers what the store said, unless something later is known, or something that the store was not compared with.
    /// The result is whether the stream has started again.
    pub(crate) fn note(&mut self, channel: usize, seen: Seen, compared: Option<Seen>) -> bool {
        let Some(known) = self.0.get_mut(&channel) else {
            self.0.insert(channel, seen);
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
