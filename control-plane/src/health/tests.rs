//! What the document says of small clusters.

use tidegate_protocol::drain::{DrainLoad, DrainReport};

use super::*;
use crate::index::Seen;

const NOW: Millis = Millis::new(1_700_000_000_000);

fn report(node: &str) -> DrainReport {
    DrainReport { node: node.into(), ready: true, capacity: 100, connections: 10, ..DrainReport::default() }
}

fn health_of(reports: Vec<DrainReport>) -> ClusterHealth {
    let mut fleet = Fleet::new();
    for report in reports {
        fleet.handle(Seen::Report(report), NOW);
    }
    health_of_fleet(&fleet)
}

fn health_of_fleet(fleet: &Fleet) -> ClusterHealth {
    let leader = LeaderHealth { name: Some("cp-1".to_owned()), epoch: 3, is_self: true };
    document(&Sight {
        fleet,
        operations: &Operations::new(),
        leader,
        budget: BudgetHealth::default(),
        plan: &PlanConfig::default(),
        store: State::Up,
        now: NOW,
    })
}

fn codes(health: &ClusterHealth) -> Vec<(&str, bool)> {
    health.complaints.iter().map(|complaint| (&*complaint.code, complaint.severe)).collect()
}

#[test]
fn clients_of_two_ready_nodes_are_well_served() {
    let health = health_of(vec![report("a"), report("b")]);
    assert!(health.serves_well, "{:?}", health.complaints);
    assert_eq!((health.connections, health.capacity, health.nodes_ready), (20, 200, 2));
    assert_eq!(health.store, BackendHealth::Up);
}

#[test]
fn each_thing_that_clients_feel_is_said_and_makes_it_unwell() {
    let slow = DrainLoad { handshake_p99_ms: 60_000.0, ..DrainLoad::default() };
    for (code, reports) in [
        ("no_nodes", vec![]),
        ("no_ready_node", vec![DrainReport { ready: false, ..report("a") }]),
        ("store_down", vec![report("a"), DrainReport { store: BackendHealth::Down, ..report("b") }]),
        ("bus_down", vec![DrainReport { bus: BackendHealth::Down, ..report("a") }]),
        ("full", vec![DrainReport { connections: 95, ..report("a") }]),
        ("handshakes_slow", vec![DrainReport { load: slow, ..report("a") }]),
    ] {
        let health = health_of(reports);
        assert_eq!(codes(&health), [(code, true)]);
        assert!(!health.serves_well);
    }
    assert!(health_of(vec![DrainReport { connections: 94, ..report("a") }]).serves_well);
}

#[test]
fn a_silent_node_is_said_and_clients_of_the_others_are_well_served() {
    let mut fleet = Fleet::new();
    for node in ["a", "b"] {
        fleet.handle(Seen::Report(report(node)), NOW);
    }
    fleet.handle(Seen::Silence("b".into()), NOW);
    let health = health_of_fleet(&fleet);
    assert_eq!(codes(&health), [("nodes_unreachable", false)]);
    assert!(health.serves_well);
}

#[test]
fn numbers_alone_are_no_news_and_a_phase_is() {
    let before = digest(&health_of(vec![report("a")]));
    assert_eq!(digest(&health_of(vec![DrainReport { connections: 11, ..report("a") }])), before);
    let draining = DrainReport { phase: DrainPhase::Evicting, ..report("a") };
    assert_ne!(digest(&health_of(vec![draining])), before);
}
