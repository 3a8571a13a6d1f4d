//! Budgets in Redis: the contract, how nodes share, and what each does alone.

use std::sync::Arc;

use tidegate_cluster::clock::Clock;
use tidegate_cluster::redis::{BudgetConfig, RedisBudget, RedisClient};
use tidegate_cluster::{Budget, contract};
use tidegate_testkit::RedisServer;

use crate::redis_stores::{Stores, config};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_one_server() {
    let server = RedisServer::start();
    contract::budget::check(&Stores::new(config(&server.url()), make)).await;
}

fn make(client: RedisClient) -> Arc<dyn Budget> {
    Arc::new(RedisBudget::new(client, BudgetConfig::default(), Clock::system()))
}
