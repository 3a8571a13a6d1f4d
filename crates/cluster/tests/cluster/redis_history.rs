//! History and idempotency over Redis keep the contract, wherever Redis runs.

use std::sync::Arc;

use tidegate_cluster::redis::{Config, RedisIdempotency};
use tidegate_cluster::{History, Idempotency, contract};
use tidegate_testkit::RedisServer;

use crate::redis_stores::{Stores, config, history};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_one_server() {
    let server = RedisServer::start();
    check(config(&server.url())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_over_tls() {
    let server = RedisServer::builder().tls().start();
    let tls_ca_file = Some(server.folder().join("cert.pem"));
    check(Config { tls_ca_file, ..config(&server.url()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_for_a_user_who_may_use_a_prefix_only() {
    let server = RedisServer::builder().user("tidegate", "p@ss:word", "live:").start();
    let given = Config {
        prefix: "live:".to_owned(),
        username: Some("tidegate".to_owned()),
        password: Some("p@ss:word".to_owned()),
        ..config(&server.url())
    };
    check(given).await;
}

async fn check(config: Config) {
    let make = |client| Arc::new(history(client)) as Arc<dyn History>;
    contract::history::check(&Stores::new(config.clone(), make)).await;
    let make = |client| Arc::new(RedisIdempotency::new(client)) as Arc<dyn Idempotency>;
    contract::idempotency::check(&Stores::new(config, make)).await;
}
