//! What this node has seen of each channel's stream: the measure for a server that may have been set back.

use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::position::{Link, Position, Tag};

use crate::memory::count::{Counter, Level};
use crate::memory::lru::LruMap;
use crate::memory::shards::Shards;

#[cfg(test)]
mod tests;

/// The last thing seen of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Seen {
    pub(super) position: Position,
    /// Of the publication there; [`Tag::ORIGIN`] before the first.
    pub(super) tag: Tag,
}

/// What a server is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    pub(super) seen: Seen,
    /// What subscribers of this node were sent last, if it is not what was seen last: they may have got it from a stream
    /// that was set back before this node saw more of it.
    pub(super) sent: Option<Seen>,
}

#[derive(Debug)]
pub(super) struct Known {
    shards: Shards<LruMap<ChannelName, Measure>>,
    /// Most channels in each shard.
    shard_max: usize,
    uses: Counter,
    count: Level,
    evicted: Counter,
}

impl Seen {
    /// Epochs begin with the time of their start, so their numbers are in its order.
    pub(super) fn is_before(self, other: Self) -> bool {
        let order = |seen: Self| (seen.position.epoch.number(), seen.position.offset);
        order(self) < order(other)
    }
}

impl Known {
    /// `max` is rounded up to a multiple of the shards.
    pub(super) fn new(max: usize) -> Self {
        Self {
            shards: Shards::new(),
            shard_max: Shards::<LruMap<ChannelName, Measure>>::share(max),
            uses: Counter::default(),
            count: Level::default(),
            evicted: Counter::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count.now()
    }

    pub(super) fn evicted_total(&self) -> u64 {
        self.evicted.total()
    }

    pub(super) fn get(&self, channel: &ChannelName) -> Option<Seen> {
        self.measure(channel).map(|measure| measure.seen)
    }

    pub(super) fn measure(&self, channel: &ChannelName) -> Option<Measure> {
        let used = self.uses.take();
        self.shards.lock(channel.as_str()).get_mut(channel.as_str(), used).copied()
    }

    /// Remembers what subscribers were sent last, in a channel of which something is known.
    pub(super) fn note_sent(&self, channel: &ChannelName, sent: Seen) {
        let used = self.uses.take();
        if let Some(measure) = self.shards.lock(channel.as_str()).get_mut(channel.as_str(), used) {
            measure.sent = Some(sent).filter(|sent| *sent != measure.seen);
        }
    }

    /// Remembers what the server said, unless something later is known; what was known before.
    ///
    /// Two publications under the same offset are a fork: the first one seen stays, and the server is compared with it. So
    /// does one that the server was not `compared` with, since it became known while the question was under way.
    pub(super) fn note(&self, channel: &ChannelName, seen: Seen, compared: Option<Seen>) -> Option<Seen> {
        let used = self.uses.take();
        let mut shard = self.shards.lock(channel.as_str());
        if let Some(known) = shard.get_mut(channel.as_str(), used) {
            let before = known.seen;
            let hides_nothing = compared == Some(before) || before.position.epoch != seen.position.epoch;
            if hides_nothing && before.is_before(seen) {
                known.seen = seen;
            }
            return Some(before);
        }
        if shard.len() >= self.shard_max && shard.pop_oldest().is_some() {
            self.evicted.add(1);
            self.count.give(1);
        }
        if self.shard_max > 0 {
            shard.insert(channel.clone(), Measure { seen, sent: None }, used);
            self.count.replace(0, 1);
        }
        None
    }

    /// Remembers a publication that the server was not asked about, unless it follows on another one than what is known:
    /// then the server is still compared with that. So it is where some are missing in between.
    pub(super) fn note_link(&self, channel: &ChannelName, position: Position, link: Link) {
        let follows = |known: Seen| {
            let next = known.position.next();
            position.epoch != next.epoch || position == next && link.previous == known.tag
        };
        let known = self.get(channel);
        if known.is_none_or(follows) {
            self.note(channel, Seen { position, tag: link.tag }, known);
        }
    }

    /// The channels of which something is known.
    pub(super) fn channels(&self) -> Vec<ChannelName> {
        let mut channels = Vec::with_capacity(self.len());
        for mut shard in self.shards.each() {
            shard.retain(|channel, _| {
                channels.push(channel.clone());
                true
            });
        }
        channels
    }
}
