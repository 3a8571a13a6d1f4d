//! What nodes tell each other, as bytes on the bus.
//!
//! Nodes of neighbouring versions run side by side (invariant I8), so messages only grow: a kind that a node does not
//! know is skipped, and so are the fields that stand behind those it knows. A payload holds any number of messages:
//!
//! ```text
//! version u8 = 1 | kind u8 | length u32 | body of that length          numbers are big-endian
//! body: fixed fields | flags u16 | optional fields in the order of their flags | fields of later versions
//! ```

use crate::channel::Channel;
use crate::command::Target;
use crate::id::SessionId;
use crate::position::{Link, Position};

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{DecodeError, Messages, messages};
pub use encode::append;

/// One message between nodes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NodeMessage<'a> {
    /// Something for all subscribers of a channel.
    Publication(Publication<'a>),
    /// Something for the sessions of a user, or for one session.
    Direct(Direct<'a>),
    /// Close sessions.
    Disconnect(Disconnect<'a>),
    /// Subscribe sessions to a channel.
    Subscribe {
        /// Whose sessions.
        target: Target<'a>,
        /// The channel.
        channel: Channel<'a>,
    },
    /// Unsubscribe sessions from a channel.
    Unsubscribe {
        /// Whose sessions.
        target: Target<'a>,
        /// The channel.
        channel: Channel<'a>,
    },
    /// A session has a new owner: close what is here of it under an older fence.
    TakenOver {
        /// The session.
        session: SessionId,
        /// Its new owner's fencing number.
        fence: u64,
    },
}

/// What happened on a channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum PublicationKind {
    /// Someone published.
    Message = 1,
    /// Someone joined.
    Join = 2,
    /// Someone left.
    Leave = 3,
}

/// Something for all subscribers of a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publication<'a> {
    /// The channel.
    pub channel: Channel<'a>,
    /// What happened.
    pub kind: PublicationKind,
    /// The object that subscribers are sent, encoded once by the publishing node.
    pub object: &'a [u8],
    /// Its place in the channel's stream, on channels with history.
    pub position: Option<Position>,
    /// The user who caused it.
    pub from: Option<&'a str>,
    /// The session that caused it.
    pub origin: Option<SessionId>,
    /// A later publication with the same value replaces this one for a slow reader.
    pub conflate: Option<&'a str>,
    /// W3C `traceparent`, when it is sampled.
    pub trace: Option<&'a str>,
    /// Its tie to the one before it, where the channel's store may be set back.
    pub link: Option<Link>,
}

/// Something for the sessions of a user, or for one session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Direct<'a> {
    /// Whose sessions.
    pub target: Target<'a>,
    /// The object that they are sent.
    pub object: &'a [u8],
}

/// Close sessions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Disconnect<'a> {
    /// Whose.
    pub target: DisconnectTarget<'a>,
    /// A close code of the app's own, 4000 to 4999.
    pub code: Option<u16>,
    /// A reason of the app's own.
    pub reason: Option<&'a str>,
    /// What becomes of the right to come back.
    pub access: Access,
}

/// Whose sessions are closed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DisconnectTarget<'a> {
    /// A user's, or one session.
    Sessions(Target<'a>),
    /// Those that live by the token with this id (`jti`).
    Token(&'a str),
}

/// What becomes of the right to come back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// It stays.
    Kept,
    /// It is gone: session, token or all tokens of the user issued so far.
    Revoked,
}

const VERSION: u8 = 1;

const KIND_PUBLICATION: u8 = 1;
const KIND_DIRECT: u8 = 2;
const KIND_DISCONNECT: u8 = 3;
const KIND_SUBSCRIBE: u8 = 4;
const KIND_UNSUBSCRIBE: u8 = 5;
const KIND_TAKEN_OVER: u8 = 6;

const TARGET_USER: u8 = 1;
const TARGET_SESSION: u8 = 2;
const TARGET_TOKEN: u8 = 3;
