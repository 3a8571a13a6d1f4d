//! Many connections, again and again: memory that was warm once stays as it is.

use tidegate_testkit::{Client, Gateway, raise_descriptor_limit};
use tidegate_wire::frame::OpCode;

use crate::gateway;

const CONNECTIONS: usize = 5_000;
const ROUNDS: usize = 10;
/// What a process's memory may move by between rounds without anything being kept: allocator and kernel count in pages.
const SLACK_BYTES: u64 = 2 * 1024 * 1024;

#[test]
fn thousands_of_connections_opened_used_and_closed_leave_memory_as_it_was_after_the_first_round() {
    raise_descriptor_limit(CONNECTIONS as u64 + 200);
    let gateway = gateway().start();

    let first = round(&gateway);
    for number in 2..=ROUNDS {
        let now = round(&gateway);
        assert!(
            now.resident_bytes <= first.resident_bytes + SLACK_BYTES,
            "round {number}: {} bytes resident, {} after the first",
            now.resident_bytes,
            first.resident_bytes,
        );
        assert_eq!(now.buffer_allocations, first.buffer_allocations, "round {number} allocated buffers anew");
    }
}

struct After {
    resident_bytes: u64,
    buffer_allocations: u64,
}

/// Opens all, sends a message on each, reads it back, and closes all.
fn round(gateway: &Gateway) -> After {
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| gateway.open("/echo")).collect();
    // All in the middle of a message at once, so that each holds a buffer of the pool.
    for client in &mut clients {
        client.send_frame(false, false, OpCode::Binary, &[1; 300]);
    }
    gateway.await_metric("tidegate_parser_state", &[("state", "between_fragments")], CONNECTIONS as f64);
    for client in &mut clients {
        client.send_frame(true, false, OpCode::Continuation, &[2; 300]);
    }
    for client in &mut clients {
        assert_eq!(client.read_frame().payload.len(), 600);
    }
    gateway.await_metric("tidegate_connections_active", &[], CONNECTIONS as f64);
    drop(clients);
    gateway.await_metric("tidegate_connections_active", &[], 0.0);
    gateway.await_metric("tidegate_buffer_pool_bytes", &[("state", "in_use")], 0.0);

    let buffer_allocations = gateway.metric("tidegate_buffer_allocations_total", &[]);
    After { resident_bytes: gateway.resident_bytes(), buffer_allocations: buffer_allocations as u64 }
}
