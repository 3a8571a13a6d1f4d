//! Nodes that end without having been asked here.

use super::*;
use crate::model::Source;

fn ending(stage: &Stage) -> Vec<&Operation> {
    stage.operations.values().filter(|operation| operation.source.is_foreign()).collect()
}

#[test]
fn a_node_that_was_signalled_gets_an_operation_with_its_real_deadline() {
    let mut stage = Stage::new(&[100, 100, 100]);
    stage.node("a").shutting_down = true;
    stage.node("a").deadline_in = Some(60.0);

    stage.tick();

    let operation = ending(&stage)[0];
    assert_eq!(
        (operation.source, operation.state.to_string().as_str()),
        (Source::Signal, "Running (Cordoning)")
    );
    assert_eq!(operation.steps[0].deadline_at, Some(stage.now + Duration::from_secs(60)));
    assert_eq!(stage.ordered("a"), Some("evicting"));
}

#[test]
fn a_deleted_pod_gets_one_that_says_who_deleted_it() {
    let mut stage = Stage::new(&[100, 100, 100]);
    let deadline = stage.now + Duration::from_secs(90);
    let pod = Pod {
        uid: "1".into(),
        deletion_deadline: Some(deadline),
        deleted_by: Some(Source::Hpa),
        ..Pod::default()
    };
    stage.fleet.handle(Seen::Pod("a".into(), pod), stage.now);

    stage.tick();

    let operation = ending(&stage)[0];
    assert_eq!((operation.source, operation.requested_by.as_str()), (Source::Hpa, "hpa"));
    assert_eq!(operation.deadline_at, Some(deadline));
}

#[test]
fn a_pod_that_is_gone_before_anybody_saw_it_end_is_adopted_and_lost_at_once() {
    let mut stage = Stage::new(&[100, 100, 100]);
    stage.tick();
    let pod = Pod { uid: "1".into(), deletion_deadline: Some(stage.now), gone: true, ..Pod::default() };
    stage.fleet.handle(Seen::Pod("a".into(), pod), stage.now);

    stage.ticks(4);

    let adopted = ending(&stage);
    let [operation] = &adopted[..] else { panic!("it is adopted once: {adopted:?}") };
    assert_eq!((operation.steps[0].phase, operation.counters.forced), (StepPhase::Lost, 100));
}

#[test]
fn it_is_adopted_once_and_over_when_the_process_is_gone() {
    let mut stage = Stage::new(&[100, 100, 100]);
    stage.node("a").shutting_down = true;
    stage.tick();
    let id = ending(&stage)[0].id.to_string();
    stage.obey("a", 0);
    stage.ticks(3);
    assert_eq!(ending(&stage).len(), 1);
    assert_eq!(stage.state(&id), "Running (Replacing)");

    stage.remove("a");
    stage.ticks(4);
    assert_eq!(stage.state(&id), "Succeeded");
    assert_eq!(ending(&stage).len(), 1);
}

#[test]
fn three_nodes_that_end_at_once_share_the_budget() {
    let mut stage = Stage::new(&[900, 900, 900, 0, 0]);
    for name in ["a", "b", "c"] {
        stage.node(name).shutting_down = true;
        stage.node(name).deadline_in = Some(300.0);
    }

    stage.tick();

    assert_eq!(ending(&stage).len(), 3);
    assert!((stage.rates() - 500.0).abs() < 1e-6, "{}", stage.rates());
}

#[test]
fn it_cannot_be_paused_or_aborted() {
    let mut stage = Stage::new(&[100, 100, 100]);
    stage.node("a").shutting_down = true;
    stage.tick();
    let id = ending(&stage)[0].id.to_string();

    for what in [Command::Pause, Command::Abort] {
        assert_eq!(stage.tell(&id, what).unwrap_err().code, "wrong_state");
    }
}

#[test]
fn a_drain_whose_node_is_told_to_end_goes_on_although_it_is_paused() {
    let mut stage = Stage::new(&[100, 100, 100]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"])})).unwrap();
    stage.tick();
    stage.tell("d", Command::Pause).unwrap();
    stage.tick();
    stage.obey("a", 90);

    stage.node("a").shutting_down = true;
    stage.tick();

    assert!(ending(&stage).is_empty(), "it has an operation already");
    assert_eq!(stage.ordered("a"), Some("evicting"));
}

#[test]
fn a_node_that_waits_for_its_turn_does_not_wait_when_it_is_told_to_end() {
    let mut stage = Stage::new(&[10, 20, 300]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a", "b"])})).unwrap();
    stage.tick();

    stage.node("b").shutting_down = true;
    stage.ticks(2);

    assert_eq!(ending(&stage).len(), 1);
    assert_eq!(stage.ordered("b"), Some("evicting"));
    assert_eq!(stage.phase("d", "b"), StepPhase::Done);
}
