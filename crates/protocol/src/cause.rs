//! How connections end: the one table of close causes.
//!
//! A connection ends with exactly one [`CloseCause`] (invariant I6). Its [row](CloseCause::row) decides the close code
//! that a client of either dialect sees, what the client should do next, how loudly the ending is logged and under which
//! label it is counted. `docs/close-codes.md` is written from here.

use std::fmt;

mod page;
#[cfg(test)]
mod tests;

pub use page::close_codes_page;

/// Why an open connection ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum CloseCause {
    /// The client sent a close frame.
    ClientClosed,
    /// The client's TCP stream ended without a close frame.
    ClientGone,
    /// The socket failed: reset, unreachable, time-out of the kernel.
    ConnectionLost,
    /// The client broke RFC 6455 or RFC 7692.
    ProtocolError,
    /// A binary message in a dialect of text.
    UnsupportedData,
    /// Text that is not UTF-8, or a deflate stream that is none.
    InvalidPayload,
    /// A frame or message over the limit.
    MessageTooBig,
    /// The node shuts down.
    Shutdown,
    /// The node is being emptied, and this client did not leave when it was asked to.
    Drain,
    /// The client belongs on another node.
    Rebalance,
    /// `limits.pings_missed` signs of life in a row were missing.
    PingTimeout,
    /// A frame stayed unfinished for longer than `limits.frame_timeout`.
    FrameTimeout,
    /// The token ended and was not refreshed.
    TokenExpired,
    /// The client reads more slowly than it is sent to.
    SlowConsumer,
    /// The node's buffers are used up.
    Overloaded,
    /// A fault of our own.
    Internal,
    /// What the session needs is out of reach.
    Unavailable,
    /// No or no valid credentials.
    Unauthorized,
    /// The credentials are good, the right to be here is missing.
    Forbidden,
    /// Too many objects that are no commands of the dialect.
    BadMessage,
    /// The session lives on in a newer connection.
    TakenOver,
    /// The user, session or token was revoked.
    Revoked,
    /// The server API said so.
    Disconnected,
    /// The client kept sending more than it may.
    RateLimited,
    /// No `connect` within `limits.connect_timeout`.
    ConnectTimeout,
    /// The session's life is over.
    SessionExpired,
}

/// What a client should do after the close frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Comeback {
    /// Come back at once, with jitter.
    Now,
    /// Come back after a back-off.
    BackOff,
    /// Stay away until a person or the app has done something about it.
    Never,
}

/// Who has to do something about an ending, as a log level.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attention {
    /// Nobody: the everyday case.
    Debug,
    /// Nobody, but someone may look for it later.
    Info,
    /// An operator, when it happens often.
    Warn,
}

/// What a cause means to everyone who hears of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CloseRow {
    /// Metric label and log field.
    pub name: &'static str,
    /// `closing.name`: [`CloseRow::name`], but where several causes are one to a client.
    pub native_name: &'static str,
    /// Close code of the native dialect; `None` where no close frame can reach the client.
    pub native_code: Option<u16>,
    /// Close code of the raw dialect.
    pub raw_code: Option<u16>,
    /// Reason sent with either code, at most 123 bytes.
    pub reason: &'static str,
    /// What the client should do.
    pub comeback: Comeback,
    /// Level of the connection's one log line.
    pub attention: Attention,
}

impl CloseCause {
    /// Every cause, in the order of their discriminants.
    pub const ALL: [Self; 26] = [
        Self::ClientClosed,
        Self::ClientGone,
        Self::ConnectionLost,
        Self::ProtocolError,
        Self::UnsupportedData,
        Self::InvalidPayload,
        Self::MessageTooBig,
        Self::Shutdown,
        Self::Drain,
        Self::Rebalance,
        Self::PingTimeout,
        Self::FrameTimeout,
        Self::TokenExpired,
        Self::SlowConsumer,
        Self::Overloaded,
        Self::Internal,
        Self::Unavailable,
        Self::Unauthorized,
        Self::Forbidden,
        Self::BadMessage,
        Self::TakenOver,
        Self::Revoked,
        Self::Disconnected,
        Self::RateLimited,
        Self::ConnectTimeout,
        Self::SessionExpired,
    ];

    /// The table.
    ///
    /// Codes up to 1015 are RFC 6455's and IANA's. Of our own, 4000 to 4499 mean *come back*, 4500 to 4999 *stay away*;
    /// in each, x00 to x49 *at once* and x50 to x99 *after a back-off*.
    pub const fn row(self) -> CloseRow {
        use Attention::{Debug, Info, Warn};
        use Comeback::{BackOff, Never, Now};
        match self {
            Self::ClientClosed => silent("client_closed", Never),
            Self::ClientGone => silent("client_gone", Now),
            Self::ConnectionLost => silent("connection_lost", Now),
            Self::ProtocolError => row("protocol_error", 1002, 1002, "protocol error", Never, Info),
            Self::UnsupportedData => row(
                "unsupported_data",
                1003,
                1003,
                "binary messages are not part of this dialect",
                Never,
                Info,
            ),
            Self::InvalidPayload => row("invalid_payload", 1007, 1007, "invalid payload", Never, Info),
            Self::MessageTooBig => row("message_too_big", 1009, 1009, "message too big", Never, Info),
            Self::Shutdown => CloseRow {
                native_name: "drain",
                ..row("shutdown", 4000, 1012, "restarting, come back", Now, Debug)
            },
            Self::Drain => row("drain", 4000, 1012, "restarting, come back", Now, Debug),
            Self::Rebalance => row("rebalance", 4001, 1012, "moving to another node, come back", Now, Debug),
            Self::PingTimeout => row("ping_timeout", 4002, 1001, "pings unanswered", Now, Info),
            Self::FrameTimeout => {
                row("frame_timeout", 4003, 1008, "frame unfinished for too long", Now, Info)
            }
            Self::TokenExpired => {
                row("token_expired", 4004, 1008, "token expired, come back with a new one", Now, Debug)
            }
            Self::SlowConsumer => row("slow_consumer", 4050, 1008, "reads too slowly", BackOff, Info),
            Self::Overloaded => row("overloaded", 4051, 1013, "overloaded, come back later", BackOff, Warn),
            Self::Internal => row("internal", 4052, 1013, "our fault, come back later", BackOff, Warn),
            Self::Unavailable => {
                row("unavailable", 4053, 1013, "not available now, come back later", BackOff, Warn)
            }
            Self::Unauthorized => row("unauthorized", 4500, 1008, "no valid credentials", Never, Info),
            Self::Forbidden => row("forbidden", 4501, 1008, "not allowed", Never, Info),
            Self::BadMessage => row("bad_message", 4502, 1008, "too many malformed messages", Never, Info),
            Self::TakenOver => {
                row("taken_over", 4503, 1008, "the session lives on in a newer connection", Never, Debug)
            }
            Self::Revoked => row("revoked", 4504, 1008, "access was revoked", Never, Info),
            Self::Disconnected => {
                row("disconnected", 4505, 1008, "disconnected by the application", Never, Info)
            }
            Self::RateLimited => row("rate_limited", 4506, 1008, "kept sending too much", Never, Info),
            Self::ConnectTimeout => {
                row("connect_timeout", 4507, 1008, "no connect command in time", Never, Info)
            }
            Self::SessionExpired => row("session_expired", 4508, 1008, "the session is over", Never, Debug),
        }
    }

    /// Whether the node sent the client away to go on elsewhere: what was published for it goes out before its close.
    pub const fn is_departure(self) -> bool {
        matches!(self, Self::Shutdown | Self::Drain | Self::Rebalance)
    }

    /// The cause that a close code of the frame decoder stands for.
    pub const fn of_decode(code: u16) -> Self {
        match code {
            1003 => Self::UnsupportedData,
            1007 => Self::InvalidPayload,
            1009 => Self::MessageTooBig,
            1013 => Self::Overloaded,
            _ => Self::ProtocolError,
        }
    }
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.row().name)
    }
}

impl Comeback {
    /// `closing.reconnect`.
    pub const fn may_reconnect(self) -> bool {
        !matches!(self, Self::Never)
    }
}

const fn row(
    name: &'static str,
    native_code: u16,
    raw_code: u16,
    reason: &'static str,
    comeback: Comeback,
    attention: Attention,
) -> CloseRow {
    CloseRow {
        name,
        native_name: name,
        native_code: Some(native_code),
        raw_code: Some(raw_code),
        reason,
        comeback,
        attention,
    }
}

/// An ending after which nobody is there to read a close frame.
const fn silent(name: &'static str, comeback: Comeback) -> CloseRow {
    CloseRow {
        name,
        native_name: name,
        native_code: None,
        raw_code: None,
        reason: "",
        comeback,
        attention: Attention::Debug,
    }
}
