//! The upgrade request (RFC 6455 4.2.1 over RFC 9112), read from the bytes as they lie in the read buffer.
//!
//! Place in the data path: first thing after accept, PROXY header and TLS. The gateway asks `RequestParser::parse` after each
//! read, and gets an `UpgradeRequest` that borrows from the buffer, the news that this is plain HTTP for the other
//! server, or the typed reason for a refusal.
//!
//! | File | Holds |
//! |---|---|
//! | `request/lines.rs` | finds each line once, splits it into name and value |
//! | `request/request_line.rs` | method, target, version |
//! | `request/fields.rs`, `request/host.rs` | the headers that matter, and the rules of all HTTP |
//! | `request/upgrade.rs` | the rules of an upgrade, and what the gateway reads from it |
//! | `request/error.rs`, `request/excerpt.rs` | why a request is refused |

use std::fmt;

use memchr::memchr;

use chars::is_token_byte;
use fields::{Fields, UpgradeTo};
use lines::{Line, LineCursor, NextLine};
use request_line::{HttpVersion, RequestLine};
use span::{Single, Span};

pub use error::RequestError;
pub use excerpt::Excerpt;
pub use lines::LineFault;
pub use upgrade::UpgradeRequest;

pub(crate) mod chars;
mod error;
pub(crate) mod excerpt;
mod fields;
mod host;
pub(crate) mod lines;
mod request_line;
pub(crate) mod span;
mod upgrade;

#[cfg(test)]
mod tests;

/// What a request head may cost. A head at a limit is accepted, one unit more is refused.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// Bytes from the first of the request line to the last of the empty line; over `BYTES_CEILING` means that.
    pub bytes_max: usize,
    /// Header lines.
    pub headers_max: usize,
    /// Bytes of the request target.
    pub target_bytes_max: usize,
}

impl RequestLimits {
    /// No head is longer than this, whatever `bytes_max` says: offsets are kept in 16 bits.
    pub const BYTES_CEILING: usize = lines::HEAD_BYTES_CEILING;
}

/// Reads one request head, in as many calls as its bytes need.
///
/// It keeps offsets and no bytes: each call must bring the same bytes again and may bring more. What has been looked at is not
/// looked at again before the head is complete, so bytes that come one by one cost the same as all at once. After an error it
/// is of no further use. 54 bytes.
#[derive(Clone)]
pub struct RequestParser {
    cursor: LineCursor,
    /// `None` until the request line is complete.
    start: Option<Start>,
    fields: Fields,
    complete: bool,
}

/// What the request line said.
#[derive(Clone, Copy)]
struct Start {
    target: Span,
    method_bytes: u16,
    headers_start: u16,
    version: HttpVersion,
}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Parsed<'b> {
    /// The head is not complete: read more and ask again.
    Incomplete,
    /// A request to upgrade that keeps all rules.
    Upgrade {
        /// The request, borrowing from the buffer.
        request: UpgradeRequest<'b>,
        /// Length of the head in bytes; those after it are the first frames.
        consumed: usize,
    },
    /// A well-formed head without `Upgrade: websocket`; for the HTTP server, which re-reads it from byte 0.
    ///
    /// The rules that keep two readers of one request in agreement have been checked (line ends, control characters, field
    /// syntax, one `Host`, one length); those of an upgrade have not.
    Http,
}

impl RequestParser {
    /// A parser that stands at byte 0.
    pub fn new() -> Self {
        Self { cursor: LineCursor::default(), start: None, fields: Fields::default(), complete: false }
    }

    /// Reads on in `bytes`, which begins where the connection began and holds at least what the last call was given.
    ///
    /// # Errors
    ///
    /// The first rule that the head breaks. Rules of HTTP are reported when the line that breaks them is complete, rules of an
    /// upgrade at the end of the head.
    #[inline]
    pub fn parse<'b>(&mut self, limits: &RequestLimits, bytes: &'b [u8]) -> Result<Parsed<'b>, RequestError> {
        if bytes.len() < self.cursor.searched() {
            // Not the buffer of the last call: start over rather than trust offsets into something else.
            *self = Self::new();
        }
        if self.cursor.searched() == 0 && !begins_as_http(bytes)? {
            return Ok(Parsed::Incomplete);
        }

        while !self.complete {
            match self.cursor.next_line(bytes, limits.bytes_max) {
                Ok(NextLine::Line(line)) => self.take_line(limits, &line)?,
                Ok(NextLine::Incomplete) => return Ok(Parsed::Incomplete),
                Ok(NextLine::OverLimit) => return Err(self.over_limit(limits, bytes)),
                Err(fault) => return Err(RequestError::from_line_fault(fault, self.cursor.lines() + 1)),
            }
        }
        self.finish(&bytes[..self.cursor.consumed()])
    }

    #[inline]
    fn take_line(&mut self, limits: &RequestLimits, line: &Line<'_>) -> Result<(), RequestError> {
        if self.start.is_none() {
            return self.take_request_line(limits, line);
        }
        if line.text.is_empty() {
            self.complete = true;
            return Ok(());
        }
        if usize::from(line.number - 1) > limits.headers_max {
            return Err(RequestError::TooManyHeaders { max: limits.headers_max });
        }
        let field = line.field().map_err(|fault| RequestError::from_line_fault(fault, line.number))?;
        self.fields.add(line, &field)
    }

    fn take_request_line(&mut self, limits: &RequestLimits, line: &Line<'_>) -> Result<(), RequestError> {
        let RequestLine { method, target, version } = RequestLine::parse(line.text, limits.target_bytes_max)?;
        let method_bytes = lines::offset(method.len());
        self.start = Some(Start {
            target: Span::new(method_bytes + 1, target.len()),
            method_bytes,
            headers_start: lines::offset(self.cursor.consumed()),
            version,
        });
        Ok(())
    }

    fn finish<'b>(&self, head: &'b [u8]) -> Result<Parsed<'b>, RequestError> {
        let start = self.start.expect("a head is complete only after its request line");
        if start.version == HttpVersion::Http11 && self.fields.host.is_none() {
            return Err(RequestError::MissingHost);
        }
        match self.fields.upgrade_to {
            UpgradeTo::WebSocket => {}
            UpgradeTo::Nothing if self.fields.connection_upgrade => return Err(RequestError::MissingUpgrade),
            // Plain HTTP by mistake: nobody but a WebSocket client sends a key.
            _ if !matches!(self.fields.key, Single::Absent) => return Err(RequestError::MissingUpgrade),
            UpgradeTo::Nothing | UpgradeTo::OtherProtocol => return Ok(Parsed::Http),
        }

        let method = &head[..usize::from(start.method_bytes)];
        if method != b"GET" {
            return Err(RequestError::MethodNotGet { method: Excerpt::new(method) });
        }
        if start.version == HttpVersion::Http10 {
            return Err(RequestError::Http10);
        }
        let request = UpgradeRequest::check(head, start.target.of(head), start.headers_start, &self.fields)?;
        Ok(Parsed::Upgrade { request, consumed: head.len() })
    }

    /// Names the limit that was hit: a long target fills the head before its line is complete.
    #[cold]
    fn over_limit(&self, limits: &RequestLimits, bytes: &[u8]) -> RequestError {
        let visible = &bytes[..self.cursor.searched()];
        if let (None, Some(space)) = (self.start, memchr(b' ', visible))
            && visible.len() - (space + 1) > limits.target_bytes_max
        {
            return RequestError::TargetTooLong { max: limits.target_bytes_max };
        }
        RequestError::HeadTooLarge { max: limits.bytes_max.min(lines::HEAD_BYTES_CEILING) }
    }
}

impl Default for RequestParser {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RequestParser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestParser")
            .field("searched", &self.cursor.searched())
            .field("lines", &self.cursor.lines())
            .field("complete", &self.complete)
            .finish_non_exhaustive()
    }
}

/// Tells other protocols by their first bytes: such peers may never send a line end to be answered at.
///
/// False while the bytes are too few to tell.
fn begins_as_http(bytes: &[u8]) -> Result<bool, RequestError> {
    match bytes.first() {
        Some(&byte) if is_token_byte(byte) => Ok(true),
        Some(&TLS_HANDSHAKE_RECORD) => Err(RequestError::TlsClientHello),
        _ if bytes.starts_with(PROXY_V2_SIGNATURE) => Err(RequestError::ProxyHeader),
        _ if PROXY_V2_SIGNATURE.starts_with(bytes) => Ok(false),
        Some(&byte) => Err(RequestError::NotHttp { byte }),
        None => Ok(false),
    }
}

/// Content type of the TLS record that holds a ClientHello (RFC 8446 5.1).
const TLS_HANDSHAKE_RECORD: u8 = 22;

/// What a PROXY protocol header of version 2 begins with.
const PROXY_V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

// A half-open connection holds one of these for as long as its handshake takes.
const _: () = assert!(size_of::<RequestParser>() <= 56);
const _: () = assert!(size_of::<RequestError>() <= 24);
