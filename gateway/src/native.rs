//! A client of the native dialect as its worker keeps it: its session, and where its subscriptions stand in the hub.

use std::sync::Arc;

use slab::Slab;
use tidegate_cluster::Fence;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::id::ResumeSecret;
use tidegate_protocol::time::Millis;
use tidegate_service::trace::TraceParent;
use tidegate_session::{Policy, Session};
use tokio::sync::oneshot;

use crate::admission::quota::UserShare;
use crate::broker::standing::Record;
use crate::broker::{Grants, Turn};
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
    /// Under which this connection owns its session.
    pub(crate) fence: Fence,
    /// What most clients have nothing of, most of the time.
    seldom: Option<Box<Seldom>>,
}

/// See [`NativeClient::seldom`].
#[derive(Debug, Default)]
struct Seldom {
    /// What came with the handshake, until `connect` came.
    token: Option<Box<str>>,
    /// What its client comes back with, for a store that has forgotten it.
    secret: Option<ResumeSecret>,
    /// The sum of the offsets that were last saved: what differs has to be saved again.
    offsets_saved: u64,
    /// The code of the client's close frame.
    close_code: Option<u16>,
    /// The span of its upgrade, if that was sampled: spans of what it does link to it.
    upgrade: Option<TraceParent>,
    /// Its publications without an order of their channel's own that are under way.
    publishing: Line,
}

/// Keeps publications in order that have to wait for something outside, each for something of its own.
#[derive(Debug, Default)]
struct Line {
    count: u32,
    /// Passes on the turn of the last one.
    last: Option<oneshot::Receiver<()>>,
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
    pub(crate) fn new(
        token: Option<Box<str>>,
        upgrade: Option<TraceParent>,
        now: Millis,
        policy: &Policy,
    ) -> Self {
        let is_plain = token.is_none() && upgrade.is_none();
        let seldom = Seldom { token, upgrade, ..Seldom::default() };
        Self {
            session: Session::new(now, policy),
            subscriptions: Slab::new(),
            grants: None,
            share: UserShare::default(),
            fence: Fence::new(0),
            seldom: (!is_plain).then(|| Box::new(seldom)),
        }
    }

    /// What came with the handshake to prove who it is. Once.
    pub(crate) fn take_token(&mut self) -> Option<Box<str>> {
        let token = self.seldom.as_mut()?.token.take();
        self.seldom.take_if(|seldom| seldom.upgrade.is_none());
        token
    }

    /// The span of its upgrade, if that was sampled.
    pub(crate) fn upgrade(&self) -> Option<TraceParent> {
        self.seldom.as_ref()?.upgrade
    }

    /// The code of the client's close frame, if it sent one with a code.
    pub(crate) fn close_code(&self) -> Option<u16> {
        self.seldom.as_ref()?.close_code
    }

    pub(crate) fn set_close_code(&mut self, code: Option<u16>) {
        if code.is_some() {
            self.seldom.get_or_insert_default().close_code = code;
        }
    }

    /// Keeps what its client comes back with, where the store may forget it.
    pub(crate) fn keep_secret(&mut self, secret: ResumeSecret) {
        self.seldom.get_or_insert_default().secret = Some(secret);
    }

    /// Notes the sum of the offsets that are saved now; whether it was another.
    pub(crate) fn note_saved(&mut self, offsets: u64) -> bool {
        let before = self.seldom.as_ref().map_or(0, |seldom| seldom.offsets_saved);
        if before != offsets {
            self.seldom.get_or_insert_default().offsets_saved = offsets;
        }
        before != offsets
    }

    /// Whether a publication is under way that the next one may not overtake.
    pub(crate) fn is_publishing(&self) -> bool {
        self.seldom.as_ref().is_some_and(|seldom| seldom.publishing.count > 0)
    }

    /// A publication goes on its way behind those that are: it is sent when its turn has come.
    pub(crate) fn begin_publishing(&mut self) -> Turn {
        let line = &mut self.seldom.get_or_insert_default().publishing;
        let (passes, passed) = oneshot::channel();
        line.count += 1;
        Turn::new(line.last.replace(passed), passes)
    }

    /// One that was on its way has been answered, so everyone who is to get it has it in the mail.
    pub(crate) fn end_publishing(&mut self) {
        if let Some(Seldom { publishing: line, .. }) = self.seldom.as_deref_mut() {
            line.count -= 1;
            if line.count == 0 {
                line.last = None;
            }
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

    /// What the record of its session begins with, once there is one.
    pub(crate) fn record(&self) -> Option<Record> {
        Some(Record { grants: Arc::clone(self.grants.as_ref()?), secret: self.seldom.as_ref()?.secret? })
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
