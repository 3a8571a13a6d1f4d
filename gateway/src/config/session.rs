//! Section `[session]`: how long sessions live, and what one may do.

use std::time::Duration;

use tidegate_service::config::value;
use tidegate_service::config_section;

use super::seconds;

config_section! {
    /// Sessions of the native dialect: what a client comes back to.
    pub struct Session {
        /// How long a dropped client may come back.
        pub ttl: Duration = value(seconds(120)).within(seconds(1)..=seconds(86_400));
        /// How long a dropped client still counts as present; coming back within it, it never left.
        pub leave_grace: Duration = value(seconds(5)).within(Duration::ZERO..=seconds(3600));
        /// How long before its token's end a client is asked for a new one.
        pub expiring_notice: Duration = value(seconds(60)).within(seconds(1)..=seconds(3600));
        /// How long a revocation by the server API keeps someone out: at least as long as your tokens live.
        pub revocation: Duration = value(seconds(86_400)).within(seconds(1)..=seconds(31_536_000));
        /// How long a publication with the same `key` counts as the same one.
        pub idempotency_window: Duration = value(seconds(120)).within(seconds(1)..=seconds(86_400));
        /// Subscriptions of one session; further ones are refused.
        pub subscriptions: u32 = value(128).within(1..=4096);
        /// Commands of one session whose answers are outstanding; further ones are refused.
        pub pending: u32 = value(64).within(1..=4096);
        /// Commands a second of one session, and how many at once; who stays above is closed. 0: no limit.
        pub messages_per_second: u32 = value(100).within(0..=1_000_000);
        /// Bytes of commands a second of one session, and how many at once. 0: no limit.
        pub bytes_per_second: u32 = value(1 << 20).within(0..=1 << 30);
        /// Live messages held for one subscription while it is being caught up.
        pub gate_messages: u32 = value(256).within(1..=65_536);
    }
}
