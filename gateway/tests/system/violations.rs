//! Clients that break the protocol: each rule ends the connection with its own code, and nobody else's.

use tidegate_testkit::{Client, Ending};
use tidegate_wire::frame::OpCode;

use crate::gateway;

/// What a client does wrong, and the close code it must be told.
type Violation = (&'static str, u16, fn(&mut Client));

const VIOLATIONS: [Violation; 19] = [
    ("a frame without a mask", 1002, |client| client.send_bytes(b"\x81\x02hi")),
    ("RSV1 without an extension", 1002, |client| client.send_frame(true, true, OpCode::Text, b"hi")),
    ("RSV2", 1002, |client| client.send_bytes(b"\xa1\x80\0\0\0\0")),
    ("RSV3", 1002, |client| client.send_bytes(b"\x91\x80\0\0\0\0")),
    ("a reserved data opcode", 1002, |client| client.send_bytes(b"\x83\x80\0\0\0\0")),
    ("a reserved control opcode", 1002, |client| client.send_bytes(b"\x8b\x80\0\0\0\0")),
    ("a fragmented ping", 1002, |client| client.send_frame(false, false, OpCode::Ping, b"")),
    ("a ping of 126 bytes", 1002, |client| client.send_frame(true, false, OpCode::Ping, &[0; 126])),
    ("a continuation of nothing", 1002, |client| client.send_frame(true, false, OpCode::Continuation, b"")),
    ("a message inside a fragmented one", 1002, |client| {
        client.send_frame(false, false, OpCode::Text, b"one");
        client.send_frame(true, false, OpCode::Text, b"two");
    }),
    ("125 bytes announced in 16 bits", 1002, |client| client.send_bytes(b"\x82\xfe\x00\x7d\0\0\0\0")),
    ("65535 bytes announced in 64 bits", 1002, |client| {
        client.send_bytes(b"\x82\xff\0\0\0\0\0\0\xff\xff\0\0\0\0");
    }),
    ("a length with the top bit set", 1002, |client| {
        client.send_bytes(b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0");
    }),
    ("a close of one byte", 1002, |client| client.send_frame(true, false, OpCode::Close, b"\x03")),
    ("a close code that is never sent", 1002, |client| {
        client.send_frame(true, false, OpCode::Close, &1005_u16.to_be_bytes());
    }),
    ("a close reason that is not UTF-8", 1007, |client| {
        client.send_frame(true, false, OpCode::Close, b"\x03\xe8\xff");
    }),
    ("text that is not UTF-8", 1007, |client| client.send_frame(true, false, OpCode::Text, b"\xc0\xaf")),
    ("text that is not UTF-8, in an unfinished message", 1007, |client| {
        client.send_frame(false, false, OpCode::Text, b"fine so far, then \xff");
    }),
    ("a frame announced one byte over the limit", 1009, |client| {
        client.send_bytes(b"\x82\xff\0\0\0\0\0\x10\0\x01\0\0\0\0");
    }),
];

#[test]
fn each_violation_ends_the_connection_with_its_code_and_leaves_others_alone() {
    let gateway = gateway().start();
    let mut bystander = gateway.open("/echo");

    for (violation, code, commit) in VIOLATIONS {
        let mut client = gateway.open("/echo");
        client.check_echo("all is well");
        commit(&mut client);
        let (received, _) = client.expect_close();
        assert_eq!(received, code, "{violation}");
        assert_eq!(client.expect_end().1, 0, "frames came after the close: {violation}");
        bystander.check_echo(violation);
    }

    let codes = |code| VIOLATIONS.iter().filter(|(_, each, _)| *each == code).count() as f64;
    for (cause, code) in [("protocol_error", 1002), ("invalid_payload", 1007), ("message_too_big", 1009)] {
        gateway.await_metric("tidegate_connections_closed_total", &[("cause", cause)], codes(code));
    }
    gateway.await_metric("tidegate_connections_active", &[], 1.0);
}

#[test]
fn a_message_one_byte_over_the_limit_ends_the_connection_and_one_at_the_limit_does_not() {
    let gateway = gateway().set("limits.message_bytes", "1000").set("limits.frame_bytes", "600").start();
    let mut client = gateway.open("/echo");

    client.send_frame(false, false, OpCode::Binary, &[1; 600]);
    client.send_frame(true, false, OpCode::Continuation, &[2; 400]);
    assert_eq!(client.read_frame().payload.len(), 1000);

    client.send_frame(false, false, OpCode::Binary, &[1; 600]);
    client.send_frame(true, false, OpCode::Continuation, &[2; 401]);
    assert_eq!(client.expect_close().0, 1009);

    let mut client = gateway.open("/echo");
    client.send_frame(true, false, OpCode::Binary, &[1; 601]);
    assert_eq!(client.expect_close().0, 1009);
}

#[test]
fn a_client_that_goes_on_sending_after_its_violation_still_gets_the_close_frame() {
    let gateway = gateway().start();
    let mut client = gateway.open("/echo");

    // What is sent behind the violation must not turn the server's orderly close into a reset.
    client.send_bytes(b"\x83\x80\0\0\0\0");
    client.send_binary(&[0; 50_000]);

    assert_eq!(client.expect_close().0, 1002);
    assert_eq!(client.expect_end(), (Ending::Closed, 0));
}
