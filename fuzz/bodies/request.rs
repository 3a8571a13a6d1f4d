//! Any bytes as the head of an upgrade request, and as the head of the answer to one.
//!
//! However they are cut the verdict is the same; what is accepted keeps its promises, and what is refused says so in one
//! short line.

use tidegate_wire::client::{ResponseError, ResponseParser};
use tidegate_wire::handshake::{Refusal, append_refusal};
use tidegate_wire::request::{Parsed, RequestError, RequestLimits, RequestParser, UpgradeRequest};

/// Small, so that a short input reaches all of them.
const LIMITS: RequestLimits = RequestLimits { bytes_max: 1024, headers_max: 16, target_bytes_max: 64 };

/// The key of RFC 6455's sample, whose answer is in the corpus.
const KEY: [u8; 16] = *b"the sample nonce";

pub(crate) fn run(data: &[u8]) {
    run_request(data);
    run_response(data);
}

fn run_request(data: &[u8]) {
    let whole = RequestParser::new().parse(&LIMITS, data);
    let mut parser = RequestParser::new();
    let in_bytes = (0..=data.len())
        .map(|seen| parser.parse(&LIMITS, &data[..seen]))
        .find(|parsed| *parsed != Ok(Parsed::Incomplete))
        .unwrap_or(Ok(Parsed::Incomplete));
    assert_eq!(whole, in_bytes, "the verdict depends on how reads cut the head");

    match whole {
        Ok(Parsed::Upgrade { request, consumed }) => check_accepted(&request, &data[..consumed]),
        Ok(Parsed::Http | Parsed::Incomplete) => {}
        Err(error) => check_refused(error),
    }
}

fn check_accepted(request: &UpgradeRequest<'_>, head: &[u8]) {
    assert!(head.len() <= LIMITS.bytes_max && head.ends_with(b"\r\n\r\n"));
    assert!(request.headers().count() <= LIMITS.headers_max);
    assert!(request.path().starts_with('/') && request.target().len() <= LIMITS.target_bytes_max);
    let query = request.query().map(|query| format!("?{query}")).unwrap_or_default();
    assert_eq!(format!("{}{query}", request.path()), request.target());
    assert_eq!(request.header("HOST"), Some(request.host().as_bytes()));
    assert_eq!(request.header("sec-websocket-key"), Some(&request.key()[..]));
    assert_eq!(request.header("Origin"), request.origin().map(str::as_bytes));
    assert_eq!(request.header("authorization"), request.authorization());
    assert_eq!(request.header("sec-websocket-extensions"), request.extensions().next());
    assert_eq!(request.header("sec-websocket-protocol").is_some(), request.subprotocols().next().is_some());
}

fn check_refused(error: RequestError) {
    let message = error.to_string();
    assert!(message.len() <= 140 && message.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{message}");

    // A client must be able to read the refusal.
    let mut answer = Vec::new();
    append_refusal(&mut answer, &Refusal { status: error.status(), body: &message, retry_after_s: None });
    match ResponseParser::new(KEY).parse(&answer) {
        Err(ResponseError::Refused { status, .. }) => assert_eq!(status, error.status()),
        other => panic!("{other:?}"),
    }
}

fn run_response(data: &[u8]) {
    let whole = ResponseParser::new(KEY).parse(data);
    let mut parser = ResponseParser::new(KEY);
    let in_bytes = (0..=data.len())
        .map(|seen| parser.parse(&data[..seen]))
        .find(|parsed| *parsed != Ok(None))
        .unwrap_or(Ok(None));
    assert_eq!(whole, in_bytes, "the verdict depends on how reads cut the answer");
    if let Ok(Some(response)) = whole {
        assert_eq!(response.status, 101);
        assert!(data[..response.consumed].ends_with(b"\r\n\r\n"));
    }
}
