//! Leaders that go, stores that forget, and gateways that are left alone in the middle of an operation.

use serde_json::json;
use tidegate_testkit::until;

use crate::world::{World, drain};

#[test]
fn another_replica_goes_on_when_the_leader_is_killed() {
    let mut world = World::of(2, 3);
    let clients = world.clients(0, 10);
    let (leader, epoch) = world.leader(0);
    world.begin((leader + 1) % 3, "d", &drain(&[0], &json!({ "maxRate": 2 })));
    world.await_operation(leader, "d", "move someone", |operation| {
        operation["counters"]["moved"].as_u64() > Some(0)
    });

    world.replicas[leader].kill();
    let asked = (leader + 1) % 3;
    let moved: Vec<_> = clients.into_iter().map(|client| client.move_to(&world.cluster[1])).collect();

    let over = world.await_state(asked, "d", "Succeeded");
    let (next, next_epoch) = world.leader(asked);
    assert_ne!(next, leader);
    assert!(next_epoch > epoch, "{next_epoch} follows {epoch}");
    assert_eq!((&over["counters"]["resumed"], &over["counters"]["repeats"]), (&json!(10), &json!(0)));
    let mut moved = moved;
    assert!(moved.iter_mut().all(crate::world::Client::is_left_alone));
}

#[test]
fn a_leader_that_is_told_to_end_lets_another_begin_at_once() {
    // Nobody could wait for this lease to end.
    let mut world = World::with(1, 2, |builder| builder.set("election.lease", "300s"));
    let (leader, epoch) = world.leader(0);
    let status = world.replicas[leader].terminate();
    assert_eq!(status.code(), Some(0));
    world.replicas[1 - leader].await_log("this replica leads");
    let next =
        until("the other one to say so", || Some(world.leader(1 - leader)).filter(|next| next.0 != leader));
    assert_eq!(next, (1 - leader, epoch + 1));
}

#[test]
fn an_emptied_store_is_given_its_operations_again() {
    let world = World::of(2, 2);
    let clients = world.clients(0, 8);
    world.begin(0, "d", &drain(&[0], &json!({ "maxRate": 2, "reason": "kept in mind" })));
    world.await_operation(0, "d", "move someone", |operation| {
        operation["counters"]["moved"].as_u64() > Some(0)
    });
    let before = world.await_operation(1, "d", "be known", |_| true);

    world.cluster.redis.command(&["FLUSHALL"]);
    let again = world.await_operation(1, "d", "be written again", |operation| {
        operation["revision"].as_u64() > before["revision"].as_u64()
    });
    assert_eq!(again["spec"], before["spec"]);
    // Sessions were forgotten along with the rest: clients are told to leave all the same.
    drop(clients);
    world.await_state(0, "d", "Succeeded");
}

#[test]
fn an_operation_that_nobody_remembers_is_found_on_its_nodes() {
    let mut world = World::of(2, 1);
    let clients = world.clients(0, 8);
    world.begin(0, "d", &drain(&[0], &json!({ "maxRate": 1, "orderTtl": "10m" })));
    world.await_operation(0, "d", "move someone", |operation| {
        operation["counters"]["moved"].as_u64() > Some(0)
    });
    let epoch = world.leader(0).1;
    world.replicas[0].kill();
    world.cluster.redis.command(&["FLUSHALL"]);

    world.join();
    let found =
        world.await_operation(1, "d", "be found", |operation| operation["steps"][0]["node"] == "node-0");
    assert_eq!(found["requestedBy"], "unknown");
    until("a higher epoch than gateways have seen", || (world.leader(1).1 > epoch).then_some(()));
    drop(clients);
    world.await_state(1, "d", "Succeeded");
}

#[test]
fn without_a_control_plane_gateways_finish_what_they_were_told_to() {
    let mut world = World::of(2, 1);
    let clients = world.clients(0, 6);
    let loss = json!({ "maxRate": 1, "orderTtl": 3, "onCoordinatorLoss": "continue" });
    world.begin(0, "d", &drain(&[0], &loss));
    world.await_phase(0, "evicting");
    world.replicas[0].kill();

    let moved: Vec<_> = clients.into_iter().map(|client| client.move_to(&world.cluster[1])).collect();
    assert_eq!(world.await_phase(0, "drained")["resumed"], moved.len());
}

#[test]
fn without_a_control_plane_gateways_serve_again_where_that_was_asked_for() {
    let mut world = World::of(2, 1);
    let clients = world.clients(0, 12);
    let loss = json!({ "maxRate": 0.5, "orderTtl": 3, "onCoordinatorLoss": "resume-serving" });
    world.begin(0, "d", &drain(&[0], &loss));
    world.await_phase(0, "evicting");
    world.replicas[0].kill();

    let report = world.await_phase(0, "serving");
    assert_eq!(report["ready"], true);
    assert!(report["moved"].as_u64() < Some(clients.len() as u64), "{report}");
}
