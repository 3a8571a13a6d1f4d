//! Scenarios: what nodes report second by second, and what the plan makes of it.

mod budget;
mod detached;
mod drains;
mod foreign;
mod refusals;
mod rollouts;
mod scaling_down;
mod spreading;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_protocol::drain::{DrainOrder, DrainPhase, DrainReport, OperationId};

use super::{Action, Operations, PlanConfig, Planner, Platform, Switch, accept, command};
use crate::index::{Fleet, NodeEntry, Pod, Seen};
use crate::model::{Command, ConditionKind, Millis, Operation, Refused, Spec, StepPhase};

/// A cluster of nodes that say what a test lets them say.
struct Stage {
    fleet: Fleet,
    planner: Planner,
    operations: Operations,
    nodes: Vec<(NodeEntry, DrainReport)>,
    now: Millis,
    actions: Vec<Action>,
}

const CAPACITY: u64 = 1_000;

impl Stage {
    /// Nodes `a`, `b`, … with so many connections each, under a leader of epoch 7.
    fn new(connections: &[u64]) -> Self {
        Self::with(PlanConfig::default(), connections)
    }

    fn with(config: PlanConfig, connections: &[u64]) -> Self {
        let now = Millis::new(1_000_000);
        let mut stage = Self {
            fleet: Fleet::new(),
            planner: Planner::new(config, 7, now),
            operations: Operations::new(),
            nodes: Vec::new(),
            now,
            actions: Vec::new(),
        };
        for (name, connections) in ('a'..='z').zip(connections) {
            stage.add(&name.to_string(), *connections);
        }
        stage.look();
        stage
    }

    /// A process starts.
    fn add(&mut self, name: &str, connections: u64) {
        let entry = NodeEntry {
            version: "1.0.0".into(),
            started_at: self.now,
            connections,
            capacity: CAPACITY,
            phase: DrainPhase::Serving,
            admin: None,
        };
        let report = DrainReport {
            node: name.into(),
            ready: true,
            connections,
            sessions: connections,
            remaining: connections,
            capacity: CAPACITY,
            ..DrainReport::default()
        };
        self.nodes.push((entry, report));
    }

    /// A process ends.
    fn remove(&mut self, name: &str) {
        self.nodes.retain(|(_, report)| &*report.node != name);
    }

    fn node(&mut self, name: &str) -> &mut DrainReport {
        let node = self.nodes.iter_mut().find(|(_, report)| &*report.node == name);
        &mut node.expect("tests name nodes that they added").1
    }

    fn ask(&mut self, id: &str, body: impl Into<Value>) -> Result<(), Refused> {
        let spec = Spec::parse(&body.into()).unwrap();
        let id = OperationId::parse(id).unwrap();
        let operation =
            accept(&self.fleet, &self.operations, &self.planner.config, id.clone(), spec, "ann", self.now)?;
        self.operations.insert(id, operation);
        Ok(())
    }

    fn tell(&mut self, id: &str, what: Command) -> Result<(), Refused> {
        let now = self.now;
        command(self.operation_mut(id), what, now)
    }

    fn operation(&self, id: &str) -> &Operation {
        &self.operations[&OperationId::parse(id).unwrap()]
    }

    fn operation_mut(&mut self, id: &str) -> &mut Operation {
        self.operations.get_mut(&OperationId::parse(id).unwrap()).unwrap()
    }

    fn state(&self, id: &str) -> String {
        self.operation(id).state.to_string()
    }

    fn phase(&self, id: &str, node: &str) -> StepPhase {
        self.operation(id).step(node).unwrap().phase
    }

    /// The reason of a condition, if it is so.
    fn why(&self, id: &str, kind: ConditionKind) -> Option<&str> {
        self.operation(id).condition(kind).map(|condition| &*condition.reason)
    }

    /// A second passes, and the leader acts.
    fn tick(&mut self) {
        self.now = self.now + Duration::from_secs(1);
        self.look();
        self.actions = self.planner.tick(&self.fleet, &mut self.operations, self.now);
    }

    fn ticks(&mut self, count: u32) {
        for _ in 0..count {
            self.tick();
        }
    }

    fn look(&mut self) {
        let listed =
            self.nodes.iter().map(|(entry, report)| (Arc::clone(&report.node), entry.clone())).collect();
        self.fleet.handle(Seen::Directory(listed), self.now);
        for (_, report) in &self.nodes {
            self.fleet.handle(Seen::Report(report.clone()), self.now);
        }
    }

    /// A node is where its last order wants it, as `op`, with so many clients left.
    fn obey(&mut self, name: &str, remaining: u64) {
        let Some(order) = self.order(name).cloned() else { return };
        let report = self.node(name);
        let total = report.connections + report.moved;
        report.phase = match order.phase {
            DrainPhase::Evicting if remaining == 0 => DrainPhase::Drained,
            phase => phase,
        };
        report.op = Some(order.op);
        report.ready = report.phase == DrainPhase::Serving;
        report.moved = total.saturating_sub(remaining);
        report.resumed = report.moved;
        (report.connections, report.remaining) = (remaining, remaining);
    }

    /// The order that a node was last sent in this tick.
    fn order(&self, name: &str) -> Option<&DrainOrder> {
        self.actions.iter().rev().find_map(|action| match action {
            Action::Order { node, order } if &**node == name => Some(&**order),
            _ => None,
        })
    }

    fn ordered(&self, name: &str) -> Option<&str> {
        self.order(name).map(|order| order.phase.as_str())
    }

    /// Clients a second that all orders of this tick allow together.
    fn rates(&self) -> f64 {
        let rate = |action: &Action| match action {
            Action::Order { order, .. } if order.phase == DrainPhase::Evicting => order.rate,
            _ => None,
        };
        self.actions.iter().filter_map(rate).sum()
    }
}

/// Gateways are pods, and this is switched on.
fn on_kubernetes(switches: &[Switch]) -> PlanConfig {
    let on = switches.iter().copied().collect();
    PlanConfig { platform: Platform::Kubernetes { on }, ..PlanConfig::default() }
}

fn pods(names: &[&str]) -> Value {
    json!({"pods": names})
}
