//! What sessions of this node hold, written again: where it moves on while they live, and where a store has forgotten it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::stream::{self, StreamExt};
use tidegate_cluster::Fence;
use tidegate_cluster::directory::{Registered, Registration};
use tidegate_cluster::presence::Member;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::id::SessionId;
use tidegate_protocol::position::Position;

use super::Broker;
use crate::worker::mail::Mail;

/// Sessions written at the same time.
const UNDER_WAY_MAX: usize = 64;

/// What is to be told of a part of a worker's sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// Connections whose slot has this remainder…
    pub(crate) part: usize,
    /// …when divided by this.
    pub(crate) parts: usize,
    /// Their routes.
    pub(crate) places: bool,
    /// The channels that they are present on.
    pub(crate) presence: bool,
}

/// What one session holds, as far as that is to be written.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) session: SessionId,
    pub(crate) fence: Fence,
    /// Whose route is to be written.
    pub(crate) user: Option<Arc<str>>,
    /// Positions that moved.
    pub(crate) positions: Vec<(ChannelName, Position)>,
    pub(crate) present: Vec<(ChannelName, Member)>,
}

impl Broker {
    /// Asks all workers for what their sessions hold.
    pub(super) async fn ask_standing(&self, wish: Wish) {
        for worker in 0..self.posts.get().map_or(0, Vec::len) {
            self.post(worker, Mail::Standing(wish)).await;
        }
    }

    /// Writes what sessions hold.
    pub(crate) async fn restate(self: Arc<Self>, standings: Vec<Standing>) {
        let written = standings.into_iter().map(|standing| Arc::clone(&self).restate_one(standing));
        stream::iter(written).for_each_concurrent(UNDER_WAY_MAX, |write| write).await;
    }

    async fn restate_one(self: Arc<Self>, standing: Standing) {
        let Standing { session, fence, user, positions, present } = standing;
        if let Some(user) = user {
            self.register(session, &user, fence).await;
        }
        if !positions.is_empty() {
            let moved = positions.into_iter().map(|(channel, position)| (channel, Some(position)));
            Arc::clone(&self).save(session, fence, moved.collect(), Vec::new(), None).await;
        }
        for (channel, member) in present {
            Arc::clone(&self).attend(channel, member, fence).await;
        }
    }

    /// Says that a session is here.
    pub(super) async fn register(&self, session: SessionId, user: &Arc<str>, fence: Fence) {
        let registration = Registration { session, user: Arc::clone(user), node: self.node.clone(), fence };
        // Until it is registered, messages to the user miss this session.
        match self.outside.places.register(registration).await {
            Ok(Registered::Known | Registered::Fenced) => {}
            // Upkeep announces the node, and then registers all that it has.
            Ok(Registered::NoLease) => self.lacks_lease.store(true, Ordering::Relaxed),
            Err(unavailable) => {
                // With the next lease, if that ends meanwhile.
                tracing::warn!(%unavailable, "a session could not be registered");
            }
        }
    }
}
