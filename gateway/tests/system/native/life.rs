//! What happens because time goes by: tokens that end, clients that fall silent.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{connect, connect_with, expect_data, native, publish, resume, token_of, token_with};

#[test]
fn a_token_that_ends_is_announced_and_then_closes() {
    let gateway = native().set("auth.jwt.leeway", "0s").set("session.expiring_notice", "1s").start();
    let (mut ann, told) = connect_with(&gateway, json!({ "token": ending_in("ann", 2) }));
    let left = told["token_expires_in_ms"].as_u64().unwrap();
    assert!((1..=2_000).contains(&left), "{told}");

    let in_ms = ann.expect("expiring")["in_ms"].as_u64().unwrap();
    assert!(in_ms <= 1_000, "{in_ms}");
    let (_, closing) = ann.read_to_closing();

    assert_eq!(closing, json!({ "code": 4004, "name": "token_expired", "reconnect": true }));
}

#[test]
fn a_session_whose_token_has_ended_needs_a_new_one_of_the_same_user() {
    let gateway = native()
        .set("auth.anonymous", "false")
        .set("auth.jwt.leeway", "0s")
        .set("session.expiring_notice", "1s")
        .start();
    let (mut ann, told) =
        connect_with(&gateway, json!({ "token": ending_in("ann", 1), "subscribe": ["talk:tea"] }));
    assert_eq!(ann.expect_closing(), 4004);
    let with = |token: Option<String>| json!({ "session": told["session"], "resume": told["resume"], "token": token });

    let mut tokenless = super::open(&gateway);
    assert_eq!(tokenless.refused("connect", with(None)).code, "unauthorized");
    assert_eq!(tokenless.expect_closing(), 4508);
    let mut eve = super::open(&gateway);
    assert_eq!(eve.refused("connect", with(Some(token_of("eve")))).code, "forbidden");
    assert_eq!(eve.expect_closing(), 4501);
    let (mut ann, back) = connect_with(&gateway, with(Some(token_of("ann"))));
    assert_eq!((&back["resumed"], &back["channels"]), (&json!(true), &json!({ "talk:tea": {} })));
    publish(&mut ann, "talk:tea", 1);
    expect_data(&mut ann, "talk:tea", 1);
}

#[test]
fn a_refreshed_token_keeps_the_session_and_brings_its_own_rights() {
    let gateway = native().set("auth.jwt.leeway", "0s").set("session.expiring_notice", "1s").start();
    let (mut ann, _) = connect_with(&gateway, json!({ "token": ending_in("ann", 2) }));
    assert_eq!(ann.refused("subscribe", json!({ "channel": "claimed:tea" })).code, "forbidden");
    ann.expect("expiring");
    let claims = json!({ "sub": "ann", "exp": now_s() + 3600, "tidegate": { "subscribe": ["claimed:tea"] } });

    let refreshed = ann.ask("refresh", json!({ "token": token_with(&claims) }));

    let left = refreshed["token_expires_in_ms"].as_u64().unwrap();
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    ann.ask("subscribe", json!({ "channel": "claimed:tea" }));
    assert_eq!(ann.ask("refresh", json!({ "token": token_of("ann") })), json!({}), "a token without an end");
    assert_eq!(ann.refused("subscribe", json!({ "channel": "claimed:milk" })).code, "forbidden");
}

#[test]
fn a_refresh_with_another_users_token_or_a_bad_one_is_refused_and_changes_nothing() {
    let gateway = native().start();
    let (mut ann, told) = connect_with(&gateway, json!({ "token": ending_in("ann", 3600) }));

    assert_eq!(ann.refused("refresh", json!({ "token": token_of("eve") })).code, "forbidden");
    assert_eq!(ann.refused("refresh", json!({ "token": "nonsense" })).code, "unauthorized");
    assert_eq!(ann.refused("refresh", json!({ "token": ending_in("ann", -3600) })).code, "unauthorized");

    ann.ask("subscribe", json!({ "channel": "lobby" }));
    ann.cut();
    let (_ann, back) = resume(&gateway, &told);
    assert_eq!((&back["resumed"], &back["user"]), (&json!(true), &json!("ann")));
    assert!(back["token_expires_in_ms"].as_u64().is_some(), "the first token's end: {back}");
}

#[test]
fn a_quiet_client_is_asked_for_a_sign_of_life_and_stays_as_long_as_it_gives_one() {
    let gateway = native().set("limits.ping_interval", "1s").set("limits.pings_missed", "1").start();
    let (mut client, told) = connect_with(&gateway, json!({}));
    assert_eq!(told["ping_ms"], 1_000);

    for _ in 0..3 {
        assert_eq!(client.next_object(), json!({}));
        client.say(&json!({}));
    }

    client.settle();
}

#[test]
fn a_client_that_gives_no_sign_of_life_is_closed_and_may_come_back() {
    let gateway = native().set("limits.ping_interval", "1s").set("limits.pings_missed", "2").start();
    let (mut silent, told) = connect_with(&gateway, json!({ "subscribe": ["talk:tea"] }));

    let (before, closing) = silent.read_to_closing();

    assert_eq!(before, [json!({}), json!({})], "limits.pings_missed is 2");
    assert_eq!(closing, json!({ "code": 4002, "name": "ping_timeout", "reconnect": true }));
    gateway.await_metric("tidegate_connections_closed_total", &[("cause", "ping_timeout")], 1.0);
    assert_eq!(resume(&gateway, &told).1["resumed"], true);
}

#[test]
fn a_sign_of_life_that_nobody_asked_for_is_no_command() {
    let gateway = native().start();
    let mut client = connect(&gateway);

    client.say_all(&[json!({}), json!({})]);

    assert!(client.hears_nothing());
}

#[test]
fn a_frame_that_stays_unfinished_ends_its_connection_and_not_its_session() {
    let gateway = native().set("limits.frame_timeout", "1s").start();
    let (mut client, told) = connect_with(&gateway, json!({}));

    client.socket().send_bytes(b"\x81\xfe\x00");

    let (_, closing): (_, Value) = client.read_to_closing();
    assert_eq!(closing, json!({ "code": 4003, "name": "frame_timeout", "reconnect": true }));
    assert_eq!(resume(&gateway, &told).1["resumed"], true);
}

fn ending_in(user: &str, seconds: i64) -> String {
    token_with(&json!({ "sub": user, "exp": now_s() + seconds }))
}

fn now_s() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    i64::try_from(now.as_secs()).expect("it is before the year 292277026596")
}
