//! The opening handshake from outside: who is let in, what the others are told.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate_testkit::{Client, HttpResponse, Received, Request};

use crate::gateway;

/// Header lines that make a lawful upgrade request; tests replace one of them.
const HOST: &str = "Host: gateway.test";
const UPGRADE: &str = "Upgrade: websocket";
const CONNECTION: &str = "Connection: keep-alive, Upgrade";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const VERSION: &str = "Sec-WebSocket-Version: 13";

#[test]
fn the_answer_is_the_one_rfc_6455_gives_as_an_example() {
    let gateway = gateway().start();
    let mut client = raw(gateway.client());

    client.send_bytes(request("GET /echo HTTP/1.1", &[HOST, UPGRADE, CONNECTION, KEY, VERSION]).as_bytes());

    let head = read_head(&mut client);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
}

#[test]
fn a_request_that_arrives_byte_by_byte_is_answered() {
    let gateway = gateway().start();
    let mut client = raw(gateway.client());

    for byte in request("GET /echo HTTP/1.1", &[HOST, UPGRADE, CONNECTION, KEY, VERSION]).bytes() {
        client.send_bytes(&[byte]);
    }

    assert!(read_head(&mut client).starts_with("HTTP/1.1 101 "));
}

#[test]
fn refusals_have_their_status_and_one_line_that_says_why() {
    let gateway = gateway().start();
    let upgrade = |first: &str, lines: &[&str]| {
        let mut client = raw(gateway.client());
        client.send_bytes(request(first, lines).as_bytes());
        HttpResponse::parse(&client.read_to_end())
    };
    let get = "GET /echo HTTP/1.1";
    let long_header = format!("X-Long: {}", "a".repeat(9000));
    let many_headers: Vec<String> = (0..65).map(|number| format!("X-{number}: 1")).collect();
    let many_headers: Vec<&str> = many_headers.iter().map(String::as_str).collect();

    let cases: [(&str, u16, HttpResponse); 13] = [
        ("no key", 400, upgrade(get, &[HOST, UPGRADE, CONNECTION, VERSION])),
        ("two keys", 400, upgrade(get, &[HOST, UPGRADE, CONNECTION, KEY, KEY, VERSION])),
        ("short key", 400, upgrade(get, &[HOST, UPGRADE, CONNECTION, "Sec-WebSocket-Key: abc", VERSION])),
        ("no host", 400, upgrade(get, &[UPGRADE, CONNECTION, KEY, VERSION])),
        ("no Connection: Upgrade", 400, upgrade(get, &[HOST, UPGRADE, KEY, VERSION])),
        ("space before the colon", 400, upgrade(get, &["Host : x", UPGRADE, CONNECTION, KEY, VERSION])),
        ("a folded line", 400, upgrade(get, &[HOST, "X: 1\r\n folded", UPGRADE, CONNECTION, KEY, VERSION])),
        ("a body", 400, upgrade(get, &[HOST, UPGRADE, CONNECTION, KEY, VERSION, "Content-Length: 3"])),
        ("no such path", 404, upgrade("GET /nowhere HTTP/1.1", &[HOST, UPGRADE, CONNECTION, KEY, VERSION])),
        ("old version", 426, upgrade(get, &[HOST, UPGRADE, CONNECTION, KEY, "Sec-WebSocket-Version: 8"])),
        ("long header", 431, upgrade(get, &[HOST, UPGRADE, CONNECTION, KEY, VERSION, &long_header])),
        (
            "many headers",
            431,
            upgrade(get, &[&[HOST, UPGRADE, CONNECTION, KEY, VERSION], &many_headers[..]].concat()),
        ),
        ("HTTP/1.0", 505, upgrade("GET /echo HTTP/1.0", &[HOST, UPGRADE, CONNECTION, KEY, VERSION])),
    ];

    for (case, status, response) in cases {
        assert_eq!(response.status, status, "{case}: {response:?}");
        assert_eq!(
            response.header("connection"),
            Some(if status == 426 { "Upgrade, close" } else { "close" }),
            "{case}"
        );
        assert!(response.header("content-type").unwrap().starts_with("text/plain"), "{case}: {response:?}");
        assert_eq!(response.body.trim_end().lines().count(), 1, "{case}: {response:?}");
        if status == 426 {
            assert_eq!(response.header("sec-websocket-version"), Some("13"), "{response:?}");
        }
    }
}

#[test]
fn a_refusal_does_not_repeat_credentials() {
    let gateway = gateway().start();
    let mut client = raw(gateway.client());

    let lines =
        [HOST, UPGRADE, CONNECTION, KEY, VERSION, "Authorization: Bearer s3cr3t", "Cookie: s3cr3t\x01"];
    client.send_bytes(request("GET /echo HTTP/1.1", &lines).as_bytes());

    let response = HttpResponse::parse(&client.read_to_end());
    assert_eq!(response.status, 400);
    assert!(!response.body.contains("s3cr3t"), "{response:?}");
}

#[test]
fn only_allowed_origins_and_clients_without_one_get_in() {
    let gateway =
        gateway().set("client.allowed_origins", "https://app.example,https://*.shop.example").start();
    let from = |origin| gateway.request("/echo").origin(origin);

    from("https://app.example").open();
    from("https://eu.shop.example").open();
    gateway.open("/echo");

    for origin in [
        "https://evil.example",
        "http://app.example",
        "https://app.example:444",
        "https://shop.example",
        "null",
    ] {
        let refused = from(origin).refused();
        assert_eq!(refused.status, 403, "{origin}");
        assert!(refused.body.contains("Origin"), "{refused:?}");
    }
    gateway.await_metric("tidegate_handshakes_total", &[("outcome", "origin")], 5.0);
}

#[test]
fn the_clients_first_subprotocol_that_the_path_speaks_is_chosen() {
    let gateway = gateway()
        .config("[[raw]]\npath = \"/chat\"\nmode = \"echo\"\nsubprotocols = [\"chat.v1\", \"chat.v2\"]")
        .start();
    let offer =
        |offered| gateway.request("/chat").subprotocols(offered).open().subprotocol().map(str::to_owned);

    assert_eq!(offer(&["other", "chat.v2", "chat.v1"]).as_deref(), Some("chat.v2"));
    assert_eq!(offer(&["chat.v1"]).as_deref(), Some("chat.v1"));
    assert_eq!(offer(&["other"]), None);
    assert_eq!(offer(&[]), None);
}

#[test]
fn an_unfinished_request_is_reaped_with_408_and_counted_and_others_are_left_alone() {
    let gateway = gateway().set("limits.handshake_timeout", "1s").start();
    let mut bystander = gateway.open("/echo");
    let (mut silent, mut halfway) = (raw(gateway.client()), raw(gateway.client()));
    halfway.send_bytes(b"GET /echo HTTP/1.1\r\nHost: gate");

    for client in [&mut silent, &mut halfway] {
        let response = HttpResponse::parse(&client.read_to_end());
        assert_eq!(response.status, 408, "{response:?}");
    }

    gateway.await_metric("tidegate_handshakes_reaped_total", &[("stage", "request")], 2.0);
    gateway.await_metric("tidegate_connections", &[("state", "new")], 0.0);
    bystander.check_echo("not reaped");
}

#[test]
fn a_request_that_trickles_in_is_reaped_all_the_same() {
    let gateway = gateway().set("limits.handshake_timeout", "1s").start();
    let mut client = raw(gateway.client());
    client.send_bytes(b"GET /echo HTTP/1.1\r\nHost: x\r\n");

    // A byte now and then is no progress that counts. Ends when the answer has come; a limit for the loop all the same.
    let mut answer = None;
    for _ in 0..600 {
        client.send_bytes(b"X");
        if client.wait_readable(Duration::from_millis(50)) {
            answer = Some(HttpResponse::parse(&client.read_to_end()));
            break;
        }
    }

    assert_eq!(answer.expect("the client was never answered").status, 408);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_request_is_forgotten() {
    let gateway = gateway().start();
    let mut client = raw(gateway.client());
    client.send_bytes(b"GET /echo HTTP/1.1\r\n");
    gateway.await_metric("tidegate_connections", &[("state", "new")], 1.0);

    drop(client);

    gateway.await_metric("tidegate_connections", &[("state", "new")], 0.0);
    gateway.await_metric("tidegate_handshakes_total", &[("outcome", "client_gone")], 1.0);
}

#[test]
fn nothing_is_sent_before_the_request_is_complete() {
    let gateway = gateway().start();
    let mut client = raw(gateway.client());
    client.send_bytes(b"GET /echo HTTP/1.1\r\n");
    // The gateway has read what there is once it counts the connection; only then is silence worth something.
    gateway.await_metric("tidegate_connections", &[("state", "new")], 1.0);

    assert_eq!(client.read(Duration::from_millis(100)), Received::Nothing);
}

fn raw(server: SocketAddr) -> Client {
    Request::to(server, "").connect()
}

fn request(first: &str, lines: &[&str]) -> String {
    format!("{first}\r\n{}\r\n\r\n", lines.join("\r\n"))
}

fn read_head(client: &mut Client) -> String {
    String::from_utf8(client.read_until(b"\r\n\r\n")).expect("a response head is ASCII")
}
