//! Rollouts: in waves, or steered so that everyone moves once.

use super::*;

#[test]
fn a_rolling_one_waits_until_the_node_is_replaced() {
    let mut stage = Stage::new(&[10, 20, 30]);
    stage.ask("r", json!({"kind": "rollout"})).unwrap();
    stage.tick();
    stage.obey("a", 0);
    stage.ticks(3);
    assert_eq!(stage.why("r", ConditionKind::Blocked), Some("WaitingForReplacement"));
    assert_eq!(stage.state("r"), "Running (Replacing)");

    stage.remove("a");
    stage.ticks(4);
    assert_eq!(stage.why("r", ConditionKind::Blocked), Some("ReplacementNotReady"));
    assert_eq!(stage.phase("r", "b"), StepPhase::Waiting);

    stage.add("a", 0);
    stage.ticks(3);
    assert_eq!(stage.phase("r", "a"), StepPhase::Done);
    assert_eq!(stage.phase("r", "b"), StepPhase::Draining);
}

#[test]
fn one_that_steers_waits_for_new_nodes_and_then_cordons_all_old_ones_at_once() {
    let mut stage = Stage::new(&[100, 100, 100]);
    stage.ask("r", json!({"kind": "rollout", "mode": "steer", "targets": pods(&["a", "b", "c"])})).unwrap();

    stage.tick();
    assert_eq!(stage.state("r"), "Running (Surging)");
    assert_eq!(stage.why("r", ConditionKind::Blocked), Some("WaitingForNewCapacity"));
    assert_eq!(stage.ordered("a"), None);

    stage.add("x", 0);
    stage.add("y", 0);
    stage.tick();
    for old in ["a", "b", "c"] {
        assert_eq!(stage.ordered(old), Some("announcing"), "{old}");
    }

    stage.obey("a", 100);
    stage.obey("b", 100);
    stage.tick();
    assert_eq!(stage.ordered("a"), Some("announcing"), "c may still take in who leaves a");
    stage.obey("c", 100);
    stage.tick();
    let orders = ["a", "b", "c"].map(|old| stage.ordered(old).unwrap().to_owned());
    assert_eq!(orders, ["evicting", "announcing", "announcing"]);
}

#[test]
fn one_that_steers_over_nodes_that_nobody_replaces_is_over_when_they_are_empty() {
    let mut stage = Stage::new(&[10, 20]);
    stage.ask("r", json!({"kind": "rollout", "mode": "steer", "targets": pods(&["a", "b"])})).unwrap();
    stage.add("x", 0);
    stage.add("y", 0);
    stage.tick();
    for old in ["a", "b"] {
        stage.obey(old, 10);
    }
    stage.tick();
    stage.obey("a", 0);
    stage.ticks(2);
    stage.obey("b", 0);
    stage.ticks(3);

    assert_eq!(stage.state("r"), "Succeeded");
    assert_eq!(stage.operation("r").counters.repeats, 0);
}

#[test]
fn nodes_of_the_wanted_revision_are_left_alone() {
    let mut stage = Stage::new(&[10, 10]);
    stage.ask("r", json!({"kind": "rollout", "revision": "1.0.0"})).unwrap();

    stage.tick();

    assert_eq!(stage.state("r"), "Succeeded");
    assert_eq!(stage.operation("r").message, "no node is meant");
}

#[test]
fn an_empty_pod_is_evicted_and_a_refused_eviction_is_tried_again_later() {
    let mut stage = Stage::new(&[10, 20, 30]);
    let pod = Pod { uid: "u-1".into(), ready: true, ..Pod::default() };
    stage.fleet.handle(Seen::Pod("a".into(), pod.clone()), stage.now);
    stage.ask("r", json!({"kind": "rollout", "targets": pods(&["a"])})).unwrap();
    stage.tick();
    stage.obey("a", 0);
    stage.ticks(2);
    let evicts = |stage: &Stage| {
        stage.actions.iter().any(|action| matches!(action, Action::Evict { uid, .. } if &**uid == "u-1"))
    };
    assert!(evicts(&stage));

    let until = stage.now + Duration::from_secs(3);
    let refused = Pod { eviction_refused: Some(("budget of web".to_owned(), until)), ..pod };
    stage.fleet.handle(Seen::Pod("a".into(), refused), stage.now);
    stage.tick();
    assert!(!evicts(&stage));
    assert_eq!(stage.why("r", ConditionKind::Blocked), Some("EvictionRefused"));
    stage.ticks(2);
    assert!(evicts(&stage));
}

#[test]
fn the_next_wave_does_not_wait_for_a_pod_that_is_gone_and_only_shown() {
    let mut stage = Stage::new(&[10, 20, 30]);
    let pod = |name: &str| Pod { uid: name.into(), ready: true, ..Pod::default() };
    for name in ["a", "b", "c"] {
        stage.fleet.handle(Seen::Pod(name.into(), pod(name)), stage.now);
    }
    stage.ask("r", json!({"kind": "rollout", "targets": pods(&["a", "b"]), "mode": "rolling"})).unwrap();
    stage.tick();
    stage.obey("a", 0);
    stage.ticks(2);
    stage.add("d", 0);
    stage.fleet.handle(Seen::Pod("d".into(), pod("d")), stage.now);
    let deletion_deadline = Some(stage.now + Duration::from_secs(60));
    let ending = Pod { deletion_deadline, ready: false, ..pod("a") };
    stage.fleet.handle(Seen::Pod("a".into(), ending.clone()), stage.now);
    stage.ticks(2);
    assert_eq!(stage.phase("r", "b"), StepPhase::Waiting, "a still runs");

    stage.fleet.handle(Seen::Pod("a".into(), Pod { gone: true, ..ending }), stage.now);
    stage.ticks(2);

    assert_eq!((stage.phase("r", "a"), stage.phase("r", "b")), (StepPhase::Done, StepPhase::Draining));
    let adopted = stage.operations.values().filter(|operation| operation.source.is_foreign());
    assert_eq!(adopted.count(), 0, "it ended as it should");
}

#[test]
fn a_pod_that_is_gone_and_only_shown_is_no_part_of_the_next_rollout() {
    let mut stage = Stage::new(&[10, 20, 30]);
    let pod = |name: &str| Pod { uid: name.into(), ready: true, ..Pod::default() };
    for name in ["a", "b", "c"] {
        stage.fleet.handle(Seen::Pod(name.into(), pod(name)), stage.now);
    }
    let gone = Pod { deletion_deadline: Some(stage.now), ready: false, gone: true, ..pod("a") };
    stage.node("a").shutting_down = true;
    stage.obey("a", 0);
    stage.look();
    stage.remove("a");
    stage.fleet.handle(Seen::Pod("a".into(), gone), stage.now);
    stage.fleet.handle(Seen::Silence("a".into()), stage.now);
    stage.ticks(3);

    stage.ask("r", json!({"kind": "rollout"})).unwrap();
    stage.tick();

    assert_eq!((stage.phase("r", "b"), stage.phase("r", "c")), (StepPhase::Draining, StepPhase::Waiting));
    assert!(stage.operation("r").step("a").is_none());
}

#[test]
fn pods_that_are_emptied_are_the_cheapest_to_delete() {
    let mut stage = Stage::new(&[10, 20, 300]);
    for name in ["a", "b", "c"] {
        stage.fleet.handle(Seen::Pod(name.into(), Pod { uid: name.into(), ..Pod::default() }), stage.now);
    }
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["b"])})).unwrap();
    stage.tick();

    let cost = |name: &str| {
        stage.actions.iter().find_map(|action| match action {
            Action::DeletionCost { node, cost } if &**node == name => Some(*cost),
            _ => None,
        })
    };
    assert_eq!((cost("a"), cost("b"), cost("c")), (Some(4), Some(-1_000), Some(9)));
}
