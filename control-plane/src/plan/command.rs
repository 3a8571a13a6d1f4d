//! What people want of an operation: each command is written into its record, and the leader's next tick acts on it.

use crate::model::{
    Command, ConditionKind, Desired, Millis, Operation, OperationState, Patch, Refused, Spec, SpecError,
    StepPhase,
};

use super::conditions;

/// Writes down a command. One that is so already changes nothing.
///
/// # Errors
///
/// 409 `wrong_state`, with `state` in the details: it is over, or its nodes end by themselves.
pub fn command(operation: &mut Operation, command: Command, now: Millis) -> Result<(), Refused> {
    let before = operation.clone();
    match (command, operation.state) {
        (Command::Abort, OperationState::Aborted) => {}
        (Command::Retry, OperationState::Failed | OperationState::Aborted) => retry(operation),
        (Command::Retry, OperationState::Succeeded) => {
            return Err(wrong_state(operation, "there is nothing to do again: it succeeded"));
        }
        (Command::Retry, _) => {}
        (_, state) if state.is_terminal() => return Err(wrong_state(operation, "it is over")),
        (Command::Pause | Command::Abort, _) if operation.source.is_foreign() => {
            return Err(wrong_state(operation, "its process was told to end and will, at its own deadline"));
        }
        (Command::Pause | Command::Resume, _) if operation.desired == Desired::Abort => {
            return Err(wrong_state(operation, "it is being aborted"));
        }
        (Command::Pause, _) => {
            operation.desired = Desired::Pause;
            if operation.condition(ConditionKind::Paused).is_none() {
                conditions::set(
                    operation,
                    ConditionKind::Paused,
                    REQUESTED,
                    "someone paused it: resume it",
                    now,
                );
            }
        }
        (Command::Resume, _) => {
            operation.desired = Desired::Run;
            conditions::clear(operation, ConditionKind::Paused);
        }
        (Command::Abort, _) => operation.desired = Desired::Abort,
        (Command::Force, _) => operation.spec.common_mut().force = true,
    }
    if *operation != before {
        operation.revision += 1;
    }
    Ok(())
}

/// Changes parameters while it runs.
///
/// # Errors
///
/// 409 `wrong_state`: it is over; 422 `bad_spec`: a value does not fit.
pub fn change(operation: &mut Operation, patch: &Patch, now: Millis) -> Result<(), Refused> {
    if operation.state.is_terminal() {
        return Err(wrong_state(operation, "it is over"));
    }
    let mut changed = operation.clone();
    let common = changed.spec.common_mut();
    common.rate = patch.rate.unwrap_or(common.rate);
    common.max_rate = patch.max_rate.unwrap_or(common.max_rate);
    common.max_displaced = patch.max_displaced.unwrap_or(common.max_displaced);
    common.deadline = patch.deadline.unwrap_or(common.deadline);
    let deadline = common.deadline;
    changed.deadline_at = changed.started_at.and_then(|started| Some(started + deadline?.duration()));
    let drain = match &mut changed.spec {
        Spec::Drain(drain) => Some(drain),
        Spec::Rollout(rollout) => Some(&mut rollout.drain),
        Spec::Rebalance(_) => None,
    };
    match drain {
        Some(drain) => {
            drain.window = patch.window.unwrap_or(drain.window);
            drain.max_parallel = patch.max_parallel.unwrap_or(drain.max_parallel);
        }
        None if patch.window.is_some() || patch.max_parallel.is_some() => {
            return Err(Refused::new("bad_spec", 422, "a rebalance has no window and no maxParallel"));
        }
        None => {}
    }
    changed.spec.check().map_err(|error: SpecError| Refused::new("bad_spec", 422, error.to_string()))?;
    match patch.paused {
        Some(true) => command(&mut changed, Command::Pause, now)?,
        Some(false) => command(&mut changed, Command::Resume, now)?,
        None => {}
    }
    changed.revision = operation.revision;
    if changed != *operation {
        changed.revision += 1;
        *operation = changed;
    }
    Ok(())
}

/// Begins again with the nodes whose part did not come to its end.
fn retry(operation: &mut Operation) {
    operation.steps.retain(|step| step.phase == StepPhase::Done);
    operation.state = OperationState::Pending;
    operation.desired = Desired::Run;
    operation.conditions.clear();
    operation.message.clear();
    (operation.started_at, operation.deadline_at, operation.finished_at, operation.soak_until) =
        (None, None, None, None);
}

fn wrong_state(operation: &Operation, why: &str) -> Refused {
    Refused::new("wrong_state", 409, format!("operation {} is {}: {why}", operation.id, operation.state))
        .with("state", operation.state.name())
}

const REQUESTED: &str = "Requested";
