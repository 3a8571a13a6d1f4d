//! The request line (RFC 9112 3) and the target of an upgrade request (RFC 6455 3, RFC 3986 2.1).
//!
//! Place in the data path: `request.rs` hands over line 1 as soon as it is complete, and the target once the head has
//! turned out to be an upgrade request.

use memchr::{memchr, memrchr};

use super::chars::{is_token_byte, is_visible_ascii};
use super::error::RequestError;
use super::excerpt::Excerpt;
use super::lines::{check_controls, offset};

/// The parts of a request line. An upgrade asks more of each than plain HTTP does.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestLine<'b> {
    pub(super) method: &'b [u8],
    /// Visible ASCII, not empty.
    pub(super) target: &'b [u8],
    pub(super) version: HttpVersion,
}

/// The versions whose heads have the form that is parsed here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum HttpVersion {
    Http10,
    Http11,
}

impl<'b> RequestLine<'b> {
    /// Splits line 1.
    pub(super) fn parse(text: &'b [u8], target_bytes_max: usize) -> Result<Self, RequestError> {
        Self::split(text, target_bytes_max).map_err(|error| match check_controls(text) {
            Ok(()) => error,
            // Whatever it does to the line's form, the control character is what to tell of.
            Err(fault) => RequestError::from_line_fault(fault, 1),
        })
    }

    /// Each byte of a line that passes has been checked: to be of a token, of a target, or of the version.
    fn split(text: &'b [u8], target_bytes_max: usize) -> Result<Self, RequestError> {
        if text == HTTP2_PREFACE_LINE {
            return Err(RequestError::Http2Preface);
        }
        if text.starts_with(b"PROXY ") {
            return Err(RequestError::ProxyHeader);
        }

        let (Some(first), Some(last)) = (memchr(b' ', text), memrchr(b' ', text)) else {
            return Err(RequestError::BadRequestLine);
        };
        let method = &text[..first];
        if let Some(&byte) = method.iter().find(|&&byte| !is_token_byte(byte)) {
            return Err(RequestError::BadMethod { byte });
        }
        let target = text.get(first + 1..last).unwrap_or_default();
        if method.is_empty() || target.is_empty() {
            return Err(RequestError::BadRequestLine);
        }
        let version = HttpVersion::parse(&text[last + 1..])?;
        if target.len() > target_bytes_max {
            return Err(RequestError::TargetTooLong { max: target_bytes_max });
        }
        if !is_visible_ascii(target) {
            return Err(target_byte(target));
        }
        Ok(Self { method, target, version })
    }
}

impl HttpVersion {
    fn parse(text: &[u8]) -> Result<Self, RequestError> {
        match text {
            b"HTTP/1.1" => Ok(Self::Http11),
            b"HTTP/1.0" => Ok(Self::Http10),
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9']
            | [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
                Err(RequestError::UnsupportedHttpVersion { version: Excerpt::new(text) })
            }
            _ => Err(RequestError::BadRequestLine),
        }
    }
}

/// Checks that a target of visible ASCII is a path with an optional query, well escaped and without a fragment.
pub(super) fn check_upgrade_target(target: &[u8]) -> Result<(), RequestError> {
    if target[0] != b'/' {
        return Err(target_form(target));
    }
    let mut escapes = memchr::memchr2_iter(b'%', b'#', target);
    escapes.try_for_each(|at| match target[at..] {
        [b'#', ..] => Err(RequestError::TargetFragment { at: offset(at) }),
        [_, b'0', b'0', ..] => Err(RequestError::TargetNulEscape { at: offset(at) }),
        [_, high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => Ok(()),
        _ => Err(RequestError::TargetBadEscape { at: offset(at) }),
    })
}

/// Tells the other forms of a target apart (RFC 9112 3.2).
#[cold]
fn target_form(target: &[u8]) -> RequestError {
    if target == b"*" {
        return RequestError::TargetAsterisk;
    }
    let Some(colon) = memchr(b':', target) else {
        return RequestError::TargetNotPath;
    };
    if target[colon..].starts_with(b"://") {
        return RequestError::TargetAbsolute;
    }
    let port = memrchr(b':', target).map_or(&target[..0], |at| &target[at + 1..]);
    if !port.is_empty() && port.iter().all(u8::is_ascii_digit) {
        return RequestError::TargetAuthority;
    }
    RequestError::TargetNotPath
}

#[cold]
fn target_byte(target: &[u8]) -> RequestError {
    let at = target.iter().position(|byte| !byte.is_ascii_graphic()).unwrap_or_default();
    match target[at] {
        b' ' => RequestError::BadRequestLine,
        byte => RequestError::TargetByte { byte, at: offset(at) },
    }
}

/// First line of the HTTP/2 connection preface (RFC 9113 3.4).
const HTTP2_PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0";
