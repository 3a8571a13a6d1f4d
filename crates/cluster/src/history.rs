//! The last publications of channels whose namespace keeps a history, and the offsets of all.

use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::channel::{Channel, ChannelName};
use tidegate_protocol::position::{Link, Position, Tag};
use tidegate_protocol::time::Millis;

use crate::answer::Answer;
use crate::idempotency::IdempotencyKey;

/// Channels' streams of publications. An offset is given out once in an epoch; a stream that was forgotten comes back
/// under another epoch.
pub trait History: Send + Sync {
    /// Gives a publication its position and keeps it, unless its key was used within the window.
    fn append(&self, append: Append<'_>) -> Answer<Appended>;

    /// Reads a part of a stream and where its head is. A channel nobody has published to gets its epoch here, so that a
    /// subscriber has a position to come back to before the first publication.
    fn read(&self, channel: &Channel<'_>, read: Read) -> Answer<Page>;

    /// The heads of several streams, in order; `None` for one that does not exist. Makes none.
    fn heads(&self, channels: &[ChannelName]) -> Answer<Vec<Option<Position>>>;

    /// Forgets a stream with its epoch and its keys; whether there was one.
    fn remove(&self, channel: &Channel<'_>) -> Answer<bool>;

    /// Notes what this node has seen of a stream by another way, in order. A store that may be set back to an earlier state
    /// compares it with what it has from then on: where they differ, the stream starts again under a new epoch.
    ///
    /// Waits for nothing; the same position twice, or an older one, changes nothing.
    fn witness(&self, _channel: &ChannelName, _position: Position, _link: Link) {}

    /// Notes what subscribers of this node were sent last, in a stream whose head or past is about to be asked for. That may
    /// be another publication than the one which was seen there, if the stream was set back between the two: it is compared
    /// as well.
    fn witness_sent(&self, _channel: &ChannelName, _position: Position, _tag: Tag) {}
}

/// A publication on its way into a stream.
#[derive(Clone, Debug)]
pub struct Append<'a> {
    /// Where to.
    pub channel: &'a Channel<'a>,
    /// What the channel's namespace keeps; that of the last append holds for the whole stream.
    pub retention: Retention,
    /// Recognises the same publication sent again.
    pub key: Option<IdempotencyKey<'a>>,
    /// JSON as the publisher sent it.
    pub data: Arc<[u8]>,
    /// The publisher's user, where subscribers are told.
    pub from: Option<Arc<str>>,
    /// A later publication with the same value replaces this one for a slow reader.
    pub conflate: Option<Arc<str>>,
    /// W3C traceparent of a sampled publication.
    pub trace: Option<Arc<str>>,
}

/// How much of a stream is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retention {
    /// Most publications; 0 keeps none and only counts.
    pub entries_max: u32,
    /// How long each is kept, from its append.
    pub ttl: Duration,
}

/// Where a publication is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Appended {
    /// Its position; that of the first one if this is a duplicate.
    pub position: Position,
    /// Its tie to the one before it; `None` of a duplicate, and of a store that cannot be set back.
    pub link: Option<Link>,
    /// Its key was used within the window: nothing was kept, and nothing must be delivered.
    pub duplicate: bool,
}

/// Which part of a stream to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Read {
    /// Only what stands behind this position in the order that is asked for: what came after it, or before it with
    /// [`Order::NewestFirst`]. `None` is everything that is kept.
    pub after: Option<Position>,
    /// Which end of it comes first.
    pub order: Order,
    /// Most entries; 0 asks only for the head and whether `after` could be continued.
    pub entries_max: usize,
    /// Most bytes of data in them. The first entry comes in any case.
    pub bytes_max: usize,
}

/// The order of a page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// By offset, up: from `after` towards the head.
    OldestFirst,
    /// By offset, down: from the head, or from before `after`.
    NewestFirst,
}

/// A part of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    /// The last offset given out; offset 0 where nothing was published.
    pub head: Position,
    /// The tag of the publication at the head; `None` of a store that cannot be set back.
    pub head_tag: Option<Tag>,
    /// Neighbours without a gap, in the order asked for. Empty if the coverage is [`Coverage::Lost`].
    pub entries: Vec<Entry>,
    /// What of the wish `entries` covers.
    pub coverage: Coverage,
}

/// What of a wish a page covers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Coverage {
    /// All of it: whoever was at `after` and reads these entries is at the head.
    Complete,
    /// A limit cut it short. Towards the head, the last entry's offset is the next `after`.
    More,
    /// The position cannot be continued: older than what is kept, of another epoch, or ahead of the head.
    Lost,
}

/// A publication that was kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Its offset in the page's epoch.
    pub offset: u64,
    /// Tells it from another one under this offset; `None` of a store that cannot be set back.
    pub tag: Option<Tag>,
    /// When it was appended: Unix time by the store's clock.
    pub at: Millis,
    /// JSON as the publisher sent it.
    pub data: Arc<[u8]>,
    /// The publisher's user.
    pub from: Option<Arc<str>>,
    /// A later publication with the same value replaces this one for a slow reader.
    pub conflate: Option<Arc<str>>,
    /// W3C traceparent of a sampled publication.
    pub trace: Option<Arc<str>>,
}

impl Read {
    /// Only the head.
    pub const fn head() -> Self {
        Self { after: None, order: Order::NewestFirst, entries_max: 0, bytes_max: usize::MAX }
    }

    /// What came after a position, oldest first: what a resume needs.
    pub const fn after(position: Position, entries_max: usize, bytes_max: usize) -> Self {
        Self { after: Some(position), order: Order::OldestFirst, entries_max, bytes_max }
    }

    /// The newest entries, the last one first.
    pub const fn newest(entries_max: usize, bytes_max: usize) -> Self {
        Self { after: None, order: Order::NewestFirst, entries_max, bytes_max }
    }
}

impl Page {
    /// Whether it holds everything that was asked for: `recovered` of a resume that was read with one page.
    pub fn is_complete(&self) -> bool {
        self.coverage == Coverage::Complete
    }
}
