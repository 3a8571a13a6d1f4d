//! A node of two is drained over a real store and bus: its sessions go on at the other, and it knows that they do.

use serde_json::json;
use tidegate_testkit::{Cluster, until};
use tidegate_wire::close::CloseCode;

use super::{Operator, await_phase, await_report, node, report};
use crate::native::{connect, connect_with, expect_data, publish, resume, resume_at, token_of};

#[test]
fn sessions_that_a_drain_sends_away_go_on_elsewhere_with_nothing_lost_and_are_seen_there() {
    const CLIENTS: usize = 12;
    let cluster = Cluster::of(2, node);
    let mut operator = Operator::new("deploy-1");
    let mut readers: Vec<_> = (0..CLIENTS)
        .map(|_| connect_with(&cluster[0], json!({ "token": token_of("ann"), "subscribe": ["log:tea"] })))
        .collect();
    let mut writer = connect(&cluster[1]);
    let mut said = 0;
    let mut say = |count: u32| {
        (0..count).for_each(|_| {
            said += 1;
            publish(&mut writer, "log:tea", said);
        });
        said
    };
    say(3);
    for (reader, _) in &mut readers {
        (1..=3).for_each(|number| drop(expect_data(reader, "log:tea", number)));
    }

    operator.order(&cluster[0], "evicting", &json!({ "rate": 50 }));
    let mut moved: Vec<_> = readers
        .iter_mut()
        .map(|(reader, told)| {
            reader.expect("reconnect");
            told.clone()
        })
        .collect();
    let last = say(3);
    readers.into_iter().for_each(|(reader, _)| reader.close(CloseCode::new(4000)));
    let mut back: Vec<_> = moved
        .drain(..)
        .map(|told| {
            // Some of what came meanwhile it may have been sent before it was gone; its own word counts.
            let seen = json!({ "epoch": told["channels"]["log:tea"]["epoch"], "offset": 3 });
            resume_at(&cluster[1], &told, "log:tea", &seen)
        })
        .collect();

    for (reader, told) in &mut back {
        assert_eq!(
            (&told["resumed"], &told["channels"]["log:tea"]["recovered"]),
            (&json!(true), &json!(true))
        );
        (4..=last).for_each(|number| drop(expect_data(reader, "log:tea", number)));
    }
    let told = await_phase(&cluster[0], "drained");
    assert_eq!(
        (&told["resumed"], &told["lost"], &told["displaced"]),
        (&json!(CLIENTS), &json!(0), &json!(0))
    );
    assert_eq!(
        (&told["left"], &told["forced"], &told["repeat_displacements"]),
        (&json!(CLIENTS), &json!(0), &json!(0))
    );
}

#[test]
fn a_session_that_the_same_operation_sends_away_again_is_counted() {
    let cluster = Cluster::of(2, node);
    let order = |number: usize, phase: &str, seq: u64| {
        Operator { op: "deploy-1", epoch: 1, seq }.order(&cluster[number], phase, &json!({ "rate": 100 }))
    };
    let (mut client, told) = connect_with(&cluster[0], json!({ "token": token_of("ann") }));
    order(0, "evicting", 1);
    client.expect("reconnect");
    client.close(CloseCode::new(4000));
    let (mut client, told) = resume(&cluster[1], &told);
    await_report(&cluster[0], "the session elsewhere", |report| report["resumed"] == 1);
    order(0, "serving", 2);
    await_phase(&cluster[0], "serving");

    order(1, "evicting", 1);
    client.expect("reconnect");
    client.close(CloseCode::new(4000));
    let _back = resume(&cluster[0], &told);

    let told = await_report(&cluster[1], "the session elsewhere", |report| report["resumed"] == 1);
    assert_eq!(told["repeat_displacements"], 1);
    assert_eq!(report(&cluster[0])["repeat_displacements"], 0);
}

#[test]
fn a_node_that_ends_waits_until_its_sessions_are_elsewhere_or_settle_is_over() {
    let mut cluster = Cluster::of(2, || node().set("drain.settle", "10m"));
    let (mut client, told) = connect_with(&cluster[0], json!({ "token": token_of("ann") }));

    cluster[0].terminate();
    client.expect("reconnect");
    client.close(CloseCode::new(4000));
    let told_of = await_phase(&cluster[0], "settling");
    assert_eq!(told_of["displaced"], 1);
    let (_client, back) = resume(&cluster[1], &told);
    assert_eq!(back["resumed"], true);

    assert_eq!(cluster.wait_exit(0), Some(0));
}

#[test]
fn clients_that_do_not_come_back_hold_a_drain_no_longer_than_settle() {
    let cluster = Cluster::of(2, || node().set("drain.settle", "1s"));
    let (mut client, _) = connect_with(&cluster[0], json!({ "token": token_of("ann") }));
    Operator::new("a").order(&cluster[0], "evicting", &json!({ "rate": 100 }));
    client.expect("reconnect");
    client.close(CloseCode::new(4000));

    let told = await_report(&cluster[0], "an end", |report| {
        report["phase"] == "drained" && report["displaced"] == 0
    });

    assert_eq!((&told["resumed"], &told["lost"]), (&json!(0), &json!(1)));
}

#[test]
fn nodes_that_drain_together_share_the_rate() {
    let cluster = Cluster::of(3, || node().set("drain.max_rate", "9").set("drain.lb_propagation", "1s"));
    let clients: Vec<_> = (0..2)
        .flat_map(|number| (0..40).map(move |_| number))
        .map(|number| connect(&cluster[number]))
        .collect();

    cluster[0].terminate();
    cluster[1].terminate();

    for number in 0..2 {
        await_report(&cluster[number], "half of the rate", |report| report["rate"] == 4.5);
    }
    drop(clients);
}

#[test]
fn the_others_know_at_once_where_a_node_stands() {
    let cluster = Cluster::of(2, || node().set("node.lease", "5m"));
    let mut operator = Operator::new("a");
    // Its lease is renewed every hundred seconds: it is the change itself that is told.
    let phase_of = |wanted: &str| {
        until("the phase in the directory", || {
            let nodes = crate::server_api::get(&cluster[1], "nodes");
            let list = nodes["nodes"].as_array()?.clone();
            list.into_iter().find(|node| node["node"] == "node-0" && node["phase"] == wanted)
        })
    };
    phase_of("serving");
    operator.order(&cluster[0], "announcing", &json!({}));
    phase_of("announcing");
    operator.order(&cluster[0], "serving", &json!({}));
    phase_of("serving");
}

#[test]
fn without_store_and_bus_a_node_sends_its_clients_away_and_ends_all_the_same() {
    let mut cluster = Cluster::of(1, || node().set("drain.settle", "1s"));
    let mut clients: Vec<_> = (0..3).map(|_| connect(&cluster[0])).collect();
    cluster.redis.kill();
    cluster.nats.kill();
    cluster.await_mode("store_down", true);
    cluster.await_mode("bus_down", true);

    cluster[0].terminate();

    for client in &mut clients {
        client.expect("reconnect");
    }
    clients.into_iter().for_each(|client| client.close(CloseCode::new(4000)));
    assert_eq!(cluster.wait_exit(0), Some(0));
}
