use std::io::BufRead;
use std::net::{self, SocketAddr, TcpListener};
use std::thread;
use std::time::Instant;

use mio::{Events, Poll};
use rustls::{CipherSuite, ClientConfig, RootCertStore};

use super::*;
use crate::net::tls::TlsFailure;
use crate::net::tls::testing::*;

/// A transport in an edge-triggered loop that keeps the contract of the module's documentation and nothing more.
struct Loop {
    poll: Poll,
    transport: Transport,
    buf: Vec<u8>,
}

#[derive(Debug, Eq, PartialEq)]
enum Ended {
    Eof,
    Failed(&'static str),
}

impl Loop {
    fn new(mut transport: Transport, buf_bytes: usize) -> Self {
        let poll = Poll::new().unwrap();
        poll.registry().register(&mut transport, Token(0), Interest::READABLE | Interest::WRITABLE).unwrap();
        Self { poll, transport, buf: vec![0; buf_bytes] }
    }

    /// Waits for one event: whether it says that nothing follows what is queued.
    fn wait(&mut self) -> bool {
        let mut events = Events::with_capacity(4);
        let deadline = Instant::now() + PATIENCE;
        while events.is_empty() {
            assert!(Instant::now() < deadline, "an edge was lost");
            match self.poll.poll(&mut events, Some(PATIENCE)) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                result => result.unwrap(),
            }
        }
        events.iter().any(mio::event::Event::is_read_closed)
    }

    /// Serves the connection until it ends; `handle` gets what was read and says what to write.
    fn run(&mut self, mut handle: impl FnMut(&[u8]) -> Vec<u8>) -> Ended {
        let mut outbox: Vec<u8> = Vec::new();
        loop {
            let read_closed = self.wait();
            self.transport.try_flush().unwrap();
            let mut ended = None;
            loop {
                match self.transport.try_read(&mut self.buf) {
                    Ok(0) => ended = Some(Ended::Eof),
                    Ok(n) => {
                        outbox.extend(handle(&self.buf[..n]));
                        if self.transport.has_more(n, self.buf.len()) || read_closed {
                            continue;
                        }
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    Err(e) => ended = Some(Ended::Failed(kind_of(&e))),
                }
                break;
            }
            while !outbox.is_empty() {
                match self.transport.try_write(&outbox) {
                    Ok(n) => drop(outbox.drain(..n)),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => panic!("{e}"),
                }
            }
            if let Some(ended) = ended {
                return ended;
            }
        }
    }
}

fn kind_of(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(TlsFailure::NotTls) => "not TLS",
        Some(TlsFailure::NothingInCommon(_)) => "nothing in common",
        Some(TlsFailure::NoHttp1) => "no HTTP/1",
        Some(TlsFailure::RefusedByClient(_)) => "refused by client",
        Some(TlsFailure::Violation(_)) => "violation",
        None => panic!("no TLS failure: {error}"),
    }
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.set_nodelay(true).unwrap();
    TcpStream::from_std(socket)
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31 % 251) as u8).collect()
}

/// Runs `client` in a thread against a TLS transport; returns how the server's side ended and the client's result.
fn with_client<T: Send>(
    pair: &TestPair,
    buf_bytes: usize,
    handle: impl FnMut(&[u8]) -> Vec<u8>,
    client: impl FnOnce(SocketAddr) -> T + Send,
) -> (Ended, T) {
    let (listener, address) = listen();
    let server = test_server(pair);
    thread::scope(|scope| {
        let client = scope.spawn(move || client(address));
        let transport = Transport::with_tls(accept(&listener), &server, &[]).unwrap();
        let ended = Loop::new(transport, buf_bytes).run(handle);
        (ended, client.join().unwrap())
    })
}

fn trusting(pair: &TestPair) -> Arc<ClientConfig> {
    Arc::new(test_client(pair))
}

#[test]
fn a_transport_is_two_words() {
    assert_eq!(size_of::<Transport>(), 16);
}

#[test]
fn a_plain_transport_echoes_and_sees_the_end() {
    let (listener, address) = listen();
    thread::scope(|scope| {
        let client = scope.spawn(move || {
            let mut client = net::TcpStream::connect(address).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.write_all(&bytes(100_000)).unwrap();
            let mut echoed = vec![0; 100_000];
            client.read_exact(&mut echoed).unwrap();
            assert_eq!(echoed, bytes(100_000));
        });
        let ended = Loop::new(Transport::Plain(accept(&listener)), 4096).run(<[u8]>::to_vec);
        assert_eq!(ended, Ended::Eof);
        client.join().unwrap();
    });
}

#[test]
fn a_plain_read_that_fills_less_than_the_buffer_drained_the_socket() {
    let (listener, address) = listen();
    let mut client = net::TcpStream::connect(address).unwrap();
    let mut transport = Transport::Plain(accept(&listener));
    client.write_all(b"12345").unwrap();
    let mut buf = [0; 4];
    let mut poll = Loop::new(Transport::Plain(TcpStream::from_std(client.try_clone().unwrap())), 1).poll;
    poll.registry().register(&mut transport, Token(1), Interest::READABLE).unwrap();
    poll.poll(&mut Events::with_capacity(4), Some(PATIENCE)).unwrap();
    assert_eq!(transport.try_read(&mut buf).unwrap(), 4);
    assert!(transport.has_more(4, 4));
    assert_eq!(transport.try_read(&mut buf).unwrap(), 1);
    assert!(!transport.has_more(1, 4));
    assert_eq!(transport.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn tls_echoes_messages_of_every_size_through_large_and_small_buffers() {
    let pair = test_pair();
    for buf_bytes in [1, 1000, 16_384, 65_536, 262_144] {
        let client = |address| {
            let mut client = connect(address, &trusting(&pair));
            for n in [1, 125, 4096, 16_384, 16_385, 70_000, 300_000] {
                client.write_all(&bytes(n)).unwrap();
                let mut echoed = vec![0; n];
                client.read_exact(&mut echoed).unwrap();
                assert!(echoed == bytes(n), "{n} bytes through a buffer of {buf_bytes}");
            }
            finish(&mut client).unwrap();
        };
        let (ended, ()) = with_client(&pair, buf_bytes, <[u8]>::to_vec, client);
        assert_eq!(ended, Ended::Eof, "{buf_bytes}");
    }
}

#[test]
fn a_handshake_that_comes_byte_by_byte_goes_on_at_every_byte() {
    let pair = test_pair();
    let client = |address| {
        let mut client = connect(address, &trusting(&pair));
        client.sock.set_nodelay(true).unwrap();
        // Between client and socket: everything the client says goes out in pieces of one byte.
        let mut said = Vec::new();
        while client.conn.is_handshaking() {
            while client.conn.wants_write() {
                client.conn.write_tls(&mut said).unwrap();
            }
            for byte in said.drain(..) {
                client.sock.write_all(&[byte]).unwrap();
            }
            if client.conn.is_handshaking() {
                client.conn.read_tls(&mut client.sock).unwrap();
                client.conn.process_new_packets().unwrap();
            }
        }
        client.write_all(b"hello").unwrap();
        let mut echoed = [0; 5];
        client.read_exact(&mut echoed).unwrap();
        assert_eq!(&echoed, b"hello");
        finish(&mut client).unwrap();
    };
    assert_eq!(with_client(&pair, 65_536, <[u8]>::to_vec, client).0, Ended::Eof);
}

/// The trap of edge-triggered sockets: request and FIN are one event.
#[test]
fn bytes_that_come_together_with_the_end_are_read_before_it() {
    let pair = test_pair();
    for (buf_bytes, says_goodbye) in [(65_536, true), (65_536, false), (1000, true), (1000, false)] {
        let (listener, address) = listen();
        let server = test_server(&pair);
        let mut client = connect(address, &trusting(&pair));
        let mut transport = Transport::with_tls(accept(&listener), &server, &[]).unwrap();
        let mut buf = vec![0; buf_bytes];
        // The handshake in lock-step: every step's bytes are there when `write_tls` returns, for it is loopback.
        let deadline = Instant::now() + PATIENCE;
        while client.conn.is_handshaking() {
            assert!(Instant::now() < deadline, "the handshake does not end");
            while client.conn.wants_write() {
                client.conn.write_tls(&mut client.sock).unwrap();
            }
            let error = transport.try_read(&mut buf).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            if client.conn.is_handshaking() {
                client.conn.read_tls(&mut client.sock).unwrap();
                client.conn.process_new_packets().unwrap();
            }
        }

        client.write_all(&bytes(50_000)).unwrap();
        if says_goodbye {
            client.conn.send_close_notify();
        }
        client.flush().unwrap();
        client.sock.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        let ended = Loop::new(transport, buf_bytes).run(|bytes| {
            received.extend_from_slice(bytes);
            Vec::new()
        });
        assert_eq!(ended, Ended::Eof);
        assert!(received == bytes(50_000), "{} bytes arrived", received.len());
    }
}

#[test]
fn a_client_that_vanishes_in_the_handshake_is_an_end_not_a_failure() {
    let pair = test_pair();
    let client = |address| drop(net::TcpStream::connect(address).unwrap());
    assert_eq!(with_client(&pair, 65_536, <[u8]>::to_vec, client).0, Ended::Eof);
}

#[test]
fn plain_http_on_a_tls_port_is_named_and_answered() {
    let pair = test_pair();
    for buf_bytes in [65_536, 1000] {
        let client = |address| {
            let mut client = net::TcpStream::connect(address).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            let lines: Vec<_> = io::BufReader::new(client).lines().map_while(Result::ok).collect();
            assert_eq!(lines[0], "HTTP/1.1 400 Bad Request");
            let body = lines.last().unwrap();
            assert!(body.starts_with("This port speaks TLS"), "{body}");
            assert!(lines.contains(&format!("Content-Length: {}", body.len() + 1)), "{lines:?}");
        };
        assert_eq!(with_client(&pair, buf_bytes, <[u8]>::to_vec, client).0, Ended::Failed("not TLS"));
    }
}

/// Lets a client shake hands that cannot succeed; the server's alert ends it.
fn failing_handshake(pair: &TestPair, config: ClientConfig) -> (Ended, io::Error) {
    with_client(pair, 65_536, <[u8]>::to_vec, move |address| {
        let mut client = connect(address, &Arc::new(config));
        client.write_all(b"x").and_then(|()| client.read_exact(&mut [0])).unwrap_err()
    })
}

#[test]
fn a_client_without_a_common_cipher_suite_is_told_so() {
    let pair = test_pair();
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // For RSA certificates only; the server's has an ECDSA key.
    provider.cipher_suites.retain(|s| s.suite() == CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let (ended, seen) = failing_handshake(&pair, config);
    assert_eq!(ended, Ended::Failed("nothing in common"));
    assert!(seen.to_string().contains("HandshakeFailure"), "{seen}");
}

#[test]
fn a_client_that_insists_on_http2_is_told_so() {
    let pair = test_pair();
    let mut config = test_client(&pair);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (ended, seen) = failing_handshake(&pair, config);
    assert_eq!(ended, Ended::Failed("no HTTP/1"));
    assert!(seen.to_string().contains("NoApplicationProtocol"), "{seen}");
}

#[test]
fn a_client_that_does_not_trust_the_certificate_is_told_apart() {
    let (ended, _) = failing_handshake(&test_pair(), test_client(&test_pair()));
    assert_eq!(ended, Ended::Failed("refused by client"));
}

#[test]
fn a_record_that_does_not_decrypt_is_a_violation() {
    let pair = test_pair();
    let client = |address| {
        let mut client = connect(address, &trusting(&pair));
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        let mut forged = vec![0x17, 3, 3, 0, 64];
        forged.resize(5 + 64, 0xAA);
        client.sock.write_all(&forged).unwrap();
        client.read_exact(&mut [0]).unwrap_err().to_string()
    };
    let (ended, seen) = with_client(&pair, 65_536, <[u8]>::to_vec, client);
    assert_eq!(ended, Ended::Failed("violation"));
    assert!(seen.contains("BadRecordMac"), "{seen}");
}

#[test]
fn nothing_is_taken_before_the_handshake_is_over() {
    let (listener, address) = listen();
    let _client = net::TcpStream::connect(address).unwrap();
    let mut transport = Transport::with_tls(accept(&listener), &test_server(&test_pair()), &[]).unwrap();
    assert_eq!(transport.try_write(b"early").unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_client_hello_read_together_with_a_proxy_header_starts_the_handshake() {
    let pair = test_pair();
    let (listener, address) = listen();
    let server = test_server(&pair);
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut client = connect(address, &trusting(&pair));
            client.sock.write_all(b"PROXY UNKNOWN\r\n").unwrap();
            client.write_all(b"hello").unwrap();
            let mut echoed = [0; 5];
            client.read_exact(&mut echoed).unwrap();
            assert_eq!(&echoed, b"hello");
            finish(&mut client).unwrap();
        });
        let mut plain = Loop::new(Transport::Plain(accept(&listener)), 600);
        let mut received = Vec::new();
        // At least a piece of the hello must have been read by then.
        while received.len() < 20 {
            plain.wait();
            if let Ok(n) = plain.transport.try_read(&mut plain.buf) {
                received.extend_from_slice(&plain.buf[..n]);
            }
        }
        plain.transport.deregister(plain.poll.registry()).unwrap();
        let (socket, _) = plain.transport.into_parts();
        let transport = Transport::with_tls(socket, &server, &received[15..]).unwrap();
        assert_eq!(Loop::new(transport, 65_536).run(<[u8]>::to_vec), Ended::Eof);
        client.join().unwrap();
    });
}

/// A client that shook hands and then reads only when it is told to, and the server's side of it.
fn stalled_client(pair: &TestPair) -> (TestClient, Loop) {
    let (listener, address) = listen();
    let server = test_server(pair);
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut client = connect(address, &trusting(pair));
            client.write_all(b"x").unwrap();
            client
        });
        let transport = Transport::with_tls(accept(&listener), &server, &[]).unwrap();
        let mut server = Loop::new(transport, 65_536);
        loop {
            server.wait();
            match server.transport.try_read(&mut server.buf) {
                Ok(n) => {
                    assert_eq!(n, 1);
                    break;
                }
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
        }
        (client.join().unwrap(), server)
    })
}

#[test]
fn a_client_that_does_not_read_makes_tls_take_no_more_than_its_bound() {
    let (mut client, mut server) = stalled_client(&test_pair());
    let message = bytes(64 * 1024 * 1024);
    let mut taken = 0;
    while taken < message.len() {
        match server.transport.try_write(&message[taken..]) {
            Ok(n) => taken += n,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::WouldBlock);
                break;
            }
        }
    }
    assert!(taken < message.len(), "the socket took everything: the test proves nothing");
    assert!(server.transport.wants_write());
    assert_eq!(server.transport.try_write(&message[taken..]).unwrap_err().kind(), ErrorKind::WouldBlock);

    // Asked to end while bytes wait: they go out first, then the close_notify, then the FIN.
    server.transport.shutdown_write().unwrap();
    assert!(server.transport.wants_write());
    let received = thread::scope(|scope| {
        let reading = scope.spawn(|| read_to_end(&mut client));
        while server.transport.wants_write() {
            server.wait();
            server.transport.try_flush().unwrap();
        }
        reading.join().unwrap()
    });
    assert!(received == message[..taken], "{} of {taken} bytes arrived", received.len());
    assert_eq!(client.sock.read(&mut [0]).unwrap(), 0, "the FIN follows");
    server.transport.shutdown_write().unwrap();
}

#[test]
fn reading_goes_on_after_the_write_side_was_shut_down() {
    let (mut client, mut server) = stalled_client(&test_pair());
    server.transport.shutdown_write().unwrap();
    assert_eq!(read_to_end(&mut client), b"");
    client.write_all(b"last words").unwrap();
    finish(&mut client).unwrap();
    let mut received = Vec::new();
    let ended = server.run(|bytes| {
        received.extend_from_slice(bytes);
        Vec::new()
    });
    assert_eq!((ended, received.as_slice()), (Ended::Eof, &b"last words"[..]));
}
