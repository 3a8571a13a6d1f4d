//! The directory in Redis: the contract, and what dead nodes and interrupted calls leave behind.

use std::sync::Arc;
use std::time::Duration;

use tidegate_cluster::clock::{Clock, ManualClock};
use tidegate_cluster::directory::{Lease, NodeRecord, Registered, Registration, Target};
use tidegate_cluster::redis::{DirectoryConfig, RedisClient, RedisDirectory};
use tidegate_cluster::{Directory, Fence, contract};
use tidegate_protocol::id::{NodeName, SessionId};
use tidegate_protocol::time::Millis;
use tidegate_testkit::{RedisCluster, RedisServer};

use crate::redis_stores::{Stores, config, connect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_one_server() {
    let server = RedisServer::start();
    contract::directory::check(&Stores::new(config(&server.url()), make)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_a_cluster() {
    let cluster = RedisCluster::three_masters();
    contract::directory::check(&Stores::new(config(&cluster.url()), make)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_node_left_goes_with_the_announcements_of_others() {
    let server = RedisServer::start();
    let directory = on(&server, Clock::system()).await;
    announce(&directory, "dead", Lease::New).await;
    announce(&directory, "alive", Lease::New).await;
    for number in 0..1_500 {
        register(&directory, number, "dead", 1).await;
    }
    register(&directory, 7, "alive", 2).await;
    assert_eq!(directory.withdraw(&node("dead")).await, Ok(()));
    assert_eq!(directory.locate(Target::User("ann"), 10).await.unwrap().len(), 1);

    for _ in 0..3 {
        announce(&directory, "alive", Lease::Kept).await;
    }
    assert_eq!(directory.stats().dropped_total, 1_499, "one has moved before its node died");
    let mut left = server.command(&["KEYS", "*"]);
    left.retain(|key| key != "tidegate:{d}" && !key.starts_with("tidegate:{dt:"));
    left.sort();
    assert_eq!(left, [format!("tidegate:{{s:{}}}:d", session(7)), "tidegate:{u:ann}:d".to_owned()]);
    assert_eq!(directory.locate(Target::User("ann"), 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_without_its_route_is_taken_out_after_a_minute() {
    let server = RedisServer::start();
    let manual = ManualClock::new(Millis::new(1_700_000_000_000));
    let directory = on(&server, manual.clock()).await;
    announce(&directory, "n1", Lease::New).await;
    register(&directory, 1, "n1", 1).await;
    register(&directory, 2, "n1", 1).await;
    // As a registration leaves it whose other half is still under way, or never came.
    server.command(&["DEL", &format!("tidegate:{{s:{}}}:d", session(1))]);
    let found = async || directory.locate(Target::User("ann"), 10).await.unwrap().len();
    let indexed = || server.command(&["ZCARD", "tidegate:{u:ann}:d"]).concat();

    assert_eq!((found().await, indexed()), (1, "2".to_owned()));
    manual.advance(Duration::from_secs(61));
    assert_eq!((found().await, indexed()), (1, "1".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_users_routes_so_many_are_looked_at_as_may_be() {
    let server = RedisServer::start();
    let limited = DirectoryConfig { user_routes_max: 3, ..DirectoryConfig::default() };
    let manual = ManualClock::new(Millis::new(1_700_000_000_000));
    let directory = RedisDirectory::new(connect(config(&server.url())).await, limited, manual.clock());
    announce(&directory, "n1", Lease::New).await;

    for (number, found) in [(1, 1), (2, 2), (3, 3), (4, 3)] {
        manual.advance(Duration::from_millis(1));
        register(&directory, number, "n1", 1).await;
        assert_eq!(directory.locate(Target::User("ann"), 10).await.unwrap().len(), found, "{number}");
    }
}

fn make(client: RedisClient) -> Arc<dyn Directory> {
    Arc::new(RedisDirectory::new(client, DirectoryConfig::default(), Clock::system()))
}

async fn on(server: &RedisServer, clock: Clock) -> RedisDirectory {
    RedisDirectory::new(connect(config(&server.url())).await, DirectoryConfig::default(), clock)
}

async fn announce(directory: &RedisDirectory, name: &str, lease: Lease) {
    let record = NodeRecord {
        name: node(name),
        phase: "serving".into(),
        version: "0.1.0".into(),
        connections: 0,
        capacity: 10,
        load_permille: 0,
        started_at: Millis::ZERO,
        admin: None,
    };
    assert_eq!(directory.announce(record, LONG).await, Ok(lease));
}

async fn register(directory: &RedisDirectory, number: u16, name: &str, fence: u64) {
    let (session, fence) = (session(number), Fence::new(fence));
    let registration = Registration { session, user: "ann".into(), node: node(name), fence };
    assert_eq!(directory.register(registration).await, Ok(Registered::Known));
}

fn node(name: &str) -> NodeName {
    NodeName::parse(name).expect("tests use good names")
}

/// In the order of their numbers.
fn session(number: u16) -> SessionId {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    SessionId::from_bytes(bytes)
}

const LONG: Duration = Duration::from_secs(600);
