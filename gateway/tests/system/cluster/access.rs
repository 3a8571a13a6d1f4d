//! How nodes are told of their servers, and prove who they are: what is refused at once, and what works.

use serde_json::json;
use tidegate_testkit::{Cluster, NatsServer, RedisServer};

use super::node;
use crate::native::{connect, expect_data, publish, resume, subscriber};
use crate::server_api;

const PASSWORD: &str = "correct-horse-battery";

#[test]
fn several_nodes_that_keep_everything_in_their_own_memory_are_refused() {
    let refusals = [
        ("memory:", "memory:", "2", ["node.replicas", "store.url", "bus.url"]),
        ("redis://127.0.0.1:1", "memory:", "2", ["node.replicas", "bus.url", "store.url"]),
        ("memory:", "nats://127.0.0.1:1", "1", ["store.url", "bus.url", "Redis"]),
    ];
    for (store, bus, replicas, named) in refusals {
        let (code, _, stderr) = node()
            .set("store.url", store)
            .set("bus.url", bus)
            .set("node.replicas", replicas)
            .run_to_end(&["--check-config"]);
        assert_eq!(code, Some(64), "{store}, {bus}: {stderr}");
        assert!(named.iter().all(|name| stderr.contains(name)), "{store}, {bus}: {stderr}");
    }
}

#[test]
fn a_bad_address_is_named_by_its_key_and_shows_no_password() {
    let cases = [
        ("store.url", "http://ann:PASSWORD@127.0.0.1"),
        ("store.url", "redis://ann:PASSWORD@"),
        ("store.url", "redis://ann:PASSWORD@127.0.0.1:port"),
        ("store.url", "redis://ann:PASSWORD@127.0.0.1/base"),
        ("store.url", "redis-sentinel://ann:PASSWORD@127.0.0.1"),
        ("bus.url", "http://ann:PASSWORD@127.0.0.1:1"),
        ("bus.url", "nats://ann:PASSWORD@"),
        ("bus.url", "nats://ann:PASSWORD@127.0.0.1:port"),
    ];
    for (key, url) in cases {
        let builder = node().set("store.url", "redis://127.0.0.1:1").set("bus.url", "nats://127.0.0.1:1");
        let (code, stdout, stderr) = builder.set(key, &url.replace("PASSWORD", PASSWORD)).run_to_end(&[]);
        let said = format!("{stdout}{stderr}");
        assert_eq!(code, Some(64), "{url}: {said}");
        assert!(said.contains(key) && !said.contains(PASSWORD), "{url}: {said}");
    }
}

#[test]
fn passwords_in_addresses_are_not_printed() {
    let (code, stdout, stderr) = node()
        .set("store.url", &format!("redis://ann:{PASSWORD}@127.0.0.1:6379"))
        .set("bus.url", &format!("nats://ann:{PASSWORD}@127.0.0.1:4222"))
        .run_to_end(&["--print-config"]);

    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("127.0.0.1:6379") && stdout.contains("127.0.0.1:4222"), "{stdout}");
    assert!(!stdout.contains(PASSWORD) && !stderr.contains(PASSWORD), "{stdout}{stderr}");
}

#[test]
fn nodes_work_with_a_user_that_may_use_their_prefix_only_over_tls_and_with_a_token_for_the_bus() {
    let redis = RedisServer::builder().user("gateway", PASSWORD, "tea:").tls().start();
    let nats = NatsServer::builder().config(&format!("authorization {{ token: \"{PASSWORD}\" }}")).start();
    let authority = redis.folder().join("cert.pem").display().to_string();
    let cluster = Cluster::on(redis, nats, 2, || {
        node()
            .set("store.username", "gateway")
            .set("store.password", PASSWORD)
            .set("store.prefix", "tea:")
            .set("store.tls_ca_file", &authority)
            .set("bus.token", PASSWORD)
    });

    works(&cluster);

    let keys = cluster.redis.command(&["SCAN", "0", "COUNT", "1000"]);
    assert!(keys.len() > 1 && keys[1..].iter().all(|key| key.starts_with("tea:")), "{keys:?}");
}

#[test]
fn a_node_with_a_wrong_password_says_so_and_is_degraded() {
    let redis = RedisServer::builder().user("gateway", PASSWORD, "tidegate:").start();
    let nats = NatsServer::builder().config(&format!("authorization {{ token: \"{PASSWORD}\" }}")).start();
    let cluster = Cluster::on(redis, nats, 1, || {
        node().set("store.username", "gateway").set("store.password", "wrong").set("bus.token", "wrong")
    });

    cluster.await_mode("store_down", true);
    cluster.await_mode("bus_down", true);
    cluster[0].await_log_containing("WRONGPASS");
    cluster[0].await_log_containing("uthorization");
}

/// Subscribes, publishes, resumes, lists and looks: every part of the store, and the bus.
#[track_caller]
fn works(cluster: &Cluster) {
    cluster.await_mode("store_down", false);
    cluster.await_mode("bus_down", false);
    let mut readers = ["log:tea", "talk:tea", "room:tea"].map(|channel| subscriber(&cluster[0], channel));
    let mut writer = connect(&cluster[1]);
    for (reader, channel) in readers.iter_mut().zip(["log:tea", "talk:tea"]) {
        publish(&mut writer, channel, 1);
        expect_data(reader, channel, 1);
    }
    let told = server_api::get(&cluster[1], "channels/room:tea/presence");
    assert_eq!(told["total"], 1);
    let (_, told) = super::member(cluster, 0, "ann", &[]);
    assert_eq!(resume(&cluster[1], &told).1["resumed"], true);
    let revoke = json!({ "user": "ann", "revoke": true });
    assert_eq!(server_api::post(&cluster[0], "disconnect", &revoke)["sessions"], 1);
    let keyed = json!({ "channel": "talk:tea", "data": 2, "key": "k" });
    assert_eq!(writer.ask("publish", keyed.clone()).get("duplicate"), None);
    assert_eq!(writer.ask("publish", keyed)["duplicate"], true);
}
