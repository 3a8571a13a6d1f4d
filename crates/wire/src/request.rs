//! The upgrade request (RFC 6455 4.2.1 over RFC 9112), read from the bytes as they lie in the read buffer.
//!
//! Place in the data path: first thing after accept (and TLS). The gateway reads into a buffer, asks `RequestParser::parse`
//! after each read, and gets either an `UpgradeRequest` that borrows from that buffer, the news that this is
//! plain HTTP for the other server, or the typed reason for a refusal.

pub use error::RequestError;

mod error;

/// What a request head may cost. A head at a limit is accepted, one unit more is refused.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// Bytes from the first of the request line to the last of the empty line.
    pub bytes_max: usize,
    /// Header lines.
    pub headers_max: usize,
    /// Bytes of the request target.
    pub target_bytes_max: usize,
}

/// Resumable: remembers how far it has looked; call again with the same buffer, longer. No allocation.
#[derive(Clone, Debug, Default)]
pub struct RequestParser {}

/// What the bytes so far amount to.
#[derive(Debug)]
pub enum Parsed<'b> {
    /// The head is not complete: read more and ask again.
    Incomplete,
    /// A request to upgrade that keeps all rules; bytes after `consumed` are the first frames.
    Upgrade {
        /// The request, borrowing from the buffer.
        request: UpgradeRequest<'b>,
        /// Length of the head in bytes.
        consumed: usize,
    },
    /// A well-formed head without `Upgrade: websocket`; for the HTTP server, which re-reads it from byte 0.
    Http,
}

/// A request to upgrade for which all rules of RFC 6455 4.2.1 hold.
#[derive(Clone, Copy, Debug)]
pub struct UpgradeRequest<'b> {
    target: &'b str,
    host: &'b str,
    key: &'b [u8; 24],
}

impl RequestParser {
    /// A parser at byte 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at what `bytes` holds beyond the previous call's.
    pub fn parse<'b>(&mut self, _limits: &RequestLimits, _bytes: &'b [u8]) -> Result<Parsed<'b>, RequestError> {
        Ok(Parsed::Incomplete)
    }
}

impl<'b> UpgradeRequest<'b> {
    /// The request target as sent.
    pub fn target(&self) -> &'b str {
        self.target
    }

    /// The target up to its `?`.
    pub fn path(&self) -> &'b str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// The target after its `?`.
    pub fn query(&self) -> Option<&'b str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The value of `Host`.
    pub fn host(&self) -> &'b str {
        self.host
    }

    /// The value of `Sec-WebSocket-Key`.
    pub fn key(&self) -> &'b [u8; 24] {
        self.key
    }

    /// The value of `Origin`.
    pub fn origin(&self) -> Option<&'b str> {
        None
    }

    /// The value of `Authorization`.
    pub fn authorization(&self) -> Option<&'b [u8]> {
        None
    }

    /// What `Sec-WebSocket-Protocol` lists.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'b str> + use<'b> {
        std::iter::empty()
    }

    /// The values of `Sec-WebSocket-Extensions`.
    pub fn extensions(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        std::iter::empty()
    }

    /// The value of the first header of that name (any case).
    pub fn header(&self, _name: &str) -> Option<&'b [u8]> {
        None
    }

    /// All headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + use<'b> {
        std::iter::empty()
    }
}
