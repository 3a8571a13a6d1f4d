//! What a session is subscribed to, and how far each subscription is.

use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::position::Position;

use crate::catch_up::CatchUp;

/// A session's subscriptions, sorted by channel: few, so a list is smaller and faster than a map.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions(Vec<Subscription>);

#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) channel: ChannelName,
    pub(crate) stage: Stage,
}

/// How far a subscription is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Its past is being asked for; what comes live is held.
    CatchingUp(Box<CatchUp>),
    /// Its past was delivered up to here, which may be further than what the hub has seen: duplicates may still come.
    Trailing(Position),
    /// The hub delivers it.
    Live,
}

// Both are paid by every idle session, the second one for each of its channels.
const _: () = assert!(size_of::<Subscriptions>() <= 24 && size_of::<Subscription>() <= 40);

/// Who delivers what comes live for a subscription.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// The session: hand it to `handle_live`.
    Gated {
        /// How far the client got, to be saved; `None` for a channel without history, or before its first answer.
        delivered: Option<Position>,
    },
    /// The hub, straight to the socket. How far the client got is what the hub wrote last.
    Live,
}

impl Delivery {
    /// Up to where the session delivered, where it is the session that delivers.
    pub(crate) fn gated_at(self) -> Option<Position> {
        match self {
            Self::Gated { delivered } => delivered,
            Self::Live => None,
        }
    }
}

impl Subscriptions {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Subscription> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Subscription> {
        self.0.iter_mut()
    }

    pub(crate) fn find(&self, channel: &str) -> Option<&Subscription> {
        self.place_of(channel).ok().map(|at| &self.0[at])
    }

    pub(crate) fn find_mut(&mut self, channel: &str) -> Option<&mut Subscription> {
        self.place_of(channel).ok().map(|at| &mut self.0[at])
    }

    /// Adds one that is not there yet.
    pub(crate) fn insert(&mut self, channel: ChannelName, stage: Stage) {
        let Err(at) = self.place_of(channel.as_str()) else { return };
        // Most sessions have one or two, and a list that grows by itself starts with room for four.
        if self.0.len() < 4 {
            self.0.reserve_exact(1);
        }
        self.0.insert(at, Subscription { channel, stage });
    }

    pub(crate) fn remove(&mut self, channel: &str) -> Option<Subscription> {
        self.place_of(channel).ok().map(|at| self.0.remove(at))
    }

    fn place_of(&self, channel: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|subscription| subscription.channel.as_str().cmp(channel))
    }
}

impl Stage {
    pub(crate) fn delivery(&self) -> Delivery {
        match self {
            Self::CatchingUp(catch_up) => Delivery::Gated { delivered: catch_up.delivered },
            Self::Trailing(position) => Delivery::Gated { delivered: Some(*position) },
            Self::Live => Delivery::Live,
        }
    }
}
