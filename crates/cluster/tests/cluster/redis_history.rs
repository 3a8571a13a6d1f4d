//! History and idempotency over Redis keep the contract, wherever Redis runs.

use std::sync::Arc;

use tidegate_cluster::history::Read;
use tidegate_cluster::redis::{Config, RedisIdempotency};
use tidegate_cluster::{History, Idempotency, contract};
use tidegate_protocol::channel::ChannelName;
use tidegate_testkit::{RedisCluster, RedisServer, Sentinel};

use crate::redis_stores::{Stores, await_up, config, connect, history};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_in_a_cluster_of_three() {
    let cluster = RedisCluster::three_masters();
    check(config(&cluster.url())).await;

    for master in cluster.masters() {
        assert!(master.calls("evalsha") > 0, "each of them has some of the channels");
        assert_eq!(master.info("errorstats", "errorstat_CROSSSLOT"), "", "no step touches two slots");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_before_and_after_a_failover() {
    let mut master = RedisServer::start();
    let replica = RedisServer::builder().replica_of(&master).start();
    let sentinel = Sentinel::watching(&master);
    sentinel.await_replica(&replica);
    check(Config { prefix: "before:".to_owned(), ..config(&sentinel.url()) }).await;

    let client = connect(config(&sentinel.url())).await;
    let kept = history(client.clone());
    let name = ChannelName::parse("chat:a").unwrap();
    let head = kept.read(&name.borrowed(), Read::head()).await.unwrap().head;
    master.await_replica();
    let connected = *client.connected().borrow();
    master.kill();
    sentinel.await_master(&replica);
    let mut connections = client.connected();
    connections.wait_for(|count| *count > connected).await.unwrap();
    await_up(&client).await;

    assert_eq!(kept.heads(&[name]).await, Ok(vec![Some(head)]), "what had been copied goes on");
    check(Config { prefix: "after:".to_owned(), ..config(&sentinel.url()) }).await;
}

async fn check(config: Config) {
    let make = |client| Arc::new(history(client)) as Arc<dyn History>;
    contract::history::check(&Stores::new(config.clone(), make)).await;
    let make = |client| Arc::new(RedisIdempotency::new(client)) as Arc<dyn Idempotency>;
    contract::idempotency::check(&Stores::new(config, make)).await;
}
