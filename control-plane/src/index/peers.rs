//! What the nodes that stay are like together: the clients of others come to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_protocol::drain::BackendHealth;

use super::{Fleet, NodeView};

/// The ready nodes, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Peers {
    /// How many.
    pub nodes: u64,
    /// Connections they have.
    pub connections: u64,
    /// Connections they take.
    pub capacity: u64,
    /// 99th percentile of handshakes on the slowest of them: milliseconds.
    pub handshake_p99_ms: f64,
    /// Part of the handshakes of the last seconds that they refused for want of room, 0 to 1.
    pub handshake_error_ratio: f64,
    /// 99th percentile of resumes on the slowest of them: milliseconds.
    pub resume_p99_ms: f64,
    /// Handshakes that they would take now, together; none where one of them has no limit.
    pub free_permits: Option<u64>,
    /// The worst that one of them says of the store.
    pub store: BackendHealth,
    /// The worst that one of them says of the bus.
    pub bus: BackendHealth,
}

/// An address that holds handshakes open on several nodes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SlowClient {
    /// As text; IPv6 as its /64.
    pub address: Arc<str>,
    /// Nodes on which it does.
    pub nodes: u32,
    /// Handshakes that it has open on all of them.
    pub handshaking: u64,
}

impl Peers {
    /// Of the nodes that are ready.
    pub fn of(fleet: &Fleet) -> Self {
        Self::over(fleet.nodes().filter(|node| node.is_ready()))
    }

    /// Of these nodes.
    pub fn over<'n>(nodes: impl Iterator<Item = &'n NodeView>) -> Self {
        let mut sums = Self { free_permits: Some(0), ..Self::default() };
        let (mut taken, mut refused) = (0.0, 0.0);
        for node in nodes {
            let Some(report) = &node.report else { continue };
            sums.nodes += 1;
            sums.connections += report.connections;
            sums.capacity += report.capacity;
            sums.handshake_p99_ms = sums.handshake_p99_ms.max(report.load.handshake_p99_ms);
            taken += report.load.handshakes_per_second;
            refused += report.load.refused_per_second;
            sums.resume_p99_ms = sums.resume_p99_ms.max(report.load.resume_p99_ms);
            sums.free_permits = sums.free_permits.zip(report.load.free_permits).map(|(sum, free)| sum + free);
            sums.store = worse(sums.store, report.store);
            sums.bus = worse(sums.bus, report.bus);
        }
        if refused > 0.0 {
            sums.handshake_error_ratio = refused / (taken + refused);
        }
        sums
    }

    /// Connections they would still take.
    pub fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.connections)
    }
}

/// Addresses that hold at least `handshakes_min` handshakes open on at least `nodes_min` nodes: most handshakes first,
/// at most `limit`. Each node alone may find its part harmless.
pub fn slow_clients(fleet: &Fleet, nodes_min: u32, handshakes_min: u64, limit: usize) -> Vec<SlowClient> {
    let mut sums: BTreeMap<&Arc<str>, (u32, u64)> = BTreeMap::new();
    for report in
        fleet.nodes().filter(|node| node.unreachable_since.is_none()).filter_map(|node| node.report.as_ref())
    {
        for slow in &report.slow_addresses {
            let (nodes, handshaking) = sums.entry(&slow.address).or_default();
            *nodes += 1;
            *handshaking += slow.handshaking;
        }
    }
    let mut slow: Vec<_> = sums
        .into_iter()
        .filter(|(_, (nodes, handshaking))| *nodes >= nodes_min && *handshaking >= handshakes_min)
        .map(|(address, (nodes, handshaking))| SlowClient {
            address: Arc::clone(address),
            nodes,
            handshaking,
        })
        .collect();
    slow.sort_by(|a, b| b.handshaking.cmp(&a.handshaking).then_with(|| a.address.cmp(&b.address)));
    slow.truncate(limit);
    slow
}

/// The worse of two; what only a later version knows counts as slow.
pub(crate) fn worse(a: BackendHealth, b: BackendHealth) -> BackendHealth {
    let rank = |health| match health {
        BackendHealth::Up => 0,
        BackendHealth::Slow | BackendHealth::Unknown => 1,
        BackendHealth::Down => 2,
    };
    if rank(b) > rank(a) { b } else { a }
}
