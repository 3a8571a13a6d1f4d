//! What an operation is asked for: the parameters of a drain, a rollout and a rebalance, each with its default.
//!
//! A body is an object with `kind` and any of that kind's keys. A key that the kind does not have is refused with the
//! nearest one named: a misspelt `maxRate` must not mean "as fast as you can".

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Amount, GuardAction, Guards, Period};

mod check;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Spec {
    /// Empty some nodes.
    Drain(DrainSpec),
    /// Replace nodes by newer ones, in waves.
    Rollout(RolloutSpec),
    /// Move sessions from nodes with many to nodes with few.
    Rebalance(RebalanceSpec),
}

/// Kinds of operations.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// See [`Spec::Drain`].
    Drain,
    /// See [`Spec::Rollout`].
    Rollout,
    /// See [`Spec::Rebalance`].
    Rebalance,
}

/// Parameters of every kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Common {
    /// Most clients that one node sends away a second. Default: as the budget allows.
    pub rate: Option<f64>,
    /// Most clients that the whole operation sends away a second; the cluster's own budget holds too.
    pub max_rate: Option<f64>,
    /// Most sessions that are sent away and not yet back, at any time; the cluster's own budget holds too.
    pub max_displaced: Option<u64>,
    /// How long load balancers go on sending clients after a node's readiness is gone. Default: the gateway's own.
    pub lb_propagation: Option<Period>,
    /// How long a client that was told to leave may take before it is closed. Default: the gateway's own.
    pub leave_grace: Option<Period>,
    /// How long sessions that were sent away are awaited elsewhere at most. Default: the gateway's own.
    pub settle: Option<Period>,
    /// How long the operation may take from its start. Default: as long as it needs.
    pub deadline: Option<Period>,
    /// What happens when `deadline` comes. Default: `burst`.
    pub on_deadline: OnDeadline,
    /// What gateways do when the orders stop coming. Default: `continue`.
    pub on_coordinator_loss: OnLoss,
    /// How long an order holds without being repeated. Default: 10 s.
    pub order_ttl: Period,
    /// How long a drained node may be silent before the operation waits for it. Default: 60 s.
    pub agent_timeout: Period,
    /// What the nodes that stay have to look like.
    pub guards: Guards,
    /// What happens when they do not. Default: `pause`.
    pub guard_action: GuardAction,
    /// Start although there is no room for it. Default: no.
    pub force: bool,
    /// Why, for the record.
    pub reason: Option<String>,
}

/// Parameters of a drain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainSpec {
    /// Parameters of every kind.
    #[serde(flatten)]
    pub common: Common,
    /// Which nodes. A rollout without any means all nodes that are there when it starts.
    pub targets: Targets,
    /// Nodes that are drained at a time. Default: 1.
    pub max_parallel: Amount,
    /// Zones in which nodes are drained at a time. Default: 1.
    pub max_zones_in_parallel: u32,
    /// How long one node may take to move its clients. Default: 8 min.
    pub window: Period,
    /// With how many connections left a node counts as empty. Default: 0.
    pub exit_at: u64,
    /// Which nodes go first. Default: those with the fewest connections.
    pub order: Order,
    /// Nodes that have to stay ready throughout; 0 allows to drain all of them. Default: 1.
    pub min_serving: Amount,
    /// Share of their capacity that the remaining nodes have to have free when all has moved. Default: 20 %.
    pub headroom: Amount,
    /// What takes the place of a node that goes. Default: `terminate`.
    pub replacement: Replacement,
    /// What becomes of an empty node. Default: `hold` for a drain, `evict` for a rollout.
    pub then: Then,
    /// How long to wait between two waves. Default: none.
    pub soak: Period,
}

/// Parameters of a rollout: those of a drain, and how the new nodes come in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// Parameters of a drain.
    #[serde(flatten)]
    pub drain: DrainSpec,
    /// In which way. Default: `rolling`.
    pub mode: Mode,
    /// What it comes to. Default: `revision` where one is named, else `restart`.
    pub target: Target,
    /// The revision to come to, for `target: revision`: nodes that have it already are no targets.
    pub revision: Option<String>,
    /// Nodes that are left, for `target: scaleDown`.
    pub replicas: Option<u64>,
    /// `steer` starts when ready new nodes have at least this share of the old nodes' capacity. Default: 50 %.
    pub steer_at: Amount,
    /// Nodes in a first wave of its own; 0 for none. Default: 0.
    pub canary: u32,
}

/// Parameters of a rebalance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceSpec {
    /// Parameters of every kind.
    #[serde(flatten)]
    pub common: Common,
    /// Nodes that may give sessions away. Default: all.
    pub targets: Targets,
    /// A node gives only if it has more sessions than the average by this many … Default: 10.
    pub abs_threshold: u64,
    /// … and by this factor. Default: 1.05.
    pub rel_threshold: f64,
    /// Most sessions that are moved. Default: as many as it takes to reach the average.
    pub max_moves: Option<u64>,
}

/// Which nodes are meant: those that satisfy every part that is given.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Targets {
    /// These, by name. On Kubernetes a node's name is its pod's.
    #[schema(value_type = Vec<String>)]
    #[serde(alias = "nodes", skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<Arc<str>>,
    /// Pods with these labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub selector: BTreeMap<String, String>,
    /// Pods on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Those in this zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Those whose revision (without Kubernetes: whose version) is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_not: Option<String>,
    /// All of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// What happens when time is up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDeadline {
    /// The clients that are left are sent away at once; the budget no longer holds.
    Burst,
    /// It pauses.
    Pause,
    /// It is aborted.
    Abort,
}

/// What gateways do when the orders stop coming.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnLoss {
    /// They finish their drain, each with its share of the rate.
    Continue,
    /// They send nobody away any more.
    Pause,
    /// They serve again.
    ResumeServing,
}

/// Which nodes go first.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// Those with the fewest connections.
    FewestConnections,
    /// Those that run longest.
    OldestRevision,
    /// One of each zone, in turn; the fewest connections first.
    ZoneRoundRobin,
}

/// What takes the place of a node that goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Replacement {
    /// What its owner starts once it is gone.
    Terminate,
    /// Nodes that are ready before the first wave starts.
    Surge,
    /// As `terminate`, but its ReplicaSet is made to start it when the drain begins: the pod is taken from it. Only on
    /// Kubernetes, with `then: evict`, and if `[kubernetes] detach` is on.
    Detach,
}

/// What becomes of an empty node.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    /// It is evicted; without Kubernetes it is held until someone replaces it.
    Evict,
    /// It stays empty, and the operation is done.
    Hold,
    /// It serves again.
    Uncordon,
}

/// What a rollout comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// Every node is replaced.
    Restart,
    /// Every node that has not the wanted `revision` is replaced.
    Revision,
    /// There are `replicas` nodes, and nothing replaces the others: those that are not ready go first, then by `order`. They
    /// stop taking in clients together. On Kubernetes the Deployment is scaled once all of them are empty, if
    /// `[kubernetes] scale` is on.
    ScaleDown,
}

/// How a rollout brings clients to new nodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Old nodes go in waves; a client may land on an old one again, and move again.
    Rolling,
    /// Once there are enough new nodes, all old ones stop taking in clients: each client moves once.
    Steer,
}

/// A body that is no [`Spec`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// It is no object.
    #[error("the body has to be an object such as {{\"kind\": \"rollout\"}}")]
    NotAnObject,
    /// It has no `kind`, or an unknown one.
    #[error("`kind` has to be \"drain\", \"rollout\" or \"rebalance\"")]
    Kind,
    /// It has a key that its kind does not have.
    #[error("unknown key `{key}`{}", nearest.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    UnknownKey {
        /// The key.
        key: String,
        /// The nearest one that there is.
        nearest: Option<String>,
    },
    /// A value does not fit its key.
    #[error("`{key}`: {message}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong with it.
        message: String,
    },
}

impl Spec {
    /// Reads a body: keys that are not there have their defaults.
    pub fn parse(body: &Value) -> Result<Self, SpecError> {
        let object = body.as_object().ok_or(SpecError::NotAnObject)?;
        let spec = match object.get("kind").and_then(Value::as_str) {
            Some("drain") => read(object).map(Self::Drain),
            Some("rollout") => read(object).map(|rollout| Self::Rollout(with_target(rollout, object))),
            Some("rebalance") => read(object).map(Self::Rebalance),
            _ => Err(SpecError::Kind),
        }?;
        spec.check()?;
        Ok(spec)
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Drain(_) => Kind::Drain,
            Self::Rollout(_) => Kind::Rollout,
            Self::Rebalance(_) => Kind::Rebalance,
        }
    }

    /// The parameters that every kind has.
    pub const fn common(&self) -> &Common {
        match self {
            Self::Drain(drain) => &drain.common,
            Self::Rollout(rollout) => &rollout.drain.common,
            Self::Rebalance(rebalance) => &rebalance.common,
        }
    }

    /// The parameters that every kind has, to change.
    pub const fn common_mut(&mut self) -> &mut Common {
        match self {
            Self::Drain(drain) => &mut drain.common,
            Self::Rollout(rollout) => &mut rollout.drain.common,
            Self::Rebalance(rebalance) => &mut rebalance.common,
        }
    }

    /// The parameters of a drain, where nodes are emptied.
    pub const fn drain(&self) -> Option<&DrainSpec> {
        match self {
            Self::Drain(drain) => Some(drain),
            Self::Rollout(rollout) => Some(&rollout.drain),
            Self::Rebalance(_) => None,
        }
    }

    /// Which nodes are meant.
    pub const fn targets(&self) -> &Targets {
        match self {
            Self::Drain(drain) => &drain.targets,
            Self::Rollout(rollout) => &rollout.drain.targets,
            Self::Rebalance(rebalance) => &rebalance.targets,
        }
    }
}

impl Targets {
    /// These nodes.
    pub fn pods<N: Into<Arc<str>>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { pods: names.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let body = Value::deserialize(deserializer)?;
        Self::parse(&body).map_err(serde::de::Error::custom)
    }
}

/// Who names a revision and no target means that one.
fn with_target(mut rollout: RolloutSpec, body: &Map<String, Value>) -> RolloutSpec {
    if rollout.revision.is_some() && !body.contains_key("target") {
        rollout.target = Target::Revision;
    }
    rollout
}

/// Lays the body over the defaults, key by key: so each fault is told with its key.
fn read<T: Default + Serialize + DeserializeOwned>(body: &Map<String, Value>) -> Result<T, SpecError> {
    let mut whole = match serde_json::to_value(T::default()) {
        Ok(Value::Object(defaults)) => defaults,
        _ => unreachable!("parameters are written as an object"),
    };
    for (key, value) in body.iter().filter(|(key, _)| *key != "kind") {
        let Some(slot) = whole.get_mut(key) else {
            return Err(SpecError::UnknownKey { key: key.clone(), nearest: nearest(key, &whole) });
        };
        // Guards have defaults of their own: who sets one of them does not switch off the others.
        match (slot, value) {
            (Value::Object(slot), Value::Object(value)) if key == "guards" => {
                slot.extend(value.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            (slot, value) => *slot = value.clone(),
        }
        serde_json::from_value::<T>(Value::Object(whole.clone()))
            .map_err(|error| misfit(key, value, &error))?;
    }
    serde_json::from_value(Value::Object(whole))
        .map_err(|error| SpecError::Value { key: "kind".to_owned(), message: error.to_string() })
}

fn nearest(key: &str, known: &Map<String, Value>) -> Option<String> {
    let distance = |known: &str| {
        strsim::damerau_levenshtein(&key.to_lowercase().replace('_', ""), &known.to_lowercase())
    };
    known.keys().min_by_key(|known| distance(known)).filter(|known| distance(known) <= 3).cloned()
}

/// What is wrong with a value; for one that other tools have and people try here, what there is in its place.
fn misfit(key: &str, value: &Value, error: &serde_json::Error) -> SpecError {
    let message = match (key, value.as_str()) {
        ("mode", Some("bluegreen")) => BLUEGREEN.to_owned(),
        _ => error.to_string(),
    };
    SpecError::Value { key: key.to_owned(), message }
}

const BLUEGREEN: &str = "there is no `bluegreen`: `rolling` replaces nodes in waves, and `steer` waits for new nodes beside \
                         the old ones and moves each client once";
