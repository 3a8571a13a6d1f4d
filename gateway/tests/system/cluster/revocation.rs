//! Orders of the server API of one node that concern clients of another.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_testkit::{Cluster, NativeClient, until};

use super::{member, node};
use crate::native::{connect_with, open, resume, token_of, token_with};
use crate::server_api::post;

#[test]
fn a_user_is_disconnected_on_every_node_and_may_come_back() {
    let cluster = Cluster::of(3, node);
    let mut anns = [0, 1].map(|number| member(&cluster, number, "ann", &[]).0);
    let (mut bob, _) = member(&cluster, 1, "bob", &[]);

    let body = json!({ "user": "ann", "code": 4200, "reason": "moved" });
    assert_eq!(post(&cluster[2], "disconnect", &body)["sessions"], 2);

    for ann in &mut anns {
        let (_, closing) = ann.read_to_closing();
        assert_eq!((&closing["code"], &closing["reconnect"]), (&json!(4200), &json!(true)));
    }
    bob.settle();
    member(&cluster, 0, "ann", &[]).0.settle();
}

#[test]
fn a_revoked_user_is_closed_on_every_node_and_stays_out_of_each() {
    let cluster = Cluster::of(3, node);
    let mut anns = [0, 1].map(|number| member(&cluster, number, "ann", &[]));
    let (mut bob, _) = member(&cluster, 0, "bob", &[]);

    assert_eq!(post(&cluster[2], "disconnect", &json!({ "user": "ann", "revoke": true }))["sessions"], 2);

    for (ann, told) in &mut anns {
        assert_eq!(ann.expect_closing(), 4504);
        let body = json!({ "session": told["session"], "resume": told["resume"], "token": token_of("ann") });
        stays_out(&cluster, &body);
    }
    stays_out(&cluster, &json!({ "token": token_of("ann") }));
    bob.settle();
}

#[test]
fn a_revoked_session_is_closed_wherever_it_is_and_cannot_be_resumed() {
    let cluster = Cluster::of(2, node);
    let (mut ann, told) = member(&cluster, 0, "ann", &[]);
    let (mut other, _) = member(&cluster, 0, "ann", &[]);

    let body = json!({ "session": told["session"], "revoke": true });
    assert_eq!(post(&cluster[1], "disconnect", &body)["sessions"], 1);

    assert_eq!(ann.expect_closing(), 4504);
    for node in cluster.nodes() {
        let (_, back) = resume(node, &told);
        assert_eq!(back["resumed"], false);
        assert_ne!(back["session"], told["session"]);
    }
    other.settle();
}

#[test]
fn a_revoked_token_closes_those_who_showed_it_on_every_node_and_nobody_else() {
    let cluster = Cluster::of(3, node);
    let with_token = |number: usize, id: &str| {
        let token = token_with(&json!({ "sub": "ann", "jti": id }));
        connect_with(&cluster[number], json!({ "token": token })).0
    };
    let mut bad = [with_token(0, "t-1"), with_token(1, "t-1")];
    let mut good = with_token(0, "t-2");

    // Who showed a token is known to each node by itself: the answer counts the clients of the node that was asked.
    let revoke = json!({ "token_id": "t-1", "revoke": true });
    assert_eq!(post(&cluster[1], "disconnect", &revoke)["sessions"], 1);

    for client in &mut bad {
        assert_eq!(client.expect_closing(), 4504);
    }
    stays_out(&cluster, &json!({ "token": token_with(&json!({ "sub": "ann", "jti": "t-1" })) }));
    good.settle();
}

#[test]
fn a_server_subscribes_and_unsubscribes_clients_of_other_nodes() {
    let cluster = Cluster::of(2, node);
    let (mut ann, _) = member(&cluster, 0, "ann", &[]);
    let change = json!({ "user": "ann", "channel": "closed:x" });

    assert_eq!(post(&cluster[1], "subscribe", &change)["sessions"], 1);
    // The answer says that the order is on its way, not that it has arrived.
    until("the order to arrive", || {
        post(&cluster[1], "publish", &json!({ "channel": "closed:x", "data": "in" }));
        ann.hears_within(Duration::from_millis(20)).then_some(())
    });
    assert_eq!(ann.expect("message")["data"], "in");

    assert_eq!(post(&cluster[1], "unsubscribe", &change)["sessions"], 1);
    while ann.next_object().get("unsubscribed").is_none() {}
    post(&cluster[1], "publish", &json!({ "channel": "closed:x", "data": "out" }));
    assert!(ann.hears_nothing());
}

/// Whoever says this has to be refused as unauthorized on every node.
#[track_caller]
fn stays_out(cluster: &Cluster, body: &Value) {
    for node in cluster.nodes() {
        let mut client: NativeClient = open(node);
        let refusal = client.refused("connect", body.clone());
        assert_eq!(refusal.code, "unauthorized", "{refusal:?}");
        assert_eq!(client.expect_closing(), 4500);
    }
}
