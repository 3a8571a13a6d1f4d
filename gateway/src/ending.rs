//! How handshakes end: one that does not become a connection ends with exactly one [`HandshakeOutcome`]. The table of how
//! connections end is [`tidegate_protocol::cause`].

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
    /// 401: credentials that came with the request are not good.
    Unauthorized,
    /// 429: too many connections of one address.
    AddressLimit,
    /// 503: too many handshakes a second.
    RateLimit,
    /// 503: the node is full.
    NodeLimit,
    /// 503: all nodes together take no more clients.
    ClusterLimit,
    /// 503: the node is overloaded, or its buffers are used up.
    Overloaded,
    /// 503: the node is draining.
    Draining,
}

impl HandshakeOutcome {
    /// Every outcome, in the order of their discriminants.
    pub(crate) const ALL: [Self; 16] = [
        Self::Accepted,
        Self::Http,
        Self::ClientGone,
        Self::ProxyHeader,
        Self::Tls,
        Self::Malformed,
        Self::Origin,
        Self::NotFound,
        Self::Timeout,
        Self::Unauthorized,
        Self::AddressLimit,
        Self::RateLimit,
        Self::NodeLimit,
        Self::ClusterLimit,
        Self::Overloaded,
        Self::Draining,
    ];

    /// Whether a client was sent away that a node with more room or time would have taken.
    pub(crate) const fn is_for_want_of_room(self) -> bool {
        matches!(self, Self::RateLimit | Self::NodeLimit | Self::ClusterLimit | Self::Overloaded)
    }

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
            Self::Unauthorized => "unauthorized",
            Self::AddressLimit => "address_limit",
            Self::RateLimit => "rate_limit",
            Self::NodeLimit => "node_limit",
            Self::ClusterLimit => "cluster_limit",
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
    fn tables_are_in_the_order_of_their_discriminants() {
        for (index, outcome) in HandshakeOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
        }
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index);
        }
    }
}
