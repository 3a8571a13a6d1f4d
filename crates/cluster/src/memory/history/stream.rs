//! One channel's stream: entries with neighbouring offsets, the newest of which is the head, and the keys used for them.

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_protocol::position::{Epoch, Position};
use tidegate_protocol::time::Millis;

use crate::history::{Append, Appended, Coverage, Entry, Order, Page, Read};

use super::super::window::Window;
use super::HistoryConfig;

#[derive(Debug)]
pub(super) struct Stream {
    epoch: Epoch,
    /// The last offset given out.
    head: u64,
    entries: VecDeque<Entry>,
    entry_bytes: usize,
    name_bytes: usize,
    ttl: Duration,
    used_at: Millis,
    /// Offsets by key. Most streams never see one.
    keys: Option<Box<Window<u64>>>,
}

/// What an append did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) appended: Appended,
    pub(super) entries_evicted: u64,
    pub(super) keys_evicted: u64,
}

impl Stream {
    pub(super) fn new(epoch: Epoch, name_bytes: usize) -> Self {
        Self {
            epoch,
            head: 0,
            entries: VecDeque::new(),
            entry_bytes: 0,
            name_bytes,
            ttl: Duration::ZERO,
            used_at: Millis::ZERO,
            keys: None,
        }
    }

    pub(super) fn head(&self) -> Position {
        Position { epoch: self.epoch, offset: self.head }
    }

    /// What it costs to keep it, about.
    pub(super) fn bytes(&self) -> usize {
        let keys = self.keys.as_ref().map_or(0, |keys| keys.len() * Window::<u64>::KEY_BYTES);
        STREAM_BYTES + self.name_bytes + self.entry_bytes + keys
    }

    pub(super) fn touch(&mut self, now: Millis) {
        self.used_at = now;
    }

    pub(super) fn is_idle(&self, now: Millis, idle_max: Duration) -> bool {
        self.entries.is_empty() && self.keys.is_none() && now.since(self.used_at) >= idle_max
    }

    /// Drops what is past its time.
    pub(super) fn expire(&mut self, now: Millis) {
        while self.entries.front().is_some_and(|entry| entry.at + self.ttl <= now) {
            self.drop_oldest();
        }
        if self.entries.is_empty() {
            self.entries.shrink_to_fit();
        }
        if let Some(keys) = &mut self.keys {
            keys.expire(now);
            if keys.len() == 0 {
                self.keys = None;
            }
        }
    }

    /// Gives a publication the next offset, unless `key` (its number and when its window ends) was used.
    pub(super) fn append(
        &mut self,
        append: Append<'_>,
        key: Option<(u128, Millis)>,
        now: Millis,
        config: &HistoryConfig,
    ) -> Outcome {
        let used = key.and_then(|(number, _)| self.keys.as_ref()?.get(number, now));
        if let Some(offset) = used {
            let appended =
                Appended { position: Position { epoch: self.epoch, offset }, link: None, duplicate: true };
            return Outcome { appended, entries_evicted: 0, keys_evicted: 0 };
        }

        self.head += 1;
        let keys_evicted = key.map_or(0, |(number, ends_at)| {
            self.keys.get_or_insert_default().insert(number, self.head, ends_at, now, config.keys_max)
        });
        let retention = append.retention;
        self.ttl = retention.ttl;
        if retention.entries_max > 0 {
            self.push(append, now);
        }
        self.expire(now);
        let kept_max = usize::try_from(retention.entries_max).unwrap_or(usize::MAX);
        while self.entries.len() > kept_max {
            self.drop_oldest();
        }
        let entries_evicted = self.evict(config);
        Outcome {
            appended: Appended { position: self.head(), link: None, duplicate: false },
            entries_evicted,
            keys_evicted,
        }
    }

    pub(super) fn page(&self, read: &Read) -> Page {
        let head = self.head();
        // The first offset that is kept, or the next one if none is.
        let first = self.head + 1 - self.entries.len() as u64;
        let (from, until) = match (read.after, read.order) {
            (None, _) => (first, self.head + 1),
            (Some(Position { epoch, offset }), _) if epoch != self.epoch || offset > self.head => {
                return lost(head);
            }
            (Some(Position { offset, .. }), Order::OldestFirst) if offset + 1 < first => return lost(head),
            (Some(Position { offset, .. }), Order::OldestFirst) => (offset + 1, self.head + 1),
            (Some(Position { offset, .. }), Order::NewestFirst) => (first, offset.max(first)),
        };
        let index = |offset| usize::try_from(offset - first).expect("no more than the entries in memory");
        let wanted = self.entries.range(index(from)..index(until));
        let wanted_count = wanted.len();
        let entries = match read.order {
            Order::OldestFirst => within(wanted, read),
            Order::NewestFirst => within(wanted.rev(), read),
        };
        let coverage = if entries.len() == wanted_count { Coverage::Complete } else { Coverage::More };
        Page { head, head_tag: None, entries, coverage }
    }

    fn push(&mut self, append: Append<'_>, now: Millis) {
        let entry = Entry {
            offset: self.head,
            tag: None,
            at: now,
            data: append.data,
            from: append.from,
            conflate: append.conflate,
            trace: append.trace,
        };
        self.entry_bytes += bytes_of(&entry);
        self.entries.push_back(entry);
    }

    /// Drops the oldest entries over the stream's own limits, which hold whatever the namespace asks for.
    fn evict(&mut self, config: &HistoryConfig) -> u64 {
        let bytes_max = config.stream_bytes_max.min(config.bytes_max);
        let before = self.entries.len();
        while self.entries.len() > config.entries_max || self.entry_bytes > bytes_max {
            self.drop_oldest();
        }
        (before - self.entries.len()) as u64
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.entry_bytes -= bytes_of(&entry);
        }
    }
}

fn within<'e>(wanted: impl Iterator<Item = &'e Entry>, read: &Read) -> Vec<Entry> {
    let mut room = read.bytes_max;
    let fits = |(at, entry): &(usize, &Entry)| {
        let fits = *at == 0 || entry.data.len() <= room;
        room = room.saturating_sub(entry.data.len());
        fits
    };
    wanted.take(read.entries_max).enumerate().take_while(fits).map(|(_, entry)| entry.clone()).collect()
}

fn bytes_of(entry: &Entry) -> usize {
    // The publisher's name is shared with its session and costs nothing more here.
    let texts = [&entry.conflate, &entry.trace].into_iter().flatten();
    ENTRY_BYTES + entry.data.len() + texts.map(|text| ARC_BYTES + text.len()).sum::<usize>()
}

/// The counts in front of what an `Arc` points to.
const ARC_BYTES: usize = 2 * size_of::<usize>();
/// An entry's place in the queue, which is on average three quarters full, and its data's counts.
const ENTRY_BYTES: usize = size_of::<Entry>() * 4 / 3 + ARC_BYTES;
/// A stream's place in its shard: slot, index entry, and the counts of its name.
const STREAM_BYTES: usize = (size_of::<Stream>() + 64) * 4 / 3 + ARC_BYTES;

fn lost(head: Position) -> Page {
    Page { head, head_tag: None, entries: Vec::new(), coverage: Coverage::Lost }
}
