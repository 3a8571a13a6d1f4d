//! Any bytes as a stream of frames, as a server reads it and as a client does, cut after every byte.
//!
//! The cut must not matter: whole and byte by byte, the same events come out and the same verdict.

use std::mem;

use tidegate_wire::decode::{DecodeError, Decoder, Event, Limits, Role, Shared, State};
use tidegate_wire::pool::{BufferPool, PoolConfig};

/// Small, so that a short input reaches both.
const LIMITS: Limits = Limits { frame_bytes_max: 300, message_bytes_max: 500 };

pub(crate) fn run(data: &[u8]) {
    for role in [Role::Server, Role::Client] {
        let whole = decode(role, data, data.len().max(1));
        let bytes = decode(role, data, 1);
        assert_eq!(whole, bytes, "the verdict depends on how reads cut the stream");
    }
}

/// The events of a stream that arrives in reads of `read_bytes`, and how it stands or broke at the end.
fn decode(role: Role, data: &[u8], read_bytes: usize) -> (Vec<String>, Result<State, DecodeError>) {
    let pool = BufferPool::new(PoolConfig { in_use_bytes_max: 1 << 20, free_bytes_max: 0 });
    let mut shared = Shared::new(role, LIMITS, pool);
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    for read in data.chunks(read_bytes) {
        let mut read = read.to_vec();
        if let Err(error) = drain(&mut decoder, &mut shared, &mut read, &mut events) {
            assert_eq!(shared.pool.stats().in_use_bytes, 0, "a broken connection holds a buffer");
            return (events, Err(error));
        }
    }
    let state = decoder.state();
    if matches!(state, State::Idle | State::Closed) {
        assert_eq!(shared.pool.stats().in_use_bytes, 0, "an idle connection holds a buffer");
    }
    (events, Ok(state))
}

fn drain(
    decoder: &mut Decoder,
    shared: &mut Shared,
    read: &mut [u8],
    events: &mut Vec<String>,
) -> Result<(), DecodeError> {
    let mut rest = read;
    loop {
        let decoded = decoder.decode(shared, rest)?;
        let Some(event) = &decoded.event else {
            return Ok(());
        };
        if let Event::Message(message) = event {
            assert!(message.payload.len() as u64 <= LIMITS.message_bytes_max);
        }
        events.push(format!("{event:?}"));
        let consumed = decoded.consumed;
        rest = &mut mem::take(&mut rest)[consumed..];
    }
}
