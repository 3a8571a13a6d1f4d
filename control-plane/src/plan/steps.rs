//! The steps of an operation: what a node's report means for its part, and what is wanted of it next.

use std::sync::Arc;

use tidegate_protocol::drain::{DrainPhase, DrainReport};

use super::advance::Sight;
use super::want::{Goal, Want};
use super::{Action, conditions};
use crate::index::{Fleet, NodeView};
use crate::model::{ConditionKind, Desired, Mode, OnDeadline, Operation, Spec, Step, StepPhase, Then};

/// Reads each step from its node's report.
pub(super) fn observe(operation: &mut Operation, sight: Sight<'_>) {
    let id = operation.id.clone();
    let is_foreign = operation.source.is_foreign();
    let is_aborting = operation.desired == Desired::Abort;
    for step in operation.steps.iter_mut().filter(|step| !step.is_over()) {
        let Some(node) = same_process(sight.fleet, step) else {
            handle_gone(step, is_foreign, is_aborting);
            continue;
        };
        // What it said before it fell silent was before it heard what is wanted of it now.
        let Some(report) = node.report.as_ref().filter(|_| node.unreachable_since.is_none()) else {
            continue;
        };
        let is_mine = report.op.as_ref() == Some(&id) || is_foreign && report.shutting_down;
        if is_mine {
            copy(step, report);
        } else {
            step.remaining = report.connections;
        }
        if step.phase == StepPhase::Waiting {
            (step.total, step.remaining) = (report.connections, report.connections);
        }
        step.phase = match step.phase {
            // It ends by itself, and has an operation of its own for that.
            StepPhase::Waiting if node.is_ending() => StepPhase::Done,
            StepPhase::Cordoned | StepPhase::Reopening if node.is_ending() => StepPhase::Draining,
            StepPhase::Draining if step.moves.is_some() && node.is_ending() => {
                step.moves = None;
                StepPhase::Draining
            }
            StepPhase::Draining if step.moves.is_some() && is_mine && has_moved_enough(step, report) => {
                StepPhase::Reopening
            }
            StepPhase::Draining if step.moves.is_none() && is_mine && report.phase == DrainPhase::Drained => {
                step.drained_at = Some(sight.now);
                StepPhase::Drained
            }
            StepPhase::Reopening if report.phase == DrainPhase::Serving && is_aborting => StepPhase::Reopened,
            StepPhase::Reopening if report.phase == DrainPhase::Serving => match step.moves {
                None if step.drained_at.is_none() => StepPhase::Reopened,
                None | Some(_) => StepPhase::Done,
            },
            phase => phase,
        };
    }
    for step in operation.steps.iter_mut().filter(|step| step.is_over()) {
        step.finished_at.get_or_insert(sight.now);
    }
}

/// The node of a step, as long as it is the process that was meant, and runs.
pub(super) fn same_process<'f>(fleet: &'f Fleet, step: &Step) -> Option<&'f NodeView> {
    let is_same = |node: &&NodeView| node.known_started_at.is_none_or(|at| at <= step.node_started_at);
    fleet.node(&step.node).filter(is_same).filter(|node| !node.is_gone())
}

/// The process of a step has ended: as it should, or with its clients.
fn handle_gone(step: &mut Step, is_foreign: bool, is_aborting: bool) {
    let is_empty = step.remaining == 0;
    step.phase = match step.phase {
        StepPhase::Drained | StepPhase::Replacing if is_foreign || is_aborting => StepPhase::Done,
        // `replace` looks whether another one is there.
        StepPhase::Drained | StepPhase::Replacing => StepPhase::Replacing,
        over @ (StepPhase::Done | StepPhase::Reopened | StepPhase::Lost) => over,
        _ if is_empty => StepPhase::Done,
        StepPhase::Waiting | StepPhase::Cordoned | StepPhase::Draining | StepPhase::Reopening => {
            step.forced += step.remaining;
            StepPhase::Lost
        }
    };
    step.remaining = 0;
}

fn copy(step: &mut Step, report: &DrainReport) {
    step.remaining = report.remaining;
    step.moved = report.moved;
    step.left = report.left;
    step.closed = report.closed;
    step.forced = report.forced;
    step.displaced = report.displaced;
    step.resumed = report.resumed;
    step.lost = report.lost;
    step.repeats = report.repeat_displacements;
}

/// A rebalance is done with a node when as many have left as were to, and they are back somewhere.
fn has_moved_enough(step: &Step, report: &DrainReport) -> bool {
    report.moved >= step.moves.unwrap_or(0) && report.displaced == 0
}

/// Takes an operation back: nodes that can serve again are told to.
pub(super) fn reopen(operation: &mut Operation, sight: Sight<'_>) {
    for step in &mut operation.steps {
        let Some(node) = same_process(sight.fleet, step) else { continue };
        // Those that were emptied and held are taken back too; those that are about to end cannot be.
        let is_held = step.phase == StepPhase::Done && step.drained_at.is_some() && !is_taken(step, sight);
        let is_out = step.is_active() && step.phase != StepPhase::Reopening;
        if (is_out || is_held) && !node.is_ending() {
            step.phase = StepPhase::Reopening;
            step.finished_at = None;
        }
    }
}

/// Brings empty nodes to their end: holds them, opens them again, has them evicted, or waits for who replaces them.
pub(super) fn replace(operation: &mut Operation, sight: Sight<'_>, actions: &mut Vec<Action>) {
    let Some(then) = operation.spec.drain().map(|drain| drain.then) else { return };
    let is_rolling = matches!(&operation.spec, Spec::Rollout(rollout) if rollout.mode == Mode::Rolling);
    let forced = operation.spec.common().force;
    let mut spare = newly_ready(operation, sight.fleet).saturating_sub(done(operation));
    let mut blocked = None;
    let mut evictions = Vec::new();
    for step in operation.steps.iter_mut().filter(|step| !step.is_over()) {
        let node = same_process(sight.fleet, step);
        let pod = node.and_then(|node| node.pod.as_ref());
        let is_silent = node.is_some_and(|node| node.unreachable_since.is_some());
        let is_ending = node.is_some_and(NodeView::is_ending);
        step.phase = match (step.phase, then) {
            (StepPhase::Draining, Then::Evict) if forced && is_silent && pod.is_some() => {
                StepPhase::Replacing
            }
            (StepPhase::Drained, _) if is_ending => StepPhase::Drained,
            (StepPhase::Drained, Then::Hold) => StepPhase::Done,
            (StepPhase::Drained, Then::Uncordon) => StepPhase::Reopening,
            (StepPhase::Drained, Then::Evict) if pod.is_some() || is_rolling => StepPhase::Replacing,
            // Without Kubernetes nobody can be told to take the node away: it is held.
            (StepPhase::Drained, Then::Evict) => StepPhase::Done,
            (StepPhase::Replacing, _) if node.is_none() && (!is_rolling || step.was_orphan()) => {
                StepPhase::Done
            }
            (StepPhase::Replacing, _) if node.is_none() && spare > 0 => {
                spare -= 1;
                StepPhase::Done
            }
            (phase, _) => phase,
        };
        if step.phase != StepPhase::Replacing {
            continue;
        }
        let name = &step.node;
        blocked = blocked.or(match (node, pod) {
            (None, _) => Some((
                "ReplacementNotReady",
                format!("{name} is gone, and no new node is ready{}", troubles(sight.fleet)),
            )),
            (Some(_), None) => {
                Some(("WaitingForReplacement", format!("{name} is empty: replace it by a new process")))
            }
            (Some(_), Some(pod)) => match &pod.eviction_refused {
                Some((why, _)) => Some(("EvictionRefused", format!("{name} is not evicted yet: {why}"))),
                None => None,
            },
        });
        if let Some(pod) = pod.filter(|pod| pod.deletion_deadline.is_none()) {
            let waits = pod.eviction_refused.as_ref().is_some_and(|(_, until)| sight.now < *until);
            if !waits {
                evictions.push((Arc::clone(name), Arc::clone(&pod.uid)));
            }
        }
    }
    let op = &operation.id;
    actions.extend(evictions.into_iter().map(|(node, uid)| Action::Evict { op: op.clone(), node, uid }));
    if let Some((reason, message)) = blocked
        && operation.desired != Desired::Abort
    {
        conditions::set(operation, ConditionKind::Blocked, reason, message, sight.now);
    }
}

/// Ready nodes whose process started after the operation did.
pub(super) fn newly_ready(operation: &Operation, fleet: &Fleet) -> u64 {
    let Some(started) = operation.started_at else { return 0 };
    fleet
        .nodes()
        .filter(|node| node.known_started_at.is_some_and(|at| at > started) && node.is_ready())
        .count() as u64
}

/// Nodes of the operation that are replaced.
pub(super) fn done(operation: &Operation) -> u64 {
    let is_replaced = |step: &&Step| step.phase == StepPhase::Done && !step.was_orphan();
    operation.steps.iter().filter(is_replaced).count() as u64
}

/// What the pods that are not ready say of themselves.
fn troubles(fleet: &Fleet) -> String {
    let pods = fleet.nodes().filter_map(|node| Some((&node.name, node.pod.as_ref()?)));
    pods.filter(|(_, pod)| !pod.ready)
        .filter_map(|(name, pod)| Some(format!("; {name}: {}", pod.trouble.as_ref()?)))
        .take(TROUBLES_MAX)
        .collect()
}

/// Says what is wanted of each node.
pub(super) fn wants(operation: &mut Operation, sight: Sight<'_>, wants: &mut Vec<Want>) {
    let is_paused = operation.condition(ConditionKind::Paused).is_some();
    let is_late = operation.deadline_at.is_some_and(|deadline| sight.now >= deadline);
    let bursts = operation.spec.common().on_deadline == OnDeadline::Burst;
    let mut deadlines = Vec::new();
    for step in &operation.steps {
        let Some(node) = same_process(sight.fleet, step) else { continue };
        let is_ending = node.is_ending();
        let goal = match step.phase {
            StepPhase::Cordoned => Goal::Cordon,
            StepPhase::Draining if is_paused && !is_ending => Goal::Hold,
            StepPhase::Draining if is_late && bursts && step.moves.is_none() => Goal::Burst,
            StepPhase::Draining => match step.moves {
                Some(moves) => Goal::Move(moves),
                None => Goal::Empty,
            },
            StepPhase::Drained | StepPhase::Replacing => Goal::Empty,
            StepPhase::Done if is_held(operation, step, node) && !is_taken(step, sight) => Goal::Empty,
            StepPhase::Reopening => Goal::Serve,
            StepPhase::Waiting | StepPhase::Done | StepPhase::Reopened | StepPhase::Lost => continue,
        };
        let mut want = Want::new(operation, Arc::clone(&step.node), goal);
        want.remaining = match step.moves {
            Some(moves) => moves.saturating_sub(step.moved),
            None => step.remaining,
        };
        let own = operation.deadline_at.filter(|_| bursts && !operation.source.is_foreign());
        want.hard_deadline = own.into_iter().chain(node.ends_at()).min();
        want.is_ending = is_ending;
        if step.phase >= StepPhase::Drained {
            want.keeps_empty();
        }
        deadlines.push((Arc::clone(&step.node), want.hard_deadline));
        wants.push(want);
    }
    for (node, deadline) in deadlines {
        let window = operation.spec.drain().map(|drain| drain.window.duration());
        if let Some(step) = operation.steps.iter_mut().find(|step| step.node == node) {
            let by_window = step.started_at.zip(window).map(|(at, window)| at + window);
            step.deadline_at = deadline.or(by_window);
        }
    }
}

/// Whether a node whose part is over is to stay empty: nobody has opened it since.
fn is_held(operation: &Operation, step: &Step, node: &NodeView) -> bool {
    let stays = operation.spec.drain().is_some_and(|drain| drain.then != Then::Uncordon);
    let is_empty = |report: &DrainReport| {
        report.phase == DrainPhase::Drained && report.op.as_ref() == Some(&operation.id)
    };
    stays && step.drained_at.is_some() && node.report.as_ref().is_some_and(is_empty)
}

/// Whether another operation has the node of a step now.
fn is_taken(step: &Step, sight: Sight<'_>) -> bool {
    sight.others.values().filter_map(|other| other.step(&step.node)).any(Step::is_active)
}

const TROUBLES_MAX: usize = 3;
