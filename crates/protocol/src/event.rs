//! What clients are sent in the native dialect: messages, notices and replies.
//!
//! Place in the data path: the session and the hub append objects to a buffer, each without a line feed; [`Objects`]
//! joins those that are ready together into one text message. The same types are read back by clients ([`parse`]).

use std::borrow::Cow;

use crate::command::CommandName;
use crate::error::ErrorBody;
use crate::id::{ResumeSecret, SessionId};
use crate::json::RawJson;
use crate::position::Position;

mod append;
mod objects;
mod parse;
mod read;
#[cfg(test)]
mod tests;

pub use append::{
    append_closing, append_direct, append_error, append_expiring, append_gap, append_join, append_leave,
    append_message, append_ping, append_reconnect, append_reply, append_unsubscribed,
};
pub use objects::Objects;
pub use parse::{ParseError, parse};

/// One object of the server, as a client reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event<'a> {
    /// A publication.
    Message(Message<'a>),
    /// A message to this user or session.
    Direct(Direct<'a>),
    /// Someone is on a channel from now on.
    Join(Attendance<'a>),
    /// Someone is no longer on it.
    Leave(Attendance<'a>),
    /// Messages are lost.
    Gap(Gap<'a>),
    /// The server ended a subscription.
    Unsubscribed(Unsubscribed<'a>),
    /// The token ends soon.
    Expiring {
        /// Milliseconds until then.
        in_ms: u64,
    },
    /// Leave, and come back.
    Reconnect(Reconnect<'a>),
    /// The last object before a close frame.
    Closing(Closing<'a>),
    /// `{}`: a question for a sign of life.
    Ping,
    /// The answer to a command with an `id`.
    Reply {
        /// The command's `id`.
        id: u32,
        /// The answer.
        reply: Reply<'a>,
    },
    /// A command was refused.
    Error {
        /// The command's `id`, where it had one.
        id: Option<u32>,
        /// Why.
        error: ErrorBody,
    },
    /// Something a newer server sends: to be ignored.
    Unknown {
        /// Its name.
        name: Cow<'a, str>,
    },
}

/// A publication on its way to a subscriber.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message<'a> {
    /// Where it was published.
    pub channel: Cow<'a, str>,
    /// What was published.
    pub data: RawJson<'a>,
    /// Its number, on channels with history.
    pub offset: Option<u64>,
    /// The user who published it, where that was a client with a user.
    pub from: Option<Cow<'a, str>>,
    /// W3C `traceparent`, when it is sampled.
    pub trace: Option<Cow<'a, str>>,
}

/// A message to a user or session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Direct<'a> {
    /// The message.
    pub data: RawJson<'a>,
    /// The user who sent it, where that was a client with a user.
    pub from: Option<Cow<'a, str>>,
}

/// Someone who joins or leaves a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attendance<'a> {
    /// The channel.
    pub channel: Cow<'a, str>,
    /// The user; empty: anonymous.
    pub user: Cow<'a, str>,
    /// The session.
    pub session: SessionId,
    /// What is shown of it.
    pub info: Option<RawJson<'a>>,
}

/// Messages that a subscriber will not get.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gap<'a> {
    /// The channel.
    pub channel: Cow<'a, str>,
    /// The first one that is not lost: those before it are. `None` where what is lost has no place in a history.
    pub position: Option<Position>,
}

/// A subscription that the server ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unsubscribed<'a> {
    /// The channel.
    pub channel: Cow<'a, str>,
    /// Why, for programs: a word of [`ErrorCode`](crate::error::ErrorCode) or of the app's own.
    pub code: Cow<'a, str>,
    /// Why, for people.
    pub message: Cow<'a, str>,
}

/// The server asks a client to leave and come back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reconnect<'a> {
    /// How long to stay away after leaving.
    pub after_ms: u64,
    /// Time left to leave by oneself.
    pub within_ms: u64,
    /// Why: a [cause's](crate::cause::CloseCause) name, such as `drain`.
    pub reason: Cow<'a, str>,
}

/// What a client should make of the close frame that follows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Closing<'a> {
    /// The close code.
    pub code: u16,
    /// Its name in `docs/close-codes.md`.
    pub name: Cow<'a, str>,
    /// Whether to come back.
    pub reconnect: bool,
    /// How long to stay away first, where the server says so.
    pub after_ms: Option<u64>,
}

/// The body of a reply, under the name of the command it answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply<'a> {
    /// To `connect`.
    Connect(Box<Connected<'a>>),
    /// To `subscribe`.
    Subscribe(ChannelState),
    /// To `unsubscribe`.
    Unsubscribe,
    /// To `publish`.
    Publish(Published),
    /// To `send`.
    Send {
        /// How many sessions it was routed to.
        sessions: u32,
    },
    /// To `presence`.
    Presence {
        /// Who is there.
        members: Vec<Member<'a>>,
    },
    /// To `history`.
    History(HistoryPage<'a>),
    /// To `refresh`.
    Refresh {
        /// Life of the new token; `None`: it has no end.
        token_expires_in_ms: Option<u64>,
    },
}

/// The reply to `connect`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connected<'a> {
    /// The session, new or old.
    pub session: SessionId,
    /// What proves it to be the client's own.
    pub resume: ResumeSecret,
    /// Whether it is the session that the client asked for.
    pub resumed: bool,
    /// The user; empty: anonymous.
    pub user: Cow<'a, str>,
    /// The node that answers.
    pub node: Cow<'a, str>,
    /// Silence after which the server asks for a sign of life.
    pub ping_ms: u64,
    /// How long a dropped client may come back.
    pub session_ttl_ms: u64,
    /// Life of the token; `None`: it has no end, or there is none.
    pub token_expires_in_ms: Option<u64>,
    /// The subscriptions that are in force.
    pub channels: Vec<(Cow<'a, str>, ChannelState)>,
    /// What the client has to keep to.
    pub limits: ClientLimits,
}

/// Where a subscription stands when it begins.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ChannelState {
    /// What the client's next message follows, on channels with history: the head, or what comes before the replay.
    pub position: Option<Position>,
    /// Whether everything since the position that was asked for is replayed; `None`: nothing was asked for.
    pub recovered: Option<bool>,
}

/// What a client has to keep to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientLimits {
    /// Bytes of one message.
    pub message_bytes: u64,
    /// Subscriptions of one session.
    pub subscriptions: u32,
    /// Messages a second; `None`: no limit.
    pub messages_per_second: Option<u32>,
    /// Bytes a second; `None`: no limit.
    pub bytes_per_second: Option<u32>,
}

/// The reply to `publish`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Published {
    /// What the message was numbered, on channels with history.
    pub position: Option<Position>,
    /// Whether the same key was published before, so that nothing was delivered now.
    pub duplicate: bool,
}

/// Someone on a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member<'a> {
    /// The user; empty: anonymous.
    pub user: Cow<'a, str>,
    /// The session.
    pub session: SessionId,
    /// What is shown of it.
    pub info: Option<RawJson<'a>>,
    /// Since when, in Unix milliseconds.
    pub since_ms: u64,
}

/// The reply to `history`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HistoryPage<'a> {
    /// The channel's head.
    pub head: Position,
    /// Publications in the order that was asked for.
    pub messages: Vec<HistoryMessage<'a>>,
}

/// An earlier publication.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HistoryMessage<'a> {
    /// Its number.
    pub offset: u64,
    /// What was published.
    pub data: RawJson<'a>,
    /// The user who published it, where that was a client with a user.
    pub from: Option<Cow<'a, str>>,
    /// When it was published, in Unix milliseconds.
    pub at_ms: u64,
}

impl Reply<'_> {
    /// The command it answers.
    pub const fn name(&self) -> CommandName {
        match self {
            Self::Connect(_) => CommandName::Connect,
            Self::Subscribe(_) => CommandName::Subscribe,
            Self::Unsubscribe => CommandName::Unsubscribe,
            Self::Publish(_) => CommandName::Publish,
            Self::Send { .. } => CommandName::Send,
            Self::Presence { .. } => CommandName::Presence,
            Self::History(_) => CommandName::History,
            Self::Refresh { .. } => CommandName::Refresh,
        }
    }
}
