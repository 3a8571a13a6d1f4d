//! Both sides of the handshake against those of `tungstenite`, in memory.

use std::io::{self, Read, Write};

use tidegate_wire::client::{ClientRequest, ResponseParser};
use tidegate_wire::handshake::{append_accept, choose_subprotocol};
use tidegate_wire::request::{Parsed, RequestLimits, RequestParser};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::http::HeaderValue;

const LIMITS: RequestLimits = RequestLimits { bytes_max: 8192, headers_max: 64, target_bytes_max: 4096 };
const KEY: [u8; 16] = *b"sixteen bytes ok";

/// A peer that has said all it will say, and remembers what it heard.
struct Scripted {
    says: io::Cursor<Vec<u8>>,
    heard: Vec<u8>,
}

/// Our server as the peer: answers once the request is complete.
#[derive(Default)]
struct OurServer {
    heard: Vec<u8>,
    says: io::Cursor<Vec<u8>>,
    parser: RequestParser,
}

impl Read for Scripted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.says.read(buf)
    }
}

impl Write for Scripted {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.heard.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for OurServer {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.says.read(buf)
    }
}

impl Write for OurServer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.heard.extend_from_slice(buf);
        match self.parser.parse(&LIMITS, &self.heard) {
            Ok(Parsed::Incomplete) => {}
            Ok(Parsed::Upgrade { request, .. }) => {
                let supported = ["b"];
                let chosen = choose_subprotocol(request.subprotocols(), &supported).map(|at| supported[at]);
                append_accept(self.says.get_mut(), request.key(), chosen, None);
            }
            refused => panic!("{refused:?}"),
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn tungstenites_server_accepts_our_request_and_we_its_answer() {
    let request = ClientRequest {
        host: "server.example:8000",
        target: "/chat?x=%20",
        key: KEY,
        origin: Some("https://app.example"),
        subprotocols: &["a", "b"],
        deflate: None,
        headers: &[("Authorization", "Bearer x")],
    };
    let mut says = Vec::new();
    request.append(&mut says);
    let peer = Scripted { says: io::Cursor::new(says), heard: Vec::new() };

    let mut seen = None;
    #[expect(clippy::result_large_err, reason = "tungstenite's callback has this type")]
    let choose_b = |request: &Request, mut response: Response| {
        let header = |name: &str| request.headers()[name].to_str().map(str::to_owned).ok();
        seen = Some((request.uri().to_string(), header("host"), header("origin"), header("authorization")));
        response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("b"));
        Ok(response)
    };
    let socket = tungstenite::accept_hdr(peer, choose_b).unwrap();

    let expected =
        ["server.example:8000", "https://app.example", "Bearer x"].map(|value| Some(value.to_owned()));
    let [host, origin, authorization] = expected;
    assert_eq!(seen, Some(("/chat?x=%20".to_owned(), host, origin, authorization)));
    let answer = &socket.get_ref().heard;
    let response = ResponseParser::new(KEY).parse(answer).unwrap().expect("the answer is complete");
    assert_eq!((response.consumed, response.subprotocol), (answer.len(), Some("b")));
    assert_eq!(response.check_offered(&request), Ok(None));
}

#[test]
fn tungstenites_client_accepts_our_answer_to_its_request() {
    let mut request = "ws://server.example:8000/chat?x=1".into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("a, b"));
    let (socket, response) = tungstenite::client(request, OurServer::default()).unwrap();
    assert_eq!(response.status().as_u16(), 101);
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "b");
    assert!(socket.get_ref().heard.starts_with(b"GET /chat?x=1 HTTP/1.1\r\n"));
}
