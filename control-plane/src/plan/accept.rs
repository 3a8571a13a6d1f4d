//! Whether an operation may be taken down: its nodes are there, nobody else has them, and there is room.

use std::sync::Arc;

use tidegate_protocol::drain::OperationId;

use super::room::{Room, steps_of};
use super::{Operations, PlanConfig, platform, scale, targets};
use crate::index::Fleet;
use crate::model::{Millis, Mode, Operation, OperationState, Refused, Replacement, Source, Spec};

/// Takes down what `who` asked for.
///
/// # Errors
///
/// 422 `needs_kubernetes`, `switched_off`, `not_detachable`, `too_few_targets`, `unknown_node`, `no_headroom`,
/// `min_serving`; 409 `conflict`. The last two of 422 are not looked at when it is forced, nor for a rollout that steers: that waits until there is room.
pub fn accept(
    fleet: &Fleet,
    operations: &Operations,
    config: &PlanConfig,
    id: OperationId,
    spec: Spec,
    who: &str,
    now: Millis,
) -> Result<Operation, Refused> {
    platform::check(&config.platform, &spec)?;
    check(fleet, operations, Some(&id), &spec)?;
    Ok(Operation::new(id, spec, Source::Api, who.to_owned(), now))
}

/// Whether an operation is what a repeated request asks for; that one forces and the other does not makes no difference.
pub fn is_same(operation: &Operation, spec: &Spec) -> bool {
    let unforced = |spec: &Spec| {
        let mut spec = spec.clone();
        spec.common_mut().force = false;
        spec
    };
    unforced(&operation.spec) == unforced(spec)
}

pub(super) fn check(
    fleet: &Fleet,
    operations: &Operations,
    own: Option<&OperationId>,
    spec: &Spec,
) -> Result<(), Refused> {
    let unknown: Vec<_> = targets::unknown(fleet, spec.targets()).into_iter().map(Arc::clone).collect();
    if let Some(name) = unknown.first() {
        let message = format!("no node is called {name}; GET /v1/nodes lists them");
        return Err(Refused::new("unknown_node", 422, message).with("nodes", serde_json::json!(unknown)));
    }
    if let Some(left) = scale::left(spec) {
        let (many, meant) = (scale::too_many(fleet, left), targets::resolve(fleet, spec).len() as u64);
        if meant < many {
            let message = format!(
                "{many} nodes are too many, and `targets` means {meant} of those that could go: name more"
            );
            return Err(Refused::new("too_few_targets", 422, message)
                .with("tooMany", many)
                .with("meant", meant));
        }
    }
    let detaches = spec.drain().is_some_and(|drain| drain.replacement == Replacement::Detach);
    for node in targets::resolve(fleet, spec) {
        if detaches && node.pod.as_ref().is_none_or(|pod| pod.revision.is_none()) {
            let message = format!(
                "{} has no `pod-template-hash`: no Deployment made it that would replace it",
                node.name
            );
            return Err(Refused::new("not_detachable", 422, message).with("node", &*node.name));
        }
        if let Some(owner) = owner(fleet, operations, &node.name).filter(|owner| Some(&owner.id) != own) {
            let message =
                format!("operation {} has {}: wait until it is over, or abort it", owner.id, node.name);
            let refused = Refused::new("conflict", 409, message);
            return Err(refused.with("operation", owner.id.as_str()).with("node", &*node.name));
        }
    }
    let steers = matches!(spec, Spec::Rollout(rollout) if rollout.mode == Mode::Steer);
    match spec.drain() {
        Some(drain) if !spec.common().force && !steers => {
            Room::of(fleet, spec, drain, &steps_of(fleet, spec)).refusal().map_or(Ok(()), Err)
        }
        Some(_) | None => Ok(()),
    }
}

/// The operation that has a node.
pub(super) fn owner<'o>(fleet: &Fleet, operations: &'o Operations, node: &str) -> Option<&'o Operation> {
    operations.values().find(|operation| match operation.state {
        OperationState::Succeeded | OperationState::Failed | OperationState::Aborted => false,
        // One that was not looked at yet has no steps; it has what it asked for.
        OperationState::Pending | OperationState::Planning => {
            targets::resolve(fleet, &operation.spec).iter().any(|meant| *meant.name == *node)
        }
        OperationState::Running(_) => operation.step(node).is_some_and(|step| !step.is_over()),
    })
}
