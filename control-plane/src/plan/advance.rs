//! An operation's way from being asked for to being over.
//!
//! ```text
//! Pending → Planning → Running { Surging | Cordoning | Draining | Replacing | Soaking } → Succeeded | Failed | Aborted
//! ```
//!
//! Each tick reads the steps of its nodes from their reports (`steps`), looks at what people, guards and the deadline
//! want, starts the next wave if nothing speaks against it, and says what it wants of each node.

use std::sync::Arc;

use super::rebalance::lay_out_rebalance;
use super::room::{Room, steps_of};
use super::want::Want;
use super::{Action, Operations, Planner, accept, conditions, detach, scale, steps};
use crate::index::{Fleet, NodeView, Peers};
use crate::model::{
    Condition, ConditionKind, Desired, Millis, Mode, OnDeadline, Operation, OperationState, Replacement,
    Running, Spec, Step, StepPhase,
};

/// What an operation sees of the world.
#[derive(Clone, Copy)]
pub(super) struct Sight<'s> {
    pub(super) fleet: &'s Fleet,
    pub(super) peers: &'s Peers,
    /// The other operations.
    pub(super) others: &'s Operations,
    pub(super) now: Millis,
}

impl Planner {
    /// Moves an operation on as far as it is, and says what it wants and what is new.
    pub(super) fn advance(
        &mut self,
        operation: &mut Operation,
        sight: Sight<'_>,
        wants: &mut Vec<Want>,
        actions: &mut Vec<Action>,
    ) {
        let (state, known) = (operation.state, operation.conditions.clone());
        if operation.state == OperationState::Pending {
            operation.started_at = Some(sight.now);
            operation.deadline_at =
                operation.spec.common().deadline.map(|deadline| sight.now + deadline.duration());
            operation.state = OperationState::Planning;
        }
        if operation.state == OperationState::Planning {
            lay_out(operation, sight);
        }
        if let OperationState::Running(_) = operation.state {
            self.run(operation, sight, wants, actions);
        }
        if operation.state.is_terminal() {
            operation.finished_at = Some(sight.now);
            operation.conditions.clear();
            if let Some(orphans) = detach::orphans(operation, sight.fleet) {
                let before = std::mem::take(&mut operation.message);
                operation.message = if before.is_empty() { orphans } else { format!("{before}; {orphans}") };
            }
            self.held.remove(&operation.id);
        }
        tell(operation, state, &known, actions);
    }

    fn run(
        &mut self,
        operation: &mut Operation,
        sight: Sight<'_>,
        wants: &mut Vec<Want>,
        actions: &mut Vec<Action>,
    ) {
        steps::observe(operation, sight);
        operation.count();
        if !operation.source.is_foreign() {
            self.guard(operation, sight, actions);
            keep_deadline(operation, sight.now);
            obey(operation, sight);
        }
        let is_slowed =
            self.budget.is_slowed() && operation.steps.iter().any(|step| step.phase == StepPhase::Draining);
        match is_slowed {
            true if operation.condition(ConditionKind::Slowed).is_none() => {
                let message = "peers are busy with handshakes: clients move slower";
                conditions::set(operation, ConditionKind::Slowed, "PeersBusy", message, sight.now);
            }
            true => {}
            false => conditions::clear_reason(operation, ConditionKind::Slowed, "PeersBusy"),
        }
        conditions::clear(operation, ConditionKind::Blocked);
        look_for_silent(operation, sight);
        detach::detach(operation, sight, actions);
        match scale::left(&operation.spec) {
            Some(left) => scale::replace(operation, left, sight, actions),
            None => steps::replace(operation, sight, actions),
        }
        if operation.condition(ConditionKind::Paused).is_none() && operation.desired == Desired::Run {
            start_wave(operation, sight);
        }
        steps::wants(operation, sight, wants);
        finish(operation, sight);
    }
}

/// Finds out which nodes are meant, and whether there is room.
fn lay_out(operation: &mut Operation, sight: Sight<'_>) {
    if operation.desired == Desired::Abort {
        operation.state = OperationState::Aborted;
        return;
    }
    if let Err(refused) = accept::check(sight.fleet, sight.others, Some(&operation.id), &operation.spec) {
        let reason = camel(&refused.code);
        conditions::set(operation, ConditionKind::Blocked, &reason, refused.message, sight.now);
        return;
    }
    conditions::clear(operation, ConditionKind::Blocked);
    let laid_out = match &operation.spec {
        Spec::Rebalance(rebalance) => lay_out_rebalance(sight.fleet, rebalance),
        Spec::Drain(_) | Spec::Rollout(_) => steps_of(sight.fleet, &operation.spec),
    };
    // What was done before a retry is not done again, unless another process has the name now.
    let done = std::mem::take(&mut operation.steps);
    let is_done = |step: &Step| {
        done.iter().any(|done| done.node == step.node && done.node_started_at == step.node_started_at)
    };
    let new: Vec<_> = laid_out.into_iter().filter(|step| !is_done(step)).collect();
    if new.is_empty() {
        operation.state = OperationState::Succeeded;
        let message = match operation.spec {
            Spec::Rebalance(_) => "sessions are spread evenly enough",
            Spec::Rollout(_) if scale::left(&operation.spec).is_some() => "there are no more nodes than that",
            Spec::Drain(_) | Spec::Rollout(_) => "no node is meant",
        };
        operation.message = message.to_owned();
    } else {
        operation.state = OperationState::Running(Running::Surging);
    }
    operation.steps = done.into_iter().chain(new).collect();
}

/// Does what follows from the deadline.
fn keep_deadline(operation: &mut Operation, now: Millis) {
    if operation.deadline_at.is_none_or(|deadline| now < deadline) || operation.desired == Desired::Abort {
        return;
    }
    match operation.spec.common().on_deadline {
        // `steps::wants` tells the nodes whose turn has come; the others serve again.
        OnDeadline::Burst => {
            for step in operation.steps.iter_mut().filter(|step| step.phase == StepPhase::Cordoned) {
                step.phase = StepPhase::Reopening;
            }
        }
        OnDeadline::Pause => {
            operation.desired = Desired::Pause;
            let message = "its deadline has come: set a later one and resume it, or abort it";
            conditions::set(operation, ConditionKind::Paused, "Deadline", message, now);
        }
        OnDeadline::Abort => {
            operation.desired = Desired::Abort;
            operation.message = "its deadline came".to_owned();
        }
    }
}

/// Does what people want.
fn obey(operation: &mut Operation, sight: Sight<'_>) {
    match operation.desired {
        Desired::Run => {}
        Desired::Pause => {
            if operation.condition(ConditionKind::Paused).is_none() {
                conditions::set(
                    operation,
                    ConditionKind::Paused,
                    "Requested",
                    "someone paused it: resume it",
                    sight.now,
                );
            }
        }
        Desired::Abort => {
            conditions::clear(operation, ConditionKind::Paused);
            conditions::set(
                operation,
                ConditionKind::Aborting,
                "Requested",
                "nodes are told to serve again",
                sight.now,
            );
            steps::reopen(operation, sight);
        }
    }
}

/// Has an operation wait for drained nodes that do not answer.
fn look_for_silent(operation: &mut Operation, sight: Sight<'_>) {
    let timeout = operation.spec.common().agent_timeout.duration();
    let silent: Vec<_> = operation
        .steps
        .iter()
        .filter(|step| step.is_active())
        .filter_map(|step| Some((&step.node, sight.fleet.node(&step.node)?.unreachable_since?)))
        .collect();
    let Some((node, since)) = silent.iter().min_by_key(|(_, since)| *since) else {
        return conditions::clear(operation, ConditionKind::AgentUnreachable);
    };
    let message = format!("{node} does not answer; it goes on with its last order");
    let is_too_long = sight.now.since(*since) >= timeout;
    if is_too_long {
        let message = format!("{node} has not answered for {}s: no further wave starts", timeout.as_secs());
        conditions::set(operation, ConditionKind::Blocked, "AgentUnreachable", message, sight.now);
    }
    conditions::set(operation, ConditionKind::AgentUnreachable, "NoAnswer", message, sight.now);
}

/// Starts the next wave when the one before is over, nodes are there to take its clients, and time has passed.
fn start_wave(operation: &mut Operation, sight: Sight<'_>) {
    let is_late = operation.deadline_at.is_some_and(|deadline| sight.now >= deadline);
    if operation.condition(ConditionKind::Blocked).is_some() || operation.source.is_foreign() || is_late {
        return;
    }
    let steers = goes_at_once(&operation.spec);
    if steers
        && operation.steps.iter().any(|step| step.phase == StepPhase::Waiting)
        && !cordon_all(operation, sight)
    {
        return;
    }
    let before = if steers { StepPhase::Cordoned } else { StepPhase::Waiting };
    let is_next = |step: &&Step| step.phase == before;
    let Some(wave) = operation.steps.iter().filter(is_next).map(|step| step.wave).min() else { return };
    let has_passed = |step: &Step| step.is_over() || (steers && step.phase >= StepPhase::Drained);
    let is_before = |step: &&Step| step.wave < wave || step.is_active() && step.phase != StepPhase::Cordoned;
    if !operation.steps.iter().filter(is_before).all(has_passed) {
        return;
    }
    if steers && wave == first_wave(operation) && !are_cordoned(operation, sight) {
        return;
    }
    if wave > first_wave(operation) && is_soaking(operation, sight.now) {
        return;
    }
    if let Some((reason, message)) = obstacle(operation, wave, steers, sight) {
        return conditions::set(operation, ConditionKind::Blocked, &reason, message, sight.now);
    }
    operation.soak_until = None;
    for step in operation.steps.iter_mut().filter(|step| step.wave == wave && step.phase == before) {
        step.phase = StepPhase::Draining;
        step.started_at = Some(sight.now);
        step.total = sight.fleet.node(&step.node).map_or(step.total, NodeView::connections);
    }
}

/// What speaks against the next wave.
fn obstacle(
    operation: &mut Operation,
    wave: u32,
    steers: bool,
    sight: Sight<'_>,
) -> Option<(String, String)> {
    let of_wave: Vec<_> =
        operation.steps.iter().filter(|step| step.wave == wave).map(|step| &step.node).collect();
    let is_silent =
        |name: &&&Arc<str>| sight.fleet.node(name).is_some_and(|node| node.unreachable_since.is_some());
    if let Some(silent) = of_wave.iter().find(is_silent) {
        return Some(("AgentUnreachable".to_owned(), format!("{silent} does not answer")));
    }
    let drain = operation.spec.drain()?;
    if drain.replacement == Replacement::Surge && !steers {
        let (ready, used) = (steps::newly_ready(operation, sight.fleet), steps::done(operation));
        let needed = used + of_wave.len() as u64;
        if ready < needed {
            let message =
                format!("{ready} of {needed} new nodes are ready that have to be there before this wave");
            return Some(("WaitingForSurge".to_owned(), message));
        }
    }
    // Where all nodes go at once, they are out already.
    let refused = if steers { None } else { Room::without(sight.fleet, &of_wave, drain).refusal() }?;
    if operation.spec.common().force {
        conditions::set(operation, ConditionKind::Forced, &camel(&refused.code), refused.message, sight.now);
        return None;
    }
    Some((camel(&refused.code), refused.message))
}

/// Whether all nodes stop taking in clients before the first is emptied, so that each client moves once.
fn goes_at_once(spec: &Spec) -> bool {
    matches!(spec, Spec::Rollout(rollout) if rollout.mode == Mode::Steer) || scale::left(spec).is_some()
}

/// Has every node take in no clients, once there is room elsewhere: for a rollout that steers, on new nodes.
fn cordon_all(operation: &mut Operation, sight: Sight<'_>) -> bool {
    let Spec::Rollout(rollout) = &operation.spec else { return true };
    let all: Vec<_> = operation.steps.iter().filter(|step| !step.is_over()).map(|step| &step.node).collect();
    let room = Room::without(sight.fleet, &all, &rollout.drain);
    let old: u64 = all.iter().filter_map(|name| sight.fleet.node(name)).map(NodeView::capacity).sum();
    let steers = rollout.mode == Mode::Steer;
    let needed = if steers { rollout.steer_at.of_rounded_up(old) } else { 0 };
    let refused = if room.capacity < needed {
        let message = format!(
            "new nodes that are ready take {} connections; it begins at {needed}, {} of what the old ones take",
            room.capacity, rollout.steer_at
        );
        Some(("WaitingForNewCapacity".to_owned(), message))
    } else {
        room.refusal().map(|refused| (camel(&refused.code), refused.message))
    };
    match refused {
        Some((reason, message)) if !operation.spec.common().force || room.serving == 0 => {
            conditions::set(operation, ConditionKind::Blocked, &reason, message, sight.now);
            return false;
        }
        Some((reason, message)) => {
            conditions::set(operation, ConditionKind::Forced, &reason, message, sight.now)
        }
        None => {}
    }
    for step in operation.steps.iter_mut().filter(|step| step.phase == StepPhase::Waiting) {
        step.phase = StepPhase::Cordoned;
        step.started_at = Some(sight.now);
    }
    true
}

/// Whether no node that is to go takes in clients any more: who leaves one cannot land on another. One that was never
/// heard to say so may still; who forces it does not wait for such a node for ever.
fn are_cordoned(operation: &Operation, sight: Sight<'_>) -> bool {
    let common = operation.spec.common();
    let is_given_up = |node: &NodeView| {
        let silent = |since| sight.now.since(since) >= common.agent_timeout.duration();
        common.force && node.unreachable_since.is_some_and(silent)
    };
    let may_take = |step: &&Step| {
        let node = sight.fleet.node(&step.node);
        node.is_some_and(|node| !is_given_up(node) && node.report.as_ref().is_none_or(|report| report.ready))
    };
    !operation.steps.iter().filter(|step| step.phase == StepPhase::Cordoned).any(|step| may_take(&step))
}

fn first_wave(operation: &Operation) -> u32 {
    operation.steps.iter().map(|step| step.wave).min().unwrap_or(0)
}

fn is_soaking(operation: &mut Operation, now: Millis) -> bool {
    let soak = operation.spec.drain().map_or(std::time::Duration::ZERO, |drain| drain.soak.duration());
    let until = *operation.soak_until.get_or_insert(now + soak);
    now < until
}

/// Says where it is now, and whether it is over.
fn finish(operation: &mut Operation, sight: Sight<'_>) {
    let phases = || operation.steps.iter().map(|step| step.phase);
    let is_over = operation.steps.iter().all(Step::is_over);
    let is_late = operation.deadline_at.is_some_and(|deadline| sight.now >= deadline);
    let is_active = operation.steps.iter().any(Step::is_active);
    let lost = phases().filter(|phase| *phase == StepPhase::Lost).count();
    let waiting = phases().filter(|phase| [StepPhase::Waiting, StepPhase::Reopened].contains(phase)).count();
    operation.state = match operation.desired {
        Desired::Abort if !is_active && !operation.source.is_foreign() => {
            let moved = operation.counters.moved;
            operation.message =
                format!("{} {moved} clients had been moved", sentence(&operation.message, "aborted;"));
            OperationState::Aborted
        }
        Desired::Run if is_late && !is_active && waiting > 0 && !operation.source.is_foreign() => {
            operation.message = format!("its deadline came before the turn of {waiting} nodes");
            OperationState::Failed
        }
        _ if is_over => {
            if lost > 0 {
                operation.message = format!("{lost} nodes were gone before their clients had moved");
            }
            OperationState::Succeeded
        }
        _ => OperationState::Running(running(operation, sight.fleet)),
    };
}

fn running(operation: &Operation, fleet: &Fleet) -> Running {
    let any = |phase: StepPhase| operation.steps.iter().any(|step| step.phase == phase);
    let has_begun = |step: &Step| {
        let announces =
            |node: &NodeView| node.report.as_ref().is_none_or(|report| report.ready || report.moved == 0);
        step.moved > 0 || step.remaining == 0 || !fleet.node(&step.node).is_some_and(announces)
    };
    let drains = |step: &Step| step.phase == StepPhase::Draining && has_begun(step);
    if operation.steps.iter().any(drains) || any(StepPhase::Reopening) {
        Running::Draining
    } else if any(StepPhase::Draining) || any(StepPhase::Cordoned) {
        Running::Cordoning
    } else if any(StepPhase::Drained) || any(StepPhase::Replacing) {
        Running::Replacing
    } else if operation.soak_until.is_some() {
        Running::Soaking
    } else {
        Running::Surging
    }
}

/// Events for what is new: another state, and conditions that hold it up.
fn tell(operation: &Operation, state: OperationState, known: &[Condition], actions: &mut Vec<Action>) {
    let mut event = |is_warning, reason: &str, message: String| {
        actions.push(Action::Event {
            op: operation.id.clone(),
            is_warning,
            reason: reason.to_owned(),
            message,
        });
    };
    if state.name() != operation.state.name() {
        let is_warning = operation.state == OperationState::Failed;
        event(is_warning, operation.state.name(), format!("{} is {}", operation.id, operation.state));
    }
    for condition in &operation.conditions {
        let is_new = !known.iter().any(|one| one.kind == condition.kind && one.reason == condition.reason);
        let is_warning = match condition.kind {
            ConditionKind::Blocked | ConditionKind::AgentUnreachable | ConditionKind::DeadlineAtRisk => true,
            ConditionKind::Paused
            | ConditionKind::Slowed
            | ConditionKind::Aborting
            | ConditionKind::Forced => false,
        };
        if is_new {
            event(is_warning, &condition.reason, condition.message.clone());
        }
    }
}

fn sentence<'s>(message: &'s str, otherwise: &'s str) -> &'s str {
    if message.is_empty() { otherwise } else { message }
}

/// `no_headroom` as a condition's reason: `NoHeadroom`.
fn camel(code: &str) -> String {
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect::<String>()
    };
    code.split('_').map(capital).collect()
}
