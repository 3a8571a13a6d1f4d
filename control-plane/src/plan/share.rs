//! Shares the budget out to the nodes that send clients away.
//!
//! First those get what they need whose process ends at a time of its own; the rest goes to everyone by what they have
//! left to do, so that nodes which began together are done together. Never more than there is.

use std::collections::BTreeMap;
use std::time::Duration;

use super::budget::real;
use super::want::{Allotted, Goal, Want};
use super::{Operations, Planner};
use crate::index::{Fleet, NodeView};
use crate::model::{ConditionKind, Millis, Operation};

impl Planner {
    /// What each want is given, in their order.
    pub(super) fn allot(
        &self,
        fleet: &Fleet,
        operations: &Operations,
        wants: &[Want],
        now: Millis,
    ) -> Vec<Allotted> {
        let alone = self.rate_alone(fleet, wants);
        let silent: Vec<_> = wants.iter().map(|want| self.silent_rate(fleet, want, alone, now)).collect();
        let reserved = silent.iter().flatten().sum::<f64>() + alone * real(unseen(fleet, wants));
        let total = (self.budget.allowance() - reserved).max(0.0);
        let pressing_total = (self.budget.pressing_allowance() - reserved).max(0.0);
        let mut operation_left: BTreeMap<_, _> =
            operations.iter().map(|(id, operation)| (id, self.operation_max(operation))).collect();

        let needs: Vec<_> = wants
            .iter()
            .zip(&silent)
            .map(|(want, silent)| if silent.is_some() { 0.0 } else { want.pressing_rate(now) })
            .collect();
        let needed: f64 = needs.iter().sum();
        let scale = if needed > pressing_total { pressing_total / needed } else { 1.0 };
        let mut rates: Vec<_> = needs.iter().map(|need| need * scale).collect();
        for (want, rate) in wants.iter().zip(&rates) {
            if let Some(left) = operation_left.get_mut(&want.op) {
                *left -= rate;
            }
        }

        // Each round gives at least one node or operation all it may have, or there is nothing left.
        let mut left = total - rates.iter().sum::<f64>();
        for _ in 0..ROUNDS_MAX {
            let asking: Vec<_> = (0..wants.len())
                .filter(|&one| {
                    silent[one].is_none()
                        && room(&wants[one], rates[one], &operation_left) > RATE_NOT_WORTH_IT
                })
                .collect();
            let weights: f64 = asking.iter().map(|&one| real(wants[one].to_move())).sum();
            if left <= RATE_NOT_WORTH_IT || asking.is_empty() {
                break;
            }
            let round = left;
            for one in asking {
                let share = round * real(wants[one].to_move()) / weights;
                let more = share.min(room(&wants[one], rates[one], &operation_left));
                rates[one] += more;
                left -= more;
                if let Some(operation) = operation_left.get_mut(&wants[one].op) {
                    *operation -= more;
                }
            }
        }
        rates
            .into_iter()
            .zip(&silent)
            .map(|(rate, silent)| silent.unwrap_or(rate))
            .zip(&needs)
            .map(|(rate, need)| Allotted {
                clients_per_second: if rate < RATE_NOT_WORTH_IT { 0.0 } else { rate },
                falls_short: rate * SHORT_BY < *need,
            })
            .collect()
    }

    /// What a node without a coordinator takes for itself: its share among those that drain.
    fn rate_alone(&self, fleet: &Fleet, wants: &[Want]) -> f64 {
        let draining = wants.iter().filter(|want| want.remaining > 0).count() as u64 + unseen(fleet, wants);
        self.budget.config().max_rate / real(draining.max(1))
    }

    /// What a node that does not answer may be doing: what it was allowed last, and once its order has ended, what it does
    /// without a coordinator.
    fn silent_rate(&self, fleet: &Fleet, want: &Want, alone: f64, now: Millis) -> Option<f64> {
        let node = fleet.node(&want.node)?;
        node.unreachable_since?;
        // It heard its last order at about the time of its last answer.
        let silence = now.since(node.reported_at.unwrap_or(node.first_seen_at)) + HEARD_BEFORE;
        let last = self.allowed.get(&want.node).copied();
        // Whatever is wanted of it now, it has not heard of it.
        let is_idle = want.remaining == 0 || want.goal == Goal::Cordon && last.is_none();
        match last {
            _ if is_idle => Some(0.0),
            Some(last) if silence < want.ttl() => Some(last),
            Some(last) => Some(last.max(alone)),
            None => Some(alone),
        }
    }

    /// Most clients a second for one operation.
    fn operation_max(&self, operation: &Operation) -> f64 {
        if operation.source.is_foreign() {
            return f64::INFINITY;
        }
        let common = operation.spec.common();
        let displaced = operation.steps.iter().map(|step| step.displaced).sum::<u64>();
        let by_window =
            common.max_displaced.map_or(f64::INFINITY, |max| real(max.saturating_sub(displaced)) / 2.0);
        let by_rate = common.max_rate.unwrap_or(f64::INFINITY).min(self.budget.config().max_rate);
        let slowed =
            operation.condition(ConditionKind::Slowed).is_some_and(|slowed| slowed.reason == "Guard");
        by_window.min(if slowed { by_rate * GUARD_SLOWS_TO } else { by_rate })
    }
}

/// Nodes that nobody reaches and that drain without having been told to.
fn unseen(fleet: &Fleet, wants: &[Want]) -> u64 {
    let is_wanted = |node: &NodeView| wants.iter().any(|want| want.node == node.name && want.to_move() > 0);
    fleet.nodes().filter(|node| node.drains_unseen() && !is_wanted(node)).count() as u64
}

/// What a want could still be given: nobody can send away more than all of its clients within a second.
fn room(
    want: &Want,
    rate: f64,
    operation_left: &BTreeMap<&tidegate_protocol::drain::OperationId, f64>,
) -> f64 {
    let of_operation = operation_left.get(&want.op).copied().unwrap_or(0.0);
    (want.rate_max.min(real(want.to_move())) - rate).min(of_operation)
}

const ROUNDS_MAX: usize = 16;
/// Below this a node is paused instead.
const RATE_NOT_WORTH_IT: f64 = 0.05;
/// As in the gateway: a number that hardly fits today fits tomorrow.
const SHORT_BY: f64 = 1.1;
const GUARD_SLOWS_TO: f64 = 0.1;
/// An order may have been heard so long before the answer that was the last one.
const HEARD_BEFORE: Duration = Duration::from_secs(2);
