//! The process itself: what it refuses to start with, what it shows, what it says on the bus.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use tidegate_testkit::DEADLINE;

use crate::world::{World, body, replica};

#[test]
fn a_faulty_configuration_ends_it_with_64_and_every_fault() {
    let (code, errors) =
        replica().set("election.renew", "3s").set("bus.url", "nats://127.0.0.1").run_to_end();
    assert_eq!(code, Some(64), "{errors}");
    for part in ["election.renew", "store.url"] {
        assert!(errors.contains(part), "{part} in {errors}");
    }
}

#[test]
fn health_is_200_while_clients_are_well_served_and_says_why_not() {
    let mut world = World::of(1, 1);
    let well = world.call(0, "GET", "/v1/health", &json!(null));
    assert_eq!((well.status, &body(&well)["servesWell"]), (200, &json!(true)), "{well:?}");
    assert_eq!(world.replicas[0].admin_get("/readyz").status, 200);

    world.cluster.kill(0);
    let unwell = tidegate_testkit::until("the health to be bad", || {
        Some(world.call(0, "GET", "/v1/health", &json!(null))).filter(|answer| answer.status != 200)
    });
    assert_eq!(unwell.status, 503);
    let code = &body(&unwell)["complaints"][0]["code"];
    assert!(["no_ready_node", "no_nodes"].contains(&code.as_str().unwrap_or_default()), "{unwell:?}");
}

#[test]
fn the_health_document_goes_out_on_the_bus() {
    let world = World::of(1, 1);
    let mut socket = TcpStream::connect(("127.0.0.1", world.cluster.nats.port())).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.write_all(b"CONNECT {}\r\nSUB tidegate.health 1\r\n").unwrap();
    let mut lines = BufReader::new(socket).lines().map_while(Result::ok);
    lines.find(|line| line.starts_with("MSG tidegate.health 1 ")).expect("it is said every few seconds");
    let document: Value = serde_json::from_str(&lines.next().expect("a message has a body")).unwrap();
    assert_eq!((&document["version"], &document["leader"]["isSelf"]), (&json!(1), &json!(true)));
    assert_eq!(document["nodes"][0]["name"], "node-0");
}

#[test]
fn metrics_tell_of_the_lead_and_of_the_nodes() {
    let world = World::of(2, 1);
    let text = world.replicas[0].admin_get("/metrics").body;
    for line in [
        "tidegate_leader_info{leader=\"cp-0\"} 1",
        "tidegate_order_epoch 1",
        "tidegate_agents{state=\"reachable\"} 2",
        "tidegate_nodes_ready 2",
        "tidegate_cluster_serves_well 1",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}
