//! The cluster in one document: over HTTP, as events and on the bus.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidegate_protocol::drain::{BackendHealth, DrainReport, OperationId};
use utoipa::ToSchema;

use super::{Condition, Counters, Kind, Millis, OperationState, Source};

/// Version of [`ClusterHealth`]: goes up when a key changes its meaning or goes away. New keys do not raise it.
pub const HEALTH_VERSION: u32 = 1;

/// The state of the cluster as one replica of the control plane sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterHealth {
    /// Version of this document: goes up when a key changes its meaning or goes away.
    pub version: u32,
    /// When it was put together: Unix milliseconds.
    #[schema(value_type = u64)]
    pub at: Millis,
    /// Whether clients are well served; if not, `complaints` says why.
    pub serves_well: bool,
    /// What is wrong.
    pub complaints: Vec<Complaint>,
    /// Who acts.
    pub leader: LeaderHealth,
    /// Connections on all nodes.
    pub connections: u64,
    /// Connections that ready nodes take.
    pub capacity: u64,
    /// Nodes that are ready.
    pub nodes_ready: u64,
    /// Every node, by name.
    pub nodes: Vec<NodeHealth>,
    /// The worst that a node says of the store.
    #[schema(value_type = String)]
    pub store: BackendHealth,
    /// The worst that a node says of the bus.
    #[schema(value_type = String)]
    pub bus: BackendHealth,
    /// The reconnect budget.
    pub budget: BudgetHealth,
    /// Operations that are not over, oldest first.
    pub operations: Vec<OperationHealth>,
}

/// Something that is wrong.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Complaint {
    /// What, in one word for programs: `no_ready_node`, `store_down`.
    pub code: String,
    /// What, for people.
    pub message: String,
    /// Clients feel it: `servesWell` is false for it.
    pub severe: bool,
}

/// Which replica acts.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaderHealth {
    /// Its name; `null` when there is none.
    pub name: Option<String>,
    /// Its fencing number.
    pub epoch: u64,
    /// The replica that answers is the leader.
    pub is_self: bool,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeHealth {
    /// Its name.
    #[schema(value_type = String)]
    pub name: Arc<str>,
    /// Its last report, in the words of the gateway's `GET /drain`; `null` if it never answered.
    #[schema(value_type = Option<Object>)]
    pub report: Option<DrainReport>,
    /// Age of that report in milliseconds.
    pub report_age_ms: Option<u64>,
    /// It answers.
    pub reachable: bool,
    /// The operation that has it.
    #[schema(value_type = Option<String>)]
    pub operation: Option<OperationId>,
    /// Its zone, where zones are known.
    pub zone: Option<String>,
    /// Its revision; without Kubernetes its version.
    pub revision: Option<String>,
    /// When it started: Unix milliseconds.
    #[schema(value_type = Option<u64>)]
    pub started_at: Option<Millis>,
}

/// The reconnect budget: how much of it there is and how much is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetHealth {
    /// Clients a second, as configured.
    pub max_rate: f64,
    /// Clients a second, as peers can take now.
    pub rate: f64,
    /// Clients a second that nodes were allowed in the last tick, together.
    pub allowed: f64,
    /// Clients that were sent away in the last second.
    pub used: f64,
    /// Sessions that may be away at any time.
    pub max_displaced: u64,
    /// Sessions that are away.
    pub displaced: u64,
    /// Peers are busy: `rate` is below `maxRate`.
    pub slowed: bool,
}

/// An operation in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationHealth {
    /// Its name.
    #[schema(value_type = String)]
    pub id: OperationId,
    /// Its kind.
    pub kind: Kind,
    /// Where it came from.
    pub source: Source,
    /// How far it is.
    #[serde(flatten)]
    pub state: OperationState,
    /// What holds it up.
    pub conditions: Vec<Condition>,
    /// The sums over its nodes.
    pub counters: Counters,
    /// Its revision.
    pub revision: u64,
}
