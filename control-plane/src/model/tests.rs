//! Bodies that people send, and records that the store keeps.

use serde_json::{Value, json};
use tidegate_protocol::drain::OperationId;

use super::*;

fn parse(body: impl Into<Value>) -> Result<Spec, String> {
    Spec::parse(&body.into()).map_err(|error| error.to_string())
}

#[test]
fn what_is_not_said_has_its_default() {
    let Ok(Spec::Rollout(rollout)) = parse(json!({"kind": "rollout", "maxRate": 200})) else {
        panic!("it is a rollout");
    };

    assert_eq!(rollout.drain.common.max_rate, Some(200.0));
    assert_eq!(
        rollout.drain,
        DrainSpec { common: rollout.drain.common.clone(), ..RolloutSpec::default().drain }
    );
    assert_eq!((rollout.mode, rollout.drain.then), (Mode::Rolling, Then::Evict));
    assert_eq!(DrainSpec::default().then, Then::Hold);
}

#[test]
fn a_fault_names_its_key_and_what_to_write_instead() {
    for (body, error) in [
        (json!([]), "the body has to be an object such as {\"kind\": \"rollout\"}"),
        (json!({"kind": "reboot"}), "`kind` has to be \"drain\", \"rollout\" or \"rebalance\""),
        (json!({"kind": "rollout", "maxrate": 9}), "unknown key `maxrate`; did you mean `maxRate`?"),
        (json!({"kind": "rollout", "max_rate": 9}), "unknown key `max_rate`; did you mean `maxRate`?"),
        (json!({"kind": "rebalance", "maxParallel": 2}), "unknown key `maxParallel`"),
        (
            json!({"kind": "rollout", "maxRate": 0}),
            "`maxRate`: a rate is a number of clients a second, above 0; to stop, pause it",
        ),
        (
            json!({"kind": "rollout", "orderTtl": 2}),
            "`orderTtl`: at least 3 s: orders are repeated each second",
        ),
    ] {
        assert_eq!(parse(body).unwrap_err(), error);
    }
    for (body, start) in [
        (json!({"kind": "drain"}), "`targets`: which nodes?"),
        (json!({"kind": "rollout", "soak": "soon"}), "`soak`: not a time such as \"90s\""),
        (json!({"kind": "rollout", "maxParallel": "half"}), "`maxParallel`: not a number such as 3"),
        (
            json!({"kind": "rollout", "mode": "bluegreen"}),
            "`mode`: there is no `bluegreen`: `rolling` replaces",
        ),
        (
            json!({"kind": "rollout", "mode": "sideways"}),
            "`mode`: unknown variant `sideways`, expected `rolling`",
        ),
        (
            json!({"kind": "drain", "targets": {"all": true}, "replacement": "detach"}),
            "`then`: with `replacement: detach` it has to be `evict`",
        ),
        (
            json!({"kind": "rollout", "then": "uncordon", "replacement": "detach"}),
            "`then`: with `replacement: detach` it has to be `evict`",
        ),
        (
            json!({"kind": "rollout", "mode": "steer", "replacement": "detach"}),
            "`replacement`: `detach` goes with `mode: rolling`",
        ),
        (json!({"kind": "rollout", "target": "revision"}), "`revision`: `target: revision` needs one"),
        (json!({"kind": "rollout", "target": "restart", "revision": "x"}), "`revision`: `target: revision`"),
        (json!({"kind": "rollout", "target": "scaleDown"}), "`replicas`: `target: scaleDown` needs to know"),
        (json!({"kind": "rollout", "replicas": 2}), "`replicas`: `target: scaleDown` needs to know"),
        (json!({"kind": "rollout", "target": "scaleDown", "replicas": 0}), "`replicas`: at least 1"),
        (
            json!({"kind": "rollout", "target": "scaleDown", "replicas": 2, "mode": "steer"}),
            "`mode`: `target: scaleDown`",
        ),
        (json!({"kind": "rollout", "target": "scaleDown", "replicas": 2, "then": "hold"}), "`then`: with"),
        (
            json!({"kind": "rollout", "target": "scaleDown", "replicas": 2, "replacement": "surge"}),
            "`replacement`: with `target: scaleDown` nothing replaces",
        ),
        (json!({"kind": "rollout", "target": "scaledown"}), "`target`: unknown variant `scaledown`"),
        (json!({"kind": "rollout", "targets": {"pod": ["a"]}}), "`targets`: unknown field `pod`"),
        (json!({"kind": "rollout", "guards": {"busLagg": 1}}), "`guards`: unknown field `busLagg`"),
    ] {
        let error = parse(body).unwrap_err();
        assert!(error.starts_with(start), "{error}");
    }
}

#[test]
fn who_names_a_revision_means_to_come_to_it() {
    let target = |body: Value| match parse(body).unwrap() {
        Spec::Rollout(rollout) => rollout.target,
        other => panic!("{other:?} is no rollout"),
    };

    assert_eq!(target(json!({"kind": "rollout"})), Target::Restart);
    assert_eq!(target(json!({"kind": "rollout", "revision": "6f7b"})), Target::Revision);
    assert_eq!(
        target(json!({"kind": "rollout", "target": "revision", "revision": "6f7b"})),
        Target::Revision
    );
    assert_eq!(target(json!({"kind": "rollout", "target": "scaleDown", "replicas": 2})), Target::ScaleDown);
}

#[test]
fn who_sets_one_guard_keeps_the_others() {
    let spec =
        parse(json!({"kind": "rollout", "guards": {"handshakeP99": null, "resumeP99": "1s"}})).unwrap();

    let guards = &spec.common().guards;
    assert_eq!((guards.handshake_p99, guards.resume_p99), (None, Some(Period::from_secs(1))));
    assert_eq!(guards.bus_lag, Guards::default().bus_lag);
}

#[test]
fn times_are_seconds_or_text_up_to_thirty_days() {
    for (written, seconds) in [
        (json!(90), 90.0),
        (json!("90s"), 90.0),
        (json!("1m 30s"), 90.0),
        (json!(0.5), 0.5),
        (json!("90"), 90.0),
    ] {
        let period: Period = serde_json::from_value(written).unwrap();
        assert_eq!(period.seconds().to_bits(), f64::to_bits(seconds));
    }
    assert!(serde_json::from_value::<Period>(json!("30days")).is_ok());
    for wrong in [json!("30days 1s"), json!(-1), json!("soon"), json!(null), json!(1e300)] {
        assert!(serde_json::from_value::<Period>(wrong.clone()).is_err(), "{wrong}");
    }
    assert_eq!(serde_json::to_value(Period::from_secs(90)).unwrap(), "1m 30s");
}

#[test]
fn amounts_are_numbers_or_shares() {
    let amount = |written: Value| serde_json::from_value::<Amount>(written);

    assert_eq!(amount(json!(3)).unwrap(), Amount::Count(3));
    assert_eq!(amount(json!("25%")).unwrap(), Amount::Percent(25));
    assert_eq!((Amount::Percent(25).of_rounded_up(10), Amount::Percent(25).of_rounded_down(10)), (3, 2));
    assert!(amount(json!("1000%")).is_ok());
    for wrong in [json!("1001%"), json!("x%"), json!(-1), json!(1.5)] {
        assert!(amount(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn a_record_comes_back_from_the_store_as_it_was() {
    let spec =
        parse(json!({"kind": "rollout", "mode": "steer", "targets": {"pods": ["a"]}, "deadline": "5m"}))
            .unwrap();
    let id = OperationId::parse("deploy-42").unwrap();
    let mut operation = Operation::new(id, spec, Source::Api, "ann".to_owned(), Millis::new(5));
    operation.state = OperationState::Running(Running::Draining);
    operation.steps.push(Step::waiting("a".into(), 1, Millis::new(1)));
    operation.conditions.push(Condition {
        kind: ConditionKind::Blocked,
        reason: "MinServing".to_owned(),
        message: "one is left".to_owned(),
        since: Millis::new(9),
    });

    let written = serde_json::to_value(&operation).unwrap();
    assert_eq!((&written["state"], &written["phase"]), (&json!("Running"), &json!("Draining")));
    assert_eq!(
        (&written["spec"]["kind"], &written["conditions"][0]["type"]),
        (&json!("rollout"), &json!("Blocked"))
    );
    assert_eq!(serde_json::from_value::<Operation>(written).unwrap(), operation);

    operation.state = OperationState::Pending;
    let written = serde_json::to_value(&operation).unwrap();
    assert_eq!(serde_json::from_value::<Operation>(written).unwrap(), operation);
}

#[test]
fn a_patch_tells_null_from_nothing() {
    let patch: Patch = serde_json::from_value(json!({"maxRate": null, "rate": 5})).unwrap();

    assert_eq!((patch.max_rate, patch.rate, patch.deadline), (Some(None), Some(Some(5.0)), None));
    assert!(serde_json::from_value::<Patch>(json!({"maxrate": 5})).is_err());
}
