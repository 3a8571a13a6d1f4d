//! One node's part of an operation.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Millis;

/// One node's part of an operation: how far it is and what became of its clients.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The node.
    #[schema(value_type = String)]
    pub node: Arc<str>,
    /// The wave it goes in, from 1.
    pub wave: u32,
    /// How far it is.
    pub phase: StepPhase,
    /// Its zone, where zones are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// When the process that is meant started (Unix milliseconds): one of the same name that started later replaced it.
    #[schema(value_type = u64)]
    pub node_started_at: Millis,
    /// Connections it had when its turn came.
    pub total: u64,
    /// Connections that are still to be sent away.
    pub remaining: u64,
    /// Clients told to leave, or closed.
    pub moved: u64,
    /// Of these: left by themselves when told.
    pub left: u64,
    /// Of these: closed in pace.
    pub closed: u64,
    /// Of these: closed in a hurry because the deadline came, or lost with their node.
    pub forced: u64,
    /// Sent away and not yet seen elsewhere.
    pub displaced: u64,
    /// Seen elsewhere.
    pub resumed: u64,
    /// Not seen elsewhere in time.
    pub lost: u64,
    /// Sent away by this operation for the second time.
    pub repeats: u64,
    /// Sessions it is to give away, in a rebalance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moves: Option<u64>,
    /// When its turn came: Unix milliseconds.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Millis>,
    /// When its clients have to be gone: Unix milliseconds.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Millis>,
    /// When its pod was first seen to belong to no ReplicaSet: Unix milliseconds.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detached_at: Option<Millis>,
    /// When it was empty: Unix milliseconds.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drained_at: Option<Millis>,
    /// When its part was over: Unix milliseconds.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Millis>,
}

/// How far a node is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize, ToSchema)]
pub enum StepPhase {
    /// Its turn has not come.
    Waiting,
    /// It takes in no clients and sends nobody away yet.
    Cordoned,
    /// Its clients are moving.
    Draining,
    /// It is empty.
    Drained,
    /// It is to be gone, or replaced by one that is ready.
    Replacing,
    /// Its part is over as asked for.
    Done,
    /// It was told to serve again, and does not yet.
    Reopening,
    /// It serves again because the operation was aborted.
    Reopened,
    /// It was gone before its clients had moved.
    Lost,
}

impl Step {
    /// A node whose turn has not come.
    pub fn waiting(node: Arc<str>, wave: u32, node_started_at: Millis) -> Self {
        Self {
            node,
            wave,
            phase: StepPhase::Waiting,
            zone: None,
            node_started_at,
            total: 0,
            remaining: 0,
            moved: 0,
            left: 0,
            closed: 0,
            forced: 0,
            displaced: 0,
            resumed: 0,
            lost: 0,
            repeats: 0,
            moves: None,
            started_at: None,
            deadline_at: None,
            detached_at: None,
            drained_at: None,
            finished_at: None,
        }
    }

    /// Nothing more happens to it.
    pub const fn is_over(&self) -> bool {
        match self.phase {
            StepPhase::Done | StepPhase::Reopened | StepPhase::Lost => true,
            StepPhase::Waiting
            | StepPhase::Cordoned
            | StepPhase::Draining
            | StepPhase::Drained
            | StepPhase::Replacing
            | StepPhase::Reopening => false,
        }
    }

    /// Its pod belonged to nobody before its turn came: nothing takes its place when it goes.
    pub fn was_orphan(&self) -> bool {
        let before = |at: Millis| self.started_at.is_none_or(|started| at <= started);
        self.detached_at.is_some_and(before)
    }

    /// Its node was emptied, or lost, and that was all of its part.
    pub fn has_ended(&self) -> bool {
        self.is_over() && (self.drained_at.is_some() || self.phase == StepPhase::Lost)
    }

    /// Its turn has come and it is not over.
    pub fn is_active(&self) -> bool {
        !self.is_over() && self.phase != StepPhase::Waiting
    }
}
