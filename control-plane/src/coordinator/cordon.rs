//! Nodes that take in no clients because someone said so, outside of any operation.

use std::sync::Arc;

use tidegate_protocol::drain::{DrainOrder, DrainPhase, OnCoordinatorLoss, OperationId};

use super::Coordinator;
use crate::http::{Cordon, Requester};
use crate::index::{Fleet, NodeView};
use crate::model::Refused;
use crate::plan::Operations;
use crate::store::CordonRecord;

/// What the ids begin with under which cordoned nodes are told so.
pub(super) const OP_PREFIX: &str = "cordon-";

impl Coordinator {
    /// Notes a wish; the leader's next tick acts on it.
    pub(super) async fn set_cordon(
        &self,
        node: Arc<str>,
        cordon: Cordon,
        who: &Requester,
    ) -> Result<(), Refused> {
        let operations = self.store.live();
        let serves = {
            let state = self.state();
            let Some(view) = state.fleet.node(&node) else {
                return Err(Refused::new("not_found", 404, format!("there is no node {node:?}")));
            };
            if let Some(operation) = owner(view, &operations) {
                let message = format!("operation {operation} has {node}: abort or change that instead");
                return Err(Refused::new("conflict", 409, message).with("operation", operation.as_str()));
            }
            view.report.as_ref().is_some_and(|report| report.phase == DrainPhase::Serving)
        };
        let stands = cordon == Cordon::On;
        let is_cordoned = || self.store.cordons().iter().any(|(name, record)| *name == node && record.stands);
        if !stands && serves && !is_cordoned() {
            return Ok(());
        }
        // One may be lifted that does not stand: a node that an operation left empty is told to serve.
        let record = CordonRecord { requested_by: who.name.to_string(), stands };
        self.store.cordon(&node, record).await.map_err(|error| super::control::unavailable(&error))?;
        self.changed.notify_one();
        Ok(())
    }

    /// What cordoned nodes are told, and those that are so no more.
    pub(super) async fn cordon_orders(
        &self,
        fleet: &Fleet,
        operations: &Operations,
        epoch: u64,
    ) -> Vec<(Arc<str>, DrainOrder)> {
        let mut orders = Vec::new();
        for (name, record) in self.store.cordons() {
            let is_settled = match fleet.node(&name) {
                // One that is gone has no cordon any more: what comes next under its name is another process.
                None => true,
                Some(node) if owner(node, operations).is_some() || node.is_ending() => true,
                Some(node) if record.stands => {
                    orders.extend(order(node, DrainPhase::Announcing, epoch));
                    false
                }
                Some(node) => {
                    let serves =
                        node.report.as_ref().is_some_and(|report| report.phase == DrainPhase::Serving);
                    if !serves {
                        orders.extend(order(node, DrainPhase::Serving, epoch));
                    }
                    serves
                }
            };
            if is_settled && let Err(unavailable) = self.store.forget_cordon(&name).await {
                tracing::debug!(%unavailable, node = %name, "a cordon that is over is forgotten later");
            }
        }
        orders
    }
}

/// The operation that has a node now.
fn owner(node: &NodeView, operations: &Operations) -> Option<OperationId> {
    let has = |operation: &&crate::model::Operation| {
        operation.step(&node.name).is_some_and(|step| step.is_active())
    };
    operations.values().find(has).map(|operation| operation.id.clone())
}

fn order(node: &NodeView, phase: DrainPhase, epoch: u64) -> Option<(Arc<str>, DrainOrder)> {
    // Whatever it is under now may be told to serve; a cordon of our own has a name of its own.
    let current = node.report.as_ref().and_then(|report| report.op.clone());
    let op = current.or_else(|| cordon_id(&node.name))?;
    let order = DrainOrder {
        on_coordinator_loss: OnCoordinatorLoss::Pause,
        reason: Some("cordoned".into()),
        ..DrainOrder::new(op, epoch, 0, phase)
    };
    Some((Arc::clone(&node.name), order))
}

/// Names of nodes can be longer than ids, of which the end tells them apart.
fn cordon_id(node: &str) -> Option<OperationId> {
    let room = tidegate_protocol::drain::OPERATION_ID_CHARS_MAX - OP_PREFIX.len();
    let tail = node.get(node.len().saturating_sub(room)..)?;
    OperationId::parse(&format!("{OP_PREFIX}{tail}")).ok()
}
