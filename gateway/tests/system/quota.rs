//! Quotas that all connections of a user, or of an address, share: one more is told, and only the stubborn are closed.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};
use tidegate_testkit::{Gateway, NativeClient};
use tidegate_wire::close::CloseCode;

use crate::native::{connect, connect_as, native, open, resume, token_with};

/// What is published, on a channel that keeps nothing.
fn publication() -> Value {
    json!({ "channel": "talk:tea", "data": 1 })
}

#[track_caller]
fn refusals(gateway: &Gateway, owner: &str, what: &str, count: f64) {
    gateway.await_metric("tidegate_quota_refusals_total", &[("owner", owner), ("what", what)], count);
}

#[test]
fn one_connection_over_a_users_bound_is_refused_until_another_leaves() {
    let gateway = native().set("limits.user.connections", "2").start();
    let (first, mut second) = (connect_as(&gateway, "ann"), connect_as(&gateway, "ann"));

    let mut third = open(&gateway);
    let refusal = third.refused("connect", json!({ "token": token_with(&json!({ "sub": "ann" })) }));
    assert_eq!(refusal.code, "limit", "{refusal:?}");
    assert_eq!(third.expect_closing(), 4051);
    refusals(&gateway, "user", "connection", 1.0);
    second.settle();
    connect_as(&gateway, "bob").settle();
    let anonymous: Vec<_> = (0..3).map(|_| connect(&gateway)).collect();

    first.close(CloseCode::NORMAL);
    connect_as(&gateway, "ann").settle();
    drop(anonymous);
}

#[test]
fn a_session_that_is_taken_over_is_not_one_connection_too_many() {
    let gateway = native().set("limits.user.connections", "1").start();
    let mut old = open(&gateway);
    let session = old.ask("connect", json!({ "token": token_with(&json!({ "sub": "ann" })) }));

    let (mut new, told) = resume(&gateway, &session);

    assert_eq!(told["resumed"], true);
    assert_eq!(old.expect_closing(), 4503);
    new.settle();
    let mut another = open(&gateway);
    let refusal = another.refused("connect", json!({ "token": token_with(&json!({ "sub": "ann" })) }));
    assert_eq!(refusal.code, "limit", "the new one counts: {refusal:?}");
}

#[test]
fn one_subscription_over_a_users_bound_is_refused_and_others_stay() {
    let gateway = native().set("limits.user.subscriptions", "3").start();
    let (mut phone, mut laptop) = (connect_as(&gateway, "ann"), connect_as(&gateway, "ann"));
    let subscribe =
        |client: &mut NativeClient, channel| client.ask("subscribe", json!({ "channel": channel }));
    subscribe(&mut phone, "talk:1");
    subscribe(&mut phone, "talk:2");
    subscribe(&mut laptop, "log:3");

    let refusal = laptop.refused("subscribe", json!({ "channel": "talk:4" }));
    assert_eq!(refusal.code, "limit");
    assert_eq!(refusal.message, "this user has 3 subscriptions, which is the most on one node");
    refusals(&gateway, "user", "subscription", 1.0);
    gateway.await_metric("tidegate_subscriptions", &[], 3.0);

    phone.ask("unsubscribe", json!({ "channel": "talk:1" }));
    subscribe(&mut laptop, "talk:4");
    phone.close(CloseCode::NORMAL);
    gateway.await_metric("tidegate_subscriptions", &[], 2.0);
    subscribe(&mut laptop, "talk:5");
    assert_eq!(laptop.refused("subscribe", json!({ "channel": "talk:6" })).code, "limit");
}

#[test]
fn what_one_connection_sends_is_taken_from_all_of_its_user() {
    let gateway = native().set("limits.user.bytes_per_second", "100").start();
    // `connect` is a command of nobody in particular yet.
    let (mut phone, mut laptop) = (connect_as(&gateway, "ann"), connect_as(&gateway, "ann"));

    // What is longer than the quota of a second is slow, not impossible: a minute's worth.
    phone.ask("publish", json!({ "channel": "talk:tea", "data": "x".repeat(6_000) }));
    let refusal = laptop.refused("publish", publication());

    assert_eq!((&*refusal.code, refusal.retry), ("limit", true), "{refusal:?}");
    assert!(refusal.retry_after_ms.is_some_and(|ms| (1_000..=60_000).contains(&ms)), "{refusal:?}");
    refusals(&gateway, "user", "message", 1.0);
    connect_as(&gateway, "bob").ask("publish", publication());
    connect(&gateway).ask("publish", publication());
}

#[test]
fn who_does_not_listen_to_a_shared_quota_is_closed_and_the_users_other_connections_stay() {
    let gateway = native().set("limits.user.messages_per_second", "2").start();
    let (mut stubborn, mut other) = (connect_as(&gateway, "ann"), connect(&gateway));
    let flood: Vec<_> = (0..200).map(|_| json!({ "publish": publication() })).collect();

    stubborn.say_all(&flood);

    let (before, closing) = stubborn.read_to_closing();
    assert_eq!(closing, json!({ "code": 4506, "name": "rate_limited", "reconnect": false }));
    assert!(
        !before.is_empty() && before.iter().all(|object| object["error"]["code"] == "limit"),
        "{before:?}"
    );
    other.ask("publish", publication());
}

#[test]
fn an_address_shares_a_quota_whoever_its_users_are_and_another_address_has_its_own() {
    let gateway = native().set("limits.address.bytes_per_second", "100").start();
    let from = |last| {
        let request = gateway.request("/ws").subprotocols(&["tidegate.v1.json"]);
        NativeClient::new(request.from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))).open())
    };
    let (mut one, mut two, mut elsewhere) = (from(5), from(5), from(6));

    one.ask("connect", json!({}));
    one.ask("publish", json!({ "channel": "talk:tea", "data": "x".repeat(6_000) }));

    let refusal = two.refused("connect", json!({}));
    assert_eq!((&*refusal.code, refusal.retry), ("limit", true), "{refusal:?}");
    refusals(&gateway, "address", "message", 1.0);
    elsewhere.ask("connect", json!({}));
    elsewhere.ask("publish", publication());
}

#[test]
fn a_raw_client_cannot_be_told_to_wait_and_is_closed() {
    let gateway = native().set("limits.address.bytes_per_second", "10").start();
    let mut raw = gateway.open("/echo");
    let first = "x".repeat(600);

    raw.send_text(&first);
    raw.expect_text(&first);
    raw.send_text("one byte too many");

    let (code, _) = raw.expect_close();
    assert_eq!(code, 1008);
    gateway.await_metric("tidegate_connections_closed_total", &[("cause", "rate_limited")], 1.0);
    refusals(&gateway, "address", "message", 1.0);
}
