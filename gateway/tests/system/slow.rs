//! Clients that do not read. They cost a bounded amount of memory, nobody else's time, and in a channel their place.

use std::time::Duration;

use tidegate_testkit::Gateway;
use tidegate_wire::frame::OpCode;

use crate::gateway;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const MESSAGE_BYTES: usize = 64 * KIB;

#[test]
fn an_echo_client_that_does_not_read_is_no_longer_read_and_gets_everything_when_it_reads_again() {
    let gateway = gateway().start();
    let mut bystander = gateway.open("/echo");
    let mut offender = gateway.request("/echo").receive_buffer_bytes(16 * KIB).open();
    let before = gateway.resident_bytes();

    // The kernel's own buffers hold some MiB on both sides; without back-pressure it would take all of it.
    let taken = offender.send_until_blocked(&[7; MESSAGE_BYTES], 256 * MIB, Duration::from_secs(1));

    assert!(taken < 64 * MIB, "the gateway took {taken} bytes from a client that reads nothing");
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 8 * MIB as u64, "{grown} bytes for one client, limits.outbox_bytes is 1 MiB");
    assert!(gateway.metric("tidegate_reads_paused_total", &[]) >= 1.0);
    bystander.check_echo("not affected");

    for number in 0..taken / (MESSAGE_BYTES + 14) {
        let frame = offender.read_frame();
        assert!(frame.opcode == OpCode::Binary && frame.payload == [7; MESSAGE_BYTES], "echo {number}");
    }
    gateway.await_metric("tidegate_outbox_bytes", &[], 0.0);
}

#[test]
fn an_echo_client_that_never_reads_is_closed_in_the_end() {
    let gateway = gateway().set("limits.write_timeout", "1s").set("limits.handshake_timeout", "1h").start();
    let mut offender = gateway.request("/echo").receive_buffer_bytes(16 * KIB).open();

    offender.send_until_blocked(&[7; MESSAGE_BYTES], 256 * MIB, Duration::from_millis(500));

    closed_as_slow(&gateway, 1.0);
}

#[test]
fn a_channel_subscriber_that_does_not_read_is_closed_and_counted_and_the_others_get_everything() {
    const MESSAGES: usize = 400;
    let gateway = gateway().start();
    let offender = gateway.request("/raw/tea").receive_buffer_bytes(16 * KIB).open();
    let (mut sender, mut reader) = (gateway.open("/raw/tea"), gateway.open("/raw/tea"));
    let before = gateway.resident_bytes();

    // Each message is read by all who read before the next is sent: so nobody but the offender can be slow.
    for number in 0..MESSAGES {
        let payload = vec![number as u8; MESSAGE_BYTES];
        sender.send_binary(&payload);
        assert_eq!(sender.read_frame().payload, payload, "message {number}");
        assert_eq!(reader.read_frame().payload, payload, "message {number}");
    }

    closed_as_slow(&gateway, 1.0);
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 16 * MIB as u64, "{grown} bytes for {} MiB of messages", MESSAGES * MESSAGE_BYTES / MIB);
    gateway.await_metric("tidegate_connections_active", &[], 2.0);
    drop(offender);
}

#[test]
fn a_subscriber_that_was_closed_for_reading_too_slowly_is_told_so_when_it_reads_again() {
    let gateway = gateway().start();
    let mut offender = gateway.request("/raw/tea").receive_buffer_bytes(16 * KIB).open();
    let mut sender = gateway.open("/raw/tea");
    while gateway.metric("tidegate_connections_closed_total", &[("cause", "slow_consumer")]) < 1.0 {
        sender.send_binary(&[1; MESSAGE_BYTES]);
        sender.read_frame();
    }

    // Whole frames first, those that the socket had begun to take; then why there are no more.
    assert_eq!(offender.expect_close().0, 1008);
}

#[test]
fn a_hundred_subscribers_that_never_read_hold_no_more_than_the_pool_allows() {
    let gateway = gateway().set("limits.pool_bytes", "16MiB").start();
    let before = gateway.resident_bytes();
    let offenders: Vec<_> =
        (0..100).map(|_| gateway.request("/raw/tea").receive_buffer_bytes(4 * KIB).open()).collect();
    let mut sender = gateway.open("/raw/tea");

    let mut messages = 0;
    while gateway.metric("tidegate_connections_active", &[]) > 1.0 {
        sender.send_binary(&[3; MESSAGE_BYTES]);
        sender.read_frame();
        messages += 1;
        let in_use = gateway.metric("tidegate_buffer_pool_bytes", &[("state", "in_use")]);
        assert!(in_use <= (16 * MIB) as f64, "{in_use} bytes in use after {messages} messages");
    }

    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB as u64, "{grown} bytes, limits.pool_bytes is 16 MiB");
    drop(offenders);
}

fn closed_as_slow(gateway: &Gateway, times: f64) {
    gateway.await_metric("tidegate_connections_closed_total", &[("cause", "slow_consumer")], times);
}
