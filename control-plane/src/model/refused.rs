//! What comes of asking: a forecast, or a refusal that says what to do.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Period;

/// A request that is not granted: the fields of its `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{code}: {message}")]
pub struct Refused {
    /// Why, in one word for programs: `no_headroom`, `id_reused`, `conflict`.
    pub code: String,
    /// HTTP status.
    pub status: u16,
    /// Why, and what to do, for people.
    pub message: String,
    /// The numbers behind it.
    #[schema(value_type = Object)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub details: BTreeMap<String, Value>,
}

/// What an operation would do if it began now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// Its waves.
    pub waves: Vec<WaveForecast>,
    /// How long all of it takes at least: cordoning, moving and soaking; without the time new nodes need to start.
    pub eta: Period,
    /// Clients that would move.
    pub moves: u64,
    /// Most clients that come back a second.
    pub peak_reconnect_rate: f64,
    /// Room on the nodes that stay, by zone; `""` where zones are not known.
    pub headroom: BTreeMap<String, ZoneForecast>,
    /// Room on each node that stays.
    pub nodes: Vec<NodeForecast>,
    /// The guards as they read now.
    pub guards: Vec<GuardReading>,
    /// What may go wrong.
    pub warnings: Vec<String>,
}

/// Nodes that go at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaveForecast {
    /// Which one, from 1.
    pub wave: u32,
    /// Its nodes.
    #[schema(value_type = Vec<String>)]
    pub nodes: Vec<Arc<str>>,
    /// Clients that would move.
    pub moves: u64,
    /// How long it takes at least.
    pub eta: Period,
}

/// Room in a zone once the largest wave has moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZoneForecast {
    /// Nodes that stay.
    pub nodes: u64,
    /// Connections they take.
    pub capacity: u64,
    /// Connections they have.
    pub connections: u64,
}

/// Room on a node that stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeForecast {
    /// The node.
    #[schema(value_type = String)]
    pub node: Arc<str>,
    /// Connections it has.
    pub connections: u64,
    /// Connections it would have if those that move spread evenly over free room.
    pub expected: u64,
    /// Connections it takes.
    pub capacity: u64,
}

/// A guard and what it reads now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuardReading {
    /// Its key in `guards`.
    pub guard: String,
    /// What it reads.
    pub reading: String,
    /// Its bound.
    pub bound: String,
    /// Whether it holds.
    pub holds: bool,
}

impl Refused {
    /// One without details.
    pub fn new(code: &str, status: u16, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), status, message: message.into(), details: BTreeMap::new() }
    }

    /// With one more number.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }
}
