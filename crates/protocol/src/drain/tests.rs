use proptest::prelude::*;
use serde_json::json;

use super::*;

fn order(json: serde_json::Value) -> Result<DrainOrder, String> {
    serde_json::from_value(json).map_err(|error| error.to_string())
}

#[test]
fn an_order_with_everything_is_read_and_written_alike() {
    let json = json!({
        "op": "deploy-42", "epoch": 7, "seq": 12, "phase": "evicting", "rate": 50.0, "deadline": 480, "ttl": 10,
        "lb_propagation": 15, "settle": 20, "leave_grace": 0.5, "exit_at": 3, "on_coordinator_loss": "resume-serving",
        "reason": "deploy", "moves": 120, "trace": "00-1-2-01",
    });

    let read = order(json.clone()).unwrap();

    assert_eq!(read.deadline, Some(Duration::from_secs(480)));
    assert_eq!(read.leave_grace, Some(Duration::from_millis(500)));
    assert_eq!(read.on_coordinator_loss, OnCoordinatorLoss::ResumeServing);
    assert_eq!(serde_json::to_value(&read).unwrap(), json);
}

#[test]
fn what_an_order_leaves_out_has_a_default_and_what_it_adds_is_passed_over() {
    let read = order(json!({"op": "a", "epoch": 1, "seq": 0, "phase": "announcing", "color": [1]})).unwrap();

    let id = OperationId::parse("a").unwrap();
    assert_eq!(read, DrainOrder::new(id, 1, 0, DrainPhase::Announcing));
    assert_eq!(read.ttl, ORDER_TTL_DEFAULT);
}

#[test]
fn durations_are_numbers_of_seconds_or_have_a_unit() {
    let deadline = |value: serde_json::Value| {
        order(json!({"op": "a", "epoch": 1, "seq": 0, "phase": "evicting", "deadline": value}))
            .map(|order| order.deadline)
    };
    for (value, millis) in [
        (json!(90), 90_000),
        (json!(1.5), 1_500),
        (json!("90s"), 90_000),
        (json!("500ms"), 500),
        (json!("8m"), 480_000),
        (json!("1.5 h"), 5_400_000),
    ] {
        assert_eq!(deadline(value.clone()), Ok(Some(Duration::from_millis(millis))), "{value}");
    }
    assert_eq!(deadline(json!(null)), Ok(None));
    for bad in
        [json!(-1), json!("90"), json!("s"), json!("1e99h"), json!("NaNs"), json!(2_592_001), json!(true)]
    {
        assert!(deadline(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn a_phase_of_a_later_version_keeps_its_word() {
    let phase: DrainPhase = serde_json::from_str("\"hibernating\"").unwrap();

    assert_eq!(phase, DrainPhase::Other("hibernating".into()));
    assert_eq!(serde_json::to_string(&phase).unwrap(), "\"hibernating\"");
    for phase in DrainPhase::ALL {
        assert_eq!(DrainPhase::of_word(phase.as_str()), phase);
    }
}

#[test]
fn an_operation_id_has_one_to_sixty_four_plain_characters() {
    assert!(OperationId::parse(&"x".repeat(OPERATION_ID_CHARS_MAX)).is_ok());
    assert!(OperationId::parse("Deploy_4.2-b").is_ok());
    for bad in ["", "a b", "a/b", "ä", &"x".repeat(OPERATION_ID_CHARS_MAX + 1)] {
        assert_eq!(OperationId::parse(bad), Err(OperationIdError), "{bad}");
    }
}

#[test]
fn a_report_of_another_version_is_read_as_far_as_it_is_known() {
    let report: DrainReport = serde_json::from_value(json!({
        "node": "n1", "phase": "evicting", "source": "moonlight", "store": "haunted", "news": 1,
        "load": {"permille": 12, "mood": "good"},
    }))
    .unwrap();

    assert_eq!((&*report.node, report.phase), ("n1", DrainPhase::Evicting));
    assert_eq!((report.source, report.store), (DrainSource::Unknown, BackendHealth::Unknown));
    assert_eq!((report.load.permille, report.load.handshaking), (12, 0));
}

#[test]
fn a_report_is_read_as_it_was_written() {
    let report = DrainReport {
        node: "n1".into(),
        op: Some(OperationId::parse("x").unwrap()),
        order_expires_in: Some(2.5),
        slow_addresses: vec![SlowAddress { address: "10.0.0.7".into(), handshaking: 9 }],
        ..DrainReport::default()
    };

    let text = serde_json::to_string(&report).unwrap();

    assert_eq!(serde_json::from_str::<DrainReport>(&text).unwrap(), report);
    assert!(text.contains(r#""source":"none""#) && text.contains(r#""store":"up""#), "{text}");
}

#[test]
fn a_blocklist_is_read_as_it_was_written() {
    let list = Blocklist {
        epoch: 3,
        seq: 4,
        ttl: Duration::from_secs(30),
        addresses: vec!["10.0.0.7".into(), "2001:db8::/64".into()],
    };

    let text = serde_json::to_string(&list).unwrap();

    assert_eq!(text, r#"{"epoch":3,"seq":4,"ttl":30,"addresses":["10.0.0.7","2001:db8::/64"]}"#);
    assert_eq!(serde_json::from_str::<Blocklist>(&text).unwrap(), list);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn durations_survive_the_wire(millis in 0_u64..=2_592_000_000) {
        let mut order =
            DrainOrder::new(OperationId::parse("x").unwrap(), 0, 0, DrainPhase::Evicting);
        order.deadline = Some(Duration::from_millis(millis));

        let back: DrainOrder = serde_json::from_str(&serde_json::to_string(&order).unwrap()).unwrap();

        prop_assert_eq!(back, order);
    }
}
