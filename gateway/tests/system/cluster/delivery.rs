//! Publications between nodes: each reaches every subscriber once, in the order of its channel.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use tidegate_testkit::{Cluster, Gateway, NativeClient, Request};

use super::node;
use crate::native::{
    connect, connect_as, connect_with, expect_data, expect_mixed, publish, publish_mixed, subscriber,
};
use crate::server_api;

#[test]
fn publications_of_every_node_reach_the_subscribers_of_every_node_once_and_in_one_order() {
    const EACH: u64 = 50;
    const PUBLISHERS: usize = 3;
    let cluster = Cluster::of(3, || node().set("node.workers", "2"));
    let subscribe = json!({ "subscribe": ["log:tea", "talk:tea"] });
    let mut readers: Vec<_> = cluster
        .nodes()
        .iter()
        .flat_map(|node| (0..3).map(|_| connect_with(node, subscribe.clone()).0).collect::<Vec<_>>())
        .collect();

    thread::scope(|scope| {
        for (number, node) in cluster.nodes().iter().enumerate() {
            scope.spawn(move || {
                let mut publisher = connect_as(node, &format!("user-{number}"));
                for number in 1..=EACH {
                    publish(&mut publisher, "log:tea", number);
                    publish(&mut publisher, "talk:tea", number);
                }
            });
        }
    });

    let mut orders = Vec::new();
    for reader in &mut readers {
        orders.push(hear_all(reader, 2 * PUBLISHERS, EACH));
        assert!(reader.hears_nothing());
    }
    assert!(orders.windows(2).all(|pair| pair[0] == pair[1]), "one order of all publishers");
}

/// Hears `each` messages of so many channels and publishers, each of them in order. The result is who published those that
/// have an offset.
#[track_caller]
fn hear_all(reader: &mut NativeClient, sources: usize, each: u64) -> Vec<String> {
    let (mut heard, mut order) = (BTreeMap::new(), Vec::new());
    for _ in 0..sources as u64 * each {
        let message = reader.expect("message");
        let text = |name: &str| message[name].as_str().expect("it is named").to_owned();
        if let Some(offset) = message["offset"].as_u64() {
            order.push(text("from"));
            assert_eq!(offset, order.len() as u64, "{message}");
        }
        let number = heard.entry((text("channel"), text("from"))).or_insert(0_u64);
        *number += 1;
        assert_eq!(message["data"], *number, "{message}");
    }
    assert!(heard.len() == sources && heard.values().all(|&number| number == each), "{heard:?}");
    order
}

#[test]
fn without_history_publications_of_a_client_come_in_its_order_whether_they_have_keys_or_not() {
    let cluster = Cluster::of(2, node);
    let mut readers: Vec<_> = cluster.nodes().iter().map(|node| subscriber(node, "talk:tea")).collect();
    publish_mixed(&mut connect(&cluster[0]), "talk:tea");
    readers.iter_mut().for_each(|reader| expect_mixed(reader, "talk:tea"));
}

#[test]
fn who_subscribes_while_others_publish_gets_all_from_there_on_and_nothing_twice() {
    let cluster = Cluster::of(2, node);
    let is_over = AtomicBool::new(false);

    thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let mut publisher = connect(&cluster[0]);
            let mut number = 0;
            while !is_over.load(Ordering::Relaxed) {
                number += 1;
                publish(&mut publisher, "log:tea", number);
            }
            number
        });
        let mut readers: Vec<_> = (0..20)
            .map(|round| {
                let mut reader = connect(&cluster[round % 2]);
                let subscribed = reader.ask("subscribe", json!({ "channel": "log:tea" }));
                let from = subscribed["offset"].as_u64().expect("the channel has a history");
                // Something has to come between two of them.
                let first = reader.expect("message");
                assert_eq!(first["offset"], from + 1, "the first after {subscribed}");
                (reader, from + 2)
            })
            .collect();
        is_over.store(true, Ordering::Relaxed);
        let last = publishing.join().expect("the publisher is content");
        for (reader, next) in &mut readers {
            (*next..=last).for_each(|number| {
                assert_eq!(expect_data(reader, "log:tea", number)["offset"], number);
            });
            assert!(reader.hears_nothing());
        }
    });
}

#[test]
fn a_publication_that_is_repeated_at_another_node_is_delivered_once() {
    let cluster = Cluster::of(2, node);
    let (mut here, mut there) = (connect_as(&cluster[0], "ann"), connect_as(&cluster[1], "ann"));

    for channel in ["log:tea", "talk:tea"] {
        let mut readers: Vec<_> = cluster.nodes().iter().map(|node| subscriber(node, channel)).collect();
        let body = json!({ "channel": channel, "data": 1, "key": "order-1" });
        let first = here.ask("publish", body.clone());
        let again = there.ask("publish", body.clone());
        assert_eq!((first.get("duplicate"), &again["duplicate"]), (None, &json!(true)), "{channel}");
        assert_eq!((&again["epoch"], &again["offset"]), (&first["epoch"], &first["offset"]));

        // Servers have keys of their own.
        let first = server_api::post(&cluster[1], "publish", &body);
        let again = server_api::post(&cluster[0], "publish", &body);
        assert_eq!((first.get("duplicate"), &again["duplicate"]), (None, &json!(true)), "{channel}");

        // Whatever was sent twice comes before these.
        publish(&mut here, channel, 2);
        publish(&mut there, channel, 3);
        for reader in &mut readers {
            let mut heard: Vec<_> = (0..4).map(|_| reader.expect("message")["data"].clone()).collect();
            heard.sort_by_key(Value::as_u64);
            assert_eq!(heard, [1, 1, 2, 3], "{channel}");
        }
    }
}

#[test]
fn clusters_with_prefixes_of_their_own_share_servers_and_hear_nothing_of_each_other() {
    let cluster = Cluster::of(1, node);
    let others = cluster.join(0, node().set("store.prefix", "other:").set("bus.prefix", "other")).start();
    let mut one = both(&cluster[0]);
    let mut other = both(&others);

    publish(&mut one, "log:tea", "one");
    publish(&mut one, "talk:tea", "one");
    assert_eq!(publish(&mut other, "log:tea", "other")["offset"], 1);
    publish(&mut other, "talk:tea", "other");

    for (client, name) in [(&mut one, "one"), (&mut other, "other")] {
        expect_data(client, "log:tea", name);
        expect_data(client, "talk:tea", name);
        assert!(client.hears_nothing());
    }
    assert_eq!(sessions(&others), 1);
}

#[test]
fn behind_a_balancer_clients_land_on_every_node_and_talk_to_each_other() {
    let cluster = Cluster::of(2, node);
    let balancer = cluster.balancer();
    let mut clients: Vec<_> = (0..6)
        .map(|_| {
            let request = Request::to(balancer.address(), "/ws").subprotocols(&["tidegate.v1.json"]);
            let mut client = NativeClient::new(request.open());
            let told = client.ask("connect", json!({ "subscribe": ["log:tea"] }));
            (client, told)
        })
        .collect();

    for number in 0..2 {
        let name = Cluster::name(number);
        assert!(clients.iter().any(|(_, told)| told["node"] == *name), "nobody landed on {name}");
    }
    for number in 0..clients.len() {
        publish(&mut clients[number].0, "log:tea", number);
        for (client, _) in &mut clients {
            expect_data(client, "log:tea", number);
        }
    }
}

/// A subscriber of a channel with history and of one without.
#[track_caller]
fn both(node: &Gateway) -> NativeClient {
    let mut client = subscriber(node, "log:tea");
    client.ask("subscribe", json!({ "channel": "talk:tea" }));
    client
}

/// How many sessions a node's cluster has.
#[track_caller]
fn sessions(node: &Gateway) -> usize {
    let listed: Value = server_api::get(node, "sessions");
    server_api::column(&listed["sessions"], "session").len()
}
