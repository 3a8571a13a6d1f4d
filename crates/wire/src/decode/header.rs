//! Frame headers as they arrive: each byte is checked as soon as it is there.
//!
//! Place in the data path: `decode` asks first for the common case ([`find_whole_message`]) and otherwise for any frame
//! ([`parse`]). The order of checks is the order of bytes, so that the verdict does not depend on how reads cut them.

use super::{DecodeError, Limits, MessageKind, Role, Shared, State, WholeMessage};
use crate::frame::{self, CONTROL_BYTES_MAX, FIN, LEN_16, LEN_64, MASKED, OpCode, RSV1};

/// The second and third reserved bit: no extension that we know uses them (section 5.2).
const RSV2_RSV3: u8 = 0x30;
const OPCODE: u8 = 0x0f;
const KEY_BYTES: usize = 4;

/// A frame whose header is complete and whose payload is arriving.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) opcode: OpCode,
    pub(super) fin: bool,
    pub(super) rsv1: bool,
    /// The masking key, as the next byte of payload needs it; zero for a frame that is not masked, which changes nothing.
    pub(super) key: [u8; KEY_BYTES],
    /// Bytes of payload that have not arrived.
    pub(super) left: u64,
    /// Bytes that the decoder's buffer held when this frame began: they belong to the message around it.
    pub(super) held_before: usize,
}

/// What a header is checked against.
pub(super) struct Rules<'r> {
    pub(super) role: Role,
    pub(super) limits: &'r Limits,
    /// permessage-deflate was negotiated.
    pub(super) deflate: bool,
    pub(super) unfinished: Unfinished,
}

/// The fragmented message that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unfinished {
    Nothing,
    Plain {
        bytes: u64,
    },
    /// Its length will only be known when it is inflated.
    Compressed,
}

/// Checks what has arrived of a header; `Some` with the header's length if that is all of it.
pub(super) fn parse(bytes: &[u8], rules: &Rules<'_>) -> Result<Option<(Frame, usize)>, DecodeError> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let opcode = check_first(first, rules)?;
    let (fin, rsv1) = (first & FIN != 0, first & RSV1 != 0);

    let Some(&second) = bytes.get(1) else { return Ok(None) };
    check_second(second, opcode, rules.role)?;

    let Some((payload_len, mut end)) = payload_len(bytes, second)? else { return Ok(None) };
    check_limits(payload_len, opcode, rsv1, rules)?;

    let mut key = [0; KEY_BYTES];
    if rules.role == Role::Server {
        let Some(&received) = bytes[end..].first_chunk() else { return Ok(None) };
        key = received;
        end += KEY_BYTES;
    }
    Ok(Some((Frame { opcode, fin, rsv1, key, left: payload_len, held_before: 0 }, end)))
}

/// Reserved bits, opcode, and whether such a frame may come now.
fn check_first(first: u8, rules: &Rules<'_>) -> Result<OpCode, DecodeError> {
    if first & RSV2_RSV3 != 0 || first & RSV1 != 0 && !rules.deflate {
        return Err(DecodeError::ReservedBits);
    }
    let opcode = match first & OPCODE {
        0 => OpCode::Continuation,
        1 => OpCode::Text,
        2 => OpCode::Binary,
        8 => OpCode::Close,
        9 => OpCode::Ping,
        10 => OpCode::Pong,
        reserved => return Err(DecodeError::ReservedOpCode(reserved)),
    };
    // Only the first frame of a message says whether it is compressed (RFC 7692, section 6.1).
    if first & RSV1 != 0 && !matches!(opcode, OpCode::Text | OpCode::Binary) {
        return Err(DecodeError::MisplacedCompressedBit);
    }
    match (opcode, rules.unfinished) {
        (OpCode::Continuation, Unfinished::Nothing) => Err(DecodeError::UnexpectedContinuation),
        (OpCode::Text | OpCode::Binary, Unfinished::Plain { .. } | Unfinished::Compressed) => {
            Err(DecodeError::ExpectedContinuation)
        }
        _ if opcode.is_control() && first & FIN == 0 => Err(DecodeError::FragmentedControl),
        _ => Ok(opcode),
    }
}

/// The mask bit, and the seven bits of length of a control frame.
fn check_second(second: u8, opcode: OpCode, role: Role) -> Result<(), DecodeError> {
    match (role, second & MASKED != 0) {
        (Role::Server, false) => return Err(DecodeError::NotMasked),
        (Role::Client, true) => return Err(DecodeError::Masked),
        (Role::Server, true) | (Role::Client, false) => {}
    }
    if opcode.is_control() && usize::from(second & !MASKED) > CONTROL_BYTES_MAX {
        return Err(DecodeError::ControlTooLong);
    }
    Ok(())
}

/// The length of the payload, in its shortest form (section 5.2), and where in `bytes` it ends.
fn payload_len(bytes: &[u8], second: u8) -> Result<Option<(u64, usize)>, DecodeError> {
    match second & !MASKED {
        LEN_16 => {
            let Some(&field) = bytes[2..].first_chunk() else { return Ok(None) };
            match u16::from_be_bytes(field) {
                len if len < u16::from(LEN_16) => Err(DecodeError::LengthNotMinimal),
                len => Ok(Some((u64::from(len), 4))),
            }
        }
        LEN_64 => {
            // The first byte alone can be wrong: do not wait for the other seven.
            if bytes.get(2).is_some_and(|top| top & 0x80 != 0) {
                return Err(DecodeError::LengthTopBit);
            }
            let Some(&field) = bytes[2..].first_chunk() else { return Ok(None) };
            match u64::from_be_bytes(field) {
                len if len <= u64::from(u16::MAX) => Err(DecodeError::LengthNotMinimal),
                len => Ok(Some((len, 10))),
            }
        }
        len => Ok(Some((u64::from(len), 2))),
    }
}

/// A frame over a limit fails for what it claims, before any of it arrives.
fn check_limits(payload_len: u64, opcode: OpCode, rsv1: bool, rules: &Rules<'_>) -> Result<(), DecodeError> {
    if opcode.is_control() {
        return Ok(());
    }
    let &Limits { frame_bytes_max, message_bytes_max } = rules.limits;
    if payload_len > frame_bytes_max {
        return Err(DecodeError::FrameTooBig { bytes_max: frame_bytes_max });
    }
    let before = match rules.unfinished {
        Unfinished::Nothing if rsv1 => return Ok(()),
        Unfinished::Compressed => return Ok(()),
        Unfinished::Nothing => 0,
        Unfinished::Plain { bytes } => bytes,
    };
    // The sum cannot overflow: lengths have 63 bits, and what came before is in memory.
    if before + payload_len > message_bytes_max {
        return Err(DecodeError::MessageTooBig { bytes_max: message_bytes_max });
    }
    Ok(())
}

/// Finds an unfragmented, plain data message with a 7- or 16-bit length that lies whole in `input` and keeps to the limits.
#[inline]
pub(super) fn find_whole_message(shared: &Shared, input: &[u8]) -> Option<WholeMessage> {
    const TEXT: u8 = FIN | OpCode::Text as u8;
    const BINARY: u8 = FIN | OpCode::Binary as u8;

    let &[first, second, ref rest @ ..] = input else { return None };
    let kind = match first {
        TEXT => MessageKind::Text,
        BINARY => MessageKind::Binary,
        _ => return None,
    };
    let (mask_bit, key_len) = match shared.role {
        Role::Server => (MASKED, KEY_BYTES),
        Role::Client => (0, 0),
    };
    let (payload_len, length_end) = match second ^ mask_bit {
        len if len < LEN_16 => (usize::from(len), 2),
        LEN_16 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        _ => return None,
    };
    if length_end == 4 && payload_len < usize::from(LEN_16) {
        return None;
    }
    let Limits { frame_bytes_max, message_bytes_max } = shared.limits;
    if payload_len as u64 > frame_bytes_max.min(message_bytes_max) {
        return None;
    }
    let start = length_end + key_len;
    let end = start + payload_len;
    (end <= input.len()).then_some(WholeMessage { kind, start, end })
}

/// Where an unfinished header stands.
pub(super) fn state_of(bytes: &[u8]) -> State {
    match frame::encoded_frame_len(bytes) {
        None => State::ReadingHeader,
        Some(_) => State::ReadingMask,
    }
}
