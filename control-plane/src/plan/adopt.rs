//! Foreign terminations: a node that ends without having been asked here gets an operation of its own, with its real
//! deadline, so that it shares the budget and leaves a record.

use std::sync::Arc;

use tidegate_protocol::drain::OperationId;

use super::{Operations, targets};
use crate::index::{Fleet, NodeView};
use crate::model::{
    Amount, Common, DrainSpec, Guards, Millis, Operation, OperationState, Running, Source, Spec, StepPhase,
    Targets,
};

/// Adds an operation for each node that ends and that none has.
pub(super) fn adopt(fleet: &Fleet, operations: &mut Operations, now: Millis) {
    for node in fleet.nodes().filter(|node| node.is_ending()) {
        let is_gone = node.is_gone();
        // One whose turn has not come is no longer anybody's: it will not wait for its turn. One that is gone may have been
        // part of an operation that is over by now.
        let has_one = operations
            .values()
            .filter(|operation| is_gone || !operation.state.is_terminal())
            .filter_map(|operation| operation.step(&node.name))
            .filter(|step| step.node_started_at >= node.started_at())
            .any(|step| step.is_active() || is_gone && step.has_ended());
        let id = id(node);
        if !has_one && !operations.contains_key(&id) {
            let mut operation = adopted(id.clone(), node, now);
            operation.count();
            operations.insert(id, operation);
        }
    }
}

fn adopted(id: OperationId, node: &NodeView, now: Millis) -> Operation {
    let source = source(node);
    let spec = DrainSpec {
        common: Common { guards: Guards::none(), force: true, ..Common::default() },
        targets: Targets::pods([Arc::clone(&node.name)]),
        min_serving: Amount::Count(0),
        ..DrainSpec::default()
    };
    let mut operation = Operation::new(id, Spec::Drain(spec), source, format!("{source}"), now);
    let mut step = targets::step(node, 1);
    step.phase = StepPhase::Draining;
    step.started_at = Some(now);
    step.deadline_at = node.ends_at();
    operation.deadline_at = node.ends_at();
    operation.started_at = Some(now);
    operation.state = OperationState::Running(Running::Draining);
    operation.steps.push(step);
    operation
}

fn source(node: &NodeView) -> Source {
    let of_pod = node.pod.as_ref().filter(|pod| pod.deletion_deadline.is_some());
    of_pod.map_or(Source::Signal, |pod| pod.deleted_by.unwrap_or(Source::Kubectl))
}

/// The same for every leader: of the node's name and the start of its process.
fn id(node: &NodeView) -> OperationId {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = node.name.chars().rev().take(NAME_CHARS_MAX).map(plain).collect();
    let name: String = name.chars().rev().collect();
    let started = node.started_at().count();
    OperationId::parse(&format!("ending-{name}-{started}"))
        .expect("27 fixed characters and 36 of the name, all plain")
}

/// The end of a pod's name is what tells it from others.
const NAME_CHARS_MAX: usize = 36;
