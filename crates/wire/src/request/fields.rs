//! The header fields a gateway must know of, gathered while the lines go by.
//!
//! Place in the data path: `request.rs` hands over each header line. Rules that hold for every HTTP request (RFC 9112) are
//! checked here at once; those of an upgrade (RFC 6455 4.2.1) wait for the end of the head, in `upgrade.rs`, because a
//! request without `Upgrade: websocket` is not bound by them.

use std::num::NonZeroU16;

use super::chars::list_members;
use super::error::RequestError;
use super::host;
use super::lines::{Field, Line};
use super::span::{Single, Span};

/// What `Upgrade` asks for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum UpgradeTo {
    #[default]
    Nothing,
    OtherProtocol,
    WebSocket,
}

/// How the end of the body would be found (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Body {
    #[default]
    None,
    /// `Content-Length: 0`.
    EmptyLength,
    Length,
    TransferEncoding,
}

/// What the header lines so far hold of interest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields {
    pub(super) host: Option<Span>,
    pub(super) upgrade_to: UpgradeTo,
    /// `Connection` lists `upgrade`.
    pub(super) connection_upgrade: bool,
    pub(super) body: Body,
    pub(super) key: Single,
    pub(super) version: Single,
    pub(super) origin: Single,
    pub(super) authorization: Single,
    /// Offset of the first line of `Sec-WebSocket-Protocol`; the list may span several.
    pub(super) subprotocol_lines: Option<NonZeroU16>,
    /// Offset of the first line of `Sec-WebSocket-Extensions`.
    pub(super) extension_lines: Option<NonZeroU16>,
}

impl Fields {
    /// Takes note of one header line.
    #[inline]
    pub(super) fn add(&mut self, line: &Line<'_>, field: &Field<'_>) -> Result<(), RequestError> {
        // By length first: one compare of a few bytes tells most headers to be of no interest.
        match field.name.len() {
            4 if is(field, "host") => self.add_host(line, field)?,
            6 if is(field, "origin") => self.origin.add(field),
            7 if is(field, "upgrade") => self.add_upgrade(field),
            10 if is(field, "connection") => {
                self.connection_upgrade |= lists(field.value, b"upgrade");
            }
            13 if is(field, "authorization") => self.authorization.add(field),
            14 if is(field, "content-length") => self.add_content_length(line, field)?,
            17 if is(field, "transfer-encoding") => self.add_transfer_encoding(line)?,
            17 if is(field, "sec-websocket-key") => self.key.add(field),
            21 if is(field, "sec-websocket-version") => self.version.add(field),
            22 if is(field, SUBPROTOCOL) => {
                self.subprotocol_lines = self.subprotocol_lines.or(NonZeroU16::new(line.start));
            }
            24 if is(field, EXTENSIONS) => {
                self.extension_lines = self.extension_lines.or(NonZeroU16::new(line.start));
            }
            _ => {}
        }
        Ok(())
    }

    fn add_host(&mut self, line: &Line<'_>, field: &Field<'_>) -> Result<(), RequestError> {
        if self.host.is_some() {
            return Err(RequestError::DuplicateHost { line: line.number });
        }
        if !host::is_valid(field.value) {
            return Err(RequestError::BadHost { line: line.number });
        }
        self.host = Some(Span::new(field.value_start, field.value.len()));
        Ok(())
    }

    fn add_upgrade(&mut self, field: &Field<'_>) {
        if lists(field.value, b"websocket") {
            self.upgrade_to = UpgradeTo::WebSocket;
        } else if self.upgrade_to == UpgradeTo::Nothing {
            self.upgrade_to = UpgradeTo::OtherProtocol;
        }
    }

    fn add_content_length(&mut self, line: &Line<'_>, field: &Field<'_>) -> Result<(), RequestError> {
        let line = line.number;
        self.body = match self.body {
            Body::TransferEncoding => return Err(RequestError::ConflictingLengths { line }),
            Body::Length | Body::EmptyLength => return Err(RequestError::DuplicateContentLength { line }),
            Body::None => {
                let digits = field.value.iter().all(u8::is_ascii_digit);
                let length = str::from_utf8(field.value).ok().and_then(|value| value.parse::<u64>().ok());
                match length {
                    Some(0) if digits => Body::EmptyLength,
                    Some(_) if digits => Body::Length,
                    _ => return Err(RequestError::BadContentLength { line }),
                }
            }
        };
        Ok(())
    }

    fn add_transfer_encoding(&mut self, line: &Line<'_>) -> Result<(), RequestError> {
        if matches!(self.body, Body::EmptyLength | Body::Length) {
            return Err(RequestError::ConflictingLengths { line: line.number });
        }
        self.body = Body::TransferEncoding;
        Ok(())
    }
}

/// `lower` must be lower case; header names compare in any case.
#[inline]
fn is(field: &Field<'_>, lower: &str) -> bool {
    field.name.eq_ignore_ascii_case(lower.as_bytes())
}

#[inline]
fn lists(value: &[u8], member: &[u8]) -> bool {
    // Most often the one member is all there is.
    value.eq_ignore_ascii_case(member) || list_members(value).any(|found| found.eq_ignore_ascii_case(member))
}

/// The header that lists subprotocols.
pub(super) const SUBPROTOCOL: &str = "sec-websocket-protocol";

/// The header that lists extensions.
pub(super) const EXTENSIONS: &str = "sec-websocket-extensions";
