//! Several nodes over one Redis and one NATS server: clients and servers notice nothing of where anybody is.
//!
//! One file for each thing that nodes do together. What becomes of clients when a part breaks is in `faults.rs`; here are
//! the modes that a node goes through then, and what it says of them.

mod access;
mod api;
mod budget;
mod degraded;
mod delivery;
mod presence;
mod revocation;
mod sessions;

use serde_json::{Value, json};
use tidegate_testkit::{Builder, Cluster, NativeClient};

use crate::native::{connect_with, token_of};
use crate::server_api;

/// A node as the tests of the server API have it: all clients welcome, all channels open, a key for everything.
fn node() -> Builder {
    server_api::gateway()
}

/// A client of this user on a node, subscribed to these channels, and what it was told.
#[track_caller]
fn member(cluster: &Cluster, number: usize, user: &str, channels: &[&str]) -> (NativeClient, Value) {
    let body = json!({ "token": token_of(user), "subscribe": channels });
    connect_with(&cluster[number], body)
}

/// The position with this offset in the epoch that a session was told for a channel.
fn at(told: &Value, channel: &str, offset: u64) -> Value {
    json!({ "epoch": told["channels"][channel]["epoch"], "offset": offset })
}
