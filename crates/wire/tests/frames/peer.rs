//! A receiving side with its shared parts, and the bytes a sender may send it.

use tidegate_wire::decode::{DecodeError, Decoder, Event, Limits, MessageKind, Role, Shared, State};
use tidegate_wire::deflate::{Agreement, Inflate};
use tidegate_wire::frame::{HEADER_BYTES_MAX, Header, OpCode};
use tidegate_wire::mask;
use tidegate_wire::pool::{BufferPool, PoolConfig};

pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// First bytes of frames.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const TEXT_BEGIN: u8 = 0x01;
pub(crate) const BINARY_BEGIN: u8 = 0x02;
pub(crate) const MORE: u8 = 0x00;
pub(crate) const LAST: u8 = 0x80;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;
pub(crate) const COMPRESSED: u8 = 0x40;

pub(crate) const LIMITS: Limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 };

pub(crate) const NO_TAKEOVER: Agreement = Agreement {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: 15,
    server_max_window_bits_offered: false,
    client_max_window_bits: 15,
};

/// An event that owns what it says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl Seen {
    fn of(event: &Event<'_>) -> Self {
        match event {
            Event::Message(message) => match message.kind {
                MessageKind::Text => {
                    Self::Text(String::from_utf8(message.payload.to_vec()).expect("the decoder checked it"))
                }
                MessageKind::Binary => Self::Binary(message.payload.to_vec()),
            },
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Close(reason) => {
                Self::Close(reason.map(|close| (close.code.value(), close.reason.to_owned())))
            }
        }
    }
}

/// What a stream came to: its events, and the error that ended it.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) seen: Vec<Seen>,
    pub(crate) error: Option<DecodeError>,
}

pub(crate) struct Receiver {
    pub(crate) decoder: Decoder,
    pub(crate) shared: Shared,
}

impl Receiver {
    pub(crate) fn new(role: Role) -> Self {
        Self { decoder: Decoder::new(), shared: shared(role, LIMITS) }
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        Self { decoder: Decoder::new(), shared: shared(Role::Server, limits) }
    }

    pub(crate) fn with_deflate(role: Role, agreement: &Agreement) -> Self {
        Self { decoder: Decoder::with_deflate(Inflate::new(agreement, role)), shared: shared(role, LIMITS) }
    }

    /// Decodes one read to its end.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Outcome {
        let mut bytes = bytes.to_vec();
        let (mut seen, mut at) = (Vec::new(), 0);
        loop {
            match self.decoder.decode(&mut self.shared, &mut bytes[at..]) {
                Ok(decoded) => {
                    at += decoded.consumed;
                    match &decoded.event {
                        Some(event) => seen.push(Seen::of(event)),
                        None => {
                            assert_eq!(at, bytes.len(), "without an event, all input is consumed");
                            return Outcome { seen, error: None };
                        }
                    }
                }
                Err(error) => return Outcome { seen, error: Some(error) },
            }
        }
    }

    /// Decodes a stream that arrives in reads of these lengths, and the rest in one.
    pub(crate) fn read_split(&mut self, mut bytes: &[u8], lengths: &[usize]) -> Outcome {
        let mut all = Outcome { seen: Vec::new(), error: None };
        for &len in lengths.iter().chain([&usize::MAX]) {
            let (read, rest) = bytes.split_at(len.min(bytes.len()));
            bytes = rest;
            let outcome = self.read(read);
            all.seen.extend(outcome.seen);
            all.error = outcome.error;
            if all.error.is_some() {
                break;
            }
        }
        all
    }

    pub(crate) fn state(&self) -> State {
        self.decoder.state()
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.shared.pool.stats().in_use_bytes
    }
}

fn shared(role: Role, limits: Limits) -> Shared {
    let pool = BufferPool::new(PoolConfig { in_use_bytes_max: 16 << 20, free_bytes_max: 1 << 20 });
    Shared::new(role, limits, pool)
}

/// A client's frame whose first byte is `first`, right or wrong.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, Some(KEY), payload.len() as u64);
    let start = frame.len();
    frame.extend_from_slice(payload);
    mask::apply(KEY, 0, &mut frame[start..]);
    frame
}

/// A server's frame whose first byte is `first`, right or wrong.
pub(crate) fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, None, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// The header alone of a frame that claims `payload_len` bytes.
pub(crate) fn head(first: u8, mask: Option<[u8; 4]>, payload_len: u64) -> Vec<u8> {
    let header = Header { fin: true, rsv1: false, opcode: OpCode::Text, mask, payload_len };
    let mut bytes = [0; HEADER_BYTES_MAX];
    let len = header.encode(&mut bytes);
    bytes[0] = first;
    bytes[..len].to_vec()
}

/// What a server makes of a stream that arrives in one read.
pub(crate) fn server_reads(stream: &[u8]) -> Outcome {
    Receiver::new(Role::Server).read(stream)
}

pub(crate) fn seen(events: impl IntoIterator<Item = Seen>) -> Outcome {
    Outcome { seen: events.into_iter().collect(), error: None }
}

pub(crate) fn refused(error: DecodeError) -> Outcome {
    Outcome { seen: Vec::new(), error: Some(error) }
}

pub(crate) fn text(text: &str) -> Seen {
    Seen::Text(text.to_owned())
}

pub(crate) fn binary(bytes: &[u8]) -> Seen {
    Seen::Binary(bytes.to_vec())
}
