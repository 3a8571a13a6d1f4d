//! What every [`Directory`] promises.

use std::sync::Arc;

use tidegate_protocol::time::Millis;

use crate::directory::{Directory, Lease, NodeRecord, Registered, Registration, Route, Target};
use crate::fence::Fence;

use super::{Harness, LONG, PAST_SOON, SOON, get, node, session};

/// Checks every rule, each on an empty directory.
pub async fn check(harness: &impl Harness<dyn Directory>) {
    nodes_are_listed_as_they_announce_themselves(harness).await;
    a_node_goes_when_its_lease_ends_or_it_withdraws(harness).await;
    sessions_are_found_by_id_and_by_user(harness).await;
    nobody_in_particular_is_not_found_by_user(harness).await;
    a_node_without_a_lease_registers_nothing(harness).await;
    a_newer_fence_wins_whichever_comes_first(harness).await;
    routes_go_with_their_node(harness).await;
    a_node_that_was_away_has_to_register_again(harness).await;
}

async fn nodes_are_listed_as_they_announce_themselves(harness: &impl Harness<dyn Directory>) {
    let directory = harness.fresh().await;
    assert_eq!(get(directory.nodes()).await, []);

    assert_eq!(get(directory.announce(record("n2"), LONG)).await, Lease::New);
    assert_eq!(get(directory.announce(record("n1"), LONG)).await, Lease::New);
    let draining = NodeRecord {
        phase: "evicting".into(),
        connections: 7,
        load_permille: 500,
        admin: None,
        ..record("n2")
    };
    assert_eq!(get(directory.announce(draining.clone(), LONG)).await, Lease::Kept);
    assert_eq!(get(directory.nodes()).await, [record("n1"), draining]);
}

async fn a_node_goes_when_its_lease_ends_or_it_withdraws(harness: &impl Harness<dyn Directory>) {
    let directory = harness.fresh().await;
    for (name, ttl) in [("lapsed", SOON), ("renewed", SOON), ("withdrawn", LONG)] {
        assert_eq!(get(directory.announce(record(name), ttl)).await, Lease::New);
    }

    get(directory.withdraw(&node("withdrawn"))).await;
    get(directory.withdraw(&node("unknown"))).await;
    assert_eq!(get(directory.announce(record("renewed"), LONG)).await, Lease::Kept);
    harness.pass(PAST_SOON).await;
    assert_eq!(get(directory.nodes()).await, [record("renewed")]);
    assert_eq!(get(directory.announce(record("lapsed"), LONG)).await, Lease::New);
}

async fn sessions_are_found_by_id_and_by_user(harness: &impl Harness<dyn Directory>) {
    let directory = announced(harness, &["n1", "n2"]).await;
    register(&*directory, 1, "ann", "n1", 1).await;
    register(&*directory, 2, "ann", "n2", 1).await;
    register(&*directory, 3, "annabel", "n1", 4).await;

    let (first, second) = (route(1, "n1", 1), route(2, "n2", 1));
    assert_eq!(locate_user(&*directory, "ann").await, [first.clone(), second.clone()]);
    assert_eq!(locate_user(&*directory, "annabel").await, [route(3, "n1", 4)]);
    assert_eq!(locate_user(&*directory, "an").await, []);
    assert_eq!(locate_session(&*directory, 2).await, [route(2, "n2", 1)]);
    assert_eq!(locate_session(&*directory, 9).await, []);
    assert_eq!(get(directory.locate(Target::User("ann"), 1)).await, [first], "at most as many as asked for");

    assert!(get(directory.unregister(session(1), Fence::FIRST)).await);
    assert!(!get(directory.unregister(session(1), Fence::FIRST)).await);
    assert_eq!(locate_user(&*directory, "ann").await, [second]);
    assert_eq!(locate_session(&*directory, 1).await, []);
}

async fn nobody_in_particular_is_not_found_by_user(harness: &impl Harness<dyn Directory>) {
    let directory = announced(harness, &["n1"]).await;
    register(&*directory, 1, "", "n1", 1).await;

    assert_eq!(locate_user(&*directory, "").await, []);
    assert_eq!(locate_session(&*directory, 1).await, [route(1, "n1", 1)]);
}

async fn a_node_without_a_lease_registers_nothing(harness: &impl Harness<dyn Directory>) {
    let directory = harness.fresh().await;

    let registered = get(directory.register(registration(1, "ann", "n1", 1))).await;
    assert_eq!(registered, Registered::NoLease);
    assert_eq!(locate_session(&*directory, 1).await, []);
}

async fn a_newer_fence_wins_whichever_comes_first(harness: &impl Harness<dyn Directory>) {
    let directory = announced(harness, &["n1", "n2"]).await;
    register(&*directory, 1, "ann", "n1", 1).await;
    register(&*directory, 1, "ann", "n2", 2).await;

    assert!(!get(directory.unregister(session(1), Fence::FIRST)).await, "it is another's by now");
    let late = get(directory.register(registration(1, "ann", "n1", 1))).await;
    assert_eq!(late, Registered::Fenced);
    assert_eq!(locate_user(&*directory, "ann").await, [route(1, "n2", 2)]);
    register(&*directory, 1, "ann", "n2", 2).await;
    assert!(get(directory.unregister(session(1), Fence::new(2))).await);
}

async fn routes_go_with_their_node(harness: &impl Harness<dyn Directory>) {
    let directory = announced(harness, &["alive"]).await;
    assert_eq!(get(directory.announce(record("dead"), SOON)).await, Lease::New);
    register(&*directory, 1, "ann", "dead", 1).await;
    register(&*directory, 2, "ann", "alive", 1).await;
    register(&*directory, 3, "ann", "dead", 1).await;
    harness.pass(PAST_SOON).await;

    assert_eq!(locate_user(&*directory, "ann").await, [route(2, "alive", 1)]);
    assert_eq!(locate_session(&*directory, 1).await, []);
    register(&*directory, 3, "ann", "alive", 2).await;
    assert_eq!(locate_user(&*directory, "ann").await, [route(2, "alive", 1), route(3, "alive", 2)]);
    get(directory.withdraw(&node("alive"))).await;
    assert_eq!(locate_user(&*directory, "ann").await, []);
}

async fn a_node_that_was_away_has_to_register_again(harness: &impl Harness<dyn Directory>) {
    let directory = harness.fresh().await;
    assert_eq!(get(directory.announce(record("n1"), SOON)).await, Lease::New);
    register(&*directory, 1, "ann", "n1", 1).await;
    harness.pass(PAST_SOON).await;

    assert_eq!(get(directory.announce(record("n1"), LONG)).await, Lease::New, "it is told");
    assert_eq!(locate_user(&*directory, "ann").await, []);
    register(&*directory, 1, "ann", "n1", 1).await;
    assert_eq!(locate_user(&*directory, "ann").await, [route(1, "n1", 1)]);
}

async fn announced(harness: &impl Harness<dyn Directory>, nodes: &[&str]) -> Arc<dyn Directory> {
    let directory = harness.fresh().await;
    for name in nodes {
        assert_eq!(get(directory.announce(record(name), LONG)).await, Lease::New);
    }
    directory
}

fn record(name: &str) -> NodeRecord {
    NodeRecord {
        name: node(name),
        phase: "serving".into(),
        version: "0.1.0".into(),
        connections: 0,
        capacity: 1_000,
        load_permille: 0,
        started_at: Millis::new(1_700_000_000_000),
        admin: Some("http://127.0.0.1:9000".into()),
    }
}

fn registration(number: u8, user: &str, node_name: &str, fence: u64) -> Registration {
    let (user, fence) = (user.into(), Fence::new(fence));
    Registration { session: session(number), user, node: node(node_name), fence }
}

fn route(number: u8, node_name: &str, fence: u64) -> Route {
    Route { node: node(node_name), session: session(number), fence: Fence::new(fence) }
}

async fn register(directory: &dyn Directory, number: u8, user: &str, node_name: &str, fence: u64) {
    let registered = get(directory.register(registration(number, user, node_name, fence))).await;
    assert_eq!(registered, Registered::Known);
}

async fn locate_user(directory: &dyn Directory, user: &str) -> Vec<Route> {
    get(directory.locate(Target::User(user), 100)).await
}

async fn locate_session(directory: &dyn Directory, number: u8) -> Vec<Route> {
    get(directory.locate(Target::Session(session(number)), 100)).await
}
