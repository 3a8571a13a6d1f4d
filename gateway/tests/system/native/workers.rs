//! Clients of one node on different workers: they notice nothing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use serde_json::{Value, json};
use tidegate_testkit::{Gateway, NativeClient};
use tidegate_wire::close::CloseCode;

use super::{connect, connect_as, connect_with, expect_data, native, publish, subscriber};

#[test]
fn subscribers_on_every_worker_get_each_publication_once_and_in_one_order() {
    const EACH: u64 = 100;
    let gateway = native().set("node.workers", "3").start();
    let mut readers: Vec<_> =
        (0..12).map(|_| connect_with(&gateway, json!({ "subscribe": ["log:tea", "talk:tea"] })).0).collect();
    are_spread(&gateway);

    thread::scope(|scope| {
        for name in ["ann", "bob", "eve"] {
            let mut publisher = connect_as(&gateway, name);
            scope.spawn(move || {
                for number in 1..=EACH {
                    publish(&mut publisher, "log:tea", number);
                    publish(&mut publisher, "talk:tea", number);
                }
            });
        }
    });

    let mut orders = Vec::new();
    for reader in &mut readers {
        let (mut offset, mut heard) = (0, BTreeMap::new());
        let mut order = Vec::new();
        for _ in 0..6 * EACH {
            let message = reader.expect("message");
            let channel = message["channel"].as_str().unwrap().to_owned();
            let from = message["from"].as_str().unwrap().to_owned();
            if channel == "log:tea" {
                offset += 1;
                assert_eq!(message["offset"], offset);
                order.push(from.clone());
            }
            let number = heard.entry((channel, from)).or_insert(0);
            *number += 1;
            assert_eq!(message["data"], *number, "{message}");
        }
        assert!(heard.len() == 6 && heard.values().all(|&number| number == EACH), "{heard:?}");
        orders.push(order);
        assert!(reader.hears_nothing());
    }
    assert!(orders.windows(2).all(|pair| pair[0] == pair[1]), "one order of all publishers");
}

#[test]
fn publishers_without_subscription_reach_subscribers_on_other_workers() {
    let gateway = native().set("node.workers", "3").start();
    let mut reader = subscriber(&gateway, "talk:tea");
    let mut publishers: Vec<_> = (0..9).map(|_| connect(&gateway)).collect();
    are_spread(&gateway);

    for (number, publisher) in publishers.iter_mut().enumerate() {
        publish(publisher, "talk:tea", number);
        expect_data(&mut reader, "talk:tea", number);
    }
    assert!(reader.hears_nothing());
}

#[test]
fn what_was_published_by_who_leaves_at_once_reaches_the_others_and_nobody_else() {
    let gateway = native().set("node.workers", "3").start();
    let mut strangers: Vec<_> = (0..6).map(|_| subscriber(&gateway, "log:milk")).collect();
    // Pairs enough that some are on two workers.
    for number in 0..9 {
        let channel = format!("talk:{number}");
        let mut reader = subscriber(&gateway, &channel);
        let mut passer = connect(&gateway);
        passer.say_all(&[
            json!({ "subscribe": { "channel": channel } }),
            json!({ "publish": { "channel": channel, "data": number } }),
            json!({ "unsubscribe": { "channel": channel } }),
            json!({ "subscribe": { "channel": "log:milk" } }),
        ]);
        passer.settle();
        expect_data(&mut reader, &channel, number);
        reader.close(CloseCode::NORMAL);
    }
    assert!(strangers.iter_mut().all(NativeClient::hears_nothing));
}

#[test]
fn who_is_there_is_known_to_all_whatever_worker_they_are_on() {
    let gateway = native().set("node.workers", "3").start();
    let mut first = subscriber(&gateway, "room:tea");
    first.expect("join");
    let mut others = Vec::new();
    for number in 0..9 {
        let mut other = connect_as(&gateway, &format!("user {number}"));
        other.ask("subscribe", json!({ "channel": "room:tea" }));
        assert_eq!(first.expect("join")["user"], format!("user {number}"));
        others.push(other);
    }
    are_spread(&gateway);

    for other in &mut others {
        let members = other.ask("presence", json!({ "channel": "room:tea" }))["members"].clone();
        assert_eq!(members.as_array().map(Vec::len), Some(10));
    }
}

#[test]
fn who_comes_and_goes_while_others_publish_hears_nothing_after_it_has_left() {
    let gateway = native().set("node.workers", "3").start();
    for channel in ["talk:tea", "log:tea"] {
        let mut passers: Vec<_> = (0..6).map(|_| connect(&gateway)).collect();
        let mut publisher = connect(&gateway);
        thread::scope(|scope| {
            let busy: Vec<_> =
                passers.iter_mut().map(|passer| scope.spawn(|| come_and_go(passer, channel))).collect();
            let mut number = 0;
            while busy.iter().any(|passer| !passer.is_finished()) {
                number += 1;
                publish(&mut publisher, channel, number);
            }
        });
        gateway.await_metric("tidegate_channels", &[], 0.0);
    }
}

fn come_and_go(passer: &mut NativeClient, channel: &str) {
    let mut last = 0;
    for _ in 0..30 {
        passer.ask("subscribe", json!({ "channel": channel }));
        for _ in 0..3 {
            let number = passer.expect("message")["data"].as_u64().expect("numbers are published");
            assert!(number > last, "{number} after {last}");
            last = number;
        }
        passer.ask("unsubscribe", json!({ "channel": channel }));
        // What came before the reply is no fault.
        passer.forget();
        assert!(passer.hears_nothing());
    }
}

/// The test would prove nothing if the kernel had put all clients on one worker; the odds are one to thousands.
#[track_caller]
fn are_spread(gateway: &Gateway) {
    let listed: Value = serde_json::from_str(&gateway.admin_get("/debug/connections").body).expect("JSON");
    let listed = listed["connections"].as_array().expect("a list of connections");
    let workers: BTreeSet<_> =
        listed.iter().map(|connection| connection["worker"].as_u64().expect("a number")).collect();
    assert!(workers.len() > 1, "all clients are on one worker");
}
