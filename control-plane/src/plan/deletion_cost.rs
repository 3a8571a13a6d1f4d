//! Which pods a scale-down should take first: what `controller.kubernetes.io/pod-deletion-cost` says of each.

use std::sync::Arc;

use tidegate_protocol::drain::DrainPhase;

use super::{Action, Operations};
use crate::index::{Fleet, NodeView};
use crate::model::{Operation, Step};

/// A pod that is being emptied goes before all others, whatever it still has.
pub(super) const COST_OF_DRAINED: i32 = -1_000;

/// The cost of each pod that has said how many connections it has.
pub(super) fn of_pods<'f>(fleet: &'f Fleet, operations: &'f Operations) -> impl Iterator<Item = Action> + 'f {
    fleet.nodes().filter(|node| node.pod.is_some()).filter_map(|node| {
        let cost = cost(node, operations)?;
        Some(Action::DeletionCost { node: Arc::clone(&node.name), cost })
    })
}

fn cost(node: &NodeView, operations: &Operations) -> Option<i32> {
    let report = node.report.as_ref()?;
    let stays = matches!(report.phase, DrainPhase::Serving | DrainPhase::Rebalancing);
    let is_out = |operation: &Operation| operation.step(&node.name).is_some_and(Step::is_active);
    let goes = !stays || operations.values().any(is_out);
    Some(if goes { COST_OF_DRAINED } else { doublings(report.connections) })
}

/// 0 for none, else one more than the whole part of the binary logarithm: each change is a write that all who watch pods
/// are told (KEP-2255 warns of it), so it is to change rarely.
fn doublings(connections: u64) -> i32 {
    (u64::BITS - connections.leading_zeros()).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_changes_when_the_connections_double() {
        let costs = [0, 1, 2, 3, 4, 1000, 1023, 1024, u64::MAX].map(doublings);

        assert_eq!(costs, [0, 1, 2, 2, 3, 10, 10, 11, 64]);
    }
}
