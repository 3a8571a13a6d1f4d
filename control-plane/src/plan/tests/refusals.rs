//! What is not granted, and what commands do in the wrong moment.

use super::*;
use crate::plan::{change, forecast, is_same};

fn code(answer: Result<(), Refused>) -> (u16, String) {
    answer.map_or_else(|refused| (refused.status, refused.code), |()| (200, String::new()))
}

#[test]
fn a_drain_that_does_not_fit_is_refused_with_the_numbers() {
    let mut stage = Stage::new(&[500, 700, 700]);

    let refused = stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"])})).unwrap_err();

    assert_eq!((refused.status, &*refused.code), (422, "no_headroom"));
    assert_eq!(refused.details["moves"], 500);
    assert_eq!(refused.details["connections"], 1_400);
    assert_eq!(refused.details["capacity"], 2_000);
    assert_eq!(refused.details["keptFree"], 400);
    assert_eq!(refused.details["missing"], 300);
}

#[test]
fn who_forces_it_may() {
    let mut stage = Stage::new(&[500, 700, 700]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"]), "force": true})).unwrap();

    stage.tick();

    assert_eq!(stage.ordered("a"), Some("evicting"));
    assert_eq!(stage.why("d", ConditionKind::Forced), Some("NoHeadroom"));
}

#[test]
fn as_many_as_just_fit_are_accepted_and_one_more_is_not() {
    for (connections, status) in [(600, 200), (601, 422)] {
        let mut stage = Stage::new(&[connections, 500, 500]);
        let answer = stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"])}));
        assert_eq!(code(answer).0, status, "{connections}");
    }
}

#[test]
fn draining_everybody_has_to_be_meant() {
    let mut stage = Stage::new(&[1, 1]);
    let all = json!({"kind": "drain", "targets": {"all": true}});
    assert_eq!(code(stage.ask("d", all)), (422, "min_serving".to_owned()));

    let meant =
        json!({"kind": "drain", "targets": {"all": true}, "minServing": 0, "headroom": 0, "force": true});
    assert_eq!(code(stage.ask("d", meant)).0, 200);
}

#[test]
fn one_node_belongs_to_one_operation() {
    let mut stage = Stage::new(&[10, 10, 10]);
    stage.ask("first", json!({"kind": "drain", "targets": pods(&["a"])})).unwrap();

    let refused = stage.ask("second", json!({"kind": "drain", "targets": pods(&["a"])})).unwrap_err();

    assert_eq!((refused.status, &*refused.code), (409, "conflict"));
    assert_eq!(refused.details["operation"], "first");
    assert_eq!(code(stage.ask("third", json!({"kind": "drain", "targets": pods(&["b"])}))).0, 200);
}

#[test]
fn a_node_that_nobody_knows_is_named() {
    let mut stage = Stage::new(&[10, 10]);
    let answer = stage.ask("d", json!({"kind": "drain", "targets": pods(&["nobody"])}));
    assert_eq!(code(answer), (422, "unknown_node".to_owned()));
}

#[test]
fn the_same_request_is_the_same_whether_it_forces_or_not() {
    let mut stage = Stage::new(&[10, 10]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"])})).unwrap();
    let spec = |body: Value| Spec::parse(&body).unwrap();

    let operation = stage.operation("d");
    assert!(is_same(operation, &spec(json!({"kind": "drain", "targets": pods(&["a"]), "force": true}))));
    assert!(!is_same(operation, &spec(json!({"kind": "drain", "targets": pods(&["b"])}))));
}

#[test]
fn commands_are_idempotent_and_impossible_ones_say_why() {
    let mut stage = Stage::new(&[10, 10]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"])})).unwrap();
    stage.tick();

    stage.tell("d", Command::Pause).unwrap();
    let revision = stage.operation("d").revision;
    stage.tell("d", Command::Pause).unwrap();
    assert_eq!(stage.operation("d").revision, revision);

    stage.tell("d", Command::Abort).unwrap();
    assert_eq!(code(stage.tell("d", Command::Resume)), (409, "wrong_state".to_owned()));
    stage.tick();
    stage.obey("a", 10);
    stage.tick();
    assert_eq!(stage.state("d"), "Aborted");
    stage.tell("d", Command::Abort).unwrap();
    assert_eq!(code(stage.tell("d", Command::Pause)), (409, "wrong_state".to_owned()));
}

#[test]
fn a_change_counts_the_revision_up_and_one_that_changes_nothing_does_not() {
    let mut stage = Stage::new(&[10, 10]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"])})).unwrap();
    let now = stage.now;
    let patch = serde_json::from_value(json!({"maxRate": 5, "deadline": "1m"})).unwrap();

    change(stage.operation_mut("d"), &patch, now).unwrap();
    assert_eq!(stage.operation("d").revision, 2);
    change(stage.operation_mut("d"), &patch, now).unwrap();
    assert_eq!(stage.operation("d").revision, 2);
    let back = serde_json::from_value(json!({"maxRate": null})).unwrap();
    change(stage.operation_mut("d"), &back, now).unwrap();
    assert_eq!(stage.operation("d").spec.common().max_rate, None);

    let wrong = serde_json::from_value(json!({"maxRate": 0})).unwrap();
    assert_eq!(code(change(stage.operation_mut("d"), &wrong, now)), (422, "bad_spec".to_owned()));
}

#[test]
fn a_plan_has_waves_a_peak_and_room_and_changes_nothing() {
    let stage = Stage::new(&[100, 200, 300, 400]);
    let body =
        json!({"kind": "rollout", "maxParallel": 2, "maxRate": 50, "lbPropagation": "10s", "soak": "5s"});
    let spec = Spec::parse(&body).unwrap();

    let forecast = forecast(&stage.fleet, &stage.operations, &PlanConfig::default(), &spec).unwrap();

    let waves: Vec<_> =
        forecast.waves.iter().map(|wave| (wave.nodes.len(), wave.moves, wave.eta.seconds())).collect();
    assert_eq!(waves, [(2, 300, 21.0), (2, 700, 24.0)]);
    assert_eq!((forecast.moves, forecast.peak_reconnect_rate.to_bits()), (1_000, 50_f64.to_bits()));
    assert_eq!(forecast.eta.seconds().to_bits(), 45_f64.to_bits());
    assert!(forecast.warnings.iter().any(|warning| warning.contains("steer")), "{:?}", forecast.warnings);
}
