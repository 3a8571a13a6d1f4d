//! Rebalance, and addresses that hold handshakes open.

use tidegate_protocol::drain::SlowAddress;

use super::*;
use crate::plan::AutoRebalance;

#[test]
fn a_rebalance_gives_away_what_is_over_the_average_and_not_more() {
    let mut stage = Stage::new(&[400, 400, 400, 0, 0]);
    stage.ask("r", json!({"kind": "rebalance"})).unwrap();

    stage.tick();

    for giver in ["a", "b", "c"] {
        let order = stage.order(giver).unwrap();
        assert_eq!((order.phase.as_str(), order.moves), ("rebalancing", Some(160)));
    }
    assert_eq!(stage.ordered("d"), None);
}

#[test]
fn it_stops_at_its_limit() {
    let mut stage = Stage::new(&[400, 400, 400, 0, 0]);
    stage.ask("r", json!({"kind": "rebalance", "maxMoves": 30})).unwrap();

    stage.tick();

    let moves: u64 = ["a", "b", "c"].iter().filter_map(|name| stage.order(name)?.moves).sum();
    assert_eq!(moves, 30);
}

#[test]
fn a_giver_serves_again_when_its_sessions_are_back() {
    let mut stage = Stage::new(&[300, 100]);
    stage.ask("r", json!({"kind": "rebalance"})).unwrap();
    stage.tick();
    stage.obey("a", 200);
    stage.node("a").displaced = 5;
    stage.tick();
    assert_eq!(stage.ordered("a"), Some("rebalancing"));

    stage.node("a").displaced = 0;
    stage.tick();
    assert_eq!(stage.ordered("a"), Some("serving"));
    stage.obey("a", 200);
    stage.tick();
    assert_eq!(stage.state("r"), "Succeeded");
}

#[test]
fn an_even_cluster_is_left_as_it_is() {
    let mut stage = Stage::new(&[100, 105, 95]);
    stage.ask("r", json!({"kind": "rebalance"})).unwrap();

    stage.tick();

    assert_eq!(stage.state("r"), "Succeeded");
    assert_eq!(stage.operation("r").message, "sessions are spread evenly enough");
}

#[test]
fn it_begins_by_itself_only_when_it_was_uneven_for_a_while() {
    let rebalance = AutoRebalance { enabled: true, ..AutoRebalance::default() };
    let mut stage = Stage::with(PlanConfig { rebalance, ..PlanConfig::default() }, &[300, 300, 0]);

    stage.ticks(10);
    assert!(stage.operations.is_empty());
    stage.tick();
    assert_eq!(stage.operations.len(), 1);
    let moves: u64 = ["a", "b"].iter().filter_map(|name| stage.order(name)?.moves).sum();
    assert_eq!(moves, 200);
}

#[test]
fn it_does_not_begin_by_itself_while_something_else_goes_on_or_it_is_switched_off() {
    let rebalance = AutoRebalance { enabled: true, ..AutoRebalance::default() };
    let mut stage = Stage::with(PlanConfig { rebalance, ..PlanConfig::default() }, &[300, 300, 0]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["c"]), "headroom": 0})).unwrap();
    stage.tell("d", Command::Pause).unwrap();
    stage.ticks(30);
    assert_eq!(stage.operations.len(), 1);

    let mut stage = Stage::new(&[300, 300, 0]);
    stage.ticks(30);
    assert!(stage.operations.is_empty());
}

#[test]
fn an_address_that_is_harmless_on_each_node_is_refused_on_all() {
    let mut stage = Stage::new(&[1, 1, 1]);
    let slow = |address: &str, handshaking| SlowAddress { address: address.into(), handshaking };
    stage.node("a").slow_addresses = vec![slow("10.0.0.7", 40), slow("10.0.0.8", 63)];
    stage.node("b").slow_addresses = vec![slow("10.0.0.7", 30)];

    stage.tick();
    assert!(stage.actions.contains(&Action::Block { addresses: vec!["10.0.0.7".into()] }));

    stage.node("a").slow_addresses.clear();
    stage.ticks(59);
    assert!(stage.actions.iter().any(|action| matches!(action, Action::Block { .. })));
    stage.tick();
    assert!(!stage.actions.iter().any(|action| matches!(action, Action::Block { .. })));
}
