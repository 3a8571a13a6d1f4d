//! Sessions in Redis: the contract, and what becomes of them when the server misbehaves.

use std::sync::Arc;

use tidegate_cluster::redis::{RedisClient, RedisSessions, SessionsConfig};
use tidegate_cluster::{SessionStore, contract};
use tidegate_testkit::RedisServer;

use crate::redis_stores::{Stores, config};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_one_server() {
    let server = RedisServer::start();
    contract::sessions::check(&Stores::new(config(&server.url()), make)).await;
}

fn make(client: RedisClient) -> Arc<dyn SessionStore> {
    Arc::new(RedisSessions::new(client, SessionsConfig::default()))
}
