//! What the outside answers a session.
//!
//! Place in the data path: from the driver's dispatch back into the session.

use std::sync::Arc;

use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::error::ErrorBody;
use tidegate_protocol::id::{NodeName, ResumeSecret, SessionId};
use tidegate_protocol::position::Position;
use tidegate_protocol::time::Millis;

/// Who a client is. What it may do is the driver's to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The user; `""` is anonymous.
    pub user: Arc<str>,
    /// When its token ends, on the clock of [`crate::Cx::now`]; `None`: never.
    pub expires_at: Option<Millis>,
    /// Channels that the server subscribes it to at connect.
    pub channels: Vec<ChannelName>,
}

/// The session that a connection goes on with.
#[derive(Debug)]
pub enum Opened {
    /// A new one, as asked for by `Effect::Open`.
    New {
        /// Its name.
        session: SessionId,
        /// What its client shows to come back.
        resume: ResumeSecret,
        /// Where it lives.
        node: NodeName,
    },
    /// An old one, as asked for by `Effect::Resume`.
    Resumed {
        /// Its name.
        session: SessionId,
        /// What its client shows to come back again.
        resume: ResumeSecret,
        /// Where it lives now.
        node: NodeName,
        /// Whose it is.
        identity: Identity,
        /// What it was subscribed to, each with the position that was saved last.
        subscriptions: Vec<(ChannelName, Option<Position>)>,
    },
    /// There is no such session any more, or the secret is wrong: the two are not told apart.
    NotResumable,
}

/// A subscription that stands, and the past that was asked for with it.
#[derive(Debug, Default)]
pub struct Subscribed {
    /// Where the channel's history is; `None` for a channel without one.
    pub head: Option<Position>,
    /// Whether everything behind the position asked for is in `replay`; `None` where none was asked for. On
    /// `Some(false)` nothing is replayed.
    pub recovered: Option<bool>,
    /// In offset order, without duplicates, ending at the head.
    pub replay: Vec<Replayed>,
}

/// A publication out of the history.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Its number, in the epoch of the head.
    pub offset: u64,
    /// The encoded `message` object.
    pub object: Arc<[u8]>,
}

/// Why the outside does not do what it was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal(pub ErrorBody);

/// What became of a token that was checked for `refresh`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Refreshed {
    /// It holds from now on: what the driver knows of the old one is out of date.
    Accepted,
    /// The client was told why not; the old one holds on.
    Refused,
}

impl From<ErrorBody> for Refusal {
    fn from(error: ErrorBody) -> Self {
        Self(error)
    }
}
