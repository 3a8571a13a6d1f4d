//! A request to upgrade that keeps all rules of RFC 6455 4.2.1, and the checks that make it one.
//!
//! Place in the data path: made by `request.rs` at the end of a head; admission and `handshake.rs` read from it.

use std::fmt;
use std::num::NonZeroU16;

use memchr::memchr;

use super::chars::{is_in_any_case, is_token, is_visible_ascii, list_members, trim_whitespace};
use super::error::RequestError;
use super::excerpt::Excerpt;
use super::fields::{Body, EXTENSIONS, Fields, SUBPROTOCOL};
use super::lines::offset;
use super::request_line::check_upgrade_target;
use super::span::Single;
use crate::handshake::base64;

/// A request to upgrade for which all rules of RFC 6455 4.2.1 hold. Borrows from the read buffer.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct UpgradeRequest<'b> {
    // Visible ASCII, all three; as text only where asked for.
    target: &'b [u8],
    host: &'b [u8],
    origin: Option<&'b [u8]>,
    key: &'b [u8; 24],
    authorization: Option<&'b [u8]>,
    headers: HeaderLines<'b>,
    /// From the first line of the name to the end of the head; empty if there is none.
    subprotocol_lines: HeaderLines<'b>,
    extension_lines: HeaderLines<'b>,
}

/// Header lines that have been checked, each with its CRLF.
#[derive(Clone, Copy, Eq, PartialEq)]
struct HeaderLines<'b>(&'b [u8]);

impl<'b> UpgradeRequest<'b> {
    /// Checks what a GET request in HTTP/1.1 with `Upgrade: websocket` needs beyond that.
    ///
    /// `head` ends after its empty line; `headers_start` is the offset of line 2.
    pub(super) fn check(
        head: &'b [u8],
        target: &'b [u8],
        headers_start: u16,
        fields: &Fields,
    ) -> Result<Self, RequestError> {
        if !fields.connection_upgrade {
            return Err(RequestError::MissingConnectionUpgrade);
        }
        match fields.body {
            Body::None | Body::EmptyLength => {}
            Body::Length => return Err(RequestError::BodyLength),
            Body::TransferEncoding => return Err(RequestError::BodyTransferEncoding),
        }
        check_upgrade_target(target)?;
        let host = fields.host.ok_or(RequestError::MissingHost)?.of(head);
        check_version(head, fields.version)?;

        let lines_from = |start: Option<NonZeroU16>| {
            let end = head.len() - b"\r\n".len();
            HeaderLines(start.map_or(&[], |start| &head[usize::from(start.get())..end]))
        };
        let request = Self {
            target,
            host,
            key: check_key(head, fields.key)?,
            origin: check_origin(head, fields.origin)?,
            authorization: match fields.authorization {
                Single::Absent => None,
                Single::At(span) => Some(span.of(head)),
                Single::Repeated => return Err(RequestError::DuplicateAuthorization),
            },
            headers: lines_from(NonZeroU16::new(headers_start)),
            subprotocol_lines: lines_from(fields.subprotocol_lines),
            extension_lines: lines_from(fields.extension_lines),
        };
        request.check_subprotocols()?;
        Ok(request)
    }

    /// The request target as sent: a path and an optional query. Escapes are kept, and well formed.
    pub fn target(&self) -> &'b str {
        ascii(self.target)
    }

    /// The target up to its `?`; begins with `/`.
    pub fn path(&self) -> &'b str {
        let end = memchr(b'?', self.target).unwrap_or(self.target.len());
        ascii(&self.target[..end])
    }

    /// The target after its `?`.
    pub fn query(&self) -> Option<&'b str> {
        memchr(b'?', self.target).map(|at| ascii(&self.target[at + 1..]))
    }

    /// The value of `Host`: a host name or address, with an optional port.
    pub fn host(&self) -> &'b str {
        ascii(self.host)
    }

    /// The value of `Sec-WebSocket-Key`: canonical base64 of 16 bytes.
    pub fn key(&self) -> &'b [u8; 24] {
        self.key
    }

    /// The value of `Origin`, in visible ASCII; browsers send it always, others may not.
    pub fn origin(&self) -> Option<&'b str> {
        self.origin.map(ascii)
    }

    /// The value of `Authorization`. A secret: not for logs and messages.
    pub fn authorization(&self) -> Option<&'b [u8]> {
        self.authorization
    }

    /// What `Sec-WebSocket-Protocol` lists, over all its lines, in the client's order of preference.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'b str> + use<'b> {
        self.subprotocol_values().flat_map(list_members).map(ascii)
    }

    /// The values of `Sec-WebSocket-Extensions`, one a line, for `deflate::negotiate`.
    pub fn extensions(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        values(self.extension_lines, EXTENSIONS)
    }

    /// The value of the first header of that name, in any case, without the white space around it.
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers in the order they came in, found anew at each call.
    pub fn headers(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + use<'b> {
        self.headers.map(|(name, value)| (ascii(name), value))
    }

    fn subprotocol_values(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        values(self.subprotocol_lines, SUBPROTOCOL)
    }

    /// RFC 6455 4.1 asks for one token or more. That they differ is not checked: a repeated one harms nobody.
    fn check_subprotocols(&self) -> Result<(), RequestError> {
        let mut lines = self.subprotocol_values().peekable();
        if lines.peek().is_none() {
            return Ok(());
        }
        let mut names = lines.flat_map(list_members).peekable();
        if names.peek().is_some() && names.all(is_token) { Ok(()) } else { Err(RequestError::BadSubprotocol) }
    }
}

impl fmt::Debug for UpgradeRequest<'_> {
    /// Without the query and the other headers: they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeRequest")
            .field("path", &self.path())
            .field("host", &self.host())
            .field("origin", &self.origin())
            .finish_non_exhaustive()
    }
}

impl<'b> Iterator for HeaderLines<'b> {
    type Item = (&'b [u8], &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let lf = memchr(b'\n', self.0)?;
        let colon = memchr(b':', &self.0[..lf])?;
        let line = self.0;
        self.0 = &line[lf + 1..];
        Some((&line[..colon], trim_whitespace(&line[colon + 1..lf - 1])))
    }
}

fn values<'b, const N: usize>(
    lines: HeaderLines<'b>,
    name: &'static [u8; N],
) -> impl Iterator<Item = &'b [u8]> + use<'b, N> {
    lines.filter(|(found, _)| is_in_any_case(found, name)).map(|(_, value)| value)
}

fn check_key(head: &[u8], key: Single) -> Result<&[u8; 24], RequestError> {
    let value = match key {
        Single::Absent => return Err(RequestError::MissingKey),
        Single::Repeated => return Err(RequestError::DuplicateKey),
        Single::At(span) => span.of(head),
    };
    match value.first_chunk::<24>() {
        Some(key) if value.len() == key.len() && base64::is_sixteen_bytes(key) => Ok(key),
        _ => Err(RequestError::BadKey { length: offset(value.len()) }),
    }
}

fn check_version(head: &[u8], version: Single) -> Result<(), RequestError> {
    match version {
        Single::Absent => Err(RequestError::MissingVersion),
        Single::Repeated => Err(RequestError::DuplicateVersion),
        Single::At(span) => match span.of(head) {
            b"13" => Ok(()),
            other => Err(RequestError::UnsupportedVersion { version: Excerpt::new(other) }),
        },
    }
}

fn check_origin(head: &[u8], origin: Single) -> Result<Option<&[u8]>, RequestError> {
    match origin {
        Single::Absent => Ok(None),
        Single::Repeated => Err(RequestError::DuplicateOrigin),
        Single::At(span) => match span.of(head) {
            value if !value.is_empty() && is_visible_ascii(value) => Ok(Some(value)),
            _ => Err(RequestError::BadOrigin),
        },
    }
}

fn ascii(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("tokens, targets, hosts and origins have been checked to be ASCII")
}
