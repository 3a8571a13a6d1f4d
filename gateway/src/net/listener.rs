//! Opens the client port, once per worker, and paces `accept` when the process runs out of descriptors.
//!
//! Place in the data path: the first step. `app` binds all sockets before a worker starts; each worker then accepts
//! from its own one.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

/// Length of a listener's accept queue in connections (the kernel caps it at `net.core.somaxconn`).
pub(crate) const BACKLOG: i32 = 4096;

const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Why the client port could not be opened. All of these end the start; none happens later.
#[derive(Debug, Error)]
pub(crate) enum ListenError {
    /// Another process, or this one, holds the port.
    #[error(
        "client.listen = {address}: the address is in use; stop the process that holds it or choose another port"
    )]
    AddressInUse {
        /// The configured address.
        address: SocketAddr,
    },
    /// A port below 1024 without the right to bind it.
    #[error("client.listen = {address}: not permitted; ports below 1024 need CAP_NET_BIND_SERVICE")]
    NotPermitted {
        /// The configured address.
        address: SocketAddr,
    },
    /// The address is none of this machine's.
    #[error("client.listen = {address}: no network interface of this machine has the address")]
    AddressNotAvailable {
        /// The configured address.
        address: SocketAddr,
    },
    /// Any other refusal by the kernel.
    #[error("client.listen = {address}: {step} failed: {source}")]
    Socket {
        /// The configured address.
        address: SocketAddr,
        /// The system call that failed.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Kernel buffers of each accepted socket in bytes; 0 leaves one to the kernel, which tunes it up to megabytes.
///
/// What clients do not read or we do not read collects there, and all sockets of a machine share one bound (`tcp_mem`):
/// beyond it the kernel drops segments of everyone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SocketBuffers {
    pub(crate) send_bytes: usize,
    pub(crate) receive_bytes: usize,
}

/// The listeners of all workers, bound to one address.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// One for each worker, in no particular order; non-blocking, already listening.
    pub sockets: Vec<TcpListener>,
    /// Where they listen: the configured address with port 0 replaced by the port the kernel chose.
    pub address: SocketAddr,
}

/// Binds `address` for `workers` workers (at least one).
///
/// One worker gets a plain listener, several get one `SO_REUSEPORT` listener each, among which the kernel spreads
/// new connections. `SO_REUSEPORT` alone would let a second gateway of the same user join the first one's group and
/// silently steal a share of its clients, so the first socket binds without the option, which fails if anyone holds
/// the port, and gets the option afterwards.
///
/// Accepted sockets inherit `TCP_NODELAY` and the buffers from these on Linux: no system call per connection.
pub(crate) fn bind(
    address: SocketAddr,
    workers: usize,
    buffers: SocketBuffers,
) -> Result<Listeners, ListenError> {
    let first = open(address, buffers)?;
    first.bind(&address.into()).map_err(|e| ListenError::new(address, "bind", e))?;
    let bound = first
        .local_addr()
        .and_then(|a| a.as_socket().ok_or_else(|| io::Error::other("not an internet address")))
        .map_err(|e| ListenError::new(address, "getsockname", e))?;

    let mut sockets = Vec::with_capacity(workers);
    if workers > 1 {
        share_port(&first, address)?;
    }
    sockets.push(listen(first, address)?);
    for _ in 1..workers {
        let socket = open(address, buffers)?;
        share_port(&socket, address)?;
        socket.bind(&bound.into()).map_err(|e| ListenError::new(address, "bind", e))?;
        sockets.push(listen(socket, address)?);
    }
    Ok(Listeners { sockets, address: bound })
}

fn open(address: SocketAddr, buffers: SocketBuffers) -> Result<Socket, ListenError> {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))
            .map_err(|e| ListenError::new(address, "socket", e))?;
    // Lets a restarted gateway bind while connections of the old one are in TIME_WAIT; it does not let two listen.
    socket.set_reuse_address(true).map_err(|e| ListenError::new(address, "setsockopt(SO_REUSEADDR)", e))?;
    socket.set_tcp_nodelay(true).map_err(|e| ListenError::new(address, "setsockopt(TCP_NODELAY)", e))?;
    // Before listen: the window scale that a handshake offers follows from the receive buffer.
    if buffers.send_bytes > 0 {
        let set = socket.set_send_buffer_size(buffers.send_bytes);
        set.map_err(|e| ListenError::new(address, "setsockopt(SO_SNDBUF)", e))?;
    }
    if buffers.receive_bytes > 0 {
        let set = socket.set_recv_buffer_size(buffers.receive_bytes);
        set.map_err(|e| ListenError::new(address, "setsockopt(SO_RCVBUF)", e))?;
    }
    Ok(socket)
}

fn share_port(socket: &Socket, address: SocketAddr) -> Result<(), ListenError> {
    socket.set_reuse_port(true).map_err(|e| ListenError::new(address, "setsockopt(SO_REUSEPORT)", e))
}

fn listen(socket: Socket, address: SocketAddr) -> Result<TcpListener, ListenError> {
    socket.listen(BACKLOG).map_err(|e| ListenError::new(address, "listen", e))?;
    Ok(TcpListener::from_std(socket.into()))
}

impl ListenError {
    fn new(address: SocketAddr, step: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse { address },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { address },
            io::ErrorKind::AddrNotAvailable => Self::AddressNotAvailable { address },
            _ => Self::Socket { address, step, source },
        }
    }
}

/// What a failed `accept` means for the listener it failed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AcceptFault {
    /// The accept queue is empty: wait for the next readable edge.
    Empty,
    /// Only the connection that was to be accepted is gone: accept the next one at once.
    Connection,
    /// Descriptors or memory ran out: the queue still holds the connection, so pause (see [`AcceptBackoff`]).
    Exhausted,
    /// The listener itself is broken, which only a bug can cause: the worker cannot go on.
    Listener,
}

impl AcceptFault {
    /// Sorts an error of `accept`. What Linux documents as "already-pending network errors on the new socket"
    /// counts as [`AcceptFault::Connection`], and so does anything unheard of: a listener must outlive odd peers.
    pub(crate) fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::AGAIN) => Self::Empty,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Self::Exhausted,
            Some(Errno::BADF | Errno::FAULT | Errno::INVAL | Errno::NOTSOCK) => Self::Listener,
            _ => Self::Connection,
        }
    }
}

/// Pauses a listener whose process ran out of descriptors: 5 ms, doubled at each failure up to 1 s.
///
/// The listener is edge-triggered, and the connections that could not be accepted make no new edge: whoever pauses
/// must accept again when the pause is over, event or not.
#[derive(Debug, Default)]
pub(crate) struct AcceptBackoff {
    /// Length of the last pause; zero while all is well.
    pause: Duration,
    resume_at: Option<Instant>,
}

impl AcceptBackoff {
    /// A listener without trouble.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Notes an [`AcceptFault::Exhausted`]; returns when to accept again.
    pub(crate) fn handle_exhausted(&mut self, now: Instant) -> Instant {
        self.pause = (self.pause * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
        let resume_at = now + self.pause;
        self.resume_at = Some(resume_at);
        resume_at
    }

    /// Notes an accepted connection: the next trouble starts again at the shortest pause.
    pub(crate) fn handle_accepted(&mut self) {
        *self = Self::default();
    }

    /// Whether the listener must not be asked yet.
    pub(crate) fn is_paused(&self, now: Instant) -> bool {
        self.resume_at.is_some_and(|at| now < at)
    }

    /// When to accept again without waiting for an event; `None` while nothing is owed.
    pub(crate) fn resume_at(&self) -> Option<Instant> {
        self.resume_at
    }

    /// Takes the debt of a pause that is over: true once, when the caller has to accept now.
    pub(crate) fn try_resume(&mut self, now: Instant) -> bool {
        let due = self.resume_at.is_some_and(|at| now >= at);
        if due {
            self.resume_at = None;
        }
        due
    }
}

#[cfg(test)]
mod tests;
