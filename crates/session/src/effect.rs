//! What a session wants done outside of it.
//!
//! Place in the data path: from the session to the driver's dispatch, which answers by [`crate::Session`]'s `handle_*`.

use std::borrow::Cow;

use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::channel::{Channel, ChannelName};
use tidegate_protocol::command::{CommandName, History, Publish, Resume, Send, StartFrom};
use tidegate_protocol::json::OwnedJson;

/// Something to do, once, in the order given. What it borrows is the command's own text.
#[derive(Debug, Eq, PartialEq)]
pub enum Effect<'m> {
    /// Find out who the client is; answered by `handle_authenticated`.
    Authenticate {
        /// The token of `connect`; without one, what came with the handshake counts, else the client is anonymous.
        token: Option<Cow<'m, str>>,
    },
    /// Make a new session for who was authenticated last; answered by `handle_opened`.
    Open {
        /// What the client says about itself.
        info: Option<OwnedJson>,
    },
    /// Claim an old session; answered by `handle_opened`.
    Resume {
        /// Its id and the proof that it is the client's own.
        resume: Resume,
    },
    /// Join the hub's channel as gated, then read the history; answered by `handle_subscribed`.
    Subscribe {
        /// The channel.
        channel: ChannelName,
        /// From where its messages are wanted.
        from: StartFrom,
        /// Goes back with the answer, and tells what has to be checked and done besides.
        ask: Ask,
    },
    /// Leave the hub's channel. Needs no answer; one that is still due for the channel may be dropped.
    Unsubscribe {
        /// The channel.
        channel: ChannelName,
    },
    /// Publish; answered by `handle_replied`.
    Publish {
        /// Goes back with the answer.
        to: ReplyTo,
        /// The message.
        publish: Publish<'m>,
    },
    /// Send to a user or session; answered by `handle_replied`.
    Send {
        /// Goes back with the answer.
        to: ReplyTo,
        /// The message.
        send: Send<'m>,
    },
    /// List who is there; answered by `handle_replied`.
    Presence {
        /// Goes back with the answer.
        to: ReplyTo,
        /// Where.
        channel: Channel<'m>,
    },
    /// Read earlier messages; answered by `handle_replied`.
    History {
        /// Goes back with the answer.
        to: ReplyTo,
        /// Which.
        history: History<'m>,
    },
    /// Check a new token; answered by `handle_refreshed`.
    Refresh {
        /// Goes back with the answer.
        to: ReplyTo,
        /// The token.
        token: Cow<'m, str>,
    },
    /// Send what is in `out`, whose last object is `closing`, then the cause's close frame. Nothing follows.
    Close {
        /// Why.
        cause: CloseCause,
    },
}

/// Which command an answer is for. Stateless commands need no table in the session: they carry this around.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReplyTo {
    /// The client's number; without one only an error is told.
    pub id: Option<u32>,
    /// The command.
    pub command: CommandName,
}

/// Names one question about one subscription, so that a late answer to an earlier one is recognised.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ask {
    /// Differs from every other one that is outstanding in the session.
    pub number: u32,
    /// Who asks.
    pub by: AskedBy,
}

/// Who wants a subscription, and so what has to be checked.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum AskedBy {
    /// A session that came back and had it before.
    Resume,
    /// The token's `channels`, or the server API: it is granted.
    Server,
    /// The client: its right to it has to be checked.
    Client,
    /// The session's own gate, for a subscription that stands: only the history has to be read again.
    Gate,
}
