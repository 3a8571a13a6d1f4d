//! What only the leader does: plans, tells the nodes, writes down.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_protocol::drain::{Blocklist, DrainOrder, DrainPhase, OperationId};
use tokio::join;

use super::{Coordinator, Lead};
use crate::agents::Agent;
use crate::index::{Fleet, Seen};
use crate::model::{Operation, Source, Spec, Targets};
use crate::plan::{Action, Operations};
use crate::spans;

/// How long a list of addresses holds without being repeated.
const BLOCK_TTL: Duration = Duration::from_secs(10);

/// For how long the plan is told of operations that are over: longer than a pod is shown that is gone.
const OVER_KNOWN: Duration = Duration::from_secs(60);

/// What a tick decided, sorted by who does it.
#[derive(Default)]
struct Work {
    orders: Vec<(Arc<str>, DrainOrder)>,
    changed: Vec<OperationId>,
    blocked: Option<Vec<Arc<str>>>,
    /// For Kubernetes.
    pods: Vec<Action>,
}

impl Coordinator {
    /// Plans and does one tick's work.
    pub(super) async fn act(&self, lead: &mut Lead) {
        let now = self.clock.now();
        // Pods are shown for a while after they are gone, and how they ended may be told by what is over by then.
        let before = self.store.live_since(now - OVER_KNOWN);
        let mut operations = before.clone();
        let (actions, fleet) = {
            let mut state = self.state();
            self.adopt_again(&state.fleet, &mut operations);
            let actions = lead.planner.tick(&state.fleet, &mut operations, now);
            state.budget = lead.planner.budget();
            (actions, state.fleet.clone())
        };
        let mut work = sort(actions);
        for id in &work.changed {
            let Some(operation) = operations.get(id) else { continue };
            let based_on = before.get(id).map_or(0, |before| before.revision);
            let mut operation = operation.clone();
            operation.trace.get_or_insert_with(spans::new_trace);
            if operation.state.is_terminal() {
                spans::tell(&self.tracer, &operation);
            }
            self.store.put(operation, based_on);
        }
        let cordons = self.cordon_orders(&fleet, &operations, lead.epoch).await;
        work.orders.extend(cordons);
        for (_, order) in &mut work.orders {
            lead.seq += 1;
            order.seq = lead.seq;
        }
        let agents = self.agents_by_name();
        self.tell_pods(&work.pods, &operations);
        let (flushed, (), ()) = join!(
            self.store.flush(),
            self.tell(lead.epoch, work.orders, &agents),
            self.block(lead.epoch, lead.seq, work.blocked, &agents),
        );
        if let Err(unavailable) = flushed {
            tracing::warn!(%unavailable, "what changed of operations is written later");
        }
    }

    /// Tells each node what is wanted of it; what it answers is as good as a report.
    async fn tell(
        &self,
        epoch: u64,
        orders: Vec<(Arc<str>, DrainOrder)>,
        agents: &BTreeMap<Arc<str>, Agent>,
    ) {
        // Planning took a moment: an order of a lead that is over is not sent.
        if self.elector.leading() != Some(epoch) {
            return;
        }
        let reachable =
            orders.into_iter().filter_map(|(node, order)| Some((agents.get(&node)?.clone(), order)));
        let orders: Vec<_> = reachable.collect();
        self.counts.orders.fetch_add(orders.len() as u64, Ordering::Relaxed);
        let answers = self.agents.order(orders).await;
        let now = self.clock.now();
        let mut state = self.state();
        for (_, answer) in answers {
            if let Ok(report) = answer {
                self.elector.note_epoch(report.epoch);
                state.fleet.handle(Seen::Report(report), now);
            }
        }
    }

    /// Tells every node whom to refuse at the door. Nobody is told to refuse nobody: lists end by themselves.
    async fn block(
        &self,
        epoch: u64,
        seq: u64,
        addresses: Option<Vec<Arc<str>>>,
        agents: &BTreeMap<Arc<str>, Agent>,
    ) {
        let Some(addresses) = addresses.filter(|addresses| !addresses.is_empty()) else { return };
        let list = Blocklist { epoch, seq, ttl: BLOCK_TTL, addresses };
        self.agents.block(agents.values().cloned().collect(), &list).await;
    }

    fn tell_pods(&self, actions: &[Action], operations: &Operations) {
        if let Some(pods) = &self.pods {
            pods.perform(actions, operations, self.clock.now());
        }
    }

    /// Takes up operations that nodes work at and nobody knows any more: the store was emptied while no replica was there
    /// to remember. How fast they were to go is forgotten; which nodes they were about is what the nodes say.
    fn adopt_again(&self, fleet: &Fleet, operations: &mut Operations) {
        let mut orphans: BTreeMap<OperationId, Vec<Arc<str>>> = BTreeMap::new();
        for node in fleet.nodes() {
            let Some(report) = &node.report else { continue };
            let is_at_work = !report.shutting_down && report.phase != DrainPhase::Serving;
            let Some(op) = report.op.as_ref().filter(|_| is_at_work) else { continue };
            let is_cordon = op.as_str().starts_with(super::cordon::OP_PREFIX);
            if !is_cordon && !operations.contains_key(op) && self.store.operation(op).is_none() {
                orphans.entry(op.clone()).or_default().push(Arc::clone(&node.name));
            }
        }
        for (id, nodes) in orphans {
            tracing::warn!(op = %id, nodes = nodes.len(), "an operation that nobody remembers is taken up again");
            self.counts.adopted_again.fetch_add(1, Ordering::Relaxed);
            let operation = orphan(id.clone(), nodes, self.clock.now());
            self.store.put(operation.clone(), 0);
            operations.insert(id, operation);
        }
    }
}

fn orphan(id: OperationId, nodes: Vec<Arc<str>>, now: tidegate_protocol::time::Millis) -> Operation {
    let mut drain = crate::model::DrainSpec { targets: Targets::pods(nodes), ..Default::default() };
    // Its nodes are out already: whether there is room for that is no question any more.
    drain.common.force = true;
    drain.common.reason = Some("found on its nodes; the store had forgotten it".to_owned());
    Operation::new(id, Spec::Drain(drain), Source::Api, "unknown".to_owned(), now)
}

fn sort(actions: Vec<Action>) -> Work {
    let mut work = Work::default();
    for action in actions {
        match action {
            Action::Order { node, order } => work.orders.push((node, *order)),
            Action::Persist { op } => work.changed.push(op),
            Action::Block { addresses } => work.blocked = Some(addresses),
            action @ (Action::Evict { .. }
            | Action::Detach { .. }
            | Action::Scale { .. }
            | Action::DeletionCost { .. }
            | Action::Event { .. }) => {
                work.pods.push(action);
            }
        }
    }
    work
}
