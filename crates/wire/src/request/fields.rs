//! The header fields a gateway must know of, gathered while the lines go by.
//!
//! Place in the data path: `request.rs` hands over each header line. Rules that hold for every HTTP request (RFC 9112) are
//! checked here at once; those of an upgrade (RFC 6455 4.2.1) wait for the end of the head, in `upgrade.rs`, because a
//! request without `Upgrade: websocket` is not bound by them.

use std::num::NonZeroU16;

use super::chars::{is_in_any_case, list_members};
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
            4 if is_in_any_case(field.name, b"host") => self.add_host(line, field)?,
            6 if is_in_any_case(field.name, b"origin") => self.origin.add(field),
            7 if is_in_any_case(field.name, b"upgrade") => self.add_upgrade(field),
            10 if is_in_any_case(field.name, b"connection") => {
                self.connection_upgrade |= lists(field.value, b"upgrade");
            }
            13 if is_in_any_case(field.name, b"authorization") => self.authorization.add(field),
            14 if is_in_any_case(field.name, b"content-length") => self.add_content_length(line, field)?,
            17 if is_in_any_case(field.name, b"transfer-encoding") => self.add_transfer_encoding(line)?,
            17 if is_in_any_case(field.name, b"sec-websocket-key") => self.key.add(field),
            21 if is_in_any_case(field.name, b"sec-websocket-version") => self.version.add(field),
            22 if is_in_any_case(field.name, SUBPROTOCOL) => {
                self.subprotocol_lines = self.subprotocol_lines.or(NonZeroU16::new(line.start));
            }
            24 if is_in_any_case(field.name, EXTENSIONS) => {
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

/// `member` is of lower case letters; list members compare in any case.
#[inline]
fn lists<const N: usize>(value: &[u8], member: &[u8; N]) -> bool {
    // Most often the one member is all there is.
    is_in_any_case(value, member) || list_members(value).any(|found| is_in_any_case(found, member))
}

/// The header that lists subprotocols.
pub(super) const SUBPROTOCOL: &[u8; 22] = b"sec-websocket-protocol";

/// The header that lists extensions.
pub(super) const EXTENSIONS: &[u8; 24] = b"sec-websocket-extensions";
