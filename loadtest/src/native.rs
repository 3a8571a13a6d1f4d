//! The native dialect `tidegate.v1.json`: who the clients say they are and which channels they use.
//!
//! Place in the data path: the command line makes a [`Dialect`], a scenario says which [`Channels`] its clients subscribe to, and
//! the engine speaks it: a scenario sends and gets payloads, whatever the dialect wraps them in.

mod objects;
mod token;

use std::sync::Arc;

pub(crate) use self::objects::{FIRST_ID, PONG, append_connect, append_publish, payload_of};
pub(crate) use self::token::Credentials;

/// `Sec-WebSocket-Protocol` of the dialect.
pub(crate) const SUBPROTOCOL: &str = "tidegate.v1.json";

/// What a server is spoken to in.
#[derive(Clone, Debug)]
pub(crate) enum Dialect {
    /// Messages are opaque; the path says who gets them.
    Raw,
    /// Commands and publications as JSON objects.
    Native(Native),
}

/// What all clients of the native dialect have in common.
#[derive(Clone, Debug)]
pub(crate) struct Native {
    pub(crate) credentials: Arc<Credentials>,
    /// Channels are named after it.
    pub(crate) channel_base: String,
}

/// Which channels a client subscribes to as it connects.
#[derive(Clone, Debug)]
pub(crate) enum Channels {
    /// None.
    None,
    /// One of its own, by its lane: what it publishes comes back to it alone.
    Own(String),
    /// This one, like all others.
    Shared(Arc<str>),
}

impl Channels {
    /// The channel of the client in `lane`.
    pub(crate) fn of(&self, lane: usize) -> Option<Arc<str>> {
        match self {
            Self::None => None,
            Self::Own(base) => Some(numbered(base, lane).into()),
            Self::Shared(channel) => Some(Arc::clone(channel)),
        }
    }
}

/// `base-7`: the namespace in `base` stays one.
pub(crate) fn numbered(base: &str, number: usize) -> String {
    format!("{base}-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_shared_or_numbered_within_their_namespace() {
        assert_eq!(Channels::None.of(3), None);
        assert_eq!(Channels::Own("chat:room".to_owned()).of(3).as_deref(), Some("chat:room-3"));
        assert_eq!(Channels::Shared("chat:room".into()).of(3).as_deref(), Some("chat:room"));
    }
}
