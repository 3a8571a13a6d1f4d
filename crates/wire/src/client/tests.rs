//! What a client sends, and which answers it believes.

use crate::deflate::ParameterError;
use crate::request::{Parsed, RequestLimits, RequestParser};

use super::*;

const KEY: [u8; 16] = *b"the sample nonce";

const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    \r\n";

fn request<'a>() -> ClientRequest<'a> {
    ClientRequest {
        host: "server.example",
        target: "/chat",
        key: KEY,
        origin: None,
        subprotocols: &[],
        deflate: None,
        headers: &[],
    }
}

fn parse(bytes: &[u8]) -> Result<Option<Response<'_>>, ResponseError> {
    ResponseParser::new(KEY).parse(bytes)
}

/// The good answer with `from` replaced.
fn with(from: &str, to: &str) -> Vec<u8> {
    assert!(GOOD.contains(from), "{from:?} is no part of the good answer");
    GOOD.replacen(from, to, 1).into_bytes()
}

fn error(bytes: &[u8]) -> ResponseError {
    parse(bytes).expect_err("the answer breaks a rule")
}

#[test]
fn a_request_has_the_lines_that_the_rfc_asks_for() {
    let mut out = Vec::new();
    request().append(&mut out);
    let expected = "GET /chat HTTP/1.1\r\n\
        Host: server.example\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        \r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn what_the_client_writes_the_server_reads() {
    let offer = ClientOffer::default();
    let request = ClientRequest {
        origin: Some("https://app.example"),
        subprotocols: &["a", "b"],
        deflate: Some(&offer),
        headers: &[("Authorization", "Bearer x"), ("X-Test", "1")],
        ..request()
    };
    let mut out = Vec::new();
    request.append(&mut out);
    let limits = RequestLimits { bytes_max: 8192, headers_max: 64, target_bytes_max: 4096 };
    let Ok(Parsed::Upgrade { request: read, consumed }) = RequestParser::new().parse(&limits, &out) else {
        panic!("{}", out.escape_ascii());
    };
    assert_eq!(consumed, out.len());
    assert_eq!(
        (read.target(), read.host(), read.origin()),
        ("/chat", "server.example", Some("https://app.example"))
    );
    assert_eq!(read.key(), b"dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(read.authorization(), Some(&b"Bearer x"[..]));
    assert_eq!(read.header("x-test"), Some(&b"1"[..]));
    assert_eq!(read.subprotocols().collect::<Vec<_>>(), ["a", "b"]);
    let mut value = Vec::new();
    offer.append(&mut value);
    assert_eq!(read.extensions().collect::<Vec<_>>(), [&value[..]]);
}

#[test]
fn a_good_answer_is_believed_and_leaves_the_first_frames() {
    let mut bytes = GOOD.as_bytes().to_vec();
    bytes.extend_from_slice(b"\x81\x02hi");
    let response = parse(&bytes).unwrap().unwrap();
    assert_eq!((response.status, response.consumed), (101, GOOD.len()));
    assert_eq!((response.subprotocol, response.extensions), (None, None));
    assert_eq!(response.check_offered(&request()), Ok(None));
}

#[test]
fn case_and_lists_do_not_matter_where_http_says_so() {
    for (from, to) in [
        ("Upgrade: websocket", "UPGRADE:WebSocket"),
        ("Connection: Upgrade", "connection: keep-alive, upgrade"),
        ("HTTP/1.1 101 Switching Protocols", "HTTP/1.1 101"),
        ("HTTP/1.1 101 Switching Protocols", "HTTP/1.1 101 "),
        ("Sec-WebSocket-Accept: s", "sec-websocket-accept:\t s"),
    ] {
        assert!(parse(&with(from, to)).unwrap().is_some(), "{to}");
    }
}

#[test]
fn an_answer_that_breaks_a_rule_is_not_believed() {
    let cases = [
        ("Upgrade: websocket\r\n", "", ResponseError::MissingUpgrade),
        ("Upgrade: websocket", "Upgrade: h2c", ResponseError::MissingUpgrade),
        ("Upgrade: websocket", "Upgrade: websocket, h2c", ResponseError::MissingUpgrade),
        ("Connection: Upgrade\r\n", "", ResponseError::MissingConnectionUpgrade),
        ("Connection: Upgrade", "Connection: close", ResponseError::MissingConnectionUpgrade),
        ("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", "", ResponseError::MissingAccept),
        ("s3pPLM", "s3pPLm", ResponseError::WrongAccept),
        ("K+xOo=", "K+xOo", ResponseError::WrongAccept),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            ResponseError::Repeated { name: "Sec-WebSocket-Accept" },
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n\r\n",
            ResponseError::Repeated { name: "Sec-WebSocket-Protocol" },
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: a\r\nSec-WebSocket-Extensions: b\r\n\r\n",
            ResponseError::Repeated { name: "Sec-WebSocket-Extensions" },
        ),
        ("\r\nUpgrade", "\nUpgrade", ResponseError::Malformed { line: 1, fault: LineFault::BareLf }),
        ("Upgrade:", "Upgrade :", ResponseError::Malformed { line: 2, fault: LineFault::SpaceBeforeColon }),
        ("Connection:", " Connection:", ResponseError::Malformed { line: 3, fault: LineFault::ObsFold }),
        ("websocket", "web\0socket", ResponseError::Malformed { line: 2, fault: LineFault::Nul }),
    ];
    for (from, to, expected) in cases {
        assert_eq!(error(&with(from, to)), expected, "{to:?}");
    }
    let bytes = [GOOD.trim_end().as_bytes(), b"\r\nSec-WebSocket-Protocol: \xff\r\n\r\n"].concat();
    assert_eq!(error(&bytes), ResponseError::BadSubprotocol);
}

#[test]
fn a_first_line_that_is_no_status_line_is_quoted_in_part() {
    for line in [
        "HTTP/2.0 101 x",
        "HTTP/1.1 10 x",
        "HTTP/1.1 1011 x",
        "HTTP/1.1 1e1",
        "HTTP/1.1  101",
        "SSH-2.0-OpenSSH_9.2",
        "",
    ] {
        let bytes = with("HTTP/1.1 101 Switching Protocols", line);
        assert!(matches!(error(&bytes), ResponseError::BadStatusLine { .. }), "{line}");
    }
    let bytes = with("HTTP/1.1 101 Switching Protocols", "SSH-2.0-OpenSSH_9.2");
    assert_eq!(
        error(&bytes).to_string(),
        "the first line of the response is \"SSH-2.0-OpenSSH_...\", not an HTTP/1.1 status line"
    );
}

#[test]
fn a_refusal_is_told_with_its_status_and_when_to_come_back() {
    let cases = [
        ("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 30\r\n\r\n", 503, Some(30)),
        ("HTTP/1.1 429 Too Many Requests\r\nretry-after:0\r\n\r\n", 429, Some(0)),
        ("HTTP/1.1 503 x\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n\r\n", 503, None),
        ("HTTP/1.0 404 Not Found\r\n\r\n", 404, None),
        ("HTTP/1.1 200 OK\r\n\r\n", 200, None),
    ];
    for (head, status, retry_after_s) in cases {
        let bytes = [head, "why\n"].concat();
        let expected = ResponseError::Refused { status, retry_after_s, consumed: head.len() };
        assert_eq!(error(bytes.as_bytes()), expected);
    }
}

#[test]
fn the_servers_own_refusal_is_read() {
    let mut out = Vec::new();
    let body = "full; come back later";
    handshake::append_refusal(&mut out, &handshake::Refusal { status: 503, body, retry_after_s: Some(7) });
    let ResponseError::Refused { status, retry_after_s, consumed } = error(&out) else {
        panic!("{}", out.escape_ascii());
    };
    assert_eq!((status, retry_after_s), (503, Some(7)));
    assert_eq!(out[consumed..], *b"full; come back later\n");
}

#[test]
fn only_an_offered_subprotocol_may_be_chosen() {
    let bytes = with("\r\n\r\n", "\r\nSec-WebSocket-Protocol: b\r\n\r\n");
    let response = parse(&bytes).unwrap().unwrap();
    assert_eq!(response.subprotocol, Some("b"));
    assert_eq!(response.check_offered(&ClientRequest { subprotocols: &["a", "b"], ..request() }), Ok(None));
    let expected = Err(ResponseError::SubprotocolNotOffered { name: Excerpt::new(b"b") });
    assert_eq!(response.check_offered(&ClientRequest { subprotocols: &["a", "B"], ..request() }), expected);
    assert_eq!(response.check_offered(&request()), expected);
}

#[test]
fn only_an_offered_extension_may_be_chosen() {
    let offer = ClientOffer { client_max_window_bits: None, ..ClientOffer::default() };
    let offering = ClientRequest { deflate: Some(&offer), ..request() };
    let answer = |value: &str| with("\r\n\r\n", &format!("\r\nSec-WebSocket-Extensions: {value}\r\n\r\n"));

    let bytes = answer("permessage-deflate; server_no_context_takeover");
    let response = parse(&bytes).unwrap().unwrap();
    let agreement = response.check_offered(&offering).unwrap().expect("the server agreed");
    assert!(agreement.server_no_context_takeover);
    assert_eq!(response.check_offered(&request()), Err(ExtensionError::NotOffered.into()));

    let bytes = answer("x-unknown");
    let response = parse(&bytes).unwrap().unwrap();
    assert_eq!(response.check_offered(&offering), Err(ExtensionError::NotOffered.into()));

    let bytes = answer("permessage-deflate; client_max_window_bits=9");
    let response = parse(&bytes).unwrap().unwrap();
    assert!(matches!(
        response.check_offered(&offering),
        Err(ResponseError::Extensions(ExtensionError::Parameter(ParameterError::NotOffered(_))))
    ));
}

#[test]
fn an_answer_split_anywhere_is_read_the_same() {
    for bytes in [GOOD.as_bytes().to_vec(), with("101", "503"), with("Connection:", "Connection :")] {
        let whole = format!("{:?}", parse(&bytes));
        for split in 0..bytes.len() {
            let mut parser = ResponseParser::new(KEY);
            let first = parser.parse(&bytes[..split]);
            let parsed = if let Ok(None) = first { parser.parse(&bytes) } else { first };
            assert_eq!(format!("{parsed:?}"), whole, "split at {split}");
        }
    }
}

#[test]
fn a_complete_answer_parses_to_the_same_again_and_a_shorter_buffer_starts_over() {
    let mut parser = ResponseParser::new(KEY);
    for _ in 0..2 {
        assert_eq!(parser.parse(GOOD.as_bytes()), parse(GOOD.as_bytes()));
    }
    assert_eq!(parser.parse(b"HTTP/1.1"), Ok(None));
    assert_eq!(parser.parse(GOOD.as_bytes()), parse(GOOD.as_bytes()));
}

#[test]
fn an_answer_is_accepted_at_its_limit_of_bytes_and_refused_one_over_it() {
    let fill = |total: usize| {
        let pad = "x".repeat(total - GOOD.len() - "X: \r\n".len());
        with("Upgrade:", &format!("X: {pad}\r\nUpgrade:"))
    };
    let fits = fill(RESPONSE_BYTES_MAX);
    assert_eq!(parse(&fits).unwrap().unwrap().consumed, RESPONSE_BYTES_MAX);
    assert_eq!(error(&fill(RESPONSE_BYTES_MAX + 1)), ResponseError::HeadTooLarge);
}
