//! [`Budget`] in memory.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use tidegate_protocol::id::NodeName;
use tidegate_protocol::time::Millis;

use crate::answer::{Answer, Part, ready};
use crate::budget::bucket::Bucket;
use crate::budget::{Budget, Granted, Rate, Tally};
use crate::clock::Clock;

use super::shards::lock;

/// Budgets of this process.
#[derive(Debug)]
pub struct MemoryBudget {
    config: BudgetConfig,
    clock: Clock,
    table: Mutex<Table>,
}

/// The bound of a [`MemoryBudget`]. Buckets have none: their names are those that the program's text has.
#[derive(Clone, Copy, Debug)]
pub struct BudgetConfig {
    /// Most nodes that report a count.
    pub nodes_max: usize,
}

/// What a [`MemoryBudget`] has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct BudgetStats {
    /// Tokens granted.
    pub granted_total: u64,
    /// Tokens that were not there.
    pub refused_total: u64,
    /// Reports of nodes there was no room for.
    pub turned_away_total: u64,
}

#[derive(Debug, Default)]
struct Table {
    buckets: HashMap<&'static str, Bucket>,
    counts: HashMap<&'static str, HashMap<NodeName, Count>>,
    stats: BudgetStats,
}

#[derive(Debug)]
struct Count {
    count: u64,
    ends_at: Millis,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { nodes_max: 1_000 }
    }
}

impl MemoryBudget {
    /// Every bucket full, nothing counted.
    pub fn new(config: BudgetConfig, clock: Clock) -> Self {
        Self { config, clock, table: Mutex::default() }
    }

    /// What it has done.
    pub fn stats(&self) -> BudgetStats {
        lock(&self.table).stats
    }
}

impl Budget for MemoryBudget {
    fn take(&self, name: &'static str, rate: Rate, amount: NonZeroU32) -> Answer<Granted> {
        let now = self.clock.now();
        let mut table = lock(&self.table);
        let granted = table.buckets.entry(name).or_default().try_take(rate, amount, now);
        let tokens = u64::from(amount.get());
        match granted {
            Granted::Now => table.stats.granted_total += tokens,
            Granted::Later { .. } => table.stats.refused_total += tokens,
        }
        ready(Ok(granted))
    }

    fn report(&self, name: &'static str, node: &NodeName, count: u64, ttl: Duration) -> Answer<Tally> {
        let now = self.clock.now();
        let mut table = lock(&self.table);
        let counts = table.counts.entry(name).or_default();
        counts.retain(|_, held| held.ends_at > now);
        if counts.len() >= self.config.nodes_max && !counts.contains_key(node) {
            table.stats.turned_away_total += 1;
            return ready(Err(Part::Budget.full()));
        }
        counts.insert(node.clone(), Count { count, ends_at: now + ttl });
        let total = counts.values().map(|held| held.count).fold(0, u64::saturating_add);
        ready(Ok(Tally { total, nodes: u32::try_from(counts.len()).unwrap_or(u32::MAX) }))
    }
}

#[cfg(test)]
mod tests {
    use crate::answer::Reason;
    use crate::memory::testing::{asked, manual_clock, node};

    use super::*;

    #[test]
    fn one_node_more_than_there_may_be_is_turned_away_until_another_goes() {
        let manual = manual_clock();
        let budget = MemoryBudget::new(BudgetConfig { nodes_max: 2 }, manual.clock());
        let report =
            |name, seconds| budget.report("connections", &node(name), 5, Duration::from_secs(seconds));

        assert_eq!(asked(report("n1", 1)), Ok(Tally { total: 5, nodes: 1 }));
        assert_eq!(asked(report("n2", 9)), Ok(Tally { total: 10, nodes: 2 }));
        assert_eq!(asked(report("n3", 9)).map_err(|unavailable| unavailable.reason), Err(Reason::Full));
        assert_eq!(asked(report("n2", 9)), Ok(Tally { total: 10, nodes: 2 }), "who is known stays");
        manual.advance(Duration::from_secs(1));
        assert_eq!(asked(report("n3", 9)), Ok(Tally { total: 10, nodes: 2 }));
        assert_eq!(budget.stats().turned_away_total, 1);
    }
}
