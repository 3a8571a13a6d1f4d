//! Sticky routes in Redis keep the contract.

use std::sync::Arc;

use tidegate_cluster::redis::{RedisClient, RedisStickyRoutes};
use tidegate_cluster::{StickyRoutes, contract};
use tidegate_testkit::{RedisCluster, RedisServer};

use crate::redis_stores::{Stores, config};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_one_server() {
    let server = RedisServer::start();
    contract::sticky::check(&Stores::new(config(&server.url()), make)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_a_cluster() {
    let cluster = RedisCluster::three_masters();
    contract::sticky::check(&Stores::new(config(&cluster.url()), make)).await;
}

fn make(client: RedisClient) -> Arc<dyn StickyRoutes> {
    Arc::new(RedisStickyRoutes::new(client))
}
