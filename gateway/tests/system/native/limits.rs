//! Quotas: the first commands over them are told when to come back, who does not listen is closed.

use serde_json::json;

use super::{Bystanders, connect, connect_with, native};

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
    // Keeps to what it was told: nothing else brings it through.
    std::thread::sleep(std::time::Duration::from_millis(retry_after_ms + 1));
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
