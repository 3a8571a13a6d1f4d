//! Operations in words: what is asked for, how far it is, and what the cluster is like.
//!
//! Place in the path: what comes in over HTTP is parsed into these types, the store keeps them, `plan` moves them on.
//! Documents have keys in camelCase as those of Kubernetes; what gateways report inside them keeps its own words.

mod amount;
mod condition;
mod defaults;
mod guard;
mod health;
mod operation;
mod period;
mod refused;
mod spec;
mod state;
mod step;
#[cfg(test)]
mod tests;

pub use self::amount::Amount;
pub use self::condition::{Condition, ConditionKind};
pub use self::guard::{GuardAction, Guards};
pub use self::health::{
    BudgetHealth, ClusterHealth, Complaint, HEALTH_VERSION, LeaderHealth, NodeHealth, OperationHealth,
};
pub use self::operation::{Command, Counters, Desired, Operation, Patch, Source};
pub use self::period::Period;
pub use self::refused::{Forecast, GuardReading, NodeForecast, Refused, WaveForecast, ZoneForecast};
pub use self::spec::{
    Common, DrainSpec, Kind, Mode, OnDeadline, OnLoss, Order, RebalanceSpec, Replacement, RolloutSpec, Spec,
    SpecError, Target, Targets, Then,
};
pub use self::state::{OperationState, Running};
pub use self::step::{Step, StepPhase};
pub use tidegate_protocol::time::Millis;
