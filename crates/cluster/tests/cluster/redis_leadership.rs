//! The lead in Redis keeps the contract.

use std::sync::Arc;
use std::time::Duration;

use tidegate_cluster::redis::{RedisClient, RedisLeadership};
use tidegate_cluster::{Leadership, contract};
use tidegate_testkit::{RedisCluster, RedisServer};

use crate::redis_stores::{Stores, config, connect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_one_server() {
    let server = RedisServer::start();
    contract::leadership::check(&Stores::new(config(&server.url()), make)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_a_cluster() {
    let cluster = RedisCluster::three_masters();
    contract::leadership::check(&Stores::new(config(&cluster.url()), make)).await;
}

#[tokio::test]
async fn a_server_that_was_emptied_goes_on_above_what_others_have_seen() {
    let server = RedisServer::start();
    let leadership = RedisLeadership::new(connect(config(&server.url())).await);
    let ttl = Duration::from_secs(600);
    let first = leadership.claim("a", ttl, 41).await.unwrap().epoch;
    server.command(&["FLUSHALL"]);
    assert!(leadership.claim("b", ttl, first).await.unwrap().epoch > first);
}

fn make(client: RedisClient) -> Arc<dyn Leadership> {
    Arc::new(RedisLeadership::new(client))
}
