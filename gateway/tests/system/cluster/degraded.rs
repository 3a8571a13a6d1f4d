//! What nodes do, and say, while a server that they share is gone: each mode is named wherever an operator looks.

use serde_json::{Value, json};
use tidegate_testkit::{Cluster, Gateway, NativeClient};

use super::{at, member, node};
use crate::native::{connect, expect_data, open, publish, resume_at, subscriber};
use crate::server_api::{ALL, problem, request};

#[test]
fn without_the_bus_what_has_a_history_is_accepted_and_delivered_when_it_is_back() {
    let mut cluster = Cluster::of(2, node);
    let (mut reader, told) = member(&cluster, 0, "ann", &["log:tea"]);
    let mut writer = subscriber(&cluster[1], "log:tea");
    publish(&mut writer, "log:tea", 1);
    expect_data(&mut writer, "log:tea", 1);
    expect_data(&mut reader, "log:tea", 1);

    cluster.nats.kill();
    cluster.await_mode("bus_down", true);
    for node in cluster.nodes() {
        says_that_it_is(node, &["bus_down"]);
    }
    for number in 2..=4 {
        assert_eq!(publish(&mut writer, "log:tea", number)["offset"], number);
        expect_data(&mut writer, "log:tea", number);
    }
    refuses(&mut writer, &cluster[1], "talk:tea");
    // Coming back needs the store only.
    let (mut back, resumed) = resume_at(&cluster[1], &told, "log:tea", &at(&told, "log:tea", 1));
    assert_eq!(resumed["channels"]["log:tea"]["recovered"], true, "{resumed}");
    (2..=4).for_each(|number| drop(expect_data(&mut back, "log:tea", number)));
    let mut late = subscriber(&cluster[0], "log:tea");
    publish(&mut writer, "log:tea", 5);

    cluster.nats.restart();
    cluster.await_mode("bus_down", false);
    for node in cluster.nodes() {
        says_that_it_was(node, "bus_down");
    }
    // Nobody has to publish for that.
    expect_data(&mut late, "log:tea", 5);
    expect_data(&mut back, "log:tea", 5);
    publish(&mut writer, "log:tea", 6);
    for client in [&mut late, &mut back] {
        assert_eq!(expect_data(client, "log:tea", 6)["offset"], 6);
    }
    let mut talker = subscriber(&cluster[0], "talk:tea");
    publish(&mut writer, "talk:tea", "again");
    expect_data(&mut talker, "talk:tea", "again");
}

#[test]
fn a_store_that_does_not_answer_stops_histories_and_resumes_and_nothing_else() {
    let cluster = Cluster::of(2, || node().set("store.timeout", "200ms"));
    let (reader, told) = member(&cluster, 0, "ann", &["log:tea", "talk:tea"]);
    let mut talker = subscriber(&cluster[0], "talk:tea");
    let mut writer = connect(&cluster[1]);
    publish(&mut writer, "log:tea", 1);

    cluster.redis.freeze();
    // Whoever asks first finds out.
    let unanswered = writer.refused("publish", json!({ "channel": "log:tea", "data": "lost" }));
    assert_eq!((&*unanswered.code, unanswered.retry), ("unavailable", true));
    cluster.await_mode("store_down", true);
    for node in cluster.nodes() {
        says_that_it_is(node, &["store_down"]);
    }
    refuses(&mut writer, &cluster[1], "log:tea");
    publish(&mut writer, "talk:tea", "goes on");
    expect_data(&mut talker, "talk:tea", "goes on");
    reader.cut();
    let mut client = open(&cluster[1]);
    let refusal = client.refused("connect", json!({ "session": told["session"], "resume": told["resume"] }));
    assert_eq!((&*refusal.code, refusal.retry), ("unavailable", true));
    assert!(refusal.retry_after_ms > Some(0), "{refusal:?}");

    cluster.redis.thaw();
    cluster.await_mode("store_down", false);
    for node in cluster.nodes() {
        says_that_it_was(node, "store_down");
    }
    let (mut reader, back) = resume_at(&cluster[1], &told, "log:tea", &at(&told, "log:tea", 1));
    assert_eq!((&back["resumed"], &back["channels"]["log:tea"]["recovered"]), (&json!(true), &json!(true)));
    publish(&mut writer, "log:tea", "back");
    // What was refused may have been kept all the same: that is what keys are for.
    while reader.expect("message")["data"] != "back" {}
}

#[test]
fn without_store_and_bus_both_are_named_and_both_come_back() {
    let mut cluster = Cluster::of(2, || node().set("store.timeout", "200ms"));
    let mut client = subscriber(&cluster[0], "log:tea");

    cluster.redis.kill();
    cluster.nats.kill();
    cluster.await_mode("store_down", true);
    cluster.await_mode("bus_down", true);
    for node in cluster.nodes() {
        says_that_it_is(node, &["store_down", "bus_down"]);
    }
    for channel in ["log:tea", "talk:tea"] {
        refuses(&mut client, &cluster[0], channel);
    }

    cluster.redis.start_again();
    cluster.nats.restart();
    cluster.await_mode("store_down", false);
    cluster.await_mode("bus_down", false);
    let mut writer = connect(&cluster[1]);
    publish(&mut writer, "log:tea", 1);
    expect_data(&mut client, "log:tea", 1);
}

#[test]
fn a_node_that_starts_without_its_servers_serves_as_soon_as_they_are_there() {
    let mut cluster = Cluster::of(1, node);
    cluster.redis.kill();
    cluster.nats.kill();
    let late = cluster.join(1, node()).start();
    says_that_it_is(&late, &["store_down", "bus_down"]);

    cluster.redis.start_again();
    cluster.nats.restart();
    cluster.await_mode("store_down", false);
    cluster.await_mode("bus_down", false);
    for mode in ["store_down", "bus_down"] {
        late.await_metric("tidegate_degraded", &[("mode", mode)], 0.0);
    }
    let mut reader = subscriber(&cluster[0], "log:tea");
    publish(&mut connect(&late), "log:tea", 1);
    expect_data(&mut reader, "log:tea", 1);
}

/// A node in these modes is ready, and names them to probes, to people, to the log.
#[track_caller]
fn says_that_it_is(node: &Gateway, modes: &[&str]) {
    let ready = node.admin_get("/readyz");
    assert_eq!(ready.status, 200, "{ready:?}");
    let info: Value = serde_json::from_str(&node.admin_get("/info").body).expect("it is JSON");
    for mode in modes {
        assert!(ready.body.contains(mode), "{mode}: {}", ready.body);
        assert!(info.to_string().contains(mode), "{mode}: {info}");
        node.await_log_containing(&format!("\"mode\":\"{mode}\""));
        assert!(node.metric("tidegate_degradations_total", &[("mode", mode)]) >= 1.0, "{mode}");
    }
    let entered = node.log_entries(|entry| entry["message"] == "degraded: still serving");
    assert!(entered.iter().all(|entry| entry["level"] == "WARN"), "{entered:?}");
}

/// A node that was in this mode, and is in none any more.
#[track_caller]
fn says_that_it_was(node: &Gateway, mode: &str) {
    node.await_log("no longer degraded");
    let ready = node.admin_get("/readyz");
    assert!(ready.status == 200 && !ready.body.contains(mode), "{ready:?}");
    let info: Value = serde_json::from_str(&node.admin_get("/info").body).expect("it is JSON");
    assert!(!info.to_string().contains(mode), "{info}");
}

/// Neither a client nor a server can publish there for now; both are told to try again.
#[track_caller]
fn refuses(client: &mut NativeClient, node: &Gateway, channel: &str) {
    let body = json!({ "channel": channel, "data": 1 });
    let refusal = client.refused("publish", body.clone());
    assert_eq!((&*refusal.code, refusal.retry), ("unavailable", true), "{}", refusal.message);
    assert!(refusal.retry_after_ms > Some(0), "{refusal:?}");
    let response = request(node, ALL, "POST", "/v1/publish", &body.to_string());
    assert!(response.header("retry-after").is_some(), "{response:?}");
    let (status, problem) = problem(&response);
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")), "{problem}");
}
