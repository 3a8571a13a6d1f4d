//! What all nodes together take on: new clients and resumes a second, and connections at once.
//!
//! Place in the data path: at the upgrade, and before a session is opened or resumed. The answer is there at once unless the
//! store has to be asked for more. A store that is down keeps nobody out: each node goes by its share then.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_cluster::Budget;
use tidegate_cluster::budget::{Granted, Rate};
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::id::NodeName;
use tidegate_protocol::time::whole_ms;

use crate::config::shares::ClusterLimits;

/// How a client arrives. Those who come back have a budget of their own, so that newcomers never take their place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Arrival {
    New,
    Resume,
}

/// The cluster's limits, as one node keeps to them.
pub(crate) struct ClusterBudget {
    budget: Arc<dyn Budget>,
    new: Option<Rate>,
    resumes: Option<Rate>,
    /// Zero: no limit.
    connections_max: u64,
    /// Connections that this node may have before it is known again what all of them have.
    allowed: AtomicU64,
    /// Connections of all nodes, when they were last counted.
    counted: AtomicU64,
    refused: Refused,
}

/// Who was refused.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    pub(crate) new: AtomicU64,
    pub(crate) resumes: AtomicU64,
    pub(crate) connections: AtomicU64,
}

impl ClusterBudget {
    /// The limits of `limits`, counted by `budget`. Until it has answered this node takes its share of `replicas`.
    pub(crate) fn new(limits: &ClusterLimits, replicas: u32, budget: Arc<dyn Budget>) -> Self {
        let rate = |per_second| NonZeroU32::new(per_second).map(|rate| Rate::per_second(rate, rate));
        Self {
            budget,
            new: rate(limits.handshakes_per_second),
            resumes: rate(limits.resumes_per_second),
            connections_max: limits.connections,
            allowed: AtomicU64::new(limits.connections.div_ceil(u64::from(replicas.max(1)))),
            counted: AtomicU64::new(0),
            refused: Refused::default(),
        }
    }

    /// Takes one arrival from the cluster's budget.
    ///
    /// # Errors
    ///
    /// The time after which there may be room, above zero.
    pub(crate) async fn admit(self: Arc<Self>, arrival: Arrival) -> Result<(), Duration> {
        let Some(rate) = self.rate(arrival) else { return Ok(()) };
        let (bucket, refused) = match arrival {
            Arrival::New => ("handshakes", &self.refused.new),
            Arrival::Resume => ("resumes", &self.refused.resumes),
        };
        match self.budget.take(bucket, rate, NonZeroU32::MIN).await {
            Ok(Granted::Later { after }) => {
                refused.fetch_add(1, Ordering::Relaxed);
                Err(after)
            }
            Ok(Granted::Now) | Err(_) => Ok(()),
        }
    }

    /// Whether one connection more than the `own` of this node would be too many for the cluster.
    pub(crate) fn is_full(&self, own: u64) -> bool {
        let is_full = self.connections_max > 0 && own >= self.allowed.load(Ordering::Relaxed);
        self.refused.connections.fetch_add(u64::from(is_full), Ordering::Relaxed);
        is_full
    }

    /// Counts with the other nodes for as long as this one runs. `open` says how many connections it has.
    pub(crate) async fn run(self: Arc<Self>, node: NodeName, ttl: Duration, open: impl Fn() -> u64 + Send) {
        loop {
            self.report(&node, open(), ttl).await;
            tokio::time::sleep(COUNT_INTERVAL).await;
        }
    }

    /// Says how many connections this node has, and learns how many more it may take. Nodes divide what is left, so that
    /// all together exceed the limit by fewer connections than there are nodes.
    async fn report(&self, node: &NodeName, own: u64, ttl: Duration) {
        if self.connections_max == 0 && self.new.is_none() && self.resumes.is_none() {
            return;
        }
        let Ok(tally) = self.budget.report("connections", node, own, ttl).await else { return };
        let left = self.connections_max.saturating_sub(tally.total);
        self.allowed.store(own + left.div_ceil(u64::from(tally.nodes.max(1))), Ordering::Relaxed);
        self.counted.store(tally.total, Ordering::Relaxed);
    }

    /// Connections of all nodes, when they were last counted; they are, where there is any limit.
    pub(crate) fn counted(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }

    pub(crate) fn refused(&self) -> &Refused {
        &self.refused
    }

    fn rate(&self, arrival: Arrival) -> Option<Rate> {
        match arrival {
            Arrival::New => self.new,
            Arrival::Resume => self.resumes,
        }
    }
}

/// How often nodes count their connections together.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// What a client is told that finds no room.
pub(crate) fn no_room(after: Duration) -> ErrorBody {
    let why = "all nodes together take no more clients at the moment: try again later";
    ErrorBody::new(ErrorCode::Limit, why).retry_after_ms(whole_ms(after).max(1))
}

#[cfg(test)]
mod tests {
    use tidegate_cluster::Clock;
    use tidegate_cluster::memory::{BudgetConfig, MemoryBudget};

    use super::*;

    fn shared() -> Arc<MemoryBudget> {
        Arc::new(MemoryBudget::new(BudgetConfig::default(), Clock::system()))
    }

    fn node(limits: &ClusterLimits, replicas: u32, shared: &Arc<MemoryBudget>) -> Arc<ClusterBudget> {
        Arc::new(ClusterBudget::new(limits, replicas, Arc::clone(shared) as _))
    }

    fn limits(handshakes_per_second: u32, resumes_per_second: u32, connections: u64) -> ClusterLimits {
        ClusterLimits { handshakes_per_second, resumes_per_second, connections }
    }

    #[tokio::test]
    async fn one_more_than_the_rate_is_refused_and_who_comes_back_is_not() {
        let shared = shared();
        let nodes = [0, 1].map(|_| node(&limits(2, 3, 0), 2, &shared));
        let admit = |number: usize, arrival| Arc::clone(&nodes[number]).admit(arrival);

        assert_eq!(admit(0, Arrival::New).await, Ok(()));
        assert_eq!(admit(1, Arrival::New).await, Ok(()));
        assert!(admit(0, Arrival::New).await.is_err_and(|after| after > Duration::ZERO));
        for _ in 0..3 {
            assert_eq!(admit(1, Arrival::Resume).await, Ok(()));
        }
        assert!(admit(1, Arrival::Resume).await.is_err());
        assert_eq!(nodes[0].refused().new.load(Ordering::Relaxed), 1);
        assert_eq!(nodes[1].refused().resumes.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn without_a_limit_all_are_admitted_and_nobody_is_asked() {
        let shared = shared();
        let node = node(&limits(0, 0, 0), 1, &shared);

        for _ in 0..1_000 {
            assert_eq!(Arc::clone(&node).admit(Arrival::New).await, Ok(()));
        }
        node.report(&NodeName::parse("node").unwrap(), 5, Duration::from_secs(9)).await;
        assert!(!node.is_full(u64::MAX));
        assert_eq!((shared.stats().granted_total, node.counted()), (0, 0));
    }

    #[tokio::test]
    async fn what_is_left_of_the_connections_is_divided_among_the_nodes() {
        let shared = shared();
        let [one, two] = [0, 1].map(|_| node(&limits(0, 0, 10), 2, &shared));
        let name = |name| NodeName::parse(name).unwrap();
        let ttl = Duration::from_secs(9);
        assert!(!one.is_full(4) && one.is_full(5), "its share, before anybody was asked");

        one.report(&name("one"), 3, ttl).await;
        assert!(!one.is_full(9) && one.is_full(10), "it is alone");
        two.report(&name("two"), 4, ttl).await;
        one.report(&name("one"), 3, ttl).await;
        // Three are left, two for each at most.
        assert!(!one.is_full(4) && one.is_full(5));
        assert!(!two.is_full(5) && two.is_full(6));
        two.report(&name("two"), 7, ttl).await;
        assert!(two.is_full(7) && two.counted() == 10);
        assert_eq!(two.refused().connections.load(Ordering::Relaxed), 2);
    }
}
