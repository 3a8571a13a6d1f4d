//! What the rest of the cluster has to look like for clients to be moved onto it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Amount, Period};

/// Bounds on what the nodes that stay report. `null` switches one off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Guards {
    /// 99th percentile of handshakes, on the slowest peer.
    pub handshake_p99: Option<Period>,
    /// Share of handshakes that fail, 0 to 1, where peers report it.
    pub handshake_error_ratio: Option<f64>,
    /// Share of sessions that have to be found elsewhere again, 0 to 1, of those the operation moved.
    pub resume_ratio: Option<f64>,
    /// 99th percentile of the time from losing a connection to having the session back.
    pub resume_p99: Option<Period>,
    /// How far the bus may lag. Peers report a word: `slow` and `down` break any bound.
    pub bus_lag: Option<Period>,
    /// How slow the store may be. Peers report a word: `slow` and `down` break any bound.
    pub store_p99: Option<Period>,
    /// Nodes that have to be ready, of those that are not drained.
    pub ready_pods: Option<Amount>,
}

/// What happens when a guard is broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum GuardAction {
    /// Clients move at a tenth of the rate until it holds again.
    Slow,
    /// Nobody moves until it has held for 10 s.
    Pause,
    /// The operation is aborted.
    Abort,
}

impl Guards {
    /// None at all.
    pub const fn none() -> Self {
        Self {
            handshake_p99: None,
            handshake_error_ratio: None,
            resume_ratio: None,
            resume_p99: None,
            bus_lag: None,
            store_p99: None,
            ready_pods: None,
        }
    }
}
