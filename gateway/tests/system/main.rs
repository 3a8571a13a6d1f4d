//! The real gateway as its users meet it: each test starts the binary on ports of its own and talks to it over sockets.
//!
//! One file for each thing a client or an operator relies on. Time limits are set to a second or so, since what counts is
//! that they end something, and what they leave alone; no test measures how long anything took.

mod admin;
mod channel;
mod cluster;
mod config;
mod deflate;
mod drain;
mod echo;
mod faults;
mod handshake;
mod http;
mod limits;
mod liveness;
mod native;
mod overload;
mod protocol_page;
mod proxy_protocol;
mod quota;
mod revocation;
mod server_api;
mod shutdown;
mod slow;
mod soak;
mod tls;
mod traces;
mod violations;

use tidegate_testkit::{Builder, Gateway};

/// One worker on free ports, and otherwise the defaults. Pings are for the tests that look for them: on a slow machine
/// they would come between an answer and the one who waits for it.
fn gateway() -> Builder {
    Gateway::builder(env!("CARGO_BIN_EXE_tidegate-gateway"))
        .set("limits.ping_interval", "1h")
        .set("drain.leave_grace", "0s")
}
