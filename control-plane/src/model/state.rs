//! Where an operation is between being asked for and being over.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An operation's state. That it is paused or blocked is a condition beside it, so that it goes on where it was.
///
/// Written as `"state": "Running", "phase": "Draining"`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", content = "phase")]
pub enum OperationState {
    /// Taken down; no leader has looked at it.
    Pending,
    /// Its nodes are known; whether there is room for it is looked at.
    Planning,
    /// It is under way.
    Running(Running),
    /// It reached what was asked for.
    Succeeded,
    /// It is over and did not reach it; its message says why.
    Failed,
    /// It was told to stop, and every node it had taken out serves again or is gone.
    Aborted,
}

/// What a running operation is at: the earliest of these that one of its nodes is at.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize, ToSchema)]
pub enum Running {
    /// Waits for room: new nodes have to be ready before old ones may go.
    Surging,
    /// Nodes stop taking in clients.
    Cordoning,
    /// Clients move.
    Draining,
    /// Empty nodes go and are replaced.
    Replacing,
    /// Time passes between two waves, so that harm can show.
    Soaking,
}

impl OperationState {
    /// Nothing changes it any more.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Aborted => true,
            Self::Pending | Self::Planning | Self::Running(_) => false,
        }
    }

    /// The state's name, without what is being done in it: a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Planning => "Planning",
            Self::Running(_) => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Aborted => "Aborted",
        }
    }
}

impl fmt::Display for OperationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(running) => write!(f, "Running ({running})"),
            other => f.write_str(other.name()),
        }
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Surging => "Surging",
            Self::Cordoning => "Cordoning",
            Self::Draining => "Draining",
            Self::Replacing => "Replacing",
            Self::Soaking => "Soaking",
        })
    }
}
