//! Behind a load balancer: who the client is comes from the PROXY header, if the sender may say so.

use std::net::IpAddr;

use tidegate_testkit::{Builder, Certificate, Gateway, Request};

use crate::gateway;

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 51234 443\r\n";
/// The same client in version 2: signature, PROXY, TCP over IPv4, 12 bytes of addresses.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\xc6\x33\x64\x01\xc8\x22\x01\xbb";
/// A health check of the balancer itself: LOCAL, no addresses.
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

#[test]
fn both_versions_name_the_client() {
    let gateway = behind_balancer().start();
    let mut clients = [V1, V2].map(|header| gateway.request("/echo").preamble(header).open());

    clients.iter_mut().for_each(|client| client.check_echo("through the balancer"));

    assert_eq!(peers(&gateway), ["203.0.113.7:51234", "203.0.113.7:51234"]);
}

#[test]
fn the_balancers_own_check_is_itself() {
    let gateway = behind_balancer().start();
    let mut client = gateway.request("/echo").preamble(V2_LOCAL).open();

    client.check_echo("health check");

    assert_eq!(peers(&gateway), [client.local_addr().to_string()]);
}

#[test]
fn limits_count_the_client_and_not_the_balancer() {
    let gateway = behind_balancer().set("limits.connections_per_ip", "1").start();
    let other = b"PROXY TCP4 203.0.113.8 198.51.100.1 51234 443\r\n";
    let _first = gateway.request("/echo").preamble(V1).open();

    gateway.request("/echo").preamble(other).open().check_echo("another client");

    assert_eq!(gateway.request("/echo").preamble(V2).refused().status, 429);
}

#[test]
fn a_header_in_pieces_is_understood() {
    let gateway = behind_balancer().start();
    let mut client = Request::to(gateway.client(), "").connect();

    let upgrade = b"GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for byte in V2.iter().chain(upgrade) {
        client.send_bytes(&[*byte]);
    }

    assert!(client.read_until(b"\r\n\r\n").starts_with(b"HTTP/1.1 101 "));
    assert_eq!(peers(&gateway), ["203.0.113.7:51234"]);
}

#[test]
fn the_header_comes_before_tls() {
    let certificate = Certificate::generate();
    let builder = behind_balancer();
    certificate.write_to(builder.folder());
    let folder = builder.folder().to_str().expect("temporary folders have plain names").to_owned();
    let gateway = builder
        .set("client.tls.cert_file", &format!("{folder}/cert.pem"))
        .set("client.tls.key_file", &format!("{folder}/key.pem"))
        .start();

    let mut client = gateway.request("/echo").preamble(V1).tls(&certificate).open();

    client.check_echo("both");
    assert_eq!(peers(&gateway), ["203.0.113.7:51234"]);
}

#[test]
fn a_trusted_peer_without_a_header_is_sent_away_unless_the_header_is_optional() {
    let strict = behind_balancer().start();
    let mut client = Request::to(strict.client(), "").connect();
    client.send_bytes(b"GET /echo HTTP/1.1\r\n");
    client.expect_end_of_bytes();
    strict.await_metric("tidegate_handshakes_total", &[("outcome", "proxy_header")], 1.0);

    let lenient = behind_balancer().set("client.proxy_protocol.required", "false").start();
    lenient.open("/echo").check_echo("straight to the gateway");
}

#[test]
fn a_stranger_cannot_give_itself_another_address() {
    let gateway = behind_balancer().start();
    let stranger: IpAddr = "127.0.0.9".parse().unwrap();

    // Not in the trusted range: its header is no request, and without one it is served as itself.
    assert_eq!(gateway.request("/echo").from(stranger).preamble(V1).refused().status, 400);
    let mut honest = gateway.request("/echo").from(stranger).open();
    honest.check_echo("as itself");
    assert_eq!(peers(&gateway), [honest.local_addr().to_string()]);
}

#[test]
fn a_header_that_never_comes_is_reaped_and_counted() {
    let gateway = behind_balancer().set("limits.handshake_timeout", "1s").start();
    let mut silent = Request::to(gateway.client(), "").connect();
    silent.send_bytes(&V2[..9]);

    silent.expect_end_of_bytes();

    gateway.await_metric("tidegate_handshakes_reaped_total", &[("stage", "proxy")], 1.0);
}

/// Trusts 127.0.0.1, where all clients of a test come from unless they say otherwise.
fn behind_balancer() -> Builder {
    gateway().set("client.proxy_protocol.trusted_cidrs", "127.0.0.1/32")
}

/// The clients' addresses as the gateway sees them.
fn peers(gateway: &Gateway) -> Vec<String> {
    let body = gateway.admin_get("/debug/connections").body;
    let described: serde_json::Value = serde_json::from_str(&body).expect("it answers with JSON");
    let connections = described["connections"].as_array().expect("`connections` is a list");
    connections
        .iter()
        .map(|connection| connection["peer"].as_str().expect("each has a peer").to_owned())
        .collect()
}
