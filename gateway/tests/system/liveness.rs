//! Peers that are not there any more, or only half: pings, unfinished frames, resets.

use tidegate_testkit::{Builder, Ending, Received};
use tidegate_wire::frame::OpCode;

use crate::gateway;

#[test]
fn a_quiet_client_is_pinged_and_stays_as_long_as_it_answers() {
    let gateway = gateway().set("limits.ping_interval", "1s").set("limits.pings_missed", "1").start();
    let mut client = gateway.open("/echo");

    for _ in 0..3 {
        let ping = client.read_frame();
        assert_eq!(ping.opcode, OpCode::Ping);
        client.send_frame(true, false, OpCode::Pong, &ping.payload);
    }

    client.check_echo("still here");
}

#[test]
fn a_client_that_answers_no_ping_is_closed_and_counted() {
    let gateway = gateway().set("limits.ping_interval", "1s").set("limits.pings_missed", "2").start();
    let mut client = gateway.open("/echo");

    let mut pings = 0;
    loop {
        match client.read_frame() {
            frame if frame.opcode == OpCode::Ping => pings += 1,
            frame => break assert_eq!(frame.opcode, OpCode::Close),
        }
    }

    assert_eq!(pings, 2, "limits.pings_missed is 2");
    gateway.await_metric("tidegate_connections_closed_total", &[("cause", "ping_timeout")], 1.0);
}

#[test]
fn an_unfinished_frame_ends_its_connection_in_time_and_no_other() {
    let gateway = only_frame_timeout().start();
    let mut bystander = gateway.open("/echo");
    let unfinished: [&[u8]; 4] = [
        b"\x81",                // half of the first two bytes
        b"\x81\xfe\x00",        // half of the length
        b"\x81\x85\x01\x02",    // half of the mask
        b"\x81\x85\0\0\0\0abc", // half of the payload
    ];

    for bytes in unfinished {
        let mut client = gateway.open("/echo");
        client.send_bytes(bytes);
        assert_eq!(client.expect_close().0, 1008, "{bytes:x?}");
    }

    gateway.await_metric("tidegate_connections_closed_total", &[("cause", "frame_timeout")], 4.0);
    bystander.check_echo("idle is not unfinished");
}

#[test]
fn an_unfinished_fragmented_message_ends_its_connection_too() {
    let gateway = only_frame_timeout().start();
    let mut client = gateway.open("/echo");

    client.send_frame(false, false, OpCode::Text, b"to be continued");

    assert_eq!(client.expect_close().0, 1008);
    gateway.await_metric("tidegate_connections_closed_total", &[("cause", "frame_timeout")], 1.0);
}

#[test]
fn parser_states_can_be_counted_from_outside() {
    let gateway = gateway().start();
    let stuck_at: [(&str, &[u8]); 4] = [
        ("idle", b""),
        ("reading_header", b"\x81"),
        ("reading_mask", b"\x81\x85\x01\x02"),
        ("reading_payload", b"\x81\x85\0\0\0\0abc"),
    ];

    let clients = stuck_at.map(|(state, bytes)| {
        let mut client = gateway.open("/echo");
        client.send_bytes(bytes);
        gateway.await_metric("tidegate_parser_state", &[("state", state)], 1.0);
        client
    });

    drop(clients);
    gateway.await_metric("tidegate_parser_state", &[], 0.0);
    gateway.await_metric("tidegate_buffer_pool_bytes", &[("state", "in_use")], 0.0);
}

#[test]
fn a_peer_that_was_killed_is_noticed_and_fan_out_goes_on() {
    let gateway = gateway().start();
    let mut members: Vec<_> = (0..3).map(|_| gateway.open("/raw/tea")).collect();

    // What the kernel of a killed process does: a reset where something was unread, else an end of stream.
    members.remove(0).reset();
    gateway.await_metric("tidegate_connections_closed_total", &[("cause", "connection_lost")], 1.0);
    drop(members.remove(0));
    gateway.await_metric("tidegate_connections_closed_total", &[("cause", "client_gone")], 1.0);

    members[0].check_echo("alone now");
    gateway.await_metric("tidegate_connections_active", &[], 1.0);
}

#[test]
fn a_client_that_only_ends_its_own_direction_is_let_go() {
    let gateway = gateway().start();
    let mut client = gateway.open("/echo");

    client.shutdown_write();

    assert_eq!(client.expect_end().0, Ending::Closed);
    gateway.await_metric("tidegate_connections_active", &[], 0.0);
}

#[test]
fn a_pong_nobody_asked_for_is_ignored() {
    let gateway = gateway().start();
    let mut client = gateway.open("/echo");

    client.send_frame(true, false, OpCode::Pong, b"unsolicited");

    client.check_echo("no answer but this one");
    assert_ne!(client.read(std::time::Duration::from_millis(1)), Received::Ended(Ending::Closed));
}

/// A second for each frame, and an hour for everything else: no other deadline brings the gateway to look.
fn only_frame_timeout() -> Builder {
    gateway().set("limits.frame_timeout", "1s").set("limits.handshake_timeout", "1h")
}
