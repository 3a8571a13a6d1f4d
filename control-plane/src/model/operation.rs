//! An operation: what was asked for, by whom, and how far it is. This is the record that the store keeps.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidegate_protocol::drain::OperationId;
use utoipa::ToSchema;

use super::{Amount, Condition, ConditionKind, Millis, OperationState, Period, Spec, Step};

/// An operation and all that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its name, chosen by who asked for it.
    #[schema(value_type = String)]
    pub id: OperationId,
    /// Goes up by one with each change: what `If-Match` compares.
    pub revision: u64,
    /// What was asked for.
    pub spec: Spec,
    /// Where it came from.
    pub source: Source,
    /// Who asked for it.
    pub requested_by: String,
    /// What people want of it now; the next tick of the leader acts on it.
    pub desired: Desired,
    /// How far it is.
    #[serde(flatten)]
    pub state: OperationState,
    /// Why it is where it is, for people; empty while all goes well.
    pub message: String,
    /// What holds it up.
    pub conditions: Vec<Condition>,
    /// Its nodes, in the order in which they go.
    pub steps: Vec<Step>,
    /// The sums over its nodes.
    pub counters: Counters,
    /// The trace that all parts of it belong to: W3C `traceparent`.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Arc<str>>,
    /// Epoch of the leader that changed it last.
    pub epoch: u64,
    /// When it was asked for: Unix milliseconds.
    #[schema(value_type = u64)]
    pub created_at: Millis,
    /// When it began to run: Unix milliseconds.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Millis>,
    /// When it has to be over: Unix milliseconds.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Millis>,
    /// Until when it waits between two waves: Unix milliseconds.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soak_until: Option<Millis>,
    /// When it was over: Unix milliseconds.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Millis>,
}

/// Where an operation came from.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Someone asked this program.
    Api,
    /// The program itself: a rebalance after nodes came.
    Auto,
    /// A pod was deleted by hand.
    Kubectl,
    /// An autoscaler took a pod away.
    Hpa,
    /// A Deployment replaces its pods.
    Rollout,
    /// A machine is being emptied.
    Node,
    /// A process was told to end, and more is not known.
    Signal,
}

impl Source {
    /// It was not asked for here: the process ends by itself at its own deadline, and cannot be told to stay.
    pub const fn is_foreign(self) -> bool {
        match self {
            Self::Api | Self::Auto => false,
            Self::Kubectl | Self::Hpa | Self::Rollout | Self::Node | Self::Signal => true,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Api => "api",
            Self::Auto => "auto",
            Self::Kubectl => "kubectl",
            Self::Hpa => "hpa",
            Self::Rollout => "rollout",
            Self::Node => "node",
            Self::Signal => "signal",
        })
    }
}

/// What people want of an operation.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Desired {
    /// That it goes on.
    #[default]
    Run,
    /// That nobody is moved until it is resumed.
    Pause,
    /// That it is taken back.
    Abort,
}

/// What someone can tell an operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// Move nobody until resumed.
    Pause,
    /// Go on.
    Resume,
    /// Take it back.
    Abort,
    /// Go on although there is no room for it, and evict nodes that do not answer.
    Force,
    /// Begin again what failed or was aborted, with the nodes that are left.
    Retry,
}

/// What can be changed while it runs. A key that is not there changes nothing; `null` goes back to the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Patch {
    /// Most clients that one node sends away a second.
    #[serde(with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub rate: Option<Option<f64>>,
    /// Most clients that the whole operation sends away a second.
    #[serde(with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub max_rate: Option<Option<f64>>,
    /// Most sessions that are sent away and not yet back, at any time.
    #[serde(with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub max_displaced: Option<Option<u64>>,
    /// How long the operation may take, from its start.
    #[serde(with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Period>)]
    pub deadline: Option<Option<Period>>,
    /// How long one node may take to move its clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Period>,
    /// Nodes that are drained at a time; for waves that have not started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<Amount>,
    /// Pauses or resumes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

/// Sums over the nodes of an operation.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Nodes that are meant.
    pub nodes: u64,
    /// Nodes whose part is over.
    pub nodes_over: u64,
    /// Connections at the start of each node's turn.
    pub total: u64,
    /// Connections that are still to be sent away by nodes whose turn has come.
    pub remaining: u64,
    /// Clients told to leave, or closed.
    pub moved: u64,
    /// Of these: left by themselves when told.
    pub left: u64,
    /// Of these: closed in pace.
    pub closed: u64,
    /// Of these: closed in a hurry, or lost with their node.
    pub forced: u64,
    /// Sent away and not yet seen elsewhere.
    pub displaced: u64,
    /// Seen elsewhere.
    pub resumed: u64,
    /// Not seen elsewhere in time.
    pub lost: u64,
    /// Sent away by this operation for the second time: one reconnect a client means that this is 0.
    pub repeats: u64,
}

impl Operation {
    /// One that was just asked for.
    pub fn new(id: OperationId, spec: Spec, source: Source, requested_by: String, now: Millis) -> Self {
        Self {
            id,
            revision: 1,
            spec,
            source,
            requested_by,
            desired: Desired::Run,
            state: OperationState::Pending,
            message: String::new(),
            conditions: Vec::new(),
            steps: Vec::new(),
            counters: Counters::default(),
            trace: None,
            epoch: 0,
            created_at: now,
            started_at: None,
            deadline_at: None,
            soak_until: None,
            finished_at: None,
        }
    }

    /// The condition of a kind, if it is so.
    pub fn condition(&self, kind: ConditionKind) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// The step of a node.
    pub fn step(&self, node: &str) -> Option<&Step> {
        self.steps.iter().find(|step| &*step.node == node)
    }

    /// Sums its steps up anew.
    pub fn count(&mut self) {
        let mut sums = Counters::default();
        for step in &self.steps {
            sums.nodes += 1;
            sums.nodes_over += u64::from(step.is_over());
            sums.total += step.total;
            sums.remaining += if step.is_active() { step.remaining } else { 0 };
            sums.moved += step.moved;
            sums.left += step.left;
            sums.closed += step.closed;
            sums.forced += step.forced;
            sums.displaced += step.displaced;
            sums.resumed += step.resumed;
            sums.lost += step.lost;
            sums.repeats += step.repeats;
        }
        self.counters = sums;
    }
}

/// Tells a key that is `null` from one that is not there.
mod nullable {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::option_option, reason = "outer: is the key there; inner: is it null")]
    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    #[expect(clippy::option_option, reason = "outer: is the key there; inner: is it null")]
    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }
}
