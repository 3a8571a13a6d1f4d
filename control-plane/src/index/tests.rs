//! What is known of nodes after events.

use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::drain::{BackendHealth, DrainPhase, DrainReport, SlowAddress};

use super::*;
use crate::model::Millis;

const NOW: Millis = Millis::new(1_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn entry(started_at: Millis) -> NodeEntry {
    NodeEntry {
        version: "1.0.0".into(),
        started_at,
        connections: 5,
        capacity: 100,
        phase: DrainPhase::Serving,
        admin: None,
    }
}

fn report(name: &str) -> DrainReport {
    DrainReport { node: name.into(), ready: true, connections: 7, capacity: 100, ..DrainReport::default() }
}

fn listed(names: &[&str]) -> Seen {
    Seen::Directory(names.iter().map(|name| (Arc::from(*name), entry(NOW))).collect())
}

#[test]
fn a_node_is_ready_when_it_answers_takes_clients_and_is_not_to_end() {
    let mut fleet = Fleet::new();
    fleet.handle(listed(&["a"]), NOW);
    assert!(!fleet.node("a").unwrap().is_ready(), "it has not answered");
    assert_eq!(fleet.node("a").unwrap().connections(), 5);

    fleet.handle(Seen::Report(report("a")), NOW);
    assert!(fleet.node("a").unwrap().is_ready());
    assert_eq!(fleet.node("a").unwrap().connections(), 7);

    fleet.handle(Seen::Silence("a".into()), NOW + SECOND);
    assert_eq!(fleet.node("a").unwrap().unreachable_since, Some(NOW + SECOND));
    fleet.handle(Seen::Silence("a".into()), NOW + 2 * SECOND);
    assert_eq!(fleet.node("a").unwrap().unreachable_since, Some(NOW + SECOND), "since the first time");

    fleet.handle(Seen::Report(DrainReport { shutting_down: true, ..report("a") }), NOW + 3 * SECOND);
    assert!(!fleet.node("a").unwrap().is_ready());
}

#[test]
fn a_node_without_lease_pod_and_answer_is_gone() {
    let mut fleet = Fleet::new();
    fleet.handle(listed(&["a", "b"]), NOW);
    for name in ["a", "b"] {
        fleet.handle(Seen::Report(report(name)), NOW);
    }

    fleet.handle(listed(&[]), NOW + SECOND);
    assert_eq!(fleet.nodes().count(), 2, "they answered a second ago");
    fleet.handle(Seen::Silence("a".into()), NOW + 2 * SECOND);
    fleet.handle(listed(&[]), NOW + 2 * SECOND);
    assert!(fleet.node("a").is_none());
    fleet.handle(listed(&[]), NOW + 3 * SECOND);
    assert!(fleet.node("b").is_none());
}

#[test]
fn a_process_that_took_the_name_of_another_has_not_answered_yet() {
    let mut fleet = Fleet::new();
    fleet.handle(listed(&["a"]), NOW);
    fleet.handle(Seen::Report(report("a")), NOW);

    fleet.handle(Seen::Directory(vec![("a".into(), entry(NOW + SECOND))]), NOW + SECOND);

    let node = fleet.node("a").unwrap();
    assert_eq!((node.report.is_none(), node.started_at()), (true, NOW + SECOND));
}

#[test]
fn a_pod_of_the_same_name_with_another_uid_is_another_node() {
    let mut fleet = Fleet::new();
    let pod = |uid: &str| Pod { uid: uid.into(), ..Pod::default() };
    fleet.handle(Seen::Pod("a".into(), pod("1")), NOW);
    fleet.handle(Seen::Report(report("a")), NOW);
    fleet.handle(Seen::Pod("a".into(), pod("1")), NOW);
    assert!(fleet.node("a").unwrap().report.is_some());

    fleet.handle(Seen::Pod("a".into(), pod("2")), NOW);
    assert!(fleet.node("a").unwrap().report.is_none());
    fleet.handle(Seen::PodGone("a".into()), NOW);
    assert!(fleet.node("a").is_none());
}

#[test]
fn a_node_ends_at_the_earliest_that_anybody_says() {
    let mut fleet = Fleet::new();
    let ending = DrainReport { shutting_down: true, deadline_in: Some(30.0), ..report("a") };
    fleet.handle(Seen::Report(ending), NOW);
    assert_eq!(fleet.node("a").unwrap().ends_at(), Some(NOW + 30 * SECOND));

    let pod = Pod { deletion_deadline: Some(NOW + 10 * SECOND), ..Pod::default() };
    fleet.handle(Seen::Pod("a".into(), pod), NOW);
    assert_eq!(fleet.node("a").unwrap().ends_at(), Some(NOW + 10 * SECOND));
}

#[test]
fn one_node_too_many_is_left_out_and_counted() {
    let mut fleet = Fleet::new();
    for number in 0..NODES_MAX {
        fleet.handle(Seen::Report(report(&number.to_string())), NOW);
    }
    assert_eq!((fleet.nodes().count(), fleet.left_out()), (NODES_MAX, 0));

    fleet.handle(Seen::Report(report("one more")), NOW);
    assert_eq!((fleet.nodes().count(), fleet.left_out()), (NODES_MAX, 1));
}

#[test]
fn nodes_of_which_nothing_was_heard_are_forgotten() {
    let mut fleet = Fleet::new();
    fleet.handle(Seen::Report(report("a")), NOW);
    fleet.expire(60 * SECOND, NOW + 59 * SECOND);
    assert!(fleet.node("a").is_some());
    fleet.expire(60 * SECOND, NOW + 60 * SECOND);
    assert!(fleet.node("a").is_none());
}

#[test]
fn peers_are_as_slow_as_the_slowest_of_them() {
    let mut fleet = Fleet::new();
    for (name, p99, permits, store) in
        [("a", 10.0, Some(5), BackendHealth::Up), ("b", 90.0, Some(7), BackendHealth::Slow)]
    {
        let mut one = report(name);
        one.load.handshake_p99_ms = p99;
        one.load.free_permits = permits;
        one.store = store;
        fleet.handle(Seen::Report(one), NOW);
    }

    let peers = Peers::of(&fleet);

    assert_eq!((peers.nodes, peers.connections, peers.free()), (2, 14, 186));
    assert_eq!(peers.handshake_p99_ms.to_bits(), 90_f64.to_bits());
    assert_eq!(
        (peers.free_permits, peers.store, peers.bus),
        (Some(12), BackendHealth::Slow, BackendHealth::Up)
    );
    fleet.handle(Seen::Report(report("c")), NOW);
    assert_eq!(Peers::of(&fleet).free_permits, None, "one of them has no limit");
}

#[test]
fn addresses_are_summed_over_nodes_and_the_worst_come_first() {
    let mut fleet = Fleet::new();
    let slow = |address: &str, handshaking| SlowAddress { address: address.into(), handshaking };
    for (name, addresses) in [
        ("a", vec![slow("10.0.0.1", 10), slow("10.0.0.2", 90), slow("10.0.0.3", 20)]),
        ("b", vec![slow("10.0.0.1", 15), slow("10.0.0.3", 30)]),
    ] {
        fleet.handle(Seen::Report(DrainReport { slow_addresses: addresses, ..report(name) }), NOW);
    }

    let found = |handshakes_min, limit| {
        let clients = slow_clients(&fleet, 2, handshakes_min, limit);
        clients.into_iter().map(|slow| (slow.address.to_string(), slow.handshaking)).collect::<Vec<_>>()
    };
    assert_eq!(found(25, 9), [("10.0.0.3".to_owned(), 50), ("10.0.0.1".to_owned(), 25)]);
    assert_eq!(found(26, 9).len(), 1);
    assert_eq!(found(25, 1).len(), 1);
}
