//! Sections `[limits.user]` and `[limits.address]`: how much one user or one client address may take of this node.

use tidegate_service::config::value;
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
