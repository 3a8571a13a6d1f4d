//! Sets and clears the conditions of an operation.

use crate::model::{Condition, ConditionKind, Millis, Operation};

/// Has a condition be so. One that is so for the same reason keeps the moment since when it is.
pub(super) fn set(
    operation: &mut Operation,
    kind: ConditionKind,
    reason: &str,
    message: impl Into<String>,
    now: Millis,
) {
    let message = message.into();
    match operation.conditions.iter_mut().find(|condition| condition.kind == kind) {
        Some(condition) if condition.reason == reason => condition.message = message,
        Some(condition) => *condition = Condition { kind, reason: reason.to_owned(), message, since: now },
        None => operation.conditions.push(Condition { kind, reason: reason.to_owned(), message, since: now }),
    }
}

/// Has a condition not be so.
pub(super) fn clear(operation: &mut Operation, kind: ConditionKind) {
    operation.conditions.retain(|condition| condition.kind != kind);
}

/// Clears a condition if it is so for this reason.
pub(super) fn clear_reason(operation: &mut Operation, kind: ConditionKind, reason: &str) {
    operation.conditions.retain(|condition| condition.kind != kind || condition.reason != reason);
}
