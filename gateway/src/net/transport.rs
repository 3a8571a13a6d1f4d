//! A client's socket, plain or TLS, with one non-blocking interface for both.
//!
//! Place in the data path: the worker's `Connection` reads requests and frames from it and writes its outbox to it.
//! No event loop, no buffer of its own for plain sockets, no allocation per call.
//!
//! # Contract with an edge-triggered loop
//!
//! Register once for `READABLE | WRITABLE`; then, so that no edge is lost:
//!
//! - **Readable**: call [`Transport::try_read`] until it returns `WouldBlock`, `Ok(0)` or an error. It may stop earlier
//!   when [`Transport::has_more`] is false, *unless* the event said `is_read_closed()`: the end of the stream that is
//!   queued behind the last bytes makes no second event. Whoever stops for a reason of their own (a full outbox, a
//!   turn's quota) has to come back without an event.
//! - **Writable**: call [`Transport::try_flush`] first, then write what waits. After a handshake's last flight got
//!   stuck this alone drives it on; the rest of a handshake runs inside `try_read`.
//! - `WouldBlock` from `try_write`, or fewer bytes taken than given, means that a writable event will come. One
//!   exception: before the end of the TLS handshake nothing is taken and the event to wait for is a readable one.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::ServerConfig;

use crate::net::tls::TlsSession;

/// One client's connection.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Bytes as they are.
    Plain(TcpStream),
    /// TLS; boxed, because its state is some 30 times the size of a socket.
    Tls(Box<TlsStream>),
}

/// A socket with its TLS session.
#[derive(Debug)]
pub(crate) struct TlsStream {
    socket: TcpStream,
    session: TlsSession,
    write_side: WriteSide,
}

/// What became of the direction towards the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum WriteSide {
    Open,
    /// The `close_notify` is queued; the FIN follows once the socket has taken it.
    Closing,
    Closed,
}

impl Transport {
    /// Starts TLS on an accepted socket. `received` are bytes already read from it: what followed a PROXY header.
    ///
    /// Errors as [`Self::try_read`] does.
    pub(crate) fn with_tls(
        socket: TcpStream,
        config: &Arc<ServerConfig>,
        received: &[u8],
    ) -> io::Result<Self> {
        let session = TlsSession::new(config)?;
        let mut stream = Box::new(TlsStream { socket, session, write_side: WriteSide::Open });
        stream.session.feed(&mut stream.socket, received)?;
        Ok(Self::Tls(stream))
    }

    /// Reads into `buf` (not empty). `Ok(0)` is the end of the stream.
    ///
    /// Errors: `WouldBlock`, whatever the socket says, and for TLS `InvalidData` with a
    /// [`TlsFailure`](crate::net::tls::TlsFailure) inside. For TLS `buf` should hold 36 KiB or
    /// more (smaller ones cost a system call for each 4 KiB), and its content beyond the returned length is scratch.
    #[inline]
    pub(crate) fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buf),
            Self::Tls(stream) => stream.session.try_read(&mut stream.socket, buf),
        }
    }

    /// Whether another read may bring something without a new event, after a read that returned `read` bytes into a
    /// buffer of `capacity`. A plain socket that fills less than the buffer is drained.
    #[inline]
    pub(crate) fn has_more(&self, read: usize, capacity: usize) -> bool {
        match self {
            Self::Plain(_) => read == capacity,
            Self::Tls(stream) => stream.session.has_more(),
        }
    }

    /// Writes from the front of `buf`; returns how many bytes were taken. TLS may hold up to 32 KiB of what it took
    /// ([`Self::wants_write`]).
    #[inline]
    pub(crate) fn try_write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(buf),
            Self::Tls(stream) => stream.session.try_write(&mut stream.socket, buf),
        }
    }

    /// Whether bytes that were taken (or a FIN that was asked for) still wait for the socket. Never for plain ones.
    #[inline]
    pub(crate) fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.session.wants_write(),
        }
    }

    /// Gives the socket what waits; a full socket is no error. Nothing to do for plain ones.
    #[inline]
    pub(crate) fn try_flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.try_flush(),
        }
    }

    /// Whether the connection is encrypted.
    #[inline]
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Ends the direction towards the client: FIN, after a `close_notify` for TLS. If the socket is full, the rest
    /// happens in [`Self::try_flush`]. Reading goes on. Calling it again, or after the client has gone, does nothing.
    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => shutdown(socket),
            Self::Tls(stream) => {
                if stream.write_side == WriteSide::Open {
                    stream.session.close_notify();
                    stream.write_side = WriteSide::Closing;
                }
                stream.try_flush()
            }
        }
    }

    /// The socket itself, for options and addresses; reading or writing it directly would break TLS.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.socket,
        }
    }

    /// Takes the transport apart for another event loop. Deregister it first.
    pub(crate) fn into_parts(self) -> (TcpStream, Option<TlsSession>) {
        match self {
            Self::Plain(socket) => (socket, None),
            Self::Tls(stream) => {
                let TlsStream { socket, session, .. } = *stream;
                (socket, Some(session))
            }
        }
    }

    fn socket_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &mut stream.socket,
        }
    }
}

impl TlsStream {
    fn try_flush(&mut self) -> io::Result<()> {
        self.session.try_flush(&mut self.socket)?;
        if self.write_side == WriteSide::Closing && !self.session.wants_write() {
            self.write_side = WriteSide::Closed;
            shutdown(&self.socket)?;
        }
        Ok(())
    }
}

fn shutdown(socket: &TcpStream) -> io::Result<()> {
    match socket.shutdown(Shutdown::Write) {
        // The client has reset the connection: there is no direction left to end.
        Err(e) if e.kind() == ErrorKind::NotConnected => Ok(()),
        other => other,
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

impl Source for Transport {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket_mut().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket_mut().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket_mut().deregister(registry)
    }
}

#[cfg(test)]
mod tests;
