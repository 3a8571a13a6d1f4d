//! A worker that stood still for longer than its node's lease: its sessions may be others' by now.
//!
//! Place in the data path: before all of it, at the beginning of a turn. What a suspended process finds in its sockets and
//! mailbox when it goes on is from then; none of it may reach a client whose session lives elsewhere.

use std::time::Duration;

use tidegate_protocol::cause::CloseCause;

use super::Worker;
use crate::connection::{Endpoint, Phase};

impl Worker {
    /// Closes every connection that has a session. A client that waited comes back to it at once, here or elsewhere.
    pub(super) fn give_up_sessions(&mut self, stood_still: Duration) {
        if self.node.broker.is_alone() {
            return;
        }
        let has_session = |phase: &Phase| match phase {
            Phase::Open(Endpoint::Native(client)) => client.session.id().is_some(),
            Phase::Open(_) | Phase::Handshaking(_) | Phase::Closing(_) => false,
        };
        let slots: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, connection)| has_session(&connection.phase))
            .map(|(slot, _)| slot)
            .collect();
        if !slots.is_empty() {
            tracing::warn!(
                sessions = slots.len(),
                seconds = stood_still.as_secs(),
                "the process stood still for longer than its lease: its clients are sent back"
            );
        }
        for slot in slots {
            self.close_session(slot, CloseCause::Rebalance);
            self.flush_objects(slot);
        }
    }
}
