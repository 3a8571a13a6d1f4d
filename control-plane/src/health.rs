//! The cluster in one document: what is known of nodes, budget and operations, and what of it clients feel.
//!
//! Place in the path: the coordinator makes one each tick; it goes out over HTTP, as events, and on the bus
//! ([`publish`]). Pure but for that.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_cluster::State;
use tidegate_cluster::nats::NatsBus;
use tidegate_protocol::drain::{BackendHealth, DrainPhase};
use tidegate_protocol::time::{Millis, whole_ms};
use tokio::sync::watch;

use crate::index::{Fleet, NodeView};
use crate::model::{
    BudgetHealth, ClusterHealth, Complaint, HEALTH_VERSION, LeaderHealth, NodeHealth, Operation,
    OperationHealth,
};
use crate::plan::{Operations, PlanConfig};

/// How often the document is said again on the bus when nothing changes.
const REPEAT: Duration = Duration::from_secs(5);
/// Of a thousand places, so many taken are too many: those who come back from one node find no room.
const FULL_PERMILLE: u64 = 950;

/// What the document is made from.
pub(crate) struct Sight<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) operations: &'a Operations,
    pub(crate) leader: LeaderHealth,
    pub(crate) budget: BudgetHealth,
    pub(crate) plan: &'a PlanConfig,
    /// How this process reaches the store.
    pub(crate) store: State,
    pub(crate) now: Millis,
}

/// What is said before anything is known.
pub(crate) fn unknown(now: Millis) -> ClusterHealth {
    ClusterHealth {
        version: HEALTH_VERSION,
        at: now,
        serves_well: false,
        complaints: vec![severe("starting", "nothing is known of the cluster yet")],
        leader: LeaderHealth::default(),
        connections: 0,
        capacity: 0,
        nodes_ready: 0,
        nodes: Vec::new(),
        store: BackendHealth::Unknown,
        bus: BackendHealth::Unknown,
        budget: BudgetHealth::default(),
        operations: Vec::new(),
    }
}

/// The document as things stand.
pub(crate) fn document(sight: &Sight<'_>) -> ClusterHealth {
    let owners = owners(sight.operations);
    let nodes: Vec<_> =
        sight.fleet.nodes().map(|node| node_health(node, owners.get(&node.name), sight.now)).collect();
    let ready = || sight.fleet.nodes().filter(|node| node.is_ready());
    let mut operations: Vec<_> = sight.operations.values().collect();
    operations.sort_by_key(|operation| (operation.created_at, operation.id.clone()));
    let budget = if sight.leader.is_self { sight.budget } else { budget_as_seen(sight) };
    let mut health = ClusterHealth {
        version: HEALTH_VERSION,
        at: sight.now,
        serves_well: true,
        complaints: Vec::new(),
        leader: sight.leader.clone(),
        connections: sight.fleet.nodes().map(NodeView::connections).sum(),
        capacity: ready().map(NodeView::capacity).sum(),
        nodes_ready: ready().count() as u64,
        nodes,
        store: worst(sight.fleet, |node| node.store),
        bus: worst(sight.fleet, |node| node.bus),
        budget,
        operations: operations.into_iter().map(operation_health).collect(),
    };
    health.complaints = complaints(&health, sight);
    health.serves_well = !health.complaints.iter().any(|complaint| complaint.severe);
    health
}

/// What is wrong, the severe first. Severe is what clients feel now; the rest is for whoever runs the cluster.
fn complaints(health: &ClusterHealth, sight: &Sight<'_>) -> Vec<Complaint> {
    let mut found = Vec::new();
    let silent = health.nodes.iter().filter(|node| !node.reachable).count();
    match (health.nodes.len(), health.nodes_ready) {
        (0, _) => found.push(severe("no_nodes", "no gateway is known: is the store the one that they have?")),
        (_, 0) => found.push(severe("no_ready_node", "no gateway takes new clients")),
        _ => {}
    }
    match health.store {
        BackendHealth::Down => found.push(severe("store_down", "a gateway cannot reach the store")),
        BackendHealth::Slow => found.push(mild("store_slow", "the store answers late")),
        BackendHealth::Up | BackendHealth::Unknown => {}
    }
    match health.bus {
        BackendHealth::Down => found.push(severe("bus_down", "a gateway cannot reach the bus")),
        BackendHealth::Slow => found.push(mild("bus_slow", "the bus answers late")),
        BackendHealth::Up | BackendHealth::Unknown => {}
    }
    let on_ready: u64 = sight.fleet.nodes().filter(|node| node.is_ready()).map(NodeView::connections).sum();
    if health.capacity > 0 && on_ready * 1_000 >= health.capacity * FULL_PERMILLE {
        let message = format!("{on_ready} of {} places on ready gateways are taken", health.capacity);
        found.push(severe("full", &message));
    }
    let slowest = slowest_handshake(sight.fleet);
    if slowest > sight.plan.budget.handshake_p99 {
        let message = format!("one of 100 handshakes takes {} ms or longer", slowest.as_millis());
        found.push(severe("handshakes_slow", &message));
    }
    if silent > 0 {
        found.push(mild(
            "nodes_unreachable",
            &format!("{silent} of {} gateways do not answer", health.nodes.len()),
        ));
    }
    if health.leader.name.is_none() {
        found.push(mild("no_leader", "nobody coordinates: drains follow their onCoordinatorLoss"));
    }
    if !sight.store.is_reachable() {
        found.push(mild(
            "store_unreachable",
            "this replica cannot reach the store: operations may be out of date",
        ));
    }
    found.sort_by_key(|complaint| !complaint.severe);
    found
}

fn node_health(node: &NodeView, owner: Option<&&Operation>, now: Millis) -> NodeHealth {
    NodeHealth {
        name: Arc::clone(&node.name),
        report: node.report.clone(),
        report_age_ms: node.reported_at.map(|at| whole_ms(now.since(at))),
        reachable: node.unreachable_since.is_none() && node.report.is_some(),
        operation: owner.map(|operation| operation.id.clone()),
        zone: Some(node.zone().to_owned()).filter(|zone| !zone.is_empty()),
        revision: node.revision().map(str::to_owned),
        started_at: node.entry.as_ref().map(|entry| entry.started_at),
    }
}

fn operation_health(operation: &Operation) -> OperationHealth {
    OperationHealth {
        id: operation.id.clone(),
        kind: operation.spec.kind(),
        source: operation.source,
        state: operation.state,
        conditions: operation.conditions.clone(),
        counters: operation.counters,
        revision: operation.revision,
    }
}

/// Which operation has which node now.
fn owners(operations: &Operations) -> BTreeMap<Arc<str>, &Operation> {
    let steps =
        operations.values().flat_map(|operation| operation.steps.iter().map(move |step| (step, operation)));
    steps.filter(|(step, _)| step.is_active()).map(|(step, owner)| (Arc::clone(&step.node), owner)).collect()
}

/// The budget as one sees it who does not share it out: what nodes were told, and what they do.
fn budget_as_seen(sight: &Sight<'_>) -> BudgetHealth {
    let config = &sight.plan.budget;
    let is_sending = |node: &&NodeView| {
        let phase = node.report.as_ref().map(|report| &report.phase);
        matches!(phase, Some(DrainPhase::Evicting | DrainPhase::Bursting | DrainPhase::Rebalancing))
    };
    let sending = || sight.fleet.nodes().filter(is_sending);
    let a_second = |(sent, time): (u64, Duration)| {
        let sent = u32::try_from(sent).map_or(f64::MAX, f64::from);
        if time.is_zero() { 0.0 } else { sent / time.as_secs_f64() }
    };
    BudgetHealth {
        max_rate: config.max_rate,
        rate: config.max_rate,
        allowed: sending().filter_map(|node| node.report.as_ref()).map(|report| report.rate).sum(),
        used: sending().filter_map(|node| node.sent_away).map(a_second).sum(),
        max_displaced: config.max_displaced,
        displaced: displaced(sight.fleet),
        slowed: false,
    }
}

fn displaced(fleet: &Fleet) -> u64 {
    fleet.nodes().filter_map(|node| node.report.as_ref()).map(|report| report.displaced).sum()
}

fn slowest_handshake(fleet: &Fleet) -> Duration {
    let ready = fleet.nodes().filter(|node| node.is_ready()).filter_map(|node| node.report.as_ref());
    let slowest = ready.map(|report| report.load.handshake_p99_ms).fold(0.0, f64::max);
    Duration::try_from_secs_f64(slowest / 1_000.0).unwrap_or_default()
}

/// The worst that a node that takes clients says.
fn worst(
    fleet: &Fleet,
    of: impl Fn(&tidegate_protocol::drain::DrainReport) -> BackendHealth,
) -> BackendHealth {
    let badness = |health: &BackendHealth| match health {
        BackendHealth::Unknown => 0,
        BackendHealth::Up => 1,
        BackendHealth::Slow => 2,
        BackendHealth::Down => 3,
    };
    let answering = fleet.nodes().filter(|node| node.unreachable_since.is_none());
    let reports = answering.filter_map(|node| node.report.as_ref());
    let serving = reports.filter(|report| report.phase == DrainPhase::Serving);
    serving.map(of).max_by_key(badness).unwrap_or(BackendHealth::Unknown)
}

fn severe(code: &str, message: &str) -> Complaint {
    Complaint { code: code.to_owned(), message: message.to_owned(), severe: true }
}

fn mild(code: &str, message: &str) -> Complaint {
    Complaint { code: code.to_owned(), message: message.to_owned(), severe: false }
}

/// Says the leader's document on the bus: when something people look at has changed, and else every few seconds.
pub(crate) async fn publish(bus: &NatsBus, mut documents: watch::Receiver<Arc<ClusterHealth>>) {
    let mut said: Option<(Vec<u8>, tokio::time::Instant)> = None;
    while documents.changed().await.is_ok() {
        let document = Arc::clone(&documents.borrow_and_update());
        if !document.leader.is_self {
            said = None;
            continue;
        }
        let digest = digest(&document);
        let is_new = said.as_ref().is_none_or(|(before, at)| *before != digest || at.elapsed() >= REPEAT);
        if !is_new {
            continue;
        }
        let body = serde_json::to_vec(&*document).expect("a health document is plain data");
        match bus.publish_health(Bytes::from(body)).await {
            Ok(()) => said = Some((digest, tokio::time::Instant::now())),
            Err(unavailable) => tracing::debug!(%unavailable, "the health document did not go out"),
        }
    }
}

/// What makes a document worth saying again at once: not the numbers that move all the time.
fn digest(document: &ClusterHealth) -> Vec<u8> {
    let phases: Vec<_> = document
        .nodes
        .iter()
        .map(|node| {
            (&node.name, node.reachable, node.report.as_ref().map(|report| (&report.phase, report.ready)))
        })
        .collect();
    let operations: Vec<_> = document
        .operations
        .iter()
        .map(|operation| (&operation.id, operation.state, &operation.conditions))
        .collect();
    let codes: Vec<_> = document.complaints.iter().map(|complaint| &complaint.code).collect();
    let seen = (document.serves_well, codes, &document.leader, phases, operations);
    serde_json::to_vec(&seen).expect("parts of a health document are plain data")
}
