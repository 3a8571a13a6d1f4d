//! The bytes of answers, whole: clients and proxies read them.

use crate::deflate::{Agreement, Policy, negotiate};

use super::*;

fn accept(subprotocol: Option<&str>, deflate: Option<&Agreement>) -> String {
    let mut out = Vec::new();
    append_accept(&mut out, b"dGhlIHNhbXBsZSBub25jZQ==", subprotocol, deflate);
    String::from_utf8(out).unwrap()
}

fn refuse(status: u16, body: &str, retry_after_s: Option<u32>) -> String {
    let mut out = Vec::new();
    append_refusal(&mut out, &Refusal { status, body, retry_after_s });
    String::from_utf8(out).unwrap()
}

fn negotiated() -> Agreement {
    let policy = Policy { enabled: true, ..Policy::default() };
    let offers = [&b"permessage-deflate; client_max_window_bits"[..]];
    negotiate(&policy, offers.into_iter()).unwrap().expect("the offer is acceptable")
}

#[test]
fn the_accept_value_of_the_rfcs_sample_is_computed() {
    assert_eq!(&accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn an_acceptance_has_the_four_lines_that_the_rfc_asks_for() {
    let expected = "HTTP/1.1 101 Switching Protocols\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
        \r\n";
    assert_eq!(accept(None, None), expected);
}

#[test]
fn an_acceptance_names_what_was_agreed_on() {
    let agreement = negotiated();
    let mut value = Vec::new();
    agreement.append_response(&mut value);
    let value = String::from_utf8(value).unwrap();
    let expected = format!(
        "HTTP/1.1 101 Switching Protocols\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
        Sec-WebSocket-Protocol: tidegate.v1.json\r\n\
        Sec-WebSocket-Extensions: {value}\r\n\
        \r\n"
    );
    assert_eq!(accept(Some("tidegate.v1.json"), Some(&agreement)), expected);
}

#[test]
fn an_acceptance_is_appended_and_grows_an_empty_buffer_at_most_once() {
    let mut out = b"before".to_vec();
    append_accept(&mut out, b"dGhlIHNhbXBsZSBub25jZQ==", None, None);
    assert!(out.starts_with(b"beforeHTTP/1.1 101 "));

    let longest = accept(Some("tidegate.v1.json"), Some(&negotiated()));
    assert!(longest.len() <= ACCEPT_BYTES_TYPICAL, "{} bytes", longest.len());
}

#[test]
fn a_refusal_says_why_and_closes() {
    let expected = "HTTP/1.1 400 Bad Request\r\n\
        Connection: close\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\
        Content-Length: 4\r\n\
        \r\n\
        no.\n";
    assert_eq!(refuse(400, "no.", None), expected);
}

#[test]
fn a_refusal_for_its_version_says_which_one_to_send() {
    let expected = "HTTP/1.1 426 Upgrade Required\r\n\
        Upgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\n\
        Connection: Upgrade, close\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\
        Content-Length: 10\r\n\
        \r\n\
        use 13 \u{e9}\n";
    assert_eq!(refuse(426, "use 13 \u{e9}", None), expected);
}

#[test]
fn a_refusal_that_passes_says_when_to_come_back() {
    for (status, line) in [(429, "429 Too Many Requests"), (503, "503 Service Unavailable")] {
        let text = refuse(status, "later", Some(120));
        assert!(text.starts_with(&format!("HTTP/1.1 {line}\r\n")), "{text}");
        assert!(text.contains("\r\nRetry-After: 120\r\n"), "{text}");
    }
    assert!(refuse(503, "later", Some(u32::MAX)).contains("\r\nRetry-After: 4294967295\r\n"));
    assert!(refuse(503, "later", Some(0)).contains("\r\nRetry-After: 0\r\n"));
}

#[test]
fn a_refusal_for_its_method_says_which_one_to_send() {
    assert!(refuse(405, "no", None).contains("\r\nAllow: GET\r\n"));
}

#[test]
fn every_status_has_a_name_and_no_refusal_overflows_its_estimate() {
    for status in [400, 401, 403, 404, 405, 408, 414, 426, 429, 431, 500, 502, 503, 505] {
        assert_ne!(reason_phrase(status), reason_phrase(599), "{status}");
        let text = refuse(status, "", Some(u32::MAX));
        assert!(text.len() <= REFUSAL_BYTES_TYPICAL, "{} bytes for {status}", text.len());
    }
    assert!(refuse(599, "", None).starts_with("HTTP/1.1 599 Refused\r\n"));
}

#[test]
fn the_clients_first_protocol_that_the_server_knows_is_chosen() {
    let supported = ["a".to_owned(), "b".to_owned()];
    assert_eq!(choose_subprotocol(["x", "b", "a"].into_iter(), &supported), Some(1));
    assert_eq!(choose_subprotocol(["B", "A"].into_iter(), &supported), None);
    assert_eq!(choose_subprotocol([].into_iter(), &supported), None);
    assert_eq!(choose_subprotocol(["a"].into_iter(), &[] as &[&str]), None);
}
