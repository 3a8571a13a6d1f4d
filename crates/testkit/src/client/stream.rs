//! The socket under a client: plain, or with TLS on it. Blocking, with a deadline for each call.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use crate::DEADLINE;
use crate::tls::Certificate;

pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    #[track_caller]
    pub(super) fn connect(
        server: SocketAddr,
        source: Option<IpAddr>,
        receive_buffer_bytes: Option<usize>,
        preamble: &[u8],
    ) -> Self {
        let socket =
            Socket::new(Domain::for_address(server), Type::STREAM, None).expect("a descriptor is free");
        if let Some(bytes) = receive_buffer_bytes {
            // Before the connection: the window is agreed on in its first packets.
            socket.set_recv_buffer_size(bytes).expect("the kernel takes any size and clamps it");
        }
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into()).expect("the whole loopback range is ours");
        }
        socket
            .connect_timeout(&server.into(), DEADLINE)
            .unwrap_or_else(|error| panic!("connecting to {server}: {error}"));
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true).expect("every TCP socket has this option");
        stream.write_all(preamble).unwrap_or_else(|error| panic!("sending the preamble: {error}"));
        Self::Plain(stream)
    }

    /// Completes the TLS handshake.
    #[track_caller]
    pub(super) fn into_tls(self, certificate: &Certificate) -> Self {
        let Self::Plain(mut tcp) = self else { panic!("there is TLS on this connection already") };
        let name = ServerName::try_from("localhost").expect("`localhost` is a valid name");
        let mut tls =
            ClientConnection::new(certificate.client_config(), name).expect("the configuration is complete");
        tcp.set_read_timeout(Some(DEADLINE)).expect("the deadline is not zero");
        tls.complete_io(&mut tcp).unwrap_or_else(|error| panic!("TLS handshake: {error}"));
        Self::Tls(Box::new(StreamOwned::new(tls, tcp)))
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &tls.sock,
        }
    }

    pub(super) fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.conn.peer_certificates()?.first(),
        }
    }

    /// For every later call, reading or writing.
    pub(super) fn set_deadline(&self, deadline: Duration) {
        let tcp = self.tcp();
        tcp.set_read_timeout(Some(deadline)).expect("callers pass more than zero");
        tcp.set_write_timeout(Some(deadline)).expect("callers pass more than zero");
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
