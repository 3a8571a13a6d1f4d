//! One connection's TLS state, without its socket: every call is handed the socket to read and write.
//!
//! The worker hands in its non-blocking `mio` socket; the HTTP side, which takes over a connection in the middle,
//! hands in a tokio socket dressed up as one. Neither side's event loop is known here.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

use super::TlsFailure;

/// Bytes of TLS records that may wait for the socket; what does not fit stays with the caller, who counts it.
const UNSENT_BYTES_MAX: usize = 32 * 1024;

/// The most plaintext that a record begun in an earlier read can add to what the bytes of this read hold.
const RECORD_BYTES_MAX: usize = 18 * 1024;

/// What the TLS library reads at a time, and the least it keeps as a buffer.
const LIBRARY_READ_BYTES: usize = 4 * 1024;

/// Reads into a buffer of fewer bytes than this take one more copy and a system call for each 4 KiB.
const SHORT_READ_BYTES: usize = 2 * RECORD_BYTES_MAX;

/// Told to a client that speaks plain HTTP, before the connection ends.
const PLAIN_HTTP_ANSWER: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\
    Content-Length: 45\r\n\r\nThis port speaks TLS: use https:// or wss://\n";

/// The server's side of one TLS connection.
#[derive(Debug)]
pub(crate) struct TlsSession {
    rustls: ServerConnection,
    /// Where the last read left the socket and the session.
    more: More,
}

/// Whether the next read can bring something without a new event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum More {
    No,
    Perhaps,
}

impl TlsSession {
    /// A session that waits for the client's hello.
    pub(crate) fn new(config: &Arc<ServerConfig>) -> Result<Self, TlsFailure> {
        let mut rustls = ServerConnection::new(Arc::clone(config))?;
        rustls.set_buffer_limit(Some(UNSENT_BYTES_MAX));
        Ok(Self { rustls, more: More::Perhaps })
    }

    /// Reads plaintext, driving the handshake on the way (its answers are written to `socket` as they arise).
    ///
    /// `Ok(0)` is the end: a `close_notify`, or the socket's end without one, which means the same here because a
    /// WebSocket has its own close. `WouldBlock` is only ever what the socket itself said. [`TlsFailure`]s come as
    /// `InvalidData`; the alert that tells the client has been sent by then.
    pub(crate) fn try_read(&mut self, socket: &mut (impl Read + Write), buf: &mut [u8]) -> io::Result<usize> {
        self.more = More::Perhaps;
        loop {
            match self.rustls.reader().read(buf) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
            let filled = if buf.len() >= SHORT_READ_BYTES {
                self.receive_many(socket, buf)?
            } else {
                self.receive_some(socket)?;
                0
            };
            self.try_flush(socket)?;
            if filled > 0 {
                return Ok(filled);
            }
        }
    }

    /// Whether another [`Self::try_read`] may bring something although no event has come.
    pub(crate) fn has_more(&self) -> bool {
        self.more == More::Perhaps
    }

    /// Takes plaintext, encrypts it and writes it to `socket` as far as both allow; returns how much was taken.
    ///
    /// Less than all, or `WouldBlock`, means that the socket is full: call [`Self::try_flush`] at its next writable
    /// event, then go on. What was taken may still wait here ([`Self::wants_write`]), at most 32 KiB of it. Nothing is
    /// taken before the handshake is over.
    pub(crate) fn try_write(&mut self, socket: &mut impl Write, buf: &[u8]) -> io::Result<usize> {
        if self.rustls.is_handshaking() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut taken = 0;
        while taken < buf.len() {
            // First, so that nothing taken means that the socket has just said `WouldBlock`.
            self.try_flush(socket)?;
            let n = self.rustls.writer().write(&buf[taken..])?;
            if n == 0 {
                break;
            }
            taken += n;
        }
        self.try_flush(socket)?;
        if taken == 0 && !buf.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    /// Whether records wait for the socket to take them.
    pub(crate) fn wants_write(&self) -> bool {
        self.rustls.wants_write()
    }

    /// Writes waiting records until none is left or the socket is full (which is no error: see
    /// [`Self::wants_write`]).
    pub(crate) fn try_flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.rustls.wants_write() {
            match self.rustls.write_tls(socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Queues the `close_notify` that ends this direction; nothing can be written after it.
    pub(crate) fn close_notify(&mut self) {
        self.rustls.send_close_notify();
    }

    /// Takes bytes that were read from the socket before TLS began: what follows a PROXY header.
    pub(crate) fn feed(&mut self, socket: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() && self.rustls.read_tls(&mut bytes)? > 0 {
            self.process(socket)?;
        }
        self.try_flush(socket)
    }

    /// One large read: ciphertext into the back of `buf`, plaintext into its front. Left to itself the TLS library
    /// would read 4 KiB at a time.
    fn receive_many<S: Read + Write>(&mut self, socket: &mut S, buf: &mut [u8]) -> io::Result<usize> {
        // Plaintext is shorter than its records, and one record may have begun earlier: the front always suffices.
        let (front, back) = buf.split_at_mut(buf.len().midpoint(RECORD_BYTES_MAX));
        let received = read_uninterrupted(socket, back)?;
        self.more = if received < back.len() { More::No } else { More::Perhaps };
        let mut records = &back[..received];
        if received == 0 {
            self.rustls.read_tls(&mut records)?;
            return Ok(0);
        }
        let mut filled = 0;
        // The library takes nothing any more after a close_notify; what follows one is not the client's.
        while !records.is_empty() && self.rustls.read_tls(&mut records)? > 0 {
            self.process(socket)?;
            match self.rustls.reader().read(&mut front[filled..]) {
                Ok(n) => filled += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        if received > LIBRARY_READ_BYTES {
            // The library grew its buffer to hold a record and shrinks it only when it reads again. An idle connection
            // must not keep it, so it reads, from nothing.
            let _would_block = self.rustls.read_tls(&mut NothingYet);
        }
        Ok(filled)
    }

    /// One read of at most 4 KiB into the TLS library's own buffer; the plaintext stays there.
    fn receive_some<S: Read + Write>(&mut self, socket: &mut S) -> io::Result<()> {
        loop {
            match self.rustls.read_tls(socket) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
                Ok(_) => return self.process(socket),
            }
        }
    }

    /// Decrypts and acts on what was received; tells the client if that fails.
    fn process(&mut self, socket: &mut impl Write) -> io::Result<()> {
        let Err(error) = self.rustls.process_new_packets() else { return Ok(()) };
        let failure = TlsFailure::from(error);
        // Best effort: the connection ends either way, and the failure is what the caller has to know.
        let _told = if failure == TlsFailure::NotTls {
            socket.write(PLAIN_HTTP_ANSWER).map(drop)
        } else {
            self.try_flush(socket)
        };
        Err(failure.into())
    }
}

fn read_uninterrupted(socket: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.read(buf) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A socket that has no bytes to read.
struct NothingYet;

impl Read for NothingYet {
    fn read(&mut self, _buf: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
}
