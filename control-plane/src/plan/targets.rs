//! Which nodes an operation means, in which order they go, and which of them go together.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::scale;
use crate::index::{Fleet, NodeView};
use crate::model::{DrainSpec, Order, Spec, Step, Targets};

/// The nodes that are meant, by name.
pub(super) fn resolve<'f>(fleet: &'f Fleet, spec: &Spec) -> Vec<&'f NodeView> {
    let targets = spec.targets();
    let meant_all = targets.is_empty();
    let is_new = |node: &NodeView| match spec {
        Spec::Rollout(rollout) => {
            rollout.revision.as_deref().is_some_and(|revision| node.revision() == Some(revision))
        }
        Spec::Drain(_) | Spec::Rebalance(_) => false,
    };
    let is_meant = |node: &&NodeView| (meant_all || means(targets, node)) && !is_new(node) && !node.is_gone();
    let meant = fleet.nodes().filter(is_meant).collect();
    match (scale::left(spec), spec.drain()) {
        (Some(left), Some(drain)) => scale::surplus(fleet, meant, drain.order, left),
        (_, _) => meant,
    }
}

/// Names among the targets that no node has.
pub(super) fn unknown<'t>(fleet: &Fleet, targets: &'t Targets) -> Vec<&'t Arc<str>> {
    targets.pods.iter().filter(|name| fleet.node(name).is_none_or(NodeView::is_gone)).collect()
}

fn means(targets: &Targets, node: &NodeView) -> bool {
    let pod = node.pod.as_ref();
    let has_labels = || {
        targets.selector.iter().all(|(key, value)| pod.is_some_and(|pod| pod.labels.get(key) == Some(value)))
    };
    let is_on = |machine: &str| pod.is_some_and(|pod| pod.machine.as_deref() == Some(machine));
    (targets.pods.is_empty() || targets.pods.contains(&node.name))
        && has_labels()
        && targets.node.as_deref().is_none_or(is_on)
        && targets.zone.as_deref().is_none_or(|zone| node.zone() == zone)
        && targets.revision_not.as_deref().is_none_or(|revision| node.revision() != Some(revision))
}

/// The steps of a drain or rollout, wave by wave.
pub(super) fn steps(nodes: Vec<&NodeView>, drain: &DrainSpec, canary: u32) -> Vec<Step> {
    let parallel = usize_of(drain.max_parallel.of_rounded_up(nodes.len() as u64)).max(1);
    let zones_max = drain.max_zones_in_parallel.max(1) as usize;
    let mut waiting = ordered(nodes, drain.order);
    let mut steps = Vec::new();
    let mut wave = 0;
    while !waiting.is_empty() {
        wave += 1;
        let size = if wave == 1 && canary > 0 { canary as usize } else { parallel };
        let mut zones: Vec<&str> = Vec::new();
        let mut rest = Vec::new();
        let mut taken = 0;
        for node in waiting {
            let fits = zones.contains(&node.zone()) || zones.len() < zones_max;
            if taken < size && fits {
                if !zones.contains(&node.zone()) {
                    zones.push(node.zone());
                }
                taken += 1;
                steps.push(step(node, wave));
            } else {
                rest.push(node);
            }
        }
        waiting = rest;
    }
    steps
}

/// A step whose turn has not come.
pub(super) fn step(node: &NodeView, wave: u32) -> Step {
    let mut step = Step::waiting(Arc::clone(&node.name), wave, node.started_at());
    step.zone = Some(node.zone().to_owned()).filter(|zone| !zone.is_empty());
    step.total = node.connections();
    step.remaining = step.total;
    step
}

pub(super) fn ordered(mut nodes: Vec<&NodeView>, order: Order) -> Vec<&NodeView> {
    match order {
        Order::FewestConnections => nodes.sort_by_key(|node| (node.connections(), &node.name)),
        Order::OldestRevision => nodes.sort_by_key(|node| (node.started_at(), &node.name)),
        Order::ZoneRoundRobin => {
            nodes.sort_by_key(|node| (node.connections(), &node.name));
            let mut turns: BTreeMap<&str, usize> = BTreeMap::new();
            let mut keyed: Vec<_> = nodes
                .into_iter()
                .map(|node| {
                    let turn = turns.entry(node.zone()).or_default();
                    *turn += 1;
                    (*turn, node)
                })
                .collect();
            keyed.sort_by_key(|(turn, node)| (*turn, node.zone()));
            nodes = keyed.into_iter().map(|(_, node)| node).collect();
        }
    }
    nodes
}

fn usize_of(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
