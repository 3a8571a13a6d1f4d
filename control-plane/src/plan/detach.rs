//! `replacement: detach`: when a node's drain begins, its pod is taken from its ReplicaSet, which starts another one at once.
//!
//! Wanted each tick until the pod is seen to be detached, so another leader goes on where the last one stopped. At the end
//! such a pod is evicted as any other; one that is not, since its operation was taken back, belongs to nobody.

use std::sync::Arc;

use super::advance::Sight;
use super::{Action, conditions, steps};
use crate::index::Fleet;
use crate::model::{ConditionKind, Desired, Operation, Replacement, StepPhase};

/// Notes which pods belong to no ReplicaSet, and asks for those to be detached whose drain has begun.
pub(super) fn detach(operation: &mut Operation, sight: Sight<'_>, actions: &mut Vec<Action>) {
    let is_asked = operation.spec.drain().is_some_and(|drain| drain.replacement == Replacement::Detach)
        && operation.desired != Desired::Abort;
    let mut refused = None;
    for step in operation.steps.iter_mut().filter(|step| !step.is_over()) {
        let node = steps::same_process(sight.fleet, step);
        let Some(pod) = node.and_then(|node| node.pod.as_ref()) else { continue };
        if pod.detached {
            step.detached_at.get_or_insert(sight.now);
            continue;
        }
        // An empty one is evicted at once, which has its ReplicaSet start another one just as well.
        let is_due = is_asked && step.phase == StepPhase::Draining && pod.deletion_deadline.is_none();
        let Some(revision) = pod.revision.as_ref().filter(|_| is_due) else { continue };
        if let Some((why, until)) = &pod.detaching_refused {
            let name = &step.node;
            refused =
                Some(format!("{name} keeps its ReplicaSet, which replaces it only when it is gone: {why}"));
            if sight.now < *until {
                continue;
            }
        }
        actions.push(Action::Detach {
            op: operation.id.clone(),
            node: Arc::clone(&step.node),
            uid: Arc::clone(&pod.uid),
            revision: revision.clone(),
        });
    }
    if let Some(message) = refused {
        conditions::set(operation, ConditionKind::Blocked, "DetachRefused", message, sight.now);
    }
}

/// What people have to know once it is over: pods that go on and that nobody will ever delete.
pub(super) fn orphans(operation: &Operation, fleet: &Fleet) -> Option<String> {
    let is_orphan = |node: &str| {
        let pod = fleet.node(node).and_then(|node| node.pod.as_ref());
        pod.is_some_and(|pod| pod.detached && pod.deletion_deadline.is_none())
    };
    let detached = operation.steps.iter().filter(|step| step.detached_at.is_some());
    let names: Vec<&str> = detached.map(|step| &*step.node).filter(|node| is_orphan(node)).collect();
    match names[..] {
        [] => None,
        [one] => Some(format!(
            "{one} belongs to no ReplicaSet any more: it goes on beside its replacement until somebody takes it away with \
             `kubectl delete pod {one}`"
        )),
        _ => Some(format!(
            "{} belong to no ReplicaSet any more: they go on beside their replacements until somebody takes them away with \
             `kubectl delete pod {}`",
            names.join(", "),
            names.join(" ")
        )),
    }
}
