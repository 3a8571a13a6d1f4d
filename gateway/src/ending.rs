//! How things end: the one table of close causes, and the one of handshake outcomes.
//!
//! A connection ends with exactly one [`CloseCause`] (invariant I6); it decides the close code a client sees, how loudly
//! the ending is logged and under which label it is counted. A handshake that does not become a connection ends with
//! exactly one [`HandshakeOutcome`].

use tidegate_wire::close::CloseCode;

/// Why an open connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum CloseCause {
    /// The client sent a close frame.
    ClientClosed,
    /// The client's TCP stream ended without a close frame.
    ClientGone,
    /// The socket failed: reset, unreachable, time-out of the kernel.
    ConnectionLost,
    /// The client broke RFC 6455 or RFC 7692.
    ProtocolError,
    /// Text that is not UTF-8, or a deflate stream that is none.
    InvalidPayload,
    /// A frame or message over the limit.
    MessageTooBig,
    /// A frame stayed unfinished for longer than `limits.frame_timeout`.
    FrameTimeout,
    /// `limits.pings_missed` pings in a row went unanswered.
    PingTimeout,
    /// The client reads more slowly than it is sent to.
    SlowConsumer,
    /// The node's buffers are used up.
    Overloaded,
    /// The node shuts down.
    Shutdown,
}

/// Who has to do something about an ending, as a log level.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Attention {
    /// Nobody: the everyday case.
    Debug,
    /// Nobody, but someone may look for it later.
    Info,
    /// An operator, when it happens often.
    Warn,
}

/// What a cause means to everyone who hears of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CloseRow {
    /// Metric label and log field.
    pub(crate) name: &'static str,
    /// Close code for clients of the raw dialect; `None` where no close frame can reach them.
    pub(crate) code: Option<CloseCode>,
    /// Reason sent with the code.
    pub(crate) reason: &'static str,
    /// Level of the connection's one log line.
    pub(crate) attention: Attention,
}

impl CloseCause {
    /// Every cause, in the order of their discriminants.
    pub(crate) const ALL: [Self; 11] = [
        Self::ClientClosed,
        Self::ClientGone,
        Self::ConnectionLost,
        Self::ProtocolError,
        Self::InvalidPayload,
        Self::MessageTooBig,
        Self::FrameTimeout,
        Self::PingTimeout,
        Self::SlowConsumer,
        Self::Overloaded,
        Self::Shutdown,
    ];

    /// The table.
    pub(crate) const fn row(self) -> CloseRow {
        use Attention::{Debug, Info, Warn};
        let (name, code, reason, attention) = match self {
            Self::ClientClosed => ("client_closed", None, "", Debug),
            Self::ClientGone => ("client_gone", None, "", Debug),
            Self::ConnectionLost => ("connection_lost", None, "", Debug),
            Self::ProtocolError => {
                ("protocol_error", Some(CloseCode::PROTOCOL_ERROR), "protocol error", Info)
            }
            Self::InvalidPayload => {
                ("invalid_payload", Some(CloseCode::INVALID_PAYLOAD), "invalid payload", Info)
            }
            Self::MessageTooBig => ("message_too_big", Some(CloseCode::TOO_BIG), "message too big", Info),
            Self::FrameTimeout => {
                ("frame_timeout", Some(CloseCode::POLICY), "frame unfinished for too long", Info)
            }
            Self::PingTimeout => ("ping_timeout", Some(CloseCode::GOING_AWAY), "pings unanswered", Info),
            Self::SlowConsumer => ("slow_consumer", Some(CloseCode::POLICY), "reads too slowly", Info),
            Self::Overloaded => {
                ("overloaded", Some(CloseCode::TRY_AGAIN), "out of buffers, come back later", Warn)
            }
            Self::Shutdown => ("shutdown", Some(CloseCode::RESTART), "restarting, come back", Debug),
        };
        CloseRow { name, code, reason, attention }
    }

    /// The cause that a close code of the decoder stands for.
    pub(crate) fn of_decode(code: CloseCode) -> Self {
        match code {
            CloseCode::INVALID_PAYLOAD => Self::InvalidPayload,
            CloseCode::TOO_BIG => Self::MessageTooBig,
            CloseCode::TRY_AGAIN => Self::Overloaded,
            _ => Self::ProtocolError,
        }
    }
}

/// How a handshake ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum HandshakeOutcome {
    /// 101: the connection is open.
    Accepted,
    /// Not an upgrade: given to the HTTP server.
    Http,
    /// The client left before its request was complete.
    ClientGone,
    /// The PROXY header was missing or malformed.
    ProxyHeader,
    /// The TLS handshake failed.
    Tls,
    /// 400, 405, 414, 426, 431, 505: the request breaks a rule.
    Malformed,
    /// 403: the Origin is not allowed.
    Origin,
    /// 404: no such path.
    NotFound,
    /// 408: not finished within `limits.handshake_timeout`.
    Timeout,
    /// 429: too many connections of one address.
    AddressLimit,
    /// 503: too many handshakes a second.
    RateLimit,
    /// 503: the node is full.
    NodeLimit,
    /// 503: the node's buffers are used up.
    Overloaded,
    /// 503: the node is draining.
    Draining,
}

impl HandshakeOutcome {
    /// Every outcome, in the order of their discriminants.
    pub(crate) const ALL: [Self; 14] = [
        Self::Accepted,
        Self::Http,
        Self::ClientGone,
        Self::ProxyHeader,
        Self::Tls,
        Self::Malformed,
        Self::Origin,
        Self::NotFound,
        Self::Timeout,
        Self::AddressLimit,
        Self::RateLimit,
        Self::NodeLimit,
        Self::Overloaded,
        Self::Draining,
    ];

    /// Metric label and log field.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Http => "http",
            Self::ClientGone => "client_gone",
            Self::ProxyHeader => "proxy_header",
            Self::Tls => "tls",
            Self::Malformed => "malformed",
            Self::Origin => "origin",
            Self::NotFound => "not_found",
            Self::Timeout => "timeout",
            Self::AddressLimit => "address_limit",
            Self::RateLimit => "rate_limit",
            Self::NodeLimit => "node_limit",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
        }
    }
}

/// How far a handshake came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Waiting for a PROXY header.
    Proxy,
    /// In the TLS handshake.
    Tls,
    /// Waiting for the rest of the request.
    Request,
}

impl Stage {
    /// Every stage, in the order of their discriminants.
    pub(crate) const ALL: [Self; 3] = [Self::Proxy, Self::Tls, Self::Request];

    /// Metric label and log field.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::Request => "request",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_in_the_order_of_their_discriminants_and_names_are_unique() {
        for (index, cause) in CloseCause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index);
        }
        for (index, outcome) in HandshakeOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
        }
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index);
        }
        let mut names: Vec<_> = CloseCause::ALL.iter().map(|cause| cause.row().name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CloseCause::ALL.len());
    }

    #[test]
    fn a_decode_error_that_exhausted_the_pool_is_our_fault_and_not_the_clients() {
        assert_eq!(CloseCause::of_decode(CloseCode::TRY_AGAIN), CloseCause::Overloaded);
        assert_eq!(CloseCause::of_decode(CloseCode::PROTOCOL_ERROR), CloseCause::ProtocolError);
    }
}
