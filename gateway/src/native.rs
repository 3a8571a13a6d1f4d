//! A client of the native dialect as its worker keeps it: its session, and where its subscriptions stand in the hub.

use std::sync::Arc;

use slab::Slab;
use tidegate_cluster::Fence;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::time::Millis;
use tidegate_service::trace::TraceParent;
use tidegate_session::{Policy, Session};

use crate::admission::quota::UserShare;
use crate::broker::Grants;
use crate::hub::{ChannelIndex, Membership};

/// Everything about one client beyond its socket.
#[derive(Debug)]
pub(crate) struct NativeClient {
    pub(crate) session: Session,
    /// By the index that the hub knows each one by.
    pub(crate) subscriptions: Slab<Subscription>,
    /// Once it is known who the client is.
    pub(crate) grants: Option<Arc<Grants>>,
    /// In its user's quota, once that is known.
    pub(crate) share: UserShare,
    /// What came with the handshake, until `connect` came.
    pub(crate) token: Option<Box<str>>,
    /// Under which this connection owns its session.
    pub(crate) fence: Fence,
    /// The sum of the offsets that were last saved: what differs has to be saved again.
    pub(crate) offsets_saved: u64,
    /// The code of the client's close frame.
    pub(crate) close_code: Option<u16>,
    /// The span of its upgrade, if that was sampled: spans of what it does link to it.
    pub(crate) upgrade: Option<Box<TraceParent>>,
}

/// One subscription, from the moment it is wanted.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) channel: ChannelName,
    pub(crate) place: Place,
    /// Whether presence was told.
    pub(crate) is_present: bool,
}

/// Where a subscription stands in the hub.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// Nowhere yet: someone is asked whether it may be.
    Asked,
    /// The session is handed what comes, until it has caught up.
    Gated(ChannelIndex),
    /// Among the members.
    Live(Membership),
}

impl NativeClient {
    pub(crate) fn new(token: Option<Box<str>>, now: Millis, policy: &Policy) -> Self {
        Self {
            session: Session::new(now, policy),
            subscriptions: Slab::new(),
            grants: None,
            share: UserShare::default(),
            token,
            fence: Fence::new(0),
            offsets_saved: 0,
            close_code: None,
            upgrade: None,
        }
    }

    /// Takes in a subscription; the result is its index.
    pub(crate) fn add(&mut self, subscription: Subscription) -> usize {
        // Most clients have one or two, and what grows by itself starts with room for four.
        if self.subscriptions.len() == self.subscriptions.capacity() && self.subscriptions.len() < 4 {
            self.subscriptions.reserve_exact(1);
        }
        self.subscriptions.insert(subscription)
    }

    /// Where the client is among the members of its channels.
    pub(crate) fn memberships(&self) -> impl Iterator<Item = Membership> {
        self.subscriptions.iter().filter_map(|(_, subscription)| match subscription.place {
            Place::Live(membership) => Some(membership),
            Place::Asked | Place::Gated(_) => None,
        })
    }

    /// The index of the subscription to a channel.
    pub(crate) fn find(&self, channel: &str) -> Option<usize> {
        // Few in nearly every client, and bounded in all.
        self.subscriptions
            .iter()
            .find_map(|(index, subscription)| (subscription.channel.as_str() == channel).then_some(index))
    }
}
