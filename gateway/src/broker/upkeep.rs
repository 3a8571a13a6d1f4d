//! What has to be said again and again so that it stays true: leases of sessions, presence and the node itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_cluster::directory::NodeRecord;
use tidegate_protocol::event;

use super::Broker;
use crate::worker::mail::{Close, Order};

/// How often it is looked at what is due.
const EVERY: Duration = Duration::from_secs(1);
/// How long a node counts as there without saying so.
const NODE_LEASE: Duration = Duration::from_secs(15);
/// How many times a lease is renewed before it would end.
const RENEWALS_A_LEASE: u32 = 3;
/// Sessions renewed with one call.
const SESSIONS_A_CALL: usize = 1_000;
/// Ghosts told of in one go.
const GHOSTS_A_CALL: usize = 1_000;

impl Broker {
    /// Renews everything, for as long as the node runs. `connections` says how many it has.
    pub(crate) async fn run_upkeep(self: Arc<Self>, capacity: u32, connections: impl Fn() -> u32 + Send) {
        let (mut announced, mut renewed) = (Instant::now(), Instant::now());
        loop {
            tokio::time::sleep(EVERY).await;
            if announced.elapsed() >= NODE_LEASE / RENEWALS_A_LEASE {
                announced = Instant::now();
                self.announce(capacity, connections()).await;
                self.lay_ghosts().await;
            }
            if renewed.elapsed() >= self.terms.session_lease() / RENEWALS_A_LEASE {
                renewed = Instant::now();
                self.renew_sessions().await;
            }
            self.outside.memory.sweep();
        }
    }

    /// Says that this node is there. Nobody is registered with a node that has not.
    pub(crate) async fn announce(&self, capacity: u32, connections: u32) {
        let load = u64::from(connections) * 1_000 / u64::from(capacity.max(1));
        let record = NodeRecord {
            name: self.node.clone(),
            phase: "serving".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            connections,
            capacity,
            load_permille: u16::try_from(load).unwrap_or(u16::MAX),
            started_at: self.started_at,
        };
        let announced = self.outside.places.announce(record, NODE_LEASE).await;
        let present = self.outside.presence.touch(&self.node, NODE_LEASE).await;
        if let Err(unavailable) = announced.and(present) {
            tracing::warn!(%unavailable, "this node could not say that it is there");
        }
    }

    /// Renews the sessions that have a connection here; those that another connection took over are closed.
    async fn renew_sessions(&self) {
        for held in self.roster.held().chunks(SESSIONS_A_CALL) {
            let Ok(lost) = self.outside.sessions.touch(held, self.terms.session_lease()).await else {
                continue;
            };
            for session in lost {
                let Some((_, fence)) = held.iter().find(|(held, _)| *held == session) else { continue };
                self.order(session, Order::Close(Close::taken_over(fence.next()))).await;
            }
        }
    }

    /// Tells of members whose node is gone.
    async fn lay_ghosts(&self) {
        let Ok(ghosts) = self.outside.presence.reap(GHOSTS_A_CALL).await else { return };
        for ghost in ghosts {
            self.tell_attendance(&ghost.channel, &ghost.member, event::append_leave).await;
        }
    }
}
