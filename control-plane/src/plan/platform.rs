//! Where the gateways run, and what operations may ask of it: what is not switched on is refused when it is asked for, and
//! not found out when the clients have moved.

use std::collections::BTreeSet;

use super::scale;
use crate::model::{Refused, Replacement, Spec};

/// Where the gateways run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Platform {
    /// They are processes that somebody starts and stops.
    #[default]
    Processes,
    /// They are pods.
    Kubernetes {
        /// What its operator switched on.
        on: BTreeSet<Switch>,
    },
}

/// Switches of `[kubernetes]` that an operation can need.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Switch {
    /// Drained pods are evicted.
    Evict,
    /// Pods are taken from their ReplicaSet.
    Detach,
    /// Pods are told which of them a scale-down takes first.
    DeletionCost,
    /// The Deployment is scaled.
    Scale,
}

impl Switch {
    /// Its key in `[kubernetes]`.
    const fn key(self) -> &'static str {
        match self {
            Self::Evict => "evict",
            Self::Detach => "detach",
            Self::DeletionCost => "deletion_cost",
            Self::Scale => "scale",
        }
    }

    /// What the chart calls it.
    const fn chart_value(self) -> &'static str {
        match self {
            Self::Evict => "controlPlane.rbac.evict",
            Self::Detach => "controlPlane.rbac.detach",
            Self::DeletionCost => "controlPlane.rbac.deletionCost",
            Self::Scale => "controlPlane.rbac.scale",
        }
    }
}

/// Whether what a spec asks for can be done here.
///
/// # Errors
///
/// 422 `needs_kubernetes`; 422 `switched_off`, with the `switch` in the details.
pub(super) fn check(platform: &Platform, spec: &Spec) -> Result<(), Refused> {
    let is_detached = spec.drain().is_some_and(|drain| drain.replacement == Replacement::Detach);
    match platform {
        Platform::Processes if is_detached => {
            let message = "`replacement: detach` takes a pod from its ReplicaSet, and there is no Kubernetes here: leave it out";
            Err(Refused::new("needs_kubernetes", 422, message))
        }
        // Who ends the processes that are too many is somebody.
        Platform::Processes => Ok(()),
        Platform::Kubernetes { on } if is_detached => {
            all_on(on, &[Switch::Detach, Switch::Evict], "`replacement: detach`")
        }
        Platform::Kubernetes { on } if scale::left(spec).is_some() => {
            all_on(on, &[Switch::Scale, Switch::DeletionCost], "`target: scaleDown`")
        }
        Platform::Kubernetes { .. } => Ok(()),
    }
}

fn all_on(on: &BTreeSet<Switch>, needed: &[Switch], for_what: &str) -> Result<(), Refused> {
    let Some(off) = needed.iter().find(|switch| !on.contains(switch)) else { return Ok(()) };
    let message = format!(
        "{for_what} needs `[kubernetes] {}`, which is off: switch it on, and give the right that goes with it (in the chart both \
         are {})",
        off.key(),
        off.chart_value()
    );
    Err(Refused::new("switched_off", 422, message).with("switch", format!("kubernetes.{}", off.key())))
}
