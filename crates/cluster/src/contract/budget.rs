//! What every [`Budget`] promises.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::budget::{Budget, Granted, Rate, Tally};

use super::{Harness, LONG, PAST_SOON, SOON, get, node};

/// Checks every rule, each with full buckets.
pub async fn check(harness: &impl Harness<dyn Budget>) {
    a_burst_is_granted_and_then_the_rate_holds(harness).await;
    tokens_come_back_with_time(harness).await;
    all_or_nothing_is_taken(harness).await;
    buckets_are_apart(harness).await;
    counts_of_all_nodes_are_added_up(harness).await;
    a_silent_node_counts_no_more(harness).await;
}

async fn a_burst_is_granted_and_then_the_rate_holds(harness: &impl Harness<dyn Budget>) {
    let budget = harness.fresh().await;
    let rate = Rate { interval: LONG, burst: number(3) };

    for _ in 0..3 {
        assert_eq!(get(budget.take("a", rate, number(1))).await, Granted::Now);
    }
    for _ in 0..2 {
        let Granted::Later { after } = get(budget.take("a", rate, number(1))).await else {
            panic!("the bucket is empty");
        };
        assert!(after > LONG / 2 && after <= LONG, "{after:?}");
    }
}

async fn tokens_come_back_with_time(harness: &impl Harness<dyn Budget>) {
    let budget = harness.fresh().await;
    let rate = Rate { interval: SOON, burst: number(1) };

    assert_eq!(get(budget.take("a", rate, number(1))).await, Granted::Now);
    assert_ne!(get(budget.take("a", rate, number(1))).await, Granted::Now);
    harness.pass(PAST_SOON).await;
    assert_eq!(get(budget.take("a", rate, number(1))).await, Granted::Now, "a refusal takes nothing");
    harness.pass(SOON * 3).await;
    assert_eq!(get(budget.take("a", rate, number(1))).await, Granted::Now);
    assert_ne!(get(budget.take("a", rate, number(1))).await, Granted::Now, "it holds no more than the burst");
}

async fn all_or_nothing_is_taken(harness: &impl Harness<dyn Budget>) {
    let budget = harness.fresh().await;
    let rate = Rate { interval: LONG, burst: number(3) };

    assert_ne!(get(budget.take("a", rate, number(4))).await, Granted::Now);
    assert_eq!(get(budget.take("a", rate, number(2))).await, Granted::Now);
    assert_ne!(get(budget.take("a", rate, number(2))).await, Granted::Now);
    assert_eq!(get(budget.take("a", rate, number(1))).await, Granted::Now);
    assert_ne!(get(budget.take("a", rate, number(1))).await, Granted::Now);
}

async fn buckets_are_apart(harness: &impl Harness<dyn Budget>) {
    let budget = harness.fresh().await;
    let rate = Rate { interval: LONG, burst: number(1) };

    assert_eq!(get(budget.take("a", rate, number(1))).await, Granted::Now);
    assert_eq!(get(budget.take("b", rate, number(1))).await, Granted::Now);
    assert_ne!(get(budget.take("a", rate, number(1))).await, Granted::Now);
}

async fn counts_of_all_nodes_are_added_up(harness: &impl Harness<dyn Budget>) {
    let budget = harness.fresh().await;

    for (name, count, total, nodes) in [("n1", 5, 5, 1), ("n2", 7, 12, 2), ("n1", 0, 7, 2), ("n2", 9, 9, 2)] {
        assert_eq!(report(&*budget, name, count, LONG).await, Tally { total, nodes });
    }
    let other = get(budget.report("other", &node("n1"), 1, LONG)).await;
    assert_eq!(other, Tally { total: 1, nodes: 1 });
}

async fn a_silent_node_counts_no_more(harness: &impl Harness<dyn Budget>) {
    let budget = harness.fresh().await;
    for (name, ttl) in [("silent", SOON), ("renewed", SOON), ("slow", LONG)] {
        report(&*budget, name, 10, ttl).await;
    }

    assert_eq!(report(&*budget, "renewed", 11, LONG).await, Tally { total: 31, nodes: 3 });
    harness.pass(PAST_SOON).await;
    assert_eq!(report(&*budget, "slow", 10, LONG).await, Tally { total: 21, nodes: 2 });
}

async fn report(budget: &dyn Budget, name: &str, count: u64, ttl: Duration) -> Tally {
    get(budget.report("connections", &node(name), count, ttl)).await
}

fn number(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).expect("rules use numbers above zero")
}
