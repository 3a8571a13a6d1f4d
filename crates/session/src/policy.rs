//! What the operator decided for all sessions of a node.
//!
//! Place in the data path: made once out of the config, lent to every call by [`crate::Cx`].

use std::num::NonZeroU32;
use std::time::Duration;

use tidegate_protocol::event::ClientLimits;
use tidegate_protocol::limits;
use tidegate_protocol::quota::Rate;

/// Limits and times of a session.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long a client may take to send `connect`, and the outside to answer it.
    pub connect_timeout: Duration,
    /// Silence after which a client is asked for a sign of life.
    pub ping_interval: Duration,
    /// Unanswered signs of life before a connection is given up.
    pub pings_missed: u32,
    /// How long before its token's end a client is told to refresh it.
    pub expiring_notice: Duration,
    /// How long a dropped client may come back, as told in the connect reply.
    pub session_ttl: Duration,
    /// Commands a second; `None`: as many as come.
    pub messages: Option<Rate>,
    /// Bytes of commands a second; `None`: as many as come.
    pub bytes: Option<Rate>,
    /// Commands refused by either rate within the window that are only answered; the next one closes.
    pub limit_strikes_max: u32,
    /// Malformed commands within the window that are only answered; the next one closes.
    pub bad_messages_max: u32,
    /// How long a strike counts.
    pub strikes_window: Duration,
    /// What the connect reply tells a client to keep to. The session itself holds it to `subscriptions` only; the rates are
    /// those above, and a message's size is the frame decoder's to check.
    pub limits: ClientLimits,
    /// Commands whose answers are outstanding, and as many that wait behind a `connect` that is not answered yet.
    pub pending_max: usize,
    /// Bytes of commands that wait behind a `connect`.
    pub held_bytes_max: usize,
    /// Live messages held for one subscription while it is being caught up.
    pub gate_messages_max: usize,
    /// Bytes of live messages held for all subscriptions of a session together.
    pub gate_bytes_max: usize,
    /// How often the history is read again for one catching up before the rest is told as a gap.
    pub gate_reads_max: u32,
}

impl Default for Policy {
    /// What holds where the config says nothing.
    fn default() -> Self {
        Self {
            connect_timeout: limits::CONNECT_TIMEOUT.default,
            ping_interval: limits::PING_INTERVAL.default,
            pings_missed: limits::PINGS_MISSED.default,
            expiring_notice: limits::EXPIRING_NOTICE.default,
            session_ttl: limits::SESSION_TTL.default,
            messages: Some(rate(limits::MESSAGES_PER_SECOND.default)),
            bytes: Some(rate(limits::BYTES_PER_SECOND.default)),
            limit_strikes_max: limits::LIMIT_STRIKES.default,
            bad_messages_max: limits::BAD_MESSAGES.default,
            strikes_window: limits::STRIKES_WINDOW.default,
            limits: ClientLimits {
                message_bytes: limits::MESSAGE_BYTES.default as u64,
                subscriptions: limits::SUBSCRIPTIONS.default,
                messages_per_second: Some(limits::MESSAGES_PER_SECOND.default),
                bytes_per_second: Some(limits::BYTES_PER_SECOND.default),
            },
            pending_max: limits::PENDING.default as usize,
            held_bytes_max: HELD_BYTES_MAX,
            gate_messages_max: limits::GATE_MESSAGES.default as usize,
            gate_bytes_max: limits::GATE_BYTES.default,
            gate_reads_max: GATE_READS_MAX,
        }
    }
}

/// A second's worth at once, and the same in every second.
fn rate(per_second: u32) -> Rate {
    let per_second = NonZeroU32::new(per_second).expect("no default rate is zero");
    Rate::new(per_second, per_second)
}

const HELD_BYTES_MAX: usize = 256 << 10;
const GATE_READS_MAX: u32 = 3;
