//! Frames in any order, with well-formed lengths and masks, cut into reads of any length.
//!
//! Raw bytes seldom get past a few headers. Here the input is a recipe, so that every frame can be read and what is tested
//! is how frames make messages: order, control frames between fragments, text cut inside a character, compression. Without
//! compression, a plain restatement of the rules says what must come out.
//!
//! The recipe: a byte of [`Options`]; then for each frame its first byte, the length of its payload, the length of the next
//! read, and the payload.

use tidegate_wire::decode::{DecodeError, Role, State};
use tidegate_wire::deflate::{Agreement, SharedDeflater};
use tidegate_wire::frame::{HEADER_BYTES_MAX, Header, OpCode};
use tidegate_wire::mask;

use crate::receiver::{Heard, LIMITS, hear};

pub(crate) fn run(data: &[u8]) {
    let Some((&options, recipe)) = data.split_first() else { return };
    let options = Options::new(options);
    let (frames, reads) = read_recipe(recipe, options.agreement.is_some());
    let stream = encode(&frames, options.role);

    let whole = hear(options.role, options.agreement.as_ref(), [&stream[..]]);
    let split = hear(options.role, options.agreement.as_ref(), cut(&stream, &reads));
    assert_eq!(whole, split, "the verdict depends on how reads cut the stream");
    if options.agreement.is_none() {
        assert_eq!(whole, expected(&frames), "the rules say otherwise");
    }
}

struct Options {
    role: Role,
    agreement: Option<Agreement>,
}

impl Options {
    fn new(bits: u8) -> Self {
        let agreement = Agreement {
            client_no_context_takeover: bits & 4 == 0,
            server_no_context_takeover: bits & 4 == 0,
            ..Agreement::default()
        };
        Self {
            role: if bits & 1 == 0 { Role::Server } else { Role::Client },
            agreement: (bits & 2 != 0).then_some(agreement),
        }
    }
}

struct Frame {
    first: u8,
    payload: Vec<u8>,
}

const FIN: u8 = 0x80;
const COMPRESSED: u8 = 0x40;

/// With `deflate`, the payload of a frame that begins a compressed message is compressed here, and cut in two if another
/// frame is to follow: its continuation carries the second half.
fn read_recipe(mut recipe: &[u8], deflate: bool) -> (Vec<Frame>, Vec<usize>) {
    let (mut frames, mut reads) = (Vec::new(), Vec::new());
    let mut second_half = None;
    while let [first, len, read, rest @ ..] = recipe {
        // A few lengths are stretched to need 16 bits, and to pass the limits.
        let len = if *len < 250 { usize::from(*len) } else { 300 + usize::from(len - 250) };
        let (payload, rest) = rest.split_at(len.min(rest.len()));
        let mut payload = payload.to_vec();
        payload.resize(len, b'.');
        if deflate && first & COMPRESSED != 0 && matches!(first & 0x0f, 1 | 2) {
            payload = SharedDeflater::new(1).compress(&payload, 15).to_vec();
            if first & FIN == 0 {
                second_half = Some(payload.split_off(payload.len() / 2));
            }
        } else if first & 0x0f == 0
            && let Some(half) = second_half.take()
        {
            payload = half;
        }
        frames.push(Frame { first: *first, payload });
        reads.push(usize::from(*read));
        recipe = rest;
    }
    (frames, reads)
}

fn encode(frames: &[Frame], receiver: Role) -> Vec<u8> {
    let mask = match receiver {
        Role::Server => Some([0x37, 0xfa, 0x21, 0x3d]),
        Role::Client => None,
    };
    let mut stream = Vec::new();
    for Frame { first, payload } in frames {
        let payload_len = payload.len() as u64;
        let header = Header { fin: true, rsv1: false, opcode: OpCode::Text, mask, payload_len };
        let mut bytes = [0; HEADER_BYTES_MAX];
        let len = header.encode(&mut bytes);
        bytes[0] = *first;
        stream.extend_from_slice(&bytes[..len]);
        let start = stream.len();
        stream.extend_from_slice(payload);
        mask::apply(mask.unwrap_or_default(), 0, &mut stream[start..]);
    }
    stream
}

/// Reads of these lengths, again and again, until the stream is used up.
fn cut<'s>(mut stream: &'s [u8], reads: &[usize]) -> impl Iterator<Item = &'s [u8]> {
    let mut reads = reads.iter().map(|&len| len + 1).cycle();
    std::iter::from_fn(move || {
        let len = reads.next()?.min(stream.len());
        let (read, rest) = stream.split_at(len);
        stream = rest;
        (len > 0).then_some(read)
    })
}

/// The rules of RFC 6455 without an extension, one frame at a time.
fn expected(frames: &[Frame]) -> Heard {
    let mut events = Vec::new();
    let mut message: Option<(&str, Vec<u8>)> = None;
    for frame in frames {
        match take(frame, &mut message) {
            Ok(None) => {}
            Ok(Some(event)) => {
                let is_close = event.starts_with("Close");
                events.push(event);
                if is_close {
                    return Heard { events, end: Ok(State::Closed) };
                }
            }
            Err(error) => return Heard { events, end: Err(error) },
        }
    }
    let state = if message.is_some() { State::BetweenFragments } else { State::Idle };
    Heard { events, end: Ok(state) }
}

fn take(
    Frame { first, payload }: &Frame,
    message: &mut Option<(&'static str, Vec<u8>)>,
) -> Result<Option<String>, DecodeError> {
    let fin = first & FIN != 0;
    if first & 0x70 != 0 {
        return Err(DecodeError::ReservedBits);
    }
    let kind = match first & 0x0f {
        0 if message.is_none() => return Err(DecodeError::UnexpectedContinuation),
        1 | 2 if message.is_some() => return Err(DecodeError::ExpectedContinuation),
        0 => None,
        1 => Some("Text"),
        2 => Some("Binary"),
        opcode @ 8..=10 => return take_control(opcode, fin, payload).map(Some),
        reserved => return Err(DecodeError::ReservedOpCode(reserved)),
    };
    let (kind, mut bytes) =
        kind.map(|kind| (kind, Vec::new())).or_else(|| message.take()).expect("one of both");
    if payload.len() as u64 > LIMITS.frame_bytes_max {
        return Err(DecodeError::FrameTooBig { bytes_max: LIMITS.frame_bytes_max });
    }
    if (bytes.len() + payload.len()) as u64 > LIMITS.message_bytes_max {
        return Err(DecodeError::MessageTooBig { bytes_max: LIMITS.message_bytes_max });
    }
    bytes.extend_from_slice(payload);
    if let ("Text", Err(error)) = (kind, std::str::from_utf8(&bytes))
        && (fin || error.error_len().is_some())
    {
        return Err(DecodeError::TextNotUtf8);
    }
    if fin {
        return Ok(Some(format!("Message(Message {{ kind: {kind}, payload: {bytes:?} }})")));
    }
    *message = Some((kind, bytes));
    Ok(None)
}

fn take_control(opcode: u8, fin: bool, payload: &[u8]) -> Result<String, DecodeError> {
    if !fin {
        return Err(DecodeError::FragmentedControl);
    }
    if payload.len() > 125 {
        return Err(DecodeError::ControlTooLong);
    }
    match (opcode, payload) {
        (9, _) => Ok(format!("Ping({payload:?})")),
        (10, _) => Ok(format!("Pong({payload:?})")),
        (_, []) => Ok("Close(None)".to_owned()),
        (_, [_]) => Err(DecodeError::CloseCodeCut),
        (_, [high, low, reason @ ..]) => {
            let code = u16::from(*high) << 8 | u16::from(*low);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(DecodeError::CloseCodeNotAllowed(code));
            }
            let reason = std::str::from_utf8(reason).map_err(|_| DecodeError::CloseReasonNotUtf8)?;
            Ok(format!("Close(Some(CloseReason {{ code: CloseCode({code}), reason: {reason:?} }}))"))
        }
    }
}
