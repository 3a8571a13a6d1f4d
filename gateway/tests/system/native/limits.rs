//! Quotas: the first commands over them are told when to come back, who does not listen is closed.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Bystanders, connect, connect_with, native, open};

#[test]
fn one_command_over_the_rate_is_told_when_to_come_back_and_comes_back() {
    let gateway = native().set("session.messages_per_second", "10").start();
    let (mut client, told) = connect_with(&gateway, json!({}));
    assert_eq!(told["limits"]["messages_per_second"], 10);

    let refusal = loop {
        let id = client.command("publish", json!({ "channel": "talk:tea", "data": 1 }));
        let answer = client.answer(id);
        if let Some(error) = answer.get("error") {
            break error.clone();
        }
    };

    assert_eq!((&refusal["code"], &refusal["retry"]), (&json!("limit"), &json!(true)));
    let retry_after_ms = refusal["retry_after_ms"].as_u64().unwrap();
    assert!((1..=100).contains(&retry_after_ms), "{refusal}");
    // Keeps to what it was told, and is told nothing else.
    assert!(!client.hears_within(Duration::from_millis(retry_after_ms + 1)));
    client.ask("publish", json!({ "channel": "talk:tea", "data": 1 }));
}

#[test]
fn bytes_have_a_rate_of_their_own() {
    let gateway = native().set("session.bytes_per_second", "4096").start();
    let (mut client, told) = connect_with(&gateway, json!({}));
    assert_eq!(told["limits"]["bytes_per_second"], 4096);
    let large = json!({ "channel": "talk:tea", "data": "x".repeat(6_000) });

    // What is longer than the rate allows in a second is slow, not impossible.
    client.ask("publish", large.clone());
    let refusal = client.refused("publish", large);

    assert_eq!(refusal.code, "limit");
    assert!(refusal.retry_after_ms.is_some_and(|ms| (1..=1_000).contains(&ms)), "{refusal:?}");
}

#[test]
fn who_does_not_listen_is_closed_and_nobody_else_notices() {
    let gateway = native().set("session.messages_per_second", "10").start();
    let mut bystanders = Bystanders::of(&gateway);
    let mut stubborn = connect(&gateway);
    let flood: Vec<_> =
        (0..200).map(|_| json!({ "publish": { "channel": "talk:tea", "data": 1 } })).collect();

    stubborn.say_all(&flood);

    let (before, closing) = stubborn.read_to_closing();
    assert_eq!(closing, json!({ "code": 4506, "name": "rate_limited", "reconnect": false }));
    assert!(before.iter().all(|object| object["error"]["code"] == "limit"), "{before:?}");
    assert!((2..=30).contains(&before.len()), "{} refusals", before.len());
    bystanders.are_not_affected();
    gateway.await_metric("tidegate_connections_closed_total", &[("cause", "rate_limited")], 1.0);
}

#[test]
fn what_a_client_says_of_itself_is_taken_to_its_limit_and_no_further() {
    let gateway = native().start();
    let text = |bytes: usize| "x".repeat(bytes);
    let positions = |count: usize| {
        let position = json!({ "epoch": "a", "offset": 1 });
        (0..count).map(|number| (format!("talk:{number}"), position.clone())).collect::<Map<_, _>>()
    };
    type Body<'b> = &'b dyn Fn(usize) -> Value;
    // With its quotes a text has two bytes more.
    let bodies: [(&str, Body<'_>, usize); 4] = [
        ("info", &|bytes| json!({ "info": text(bytes - 2) }), 1024),
        ("client", &|bytes| json!({ "client": { "name": text(bytes), "version": "1" } }), 128),
        ("client", &|bytes| json!({ "client": { "name": "test", "version": text(bytes) } }), 128),
        ("positions", &|count| json!({ "positions": positions(count) }), 4096),
    ];
    for (field, body, most) in bodies {
        connect_with(&gateway, body(most));
        let refusal = open(&gateway).refused("connect", body(most + 1));
        assert_eq!(refusal.code, "bad_request", "{field}");
        assert!(refusal.message.contains(field), "{field}: {refusal:?}");
    }
    // Long enough to be looked at, which is all that nonsense gets; or too long for that.
    assert_eq!(open(&gateway).refused("connect", json!({ "token": text(16 << 10) })).code, "unauthorized");
    assert_eq!(
        open(&gateway).refused("connect", json!({ "token": text((16 << 10) + 1) })).code,
        "bad_request"
    );
}
