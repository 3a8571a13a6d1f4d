//! What has to be said again and again so that it stays true: leases of sessions, presence and the node itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use tidegate_cluster::Fence;
use tidegate_cluster::bus::{Loss, Receiver};
use tidegate_cluster::directory::{Lease, NodeRecord};
use tidegate_protocol::channel::{Channel, ChannelName};
use tidegate_protocol::id::SessionId;
use tidegate_protocol::node::PublicationKind;

use super::Broker;
use super::modes::Mode;
use super::outside::Store;
use super::standing::{UNDER_WAY_MAX, Wish};
use crate::drain::machine::Phase;
use crate::hub::directory::Realm;
use crate::worker::mail::{Close, Order};

/// How often it is looked at what is due.
const EVERY: Duration = Duration::from_secs(1);
/// How many times a lease is renewed before it would end.
const RENEWALS_A_LEASE: u32 = 3;
/// Sessions renewed with one call.
const SESSIONS_A_CALL: usize = 1_000;
/// Seconds in which every session's positions are saved once, if they moved: a node that dies is behind by that much.
const SAVE_ROUND_SECS: usize = 5;
/// Sessions whose positions are saved in a second; with more of them a round takes longer. Each is a call of the store, which
/// all nodes share, for the sake of clients that keep no positions themselves.
const SAVES_A_SECOND: usize = 500;
/// Channels listened to in one go.
const CHANNELS_A_CALL: usize = 1_000;
/// Ghosts told of in one go.
const GHOSTS_A_CALL: usize = 1_000;

impl Broker {
    /// Renews everything, for as long as the node runs. `connections` says how many it has.
    pub(crate) async fn run_upkeep(self: Arc<Self>, capacity: u32, connections: impl Fn() -> u32 + Send) {
        let (mut announced, mut renewed) = (Instant::now(), Instant::now());
        let (mut degraded, mut part) = (Vec::new(), 0);
        let mut stated_at = self.outside.store_connects();
        loop {
            tokio::time::sleep(EVERY).await;
            let is_due = announced.elapsed() >= self.terms.node_lease / RENEWALS_A_LEASE;
            if is_due || self.lacks_lease.swap(false, Ordering::Relaxed) {
                announced = Instant::now();
                self.announce(capacity, connections()).await;
                self.compare_versions().await;
                self.lay_ghosts().await;
                let connects = self.outside.store_connects();
                if std::mem::replace(&mut stated_at, connects) != connects {
                    // It may be another server, or one that was set back, and know the lease all the same.
                    self.state_all(true, true).await;
                }
            }
            // Not each second: a store without room for what it forgot would be asked for all sessions each time.
            let lease = match self.renews_again.load(Ordering::Relaxed) {
                true => self.terms.node_lease,
                false => self.terms.session_lease(),
            };
            if renewed.elapsed() >= lease / RENEWALS_A_LEASE {
                renewed = Instant::now();
                self.renews_again.store(false, Ordering::Relaxed);
                self.renew_sessions().await;
            }
            match &self.outside.store {
                Store::Memory(memory) => memory.sweep(),
                Store::Redis(_) => {
                    let parts = save_round_secs(self.roster.len());
                    part = (part + 1) % parts;
                    self.ask_standing(Wish { part, parts, places: false, presence: false }).await;
                }
            }
            self.pay_debts().await;
            self.leave_departed().await;
            let modes = self.note_modes(&degraded);
            let is_back = |mode| degraded.contains(&mode) && !modes.contains(&mode);
            if is_back(Mode::BusDown) {
                self.listen_to_all().await;
            }
            if is_back(Mode::BusDown) || is_back(Mode::StoreDown) {
                // What could not be heard, or read, in the meantime.
                self.outside.ingress.inbox.lose(Loss::Unknown);
            }
            degraded = modes;
        }
    }

    /// Says that this node is there. Nobody is registered with a node that has not.
    pub(crate) async fn announce(&self, capacity: u32, connections: u32) {
        let load = u64::from(connections) * 1_000 / u64::from(capacity.max(1));
        let record = NodeRecord {
            name: self.node.clone(),
            phase: Phase::of(self.phase.load(Ordering::Relaxed)).name().into(),
            version: env!("CARGO_PKG_VERSION").into(),
            connections,
            capacity,
            load_permille: u16::try_from(load).unwrap_or(u16::MAX),
            started_at: self.started_at,
            admin: self.admin.get().cloned(),
        };
        let announced = self.outside.places.announce(record, self.terms.node_lease).await;
        let present = self.outside.presence.touch(&self.node, self.terms.node_lease).await;
        if let Err(unavailable) = announced.and(present) {
            self.lacks_lease.store(true, Ordering::Relaxed);
            tracing::debug!(%unavailable, "this node could not say that it is there");
        }
        let is_new = |lease| matches!(lease, Ok(Lease::New));
        let (places, presence) = (is_new(announced), is_new(present));
        if places || presence {
            self.state_all(places, presence).await;
        }
    }

    /// Tells the store anew what this node holds, where it may have forgotten it.
    async fn state_all(&self, places: bool, presence: bool) {
        self.ask_standing(Wish { part: 0, parts: 1, places, presence }).await;
        self.renew_sessions().await;
    }

    /// Looks whether all nodes are of this one's version.
    pub(super) async fn compare_versions(&self) {
        let Ok(nodes) = self.outside.places.nodes().await else { return };
        let differs = nodes.iter().any(|node| &*node.version != env!("CARGO_PKG_VERSION"));
        self.has_skew.store(differs, Ordering::Relaxed);
    }

    /// Ends this node's part: whatever is on its way arrives, if that takes no longer than `timeout`, and nobody is led here
    /// any more.
    pub(crate) async fn finish(&self, timeout: Duration) {
        self.outside.flush(timeout).await;
        if let Err(unavailable) = self.outside.places.withdraw(&self.node).await {
            tracing::debug!(%unavailable, "this node's lease ends by itself");
        }
    }

    /// Renews the sessions that have a connection here; those that another connection took over are closed.
    pub(super) async fn renew_sessions(&self) {
        for held in self.roster.held().chunks(SESSIONS_A_CALL) {
            let touched = self.outside.sessions.touch(held, self.terms.session_lease()).await;
            // It may have forgotten more than it could say, and who comes back must not wait for the next renewal.
            if touched.as_ref().map_or(true, |lost| !lost.is_empty()) {
                self.renews_again.store(true, Ordering::Relaxed);
            }
            let Ok(lost) = touched else { continue };
            let fence_of = |session| held.iter().find(|(held, _)| *held == session).map(|(_, fence)| *fence);
            let lost = lost.into_iter().filter_map(|session| Some((session, fence_of(session)?)));
            stream::iter(lost)
                .for_each_concurrent(UNDER_WAY_MAX, |(session, fence)| self.look_for(session, fence))
                .await;
        }
    }

    /// What became of a session that the store says is not ours under this fence.
    async fn look_for(&self, session: SessionId, fence: Fence) {
        match self.outside.sessions.get(session).await {
            Ok(Some(view)) if view.fence > fence => {
                tracing::debug!(%session, %fence, newer = %view.fence, node = %view.node, "a session was taken over");
                self.order(session, Order::Close(Close::taken_over(view.fence))).await;
            }
            // The store has forgotten it, and is told again.
            Ok(_) => {
                self.stats.sessions_forgotten.fetch_add(1, Ordering::Relaxed);
                self.owed.attached(session, &[]);
            }
            Err(_) => {}
        }
    }

    /// Tells of members whose node is gone.
    async fn lay_ghosts(&self) {
        let Ok(ghosts) = self.outside.presence.reap(GHOSTS_A_CALL).await else { return };
        for ghost in ghosts {
            self.tell_attendance(&ghost.channel, &ghost.member, PublicationKind::Leave).await;
        }
    }

    /// Listens no more to channels that nobody on this node is subscribed to.
    async fn leave_departed(&self) {
        let Some(bus) = &self.outside.bus else { return };
        for name in self.directory.take_departed() {
            // It was checked when the first one subscribed.
            let Ok(channel) = Channel::parse(&name) else { continue };
            let left = bus.unsubscribe(&channel).await;
            // Whoever subscribed meanwhile may have asked before that.
            if self.directory.find(Realm::Native, &name).is_some() {
                let _ = bus.subscribe(&channel).await;
            } else if let Err(unavailable) = left {
                tracing::debug!(%unavailable, %channel, "a channel could not be left");
            }
        }
    }

    /// Listens to every channel that has subscribers: those of some came while the bus was down.
    async fn listen_to_all(&self) {
        let mut after: Option<Arc<str>> = None;
        loop {
            let entries = self.directory.list(Realm::Native, "", after.as_deref(), CHANNELS_A_CALL);
            let names = entries.iter().filter_map(|entry| ChannelName::parse(&entry.name).ok());
            futures_util::future::join_all(names.map(|name| async move { self.listen(&name).await })).await;
            let Some(last) = entries.last().filter(|_| entries.len() == CHANNELS_A_CALL) else { return };
            after = Some(Arc::clone(&last.name));
        }
    }
}

/// In how many seconds the positions of so many sessions are saved once.
fn save_round_secs(sessions: usize) -> usize {
    sessions.div_ceil(SAVES_A_SECOND).max(SAVE_ROUND_SECS)
}

#[cfg(test)]
mod tests {
    use super::save_round_secs;

    #[test]
    fn a_round_of_saves_takes_longer_rather_than_more_saves_a_second() {
        assert_eq!(save_round_secs(0), 5);
        assert_eq!(save_round_secs(2_500), 5);
        assert_eq!(save_round_secs(2_501), 6);
        assert_eq!(save_round_secs(1_000_000), 2_000);
    }
}
