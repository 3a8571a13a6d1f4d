//! One connection of the load generator: its socket, how far it has come, and bytes the socket did not take yet.
//!
//! Place in the data path: `engine.rs` reads into its own buffer and gives the bytes to the connection's parser or decoder.

use std::fmt;
use std::io;

use tidegate_wire::client::ResponseParser;
use tidegate_wire::decode::Decoder;

use super::transport::Transport;

/// An open or opening connection.
pub(super) struct Connection {
    pub(super) transport: Transport,
    pub(super) stage: Stage,
    pub(super) decoder: Decoder,
    pub(super) reading: Reading,
    /// The code of the server's close frame, once it came.
    pub(super) closed_with: Option<Option<u16>>,
    /// We have sent a close frame.
    pub(super) close_sent: bool,
    /// Tells this connection from earlier ones in the same lane.
    pub(super) generation: u32,
    /// What was offered.
    pub(super) subprotocols: &'static [&'static str],
    /// Native dialect: `connect`, until it is sent.
    pub(super) greeting: Option<Vec<u8>>,
    outbox: Vec<u8>,
    /// A write failed; the reason will show when reading.
    broken: bool,
}

/// How far the connection has come.
pub(super) enum Stage {
    /// TCP is connecting, then the outbox (the request) is sent. No parser: a raw connection.
    Connecting {
        parser: Option<ResponseParser>,
    },
    /// The request is out; `head` holds what came of an unfinished answer.
    Upgrading {
        parser: ResponseParser,
        head: Vec<u8>,
    },
    Open,
    /// Native dialect: `connect` is out.
    Entering,
    /// Native dialect: its reply has come.
    Entered,
    /// The scenario reads and writes bytes itself.
    Raw,
}

/// Whether incoming bytes are taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reading {
    On,
    Paused,
}

/// Did the socket take everything?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sent {
    Whole,
    InPart,
}

/// Is anything left to send?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Flushed {
    /// There was nothing.
    Before,
    /// The last of it went out just now.
    Now,
    NotYet,
}

/// How a connection ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// TCP could not be connected.
    Unreachable(String),
    /// The handshake was answered with this status instead of 101.
    Refused { status: u16 },
    /// The handshake was answered with something that is no acceptance.
    NotWebSocket(String),
    /// With a close frame from the server; 1005 stands for none inside.
    Closed { code: u16 },
    /// TCP closed by the server without a close frame.
    Eof,
    /// TCP reset by the server without a close frame.
    Reset,
    /// The server broke RFC 6455.
    Violation(String),
    /// Native dialect: the server refused a command, or ended a subscription.
    Rejected(String),
    /// No answer to the connect or the handshake within the time allowed.
    TimedOut,
    /// By us, without waiting for the server.
    Ours,
}

impl Connection {
    /// A connection that is being made; `request` goes out once it is.
    pub(super) fn new(
        transport: Transport,
        parser: Option<ResponseParser>,
        request: Vec<u8>,
        generation: u32,
    ) -> Self {
        Self {
            transport,
            stage: Stage::Connecting { parser },
            decoder: Decoder::new(),
            reading: Reading::On,
            closed_with: None,
            close_sent: false,
            generation,
            subprotocols: &[],
            greeting: None,
            outbox: request,
            broken: false,
        }
    }

    /// Sends `bytes`, or keeps what the socket does not take until it is writable.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Sent {
        if self.broken {
            return Sent::Whole;
        }
        if matches!(self.stage, Stage::Connecting { .. }) || !self.outbox.is_empty() {
            self.outbox.extend_from_slice(bytes);
            return Sent::InPart;
        }
        let taken = self.write(bytes);
        self.outbox.extend_from_slice(&bytes[taken..]);
        if self.outbox.is_empty() { Sent::Whole } else { Sent::InPart }
    }

    /// The socket is writable: sends what was kept.
    pub(super) fn flush(&mut self) -> Flushed {
        // A failure shows again when reading, with what the server said before it.
        let _ = self.transport.flush();
        if self.outbox.is_empty() {
            return Flushed::Before;
        }
        let mut outbox = std::mem::take(&mut self.outbox);
        let taken = self.write(&outbox);
        if taken == outbox.len() {
            // The buffer goes: a load generator with 20,000 connections cannot leave one at each.
            return Flushed::Now;
        }
        outbox.drain(..taken);
        self.outbox = outbox;
        Flushed::NotYet
    }

    /// How much the socket took. A failed write counts as all, and is not an ending yet: a close frame that explains it may wait
    /// to be read.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.transport.write(&bytes[taken..]) {
                Ok(count) => taken += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.broken = true;
                    return bytes.len();
                }
            }
        }
        taken
    }

    /// Reads once. `None`: nothing there.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        loop {
            match self.transport.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                result => return Some(result),
            }
        }
    }

    /// What it means that TCP ended now.
    pub(super) fn ending(&self, tcp: io::Result<()>) -> Ending {
        match (self.closed_with, tcp) {
            (Some(code), _) => Ending::Closed { code: code.unwrap_or(1005) },
            (None, Ok(())) => Ending::Eof,
            (None, Err(_)) => Ending::Reset,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(reason) => write!(f, "unreachable: {reason}"),
            Self::Refused { status } => write!(f, "refused with status {status}"),
            Self::NotWebSocket(reason) => write!(f, "no WebSocket: {reason}"),
            Self::Closed { code } => write!(f, "closed with code {code}"),
            Self::Eof => f.write_str("end of stream without a close frame"),
            Self::Reset => f.write_str("reset"),
            Self::Violation(rule) => write!(f, "protocol violation: {rule}"),
            Self::Rejected(reason) => write!(f, "rejected: {reason}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Ours => f.write_str("closed by this client"),
        }
    }
}
