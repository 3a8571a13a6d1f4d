//! Close frames of RFC 6455, sections 5.5.1 and 7.4: codes, and the payload that carries one.
//!
//! Place in the data path: the last frame that a connection sends. Codes that came in were checked by `decode`.

use std::fmt;

use crate::frame::{self, CONTROL_BYTES_MAX, OpCode};

#[cfg(test)]
mod tests;

/// The longest reason beside a code: a control frame's payload less the two bytes of the code.
pub const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// Why a connection ends (RFC 6455, section 7.4, and the IANA registry of close codes).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server goes down, or the browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke a rule of the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// The peer sent a kind of message that is not accepted here.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// Never sent: stands for a close frame without a code.
    pub const NO_STATUS: Self = Self(1005);
    /// Never sent: stands for a connection that ended without a close frame.
    pub const ABNORMAL: Self = Self(1006);
    /// The content of a message does not fit its kind, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// A rule of ours was broken that no other code describes.
    pub const POLICY: Self = Self(1008);
    /// A message is longer than we accept.
    pub const TOO_BIG: Self = Self(1009);
    /// The client misses an extension in the server's answer.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// Something unexpected happened on our side.
    pub const INTERNAL: Self = Self(1011);
    /// The server restarts: come back.
    pub const RESTART: Self = Self(1012);
    /// The server is overloaded: come back later.
    pub const TRY_AGAIN: Self = Self(1013);

    /// Any number; whether it may stand in a close frame is asked by [`CloseCode::may_be_received`].
    pub const fn new(value: u16) -> Self {
        Self(value)
    }

    /// The number on the wire.
    pub const fn value(self) -> u16 {
        self.0
    }

    /// Whether a peer may send this code.
    ///
    /// 1004 is reserved, 1005, 1006 and 1015 only ever describe an ending to an application; 1012 to 1014 were
    /// registered after the RFC; 3000 to 3999 are for libraries, 4000 to 4999 for applications (section 7.4.2).
    pub const fn may_be_received(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Appends a close frame as a server sends it.
///
/// `reason` is cut at a character boundary so that the payload keeps to 125 bytes. Without a code the frame is empty
/// and the reason is dropped: a reason can only stand behind a code.
pub fn append(out: &mut Vec<u8>, code: Option<CloseCode>, reason: &str) {
    let mut payload = [0; CONTROL_BYTES_MAX];
    let len = write_payload(&mut payload, code, reason);
    frame::append(out, OpCode::Close, &payload[..len]);
}

/// Appends a close frame as a client sends it: [`append`], masked with `key`.
pub fn append_masked(out: &mut Vec<u8>, key: [u8; 4], code: Option<CloseCode>, reason: &str) {
    let mut payload = [0; CONTROL_BYTES_MAX];
    let len = write_payload(&mut payload, code, reason);
    frame::append_masked(out, OpCode::Close, key, &payload[..len]);
}

fn write_payload(payload: &mut [u8; CONTROL_BYTES_MAX], code: Option<CloseCode>, reason: &str) -> usize {
    let Some(code) = code else { return 0 };
    let reason = &reason.as_bytes()[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    let len = 2 + reason.len();
    payload[..2].copy_from_slice(&code.value().to_be_bytes());
    payload[2..len].copy_from_slice(reason);
    len
}
