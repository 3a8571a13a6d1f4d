//! One client connection as its worker keeps it: where it stands, its transport and codec, what waits and what is due.
//!
//! Place in the data path: between the socket and the dialect. It writes straight to the socket while the socket takes
//! it; what does not fit waits in its [`outbox`]. An idle connection holds no buffer (invariant I9).

pub(crate) mod outbox;

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::{Interest, Registry, Token};
use tidegate_service::trace::Span;
use tidegate_wire::decode::{Decoder, State};
use tidegate_wire::deflate::Deflate;
use tidegate_wire::pool::{BufferPool, PoolBuffer};
use tidegate_wire::request::RequestParser;

use crate::admission::quota::Share;
use crate::admission::upgrade::Leave;
use crate::ending::{HandshakeOutcome, Stage};
use crate::hub::Membership;
use crate::metrics::stats::WorkerStats;
use crate::native::NativeClient;
use crate::net::address_limits::AddressPermit;
use crate::net::transport::Transport;
use crate::worker::wheel::{Tick, Wheel};
use outbox::Outbox;
use outbox::shed::Mark;

/// A client's socket and everything its worker knows of it.
pub(crate) struct Connection {
    pub(crate) transport: Transport,
    pub(crate) phase: Phase,
    pub(crate) outbox: Outbox,
    pub(crate) decoder: Decoder,
    /// permessage-deflate towards the client, if it was negotiated.
    pub(crate) deflate: Option<Box<Deflate>>,
    /// Input that waits until the client has read its echoes.
    pub(crate) stash: Option<Box<PoolBuffer>>,
    /// Tells this connection from earlier ones in the same slot.
    pub(crate) generation: u32,
    /// When a byte last came from the client.
    pub(crate) seen: Tick,
    /// Which of its entries in the wheel is the valid one; 0: none.
    pub(crate) timer: Tick,
    /// When the phase's own clock began: an unfinished frame, or the closing handshake.
    pub(crate) since: Tick,
    /// When the socket last took something of a waiting outbox.
    pub(crate) progress: Tick,
    pub(crate) pings_unanswered: u8,
    /// The parser state it is counted under.
    pub(crate) parser_state: State,
    /// Whether the event loop tells when the socket becomes writable.
    pub(crate) awaits_writable: bool,
    pub(crate) reading: Reading,
    /// The client sent its FIN: it is read until the stream's end, which makes no event of its own.
    pub(crate) read_closed: bool,
    /// A drain has told it to leave.
    pub(crate) is_asked_to_leave: bool,
    /// Index of its `[[raw]]` route.
    pub(crate) route: u16,
    /// Unique on this node; the worker's index is in the upper bits.
    pub(crate) id: u64,
    /// The client, as the PROXY header named it or else as the socket does.
    pub(crate) peer: SocketAddr,
    pub(crate) accepted_at: Instant,
    pub(crate) permit: Option<AddressPermit>,
    /// In the quota of its address, once it is open.
    pub(crate) share: Share,
}

/// NEW → OPEN → CLOSING; a CLOSED connection is no longer kept.
pub(crate) enum Phase {
    /// NEW: PROXY header, TLS and the upgrade request.
    Handshaking(Handshake),
    /// OPEN: frames both ways.
    Open(Endpoint),
    /// CLOSING: we sent a close frame, or a refusal.
    Closing(Farewell),
}

/// Progress of a handshake.
pub(crate) struct Handshake {
    pub(crate) stage: Stage,
    /// The beginning of a request that came in parts.
    pub(crate) partial: Option<Box<PartialRequest>>,
    /// Decided at accept, told once the request is read: a limit is exceeded.
    pub(crate) refusal: Option<HandshakeOutcome>,
}

/// A request head, or PROXY header, that is not complete yet, or not judged yet.
pub(crate) struct PartialRequest {
    /// Of a complete request, which waits for it.
    pub(crate) leave: Leave,
    /// Its span, which began when it was complete.
    pub(crate) span: Span,
    pub(crate) parser: RequestParser,
    pub(crate) bytes: PoolBuffer,
}

impl PartialRequest {
    /// A beginning that nobody has judged.
    pub(crate) fn new(parser: RequestParser, bytes: PoolBuffer) -> Self {
        Self { leave: Leave::Unasked, span: Span::none(), parser, bytes }
    }

    /// What came of having judged it before, with the span that goes on.
    pub(crate) fn judged_so_far(&mut self) -> (Leave, Span) {
        (self.leave, std::mem::take(&mut self.span))
    }

    /// It is complete, and is read and judged again when the cluster has answered.
    pub(crate) fn await_leave(&mut self, span: Span) {
        (self.leave, self.span, self.parser) = (Leave::Asked, span, RequestParser::new());
    }
}

/// What an open connection's messages are for.
pub(crate) enum Endpoint {
    /// Back to the sender.
    Echo,
    /// To all members of a channel.
    Channel(Membership),
    /// Commands of the native dialect.
    Native(Box<NativeClient>),
}

/// What is left to do before the socket may be closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Farewell {
    /// Our close frame goes out; frames are read until the client's close frame comes (RFC 6455 7.1.2).
    AwaitClose,
    /// What is queued goes out, then the FIN; input is discarded until the client's FIN comes, so that a reset
    /// does not overtake our last words.
    Linger,
}

/// Whether a connection's socket is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reading {
    /// When it is readable.
    Wanted,
    /// Not before the outbox is empty.
    Paused,
}

/// What sending needs of the worker.
pub(crate) struct Io<'w> {
    pub(crate) registry: &'w Registry,
    pub(crate) pool: &'w BufferPool,
    pub(crate) stats: &'w WorkerStats,
    pub(crate) now: Tick,
}

/// Why bytes could not be sent or kept.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The socket failed.
    Socket,
    /// The worker's buffers are used up.
    PoolExhausted,
}

impl Connection {
    /// The event loop's name for a connection: its slot and generation.
    pub(crate) fn token(slot: usize, generation: u32) -> Token {
        Token((generation as usize) << 32 | slot)
    }

    /// Files the connection under the tick at which it has to be looked at, unless it already is under an earlier one.
    pub(crate) fn schedule(&mut self, wheel: &mut Wheel, slot: usize, at: Tick) {
        if self.timer != 0 && self.timer <= at {
            return;
        }
        let entry = u32::try_from(slot).expect("a process has fewer descriptors than a u32 counts");
        self.timer = wheel.schedule(entry, at);
    }

    /// Sends whole frames: to the socket as far as it takes them, the rest into the outbox.
    ///
    /// # Errors
    ///
    /// [`SendError`]; then the connection has to end.
    #[inline]
    pub(crate) fn send(&mut self, io: &Io<'_>, slot: usize, frames: &[u8]) -> Result<(), SendError> {
        self.send_marked(io, slot, frames, &[])
    }

    /// Sends whole frames, which may be left out later, if the client stays slow, as far as they have marks.
    ///
    /// # Errors
    ///
    /// As [`Connection::send`].
    #[inline]
    pub(crate) fn send_marked(
        &mut self,
        io: &Io<'_>,
        slot: usize,
        frames: &[u8],
        marks: &[Mark],
    ) -> Result<(), SendError> {
        let taken = if self.outbox.is_empty() {
            match self.transport.try_write(frames) {
                Ok(taken) if taken == frames.len() && !self.transport.wants_write() => return Ok(()),
                Ok(taken) => taken,
                Err(error) if is_transient(&error) => 0,
                Err(_) => return Err(SendError::Socket),
            }
        } else {
            0
        };
        self.queue(io, slot, frames, taken, marks)
    }

    #[cold]
    fn queue(
        &mut self,
        io: &Io<'_>,
        slot: usize,
        frames: &[u8],
        taken: usize,
        marks: &[Mark],
    ) -> Result<(), SendError> {
        if taken < frames.len() {
            if self.outbox.is_empty() {
                self.progress = io.now;
            }
            let before = self.outbox.len();
            self.outbox.push(io.pool, frames, taken).map_err(|_| SendError::PoolExhausted)?;
            if !marks.is_empty() {
                self.outbox.mark(frames, taken, marks);
            }
            io.stats.outbox_bytes.add((self.outbox.len() - before) as u64);
        }
        self.await_writable(io, slot)
    }

    /// Gives the socket what waits.
    ///
    /// # Errors
    ///
    /// [`SendError::Socket`]; then the connection has to end.
    pub(crate) fn flush(&mut self, io: &Io<'_>, slot: usize) -> Result<(), SendError> {
        self.transport.try_flush().map_err(|_| SendError::Socket)?;
        while !self.outbox.is_empty() {
            match self.transport.try_write(self.outbox.pending()) {
                Ok(0) => break,
                Ok(taken) => {
                    self.outbox.advance(taken);
                    self.progress = io.now;
                    io.stats.outbox_bytes.sub(taken as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(SendError::Socket),
            }
        }
        if self.has_unsent() { self.await_writable(io, slot) } else { self.forget_writable(io, slot) }
    }

    /// Whether something still waits for the socket.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.outbox.is_empty() || self.transport.wants_write()
    }

    /// Asks for an event when the socket is writable if the transport itself has something for it: a TLS handshake's
    /// flight, a key update, a FIN behind its `close_notify`.
    ///
    /// # Errors
    ///
    /// [`SendError::Socket`]; then the connection has to end.
    #[inline]
    pub(crate) fn await_transport(&mut self, io: &Io<'_>, slot: usize) -> Result<(), SendError> {
        if self.transport.wants_write() { self.await_writable(io, slot) } else { Ok(()) }
    }

    /// Asks for an event when the socket is writable. Only while something waits: a socket that is always registered
    /// for both costs a wake-up a connection.
    fn await_writable(&mut self, io: &Io<'_>, slot: usize) -> Result<(), SendError> {
        if self.awaits_writable {
            return Ok(());
        }
        self.awaits_writable = true;
        let token = Self::token(slot, self.generation);
        io.registry
            .reregister(&mut self.transport, token, Interest::READABLE | Interest::WRITABLE)
            .map_err(|_| SendError::Socket)
    }

    fn forget_writable(&mut self, io: &Io<'_>, slot: usize) -> Result<(), SendError> {
        if !self.awaits_writable {
            return Ok(());
        }
        self.awaits_writable = false;
        let token = Self::token(slot, self.generation);
        io.registry.reregister(&mut self.transport, token, Interest::READABLE).map_err(|_| SendError::Socket)
    }
}

/// Whether a read or write may simply be tried again later.
pub(crate) fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_costs_few_cache_lines() {
        let bytes = size_of::<Connection>();
        assert!(bytes <= 320, "Connection is {bytes} bytes; an idle one must stay far under 400 in all");
    }
}
