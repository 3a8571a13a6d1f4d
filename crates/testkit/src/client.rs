//! A blocking WebSocket client that does what a test says, sensible or not.
//!
//! It writes with the wire crate's client role. It reads with a frame reader of its own, a dozen lines that keep every frame
//! as it came: a test of the gateway wants to see fragments and reserved bits, and a fault that encoder and decoder share
//! would hide itself.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use tidegate_wire::client::{ResponseError, ResponseParser};
use tidegate_wire::close::{self, CloseCode};
use tidegate_wire::frame::{self, HEADER_BYTES_MAX, Header, OpCode};
use tidegate_wire::mask;

use crate::DEADLINE;
use crate::http::HttpResponse;
use crate::tls::Certificate;

mod request;
mod stream;

pub use request::Request;

use stream::Stream;

/// One open connection. Everything it sends is what the test told it to; it answers neither pings nor closes by itself.
pub struct Client {
    stream: Stream,
    /// Received and not looked at yet.
    inbox: Vec<u8>,
    /// Received whole and not read yet, from before what is in `inbox`.
    frames: VecDeque<Frame>,
    subprotocol: Option<String>,
    extensions: Option<String>,
    frames_sent: u32,
}

/// One frame as it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// FIN: the last fragment, or the only one.
    pub fin: bool,
    /// RSV1: the message is compressed.
    pub rsv1: bool,
    /// What it is.
    pub opcode: OpCode,
    /// Unmasked: servers do not mask.
    pub payload: Vec<u8>,
}

/// What a read came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Received {
    /// A whole frame.
    Frame(Frame),
    /// No more frames will come.
    Ended(Ending),
    /// Not one byte more within the time given.
    Nothing,
}

/// How the server's bytes ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// It closed the connection in order.
    Closed,
    /// It reset the connection.
    Reset,
}

impl Client {
    /// What the server chose from the request's list.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The server's `Sec-WebSocket-Extensions`.
    pub fn extensions(&self) -> Option<&str> {
        self.extensions.as_deref()
    }

    /// Whether this is the certificate that the server showed.
    pub fn was_shown(&self, certificate: &Certificate) -> bool {
        self.stream.peer_certificate().is_some_and(|presented| certificate.is(presented))
    }

    /// The address that the server sees.
    pub fn local_addr(&self) -> SocketAddr {
        self.stream.tcp().local_addr().expect("the socket is connected")
    }

    /// A whole text message in one frame.
    #[track_caller]
    pub fn send_text(&mut self, text: &str) {
        self.send_frame(true, false, OpCode::Text, text.as_bytes());
    }

    /// A whole binary message in one frame.
    #[track_caller]
    pub fn send_binary(&mut self, payload: &[u8]) {
        self.send_frame(true, false, OpCode::Binary, payload);
    }

    /// A close frame.
    #[track_caller]
    pub fn send_close(&mut self, code: CloseCode, reason: &str) {
        let mut out = Vec::new();
        let key = self.next_mask();
        close::append_masked(&mut out, key, Some(code), reason);
        self.send_bytes(&out);
    }

    /// Any masked frame, in or out of order, lawful or not.
    #[track_caller]
    pub fn send_frame(&mut self, fin: bool, rsv1: bool, opcode: OpCode, payload: &[u8]) {
        let key = self.next_mask();
        let header = Header { fin, rsv1, opcode, mask: Some(key), payload_len: payload.len() as u64 };
        let mut head = [0; HEADER_BYTES_MAX];
        let head_len = header.encode(&mut head);
        let mut out = head[..head_len].to_vec();
        out.extend_from_slice(payload);
        mask::apply(key, 0, &mut out[head_len..]);
        self.send_bytes(&out);
    }

    /// Bytes as they are.
    ///
    /// # Panics
    ///
    /// If the server does not take them within [`DEADLINE`], or has gone.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.set_deadline(DEADLINE);
        self.stream.write_all(bytes).unwrap_or_else(|error| panic!("sending {} bytes: {error}", bytes.len()));
    }

    /// Sends until the server has taken nothing for `patience`; gives how many bytes it took. Stops at `bytes_max`.
    #[track_caller]
    pub fn send_until_blocked(&mut self, message: &[u8], bytes_max: usize, patience: Duration) -> usize {
        let mut frame = Vec::new();
        frame::append_masked(&mut frame, OpCode::Binary, self.next_mask(), message);
        self.stream.set_deadline(patience);
        let mut taken = 0;
        while taken < bytes_max {
            // A partial write must go on where it stopped, or the server would see a broken frame.
            match self.stream.write(&frame[taken % frame.len()..]) {
                Ok(written) => taken += written,
                Err(error) if is_timeout(&error) => break,
                Err(error) => panic!("the server ended the connection after {taken} bytes: {error}"),
            }
        }
        taken
    }

    /// The next frame.
    ///
    /// # Panics
    ///
    /// If the connection ends or [`DEADLINE`] passes first.
    #[track_caller]
    pub fn read_frame(&mut self) -> Frame {
        match self.read(DEADLINE) {
            Received::Frame(frame) => frame,
            other => panic!("waited for a frame, got {other:?}"),
        }
    }

    /// The next frame has to be this text message.
    #[track_caller]
    pub fn expect_text(&mut self, text: &str) {
        let frame = self.read_frame();
        let shown = String::from_utf8_lossy(&frame.payload);
        assert_eq!((frame.opcode, frame.fin, &*shown), (OpCode::Text, true, text));
    }

    /// Reads on to the close frame, past whatever comes before, and gives its code and reason.
    #[track_caller]
    pub fn expect_close(&mut self) -> (u16, String) {
        loop {
            let frame = self.read_frame();
            if frame.opcode == OpCode::Close {
                assert!(frame.payload.len() >= 2, "the close frame has no code");
                let (code, reason) = frame.payload.split_at(2);
                return (
                    u16::from_be_bytes([code[0], code[1]]),
                    String::from_utf8_lossy(reason).into_owned(),
                );
            }
        }
    }

    /// Reads on to the end of the connection; gives how it ended and how many frames came before.
    #[track_caller]
    pub fn expect_end(&mut self) -> (Ending, usize) {
        let mut frames = 0;
        loop {
            match self.read(DEADLINE) {
                Received::Frame(_) => frames += 1,
                Received::Ended(ending) => return (ending, frames),
                Received::Nothing => panic!("the connection is still open after {DEADLINE:?} of silence"),
            }
        }
    }

    /// Says something to an echo path and reads it back: proof that the connection works, and that the server has dealt with
    /// all that was sent on it before.
    #[track_caller]
    pub fn check_echo(&mut self, text: &str) {
        self.send_text(text);
        self.expect_text(text);
    }

    /// One frame, an ending, or neither within `patience` of the last byte.
    #[track_caller]
    pub fn read(&mut self, patience: Duration) -> Received {
        loop {
            if self.frames.is_empty() {
                self.parse_frames();
            }
            if let Some(frame) = self.frames.pop_front() {
                return Received::Frame(frame);
            }
            match self.read_more(patience) {
                Ok(0) => return Received::Ended(Ending::Closed),
                Ok(_) => {}
                Err(error) if is_timeout(&error) => return Received::Nothing,
                Err(_) => return Received::Ended(Ending::Reset),
            }
        }
    }

    /// All bytes until the server closes the connection; for answers that are no frames.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        loop {
            match self.read_more(DEADLINE) {
                Ok(0) => return std::mem::take(&mut self.inbox),
                Ok(_) => {}
                // The server may reset after it has answered a request that it did not read to the end.
                Err(error) if error.kind() == ErrorKind::ConnectionReset && !self.inbox.is_empty() => {
                    return std::mem::take(&mut self.inbox);
                }
                Err(error) => panic!("reading to the end of the connection: {error}"),
            }
        }
    }

    /// The server has to end the connection without another word.
    #[track_caller]
    pub fn expect_end_of_bytes(&mut self) {
        loop {
            match self.read_more(DEADLINE) {
                // A TLS alert, which says no more than the end that follows it.
                Ok(1..) => self.inbox.clear(),
                Err(error) if is_timeout(&error) => panic!("the connection is still open after {DEADLINE:?}"),
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// All bytes up to and including `end`; what follows stays for later reads.
    #[track_caller]
    pub fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.inbox.windows(end.len()).position(|window| window == end) {
                return self.inbox.drain(..at + end.len()).collect();
            }
            match self.read_more(DEADLINE) {
                Ok(0) => panic!("the connection ended after {:?}", String::from_utf8_lossy(&self.inbox)),
                Ok(_) => {}
                Err(error) => panic!("reading: {error}"),
            }
        }
    }

    /// Whether the server sends something, or ends the connection, within `patience`. Nothing is taken away.
    #[track_caller]
    pub fn wait_readable(&mut self, patience: Duration) -> bool {
        !self.frames.is_empty()
            || !self.inbox.is_empty()
            || match self.read_more(patience) {
                Ok(_) => true,
                Err(error) => !is_timeout(&error),
            }
    }

    /// Sends FIN; reading goes on.
    pub fn shutdown_write(&self) {
        self.stream.tcp().shutdown(Shutdown::Write).expect("the socket is connected");
    }

    /// Ends the connection by a reset, as a crashed host's kernel would.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(self.stream.tcp());
        socket.set_linger(Some(Duration::ZERO)).expect("every TCP socket can linger");
    }

    #[track_caller]
    fn read_consent(mut self, key: [u8; 16]) -> Result<Self, HttpResponse> {
        let mut parser = ResponseParser::new(key);
        let (consumed, subprotocol, extensions) = loop {
            match parser.parse(&self.inbox) {
                Ok(Some(response)) => {
                    let extensions =
                        response.extensions.map(|value| String::from_utf8_lossy(value).into_owned());
                    break (response.consumed, response.subprotocol.map(str::to_owned), extensions);
                }
                Ok(None) => {}
                Err(ResponseError::Refused { .. }) => return Err(HttpResponse::parse(&self.read_to_end())),
                Err(error) => panic!("the server's answer to the upgrade: {error}"),
            }
            match self.read_more(DEADLINE) {
                Ok(0) => panic!("the server closed the connection without an answer"),
                Ok(_) => {}
                Err(error) => panic!("waiting for the answer to the upgrade: {error}"),
            }
        };
        self.inbox.drain(..consumed);
        Ok(Self { subprotocol, extensions, ..self })
    }

    /// All that are whole at once: taking each out of the inbox by itself would move the rest each time.
    fn parse_frames(&mut self) {
        let mut parsed = 0;
        while let Some((frame, length)) = parse_frame(&self.inbox[parsed..]) {
            self.frames.push_back(frame);
            parsed += length;
        }
        self.inbox.drain(..parsed);
    }

    fn read_more(&mut self, patience: Duration) -> io::Result<usize> {
        let deadline = Instant::now() + patience;
        let mut chunk = [0; 64 * 1024];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            self.stream.set_deadline(left.max(Duration::from_millis(1)));
            match self.stream.read(&mut chunk) {
                Ok(length) => {
                    self.inbox.extend_from_slice(&chunk[..length]);
                    return Ok(length);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Another key for each frame: with one key for all, a server that mixes them up would go unnoticed.
    fn next_mask(&mut self) -> [u8; 4] {
        self.frames_sent += 1;
        self.frames_sent.wrapping_mul(0x9e37_79b9).to_le_bytes()
    }
}

/// The frame at the front of `bytes`, if it is whole, and its length.
fn parse_frame(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    assert_eq!(second & 0x80, 0, "a server must not mask its frames");
    assert_eq!(first & 0x30, 0, "no extension uses RSV2 or RSV3");
    let (length, rest) = match second {
        126 => {
            rest.split_first_chunk().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest))?
        }
        127 => rest.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
        short => (u64::from(short), rest),
    };
    let payload = rest.get(..usize::try_from(length).expect("a 64-bit machine"))?;
    let opcode = match first & 0x0f {
        0 => OpCode::Continuation,
        1 => OpCode::Text,
        2 => OpCode::Binary,
        8 => OpCode::Close,
        9 => OpCode::Ping,
        10 => OpCode::Pong,
        reserved => panic!("the server sent the reserved opcode {reserved}"),
    };
    let frame = Frame { fin: first & 0x80 != 0, rsv1: first & 0x40 != 0, opcode, payload: payload.to_vec() };
    Some((frame, bytes.len() - rest.len() + payload.len()))
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_parsed_when_it_is_whole_and_not_before() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let mut bytes = Vec::new();
            frame::append(&mut bytes, OpCode::Binary, &vec![7; length]);
            bytes.push(0x81);

            let whole = bytes.len() - 1;
            assert_eq!(parse_frame(&bytes[..whole - 1]), None, "{length} bytes, one missing");
            let frame = Frame { fin: true, rsv1: false, opcode: OpCode::Binary, payload: vec![7; length] };
            assert_eq!(parse_frame(&bytes), Some((frame, whole)), "{length} bytes");
        }
    }

    #[test]
    fn fragments_and_reserved_bits_are_seen_as_they_are() {
        let frame = Frame { fin: false, rsv1: true, opcode: OpCode::Text, payload: b"hi".to_vec() };

        assert_eq!(parse_frame(b"\x41\x02hi"), Some((frame, 4)));
    }
}
