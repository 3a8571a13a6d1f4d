//! [`History`] in memory.
//!
//! Streams are spread over shards by name, so publishers to different channels seldom meet. The bounds hold over all of
//! them: when one is passed, the stream used longest ago goes as a whole, and comes back under another epoch.

mod stream;
#[cfg(test)]
mod tests;

use std::sync::Mutex;
use std::time::Duration;

use tidegate_protocol::channel::{Channel, ChannelName};
use tidegate_protocol::position::{Epoch, Position};
use tidegate_protocol::time::Millis;

use crate::answer::{Answer, ready};
use crate::clock::Clock;
use crate::history::{Append, Appended, Coverage, History, Page, Read};
use crate::idempotency::Scope;

use super::count::{Counter, Level};
use super::lru::LruMap;
use super::shards::{Shards, lock};
use super::window::Fingerprints;

use self::stream::Stream;

/// Streams of the channels of this process.
#[derive(Debug)]
pub struct MemoryHistory {
    config: HistoryConfig,
    clock: Clock,
    epoch_seed: u64,
    epochs: Counter,
    fingerprints: Fingerprints,
    shards: Shards<LruMap<ChannelName, Stream>>,
    /// Counts uses of streams, so that the one used longest ago can be found among all shards.
    uses: Counter,
    streams: Level,
    bytes: Level,
    /// One thread at a time makes room: two would each find the same oldest stream, and drop one more than needed.
    evicting: Mutex<()>,
    totals: Totals,
}

/// The bounds of a [`MemoryHistory`].
#[derive(Clone, Copy, Debug)]
pub struct HistoryConfig {
    /// Most streams.
    pub streams_max: usize,
    /// Most bytes over all streams: data, keys, and what it costs to keep them.
    pub bytes_max: usize,
    /// Most bytes of entries in one stream, at most `bytes_max`; its oldest entries go first.
    pub stream_bytes_max: usize,
    /// Most entries in one stream, whatever its namespace asks for.
    pub entries_max: usize,
    /// Most keys remembered in one stream; one more drops the oldest.
    pub keys_max: usize,
    /// How long a stream without entries and without use keeps its epoch. At least as long as a client may take to come
    /// back, or it is told that it may have missed something when nothing was published.
    pub idle_max: Duration,
}

/// What a [`MemoryHistory`] holds now and has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HistoryStats {
    /// Streams.
    pub streams: usize,
    /// Bytes over all of them.
    pub bytes: usize,
    /// Publications that got an offset.
    pub appended_total: u64,
    /// Publications that were recognised as appended before.
    pub duplicates_total: u64,
    /// Streams dropped with their entries, for lack of room.
    pub streams_evicted_total: u64,
    /// Entries dropped before their namespace's limits, because the stream was at one of its own.
    pub entries_evicted_total: u64,
    /// Keys dropped before their window ended, for lack of room.
    pub keys_evicted_total: u64,
    /// Reads that could not be continued from their position.
    pub lost_total: u64,
}

#[derive(Debug, Default)]
struct Totals {
    appended: Counter,
    duplicates: Counter,
    streams_evicted: Counter,
    entries_evicted: Counter,
    keys_evicted: Counter,
    lost: Counter,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self {
            streams_max: 100_000,
            bytes_max: 256 << 20,
            stream_bytes_max: 32 << 20,
            entries_max: 10_000,
            keys_max: 10_000,
            idle_max: Duration::from_secs(3600),
        }
    }
}

impl MemoryHistory {
    /// An empty history. `epoch_seed` is random and different in each process: it keeps epochs from repeating.
    pub fn new(config: HistoryConfig, clock: Clock, epoch_seed: u64) -> Self {
        Self {
            config,
            clock,
            epoch_seed,
            epochs: Counter::default(),
            fingerprints: Fingerprints::default(),
            shards: Shards::new(),
            uses: Counter::default(),
            streams: Level::default(),
            bytes: Level::default(),
            evicting: Mutex::default(),
            totals: Totals::default(),
        }
    }

    /// What it holds and has done.
    pub fn stats(&self) -> HistoryStats {
        HistoryStats {
            streams: self.streams.now(),
            bytes: self.bytes.now(),
            appended_total: self.totals.appended.total(),
            duplicates_total: self.totals.duplicates.total(),
            streams_evicted_total: self.totals.streams_evicted.total(),
            entries_evicted_total: self.totals.entries_evicted.total(),
            keys_evicted_total: self.totals.keys_evicted.total(),
            lost_total: self.totals.lost.total(),
        }
    }

    /// Gives back the memory of entries and keys past their time, and of streams that were idle for too long.
    pub fn sweep(&self) {
        let now = self.clock.now();
        for mut shard in self.shards.each() {
            shard.retain(|_, stream| {
                let before = stream.bytes();
                stream.expire(now);
                let keep = !stream.is_idle(now, self.config.idle_max);
                if !keep {
                    self.streams.give(1);
                }
                self.bytes.replace(before, if keep { stream.bytes() } else { 0 });
                keep
            });
        }
    }

    /// Works on a stream, which is made if there is none, and makes room afterwards if that took more than there may be.
    fn with_stream<T>(&self, channel: &Channel<'_>, now: Millis, work: impl FnOnce(&mut Stream) -> T) -> T {
        let used = self.uses.take();
        let result = {
            let mut shard = self.shards.lock(channel.as_str());
            let (stream, before) = match shard.get_mut(channel.as_str(), used) {
                Some(stream) => {
                    let before = stream.bytes();
                    (stream, before)
                }
                None => {
                    let name = ChannelName::from(channel);
                    let stream = Stream::new(self.next_epoch(), name.as_str().len());
                    self.streams.replace(0, 1);
                    (shard.insert(name, stream, used), 0)
                }
            };
            stream.expire(now);
            stream.touch(now);
            let result = work(stream);
            self.bytes.replace(before, stream.bytes());
            result
        };
        if self.is_over() {
            self.make_room();
        }
        result
    }

    fn is_over(&self) -> bool {
        self.streams.now() > self.config.streams_max || self.bytes.now() > self.config.bytes_max
    }

    #[cold]
    fn make_room(&self) {
        let _one_at_a_time = lock(&self.evicting);
        while self.is_over() {
            let oldest = self
                .shards
                .each()
                .enumerate()
                .filter_map(|(at, shard)| Some((shard.oldest_used()?, at)))
                .min();
            let Some((_, at)) = oldest else { return };
            // Someone may have used it since: then the next one of its shard goes, which is nearly as old.
            let Some((_, stream)) = self.shards.lock_nth(at).pop_oldest() else { continue };
            self.forget(&stream);
            self.totals.streams_evicted.add(1);
        }
    }

    fn forget(&self, stream: &Stream) {
        self.streams.give(1);
        self.bytes.replace(stream.bytes(), 0);
    }

    /// Never the same twice in a process, and in two processes only by a chance of 1 in 2^64.
    fn next_epoch(&self) -> Epoch {
        Epoch::new(scramble(self.epoch_seed.wrapping_add(self.epochs.take())))
    }
}

impl History for MemoryHistory {
    fn append(&self, append: Append<'_>) -> Answer<Appended> {
        let now = self.clock.now();
        let key = append.key.map(|key| {
            let scope = Scope::Channel(append.channel.as_str());
            (self.fingerprints.of(scope, key), now + key.window)
        });
        let outcome =
            self.with_stream(append.channel, now, |stream| stream.append(append, key, now, &self.config));
        if outcome.appended.duplicate {
            self.totals.duplicates.add(1);
        } else {
            self.totals.appended.add(1);
            self.totals.entries_evicted.add(outcome.entries_evicted);
            self.totals.keys_evicted.add(outcome.keys_evicted);
        }
        ready(Ok(outcome.appended))
    }

    fn read(&self, channel: &Channel<'_>, read: Read) -> Answer<Page> {
        let page = self.with_stream(channel, self.clock.now(), |stream| stream.page(&read));
        if page.coverage == Coverage::Lost {
            self.totals.lost.add(1);
        }
        ready(Ok(page))
    }

    fn heads(&self, channels: &[ChannelName]) -> Answer<Vec<Option<Position>>> {
        let head = |channel: &ChannelName| {
            self.shards.lock(channel.as_str()).peek(channel.as_str()).map(Stream::head)
        };
        ready(Ok(channels.iter().map(head).collect()))
    }

    fn remove(&self, channel: &Channel<'_>) -> Answer<bool> {
        let removed = self.shards.lock(channel.as_str()).remove(channel.as_str());
        if let Some((_, stream)) = &removed {
            self.forget(stream);
        }
        ready(Ok(removed.is_some()))
    }
}

/// A permutation of the 64-bit numbers (the finalizer of SplitMix64): neighbours come out far apart.
fn scramble(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
