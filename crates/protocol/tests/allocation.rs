//! The common paths under an allocator that counts.

use std::hint::black_box;

use allocation_counter::measure;
use tidegate_protocol::command::{self, ParseLimits, objects};
use tidegate_protocol::event::{self, Objects};
use tidegate_protocol::json::RawJson;

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(black_box(Vec::<u8>::with_capacity(1)))).count_total, 1);
}

#[test]
fn commands_without_escapes_are_parsed_without_an_allocation() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let publish = format!(
        r#"{{"id":7,"publish":{{"channel":"größe:1","data":{{"text":"a \"quoted\" \u00e9"}},"key":"k1","trace":"{trace}"}}}}"#
    );
    let message = [
        &publish,
        r#"{"subscribe":{"channel":"chat:1","position":{"epoch":"k3x","offset":18}},"id":8}"#,
        r#"{"send":{"user":"ann","data":[1,2,3]}}"#,
        r#"{"history":{"channel":"chat:1","limit":10,"newest_first":true}}"#,
        r#"{"presence":{"channel":"chat:1"}}"#,
        r#"{"unsubscribe":{"channel":"chat:1"}}"#,
        r#"{"refresh":{"token":"eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"}}"#,
        "{}",
    ]
    .join("\n");

    let limits = ParseLimits::default();
    let mut parsed = 0;
    let info = measure(|| {
        for object in objects(&message) {
            black_box(command::parse(object, &limits).expect("the commands keep to the rules"));
            parsed += 1;
        }
    });
    assert_eq!((info.count_total, parsed), (0, 8));
}

#[test]
fn data_of_several_levels_costs_one_small_allocation_at_most() {
    let data = format!("{}1{}", "[".repeat(32), "]".repeat(32));
    let object = format!(r#"{{"publish":{{"channel":"chat:1","data":{data}}}}}"#);

    let info = measure(|| {
        black_box(command::parse(&object, &ParseLimits::default()).expect("the command keeps to the rules"));
    });
    // The parser's stack of open brackets, a byte each, which grows twice on its way to 32.
    assert!(info.count_current == 0 && info.bytes_max <= 64, "{info:?}");
}

#[test]
fn connect_allocates_its_body_and_nothing_else() {
    let object = r#"{"connect":{"token":"t","client":{"name":"js","version":"1"},"info":{"nick":"ann"}}}"#;

    let info = measure(|| {
        black_box(command::parse(object, &ParseLimits::default()).expect("the command keeps to the rules"));
    });
    assert_eq!(info.count_total, 1);
}

#[test]
fn events_are_appended_to_a_warm_buffer_and_read_back_without_an_allocation() {
    let message = event::Message {
        channel: "chat:1".into(),
        data: RawJson::trusted(r#"{"text":"hello"}"#),
        offset: Some(u64::MAX),
        from: Some("ann \"the\" first".into()),
        trace: None,
    };
    let mut out = Objects::new();
    let info = measure(|| {
        for round in 0..2 {
            out.clear();
            out.push(|out| event::append_message(out, &message));
            out.push(|out| event::append_expiring(out, round));
            out.push(event::append_ping);
        }
    });
    let cold = info.count_total;
    out.clear();
    let warm = measure(|| out.push(|out| event::append_message(out, &message))).count_total;
    assert!(cold > 0);
    assert_eq!(warm, 0);

    let plain = r#"{"message":{"channel":"chat:1","data":{"text":"hello"},"offset":18,"from":"ann"}}"#;
    let read = measure(|| drop(black_box(event::parse(plain).expect("it is a message"))));
    assert_eq!(read.count_total, 0);
}
