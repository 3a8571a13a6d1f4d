//! Operations from their request to their end, and what people tell them on the way.

use serde_json::json;

use crate::world::{World, body, drain};

#[test]
fn a_drain_moves_every_client_once_and_each_comes_back() {
    let world = World::of(2, 1);
    let clients = world.clients(0, 12);
    let mut others = world.clients(1, 2);
    world.begin(0, "d", &drain(&[0], &json!({ "reason": "a new kernel" })));

    let moved: Vec<_> = clients.into_iter().map(|client| client.move_to(&world.cluster[1])).collect();

    let over = world.await_state(0, "d", "Succeeded");
    let counters = &over["counters"];
    for (key, count) in
        [("moved", 12), ("left", 12), ("resumed", 12), ("lost", 0), ("forced", 0), ("repeats", 0)]
    {
        assert_eq!(counters[key], count, "{key} in {counters}");
    }
    assert_eq!((&over["requestedBy"], &over["spec"]["reason"]), (&json!("ann"), &json!("a new kernel")));
    assert_eq!(world.report(0)["phase"], "drained");
    let mut there: Vec<_> = moved.into_iter().chain(others.drain(..)).collect();
    assert!(there.iter_mut().all(crate::world::Client::is_left_alone));

    let answer = world.call(0, "POST", "/v1/nodes/node-0:uncordon", &json!(null));
    assert_eq!(answer.status, 200, "{answer:?}");
    world.await_phase(0, "serving");
}

#[test]
fn a_request_that_is_repeated_is_the_same_operation_and_another_body_is_refused() {
    let world = World::of(2, 2);
    let _clients = world.clients(0, 1);
    let spec = drain(&[0], &json!({}));
    world.begin(0, "d", &spec);

    let again = world.call(1, "PUT", "/v1/operations/d", &spec);
    assert_eq!(again.status, 200, "{again:?}");
    let other = world.call(1, "PUT", "/v1/operations/d", &drain(&[1], &json!({})));
    assert_eq!((other.status, &body(&other)["code"]), (409, &json!("id_reused")));
    let taken = world.call(1, "PUT", "/v1/operations/e", &spec);
    assert_eq!((taken.status, &body(&taken)["code"]), (409, &json!("conflict")));
    let all = world.call(1, "PUT", "/v1/operations/f", &drain(&[0, 1], &json!({})));
    assert!([409, 422].contains(&all.status), "{all:?}");
}

#[test]
fn a_paused_operation_moves_nobody_and_an_aborted_one_gives_its_node_back() {
    let world = World::of(2, 2);
    let clients = world.clients(0, 8);
    // One a second: nobody who is left is far along when it is paused.
    world.begin(0, "d", &drain(&[0], &json!({ "maxRate": 1 })));
    let mut clients = clients.into_iter();
    world.await_operation(0, "d", "move someone", |operation| {
        operation["counters"]["moved"].as_u64() > Some(0)
    });

    world.tell(1, "d", "pause");
    world.await_phase(0, "paused");
    let moved = world.report(0)["moved"].clone();
    let paused = world.await_operation(1, "d", "be paused", |operation| {
        operation["conditions"]
            .as_array()
            .is_some_and(|found| found.iter().any(|one| one["type"] == "Paused"))
    });
    assert_eq!(paused["state"], "Running", "that it is paused is a condition, not a state");
    assert_eq!(world.report(0)["moved"], moved);

    world.tell(0, "d", "resume");
    world.await_operation(1, "d", "go on", |operation| {
        operation["counters"]["moved"].as_u64() > moved.as_u64()
    });
    world.tell(1, "d", "abort");
    let over = world.await_state(0, "d", "Aborted");
    assert!(over["counters"]["moved"].as_u64() < Some(8), "{over}");
    world.await_phase(0, "serving");
    assert_eq!(world.report(0)["ready"], true);
    assert!(clients.next().is_some());
}

#[test]
fn a_cordoned_node_takes_nobody_in_and_sends_nobody_away() {
    let world = World::of(2, 1);
    let mut clients = world.clients(0, 2);
    let answer = world.call(0, "POST", "/v1/nodes/node-0:cordon", &json!(null));
    assert_eq!(answer.status, 200, "{answer:?}");
    world.await_phase(0, "announcing");
    assert_eq!(world.report(0)["ready"], false);
    assert!(clients.iter_mut().all(crate::world::Client::is_left_alone));

    let answer = world.call(0, "POST", "/v1/nodes/node-0:uncordon", &json!(null));
    assert_eq!(answer.status, 200, "{answer:?}");
    world.await_phase(0, "serving");
    let unknown = world.call(0, "POST", "/v1/nodes/node-9:cordon", &json!(null));
    assert_eq!(unknown.status, 404, "{unknown:?}");
}
