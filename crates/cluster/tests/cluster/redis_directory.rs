//! Directory in Redis: the contract, and what becomes of it when the server misbehaves.

use std::sync::Arc;

use tidegate_cluster::clock::Clock;
use tidegate_cluster::redis::{DirectoryConfig, RedisClient, RedisDirectory};
use tidegate_cluster::{Directory, contract};
use tidegate_testkit::RedisServer;

use crate::redis_stores::{Stores, config};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_one_server() {
    let server = RedisServer::start();
    contract::directory::check(&Stores::new(config(&server.url()), make)).await;
}

fn make(client: RedisClient) -> Arc<dyn Directory> {
    Arc::new(RedisDirectory::new(client, DirectoryConfig::default(), Clock::system()))
}
