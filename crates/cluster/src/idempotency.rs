//! Recognises a publication or direct message that is sent again, where no history would.

use std::time::Duration;

use tidegate_protocol::id::SessionId;

use crate::answer::Answer;

/// Keys used within their window. For channels without history and for direct messages; a channel with history has its
/// keys in [`Append::key`](crate::history::Append::key).
pub trait Idempotency: Send + Sync {
    /// Uses a key: the first call within the window gets [`Use::First`], every other [`Use::Again`].
    fn claim(&self, scope: Scope<'_>, key: IdempotencyKey<'_>) -> Answer<Use>;

    /// Takes a use back, for a message that could not be sent: the next one with this key is the first again.
    fn release(&self, scope: Scope<'_>, key: IdempotencyKey<'_>) -> Answer<()>;
}

/// Names a message to be sent once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IdempotencyKey<'a> {
    /// Whose key it is: a user, a session of nobody, an API key. Publishers cannot use up each other's keys.
    pub publisher: &'a str,
    /// The publisher's choice, at most 64 bytes.
    pub key: &'a str,
    /// How long it counts from its first use.
    pub window: Duration,
}

/// Where a message goes: the same key to another place is another message.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Scope<'a> {
    /// To a channel.
    Channel(&'a str),
    /// To all sessions of a user.
    User(&'a str),
    /// To a session.
    Session(SessionId),
}

/// Whether a key was new.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Use {
    /// Send the message.
    First,
    /// It was sent already: acknowledge, do not send.
    Again,
}
