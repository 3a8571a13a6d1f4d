//! What a gateway tells of its drain and its load: all that a coordinator needs to know of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{DrainPhase, OperationId};

/// The state of one gateway. Counts are of the drain under way, or else of the last one.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct DrainReport {
    /// The node's name.
    pub node: Arc<str>,
    /// Its program's version.
    pub version: Arc<str>,
    /// Where it stands.
    pub phase: DrainPhase,
    /// Who began the drain.
    pub source: DrainSource,
    /// The operation that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<OperationId>,
    /// Highest epoch of an order so far.
    pub epoch: u64,
    /// Number of the last order of that epoch.
    pub seq: u64,
    /// Seconds until the order ends unless it is repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_expires_in: Option<f64>,
    /// Whether the process was told to end: there is no way back.
    pub shutting_down: bool,
    /// Whether new clients may come.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<Arc<str>>,
    /// Connections in any state.
    pub connections: u64,
    /// Sessions of the native dialect with a connection.
    pub sessions: u64,
    /// Most connections it takes.
    pub capacity: u64,
    /// Open connections that are still to be sent away.
    pub remaining: u64,
    /// Clients told to leave, or closed, by the drain.
    pub moved: u64,
    /// Of these: left by themselves when told.
    pub left: u64,
    /// Of these: closed in pace because they did not leave, or cannot be told.
    pub closed: u64,
    /// Of these: closed in a hurry because the deadline came.
    pub forced: u64,
    /// Sessions sent away that were not seen on another node yet.
    pub displaced: u64,
    /// Sessions sent away that were seen elsewhere.
    pub resumed: u64,
    /// Sessions sent away that were not seen elsewhere in time.
    pub lost: u64,
    /// Clients sent away a second, as it is set now.
    pub rate: f64,
    /// Seconds until everyone must be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_in: Option<f64>,
    /// Sessions that the same operation had already sent away from another node.
    pub repeat_displacements: u64,
    /// How busy it is.
    pub load: DrainLoad,
    /// Names of its degraded modes.
    pub modes: Vec<Arc<str>>,
    /// How the store does.
    pub store: BackendHealth,
    /// How the bus does.
    pub bus: BackendHealth,
    /// Who holds handshakes open, most first: at most [`SLOW_ADDRESSES_MAX`](super::SLOW_ADDRESSES_MAX).
    pub slow_addresses: Vec<SlowAddress>,
}

/// Who began a drain.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrainSource {
    /// Nobody: there is none.
    #[default]
    None,
    /// A coordinator's order.
    Order,
    /// SIGTERM or SIGINT.
    Signal,
    /// Someone whom only a later version knows.
    #[serde(other)]
    Unknown,
}

/// How a server that nodes share does, as one of them sees it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendHealth {
    /// It answers.
    #[default]
    Up,
    /// It answers late.
    Slow,
    /// It does not answer.
    Down,
    /// In a way that only a later version knows.
    #[serde(other)]
    Unknown,
}

/// How busy a gateway is. Rates are over the last seconds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct DrainLoad {
    /// Connections per thousand that it takes.
    pub permille: u16,
    /// Handshakes that became connections, a second.
    pub handshakes_per_second: f64,
    /// Handshakes that were refused since there was no room or no time for them, a second.
    pub refused_per_second: f64,
    /// 99 of 100 of those that became connections took at most so long: milliseconds.
    pub handshake_p99_ms: f64,
    /// Handshakes in progress.
    pub handshaking: u64,
    /// Connections by the state their parser rests in.
    pub parser_states: BTreeMap<Arc<str>, u64>,
    /// Bytes of buffers in use.
    pub buffer_pool_in_use_bytes: u64,
    /// Bytes of buffers kept for the next who needs one.
    pub buffer_pool_free_bytes: u64,
    /// Bytes that wait for clients.
    pub outbox_bytes: u64,
    /// Messages from clients, a second.
    pub messages_in_per_second: f64,
    /// Messages to clients, a second.
    pub messages_out_per_second: f64,
    /// Connections that it would still take.
    pub free_connections: u64,
    /// Handshakes that it would take now; missing where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_permits: Option<u64>,
    /// Sessions resumed since the start.
    pub resumed_total: u64,
    /// Sessions that could not be resumed since the start.
    pub not_resumed_total: u64,
    /// 99 of 100 resumes took at most so long: milliseconds.
    pub resume_p99_ms: f64,
}

/// An address, or the prefix that stands for one client, with its unfinished handshakes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SlowAddress {
    /// As text; IPv6 as its /64.
    pub address: Arc<str>,
    /// Handshakes that it has open.
    pub handshaking: u64,
}
