//! A transport taken over from a worker, as the asynchronous byte stream that hyper reads and writes.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Handover;
use crate::net::tls::TlsSession;

/// The bytes a worker had already read, then the rest of the connection.
#[derive(Debug)]
pub(super) struct HttpStream {
    prefix: io::Cursor<Vec<u8>>,
    socket: TcpStream,
    session: Option<Box<TlsSession>>,
}

impl HttpStream {
    /// Registers the socket with the current tokio runtime.
    pub(super) fn new(handover: Handover) -> io::Result<Self> {
        let Handover { transport, prefix, .. } = handover;
        let (socket, session) = transport.into_parts();
        let socket = TcpStream::from_std(socket.into())?;
        Ok(Self { prefix: io::Cursor::new(prefix), socket, session: session.map(Box::new) })
    }
}

impl AsyncRead for HttpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let already_read = this.prefix.read(buf.initialize_unfilled())?;
        if already_read > 0 {
            buf.advance(already_read);
            return Poll::Ready(Ok(()));
        }
        let Some(session) = &mut this.session else {
            return Pin::new(&mut this.socket).poll_read(cx, buf);
        };
        let mut socket = PolledSocket { socket: &mut this.socket, cx };
        polled(session.try_read(&mut socket, buf.initialize_unfilled())).map_ok(|n| buf.advance(n))
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(session) = &mut this.session else {
            return Pin::new(&mut this.socket).poll_write(cx, buf);
        };
        polled(session.try_write(&mut PolledSocket { socket: &mut this.socket, cx }, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(session) = &mut this.session else { return Poll::Ready(Ok(())) };
        session.try_flush(&mut PolledSocket { socket: &mut this.socket, cx })?;
        // What is left was refused by the socket just now, which has the task woken when it takes more.
        if session.wants_write() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(session) = &mut self.session {
            // Only the first call queues anything.
            session.close_notify();
            std::task::ready!(self.as_mut().poll_flush(cx))?;
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// A tokio socket that answers `WouldBlock` where it would be pending, having arranged for the task to be woken.
struct PolledSocket<'s, 'c, 'w> {
    socket: &'s mut TcpStream,
    cx: &'c mut Context<'w>,
}

impl Read for PolledSocket<'_, '_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        blocking(Pin::new(&mut *self.socket).poll_read(self.cx, &mut buf))?;
        Ok(buf.filled().len())
    }
}

impl Write for PolledSocket<'_, '_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.socket).poll_write(self.cx, buf))
    }

    fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn blocking<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn polled<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}
