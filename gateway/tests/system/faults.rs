//! Two nodes of one cluster, and what becomes of their clients when a part of it dies, freezes, forgets or is cut off.
//!
//! The longer runs with hundreds of clients are described in `docs/verify.md`; these are the rules behind their figures, one
//! at a time.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tidegate_testkit::{Gateway, NativeClient, NatsServer, RedisServer, until};

use crate::native::{connect, connect_with, native, resume};

/// Channels with history; nobody publishes to the second one.
const BUSY: &str = "log:busy";
const QUIET: &str = "log:quiet";

/// Two gateways with a store and a bus.
struct Cluster {
    redis: RedisServer,
    nats: NatsServer,
    nodes: [Gateway; 2],
}

impl Cluster {
    #[track_caller]
    fn start() -> Self {
        Self::start_with(&[])
    }

    #[track_caller]
    fn start_with(settings: &[(&str, &str)]) -> Self {
        let (redis, nats) = (RedisServer::builder().appendonly().start(), NatsServer::start());
        let nodes = ["node-1", "node-2"].map(|name| {
            let mut builder = native()
                .set("node.name", name)
                .set("store.url", &redis.url())
                .set("bus.url", &nats.url())
                .set("drain.leave_grace", "1s");
            for (key, value) in settings {
                builder = builder.set(key, value);
            }
            builder.start()
        });
        Self { redis, nats, nodes }
    }

    /// Waits until a node is, or is not, in a degraded mode.
    #[track_caller]
    fn await_mode(&self, node: usize, mode: &str, value: f64) {
        self.nodes[node].await_metric("tidegate_degraded", &[("mode", mode)], value);
    }
}

#[test]
fn a_client_of_a_killed_node_goes_on_at_another_and_misses_nothing() {
    let mut cluster = Cluster::start();
    let (mut reader, session) = subscriber(&cluster.nodes[0]);
    let mut writer = connect(&cluster.nodes[1]);
    (1..=3).for_each(|number| publish(&mut writer, number));
    expect_numbers(&mut reader, 1..=3);

    cluster.nodes[0].kill();
    cluster.nodes[0].wait_exit();
    (4..=6).for_each(|number| publish(&mut writer, number));

    let (mut reader, back) = resume_after(&cluster.nodes[1], &session, 3);
    assert_eq!((&back["resumed"], &back["channels"][BUSY]["recovered"]), (&json!(true), &json!(true)));
    expect_numbers(&mut reader, 4..=6);
    publish(&mut writer, 7);
    expect_numbers(&mut reader, 7..=7);
}

#[test]
fn a_node_that_is_asked_to_end_sends_its_clients_on_and_loses_nothing() {
    let mut cluster = Cluster::start();
    let (mut reader, session) = subscriber(&cluster.nodes[0]);
    let mut writer = connect(&cluster.nodes[1]);

    cluster.nodes[0].terminate();
    reader.expect("reconnect");
    publish(&mut writer, 1);
    expect_numbers(&mut reader, 1..=1);
    reader.cut();
    publish(&mut writer, 2);

    let (mut reader, back) = resume_after(&cluster.nodes[1], &session, 1);
    assert_eq!((&back["resumed"], &back["channels"][BUSY]["recovered"]), (&json!(true), &json!(true)));
    expect_numbers(&mut reader, 2..=2);
    assert_eq!(cluster.nodes[0].wait_exit().code(), Some(0));
}

#[test]
fn without_a_bus_publications_are_kept_and_found_by_the_other_nodes() {
    let mut cluster = Cluster::start();
    let (mut reader, _) = subscriber(&cluster.nodes[0]);
    let mut writer = connect(&cluster.nodes[1]);

    cluster.nats.kill();
    cluster.await_mode(1, "bus_down", 1.0);
    (1..=3).for_each(|number| publish(&mut writer, number));
    expect_numbers(&mut reader, 1..=3);
    let refused = writer.refused("publish", json!({ "channel": "talk:tea", "data": 1 }));
    assert_eq!((refused.code.as_str(), refused.retry), ("unavailable", true));

    cluster.nats.restart();
    cluster.await_mode(0, "bus_down", 0.0);
    cluster.await_mode(1, "bus_down", 0.0);
    publish(&mut writer, 4);
    expect_numbers(&mut reader, 4..=4);
}

#[test]
fn after_a_flush_every_subscriber_is_told_also_where_nobody_publishes_and_sessions_are_written_again() {
    let cluster = Cluster::start();
    let mut readers: Vec<_> =
        [0, 0, 1].map(|node| connect_with(&cluster.nodes[node], json!({ "subscribe": [QUIET] }))).into();
    // One of them has caught up with what came live, the others with what was there.
    publish_to(&mut readers[2].0, QUIET, 1);
    for (reader, _) in &mut readers {
        assert_eq!(reader.expect("message")["data"], 1);
    }
    readers.push(connect_with(&cluster.nodes[1], json!({ "subscribe": [QUIET] })));

    cluster.redis.command(&["FLUSHALL"]);

    for (reader, _) in &mut readers {
        assert_eq!(reader.expect("gap")["channel"], QUIET);
    }
    let (reader, session) = readers.swap_remove(0);
    until("the session to be written again", || {
        let known = cluster.redis.command(&["EXISTS", &record_of(&session)]);
        (known == ["1"]).then_some(())
    });
    reader.cut();
    let (_, back) = resume(&cluster.nodes[1], &session);
    assert_eq!(back["resumed"], true, "{back}");
}

#[test]
fn while_the_store_is_down_new_clients_are_served_and_can_come_back_to_their_session_later() {
    let mut cluster = Cluster::start();
    let (known, earlier) = connect_with(&cluster.nodes[0], json!({ "subscribe": ["talk:tea"] }));
    cluster.redis.kill();
    cluster.await_mode(0, "store_down", 1.0);
    cluster.await_mode(1, "store_down", 1.0);

    let (mut newcomer, session) = connect_with(&cluster.nodes[0], json!({ "subscribe": ["talk:tea"] }));
    let mut writer = connect(&cluster.nodes[1]);
    publish_to(&mut writer, "talk:tea", 1);
    assert_eq!(newcomer.expect("message")["data"], 1);
    let refused = writer.refused("publish", json!({ "channel": BUSY, "data": 1 }));
    assert_eq!((refused.code.as_str(), refused.retry), ("unavailable", true));
    known.cut();
    let mut back = crate::native::open(&cluster.nodes[1]);
    let refused =
        back.refused("connect", json!({ "session": earlier["session"], "resume": earlier["resume"] }));
    assert!(refused.code == "unavailable" && refused.retry_after_ms.is_some(), "{refused:?}");
    // Lost while the store is down: kept in memory until it is back.
    newcomer.cut();
    cluster.nodes[0].await_metric("tidegate_sessions", &[], 0.0);

    cluster.redis.start_again();
    for (node, mode) in [(0, "store_down"), (1, "store_down")] {
        cluster.await_mode(node, mode, 0.0);
    }
    cluster.nodes[0].await_metric("tidegate_store_owed", &[], 0.0);
    for session in [&session, &earlier] {
        let (_, back) = resume(&cluster.nodes[1], session);
        assert_eq!(back["resumed"], true, "{back}");
        assert_eq!(back["channels"], json!({ "talk:tea": {} }));
    }
}

#[test]
fn a_node_that_stood_still_past_its_lease_delivers_nothing_to_clients_that_went_elsewhere() {
    let cluster = Cluster::start_with(&[("node.lease", "3s")]);
    let (mut left_behind, session) = subscriber(&cluster.nodes[0]);
    let mut writer = connect(&cluster.nodes[1]);

    cluster.nodes[0].signal(Signal::STOP);
    let (mut reader, back) = resume(&cluster.nodes[1], &session);
    assert_eq!(back["resumed"], true);
    publish(&mut writer, 1);
    expect_numbers(&mut reader, 1..=1);
    thread::sleep(PAST_THE_LEASE);
    cluster.nodes[0].signal(Signal::CONT);

    let (before, closing) = left_behind.read_to_closing();
    assert_eq!(before, [Value::Null; 0], "it is not this session's connection any more; then came {closing}");
    publish(&mut writer, 2);
    expect_numbers(&mut reader, 2..=2);
    let (_, back) = resume_after(&cluster.nodes[0], &session, 2);
    assert_eq!((&back["resumed"], &back["channels"][BUSY]["recovered"]), (&json!(true), &json!(true)));
}

#[test]
fn what_the_bus_does_not_take_is_refused_before_it_is_kept() {
    let cluster = Cluster::start_with(&[("limits.message_bytes", "2MiB"), ("limits.outbox_bytes", "8MiB")]);
    cluster.nodes[0].await_log_containing("the bus takes less than limits.message_bytes");
    let mut writer = connect(&cluster.nodes[0]);
    for channel in [BUSY, "talk:tea"] {
        let refused = writer.refused("publish", json!({ "channel": channel, "data": "x".repeat(1 << 20) }));
        assert_eq!(refused.code, "too_large", "{}", refused.message);
    }
    let history = writer.ask("history", json!({ "channel": BUSY, "limit": 9 }));
    assert_eq!(history["messages"], json!([]), "{history}");
}

/// Longer than the lease that the nodes of its test have.
const PAST_THE_LEASE: Duration = Duration::from_millis(3_500);

#[track_caller]
fn subscriber(node: &Gateway) -> (NativeClient, Value) {
    connect_with(node, json!({ "subscribe": [BUSY] }))
}

#[track_caller]
fn publish(client: &mut NativeClient, number: u64) {
    publish_to(client, BUSY, number);
}

#[track_caller]
fn publish_to(client: &mut NativeClient, channel: &str, number: u64) {
    client.ask("publish", json!({ "channel": channel, "data": number }));
}

#[track_caller]
fn expect_numbers(client: &mut NativeClient, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let message = client.expect("message");
        assert_eq!((&message["data"], &message["offset"]), (&json!(number), &json!(number)), "{message}");
    }
}

/// Comes back after having seen so many messages.
#[track_caller]
fn resume_after(node: &Gateway, session: &Value, offset: u64) -> (NativeClient, Value) {
    let epoch = &session["channels"][BUSY]["epoch"];
    connect_with(
        node,
        json!({
            "session": session["session"],
            "resume": session["resume"],
            "positions": { BUSY: { "epoch": epoch, "offset": offset } },
        }),
    )
}

/// Where the store keeps a session.
fn record_of(session: &Value) -> String {
    format!("tidegate:{{s:{}}}", session["session"].as_str().expect("sessions have names"))
}
