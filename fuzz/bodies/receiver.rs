//! A receiving side that hears a stream in reads, and what must hold of it whatever the stream is.

use tidegate_wire::decode::{DecodeError, Decoder, Event, Limits, Role, Shared, State};
use tidegate_wire::deflate::{Agreement, Inflate};
use tidegate_wire::pool::{BufferPool, PoolConfig};

/// Small, so that a short input reaches both.
pub(crate) const LIMITS: Limits = Limits { frame_bytes_max: 300, message_bytes_max: 500 };

/// What a stream came to.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Heard {
    pub(crate) events: Vec<String>,
    /// How the receiver stands at the stream's end, or why it gave up before.
    pub(crate) end: Result<State, DecodeError>,
}

/// Hears a stream that arrives in `reads`. With an agreement, permessage-deflate was negotiated.
pub(crate) fn hear<'r>(
    role: Role,
    agreement: Option<&Agreement>,
    reads: impl IntoIterator<Item = &'r [u8]>,
) -> Heard {
    let pool = BufferPool::new(PoolConfig { in_use_bytes_max: 1 << 20, free_bytes_max: 0 });
    let mut shared = Shared::new(role, LIMITS, pool);
    let mut decoder = match agreement {
        Some(agreement) => Decoder::with_deflate(Inflate::new(agreement, role)),
        None => Decoder::new(),
    };
    let mut events = Vec::new();
    for read in reads {
        if let Err(error) = drain(&mut decoder, &mut shared, &mut read.to_vec(), &mut events) {
            assert_eq!(shared.pool.stats().in_use_bytes, 0, "a broken connection holds a buffer");
            assert_ne!(
                error,
                DecodeError::PoolExhausted,
                "limits keep a connection far below the pool's bound"
            );
            return Heard { events, end: Err(error) };
        }
    }
    let state = decoder.state();
    if !state.is_unfinished() {
        assert_eq!(shared.pool.stats().in_use_bytes, 0, "an idle connection holds a buffer");
    }
    Heard { events, end: Ok(state) }
}

fn drain(
    decoder: &mut Decoder,
    shared: &mut Shared,
    read: &mut [u8],
    events: &mut Vec<String>,
) -> Result<(), DecodeError> {
    let mut at = 0;
    loop {
        let decoded = decoder.decode(shared, &mut read[at..])?;
        at += decoded.consumed;
        let Some(event) = &decoded.event else {
            assert_eq!(at, read.len(), "without an event, all input is consumed");
            return Ok(());
        };
        if let Event::Message(message) = event {
            assert!(message.payload.len() as u64 <= LIMITS.message_bytes_max);
        }
        events.push(format!("{event:?}"));
    }
}
