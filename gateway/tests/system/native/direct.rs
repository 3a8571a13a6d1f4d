//! Messages to a user or to a session.

use serde_json::json;

use super::{connect, connect_as, connect_with, native, token_of};

#[test]
fn all_sessions_of_a_user_get_a_message_to_it_and_nobody_else() {
    let gateway = native().set("node.workers", "2").start();
    let mut anns: Vec<_> = (0..4).map(|_| connect_as(&gateway, "ann")).collect();
    let mut bob = connect_as(&gateway, "bob");

    let sent = bob.ask("send", json!({ "user": "ann", "data": { "hello": 1 } }));

    assert_eq!(sent, json!({ "sessions": 4 }));
    for ann in &mut anns {
        assert_eq!(ann.expect("direct"), json!({ "data": { "hello": 1 }, "from": "bob" }));
    }
    assert!(bob.hears_nothing());
}

#[test]
fn a_session_is_reached_by_its_name_an_anonymous_one_by_nothing_else() {
    let gateway = native().start();
    let (mut first, told) = connect_with(&gateway, json!({}));
    let mut second = connect(&gateway);

    assert_eq!(second.ask("send", json!({ "session": told["session"], "data": 1 }))["sessions"], 1);
    assert_eq!(first.expect("direct"), json!({ "data": 1 }), "from nobody");
    assert_eq!(second.refused("send", json!({ "user": "", "data": 1 })).code, "bad_request");
    assert!(first.hears_nothing() && second.hears_nothing());
}

#[test]
fn who_is_not_there_is_reached_by_none() {
    let gateway = native().start();
    let mut client = connect(&gateway);
    let (gone, told) = connect_with(&gateway, json!({ "token": token_of("ann") }));
    gone.cut();
    gateway.await_metric("tidegate_connections_active", &[], 1.0);

    assert_eq!(client.ask("send", json!({ "user": "ann", "data": 1 }))["sessions"], 0);
    assert_eq!(client.ask("send", json!({ "session": told["session"], "data": 1 }))["sessions"], 0);
    assert_eq!(client.ask("send", json!({ "session": "AAAAAAAAAAAAAAAAAAAAAA", "data": 1 }))["sessions"], 0);
}

#[test]
fn the_same_key_is_sent_once() {
    let gateway = native().start();
    let (mut ann, mut bob) = (connect_as(&gateway, "ann"), connect_as(&gateway, "bob"));
    let send = |data: u32| json!({ "user": "ann", "data": data, "key": "k" });

    assert_eq!(bob.ask("send", send(1))["sessions"], 1);
    bob.ask("send", send(2));

    assert_eq!(ann.expect("direct")["data"], 1);
    assert!(ann.hears_nothing());
}

#[test]
fn a_message_to_user_and_session_or_to_neither_is_refused() {
    let gateway = native().start();
    let (mut client, told) = connect_with(&gateway, json!({}));

    for body in [json!({ "data": 1 }), json!({ "user": "ann", "session": told["session"], "data": 1 })] {
        assert_eq!(client.refused("send", body.clone()).code, "bad_request", "{body}");
    }
}
