//! What all nodes together take on: newcomers and resumes a second, connections at once.

use serde_json::{Value, json};
use tidegate_testkit::{Cluster, Gateway, NativeClient, until};
use tidegate_wire::frame::{self, OpCode};

use super::{member, node};
use crate::native::{open, resume};

#[test]
fn one_newcomer_more_than_the_cluster_takes_is_told_when_to_come_back_on_whichever_node() {
    let cluster = Cluster::of(2, || {
        node()
            .set("limits.cluster.handshakes_per_second", "3")
            .set("limits.cluster.resumes_per_second", "1000")
    });
    let (session, refused) = newcomers(&cluster, 20);

    let refusal = refused.expect("20 at once are more than 3 a second");
    assert_eq!((&refusal["code"], &refusal["retry"]), (&json!("limit"), &json!(true)));
    let after_ms = refusal["retry_after_ms"].as_u64();
    assert!(after_ms.is_some_and(|after| (1..=1_000).contains(&after)), "{refusal}");
    // Whoever comes back has a budget of its own.
    for round in 0..6 {
        assert_eq!(resume(&cluster[round % 2], &session).1["resumed"], true);
    }
    let refused = |what: &str| -> f64 {
        let of = |node: &Gateway| node.metric("tidegate_cluster_limit_refusals_total", &[("what", what)]);
        cluster.nodes().iter().map(of).sum()
    };
    assert!(refused("handshake") >= 1.0 && refused("resume") < 0.5);
}

/// So many new clients at once. The result is a session to come back to, and a refusal if there was one.
#[track_caller]
fn newcomers(cluster: &Cluster, count: usize) -> (Value, Option<Value>) {
    let (mut first, told) = member(cluster, 0, "ann", &[]);
    first.settle();
    let mut clients: Vec<NativeClient> = (0..count).map(|number| open(&cluster[number % 2])).collect();
    let ids: Vec<_> = clients.iter_mut().map(|client| client.command("connect", json!({}))).collect();
    let mut answers = clients.iter_mut().zip(ids).map(|(client, id)| client.answer(id));
    let refused = answers.find_map(|answer| answer.get("error").cloned());
    first.cut();
    (told, refused)
}

#[test]
fn handshakes_of_the_raw_dialect_count_too_and_are_refused_with_503() {
    let cluster = Cluster::of(2, || node().set("limits.cluster.handshakes_per_second", "2"));

    // The store has to be asked for the first one, whose frames do not wait for the answer.
    let mut early = Vec::new();
    frame::append_masked(&mut early, OpCode::Text, [9, 8, 7, 6], b"in a hurry");
    let mut client = cluster[0].request("/echo").trailer(&early).open();
    client.expect_text("in a hurry");
    client.check_echo("and later too");

    let refused = until("a handshake to be refused", || {
        let request = |number: usize| cluster[number].request("/echo");
        (0..2).find_map(|number| request(number).try_open().err())
    });

    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Not for long: and whoever was let in is served.
    until("there to be room again", || {
        let mut client = cluster[1].request("/echo").try_open().ok()?;
        client.check_echo("here");
        Some(())
    });
}

#[test]
fn connections_are_counted_on_all_nodes_and_further_ones_refused() {
    let cluster = Cluster::of(2, || node().set("limits.cluster.connections", "4"));
    let mut held = Vec::new();
    while held.len() < 4 {
        held.push(until("the first node to learn what is left", || {
            cluster[0].request("/echo").try_open().ok()
        }));
    }

    for node in cluster.nodes() {
        node.await_metric("tidegate_cluster_connections", &[], 4.0);
        let refused = node.request("/echo").refused();
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
        assert!(node.metric("tidegate_cluster_limit_refusals_total", &[("what", "connection")]) >= 1.0);
    }
    held.clear();
    until("the place of those who left", || cluster[1].request("/echo").try_open().ok());
}

#[test]
fn without_the_store_each_node_keeps_to_its_share() {
    let mut cluster = Cluster::of(2, || node().set("limits.cluster.handshakes_per_second", "1000"));
    cluster.redis.kill();
    cluster.await_mode("store_down", true);

    cluster[0].open("/echo").check_echo("let in");

    until("it to be decided by the node's share", || {
        drop(cluster[0].request("/echo").try_open());
        let by_share = cluster[0].metric("tidegate_cluster_budget_questions_total", &[("kind", "by_share")]);
        (by_share >= 1.0).then_some(())
    });
}
