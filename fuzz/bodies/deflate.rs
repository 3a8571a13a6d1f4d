//! Any bytes as a list of extension offers.

use tidegate_wire::deflate::{self, Policy};

pub(crate) fn run(data: &[u8]) {
    let policy = Policy {
        enabled: true,
        server_context_takeover: false,
        client_context_takeover: false,
        server_max_window_bits: 15,
        level: 1,
        threshold_bytes: 0,
    };
    // Any verdict is right, as long as there is one.
    let _verdict = deflate::negotiate(&policy, std::iter::once(data));
}
