//! What holds an operation up, or what is to be known of it, beside its state.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Millis;

/// Something that is so, for the time being. An operation has at most one of each kind.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What.
    #[serde(rename = "type")]
    pub kind: ConditionKind,
    /// Why, in one word in CamelCase: `ReplacementNotReady`, `MinServing`, `Guard`.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// Since when: Unix milliseconds.
    #[schema(value_type = u64)]
    pub since: Millis,
}

/// Kinds of conditions.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize, ToSchema)]
pub enum ConditionKind {
    /// Nobody is moved until it is resumed: someone asked for it, or a guard did.
    Paused,
    /// The next wave cannot start; its reason says what has to change.
    Blocked,
    /// A node that is being drained does not answer.
    AgentUnreachable,
    /// Clients move slower than allowed: peers are busy.
    Slowed,
    /// There is less time left than the clients need at the allowed rate.
    DeadlineAtRisk,
    /// It is being taken back: nodes are told to serve again.
    Aborting,
    /// It goes on although there was no room for it: someone forced it.
    Forced,
}
