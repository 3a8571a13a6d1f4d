//! What the server API asks of the node: the one trait between HTTP and everything that knows sessions and channels.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::command::{HistoryOrder, Target};
use tidegate_protocol::error::ErrorBody;
use tidegate_protocol::id::{NodeName, SessionId};
use tidegate_protocol::json::OwnedJson;
use tidegate_protocol::position::Position;

use super::answers::{ChannelInfo, HistoryMessage, Member, NodeInfo, Published, Reached, SessionInfo};

/// The answer of a call, ready or on its way. Dropping one takes nothing back: its work may be done before it is polled.
///
/// An error's code becomes the status of the HTTP answer, `retry_after_ms` its `Retry-After`.
pub(crate) type Answer<T> = Pin<Box<dyn Future<Output = Result<T, ErrorBody>> + std::marker::Send + 'static>>;

/// Every call of the server API. The caller's right was checked before; permissions of clients do not apply.
///
/// Publications of one request on one channel are asked for one after the other.
pub(crate) trait Services: std::marker::Send + Sync {
    /// Publishes on a channel, for all its subscribers in the cluster.
    fn publish(&self, publish: Publish) -> Answer<Published>;

    /// Sends to sessions; none of them being there is no error.
    fn send(&self, send: Send) -> Answer<Reached>;

    /// Subscribes sessions, as if each had asked for it.
    fn subscribe(&self, change: SubscriptionChange) -> Answer<Reached>;

    /// Unsubscribes sessions and tells them.
    fn unsubscribe(&self, change: SubscriptionChange) -> Answer<Reached>;

    /// Closes connections and ends their sessions.
    fn disconnect(&self, disconnect: Disconnect) -> Answer<Reached>;

    /// Channels by name.
    fn channels(&self, query: ChannelsQuery) -> Answer<Page<ChannelInfo, ChannelName>>;

    /// One channel; `None` where nobody has subscribed to it and nothing of it is kept.
    fn channel(&self, channel: ChannelName) -> Answer<Option<ChannelInfo>>;

    /// Members of a channel, by session.
    fn presence(&self, query: PresenceQuery) -> Answer<Presence>;

    /// Earlier publications of a channel.
    fn history(&self, query: HistoryQuery) -> Answer<History>;

    /// Sessions by id.
    fn sessions(&self, query: SessionsQuery) -> Answer<Page<SessionInfo, SessionId>>;

    /// One session; `None` where there is no such.
    fn session(&self, session: SessionId) -> Answer<Option<SessionInfo>>;

    /// Every node of the cluster, by name.
    fn nodes(&self) -> Answer<Vec<NodeInfo>>;
}

/// A publication.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Publish {
    /// Where to.
    pub channel: ChannelName,
    /// The message, as the bytes that came.
    pub data: OwnedJson,
    /// Makes the same publish idempotent: 1 to 64 bytes.
    pub key: Option<Arc<str>>,
    /// A later message with the same value replaces this one for a slow reader: 1 to 64 bytes.
    pub conflate: Option<Arc<str>>,
    /// W3C `traceparent` of the request, well-formed.
    pub trace: Option<Arc<str>>,
}

/// A message to sessions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Send {
    /// Who gets it.
    pub target: Target<'static>,
    /// The message, as the bytes that came.
    pub data: OwnedJson,
    /// Makes the same send idempotent: 1 to 64 bytes.
    pub key: Option<Arc<str>>,
}

/// A subscription to begin or to end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SubscriptionChange {
    /// Whose.
    pub target: Target<'static>,
    /// Of what.
    pub channel: ChannelName,
}

/// Connections to close.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Disconnect {
    /// Whose.
    pub subject: Subject,
    /// The close code, 4000 to 4999; `None`: 4505 `disconnected`.
    pub code: Option<u16>,
    /// The close frame's reason: at most 123 bytes.
    pub reason: Option<Arc<str>>,
    /// Whether the subject may not come back, either.
    pub revoke: bool,
}

/// Who is disconnected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Subject {
    /// All sessions of a user.
    User(Arc<str>),
    /// One session.
    Session(SessionId),
    /// All sessions that showed a token with this `jti`.
    Token(Arc<str>),
}

/// Which channels to list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ChannelsQuery {
    /// What their names start with; empty: all.
    pub prefix: Arc<str>,
    /// Only names behind this one.
    pub after: Option<ChannelName>,
    /// At most this many.
    pub limit: u32,
}

/// Which members to list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PresenceQuery {
    /// Of which channel.
    pub channel: ChannelName,
    /// Only sessions behind this one.
    pub after: Option<SessionId>,
    /// At most this many.
    pub limit: u32,
}

/// Which publications to read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HistoryQuery {
    /// Of which channel.
    pub channel: ChannelName,
    /// In the order asked for, only those behind this position; `None`: from that order's beginning.
    pub after: Option<Position>,
    /// The order.
    pub order: HistoryOrder,
    /// At most this many.
    pub limit: u32,
    /// At most this many bytes of `data`; the first publication comes in any case.
    pub bytes_max: usize,
}

/// Which sessions to list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SessionsQuery {
    /// Only those of this user.
    pub user: Option<Arc<str>>,
    /// Only those that this node has or had last.
    pub node: Option<NodeName>,
    /// Only sessions behind this one.
    pub after: Option<SessionId>,
    /// At most this many.
    pub limit: u32,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub(crate) struct Page<T, After> {
    /// The part.
    pub items: Vec<T>,
    /// `after` of the next part, where there may be one.
    pub next: Option<After>,
}

/// Members of a channel.
#[derive(Clone, Debug)]
pub(crate) struct Presence {
    /// A part of them.
    pub page: Page<Member, SessionId>,
    /// How many there are in all.
    pub total: u64,
}

/// Publications of a channel.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// The last position given out.
    pub head: Position,
    /// A part of them; `next` is the offset of its last one.
    pub page: Page<HistoryMessage, u64>,
}
