//! Opening a socket: source address, options, non-blocking connect.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpStream;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::SocketSize;
use crate::failure::Failure;
use crate::target::SourceRange;

/// The kernel may pick a port that a live connection to the same server holds: ask again this often.
const BIND_ATTEMPTS: u32 = 8;
/// `SO_RCVBUF` of a small socket; the kernel doubles it for its own use.
const SMALL_BUFFER_BYTES: usize = 4 * 1024;
/// `SO_SNDBUF` of a small socket.
const SMALL_SEND_BYTES: usize = 64 * 1024;
/// Loopback segments are 64 KiB otherwise, and the server's send buffer begins at some 20 of them. Not as small as Ethernet's: the
/// load generator pays for each segment, and must not become the bottleneck.
const SMALL_SEGMENT_BYTES: u32 = 8 * 1024;

/// Starts to connect.
pub(super) fn connect(
    address: SocketAddr,
    sources: Option<SourceRange>,
    turn: u32,
    size: SocketSize,
) -> io::Result<TcpStream> {
    let mut attempt = 0;
    loop {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if size == SocketSize::Small {
            // Before connecting: both go into the SYN.
            socket.set_recv_buffer_size(SMALL_BUFFER_BYTES)?;
            socket.set_tcp_mss(SMALL_SEGMENT_BYTES)?;
            // A thousand clients that are not read would fill the memory that all TCP sockets of this machine share, the
            // server's among them: then the kernel drops everyone's segments. Real offenders bring their own.
            socket.set_send_buffer_size(SMALL_SEND_BYTES)?;
        }
        if let Some(sources) = sources {
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::new(sources.address(turn), 0).into())?;
        }
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            Err(error)
                if error.kind() == io::ErrorKind::AddrNotAvailable
                    && sources.is_some()
                    && attempt < BIND_ATTEMPTS =>
            {
                attempt += 1;
                continue;
            }
            Err(error) => return Err(error),
        }
        return Ok(TcpStream::from_std(socket.into()));
    }
}

/// Does this error mean that this machine, not the server, is at its end? Then no further attempt will do better.
pub(super) fn limit_of_ours(error: io::Error) -> Result<io::Error, Failure> {
    let (what, advice) = match Errno::from_io_error(&error) {
        Some(Errno::MFILE) => {
            ("open files of this process", "Raise `ulimit -n` or ask for fewer connections")
        }
        Some(Errno::NFILE) => ("open files of the system", "Raise sysctl fs.file-max"),
        Some(Errno::ADDRNOTAVAIL) => (
            "ports of the source addresses",
            "Give more addresses, for example --source-ips 127.0.0.1-127.0.0.20, or close with --goodbye reset",
        ),
        Some(Errno::NOBUFS | Errno::NOMEM) => ("memory for sockets", "Ask for fewer connections"),
        _ => return Ok(error),
    };
    Err(Failure::Limit { what, advice, source: error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_this_machine_are_told_from_faults_of_the_server() {
        let limit = limit_of_ours(Errno::ADDRNOTAVAIL.into()).unwrap_err().to_string();
        assert!(limit.contains("--source-ips"), "{limit}");
        let refused = limit_of_ours(Errno::CONNREFUSED.into()).unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn connections_come_from_the_source_addresses_in_turn() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sources = "127.0.0.5-127.0.0.6".parse().unwrap();
        let from: Vec<String> = (0..3)
            .map(|turn| {
                let _client = connect(address, Some(sources), turn, SocketSize::Small).unwrap();
                listener.accept().unwrap().1.ip().to_string()
            })
            .collect();
        assert_eq!(from, ["127.0.0.5", "127.0.0.6", "127.0.0.5"]);
    }
}
