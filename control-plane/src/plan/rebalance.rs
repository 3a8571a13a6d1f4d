//! Rebalance: nodes with more sessions than the average give some away, until they are at the average and no further.

use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::drain::OperationId;

use super::budget::real;
use super::{Operations, Planner, targets};
use crate::index::{Fleet, NodeView};
use crate::model::{Millis, Operation, RebalanceSpec, Source, Spec, Step};

/// Whether and when sessions are spread again without being asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AutoRebalance {
    /// It happens at all.
    pub enabled: bool,
    /// It begins when the fullest and the emptiest node are further apart than this share of the average …
    pub spread: f64,
    /// … and by at least this many sessions …
    pub sessions_min: u64,
    /// … for so long.
    pub hold: Duration,
    /// How long it waits after the last one.
    pub cooldown: Duration,
    /// Most sessions that one of them moves.
    pub max_moves: Option<u64>,
}

impl Default for AutoRebalance {
    fn default() -> Self {
        Self {
            enabled: false,
            spread: 0.1,
            sessions_min: 20,
            hold: Duration::from_secs(10),
            cooldown: Duration::from_secs(60),
            max_moves: None,
        }
    }
}

impl Planner {
    /// Begins a rebalance if sessions have been spread badly for a while and nothing else is going on.
    pub(super) fn begin_rebalance(&mut self, fleet: &Fleet, operations: &mut Operations, now: Millis) {
        let config = self.config.rebalance;
        let is_calm = operations.values().all(|operation| operation.state.is_terminal());
        let cools = self.rebalanced_at.is_some_and(|at| now.since(at) < config.cooldown);
        if !config.enabled || !is_calm || cools || !is_uneven(fleet, &config) {
            self.uneven_since = None;
            return;
        }
        let since = *self.uneven_since.get_or_insert(now);
        if now.since(since) < config.hold {
            return;
        }
        self.uneven_since = None;
        self.rebalanced_at = Some(now);
        let spec = RebalanceSpec {
            abs_threshold: ABS_THRESHOLD_AUTO,
            rel_threshold: 1.0,
            max_moves: config.max_moves,
            ..RebalanceSpec::default()
        };
        let id =
            OperationId::parse(&format!("rebalance-{}", now.count())).expect("at most 30 plain characters");
        let operation =
            Operation::new(id.clone(), Spec::Rebalance(spec), Source::Auto, "auto".to_owned(), now);
        operations.insert(id, operation);
    }
}

/// Nodes that give sessions away, and how many each.
pub(super) fn lay_out_rebalance(fleet: &Fleet, spec: &RebalanceSpec) -> Vec<Step> {
    let ready: Vec<_> = fleet.nodes().filter(|node| node.is_ready()).collect();
    let total: u64 = ready.iter().map(|node| node.connections()).sum();
    let average = total.div_ceil(1.max(ready.len() as u64));
    let whole = Spec::Rebalance(spec.clone());
    let meant: Vec<_> =
        targets::resolve(fleet, &whole).into_iter().map(|node| Arc::clone(&node.name)).collect();
    let gives = |node: &NodeView| {
        let connections = node.connections();
        let over = connections > average + spec.abs_threshold;
        over && real(connections) > real(average) * spec.rel_threshold && meant.contains(&node.name)
    };
    // Nobody can take more than what brings it to the average.
    let wanting: u64 = ready.iter().map(|node| average.saturating_sub(node.connections())).sum();
    let sessions = |node: &NodeView| node.report.as_ref().map_or(0, |report| report.sessions);
    let mut steps = Vec::new();
    let surplus: u64 = ready
        .iter()
        .filter(|node| gives(node))
        .map(|node| (node.connections() - average).min(sessions(node)))
        .sum();
    let most = surplus.min(wanting).min(spec.max_moves.unwrap_or(u64::MAX));
    for node in ready.into_iter().filter(|node| gives(node)) {
        let own = (node.connections() - average).min(sessions(node));
        let moves =
            u64::try_from(u128::from(own) * u128::from(most) / u128::from(surplus.max(1))).unwrap_or(own);
        if moves > 0 {
            let mut step = targets::step(node, 1);
            step.moves = Some(moves);
            step.remaining = moves;
            steps.push(step);
        }
    }
    steps
}

fn is_uneven(fleet: &Fleet, config: &AutoRebalance) -> bool {
    if fleet.nodes().any(|node| !node.is_ready()) {
        return false;
    }
    let counts: Vec<_> = fleet.nodes().map(NodeView::connections).collect();
    let (Some(most), Some(least)) = (counts.iter().max(), counts.iter().min()) else { return false };
    let average = real(counts.iter().sum()) / real(counts.len() as u64);
    most - least >= config.sessions_min.max(1) && real(most - least) > average * config.spread
}

/// One that begins by itself has looked at how uneven the whole is; a node gives whatever it has too many of.
const ABS_THRESHOLD_AUTO: u64 = 1;
