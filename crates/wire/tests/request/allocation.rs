//! The path from a request's bytes to the answer's, under an allocator that counts.

use allocation_counter::measure;

use tidegate_wire::handshake::{append_accept, choose_subprotocol};
use tidegate_wire::request::{Parsed, RequestParser};

use crate::{BROWSER, LIMITS, parse};

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(Vec::<u8>::with_capacity(1))).count_total, 1);
}

#[test]
fn a_request_is_parsed_byte_by_byte_and_answered_without_an_allocation() {
    let bytes = BROWSER.as_bytes();
    let supported = ["tidegate.v1.json"];
    let mut out = Vec::with_capacity(512);
    let info = measure(|| {
        let mut parser = RequestParser::new();
        for seen in 0..bytes.len() {
            assert!(matches!(parser.parse(&LIMITS, &bytes[..seen]), Ok(Parsed::Incomplete)));
        }
        let Ok(Parsed::Upgrade { request, .. }) = parser.parse(&LIMITS, bytes) else {
            panic!("the request is good");
        };
        assert!(request.header("user-agent").is_some() && request.extensions().count() == 1);
        let chosen = choose_subprotocol(request.subprotocols(), &supported).map(|at| supported[at]);
        append_accept(&mut out, request.key(), chosen, None);
    });
    assert_eq!(info.count_total, 0);
    assert!(out.starts_with(b"HTTP/1.1 101 "));
}

#[test]
fn a_refused_request_costs_no_allocation() {
    let cases = [
        ("Host:", "Host :"),
        ("Version: 13", "Version: 8"),
        ("websocket\r\n", "websocket\n"),
        ("/raw", "/ra%"),
    ];
    for (from, to) in cases {
        let bytes = BROWSER.replacen(from, to, 1);
        let info = measure(|| assert!(parse(bytes.as_bytes()).is_err()));
        assert_eq!(info.count_total, 0, "{to}");
    }
}
