//! How much there may be: what the protocol itself fixes, and the defaults and ranges of what the config may change.
//!
//! Place in the data path: each limit is enforced at the earliest stage that knows the size. Units stand last in a name.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Bytes of a channel name, as UTF-8. Fixed.
pub const CHANNEL_BYTES_MAX: usize = 255;

/// Bytes of an idempotency key (`key` of `publish` and `send`). Fixed.
pub const KEY_BYTES_MAX: usize = 64;

/// Bytes of a conflation value (`conflate` of `publish`). Fixed.
pub const CONFLATE_BYTES_MAX: usize = 64;

/// Bytes of a user's name: `sub` of a token, `user` of `send`. Fixed.
pub const USER_BYTES_MAX: usize = 255;

/// Bytes of a token in `connect` and `refresh`. Fixed: above it, a token's claims are more than identity and rights.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Bytes of either part of `connect.client`. Fixed.
pub const CLIENT_BYTES_MAX: usize = 128;

/// Bytes of what a client or its token says about itself to others (`info`). Fixed.
pub const INFO_BYTES_MAX: usize = 1 << 10;

/// Bytes of a node's name. Fixed.
pub const NODE_NAME_BYTES_MAX: usize = 128;

/// Channels in one `connect`, in `subscribe` and in `positions` each. Fixed; the upper end of [`SUBSCRIPTIONS`].
pub const CONNECT_CHANNELS_MAX: usize = 4096;

/// Levels of arrays and objects in `data` and `info`.
pub const DEPTH_MAX: u32 = 32;

/// Publications that `history` answers with where the command names no `limit`.
pub const HISTORY_LIMIT_DEFAULT: u32 = 100;

/// Bytes of one message of a client.
pub const MESSAGE_BYTES: Limit<usize> = Limit { default: 1 << 20, range: 1 << 10..=64 << 20 };

/// Subscriptions of one session.
pub const SUBSCRIPTIONS: Limit<u32> = Limit { default: 128, range: 1..=4096 };

/// Commands of one session whose answers are outstanding.
pub const PENDING: Limit<u32> = Limit { default: 64, range: 1..=4096 };

/// Messages a second of one connection, and how many may come at once.
pub const MESSAGES_PER_SECOND: Limit<u32> = Limit { default: 100, range: 1..=1_000_000 };

/// Bytes a second of one connection, and how many may come at once.
pub const BYTES_PER_SECOND: Limit<u32> = Limit { default: 1 << 20, range: 1 << 10..=1 << 30 };

/// Refusals for want of quota within [`STRIKES_WINDOW`] after which a client is closed as stubborn.
pub const LIMIT_STRIKES: Limit<u32> = Limit { default: 20, range: 1..=10_000 };

/// How long such a refusal is remembered.
pub const STRIKES_WINDOW: Limit<Duration> = seconds(10, 1, 3600);

/// Malformed commands of one connection before it is closed.
pub const BAD_MESSAGES: Limit<u32> = Limit { default: 5, range: 1..=1000 };

/// Live messages held for one subscription while it is being caught up.
pub const GATE_MESSAGES: Limit<u32> = Limit { default: 256, range: 1..=65_536 };

/// Bytes of live messages held for one subscription while it is being caught up.
pub const GATE_BYTES: Limit<usize> = Limit { default: 1 << 20, range: 1 << 10..=64 << 20 };

/// How long a dropped client may come back to its session.
pub const SESSION_TTL: Limit<Duration> = seconds(120, 1, 24 * 3600);

/// How long an open connection may take to send `connect`.
pub const CONNECT_TIMEOUT: Limit<Duration> = seconds(10, 1, 300);

/// Silence after which a client is asked for a sign of life.
pub const PING_INTERVAL: Limit<Duration> = seconds(30, 1, 3600);

/// Unanswered signs of life before a connection is given up.
pub const PINGS_MISSED: Limit<u32> = Limit { default: 3, range: 1..=100 };

/// How long before its token's end a client is told to refresh it.
pub const EXPIRING_NOTICE: Limit<Duration> = seconds(60, 1, 3600);

/// A limit that the config may change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limit<T> {
    /// What holds where the config says nothing.
    pub default: T,
    /// What the config may say.
    pub range: RangeInclusive<T>,
}

const fn seconds(default: u64, min: u64, max: u64) -> Limit<Duration> {
    Limit {
        default: Duration::from_secs(default),
        range: Duration::from_secs(min)..=Duration::from_secs(max),
    }
}
