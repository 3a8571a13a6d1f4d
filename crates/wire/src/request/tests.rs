//! Each rule with a request that breaks it and no other; limits at n and n + 1; what a good request says.

use std::collections::BTreeSet;

use super::*;

const LIMITS: RequestLimits = RequestLimits { bytes_max: 8192, headers_max: 64, target_bytes_max: 4096 };

/// A good request, to be broken in one place.
const GOOD: &str = "GET /chat?room=1 HTTP/1.1\r\n\
    Host: server.example:8000\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: https://app.example\r\n\
    Sec-WebSocket-Version: 13\r\n\
    \r\n";

/// Error name, status, text of `GOOD` to replace, replacement.
type Case = (&'static str, u16, &'static str, &'static str);

const BROKEN_LINES: &[Case] = &[
    ("tls_client_hello", 400, "GET", "\x16\x03\x01"),
    ("http2_preface", 505, "GET /chat?room=1 HTTP/1.1", "PRI * HTTP/2.0"),
    ("proxy_header", 400, "GET /chat?room=1 HTTP/1.1", "PROXY TCP4 192.0.2.1 192.0.2.2 4000 80"),
    ("proxy_header", 400, "GET", "\r\n\r\n\0\r\nQUIT\nGET"),
    ("not_http", 400, "GET", "\r\nGET"),
    ("not_http", 400, "GET", " GET"),
    ("not_http", 400, "GET", "\0GET"),
    ("bad_request_line", 400, "GET /chat?room=1 HTTP/1.1", "GET"),
    ("bad_request_line", 400, "GET /chat?room=1 HTTP/1.1", "GET /"),
    ("bad_request_line", 400, "GET /", "GET  /"),
    ("bad_request_line", 400, "room=1", "room=1 2"),
    ("bad_request_line", 400, " HTTP/1.1", "  HTTP/1.1"),
    ("bad_request_line", 400, " HTTP/1.1", " HTTP/1.1 "),
    ("bad_request_line", 400, " HTTP/1.1", " http/1.1"),
    ("bad_request_line", 400, " HTTP/1.1", " HTTP/1.11"),
    ("bad_request_line", 400, " HTTP/1.1", " HTTP/x"),
    ("bad_request_line", 400, " HTTP/1.1", " HTTPS/1.1"),
    ("bad_method", 400, "GET", "G@T"),
    ("bad_method", 400, "GET", "G\tT"),
    ("unsupported_http_version", 505, " HTTP/1.1", " HTTP/1.2"),
    ("unsupported_http_version", 505, " HTTP/1.1", " HTTP/2.0"),
    ("unsupported_http_version", 505, " HTTP/1.1", " HTTP/3"),
    ("unsupported_http_version", 505, " HTTP/1.1", " HTTP/0.9"),
    ("target_byte", 400, "/chat", "/ch\u{e4}t"),
    ("target_byte", 400, "/chat", "/ch\tat"),
    ("bare_lf", 400, "8000\r\n", "8000\n"),
    ("bare_lf", 400, "HTTP/1.1\r\n", "HTTP/1.1\n"),
    ("bare_lf", 400, "13\r\n\r\n", "13\r\n\n"),
    ("bare_cr", 400, "8000\r\n", "8000\r\r\n"),
    ("bare_cr", 400, "app.example", "app.example\rX: y"),
    ("bare_cr", 400, "/chat", "/ch\rat"),
    ("nul", 400, "app.example", "app\0.example"),
    ("nul", 400, "Origin", "Ori\0gin"),
    ("nul", 400, "/chat", "/ch\0at"),
    ("control_character", 400, "app.example", "app\x01.example"),
    ("control_character", 400, "app.example", "app\x7f.example"),
    ("control_character", 400, "app.example", "app\x0b.example"),
    ("control_character", 400, "/chat", "/ch\x1bat"),
    ("obs_fold", 400, "Origin:", "X-Long: a\r\n b\r\nOrigin:"),
    ("obs_fold", 400, "Origin:", "X-Long: a\r\n\tb\r\nOrigin:"),
    ("obs_fold", 400, "Host:", " Host:"),
    ("obs_fold", 400, "Origin:", " \r\nOrigin:"),
    ("missing_colon", 400, "Origin:", "Nonsense\r\nOrigin:"),
    ("space_before_colon", 400, "Host:", "Host :"),
    ("space_before_colon", 400, "Origin:", "Origin\t:"),
    ("empty_header_name", 400, "Origin:", ":"),
    ("bad_header_name", 400, "Origin:", "Ori gin:"),
    ("bad_header_name", 400, "Origin:", "Or(igin:"),
    ("bad_header_name", 400, "Origin:", "\u{d6}rigin:"),
    ("bad_header_name", 400, "Origin:", "Origin;"),
];

const BROKEN_HTTP: &[Case] = &[
    ("missing_host", 400, "Host: server.example:8000\r\n", ""),
    ("duplicate_host", 400, "Origin:", "hOST: server.example:8000\r\nOrigin:"),
    ("bad_host", 400, "server.example:8000", ""),
    ("bad_host", 400, "server.example:8000", "a.example,b.example"),
    ("bad_host", 400, "server.example:8000", "user@server.example"),
    ("bad_host", 400, "server.example:8000", "server.example/path"),
    ("bad_host", 400, "server.example:8000", "server.example:80000"),
    ("bad_content_length", 400, "Origin:", "Content-Length: +1\r\nOrigin:"),
    ("bad_content_length", 400, "Origin:", "Content-Length: \r\nOrigin:"),
    ("bad_content_length", 400, "Origin:", "Content-Length: 0, 0\r\nOrigin:"),
    ("bad_content_length", 400, "Origin:", "Content-Length: 99999999999999999999\r\nOrigin:"),
    ("duplicate_content_length", 400, "Origin:", "Content-Length: 0\r\nContent-Length: 0\r\nOrigin:"),
    ("conflicting_lengths", 400, "Origin:", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\nOrigin:"),
    ("conflicting_lengths", 400, "Origin:", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\nOrigin:"),
];

const BROKEN_UPGRADES: &[Case] = &[
    ("method_not_get", 405, "GET", "POST"),
    ("method_not_get", 405, "GET", "get"),
    ("method_not_get", 405, "GET", "HEAD"),
    ("http10", 505, "HTTP/1.1", "HTTP/1.0"),
    ("missing_connection_upgrade", 400, "Connection: Upgrade\r\n", ""),
    ("missing_connection_upgrade", 400, "Connection: Upgrade", "Connection: keep-alive"),
    ("missing_connection_upgrade", 400, "Connection: Upgrade", "Connection: Upgrades, no-upgrade"),
    ("missing_connection_upgrade", 400, "Connection: Upgrade", "Connection: Upgrade close"),
    ("missing_upgrade", 426, "Upgrade: websocket\r\n", ""),
    ("missing_upgrade", 426, "Upgrade: websocket", "Upgrade: h2c"),
    ("missing_upgrade", 426, "Upgrade: websocket", "Upgrade: websockets"),
    ("missing_upgrade", 426, "Upgrade: websocket\r\nConnection: Upgrade\r\n", ""),
    ("body_length", 400, "Origin:", "Content-Length: 5\r\nOrigin:"),
    ("body_transfer_encoding", 400, "Origin:", "Transfer-Encoding: chunked\r\nOrigin:"),
    ("target_absolute", 400, "/chat?room=1", "http://server.example:8000/chat"),
    ("target_absolute", 400, "/chat?room=1", "ws://server.example/"),
    ("target_authority", 400, "/chat?room=1", "server.example:8000"),
    ("target_authority", 400, "/chat?room=1", "[::1]:8000"),
    ("target_asterisk", 400, "/chat?room=1", "*"),
    ("target_not_path", 400, "/chat", "chat"),
    ("target_not_path", 400, "/chat?room=1", "?room=1"),
    ("target_not_path", 400, "/chat?room=1", "mailto:a"),
    ("target_fragment", 400, "room=1", "room=1#top"),
    ("target_fragment", 400, "/chat?room=1", "/#"),
    ("target_bad_escape", 400, "room=1", "room=%"),
    ("target_bad_escape", 400, "room=1", "room=%4"),
    ("target_bad_escape", 400, "/chat", "/ch%zzat"),
    ("target_bad_escape", 400, "/chat", "/ch%u0041at"),
    ("target_nul_escape", 400, "/chat", "/ch%00at"),
    ("target_nul_escape", 400, "room=1", "room=%41%00"),
    ("missing_key", 400, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
    ("duplicate_key", 400, "Origin:", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin:"),
    ("bad_key", 400, "dGhlIHNhbXBsZSBub25jZQ==", ""),
    ("bad_key", 400, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ="),
    ("bad_key", 400, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ==="),
    ("bad_key", 400, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ"),
    ("bad_key", 400, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="),
    ("bad_key", 400, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSEh"),
    ("bad_key", 400, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZ-Bub25jZQ=="),
    ("bad_key", 400, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZ\u{e9}ub25jZQ=="),
    ("missing_version", 400, "Sec-WebSocket-Version: 13\r\n", ""),
    ("duplicate_version", 400, "Origin:", "Sec-WebSocket-Version: 13\r\nOrigin:"),
    ("unsupported_version", 426, "Version: 13", "Version: 8"),
    ("unsupported_version", 426, "Version: 13", "Version: 14"),
    ("unsupported_version", 426, "Version: 13", "Version: 013"),
    ("unsupported_version", 426, "Version: 13", "Version: 13, 8"),
    ("unsupported_version", 426, "Version: 13", "Version:"),
    ("duplicate_origin", 400, "Sec-WebSocket-V", "Origin: https://evil.example\r\nSec-WebSocket-V"),
    ("bad_origin", 400, "https://app.example", ""),
    ("bad_origin", 400, "https://app.example", "https://a.example https://b.example"),
    ("bad_origin", 400, "https://app.example", "https://\u{e4}pp.example"),
    (
        "duplicate_authorization",
        400,
        "Origin:",
        "Authorization: Bearer a\r\nAuthorization: Bearer b\r\nOrigin:",
    ),
    ("bad_subprotocol", 400, "Origin:", "Sec-WebSocket-Protocol: a b\r\nOrigin:"),
    (
        "bad_subprotocol",
        400,
        "Origin:",
        "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b/c\r\nOrigin:",
    ),
    ("bad_subprotocol", 400, "Origin:", "Sec-WebSocket-Protocol:\r\nOrigin:"),
    ("bad_subprotocol", 400, "Origin:", "Sec-WebSocket-Protocol: , ,\r\nOrigin:"),
];

/// The good request with its first `from` replaced.
fn with(from: &str, to: &str) -> Vec<u8> {
    assert!(GOOD.contains(from), "{from:?} is no part of the good request");
    GOOD.replacen(from, to, 1).into_bytes()
}

fn broken((_, _, from, to): &Case) -> Vec<u8> {
    with(from, to)
}

fn parse(bytes: &[u8]) -> Result<Parsed<'_>, RequestError> {
    RequestParser::new().parse(&LIMITS, bytes)
}

fn error(bytes: &[u8]) -> RequestError {
    parse(bytes).expect_err("the request breaks a rule")
}

fn upgrade(bytes: &[u8]) -> UpgradeRequest<'_> {
    match parse(bytes) {
        Ok(Parsed::Upgrade { request, consumed }) => {
            assert!(bytes[..consumed].ends_with(b"\r\n\r\n"));
            request
        }
        other => panic!("{other:?} for {}", bytes.escape_ascii()),
    }
}

#[test]
fn a_broken_line_is_refused_in_every_request() {
    for case in BROKEN_LINES {
        let error = error(&broken(case));
        assert_eq!((error.name(), error.status()), (case.0, case.1), "{case:?}");
    }
}

#[test]
fn a_rule_of_all_http_is_kept_with_and_without_an_upgrade() {
    for case in BROKEN_HTTP {
        let bytes = broken(case);
        assert_eq!((error(&bytes).name(), error(&bytes).status()), (case.0, case.1), "{case:?}");

        let text = String::from_utf8(bytes).unwrap();
        let plain: String = text
            .split_inclusive('\n')
            .filter(|line| !line.contains("Sec-") && !line.contains("pgrade"))
            .collect();
        assert_eq!(error(plain.as_bytes()).name(), case.0, "{case:?}");
    }
}

#[test]
fn a_rule_of_upgrades_is_kept_by_upgrades() {
    for case in BROKEN_UPGRADES {
        let error = error(&broken(case));
        assert_eq!((error.name(), error.status()), (case.0, case.1), "{case:?}");
    }
}

#[test]
fn every_error_has_a_test_and_a_name_of_its_own() {
    let limits = ["head_too_large", "too_many_headers", "target_too_long"];
    let tested: BTreeSet<&str> = [BROKEN_LINES, BROKEN_HTTP, BROKEN_UPGRADES]
        .into_iter()
        .flatten()
        .map(|case| case.0)
        .chain(limits)
        .collect();
    let variants = include_str!("error.rs").matches("#[error(").count();
    assert_eq!(tested.len(), variants);
}

#[test]
fn messages_are_one_line_that_says_what_is_wrong_and_quotes_little() {
    for case in [BROKEN_LINES, BROKEN_HTTP, BROKEN_UPGRADES].into_iter().flatten() {
        let message = error(&broken(case)).to_string();
        assert!(message.len() <= 140, "{message}");
        assert!(message.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{message}");
    }
    assert_eq!(
        error(&with("Version: 13", "Version: 8\u{1f600}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"))
            .to_string(),
        r#"Sec-WebSocket-Version "8\xf0\x9f\x98\x80aaaaaaaaaaa..." is not spoken here; send 13"#
    );
    assert_eq!(
        error(&with("Origin:", "Origin :")).to_string(),
        "line 6 has white space before its colon; send headers as \"Name: value\""
    );
}

#[test]
fn no_message_holds_a_secret() {
    let secrets = [
        "Authorization: Bearer hunter2\r\nAuthorization: Bearer hunter2\r\nOrigin:",
        "Authorization : hunter2\r\nOrigin:",
        "Authorization: hunter2\x01\r\nOrigin:",
        "Authorization: a\r\n hunter2\r\nOrigin:",
        "Cookie: a\r\nhunter2=1; b=2\r\nOrigin:",
        "Cookie: session=hunter2\rOrigin:",
        "Cookie: session=hunter2\nOrigin:",
    ];
    for secret in secrets {
        let message = error(&with("Origin:", secret)).to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn a_requests_debug_form_holds_no_secret() {
    let bytes = with("Origin:", "Authorization: Bearer hunter2\r\nCookie: hunter2\r\nOrigin:");
    let bytes = String::from_utf8(bytes).unwrap().replace("room=1", "token=hunter2");
    let shown = format!("{:?}", upgrade(bytes.as_bytes()));
    assert!(shown.contains("/chat") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_request_is_read_as_it_was_sent() {
    let bytes =
        with("Origin:", "Authorization: Bearer x y\r\nX-Empty:\r\nX-Text: \t caf\u{e9}\t \r\nOrigin:");
    let request = upgrade(&bytes);
    assert_eq!(request.target(), "/chat?room=1");
    assert_eq!(request.path(), "/chat");
    assert_eq!(request.query(), Some("room=1"));
    assert_eq!(request.host(), "server.example:8000");
    assert_eq!(request.key(), b"dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(request.origin(), Some("https://app.example"));
    assert_eq!(request.authorization(), Some(&b"Bearer x y"[..]));
    assert_eq!(request.header("x-TEXT"), Some("caf\u{e9}".as_bytes()));
    assert_eq!(request.header("X-Empty"), Some(&b""[..]));
    assert_eq!(request.header("X-Tex"), None);
    let names: Vec<&str> = request.headers().map(|(name, _)| name).collect();
    let expected = [
        "Host",
        "Upgrade",
        "Connection",
        "Sec-WebSocket-Key",
        "Authorization",
        "X-Empty",
        "X-Text",
        "Origin",
        "Sec-WebSocket-Version",
    ];
    assert_eq!(names, expected);
    assert_eq!(request.subprotocols().count(), 0);
    assert_eq!(request.extensions().count(), 0);
}

#[test]
fn a_request_needs_neither_origin_nor_query() {
    let bytes = with("Origin: https://app.example\r\n", "");
    assert_eq!(upgrade(&bytes).origin(), None);
    assert_eq!(upgrade(&bytes).authorization(), None);
    assert_eq!(upgrade(&with("/chat?room=1", "/")).query(), None);
    assert_eq!(upgrade(&with("/chat?room=1", "/?")).query(), Some(""));
    assert_eq!(upgrade(&with("/chat?room=1", "/?a?b")).query(), Some("a?b"));
    assert_eq!(
        upgrade(&with("/chat", "/%41%7f%Fe//../~!$&'()*+,;=:@|")).path(),
        "/%41%7f%Fe//../~!$&'()*+,;=:@|"
    );
}

#[test]
fn lists_are_read_in_any_case_and_over_several_lines() {
    for connection in [
        "connection:upgrade",
        "CONNECTION:\tUPGRADE ",
        "Connection: keep-alive, Upgrade",
        "Connection: keep-alive ,upgrade,, x",
        "Connection: keep-alive\r\nX-A: b\r\nConnection: Upgrade",
        "Connection: Upgrade\r\nConnection: keep-alive",
    ] {
        upgrade(&with("Connection: Upgrade", connection));
    }
    for to in [
        "upgrade: WebSocket",
        "UPGRADE:WEBSOCKET",
        "Upgrade: h2c, websocket",
        "Upgrade: websocket, foo/2",
        "Upgrade: foo/2\r\nUpgrade: websocket",
        "Upgrade: websocket\r\nUpgrade: foo/2",
    ] {
        upgrade(&with("Upgrade: websocket", to));
    }
}

#[test]
fn subprotocols_and_extensions_come_in_order_from_all_their_lines() {
    let bytes = with(
        "Origin:",
        "Sec-WebSocket-Protocol: soap, wamp\r\nSec-WebSocket-Extensions: a; b=1, c\r\nX-A: b\r\n\
         sec-websocket-protocol:tidegate.v1.json,\r\nSEC-WEBSOCKET-EXTENSIONS:  permessage-deflate \r\nOrigin:",
    );
    let request = upgrade(&bytes);
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["soap", "wamp", "tidegate.v1.json"]);
    assert_eq!(request.extensions().collect::<Vec<_>>(), [&b"a; b=1, c"[..], b"permessage-deflate"]);
}

#[test]
fn a_body_of_no_bytes_is_no_body() {
    upgrade(&with("Origin:", "Content-Length: 0\r\nOrigin:"));
}

#[test]
fn bytes_after_the_head_are_left_alone() {
    let mut bytes = GOOD.as_bytes().to_vec();
    bytes.extend_from_slice(b"\x81\x80\0\0\0\0\n");
    match parse(&bytes) {
        Ok(Parsed::Upgrade { consumed, .. }) => assert_eq!(consumed, GOOD.len()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_head_without_upgrade_is_plain_http_whatever_its_method_version_and_body() {
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST /v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "PUT /v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a/%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nOrigin: \r\nOrigin: b\r\n\r\n",
    ] {
        assert!(matches!(parse(head.as_bytes()), Ok(Parsed::Http)), "{head}");
    }
}

#[test]
fn a_head_is_accepted_at_its_limit_of_bytes_and_refused_one_over_it() {
    for bytes_max in [GOOD.len(), GOOD.len() + 1] {
        let limits = RequestLimits { bytes_max, ..LIMITS };
        let parsed = RequestParser::new().parse(&limits, GOOD.as_bytes());
        assert!(matches!(parsed, Ok(Parsed::Upgrade { .. })), "{bytes_max}");
    }
    let limits = RequestLimits { bytes_max: GOOD.len() - 1, ..LIMITS };
    let error = RequestParser::new().parse(&limits, GOOD.as_bytes()).unwrap_err();
    assert_eq!(error, RequestError::HeadTooLarge { max: GOOD.len() - 1 });
    assert_eq!((error.name(), error.status()), ("head_too_large", 431));
    assert!(matches!(
        RequestParser::new().parse(&RequestLimits { bytes_max: 4, ..LIMITS }, b"GET"),
        Ok(Parsed::Incomplete)
    ));
    assert!(RequestParser::new().parse(&RequestLimits { bytes_max: 3, ..LIMITS }, b"GET").is_err());
}

#[test]
fn no_head_is_longer_than_offsets_reach() {
    let limits =
        RequestLimits { bytes_max: usize::MAX, headers_max: usize::MAX, target_bytes_max: usize::MAX };
    let fill = |total: usize| {
        let pad = "x".repeat(total - GOOD.len() - "X: \r\n".len());
        GOOD.replacen("Origin:", &format!("X: {pad}\r\nOrigin:"), 1)
    };
    let fits = fill(65_535);
    assert!(matches!(RequestParser::new().parse(&limits, fits.as_bytes()), Ok(Parsed::Upgrade { .. })));
    let error = RequestParser::new().parse(&limits, fill(65_536).as_bytes()).unwrap_err();
    assert_eq!(error, RequestError::HeadTooLarge { max: 65_535 });
}

#[test]
fn headers_are_accepted_at_their_limit_and_refused_one_over_it() {
    let headers = GOOD.lines().count() - 2;
    let exact = RequestLimits { headers_max: headers, ..LIMITS };
    assert!(matches!(RequestParser::new().parse(&exact, GOOD.as_bytes()), Ok(Parsed::Upgrade { .. })));
    let under = RequestLimits { headers_max: headers - 1, ..LIMITS };
    let error = RequestParser::new().parse(&under, GOOD.as_bytes()).unwrap_err();
    assert_eq!((error.name(), error.status()), ("too_many_headers", 431));
}

#[test]
fn a_target_is_accepted_at_its_limit_and_refused_one_over_it() {
    let target = "/chat?room=1".len();
    let exact = RequestLimits { target_bytes_max: target, ..LIMITS };
    assert!(matches!(RequestParser::new().parse(&exact, GOOD.as_bytes()), Ok(Parsed::Upgrade { .. })));
    let under = RequestLimits { target_bytes_max: target - 1, ..LIMITS };
    let error = RequestParser::new().parse(&under, GOOD.as_bytes()).unwrap_err();
    assert_eq!((error.name(), error.status()), ("target_too_long", 414));
}

#[test]
fn a_target_that_fills_the_whole_head_is_called_a_long_target() {
    let limits = RequestLimits { bytes_max: 100, target_bytes_max: 95, ..LIMITS };
    let target = |bytes: usize| format!("GET /{}", "a".repeat(bytes - 1)).into_bytes();
    assert_eq!(RequestParser::new().parse(&limits, &target(96)).unwrap_err().name(), "target_too_long");
    let limits = RequestLimits { target_bytes_max: 96, ..limits };
    assert_eq!(RequestParser::new().parse(&limits, &target(96)).unwrap_err().name(), "head_too_large");
    assert_eq!(RequestParser::new().parse(&limits, &[b'a'; 100]).unwrap_err().name(), "head_too_large");
}

#[test]
fn a_complete_head_parses_to_the_same_again_and_a_shorter_buffer_starts_over() {
    let mut parser = RequestParser::new();
    for _ in 0..2 {
        assert!(matches!(parser.parse(&LIMITS, GOOD.as_bytes()), Ok(Parsed::Upgrade { .. })));
    }
    assert!(matches!(parser.parse(&LIMITS, &GOOD.as_bytes()[..40]), Ok(Parsed::Incomplete)));
    assert!(matches!(parser.parse(&LIMITS, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(Parsed::Http)));
    assert!(matches!(RequestParser::new().parse(&LIMITS, b""), Ok(Parsed::Incomplete)));
}

#[test]
fn other_protocols_are_told_at_their_first_bytes() {
    assert_eq!(error(b"\x16").name(), "tls_client_hello");
    assert_eq!(error(b"\x80").name(), "not_http");
    assert_eq!(error(b"\r\n\r\n\0\r\nQUIT\n").name(), "proxy_header");
    assert!(matches!(parse(b"\r\n\r\n\0\r\nQUIT"), Ok(Parsed::Incomplete)));
    assert_eq!(error(b"\r\n\r\n\0\r\nQUIZ").name(), "not_http");
}
