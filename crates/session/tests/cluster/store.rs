//! The store that nodes share: the rules of the Redis scripts, over maps.
//!
//! Everything in it can be copied, so that a replica that lags, or an old disk, can take its place.

use std::collections::{BTreeMap, VecDeque};

use tidegate_protocol::command::StartFrom;
use tidegate_protocol::position::{Epoch, Link, Position, Tag};

use crate::Mutation;
use crate::known::{Measure, Seen};

use self::sessions::Sessions;

pub(crate) mod sessions;

/// Epochs begin with the time of their start and end with so many random ones.
const EPOCHS_A_MILLISECOND: u64 = 36_u64.pow(4);

/// All that the server holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    streams: BTreeMap<usize, Stream>,
    pub(crate) sessions: Sessions,
}

#[derive(Clone, Debug)]
struct Stream {
    epoch: Epoch,
    head: u64,
    tag: Tag,
    entries: VecDeque<Entry>,
    /// Keys that were used in this epoch, and for which offset.
    keys: BTreeMap<u64, u64>,
    /// Everything that was appended in this epoch, for whoever wants to know better.
    log: Vec<u64>,
}

/// A publication that is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) offset: u64,
    pub(crate) tag: Tag,
    /// The tag of the one before it.
    previous: Tag,
    pub(crate) number: u64,
}

/// What the steps are told besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) now: u64,
    /// Decides tags and the ends of epochs.
    pub(crate) random: u64,
    pub(crate) entries_max: usize,
    pub(crate) mutation: Mutation,
}

/// What an append did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appended {
    pub(crate) position: Position,
    /// `None`: its key was used before.
    pub(crate) link: Option<Link>,
}

/// A part of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) head: Seen,
    /// `None`: nothing was asked for; else whether `entries` are all of it.
    pub(crate) recovered: Option<bool>,
    pub(crate) entries: Vec<Entry>,
}

impl Store {
    /// Gives a number the next offset, unless its key was used.
    pub(crate) fn append(&mut self, channel: usize, number: u64, known: Measure, terms: Terms) -> Appended {
        let stream = self.open(channel, known, terms);
        if let Some(&offset) = stream.keys.get(&number) {
            return Appended { position: Position { epoch: stream.epoch, offset }, link: None };
        }
        let link = Link { tag: Tag::new(terms.random | 1), previous: stream.tag };
        stream.head += 1;
        stream.tag = link.tag;
        stream.keys.insert(number, stream.head);
        stream.log.push(number);
        stream.entries.push_back(Entry {
            offset: stream.head,
            tag: link.tag,
            previous: link.previous,
            number,
        });
        if stream.entries.len() > terms.entries_max {
            stream.entries.pop_front();
        }
        Appended { position: stream.seen().position, link: Some(link) }
    }

    /// Reads what a subscription from `from` begins with.
    pub(crate) fn read(&mut self, channel: usize, from: StartFrom, known: Measure, terms: Terms) -> Page {
        let stream = self.open(channel, known, terms);
        let head = stream.seen();
        let (after, recovered) = match from {
            StartFrom::Live => (stream.head, None),
            StartFrom::Newest(count) => (stream.head.saturating_sub(count.into()), None),
            StartFrom::Position(after) => {
                let oldest = stream.entries.front().map_or(stream.head + 1, |entry| entry.offset);
                let is_kept =
                    after.epoch == stream.epoch && after.offset <= stream.head && oldest <= after.offset + 1;
                (if is_kept { after.offset } else { stream.head }, Some(is_kept))
            }
        };
        let entries = stream.entries.iter().filter(|entry| entry.offset > after).copied().collect();
        Page { head, recovered, entries }
    }

    /// Where streams end; `None`: there is none, and the node has seen none.
    pub(crate) fn heads(&mut self, asked: &[(usize, Measure)], terms: Terms) -> Vec<(usize, Option<Seen>)> {
        let head = |&(channel, known): &(usize, Measure)| {
            let exists = known.seen.is_some() || self.streams.contains_key(&channel);
            (channel, exists.then(|| self.open(channel, known, terms).seen()))
        };
        asked.iter().map(head).collect()
    }

    /// Where a stream ends, for whoever compares in the end.
    pub(crate) fn head(&self, channel: usize) -> Option<Seen> {
        self.streams.get(&channel).map(Stream::seen)
    }

    /// Whether a number is at an offset, kept or not.
    pub(crate) fn has(&self, channel: usize, number: u64, offset: u64) -> bool {
        let at = usize::try_from(offset).expect("few were appended").checked_sub(1);
        let log = self.streams.get(&channel).map_or(&[][..], |stream| &stream.log);
        at.is_some_and(|at| log.get(at) == Some(&number))
    }

    /// Takes over the keys of a later state: what must not happen.
    pub(crate) fn keep_keys_of(&mut self, later: &Self) {
        for (channel, stream) in &mut self.streams {
            let Some(later) = later.streams.get(channel) else { continue };
            stream.keys.clone_from(&later.keys);
        }
    }

    /// What every step on a stream begins with.
    fn open(&mut self, channel: usize, known: Measure, terms: Terms) -> &mut Stream {
        let stream = self.streams.get(&channel);
        let checks = terms.mutation != Mutation::TagsNotCompared;
        let mut measures = [known.seen, known.sent].into_iter().flatten();
        let is_good = stream.is_some_and(|stream| !checks || !measures.any(|seen| stream.is_set_back(seen)));
        if !is_good {
            let stamp =
                |epoch: Option<Epoch>| epoch.map_or(0, |epoch| epoch.number() / EPOCHS_A_MILLISECOND + 1);
            let seen = stamp(known.seen.map(|known| known.position.epoch));
            let stamp = terms.now.max(seen).max(stamp(stream.map(|stream| stream.epoch)));
            let epoch = Epoch::new(stamp * EPOCHS_A_MILLISECOND + terms.random % EPOCHS_A_MILLISECOND);
            self.streams.insert(channel, Stream::new(epoch));
        }
        self.streams.get_mut(&channel).expect("it was made if there was none")
    }
}

impl Stream {
    fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            head: 0,
            tag: Tag::ORIGIN,
            entries: VecDeque::new(),
            keys: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    fn seen(&self) -> Seen {
        Seen { position: Position { epoch: self.epoch, offset: self.head }, tag: self.tag }
    }

    /// Whether it contradicts what a node has seen of it.
    fn is_set_back(&self, known: Seen) -> bool {
        let stamp = |epoch: Epoch| epoch.number() / EPOCHS_A_MILLISECOND;
        let Seen { position, tag } = known;
        if position.epoch != self.epoch {
            return stamp(position.epoch) >= stamp(self.epoch);
        }
        if position.offset >= self.head {
            return position.offset > self.head || tag != self.tag;
        }
        let contradicts = |entry: &Entry| match entry.offset.checked_sub(position.offset) {
            Some(0) => entry.tag != tag,
            Some(1) => entry.previous != tag,
            _ => false,
        };
        self.entries.iter().any(contradicts)
    }
}
