//! The server API of any node: it sees the whole cluster.

use serde_json::{Value, json};
use tidegate_testkit::{Cluster, until};

use super::{member, node};
use crate::server_api::{column, get, post};

#[test]
fn every_node_lists_the_sessions_of_all_and_says_where_each_lives() {
    let cluster = Cluster::of(2, node);
    let (ann, told) = member(&cluster, 0, "ann", &["log:tea"]);
    let (_bob, _) = member(&cluster, 1, "bob", &[]);
    let id = told["session"].as_str().expect("a session has a name");

    for node in cluster.nodes() {
        let first = get(node, "sessions?limit=1");
        let cursor = first["next"].as_str().expect("there is more");
        let rest = get(node, &format!("sessions?limit=1&cursor={cursor}"));
        let mut users = [column(&first["sessions"], "user"), column(&rest["sessions"], "user")].concat();
        users.sort_by_key(|user| user.as_str());
        assert_eq!(users, ["ann", "bob"]);
        assert_eq!(column(&get(node, "sessions?user=ann")["sessions"], "session"), [id]);
        for (number, user) in ["ann", "bob"].iter().enumerate() {
            let of_node = get(node, &format!("sessions?node={}", Cluster::name(number)));
            assert_eq!(column(&of_node["sessions"], "user"), [user]);
        }
        let shown = get(node, &format!("sessions/{id}"));
        assert_eq!((&shown["node"], &shown["connected"]), (&json!("node-0"), &json!(true)), "{shown}");
        assert_eq!(column(&shown["subscriptions"], "channel"), ["log:tea"]);
    }
    ann.cut();
    until("the other node to see that it is gone", || {
        (get(&cluster[1], &format!("sessions/{id}"))["connected"] == false).then_some(())
    });
}

#[test]
fn every_node_lists_all_nodes() {
    let cluster = Cluster::of(3, node);

    for node in cluster.nodes() {
        let nodes = get(node, "nodes")["nodes"].clone();
        let mut names = column(&nodes, "node");
        names.sort_by_key(|name| name.as_str());
        assert_eq!(names, ["node-0", "node-1", "node-2"]);
        assert!(column(&nodes, "phase").iter().all(|&phase| phase == "serving"), "{nodes}");
    }
}

#[test]
fn every_node_reads_presence_and_history_of_channels_that_others_have() {
    let cluster = Cluster::of(2, node);
    let _members = [member(&cluster, 0, "ann", &["room:tea"]), member(&cluster, 1, "bob", &["room:tea"])];
    for number in 1..=3 {
        post(&cluster[0], "publish", &json!({ "channel": "log:tea", "data": number }));
    }

    let mut heads = Vec::new();
    for node in cluster.nodes() {
        let present = get(node, "channels/room:tea/presence");
        let mut users = column(&present["members"], "user");
        users.sort_by_key(|user| user.as_str());
        assert_eq!((&present["total"], users), (&json!(2), vec![&json!("ann"), &json!("bob")]));
        let history = get(node, "channels/log:tea/history");
        let data: Vec<&Value> = column(&history["messages"], "data");
        assert_eq!(data, [1, 2, 3]);
        heads.push((history["epoch"].clone(), history["offset"].clone()));
    }
    assert_eq!(heads[0], heads[1]);
}
