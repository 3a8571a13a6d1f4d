//! Sections `[limits.user]`, `[limits.address]` and `[limits.cluster]`: how much one user or one client address may take of
//! this node, and all clients of all nodes.

use tidegate_service::config::{Checks, value};
use tidegate_service::config_section;

config_section! {
    /// What all connections of one user may take of this node together. Anonymous ones are no user. 0: no limit.
    pub struct UserLimits {
        /// Connections; further ones are refused.
        pub connections: u32 = value(0).within(0..=1_000_000);
        /// Subscriptions; further ones are refused.
        pub subscriptions: u32 = value(0).within(0..=100_000_000);
        /// Messages a second that they may send, and how many at once.
        pub messages_per_second: u32 = value(0).within(0..=10_000_000);
        /// Bytes a second that they may send, and how many at once.
        pub bytes_per_second: u32 = value(0).within(0..=4_000_000_000);
    }
}

config_section! {
    /// What all connections of one address (IPv6: of one /64) may take of this node together. Clients of the raw dialect
    /// cannot be told to wait: above it they are closed. 0: no limit.
    pub struct AddressLimits {
        /// Messages a second that they may send, and how many at once.
        pub messages_per_second: u32 = value(0).within(0..=10_000_000);
        /// Bytes a second that they may send, and how many at once.
        pub bytes_per_second: u32 = value(0).within(0..=4_000_000_000);
    }
}

config_section! {
    /// What all nodes together take on. Without the store, each keeps to its share. 0: no limit.
    pub struct ClusterLimits {
        /// New clients a second, and how many at once: sessions that are opened and handshakes of the raw dialect. Further
        /// ones are told when to come back.
        pub handshakes_per_second: u32 = value(0).within(0..=10_000_000);
        /// Sessions a second that are resumed, and how many at once; not fewer than `handshakes_per_second`.
        pub resumes_per_second: u32 = value(0).within(0..=10_000_000);
        /// Connections; further ones are refused with 503. Nodes count together every second: until then they may exceed it
        /// by fewer than there are nodes.
        pub connections: u64 = value(0).within(0..=1_000_000_000);
    }
}

/// Reports a cluster that would rather have new clients than those it has lost.
pub(super) fn check(limits: &ClusterLimits, checks: &mut Checks<'_>) {
    let (new, resumes) = (limits.handshakes_per_second, limits.resumes_per_second);
    if resumes > 0 && (new == 0 || new > resumes) {
        checks.fault(
            &["limits.cluster.resumes_per_second", "limits.cluster.handshakes_per_second"],
            "coming back costs less than being new, and comes first: allow at least as many resumes",
        );
    }
}
