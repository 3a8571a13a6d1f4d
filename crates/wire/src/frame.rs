//! The send side of RFC 6455, section 5.2: frames, written to the end of a byte vector.
//!
//! Place in the data path: the last step before a message lies in an outbox. A frame for many receivers is encoded
//! once, here, and the same bytes go to each of them. The receive side is `decode`.

use crate::mask;

#[cfg(test)]
mod tests;

/// The longest header: two bytes, a 64-bit length and a masking key.
pub const HEADER_BYTES_MAX: usize = 14;

/// The longest payload of a control frame (RFC 6455, section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const MASKED: u8 = 0x80;
/// In the seven length bits: the length is in the next two bytes.
pub(crate) const LEN_16: u8 = 126;
/// In the seven length bits: the length is in the next eight bytes.
pub(crate) const LEN_64: u8 = 127;

/// What a frame is (RFC 6455, section 11.8). The values 3 to 7 and 11 to 15 are reserved and have no variant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum OpCode {
    /// Goes on with the message that an earlier frame began.
    Continuation = 0,
    /// Begins a message of UTF-8 text.
    Text = 1,
    /// Begins a message of bytes.
    Binary = 2,
    /// Ends the connection.
    Close = 8,
    /// Asks the peer for a pong with the same payload.
    Ping = 9,
    /// Answers a ping, or is sent unasked as a sign of life.
    Pong = 10,
}

impl OpCode {
    /// Close, ping and pong: short, never fragmented, allowed between the fragments of a message.
    #[inline]
    pub const fn is_control(self) -> bool {
        self as u8 >= Self::Close as u8
    }
}

/// All that stands before a frame's payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Last frame of its message.
    pub fin: bool,
    /// First reserved bit: with permessage-deflate, the message is compressed (RFC 7692, section 6).
    pub rsv1: bool,
    /// What the frame is.
    pub opcode: OpCode,
    /// Masking key; `Some` in frames from a client, `None` in frames from a server.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload that follow, at most `2^63 - 1`.
    pub payload_len: u64,
}

impl Header {
    /// Writes the header in its shortest form and returns its length.
    #[inline]
    pub fn encode(&self, out: &mut [u8; HEADER_BYTES_MAX]) -> usize {
        debug_assert!(self.payload_len >> 63 == 0, "the top bit of a length must be zero");
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        out[0] = self.opcode as u8 | if self.fin { FIN } else { 0 } | if self.rsv1 { RSV1 } else { 0 };

        let mut end = match LengthForm::of(self.payload_len) {
            LengthForm::Short(len) => {
                out[1] = masked | len;
                2
            }
            LengthForm::Medium(len) => {
                out[1] = masked | LEN_16;
                out[2..4].copy_from_slice(&len.to_be_bytes());
                4
            }
            LengthForm::Long(len) => {
                out[1] = masked | LEN_64;
                out[2..10].copy_from_slice(&len.to_be_bytes());
                10
            }
        };
        if let Some(key) = self.mask {
            out[end..end + 4].copy_from_slice(&key);
            end += 4;
        }
        end
    }

    /// Length of what [`Header::encode`] writes: 2 to 14 bytes.
    #[inline]
    pub fn encoded_len(&self) -> usize {
        let length = match LengthForm::of(self.payload_len) {
            LengthForm::Short(_) => 0,
            LengthForm::Medium(_) => 2,
            LengthForm::Long(_) => 8,
        };
        2 + length + if self.mask.is_some() { 4 } else { 0 }
    }
}

/// The three forms of a payload length, the shortest that fits.
enum LengthForm {
    Short(u8),
    Medium(u16),
    Long(u64),
}

impl LengthForm {
    #[inline]
    fn of(payload_len: u64) -> Self {
        match (u8::try_from(payload_len), u16::try_from(payload_len)) {
            (Ok(len), _) if len < LEN_16 => Self::Short(len),
            (_, Ok(len)) => Self::Medium(len),
            (_, Err(_)) => Self::Long(payload_len),
        }
    }
}

/// Appends one unfragmented, unmasked frame, as a server sends it.
#[inline]
pub fn append(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    append_frame(out, opcode, false, None, payload);
}

/// The same, for a payload that is deflated already: the compressed bit is set.
#[inline]
pub fn append_compressed(out: &mut Vec<u8>, opcode: OpCode, deflated: &[u8]) {
    append_frame(out, opcode, true, None, deflated);
}

/// Appends one unfragmented frame masked with `key`, as a client sends it.
///
/// The key must be unpredictable (RFC 6455, section 10.3): it comes from the caller, as all randomness does.
#[inline]
pub fn append_masked(out: &mut Vec<u8>, opcode: OpCode, key: [u8; 4], payload: &[u8]) {
    append_frame(out, opcode, false, Some(key), payload);
}

/// [`append_masked`] for a payload that is deflated already: the compressed bit is set.
#[inline]
pub fn append_masked_compressed(out: &mut Vec<u8>, opcode: OpCode, key: [u8; 4], deflated: &[u8]) {
    append_frame(out, opcode, true, Some(key), deflated);
}

#[inline]
fn append_frame(out: &mut Vec<u8>, opcode: OpCode, rsv1: bool, mask: Option<[u8; 4]>, payload: &[u8]) {
    let header = Header { fin: true, rsv1, opcode, mask, payload_len: payload.len() as u64 };
    let mut bytes = [0; HEADER_BYTES_MAX];
    let header_len = header.encode(&mut bytes);

    // One growth for both, so that a large payload is never moved because of its header.
    out.reserve(header_len + payload.len());
    out.extend_from_slice(&bytes[..header_len]);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = mask {
        mask::apply(key, 0, &mut out[start..]);
    }
}

/// Total length of the frame that starts at `bytes[0]`, or `None` while its length is not complete.
///
/// For our own, well-formed frames: it cuts an outbox at a frame boundary and checks no rule.
#[inline]
pub fn encoded_frame_len(bytes: &[u8]) -> Option<u64> {
    let &[_, second, ref rest @ ..] = bytes else { return None };
    let (header_len, payload_len) = match second & !MASKED {
        LEN_16 => (4, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
        LEN_64 => (10, u64::from_be_bytes(*rest.first_chunk()?)),
        len => (2, u64::from(len)),
    };
    let mask_len = if second & MASKED == 0 { 0 } else { 4 };
    Some(payload_len.saturating_add(header_len + mask_len))
}
