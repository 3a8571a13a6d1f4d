//! Servers that follow a script: blocking sockets, a thread for each connection, and a closure that decides what becomes of a
//! message.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tidegate_wire::client::ClientRequest;
use tidegate_wire::frame::{self, OpCode};
use tidegate_wire::handshake;
use tidegate_wire::mask;

/// What a script does with the `index`-th message of a connection: the answers, and whether the connection goes on.
pub(crate) struct Reply {
    pub(crate) answers: Vec<Vec<u8>>,
    pub(crate) then: Then,
}

pub(crate) enum Then {
    GoOn,
    HangUp,
}

/// Answers each message by `script(index, payload)`, with a state of its own for each connection.
pub(crate) fn serve<S>(script: impl Fn() -> S + Send + 'static) -> SocketAddr
where
    S: FnMut(usize, &[u8]) -> Reply + Send + 'static,
{
    accept_each(move |socket| {
        let mut script = script();
        thread::spawn(move || converse(socket, |index, payload| script(index, payload)));
    })
}

/// Sends `answer` as soon as anything comes, then closes.
pub(crate) fn refuse(answer: &'static str) -> SocketAddr {
    accept_each(move |mut socket| {
        thread::spawn(move || {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request);
            let _ = socket.write_all(answer.as_bytes());
        });
    })
}

/// Echoes to whoever finishes a handshake at once; answers 408 to whoever sends only a part of it.
pub(crate) fn impatient_echo() -> SocketAddr {
    accept_each(|mut socket| {
        thread::spawn(move || {
            let mut head = [0; 4096];
            let Ok(count) = socket.peek(&mut head) else { return };
            if head[..count].ends_with(b"\r\n\r\n") {
                converse(socket, |_, payload| answer(payload));
            } else {
                let _ = socket.read(&mut head);
                let _ = socket.write_all(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n");
            }
        });
    })
}

/// Echoes over TLS, with a certificate nobody has signed.
pub(crate) fn tls_echo() -> SocketAddr {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    accept_each(move |socket| {
        let session = ServerConnection::new(Arc::clone(&config)).unwrap();
        thread::spawn(move || converse(StreamOwned::new(session, socket), |_, payload| answer(payload)));
    })
}

/// One answer, and on.
pub(crate) fn answer(payload: &[u8]) -> Reply {
    Reply { answers: vec![payload.to_vec()], then: Then::GoOn }
}

pub(crate) fn accept_each(mut handle: impl FnMut(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the test's process.
    thread::spawn(move || listener.incoming().flatten().for_each(&mut handle));
    address
}

fn converse(mut socket: impl Read + Write, mut script: impl FnMut(usize, &[u8]) -> Reply) {
    let mut bytes = Vec::new();
    let Some(()) = upgrade(&mut socket, &mut bytes, None) else { return };
    let mut index = 0;
    while let Some((opcode, payload)) = next_frame(&mut socket, &mut bytes) {
        let mut out = Vec::new();
        if opcode == OpCode::Close as u8 {
            frame::append(&mut out, OpCode::Close, &payload);
            let _ = socket.write_all(&out);
            return;
        }
        let reply = script(index, &payload);
        index += 1;
        for answer in &reply.answers {
            frame::append(&mut out, OpCode::Binary, answer);
        }
        if socket.write_all(&out).is_err() || matches!(reply.then, Then::HangUp) {
            return;
        }
    }
}

/// Answers the request; what comes behind it is left in `bytes`.
pub(crate) fn upgrade(
    socket: &mut (impl Read + Write),
    bytes: &mut Vec<u8>,
    subprotocol: Option<&str>,
) -> Option<()> {
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        read_more(socket, bytes)?;
    };
    let head = String::from_utf8(bytes.drain(..end).collect()).ok()?;
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))?;
    let mut out = Vec::new();
    handshake::append_accept(&mut out, key.as_bytes(), subprotocol, None);
    socket.write_all(&out).ok()
}

/// Cuts one frame of less than 64 KiB and unmasks it.
pub(crate) fn next_frame(socket: &mut impl Read, bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    while bytes.len() < 4 {
        read_more(socket, bytes)?;
    }
    let (header, length) = match bytes[1] & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
        length => (2, usize::from(length)),
    };
    let end = header + 4 + length;
    while bytes.len() < end {
        read_more(socket, bytes)?;
    }
    let frame: Vec<u8> = bytes.drain(..end).collect();
    let (key, payload) = frame[header..].split_first_chunk::<4>()?;
    let mut payload = payload.to_vec();
    mask::apply(*key, 0, &mut payload);
    Some((frame[0] & 0x0f, payload))
}

fn read_more(socket: &mut impl Read, bytes: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 4096];
    match socket.read(&mut chunk) {
        Ok(count) if count > 0 => bytes.extend_from_slice(&chunk[..count]),
        _ => return None,
    }
    Some(())
}

#[test]
fn scripted_servers_speak_the_protocol() {
    let address = serve(|| |_, payload: &[u8]| answer(payload));
    let mut socket = TcpStream::connect(address).unwrap();
    let mut out = Vec::new();
    let key = [7; 16];
    ClientRequest {
        host: "x",
        target: "/",
        key,
        origin: None,
        subprotocols: &[],
        deflate: None,
        headers: &[],
    }
    .append(&mut out);
    frame::append_masked(&mut out, OpCode::Binary, [1, 2, 3, 4], b"hello");
    frame::append_masked(&mut out, OpCode::Close, [1, 2, 3, 4], &[]);
    socket.write_all(&out).unwrap();
    let mut received = Vec::new();
    socket.read_to_end(&mut received).unwrap();
    assert!(received.starts_with(b"HTTP/1.1 101 "));
    assert!(received.ends_with(b"\x82\x05hello\x88\x00"), "{received:?}");
}
