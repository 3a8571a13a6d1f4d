//! Addresses that hold handshakes open on several nodes: each node alone may find its part harmless.

use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::drain::BLOCKED_MAX;

use super::{Action, Planner};
use crate::index::{Fleet, slow_clients};
use crate::model::Millis;

/// When an address counts as holding handshakes open on purpose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowConfig {
    /// It does so on at least so many nodes; 0 switches this off.
    pub nodes_min: u32,
    /// It holds at least so many open.
    pub handshakes_min: u64,
    /// How long it is refused after it was last seen to.
    pub block_for: Duration,
}

impl Default for SlowConfig {
    fn default() -> Self {
        Self { nodes_min: 2, handshakes_min: 64, block_for: Duration::from_secs(60) }
    }
}

impl Planner {
    /// Says whom to refuse; says nothing while there is nobody.
    pub(super) fn block(&mut self, fleet: &Fleet, now: Millis, actions: &mut Vec<Action>) {
        let config = self.config.slow;
        if config.nodes_min == 0 {
            return;
        }
        self.blocked.retain(|_, until| *until > now);
        for slow in slow_clients(fleet, config.nodes_min, config.handshakes_min, BLOCKED_MAX) {
            if self.blocked.len() < BLOCKED_MAX || self.blocked.contains_key(&slow.address) {
                self.blocked.insert(slow.address, now + config.block_for);
            }
        }
        if !self.blocked.is_empty() {
            actions.push(Action::Block { addresses: self.blocked.keys().map(Arc::clone).collect() });
        }
    }
}
