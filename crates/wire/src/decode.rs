//! The receive side of RFC 6455, section 5: bytes from a socket into messages and control frames.
//!
//! Place in the data path: a worker reads into its own buffer and calls [`Decoder::decode`] until there is no more event.
//! A message that lies whole in that buffer is unmasked there and handed out without a copy. Only a frame or message that
//! is still incomplete borrows from the pool, and no more than has arrived: a length that a header merely claims
//! allocates nothing.

mod error;
mod header;
mod payload;
mod state;

use crate::close::CloseCode;
use crate::deflate::{Inflate, SharedInflater};
use crate::frame::{HEADER_BYTES_MAX, OpCode};
use crate::pool::{BufferPool, PoolBuffer};
use crate::{mask, utf8};

pub use crate::deflate::Role;
pub use error::DecodeError;
pub use state::State;

use header::{Frame, Rules, Unfinished};
use payload::Partial;

/// Bounds on what a peer may send, in bytes of payload.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Longest frame, as it is sent (compressed, if it is). Checked when the header claims it.
    pub frame_bytes_max: u64,
    /// Longest message, as it is delivered (inflated and put together).
    pub message_bytes_max: u64,
}

/// What the decoders of one worker share; passed by reference so that a connection's own state stays small.
#[derive(Debug)]
pub struct Shared {
    /// Which side we are, and so whether frames must come masked.
    pub role: Role,
    /// Bounds on frames and messages.
    pub limits: Limits,
    /// Where incomplete frames and messages wait for the rest.
    pub pool: BufferPool,
    /// Inflates compressed messages.
    pub inflater: SharedInflater,
}

impl Shared {
    /// Buffers come from `pool`; the inflater makes its memory at first use.
    pub fn new(role: Role, limits: Limits, pool: BufferPool) -> Self {
        Self { role, limits, pool, inflater: SharedInflater::new() }
    }
}

/// One connection's receive side: at most 96 bytes, and no buffer while no message is under way.
#[derive(Debug, Default)]
pub struct Decoder {
    phase: Phase,
    /// The data message that has begun and not ended; what arrived of it is in `buffer`.
    message: Option<Partial>,
    /// The unfinished message, and behind it an unfinished control frame; or what the last event lent out.
    buffer: Option<PoolBuffer>,
    /// `Some` if permessage-deflate was negotiated.
    inflate: Option<Inflate>,
}

const _: () = assert!(size_of::<Decoder>() <= 96, "every idle connection pays for it");

/// What the next byte of input belongs to.
#[derive(Debug, Default)]
enum Phase {
    /// A new frame. Without an unfinished message, nothing is held.
    #[default]
    Boundary,
    /// The header of which these bytes have arrived.
    Header { bytes: [u8; HEADER_BYTES_MAX], len: u8 },
    /// The payload of this frame.
    Payload(Frame),
    /// A new frame, but the last event lent out `buffer` beyond its first `keep` bytes.
    Lent { keep: usize },
    /// Nothing: the peer closed, or broke a rule.
    Closed,
}

/// How far [`Decoder::decode`] came.
#[derive(Debug, Eq, PartialEq)]
pub struct Decoded<'e> {
    /// Bytes taken from the front of the input. They belong to this event or to what is incomplete.
    pub consumed: usize,
    /// `None`: everything was consumed, read more.
    pub event: Option<Event<'e>>,
}

/// Something complete that the peer sent.
#[derive(Debug, Eq, PartialEq)]
pub enum Event<'e> {
    /// A whole message, however many frames it took.
    Message(Message<'e>),
    /// To be answered by a pong with the same payload of at most 125 bytes (section 5.5.2).
    Ping(&'e [u8]),
    /// An answer to a ping, or unasked (section 5.5.3).
    Pong(&'e [u8]),
    /// The last event of a connection: to be answered by a close frame, unless ours went first (section 5.5.1).
    Close(Option<CloseReason<'e>>),
}

/// A whole data message.
#[derive(Debug, Eq, PartialEq)]
pub struct Message<'e> {
    /// Text or bytes.
    pub kind: MessageKind,
    /// Unmasked and inflated; of a text message, valid UTF-8.
    pub payload: &'e mut [u8],
}

/// What a message says its payload is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MessageKind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

impl MessageKind {
    /// The opcode of the first frame of such a message.
    #[inline]
    pub const fn opcode(self) -> OpCode {
        match self {
            Self::Text => OpCode::Text,
            Self::Binary => OpCode::Binary,
        }
    }
}

/// What a close frame with a payload says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CloseReason<'e> {
    /// One of the codes that may be received.
    pub code: CloseCode,
    /// At most 123 bytes; for people and logs.
    pub reason: &'e str,
}

impl Decoder {
    /// For a connection without compression.
    pub const fn new() -> Self {
        Self { phase: Phase::Boundary, message: None, buffer: None, inflate: None }
    }

    /// For a connection that negotiated permessage-deflate.
    pub const fn with_deflate(inflate: Inflate) -> Self {
        Self { phase: Phase::Boundary, message: None, buffer: None, inflate: Some(inflate) }
    }

    /// Takes bytes from the front of `input` until one event is complete or the input is used up.
    ///
    /// Call it with what is left of the input until `event` is `None`; that last call also gives back the buffer that an
    /// event may have lent out. Payload is unmasked in `input` if it lies there whole. After a close, all further input is
    /// consumed in silence.
    ///
    /// # Errors
    ///
    /// The peer broke a rule or passed a limit, or the pool is at its bound: the connection is to be closed with
    /// [`DecodeError::close_code`]. The decoder gives up its buffer, and all further input is consumed in silence.
    /// Errors come at the first byte that causes them, wherever reads cut the stream.
    #[inline]
    pub fn decode<'e>(
        &'e mut self,
        shared: &'e mut Shared,
        input: &'e mut [u8],
    ) -> Result<Decoded<'e>, DecodeError> {
        let Some(whole) = self.find_whole_message(shared, input) else {
            if input.is_empty() {
                self.release();
                return Ok(Decoded { consumed: 0, event: None });
            }
            return self.decode_any(shared, input);
        };
        let consumed = whole.end;
        let (head, payload) = input[..whole.end].split_at_mut(whole.start);
        if shared.role == Role::Server {
            let key = *head.last_chunk().expect("a masked frame's header ends with its key");
            mask::apply(key, 0, payload);
        }
        if whole.kind == MessageKind::Text && utf8::check(payload).is_err() {
            return Err(self.fail(DecodeError::TextNotUtf8));
        }
        Ok(Decoded { consumed, event: Some(Event::Message(Message { kind: whole.kind, payload })) })
    }

    /// Gives back the buffer that the last event lent out, as the next [`Decoder::decode`] would.
    pub fn release(&mut self) {
        match self.phase {
            Phase::Lent { keep } => {
                self.phase = Phase::Boundary;
                match &mut self.buffer {
                    Some(buffer) if self.message.is_some() => buffer.truncate(keep),
                    lent => *lent = None,
                }
            }
            Phase::Closed => self.buffer = None,
            Phase::Boundary | Phase::Header { .. } | Phase::Payload(_) => {}
        }
    }

    /// Where the receive side stands.
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::Boundary | Phase::Lent { .. } if self.message.is_some() => State::BetweenFragments,
            Phase::Boundary | Phase::Lent { .. } => State::Idle,
            Phase::Header { bytes, len } => header::state_of(&bytes[..usize::from(*len)]),
            Phase::Payload(_) => State::ReadingPayload,
            Phase::Closed => State::Closed,
        }
    }

    /// The common case, told apart with few branches: a short or medium, plain, unfragmented message that lies whole in
    /// `input` while nothing else is under way. Everything else, and everything wrong, is for [`Self::decode_any`].
    #[inline]
    fn find_whole_message(&self, shared: &Shared, input: &[u8]) -> Option<WholeMessage> {
        if !matches!(self.phase, Phase::Boundary) || self.message.is_some() {
            return None;
        }
        header::find_whole_message(shared, input)
    }

    /// Any frame, in any phase.
    fn decode_any<'e>(
        &'e mut self,
        shared: &mut Shared,
        input: &'e mut [u8],
    ) -> Result<Decoded<'e>, DecodeError> {
        self.release();
        let mut consumed = 0;
        let found = match self.advance(shared, input, &mut consumed) {
            Ok(found) => found,
            Err(error) => return Err(self.fail(error)),
        };
        let Some(Found { opcode, place }) = found else {
            return Ok(Decoded { consumed, event: None });
        };
        if opcode == OpCode::Close {
            self.end(place);
        }
        let payload = match place {
            Place::Input { start, end } => &mut input[start..end],
            Place::Buffer { start } => {
                self.buffer.as_mut().map_or(&mut [][..], |buffer| &mut buffer[start..])
            }
        };
        let event = match opcode {
            OpCode::Ping => Event::Ping(payload),
            OpCode::Pong => Event::Pong(payload),
            // Checked when it was found, before anything was let go.
            OpCode::Close => Event::Close(payload::close_reason(payload)?),
            OpCode::Text => Event::Message(Message { kind: MessageKind::Text, payload }),
            // A continuation is found as what its message began as.
            OpCode::Binary | OpCode::Continuation => {
                Event::Message(Message { kind: MessageKind::Binary, payload })
            }
        };
        Ok(Decoded { consumed, event: Some(event) })
    }

    /// Reads frames from `input[*at..]` until something is complete.
    fn advance(
        &mut self,
        shared: &mut Shared,
        input: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Found>, DecodeError> {
        loop {
            let frame = match self.phase {
                Phase::Payload(frame) => frame,
                Phase::Closed => {
                    *at = input.len();
                    return Ok(None);
                }
                Phase::Boundary | Phase::Header { .. } | Phase::Lent { .. } => {
                    match self.read_header(shared, input, at)? {
                        Some(frame) => frame,
                        None => return Ok(None),
                    }
                }
            };
            let found = self.read_payload(shared, frame, input, at)?;
            if found.is_some() || *at == input.len() {
                return Ok(found);
            }
        }
    }

    /// Reads the header that begins, or goes on, at `input[*at]`; `None` if it goes on behind the input.
    fn read_header(
        &mut self,
        shared: &Shared,
        input: &[u8],
        at: &mut usize,
    ) -> Result<Option<Frame>, DecodeError> {
        let rules = Rules {
            role: shared.role,
            limits: &shared.limits,
            deflate: self.inflate.is_some(),
            unfinished: match &self.message {
                None => Unfinished::Nothing,
                Some(message) if message.compressed => Unfinished::Compressed,
                Some(_) => Unfinished::Plain { bytes: self.held_bytes() as u64 },
            },
        };
        let rest = &input[*at..];
        let (known, known_len) = match self.phase {
            Phase::Header { bytes, len } => (bytes, usize::from(len)),
            _ => ([0; HEADER_BYTES_MAX], 0),
        };
        let mut bytes = known;
        let added = rest.len().min(HEADER_BYTES_MAX - known_len);
        let len = known_len + added;
        bytes[known_len..len].copy_from_slice(&rest[..added]);

        let Some((frame, header_len)) = header::parse(&bytes[..len], &rules)? else {
            *at += added;
            if len > 0 {
                self.phase = Phase::Header { bytes, len: len as u8 };
            }
            return Ok(None);
        };
        *at += header_len - known_len;
        Ok(Some(Frame { held_before: self.held_bytes(), ..frame }))
    }

    /// The peer closed: nothing is kept but the buffer in which its reason may lie.
    fn end(&mut self, reason: Place) {
        let lent = match reason {
            Place::Input { .. } => None,
            Place::Buffer { .. } => self.buffer.take(),
        };
        *self = Self { phase: Phase::Closed, buffer: lent, ..Self::new() };
    }

    fn held_bytes(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.len())
    }

    #[cold]
    fn fail(&mut self, error: DecodeError) -> DecodeError {
        *self = Self { phase: Phase::Closed, ..Self::new() };
        error
    }
}

/// Where [`Decoder::advance`] found something complete.
#[derive(Clone, Copy, Debug)]
struct Found {
    opcode: OpCode,
    place: Place,
}

/// Indices in place of a slice, so that it can be found before it is borrowed for the event.
#[derive(Clone, Copy, Debug)]
enum Place {
    Input { start: usize, end: usize },
    Buffer { start: usize },
}

/// A data message whose payload is `input[start..end]`.
#[derive(Clone, Copy, Debug)]
struct WholeMessage {
    kind: MessageKind,
    start: usize,
    end: usize,
}
