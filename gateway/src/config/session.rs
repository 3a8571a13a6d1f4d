//! Sections `[session]` and `[store]`: how long sessions live, and how much one node remembers in its memory.

use std::time::Duration;

use tidegate_service::config::{bytes, value};
use tidegate_service::config_section;

use super::{GIB, MIB, milliseconds, seconds};

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

config_section! {
    /// How much one node remembers in its own memory.
    pub struct Store {
        /// Where sessions, history and presence are kept. `memory:` is this process: nothing survives it.
        pub url: String = value("memory:".to_owned()).checked(|url: &String| check_url(url));
        /// Sessions, dropped ones that may come back included; the ones closest to their end make room.
        pub sessions: usize = value(200_000).within(1..=100_000_000);
        /// Channels with history; the ones used longest ago make room, and their subscribers are told.
        pub history_channels: usize = value(100_000).within(1..=100_000_000);
        /// Bytes of all histories together.
        pub history_bytes: usize = bytes(256 * MIB).within(MIB..=1024 * GIB);
        /// Members of all channels with presence together.
        pub presence_members: usize = value(500_000).within(1..=100_000_000);
        /// How long a call of a store may take.
        pub timeout: Duration = value(seconds(2)).within(milliseconds(10)..=seconds(60));
    }
}

fn check_url(url: &str) -> Result<(), String> {
    match url {
        "memory:" => Ok(()),
        other => Err(format!("found {other:?}, expected memory:; other stores are not built yet")),
    }
}
