//! [`History`] in Redis, for which a server that was set back is no other stream's server.
//!
//! Each append gives its publication a random tag. A node remembers the last position and tag that it has seen of each
//! channel, and every step compares it with what the server has: a head that lies before it, or another tag under the same
//! offset, is a fork, and the stream starts again under a new epoch. Epochs begin with the time of their start, so a node
//! also knows which of two is the later one. What a node has seen is compared again whenever a connection was made anew:
//! forks show then, before a client comes across them.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Key;
use tidegate_protocol::channel::{Channel, ChannelName};
use tidegate_protocol::position::{Link, Position, Tag};
use tidegate_protocol::time::whole_ms;

use crate::answer::Answer;
use crate::history::{Append, Appended, Coverage, History, Order, Page, Read};
use crate::memory::count::Counter;

use super::client::RedisClient;
use super::random;
use super::script::{Args, Script};
use super::stats::Operation;

use self::known::{Known, Seen};

mod answers;
mod heads;
mod known;
mod sweep;

/// Streams of the channels of a cluster.
#[derive(Clone, Debug)]
pub struct RedisHistory {
    inner: Arc<Inner>,
}

/// The bounds of a [`RedisHistory`], the same on all nodes.
#[derive(Clone, Copy, Debug)]
pub struct HistoryConfig {
    /// Most entries in one stream, whatever its namespace asks for.
    pub entries_max: u32,
    /// Most bytes of entries in one stream; its oldest entries go first.
    pub stream_bytes_max: u64,
    /// How long a stream keeps its epoch after its last use. At least as long as a client may take to come back, or it is
    /// told that it may have missed something when nothing was published.
    pub idle_max: Duration,
    /// Of how many channels this node remembers what it has seen; the one used longest ago goes first.
    pub known_max: usize,
}

/// What a [`RedisHistory`] has done and found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HistoryStats {
    /// Publications that got an offset.
    pub appended_total: u64,
    /// Publications that were recognised as appended before.
    pub duplicates_total: u64,
    /// Entries dropped before their namespace's limits, because the stream was at its bound of bytes.
    pub entries_evicted_total: u64,
    /// Reads that could not be continued from their position.
    pub lost_total: u64,
    /// Streams that were found under a later epoch than this node had seen: removed, forgotten, or set back.
    pub restarted_total: u64,
    /// Channels of which this node remembers what it has seen.
    pub known: usize,
    /// Those it forgot for lack of room: a fork of them shows to other nodes only.
    pub known_evicted_total: u64,
    /// Times that all known heads were compared.
    pub sweeps_total: u64,
}

/// Called with a channel whose stream started again, and where its head is now. Must return soon.
pub type OnRestart = Arc<dyn Fn(&ChannelName, Position) + Send + Sync>;

struct Inner {
    client: RedisClient,
    config: HistoryConfig,
    known: Known,
    on_restart: OnRestart,
    totals: Totals,
}

#[derive(Debug, Default)]
struct Totals {
    appended: Counter,
    duplicates: Counter,
    evicted: Counter,
    lost: Counter,
    restarted: Counter,
    sweeps: Counter,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self {
            entries_max: 10_000,
            stream_bytes_max: 32 << 20,
            idle_max: Duration::from_secs(3600),
            known_max: 100_000,
        }
    }
}

impl RedisHistory {
    /// A history over these connections.
    pub fn new(client: RedisClient, config: HistoryConfig, on_restart: OnRestart) -> Self {
        let known = Known::new(config.known_max);
        let inner = Arc::new(Inner { client, config, known, on_restart, totals: Totals::default() });
        sweep::start(&inner);
        Self { inner }
    }

    /// What it has done and found.
    pub fn stats(&self) -> HistoryStats {
        let Inner { totals, known, .. } = &*self.inner;
        HistoryStats {
            appended_total: totals.appended.total(),
            duplicates_total: totals.duplicates.total(),
            entries_evicted_total: totals.evicted.total(),
            lost_total: totals.lost.total(),
            restarted_total: totals.restarted.total(),
            known: known.len(),
            known_evicted_total: known.evicted_total(),
            sweeps_total: totals.sweeps.total(),
        }
    }
}

impl History for RedisHistory {
    fn append(&self, append: Append<'_>) -> Answer<Appended> {
        let inner = Arc::clone(&self.inner);
        let channel = ChannelName::from(append.channel);
        let tag = Tag::new(random().max(1));
        let known = inner.known.get(&channel);
        let window = append.key.map_or(0, |key| whole_ms(key.window).max(1));
        let mut keys = inner.keys(&channel).to_vec();
        // The length keeps one publisher's key from looking like another's.
        keys.extend(append.key.map(|key| {
            let publisher_bytes = key.publisher.len();
            inner.client.key(format_args!("{{h:{channel}}}:k:{publisher_bytes}:{}{}", key.publisher, key.key))
        }));
        let mut entry = Args::new().text("d").shared(append.data);
        for (field, value) in [("f", append.from), ("c", append.conflate), ("w", append.trace)] {
            if let Some(value) = value {
                entry = entry.text(field).text(&*value);
            }
        }
        let args = inner
            .opening(known)
            .text(tag_text(tag))
            .number(append.retention.entries_max.min(inner.config.entries_max).into())
            .number(whole_ms(append.retention.ttl))
            .number(inner.config.stream_bytes_max)
            .number(window)
            .extend(entry);
        let client = inner.client.clone();
        client.call(&APPEND, keys, args, move |answer| {
            let answer = answers::appended(answer)?;
            if answer.duplicate {
                inner.totals.duplicates.add(1);
                return Some(Appended { position: answer.position, link: None, duplicate: true });
            }
            inner.totals.appended.add(1);
            inner.totals.evicted.add(answer.evicted);
            let link = Link { tag, previous: answer.previous };
            inner.note(&channel, Seen { position: answer.position, tag }, known);
            // Appends that are under way together are compared with the same one: they tell of each other.
            inner.known.note_link(&channel, answer.position, link);
            Some(Appended { position: answer.position, link: Some(link), duplicate: false })
        })
    }

    fn read(&self, channel: &Channel<'_>, read: Read) -> Answer<Page> {
        let inner = Arc::clone(&self.inner);
        let channel = ChannelName::from(channel);
        let entries_max = u32::try_from(read.entries_max).unwrap_or(u32::MAX);
        let (epoch, offset) =
            read.after.map_or((String::new(), 0), |after| (after.epoch.to_string(), after.offset));
        let measure = inner.known.measure(&channel);
        let known = measure.map(|measure| measure.seen);
        let args = inner
            .opening(known)
            .text(epoch)
            .number(offset)
            .number((read.order == Order::NewestFirst).into())
            .number(entries_max.into())
            .number(read.bytes_max as u64);
        let args = seen(args, measure.and_then(|measure| measure.sent));
        let (client, keys) = (inner.client.clone(), inner.keys(&channel).to_vec());
        client.call(&READ, keys, args, move |answer| {
            let page = answers::page(answer)?;
            if page.coverage == Coverage::Lost {
                inner.totals.lost.add(1);
            }
            inner.note(&channel, Seen { position: page.head, tag: page.head_tag? }, known);
            Some(page)
        })
    }

    fn heads(&self, channels: &[ChannelName]) -> Answer<Vec<Option<Position>>> {
        Inner::heads(&self.inner, channels)
    }

    fn remove(&self, channel: &Channel<'_>) -> Answer<bool> {
        let keys = self.inner.keys(&ChannelName::from(channel)).to_vec();
        self.inner.client.call(&REMOVE, keys, Args::new(), |answer| match super::script::number(&answer)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        })
    }

    fn witness(&self, channel: &ChannelName, position: Position, link: Link) {
        // An epoch of another kind of history says nothing about one of these, whatever it would compare as.
        if position.epoch.number() < EPOCHS_END {
            self.inner.known.note_link(channel, position, link);
        }
    }

    fn witness_sent(&self, channel: &ChannelName, position: Position, tag: Tag) {
        if position.epoch.number() < EPOCHS_END {
            self.inner.known.note_sent(channel, Seen { position, tag });
        }
    }
}

impl Inner {
    fn keys(&self, channel: &ChannelName) -> [Key; 2] {
        ["m", "s"].map(|part| self.client.key(format_args!("{{h:{channel}}}:{part}")))
    }

    /// What every step begins with: what this node has seen, digits for a new epoch, and how long an idle stream lives.
    fn opening(&self, known: Option<Seen>) -> Args {
        seen(Args::new(), known).text(epoch_digits()).number(whole_ms(self.config.idle_max))
    }

    /// Remembers what the server said of a stream, and tells if that has started again.
    fn note(&self, channel: &ChannelName, seen: Seen, compared: Option<Seen>) {
        let before = self.known.note(channel, seen, compared);
        let started_again = before.is_some_and(|before| before.position.epoch != seen.position.epoch);
        // An answer that was overtaken by one under a later epoch tells nothing new.
        if started_again && before.is_some_and(|before| before.is_before(seen)) {
            self.totals.restarted.add(1);
            (self.on_restart)(channel, seen.position);
        }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisHistory").field("client", &self.client).finish_non_exhaustive()
    }
}

/// What a node has seen of a stream, for the server to compare with.
fn seen(args: Args, known: Option<Seen>) -> Args {
    match known {
        Some(Seen { position, tag }) => {
            args.text(position.epoch.to_string()).number(position.offset).text(tag_text(tag))
        }
        None => args.text("").number(0).text(""),
    }
}

fn tag_text(tag: Tag) -> String {
    format!("{:x}", tag.number())
}

/// Four digits of base 36, which tell apart epochs that were started at the same millisecond.
fn epoch_digits() -> String {
    let mut rest = random();
    let mut digit = || {
        let digit = char::from_digit((rest % 36) as u32, 36).expect("it is below 36");
        rest /= 36;
        digit
    };
    (0..4).map(|_| digit()).collect()
}

static APPEND: Script = Script::lua(
    Operation::HistoryAppend,
    concat!(include_str!("history/stream.lua"), include_str!("history/append.lua")),
);
static READ: Script = Script::lua(
    Operation::HistoryRead,
    concat!(include_str!("history/stream.lua"), include_str!("history/read.lua")),
);
/// What every node does all the time.
pub(super) static EVERYDAY: [&Script; 2] = [&APPEND, &READ];

static REMOVE: Script = Script::lua(Operation::HistoryRemove, include_str!("history/remove.lua"));

/// Epochs have twelve digits of base 36, of which eight are milliseconds: until 2059.
const EPOCHS_END: u64 = 36_u64.pow(12);
