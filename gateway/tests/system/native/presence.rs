//! Who is there: asked for, told as it changes, and not changed by a connection that is lost for a moment.

use serde_json::{Value, json};
use tidegate_testkit::{NativeClient, until};
use tidegate_wire::close::CloseCode;

use super::{connect, connect_with, native, resume, subscriber, token_of, token_with};

#[test]
fn presence_names_every_session_that_is_subscribed() {
    let gateway = native().start();
    let (mut ann, told) =
        connect_with(&gateway, json!({ "token": token_of("ann"), "info": { "color": "blue" } }));
    let (mut nobody, _) = connect_with(&gateway, json!({}));
    ann.ask("subscribe", json!({ "channel": "room:tea" }));
    nobody.ask("subscribe", json!({ "channel": "room:tea" }));

    let mut members = members(&mut connect(&gateway));

    members.sort_by_key(|member| member["user"].to_string());
    assert_eq!(members.len(), 2);
    assert_eq!(members[0]["user"], "");
    assert!(members[0].get("info").is_none(), "{members:?}");
    assert_eq!((&members[1]["user"], &members[1]["session"]), (&json!("ann"), &told["session"]));
    assert_eq!(members[1]["info"], json!({ "color": "blue" }));
    assert!(members[1]["since_ms"].as_u64() > Some(1_600_000_000_000), "Unix time: {members:?}");
}

#[test]
fn what_a_token_says_of_its_user_counts_more_than_what_the_client_says() {
    let gateway = native().start();
    let claims = json!({ "sub": "ann", "tidegate": { "info": { "name": "Ann" } } });
    let body = json!({ "token": token_with(&claims), "info": { "name": "Root" }, "subscribe": ["room:tea"] });

    let (mut ann, _) = connect_with(&gateway, body);

    assert_eq!(members(&mut ann)[0]["info"], json!({ "name": "Ann" }));
}

#[test]
fn those_who_are_there_are_told_who_comes_and_who_goes() {
    let gateway = native().start();
    let mut first = subscriber(&gateway, "room:tea");
    first.settle();
    let (mut ann, told) =
        connect_with(&gateway, json!({ "token": token_of("ann"), "subscribe": ["room:tea"], "info": 7 }));

    let expected = json!({ "channel": "room:tea", "user": "ann", "session": told["session"], "info": 7 });
    assert_eq!(expect_of(&mut first, "join", &told), expected);
    ann.ask("unsubscribe", json!({ "channel": "room:tea" }));
    assert_eq!(first.expect("leave"), expected);
    ann.ask("subscribe", json!({ "channel": "room:tea" }));
    assert_eq!(first.expect("join"), expected);
    ann.close(CloseCode::NORMAL);
    assert_eq!(first.expect("leave"), expected, "at once: it does not come back");
    assert_eq!(members(&mut first).len(), 1);
}

#[test]
fn a_client_that_is_back_within_the_grace_never_left() {
    let gateway = native().set("session.leave_grace", "1h").start();
    let mut first = subscriber(&gateway, "room:tea");
    let (ann, told) = connect_with(&gateway, json!({ "token": token_of("ann"), "subscribe": ["room:tea"] }));
    expect_of(&mut first, "join", &told);

    ann.cut();
    gateway.await_metric("tidegate_connections_active", &[], 1.0);
    assert_eq!(members(&mut first).len(), 2, "it may come back");
    let (mut ann, told) = resume(&gateway, &told);
    assert_eq!(told["resumed"], true);
    assert_eq!(members(&mut first).len(), 2);

    ann.ask("unsubscribe", json!({ "channel": "room:tea" }));
    assert_eq!(first.expect("leave")["user"], "ann", "and nothing before it");
}

#[test]
fn a_client_that_is_not_back_in_time_has_left() {
    let gateway = native().set("session.leave_grace", "1s").start();
    let mut first = subscriber(&gateway, "room:tea");
    let (ann, told) = connect_with(&gateway, json!({ "token": token_of("ann"), "subscribe": ["room:tea"] }));
    expect_of(&mut first, "join", &told);

    ann.cut();

    assert_eq!(first.expect("leave")["session"], told["session"]);
    assert_eq!(members(&mut first).len(), 1);
    let (mut ann, back) = resume(&gateway, &told);
    assert_eq!(back["resumed"], true);
    assert_eq!(expect_of(&mut first, "join", &told)["user"], "ann");
    assert_eq!(members(&mut ann).len(), 2);
}

#[test]
fn a_channel_without_presence_says_so() {
    let gateway = native().start();
    let mut client = subscriber(&gateway, "talk:tea");

    let refusal = client.refused("presence", json!({ "channel": "talk:tea" }));

    assert_eq!(refusal.code, "bad_request");
    assert!(refusal.message.contains("no presence"), "{refusal:?}");
}

#[test]
fn presence_without_join_and_leave_tells_nobody() {
    let gateway = native()
        .config("[namespaces.quiet]\nsubscribe = \"anyone\"\npublish = \"anyone\"\npresence = true")
        .start();
    let mut first = subscriber(&gateway, "quiet:tea");
    let mut second = subscriber(&gateway, "quiet:tea");

    until("both to be there", || {
        let present = second.ask("presence", json!({ "channel": "quiet:tea" }));
        (present["members"].as_array().map(Vec::len) == Some(2)).then_some(())
    });
    assert!(first.hears_nothing() && second.hears_nothing());
}

#[track_caller]
fn members(client: &mut NativeClient) -> Vec<Value> {
    let present = client.ask("presence", json!({ "channel": "room:tea" }));
    present["members"].as_array().expect("a list of members").clone()
}

/// The next notice of this session, past those of others such as one's own `join`.
#[track_caller]
fn expect_of(client: &mut NativeClient, name: &str, session: &Value) -> Value {
    loop {
        let object = client.next_object();
        if object.get(name).is_some_and(|body| body["session"] == session["session"]) {
            return object[name].clone();
        }
    }
}
