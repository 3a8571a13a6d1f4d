//! What clients send in the native dialect: one message holds commands as JSON objects, separated by line feeds.
//!
//! Place in the data path: a decoded text message → [`objects`] → [`parse`] → the session. A command borrows from its
//! message; `data` and `info` are carried as the bytes that came.

use std::borrow::Cow;
use std::fmt;

use crate::channel::Channel;
use crate::error::ErrorBody;
use crate::id::{ResumeSecret, SessionId};
use crate::json::RawJson;
use crate::limits;
use crate::position::Position;

mod append;
mod bodies;
mod parse;
#[cfg(test)]
mod tests;

pub use append::append;
pub use parse::parse;

/// One object of a client: a command, and the number its reply shall carry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request<'a> {
    /// Without it there is no reply, but still an error where one is due.
    pub id: Option<u32>,
    /// What is asked for.
    pub command: Command<'a>,
}

/// An object that holds no command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BadRequest {
    /// The object's `id`, where it could be read: from before or behind what is wrong.
    pub id: Option<u32>,
    /// What is wrong and where, bounded in length.
    pub error: ErrorBody,
}

/// What a client may ask for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command<'a> {
    /// The first command of a connection: a new session or an old one.
    Connect(Box<Connect<'a>>),
    /// Messages of a channel from now on, or from an earlier point.
    Subscribe(Subscribe<'a>),
    /// No more messages of a channel.
    Unsubscribe {
        /// The channel.
        channel: Channel<'a>,
    },
    /// A message to all subscribers of a channel.
    Publish(Publish<'a>),
    /// A message to one user or session.
    Send(Send<'a>),
    /// Who is on a channel.
    Presence {
        /// The channel.
        channel: Channel<'a>,
    },
    /// Earlier messages of a channel.
    History(History<'a>),
    /// A new token in place of one that expires.
    Refresh {
        /// The token.
        token: Cow<'a, str>,
    },
    /// `{}`: the answer to the server's `{}`.
    Pong,
}

/// The name of a command, as it stands in its object and in its reply.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum CommandName {
    /// `connect`
    Connect,
    /// `subscribe`
    Subscribe,
    /// `unsubscribe`
    Unsubscribe,
    /// `publish`
    Publish,
    /// `send`
    Send,
    /// `presence`
    Presence,
    /// `history`
    History,
    /// `refresh`
    Refresh,
    /// `{}`, which has no name on the wire.
    Pong,
}

/// The body of `connect`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Connect<'a> {
    /// Who the client is; `None`: anonymous, or known from its handshake.
    pub token: Option<Cow<'a, str>>,
    /// The session it comes back to; `None`: a new one.
    pub resume: Option<Resume>,
    /// How far the client got in each channel, as far as it kept that. No channel is named twice.
    pub positions: Vec<(Channel<'a>, Position)>,
    /// Channels to subscribe to at once. None is named twice.
    pub subscribe: Vec<Channel<'a>>,
    /// What the client is, for the operator's eyes.
    pub client: Option<ClientSoftware<'a>>,
    /// What presence shows of it, where the namespace lets clients say that.
    pub info: Option<RawJson<'a>>,
}

/// What a client shows to come back to its session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Resume {
    /// Which session.
    pub session: SessionId,
    /// That it is the client's own.
    pub secret: ResumeSecret,
}

/// Name and version of a client library, at most 128 bytes each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientSoftware<'a> {
    /// Such as `@tidegate/client`.
    pub name: Cow<'a, str>,
    /// Such as `1.2.0`.
    pub version: Cow<'a, str>,
}

/// The body of `subscribe`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscribe<'a> {
    /// The channel.
    pub channel: Channel<'a>,
    /// Where to begin.
    pub from: StartFrom,
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum StartFrom {
    /// With what is published from now on.
    Live,
    /// Behind the last message the client has seen.
    Position(Position),
    /// With the newest messages of the history, this many.
    Newest(u32),
}

/// The body of `publish`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publish<'a> {
    /// The channel.
    pub channel: Channel<'a>,
    /// The message.
    pub data: RawJson<'a>,
    /// Makes the same publish idempotent: 1 to 64 bytes of the client's choice.
    pub key: Option<Cow<'a, str>>,
    /// A later message with the same value replaces this one for a slow reader: 1 to 64 bytes.
    pub conflate: Option<Cow<'a, str>>,
    /// W3C `traceparent`. One that is malformed is dropped (Trace Context, section 2.3): `None`.
    pub trace: Option<Cow<'a, str>>,
}

/// The body of `send`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Send<'a> {
    /// Who gets it.
    pub target: Target<'a>,
    /// The message.
    pub data: RawJson<'a>,
    /// Makes the same send idempotent: 1 to 64 bytes of the client's choice.
    pub key: Option<Cow<'a, str>>,
}

/// Whom something is meant for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Target<'a> {
    /// All sessions of a user: 1 to 255 bytes.
    User(Cow<'a, str>),
    /// One session.
    Session(SessionId),
}

/// The body of `history`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct History<'a> {
    /// The channel.
    pub channel: Channel<'a>,
    /// Only what stands behind this position, or before it with `newest_first`.
    pub after: Option<Position>,
    /// How many publications at most; [`limits::HISTORY_LIMIT_DEFAULT`] where the command does not say.
    pub limit: u32,
    /// The order of the answer.
    pub order: HistoryOrder,
}

/// In which order history is read.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum HistoryOrder {
    /// As it was published.
    #[default]
    OldestFirst,
    /// The other way around.
    NewestFirst,
}

/// What [`parse`] holds its input to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ParseLimits {
    /// Levels of arrays and objects in `data` and `info`.
    pub depth_max: u32,
}

impl Default for ParseLimits {
    fn default() -> Self {
        Self { depth_max: limits::DEPTH_MAX }
    }
}

/// The objects of a text message, in order; empty lines are no objects.
pub fn objects(message: &str) -> impl Iterator<Item = &str> {
    message.split('\n').filter(|line| !line.trim_ascii().is_empty())
}

impl Command<'_> {
    /// The command's name.
    pub const fn name(&self) -> CommandName {
        match self {
            Self::Connect(_) => CommandName::Connect,
            Self::Subscribe(_) => CommandName::Subscribe,
            Self::Unsubscribe { .. } => CommandName::Unsubscribe,
            Self::Publish(_) => CommandName::Publish,
            Self::Send(_) => CommandName::Send,
            Self::Presence { .. } => CommandName::Presence,
            Self::History(_) => CommandName::History,
            Self::Refresh { .. } => CommandName::Refresh,
            Self::Pong => CommandName::Pong,
        }
    }
}

impl CommandName {
    /// Every name, in the order of their discriminants.
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Publish,
        Self::Send,
        Self::Presence,
        Self::History,
        Self::Refresh,
        Self::Pong,
    ];

    /// The name on the wire, in logs and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Publish => "publish",
            Self::Send => "send",
            Self::Presence => "presence",
            Self::History => "history",
            Self::Refresh => "refresh",
            Self::Pong => "pong",
        }
    }
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
