//! Whether those who move fit on the nodes that stay.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::targets;
use crate::index::{Fleet, NodeView};
use crate::model::{DrainSpec, Mode, Refused, Spec, Step, Target, Then, ZoneForecast};

/// What the cluster looks like at the worst moment of an operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    /// Clients that have to fit somewhere else.
    pub(super) moves: u64,
    /// Ready nodes that stay.
    pub(super) serving: u64,
    /// Ready nodes that have to stay.
    pub(super) serving_min: u64,
    /// Connections that the ready nodes which stay have.
    pub(super) connections: u64,
    /// Connections that they take.
    pub(super) capacity: u64,
    /// Connections that they shall still have free.
    pub(super) kept_free: u64,
    /// The same by zone; `""` where zones are not known.
    pub(super) zones: BTreeMap<String, ZoneForecast>,
}

impl Room {
    /// With these nodes gone.
    pub(super) fn without(fleet: &Fleet, gone: &[&Arc<str>], drain: &DrainSpec) -> Self {
        let mut room = Self::default();
        let is_gone = |node: &NodeView| gone.contains(&&node.name);
        let ready = fleet.nodes().filter(|node| node.is_ready()).count() as u64;
        for node in fleet.nodes().filter(|node| node.is_ready() && !is_gone(node)) {
            room.serving += 1;
            room.connections += node.connections();
            room.capacity += node.capacity();
            let zone = room.zones.entry(node.zone().to_owned()).or_default();
            zone.nodes += 1;
            zone.connections += node.connections();
            zone.capacity += node.capacity();
        }
        room.moves = fleet.nodes().filter(|node| is_gone(node)).map(NodeView::connections).sum();
        room.serving_min = drain.min_serving.of_rounded_up(ready);
        room.kept_free = drain.headroom.of_rounded_up(room.capacity).min(room.capacity);
        room
    }

    /// At the worst moment of an operation with these steps.
    pub(super) fn of(fleet: &Fleet, spec: &Spec, drain: &DrainSpec, steps: &[Step]) -> Self {
        let all: Vec<_> = steps.iter().map(|step| &step.node).collect();
        if leaves_together(spec, drain) {
            return Self::without(fleet, &all, drain);
        }
        let waves = steps.last().map_or(0, |step| step.wave);
        (1..=waves)
            .map(|wave| {
                let gone: Vec<_> =
                    steps.iter().filter(|step| step.wave == wave).map(|step| &step.node).collect();
                Self::without(fleet, &gone, drain)
            })
            .max_by_key(|room| (room.missing(), room.serving_min.saturating_sub(room.serving), room.moves))
            .unwrap_or_default()
    }

    /// Connections for which there is no room.
    pub(super) fn missing(&self) -> u64 {
        (self.connections + self.moves + self.kept_free).saturating_sub(self.capacity)
    }

    /// Why it must not begin, with the numbers.
    pub(super) fn refusal(&self) -> Option<Refused> {
        let refused = if self.serving < self.serving_min {
            let message = format!(
                "{} ready nodes would be left and minServing asks for {}: drain fewer at a time, add nodes, or set minServing",
                self.serving, self.serving_min
            );
            Refused::new("min_serving", 422, message)
        } else if self.missing() > 0 && self.moves > 0 {
            let message = format!(
                "{} clients do not fit: {} would move, the nodes that stay have {} of {} and shall keep {} free; drain fewer \
                 at a time, add nodes, lower headroom, or force it",
                self.missing(),
                self.moves,
                self.connections,
                self.capacity,
                self.kept_free
            );
            Refused::new("no_headroom", 422, message)
        } else {
            return None;
        };
        Some(
            refused
                .with("moves", self.moves)
                .with("missing", self.missing())
                .with("serving", self.serving)
                .with("minServing", self.serving_min)
                .with("connections", self.connections)
                .with("capacity", self.capacity)
                .with("keptFree", self.kept_free)
                .with("zones", json!(self.zones)),
        )
    }
}

/// Whether all nodes are out at the same time at some moment; else only those of a wave are.
pub(super) fn leaves_together(spec: &Spec, drain: &DrainSpec) -> bool {
    match spec {
        Spec::Drain(_) => drain.then != Then::Uncordon,
        Spec::Rollout(rollout) => rollout.mode == Mode::Steer || rollout.target == Target::ScaleDown,
        Spec::Rebalance(_) => false,
    }
}

/// The steps that an operation would have now.
pub(super) fn steps_of(fleet: &Fleet, spec: &Spec) -> Vec<Step> {
    let canary = match spec {
        Spec::Rollout(rollout) => rollout.canary,
        Spec::Drain(_) | Spec::Rebalance(_) => 0,
    };
    spec.drain().map_or_else(Vec::new, |drain| targets::steps(targets::resolve(fleet, spec), drain, canary))
}
