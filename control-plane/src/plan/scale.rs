//! `target: scaleDown`: which nodes are too many, and how it comes about that exactly these go.
//!
//! They are taken out of service together, emptied in waves, and held. Only when all of them are empty and carry the lowest
//! deletion cost is the Deployment scaled: its ReplicaSet takes those that are not ready first, and then the cheapest.
//! Without Kubernetes somebody ends their processes.

use std::sync::Arc;

use super::advance::Sight;
use super::deletion_cost::COST_OF_DRAINED;
use super::{Action, conditions, steps, targets};
use crate::index::{Deployment, Fleet, NodeView};
use crate::model::{ConditionKind, Desired, Operation, Order, Spec, Step, StepPhase, Target};

/// Why an operation has to wait: a reason in one word, and a sentence.
type Obstacle = (&'static str, String);

/// How many nodes an operation leaves, if it is one that scales down.
pub(super) fn left(spec: &Spec) -> Option<u64> {
    match spec {
        Spec::Rollout(rollout) if rollout.target == Target::ScaleDown => rollout.replicas,
        Spec::Rollout(_) | Spec::Drain(_) | Spec::Rebalance(_) => None,
    }
}

/// How many nodes are too many.
pub(super) fn too_many(fleet: &Fleet, left: u64) -> u64 {
    (there(fleet).count() as u64).saturating_sub(left)
}

/// Which of the nodes that are meant go: those that are not ready first, since a ReplicaSet would take them first too.
pub(super) fn surplus<'f>(
    fleet: &'f Fleet,
    meant: Vec<&'f NodeView>,
    order: Order,
    left: u64,
) -> Vec<&'f NodeView> {
    let count = usize::try_from(too_many(fleet, left)).unwrap_or(usize::MAX);
    let mut candidates = meant;
    let has_pods = has_pods(fleet);
    candidates.retain(|node| counts(node, has_pods));
    let mut candidates = targets::ordered(candidates, order);
    candidates.sort_by_key(|node| node.is_ready());
    candidates.truncate(count);
    candidates
}

/// Brings empty nodes to their end: has the Deployment scaled once all are empty, and waits until they are gone.
pub(super) fn replace(operation: &mut Operation, left: u64, sight: Sight<'_>, actions: &mut Vec<Action>) {
    let (forced, timeout) = (operation.spec.common().force, operation.spec.common().agent_timeout.duration());
    let is_given_up = |node: &NodeView| {
        forced && node.unreachable_since.is_some_and(|since| sight.now.since(since) >= timeout)
    };
    for step in operation.steps.iter_mut().filter(|step| !step.is_over()) {
        let node = steps::same_process(sight.fleet, step);
        step.phase = match (step.phase, node) {
            (StepPhase::Drained, _) => StepPhase::Replacing,
            (StepPhase::Replacing, None) => StepPhase::Done,
            (StepPhase::Waiting, Some(node)) if never_came_up(node) => {
                (step.started_at, step.drained_at) = (Some(sight.now), Some(sight.now));
                StepPhase::Replacing
            }
            (StepPhase::Waiting | StepPhase::Cordoned | StepPhase::Draining, Some(node))
                if is_given_up(node) =>
            {
                StepPhase::Replacing
            }
            (phase, _) => phase,
        };
    }
    let has_given_up = |step: &Step| step.phase == StepPhase::Reopened;
    if operation.desired == Desired::Run
        && operation.steps.iter().any(has_given_up)
        && operation.steps.iter().any(Step::is_active)
    {
        // Fewer than were to go are empty, and the others serve again: so do these.
        operation.desired = Desired::Abort;
        operation.message = "its deadline came before all its nodes were empty;".to_owned();
    }
    if operation.desired == Desired::Abort {
        return;
    }
    let answer = if has_pods(sight.fleet) { scale(operation, left, sight) } else { held(operation) };
    match answer {
        Ok(scale) => actions.extend(scale),
        Err((reason, message)) => {
            conditions::set(operation, ConditionKind::Blocked, reason, message, sight.now)
        }
    }
}

/// Without Kubernetes: once all are empty, somebody has to end them.
fn held(operation: &Operation) -> Result<Option<Action>, Obstacle> {
    let empty = going(operation).filter(|step| step.phase == StepPhase::Replacing);
    let names: Vec<&str> = empty.map(|step| &*step.node).collect();
    if names.is_empty() || names.len() < going(operation).count() {
        return Ok(None);
    }
    Err(("WaitingForEnd", format!("{}: empty; end these processes", names.join(", "))))
}

/// On Kubernetes: what is to be done to the Deployment now, if anything, and what speaks against it.
fn scale(operation: &Operation, left: u64, sight: Sight<'_>) -> Result<Option<Action>, Obstacle> {
    let fleet = sight.fleet;
    let going: Vec<(&Step, &NodeView)> = going(operation)
        .filter_map(|step| Some((step, steps::same_process(fleet, step)?)))
        .filter(|(_, node)| counts(node, true))
        .collect();
    if going.is_empty() {
        return Ok(None);
    }
    let Some(deployment) = fleet.deployment() else {
        let message = "these pods belong to no Deployment, or to several: there is nothing to scale; drain them, and delete them";
        return Err(("NoDeployment", message.to_owned()));
    };
    check_scale(deployment, left, &going, fleet)?;
    let is_empty = |(step, _): &(&Step, &NodeView)| step.phase == StepPhase::Replacing;
    let is_paused = operation.condition(ConditionKind::Paused).is_some();
    if deployment.wanted <= left || is_paused || !going.iter().all(is_empty) {
        return Ok(None);
    }
    if !operation.spec.common().force {
        check_others(operation, fleet)?;
    }
    if let Some((_, node)) = going.iter().find(|(_, node)| !is_marked(node)) {
        let message = format!("{} is not marked as the cheapest to delete yet", node.name);
        return Err(("WaitingForDeletionCost", message));
    }
    let refused = deployment.scaling_refused.as_ref();
    if let Some((why, _)) = refused.filter(|(_, until)| sight.now < *until) {
        return Err(("ScaleRefused", format!("Deployment {} is not scaled yet: {why}", deployment.name)));
    }
    Ok(Some(Action::Scale {
        op: operation.id.clone(),
        deployment: Arc::clone(&deployment.name),
        from: deployment.wanted,
        to: left,
    }))
}

/// Whether the Deployment wants as many pods as it did: those that stay and those that go; or no more than stay, once it
/// is scaled.
fn check_scale(
    deployment: &Deployment,
    left: u64,
    going: &[(&Step, &NodeView)],
    fleet: &Fleet,
) -> Result<(), Obstacle> {
    let (name, wanted, go) = (&deployment.name, deployment.wanted, going.len() as u64);
    let is_done_by_others = wanted <= left && there(fleet).count() as u64 <= left;
    if wanted == left + go || wanted <= left && !is_done_by_others {
        return Ok(());
    }
    let message = format!(
        "Deployment {name} wants {wanted} pods; {left} that stay and {go} that go would be {}: somebody scaled it, or one of them \
         ended. Abort this, and ask again",
        left + go
    );
    Err(("ScaleChanged", message))
}

/// A pod that is not ready would be taken in place of one that was emptied.
fn check_others(operation: &Operation, fleet: &Fleet) -> Result<(), Obstacle> {
    let stays = |node: &&NodeView| !operation.step(&node.name).is_some_and(Step::is_active);
    let is_unready = |node: &&NodeView| node.pod.as_ref().is_some_and(|pod| !pod.ready);
    match there(fleet).filter(stays).find(is_unready) {
        Some(node) => {
            let message = format!(
                "{} is not ready: the Deployment would take it in place of an empty one; wait, delete it, or force it",
                node.name
            );
            Err(("OthersNotReady", message))
        }
        None => Ok(()),
    }
}

/// The nodes whose part is not over.
fn going(operation: &Operation) -> impl Iterator<Item = &Step> {
    operation.steps.iter().filter(|step| !step.is_over())
}

/// Nodes that count: not those that end already, and of pods only those of the Deployment.
fn there(fleet: &Fleet) -> impl Iterator<Item = &NodeView> {
    let has_pods = has_pods(fleet);
    fleet.nodes().filter(move |node| counts(node, has_pods))
}

fn has_pods(fleet: &Fleet) -> bool {
    fleet.nodes().any(|node| node.pod.is_some())
}

fn counts(node: &NodeView, has_pods: bool) -> bool {
    let is_replica = node.pod.as_ref().map_or(!has_pods, |pod| !pod.detached);
    is_replica && !node.is_ending()
}

/// A pod whose gateway was never heard of has no clients, and comes before all others without being marked.
fn never_came_up(node: &NodeView) -> bool {
    node.report.is_none() && node.pod.as_ref().is_some_and(|pod| !pod.ready)
}

fn is_marked(node: &NodeView) -> bool {
    never_came_up(node) || node.pod.as_ref().is_some_and(|pod| pod.deletion_cost == COST_OF_DRAINED)
}
