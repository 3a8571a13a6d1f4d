//! Budgets in Redis: the contract, how nodes share, and what each does alone.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tidegate_cluster::answer::Reason;
use tidegate_cluster::budget::{Granted, Rate, Tally};
use tidegate_cluster::clock::{Clock, ManualClock};
use tidegate_cluster::redis::{BudgetConfig, RedisBudget, RedisClient};
use tidegate_cluster::{Budget, contract};
use tidegate_protocol::id::NodeName;
use tidegate_protocol::time::Millis;
use tidegate_testkit::{RedisCluster, RedisServer};

use crate::redis_stores::{Stores, await_up, config, connect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_one_server() {
    let server = RedisServer::start();
    contract::budget::check(&Stores::new(config(&server.url()), make)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_a_cluster() {
    let cluster = RedisCluster::three_masters();
    contract::budget::check(&Stores::new(config(&cluster.url()), make)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_take_from_one_bucket() {
    let server = RedisServer::start();
    let nodes = [on(&server).await, on(&server).await, on(&server).await];
    let rate = Rate { interval: LONG, burst: number(10) };

    let mut granted = 0;
    for turn in 0..30 {
        granted += u32::from(nodes[turn % 3].take("a", rate, number(1)).await == Ok(Granted::Now));
    }
    assert_eq!(granted, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handful_of_tokens_answers_many_takes() {
    let server = RedisServer::start();
    let manual = ManualClock::new(Millis::new(1_000_000));
    let client = connect(config(&server.url())).await;
    let budget = Arc::new(RedisBudget::new(client, patient(), manual.clock()));
    // In the tenth of a second for which tokens are kept, 100 come in.
    let rate = Rate::per_second(number(1_000), number(1_000));

    for _ in 0..200 {
        assert_eq!(budget.take("a", rate, number(1)).await, Ok(Granted::Now));
    }
    assert_eq!((budget.stats().asked_total, server.calls("evalsha")), (2, 2));

    let under_way: Vec<_> = (0..100)
        .map(|_| {
            let budget = Arc::clone(&budget);
            tokio::spawn(async move { budget.take("a", rate, number(1)).await })
        })
        .collect();
    for take in under_way {
        assert_eq!(take.await.unwrap(), Ok(Granted::Now));
    }
    assert_eq!(budget.stats().asked_total, 3, "who asks at the same time waits for one answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_alone_keeps_to_its_share_and_asks_again_later() {
    let server = RedisServer::start();
    let manual = ManualClock::new(Millis::new(1_000_000));
    let client = connect(config(&server.url())).await;
    let hasty = BudgetConfig { patience: Duration::from_millis(50), ..BudgetConfig::default() };
    let budget = RedisBudget::new(client.clone(), hasty, manual.clock());
    for name in ["n1", "n2"] {
        assert!(budget.report("connections", &node(name), 1, LONG).await.is_ok());
    }
    let rate = Rate { interval: Duration::from_secs(10), burst: number(6) };

    server.freeze();
    let mut granted = 0;
    for _ in 0..6 {
        granted += u32::from(budget.take("a", rate, number(1)).await == Ok(Granted::Now));
    }
    assert_eq!((granted, budget.stats().asked_total), (3, 1), "half of the burst, and one was waited for");
    assert_eq!(budget.stats().by_share_total, 6);

    server.thaw();
    await_up(&client).await;
    manual.advance(Duration::from_secs(1));
    assert_eq!(budget.take("a", rate, number(1)).await, Ok(Granted::Now));
    assert_eq!((budget.stats().asked_total, budget.stats().by_share_total), (2, 6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_more_than_there_may_be_is_not_counted() {
    let server = RedisServer::start();
    let client = connect(config(&server.url())).await;
    let limited = BudgetConfig { nodes_max: 2, ..BudgetConfig::default() };
    let budget = RedisBudget::new(client, limited, Clock::system());
    let report = |name| budget.report("connections", &node(name), 5, LONG);

    assert_eq!(report("n1").await, Ok(Tally { total: 5, nodes: 1 }));
    assert_eq!(report("n2").await, Ok(Tally { total: 10, nodes: 2 }));
    assert_eq!(report("n3").await.map_err(|unavailable| unavailable.reason), Err(Reason::Full));
    assert_eq!(report("n2").await, Ok(Tally { total: 10, nodes: 2 }), "who is known stays");
}

fn make(client: RedisClient) -> Arc<dyn Budget> {
    Arc::new(RedisBudget::new(client, patient(), Clock::system()))
}

/// A loaded machine is no fault.
fn patient() -> BudgetConfig {
    BudgetConfig { patience: tidegate_testkit::DEADLINE, ..BudgetConfig::default() }
}

async fn on(server: &RedisServer) -> RedisBudget {
    RedisBudget::new(connect(config(&server.url())).await, patient(), Clock::system())
}

fn node(name: &str) -> NodeName {
    NodeName::parse(name).expect("tests use good names")
}

fn number(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).expect("tests use numbers above zero")
}

const LONG: Duration = Duration::from_secs(600);
