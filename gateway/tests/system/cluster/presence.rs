//! Who is there, on whichever node: asked for, told as it changes, and gone with a node that died.

use serde_json::{Value, json};
use tidegate_testkit::{Cluster, NativeClient};
use tidegate_wire::close::CloseCode;

use super::{member, node};
use crate::native::resume;
use crate::server_api;

const ROOM: &str = "room:tea";

#[test]
fn members_of_all_nodes_are_known_on_each_and_told_who_comes_and_goes() {
    let cluster = Cluster::of(2, node);
    let (mut ann, _) = member(&cluster, 0, "ann", &[ROOM]);
    expect_about(&mut ann, "join", "ann");
    let (mut bob, told) = member(&cluster, 1, "bob", &[ROOM]);

    let joined = expect_about(&mut ann, "join", "bob");
    assert_eq!(joined, json!({ "channel": ROOM, "user": "bob", "session": told["session"] }));
    for client in [&mut ann, &mut bob] {
        assert_eq!(users(client), ["ann", "bob"]);
    }
    bob.close(CloseCode::NORMAL);
    assert_eq!(expect_about(&mut ann, "leave", "bob"), joined);
    assert_eq!(users(&mut ann), ["ann"]);
}

#[test]
fn a_client_that_moves_to_another_node_never_left() {
    let cluster = Cluster::of(2, || node().set("session.leave_grace", "1h"));
    let (mut ann, _) = member(&cluster, 0, "ann", &[ROOM]);
    let (bob, told) = member(&cluster, 0, "bob", &[ROOM]);
    expect_about(&mut ann, "join", "bob");

    bob.cut();
    cluster[0].await_metric("tidegate_sessions", &[], 1.0);
    assert_eq!(users(&mut ann), ["ann", "bob"], "it may come back");
    let (mut bob, back) = resume(&cluster[1], &told);
    assert_eq!(back["resumed"], true);
    assert_eq!(users(&mut bob), ["ann", "bob"]);

    bob.ask("unsubscribe", json!({ "channel": ROOM }));
    let next = ann.next_object();
    assert_eq!(next["leave"]["user"], "bob", "and nothing before it: {next}");
}

#[test]
fn those_who_were_on_a_node_that_died_leave_with_its_lease() {
    let mut cluster = Cluster::of(2, || node().set("node.lease", "3s"));
    let (mut ann, _) = member(&cluster, 0, "ann", &[ROOM]);
    let (_bob, told) = member(&cluster, 1, "bob", &[ROOM]);
    let (_eve, moved) = member(&cluster, 1, "eve", &[ROOM]);
    expect_about(&mut ann, "join", "eve");

    cluster.kill(1);
    // Who goes on elsewhere in the meantime is no ghost.
    let (mut eve, _) = resume(&cluster[0], &moved);

    assert_eq!(expect_about(&mut ann, "leave", "bob")["session"], told["session"]);
    for client in [&mut ann, &mut eve] {
        assert_eq!(users(client), ["ann", "eve"]);
    }
    let nodes = server_api::get(&cluster[0], "nodes");
    assert_eq!(server_api::column(&nodes["nodes"], "node"), ["node-0"], "{nodes}");
    eve.ask("unsubscribe", json!({ "channel": ROOM }));
    assert_eq!(expect_about(&mut ann, "leave", "eve")["session"], moved["session"]);
}

/// Users of the members, in order.
#[track_caller]
fn users(client: &mut NativeClient) -> Vec<String> {
    let present = client.ask("presence", json!({ "channel": ROOM }));
    let user = |member: &Value| member["user"].as_str().expect("a member has a user").to_owned();
    let mut users: Vec<_> = present["members"].as_array().expect("a list").iter().map(user).collect();
    users.sort();
    users
}

/// The next notice, which has to be this one about this user; one's own `join` may come before it.
#[track_caller]
fn expect_about(client: &mut NativeClient, name: &str, user: &str) -> Value {
    loop {
        let object = client.next_object();
        if object[name]["user"] == user {
            return object[name].clone();
        }
        assert!(object.get("join").is_some(), "waited for {user} to {name}, got {object}");
    }
}
