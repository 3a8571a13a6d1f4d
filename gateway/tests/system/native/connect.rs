//! The first command: what it is answered, what it may bring about at once, and what happens without it.

use serde_json::json;

use super::{
    connect, connect_with, expect_data, native, open, publish, request, subscriber, token_of, token_with,
};

#[test]
fn an_anonymous_client_is_told_all_it_needs_to_know() {
    let gateway = native().start();
    let mut socket = request(&gateway).open();
    assert_eq!(socket.subprotocol(), Some("tidegate.v1.json"));
    socket.send_text(r#"{"id":7,"connect":{"client":{"name":"test","version":"1"},"unknown":[1]}}"#);

    let reply: serde_json::Value = serde_json::from_slice(&socket.read_frame().payload).unwrap();

    assert_eq!(reply["id"], 7);
    let connected = &reply["connect"];
    for secret in ["session", "resume"] {
        assert_eq!(connected[secret].as_str().map(str::len), Some(22), "{secret} in {reply}");
    }
    assert_eq!(connected["resumed"], false);
    assert_eq!(connected["user"], "");
    assert!(connected["node"].as_str().is_some_and(|node| !node.is_empty()), "{reply}");
    assert_eq!(connected["ping_ms"], 3_600_000);
    assert_eq!(connected["session_ttl_ms"], 120_000);
    assert_eq!(connected["channels"], json!({}));
    assert_eq!(connected["limits"]["message_bytes"], 1 << 20);
    assert!(connected.get("token_expires_in_ms").is_none(), "{reply}");
}

#[test]
fn no_two_sessions_have_the_same_name_or_secret() {
    let gateway = native().start();
    let mut seen = std::collections::BTreeSet::new();

    for _ in 0..10 {
        let (_client, connected) = connect_with(&gateway, json!({}));
        seen.extend([connected["session"].to_string(), connected["resume"].to_string()]);
    }

    assert_eq!(seen.len(), 20);
}

#[test]
fn where_anonymous_clients_are_not_taken_one_without_token_is_told_so_and_closed() {
    let gateway = native().set("auth.anonymous", "false").start();
    let mut client = open(&gateway);

    let refusal = client.refused("connect", json!({}));

    assert_eq!(refusal.code, "unauthorized");
    assert!(refusal.message.contains("anonymous") && !refusal.retry, "{refusal:?}");
    let (_, closing) = client.read_to_closing();
    assert_eq!(closing, json!({ "code": 4500, "name": "unauthorized", "reconnect": false }));
    gateway.await_metric("tidegate_connections_closed_total", &[("cause", "unauthorized")], 1.0);
}

#[test]
fn a_client_that_does_not_connect_in_time_is_closed() {
    let gateway = native().set("limits.connect_timeout", "1s").start();
    let mut ready = connect(&gateway);
    let mut silent = open(&gateway);
    let mut chatty = open(&gateway);
    chatty.say(&json!({}));

    for client in [&mut silent, &mut chatty] {
        assert_eq!(client.expect_closing(), 4507);
    }
    gateway.await_metric("tidegate_connections_closed_total", &[("cause", "connect_timeout")], 2.0);
    ready.settle();
}

#[test]
fn a_command_before_connect_is_refused_and_connect_may_still_follow() {
    let gateway = native().start();
    let mut client = open(&gateway);

    for (command, body) in [
        ("subscribe", json!({ "channel": "talk:tea" })),
        ("publish", json!({ "channel": "talk:tea", "data": 1 })),
        ("presence", json!({ "channel": "room:tea" })),
        ("refresh", json!({ "token": "x" })),
    ] {
        let refusal = client.refused(command, body);
        assert_eq!(refusal.code, "unauthorized", "{command}");
        assert!(refusal.message.contains("connect"), "{refusal:?}");
    }

    client.ask("connect", json!({}));
    client.ask("subscribe", json!({ "channel": "talk:tea" }));
}

#[test]
fn a_second_connect_is_refused_and_the_session_goes_on() {
    let gateway = native().start();
    let mut client = subscriber(&gateway, "talk:tea");

    assert_eq!(client.refused("connect", json!({ "token": token_of("eve") })).code, "conflict");

    publish(&mut client, "talk:tea", 1);
    expect_data(&mut client, "talk:tea", 1);
}

#[test]
fn connect_without_id_gets_no_reply_and_connects() {
    let gateway = native().start();
    let mut client = open(&gateway);

    client.say_all(&[json!({ "connect": {} }), json!({ "id": 1, "subscribe": { "channel": "talk:tea" } })]);

    assert_eq!(client.next_object(), json!({ "id": 1, "subscribe": {} }));
}

#[test]
fn channels_named_in_connect_are_in_its_reply_and_those_refused_are_told_behind_it() {
    let gateway = native().start();
    publish(&mut connect(&gateway), "log:tea", "before");
    let channels = json!({ "subscribe": ["talk:tea", "log:tea", "closed:door", "nowhere:tea"] });

    let (mut client, connected) = connect_with(&gateway, channels);

    let told = connected["channels"].as_object().unwrap();
    assert_eq!(told.keys().collect::<Vec<_>>(), ["log:tea", "talk:tea"]);
    assert_eq!(told["log:tea"]["offset"], 1);
    assert!(told["log:tea"]["epoch"].is_string());
    assert_eq!(told["talk:tea"], json!({}));
    let mut refused: Vec<_> = (0..2).map(|_| client.expect("unsubscribed")).collect();
    refused.sort_by_key(|refused| refused["channel"].to_string());
    let codes: Vec<_> = refused.iter().map(|refused| (&refused["channel"], &refused["code"])).collect();
    assert_eq!(
        codes,
        [(&json!("closed:door"), &json!("forbidden")), (&json!("nowhere:tea"), &json!("unknown_channel"))]
    );
    publish(&mut client, "talk:tea", 1);
    expect_data(&mut client, "talk:tea", 1);
}

#[test]
fn a_token_may_name_channels_that_its_session_is_subscribed_to() {
    let gateway = native().start();
    let claims = json!({ "sub": "ann", "tidegate": { "channels": ["talk:tea", "closed:door"] } });

    let (mut client, connected) = connect_with(&gateway, json!({ "token": token_with(&claims) }));

    assert_eq!(connected["user"], "ann");
    let told = connected["channels"].as_object().unwrap();
    assert_eq!(
        told.keys().collect::<Vec<_>>(),
        ["closed:door", "talk:tea"],
        "the server subscribes, not the client"
    );
    publish(&mut connect(&gateway), "closed:door", 1);
    expect_data(&mut client, "closed:door", 1);
}
