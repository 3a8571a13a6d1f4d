//! Who is sent away by the server API, and who stays out: by user, by session, by token.

use serde_json::{Value, json};
use tidegate_testkit::{Builder, Gateway, NativeClient};

use crate::native::{connect_with, native, open, resume, token_with};

const KEY: &str = "a key of at least sixteen bytes";

fn gateway() -> Builder {
    native().config(&format!(
        "[[api.keys]]\nname = \"test\"\nsecret = \"{KEY}\"\nrights = [\"disconnect\", \"read\"]"
    ))
}

/// How many sessions were reached.
#[track_caller]
fn disconnect(gateway: &Gateway, body: &Value) -> u64 {
    let authorization = format!("Bearer {KEY}");
    let headers = [("authorization", &*authorization), ("content-type", "application/json")];
    let answer = gateway.api_call("POST", "/v1/disconnect", &headers, &body.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer: Value = serde_json::from_str(&answer.body).expect("an answer is JSON");
    answer["sessions"].as_u64().expect("sessions are counted")
}

#[track_caller]
fn connect(gateway: &Gateway, claims: &Value) -> (NativeClient, Value) {
    connect_with(gateway, json!({ "token": token_with(claims) }))
}

/// A client that shows this and has to be refused as unauthorized.
#[track_caller]
fn stays_out(gateway: &Gateway, body: Value) {
    let mut client = open(gateway);
    let refusal = client.refused("connect", body);
    assert_eq!(refusal.code, "unauthorized", "{refusal:?}");
    assert_eq!(client.expect_closing(), 4500);
}

#[test]
fn who_is_disconnected_is_told_and_may_come_back() {
    let gateway = gateway().start();
    let ann = json!({ "sub": "ann" });
    let ((mut phone, session), (mut laptop, _)) = (connect(&gateway, &ann), connect(&gateway, &ann));
    let (mut bob, _) = connect(&gateway, &json!({ "sub": "bob" }));

    assert_eq!(disconnect(&gateway, &json!({ "user": "ann" })), 2);

    assert_eq!([phone.expect_closing(), laptop.expect_closing()], [4505, 4505]);
    bob.settle();
    connect(&gateway, &ann).0.settle();
    let (_, told) = connect_with(
        &gateway,
        json!({
            "session": session["session"], "resume": session["resume"], "token": token_with(&ann)
        }),
    );
    assert_eq!(told["resumed"], false, "its session has ended");
}

#[test]
fn the_app_may_choose_code_and_reason() {
    let gateway = gateway().start();
    let (mut client, session) = connect(&gateway, &json!({ "sub": "ann" }));

    let body = json!({ "session": session["session"], "code": 4200, "reason": "moved" });
    assert_eq!(disconnect(&gateway, &body), 1);

    let (_, closing) = client.read_to_closing();
    assert_eq!((&closing["code"], &closing["reconnect"]), (&json!(4200), &json!(true)));
}

#[test]
fn a_revoked_user_is_closed_everywhere_and_stays_out_with_any_token_or_session() {
    let gateway = gateway().start();
    let ann = json!({ "sub": "ann" });
    let ((mut phone, _), (laptop, dropped)) = (connect(&gateway, &ann), connect(&gateway, &ann));
    laptop.cut();
    gateway.await_metric("tidegate_store_entries", &[("kind", "session_detached")], 1.0);

    assert_eq!(disconnect(&gateway, &json!({ "user": "ann", "revoke": true })), 2);

    assert_eq!(phone.expect_closing(), 4504);
    stays_out(&gateway, json!({ "token": token_with(&json!({ "sub": "ann", "jti": "another" })) }));
    stays_out(
        &gateway,
        json!({
            "session": dropped["session"], "resume": dropped["resume"], "token": token_with(&ann)
        }),
    );
    connect(&gateway, &json!({ "sub": "bob" })).0.settle();
    gateway.await_metric("tidegate_store_entries", &[("kind", "revocation")], 1.0);
}

#[test]
fn a_revoked_session_cannot_be_resumed_and_its_user_may_begin_another() {
    let gateway = gateway().start();
    let ann = json!({ "sub": "ann" });
    let (mut client, session) = connect(&gateway, &ann);
    let (mut other, _) = connect(&gateway, &ann);

    assert_eq!(disconnect(&gateway, &json!({ "session": session["session"], "revoke": true })), 1);

    assert_eq!(client.expect_closing(), 4504);
    other.settle();
    connect(&gateway, &ann).0.settle();
}

#[test]
fn a_revoked_token_closes_those_that_showed_it_and_the_user_may_show_another() {
    let gateway = gateway().start();
    let (bad, good) = (json!({ "sub": "ann", "jti": "t-1" }), json!({ "sub": "ann", "jti": "t-2" }));
    let ((mut first, session), (mut second, _)) = (connect(&gateway, &bad), connect(&gateway, &good));

    assert_eq!(disconnect(&gateway, &json!({ "token_id": "t-1", "revoke": true })), 1);

    assert_eq!(first.expect_closing(), 4504);
    second.settle();
    stays_out(&gateway, json!({ "token": token_with(&bad) }));
    let (mut anew, told) = connect_with(
        &gateway,
        json!({
            "session": session["session"], "resume": session["resume"], "token": token_with(&good)
        }),
    );
    assert_eq!(told["resumed"], false);
    anew.settle();
}

#[test]
fn a_token_that_is_revoked_cannot_be_shown_within_a_session_either() {
    let gateway = gateway().start();
    let (mut client, _) = connect(&gateway, &json!({ "sub": "ann", "jti": "t-1" }));
    disconnect(&gateway, &json!({ "token_id": "t-2", "revoke": true }));

    let refusal =
        client.refused("refresh", json!({ "token": token_with(&json!({ "sub": "ann", "jti": "t-2" })) }));
    assert_eq!(refusal.code, "unauthorized", "{refusal:?}");
    client.ask("refresh", json!({ "token": token_with(&json!({ "sub": "ann", "jti": "t-3" })) }));

    // What it showed last is what it is known by.
    assert_eq!(disconnect(&gateway, &json!({ "token_id": "t-3", "revoke": true })), 1);
    assert_eq!(client.expect_closing(), 4504);
}

#[test]
fn a_session_that_came_back_is_closed_with_the_token_it_began_with() {
    let gateway = gateway().start();
    let (client, session) = connect(&gateway, &json!({ "sub": "ann", "jti": "t-1" }));
    client.cut();
    gateway.await_metric("tidegate_store_entries", &[("kind", "session_detached")], 1.0);
    let (mut back, told) = resume(&gateway, &session);
    assert_eq!(told["resumed"], true);

    assert_eq!(disconnect(&gateway, &json!({ "token_id": "t-1", "revoke": true })), 1);

    assert_eq!(back.expect_closing(), 4504);
}
