//! A drain: its phases, and what people, deadlines and deaths do to it.

use super::*;

#[test]
fn a_drain_empties_its_node_and_holds_it() {
    let mut stage = Stage::new(&[100, 100, 100]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"])})).unwrap();

    stage.tick();
    assert_eq!(stage.ordered("a"), Some("evicting"));
    assert_eq!(stage.ordered("b"), None);
    assert_eq!(stage.state("d"), "Running (Cordoning)");

    stage.obey("a", 60);
    stage.tick();
    assert_eq!(stage.state("d"), "Running (Draining)");
    assert_eq!((stage.operation("d").counters.moved, stage.operation("d").counters.remaining), (40, 60));

    stage.obey("a", 0);
    stage.ticks(2);
    assert_eq!(stage.state("d"), "Succeeded");
    assert_eq!(stage.operation("d").counters.resumed, 100);
}

#[test]
fn each_order_has_the_epoch_and_a_higher_number() {
    let mut stage = Stage::new(&[100, 100, 100]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"])})).unwrap();

    stage.tick();
    let first = stage.order("a").unwrap().clone();
    stage.tick();
    let second = stage.order("a").unwrap().clone();

    assert_eq!((first.epoch, second.epoch), (7, 7));
    assert!(second.seq > first.seq);
}

#[test]
fn waves_follow_on_each_other_with_time_between_them() {
    let mut stage = Stage::new(&[10, 20, 30, 40]);
    let body = json!({"kind": "drain", "targets": pods(&["a", "b"]), "soak": "3s"});
    stage.ask("d", body).unwrap();

    stage.tick();
    assert_eq!((stage.ordered("a"), stage.ordered("b")), (Some("evicting"), None));
    stage.obey("a", 0);
    stage.tick();
    assert_eq!(stage.state("d"), "Running (Soaking)");
    stage.ticks(2);
    assert_eq!(stage.phase("d", "b"), StepPhase::Waiting);
    stage.tick();
    assert_eq!(stage.phase("d", "b"), StepPhase::Draining);
}

#[test]
fn a_paused_drain_keeps_its_clients_and_goes_on_where_it_was() {
    let mut stage = Stage::new(&[100, 100, 100]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"])})).unwrap();
    stage.tick();
    stage.obey("a", 50);
    stage.tick();

    stage.tell("d", Command::Pause).unwrap();
    stage.tick();
    assert_eq!(stage.ordered("a"), Some("paused"));
    assert_eq!(stage.why("d", ConditionKind::Paused), Some("Requested"));
    assert_eq!(stage.state("d"), "Running (Draining)");

    stage.tell("d", Command::Resume).unwrap();
    stage.tick();
    assert_eq!(stage.ordered("a"), Some("evicting"));
    assert_eq!(stage.why("d", ConditionKind::Paused), None);
}

#[test]
fn an_aborted_drain_opens_its_node_again_and_says_how_many_had_moved() {
    let mut stage = Stage::new(&[100, 100, 100]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"])})).unwrap();
    stage.tick();
    stage.obey("a", 70);
    stage.tick();

    stage.tell("d", Command::Abort).unwrap();
    stage.tick();
    assert_eq!(stage.ordered("a"), Some("serving"));
    stage.obey("a", 70);
    stage.tick();

    assert_eq!(stage.state("d"), "Aborted");
    assert_eq!(stage.phase("d", "a"), StepPhase::Reopened);
    assert_eq!(stage.operation("d").message, "aborted; 30 clients had been moved");
}

#[test]
fn an_aborted_drain_is_not_over_while_its_node_has_not_heard_of_it() {
    let mut stage = Stage::new(&[100, 100, 100]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"])})).unwrap();
    stage.tick();
    stage.tell("d", Command::Abort).unwrap();

    let silent = stage.nodes.remove(0);
    stage.nodes.push((silent.0.clone(), DrainReport { node: "z".into(), ..silent.1.clone() }));
    stage.now = stage.now + Duration::from_secs(1);
    stage.fleet.handle(Seen::Silence("a".into()), stage.now);
    stage.actions = stage.planner.tick(&stage.fleet, &mut stage.operations, stage.now);

    assert_eq!(stage.phase("d", "a"), StepPhase::Reopening);
    assert_eq!(stage.why("d", ConditionKind::AgentUnreachable), Some("NoAnswer"));
}

#[test]
fn a_retry_takes_what_is_left() {
    let mut stage = Stage::new(&[10, 20, 300, 300]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a", "b"])})).unwrap();
    stage.tick();
    stage.obey("a", 5);
    stage.tick();
    stage.tell("d", Command::Abort).unwrap();
    stage.tick();
    stage.obey("a", 5);
    stage.tick();
    assert_eq!(stage.state("d"), "Aborted");

    stage.tell("d", Command::Retry).unwrap();
    stage.tick();

    assert_eq!(stage.ordered("a"), Some("evicting"));
    assert_eq!(stage.operation("d").steps.len(), 2);
}

#[test]
fn a_node_that_dies_before_its_turn_is_lost_unless_it_was_empty() {
    for (clients, phase) in [(100, StepPhase::Lost), (0, StepPhase::Done)] {
        let mut stage = Stage::new(&[50, 100, 100]);
        stage.ask("d", json!({"kind": "drain", "targets": pods(&["a", "b"])})).unwrap();
        stage.tick();
        stage.node("b").connections = clients;
        stage.tick();
        assert_eq!(stage.phase("d", "b"), StepPhase::Waiting);

        stage.remove("b");
        stage.ticks(4);

        assert_eq!(stage.phase("d", "b"), phase, "{clients} clients");
    }
}

#[test]
fn a_node_that_dies_costs_the_budget_its_clients() {
    let mut stage = Stage::new(&[100, 100, 100]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"])})).unwrap();
    stage.tick();
    stage.obey("a", 80);
    stage.tick();

    stage.remove("a");
    stage.ticks(4);

    assert_eq!(stage.phase("d", "a"), StepPhase::Lost);
    assert_eq!(stage.operation("d").counters.forced, 80);
    assert_eq!(stage.planner.budget().displaced, 80);
    assert_eq!(stage.operation("d").message, "1 nodes were gone before their clients had moved");
}

#[test]
fn what_happens_at_the_deadline_is_what_was_asked_for() {
    for (asked, order, state, paused) in [
        ("burst", "bursting", "Running (Draining)", None),
        ("pause", "paused", "Running (Draining)", Some("Deadline")),
        ("abort", "serving", "Running (Draining)", None),
    ] {
        let mut stage = Stage::new(&[100, 100, 100]);
        let body = json!({"kind": "drain", "targets": pods(&["a"]), "deadline": "5s", "onDeadline": asked});
        stage.ask("d", body).unwrap();
        stage.tick();
        stage.obey("a", 90);
        stage.ticks(5);

        assert_eq!(stage.ordered("a"), Some(order), "{asked}");
        assert_eq!(stage.state("d"), state, "{asked}");
        assert_eq!(stage.why("d", ConditionKind::Paused), paused, "{asked}");
    }
}

#[test]
fn a_drain_whose_deadline_comes_before_all_had_their_turn_fails() {
    let mut stage = Stage::new(&[10, 20, 300, 300]);
    stage
        .ask("d", json!({"kind": "drain", "targets": pods(&["a", "b"]), "deadline": "3s", "soak": "60s"}))
        .unwrap();
    stage.tick();
    stage.obey("a", 0);
    stage.ticks(4);

    assert_eq!(stage.state("d"), "Failed");
    assert_eq!(stage.operation("d").message, "its deadline came before the turn of 1 nodes");
}

#[test]
fn a_deadline_that_the_rate_cannot_keep_is_told() {
    let mut stage = Stage::new(&[900, 0, 0]);
    let body = json!({"kind": "drain", "targets": pods(&["a"]), "deadline": "60s", "maxRate": 2});
    stage.ask("d", body).unwrap();

    stage.ticks(2);
    assert_eq!(
        stage.why("d", ConditionKind::DeadlineAtRisk),
        None,
        "it gets what it needs, up to the budget"
    );

    let mut stage = Stage::new(&[900, 0, 0]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"]), "deadline": "3s"})).unwrap();
    stage.planner.config.budget.max_rate = 10.0;
    stage.planner = Planner::new(stage.planner.config.clone(), 7, stage.now);
    stage.tick();
    assert_eq!(stage.why("d", ConditionKind::DeadlineAtRisk), Some("RateTooLow"));
}

#[test]
fn guards_slow_pause_or_abort() {
    for (action, order, kind) in [
        ("slow", "evicting", ConditionKind::Slowed),
        ("pause", "paused", ConditionKind::Paused),
        ("abort", "serving", ConditionKind::Aborting),
    ] {
        let mut stage = Stage::new(&[600, 10, 10]);
        let guards = json!({"handshakeP99": "300ms"});
        let body = json!({"kind": "drain", "targets": pods(&["a"]), "guards": guards, "guardAction": action});
        stage.ask("d", body).unwrap();
        stage.tick();
        stage.obey("a", 600);
        let before = stage.rates();

        stage.node("b").load.handshake_p99_ms = 400.0;
        stage.tick();

        assert_eq!(stage.ordered("a"), Some(order), "{action}");
        assert!(stage.why("d", kind).is_some(), "{action}");
        assert!(stage.rates() <= before * 0.1 + 1e-9, "{action}");
    }
}

#[test]
fn a_guard_is_broken_by_peers_that_refuse_clients_for_want_of_room() {
    let mut stage = Stage::new(&[600, 10, 10]);
    let guards = json!({"handshakeErrorRatio": 0.05});
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"]), "guards": guards})).unwrap();
    for (name, taken, refused) in [("b", 60.0, 4.0), ("c", 36.0, 0.0)] {
        stage.node(name).load.handshakes_per_second = taken;
        stage.node(name).load.refused_per_second = refused;
    }
    stage.tick();
    assert_eq!(stage.why("d", ConditionKind::Paused), None, "4 of 100");

    stage.node("b").load.refused_per_second = 6.0;
    stage.tick();
    assert_eq!(stage.why("d", ConditionKind::Paused), Some("Guard"), "6 of 102");
}

#[test]
fn a_guard_that_holds_again_lets_clients_move_after_a_while() {
    let mut stage = Stage::new(&[600, 10, 10]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"])})).unwrap();
    stage.tick();
    stage.node("b").bus = tidegate_protocol::drain::BackendHealth::Down;
    stage.tick();
    assert_eq!(stage.why("d", ConditionKind::Paused), Some("Guard"));

    stage.node("b").bus = tidegate_protocol::drain::BackendHealth::Up;
    stage.ticks(9);
    assert_eq!(stage.ordered("a"), Some("paused"));
    stage.tick();
    assert_eq!(stage.ordered("a"), Some("evicting"));
}

#[test]
fn a_new_leader_goes_on_with_a_higher_epoch() {
    let mut stage = Stage::new(&[100, 100, 100]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"])})).unwrap();
    stage.tick();
    stage.obey("a", 50);
    stage.tick();

    stage.planner = Planner::new(PlanConfig::default(), 8, stage.now);
    stage.fleet = Fleet::new();
    stage.tick();

    let order = stage.order("a").unwrap();
    assert_eq!((order.epoch, order.phase.as_str()), (8, "evicting"));
    assert_eq!(stage.operation("d").counters.moved, 50);
}
