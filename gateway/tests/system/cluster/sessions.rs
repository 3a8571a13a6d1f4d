//! Sessions that move between nodes, are taken over and written to.

use serde_json::{Value, json};
use tidegate_testkit::{Cluster, NativeClient, until};

use super::{at, member, node};
use crate::native::{connect, connect_as, connect_with, expect_data, publish, resume, resume_at};
use crate::server_api;

#[test]
fn who_comes_back_on_another_node_gets_exactly_what_it_missed_by_its_own_position() {
    let cluster = Cluster::of(2, node);
    let (mut reader, told) = member(&cluster, 0, "ann", &["log:tea", "talk:tea"]);
    let mut writer = connect(&cluster[1]);
    (1..=5).for_each(|number| drop(publish(&mut writer, "log:tea", number)));
    (1..=5).for_each(|number| drop(expect_data(&mut reader, "log:tea", number)));
    reader.cut();
    cluster[0].await_metric("tidegate_sessions", &[], 0.0);
    (6..=8).for_each(|number| drop(publish(&mut writer, "log:tea", number)));

    // It has seen less than the server sent: the client's word counts.
    let (mut reader, back) = resume_at(&cluster[1], &told, "log:tea", &at(&told, "log:tea", 3));

    assert_eq!((&back["resumed"], &back["user"]), (&json!(true), &json!("ann")));
    assert_eq!((&back["session"], &back["node"]), (&told["session"], &json!("node-1")));
    assert_eq!(back["channels"]["log:tea"]["recovered"], true);
    (4..=8).for_each(|number| drop(expect_data(&mut reader, "log:tea", number)));
    publish(&mut writer, "talk:tea", "live again");
    expect_data(&mut reader, "talk:tea", "live again");
    assert!(reader.hears_nothing());
}

#[test]
fn after_the_death_of_its_node_a_session_goes_on_with_the_position_that_the_client_tells() {
    let mut cluster = Cluster::of(2, node);
    let (mut reader, told) = member(&cluster, 0, "ann", &["log:tea"]);
    let mut writer = connect(&cluster[1]);
    publish(&mut writer, "log:tea", 1);
    expect_data(&mut reader, "log:tea", 1);

    cluster.kill(0);
    publish(&mut writer, "log:tea", 2);
    let (mut reader, back) = resume_at(&cluster[1], &told, "log:tea", &at(&told, "log:tea", 1));

    assert_eq!((&back["resumed"], &back["user"]), (&json!(true), &json!("ann")));
    assert_eq!(back["channels"]["log:tea"]["recovered"], true);
    expect_data(&mut reader, "log:tea", 2);
    assert!(reader.hears_nothing());
}

#[test]
fn after_the_death_of_its_node_a_session_goes_on_with_the_position_that_was_saved_while_it_lived() {
    let mut cluster = Cluster::of(2, node);
    let (mut reader, told) = member(&cluster, 0, "ann", &["log:tea"]);
    let mut writer = connect(&cluster[1]);
    (1..=3).for_each(|number| drop(publish(&mut writer, "log:tea", number)));
    (1..=3).for_each(|number| drop(expect_data(&mut reader, "log:tea", number)));
    let id = told["session"].as_str().expect("a session has a name");
    until("the position to be saved", || {
        let shown = server_api::get(&cluster[1], &format!("sessions/{id}"));
        (shown["subscriptions"][0]["offset"] == 3).then_some(())
    });

    cluster.kill(0);
    publish(&mut writer, "log:tea", 4);
    let (mut reader, back) = resume(&cluster[1], &told);

    assert_eq!((&back["resumed"], &back["channels"]["log:tea"]["recovered"]), (&json!(true), &json!(true)));
    expect_data(&mut reader, "log:tea", 4);
    assert!(reader.hears_nothing());
}

#[test]
fn a_session_without_its_secret_is_nobodys_on_any_node() {
    let cluster = Cluster::of(2, node);
    let (_ann, told) = member(&cluster, 0, "ann", &[]);
    let (_bob, other) = member(&cluster, 1, "bob", &[]);

    let (_, back) =
        connect_with(&cluster[1], json!({ "session": told["session"], "resume": other["resume"] }));

    assert_eq!(back["resumed"], false);
    assert_ne!(back["session"], told["session"]);
}

#[test]
fn a_live_session_that_is_taken_over_on_another_node_closes_its_old_connection() {
    let cluster = Cluster::of(2, node);
    let (mut old, told) = member(&cluster, 0, "ann", &["room:tea", "log:tea"]);
    let mut other = connect(&cluster[0]);

    for round in 1..=4 {
        let (mut new, back) = resume(&cluster[round % 2], &told);
        assert_eq!(back["resumed"], true, "round {round}");
        let (_, closing) = old.read_to_closing();
        assert_eq!(closing, json!({ "code": 4503, "name": "taken_over", "reconnect": false }));
        publish(&mut other, "log:tea", round);
        while new.next_object()["message"]["data"] != round {}
        old = new;
    }

    // The loser's end is not the session's.
    assert_eq!(other.ask("send", json!({ "session": told["session"], "data": 1 }))["sessions"], 1);
    until_direct(&mut old, &json!(1));
    let members = other.ask("presence", json!({ "channel": "room:tea" }))["members"].clone();
    assert_eq!(members.as_array().map(Vec::len), Some(1), "{members}");
}

#[test]
fn a_message_to_a_user_reaches_its_sessions_on_all_nodes_and_nobody_else() {
    let cluster = Cluster::of(3, node);
    let mut anns: Vec<_> = [0, 1, 1, 2].map(|number| member(&cluster, number, "ann", &[])).into();
    let mut bob = connect_as(&cluster[0], "bob");

    let sent = bob.ask("send", json!({ "user": "ann", "data": "from a client" }));
    assert_eq!(sent, json!({ "sessions": 4 }));
    for (ann, _) in &mut anns {
        assert_eq!(ann.expect("direct"), json!({ "data": "from a client", "from": "bob" }));
    }
    // Only now: two senders' messages, from two nodes, have no order.
    let sent = server_api::post(&cluster[2], "send", &json!({ "user": "ann", "data": "from a server" }));
    assert_eq!(sent, json!({ "sessions": 4 }));
    for (ann, _) in &mut anns {
        assert_eq!(ann.expect("direct"), json!({ "data": "from a server" }));
    }

    let (last, told) = anns.last_mut().expect("there are some");
    bob.ask("send", json!({ "session": told["session"], "data": "to one" }));
    assert_eq!(last.expect("direct"), json!({ "data": "to one", "from": "bob" }));
    assert!(anns.iter_mut().all(|(ann, _)| ann.hears_nothing()));
    assert!(bob.hears_nothing());
}

/// Reads on to this direct message.
#[track_caller]
fn until_direct(client: &mut NativeClient, data: &Value) {
    while client.next_object()["direct"]["data"] != *data {}
}
