//! Echo paths: every message comes back to its sender, as it was and in order.

use tidegate_testkit::{Frame, Gateway};
use tidegate_wire::close::CloseCode;
use tidegate_wire::frame::{self, OpCode};

use crate::gateway;

const MIB: usize = 1024 * 1024;

#[test]
fn text_comes_back_as_text_and_binary_as_binary() {
    let gateway = gateway().start();
    let mut client = gateway.open("/echo");

    client.send_text("grüß dich");
    client.send_binary(&[0, 255, 128]);

    client.expect_text("grüß dich");
    assert_eq!(client.read_frame(), whole(OpCode::Binary, &[0, 255, 128]));
}

#[test]
fn messages_on_both_sides_of_every_length_encoding_come_back() {
    let gateway = gateway().start();
    let mut client = gateway.open("/echo");

    // The last is the default limit of a message itself.
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 300_000, MIB] {
        let payload = pattern(length);
        client.send_binary(&payload);
        assert_eq!(client.read_frame(), whole(OpCode::Binary, &payload), "{length} bytes");
    }
}

#[test]
fn messages_that_arrive_in_one_write_come_back_in_order() {
    let gateway = gateway().start();
    let mut client = gateway.open("/echo");
    let mut burst = Vec::new();
    for number in 0..1000_u32 {
        frame::append_masked(&mut burst, OpCode::Text, number.to_le_bytes(), number.to_string().as_bytes());
    }

    client.send_bytes(&burst);

    for number in 0..1000 {
        client.expect_text(&number.to_string());
    }
}

#[test]
fn a_message_that_arrives_byte_by_byte_comes_back() {
    let gateway = gateway().start();
    let mut client = gateway.open("/echo");
    let mut bytes = Vec::new();
    frame::append_masked(&mut bytes, OpCode::Text, [1, 2, 3, 4], "byte by byte, ∎".as_bytes());

    for byte in bytes {
        client.send_bytes(&[byte]);
    }

    client.expect_text("byte by byte, ∎");
}

#[test]
fn a_fragmented_message_comes_back_whole_and_a_ping_between_its_fragments_is_answered_first() {
    let gateway = gateway().start();
    let mut client = gateway.open("/echo");

    client.send_frame(false, false, OpCode::Text, b"one ");
    client.send_frame(false, false, OpCode::Continuation, b"");
    client.send_frame(true, false, OpCode::Ping, b"still there?");
    client.send_frame(true, false, OpCode::Continuation, b"two");

    assert_eq!(client.read_frame(), whole(OpCode::Pong, b"still there?"));
    client.expect_text("one two");
}

#[test]
fn frames_sent_along_with_the_request_are_answered() {
    let gateway = gateway().start();
    let mut early = Vec::new();
    frame::append_masked(&mut early, OpCode::Text, [9, 8, 7, 6], b"in a hurry");

    let mut client = gateway.request("/echo").trailer(&early).open();

    client.expect_text("in a hurry");
    client.check_echo("and later too");
}

#[test]
fn a_close_is_answered_with_its_own_code_and_the_server_ends_the_connection() {
    let gateway = gateway().start();
    let mut client = gateway.open("/echo");

    client.send_close(CloseCode::NORMAL, "done");

    assert_eq!(client.expect_close().0, 1000);
    assert_eq!(client.expect_end(), (tidegate_testkit::Ending::Closed, 0));
    closed_by_client(&gateway, 1.0);
}

#[test]
fn a_close_without_a_code_is_answered_too() {
    let gateway = gateway().start();
    let mut client = gateway.open("/echo");

    client.send_frame(true, false, OpCode::Close, b"");

    let answer = client.read_frame();
    assert_eq!(answer.opcode, OpCode::Close);
    closed_by_client(&gateway, 1.0);
}

#[test]
fn what_was_sent_before_a_close_is_answered_before_it() {
    let gateway = gateway().start();
    let mut client = gateway.open("/echo");
    let mut bytes = Vec::new();
    frame::append_masked(&mut bytes, OpCode::Text, [1; 4], b"last words");
    tidegate_wire::close::append_masked(&mut bytes, [2; 4], Some(CloseCode::GOING_AWAY), "");

    client.send_bytes(&bytes);

    client.expect_text("last words");
    assert_eq!(client.expect_close().0, 1001);
}

#[test]
fn clients_of_several_workers_are_served_alike() {
    let gateway = gateway().set("node.workers", "3").start();
    let mut clients: Vec<_> = (0..60).map(|_| gateway.open("/echo")).collect();

    for (number, client) in clients.iter_mut().enumerate() {
        client.send_text(&number.to_string());
    }

    for (number, client) in clients.iter_mut().enumerate() {
        client.expect_text(&number.to_string());
    }
    gateway.await_metric("tidegate_connections_active", &[], 60.0);
}

fn closed_by_client(gateway: &Gateway, times: f64) {
    gateway.await_metric("tidegate_connections_closed_total", &[("cause", "client_closed")], times);
    gateway.await_metric("tidegate_connections_active", &[], 0.0);
}

fn whole(opcode: OpCode, payload: &[u8]) -> Frame {
    Frame { fin: true, rsv1: false, opcode, payload: payload.to_vec() }
}

/// Bytes whose order matters, so that a wrong piece in a wrong place shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| ((index * 31) ^ (index >> 8)) as u8).collect()
}
