//! The control plane's metrics: what its parts count, added up when someone asks.
//!
//! Labels are enums, never user data; names carry base units. `docs/control-plane-metrics.md` is generated from here.

mod page;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use self::page::Page;
use crate::coordinator::Coordinator;
use crate::reaper::ReaperCounts;

/// Reads everything at scrape time.
pub(crate) struct ControlCollector {
    pub(crate) coordinator: Arc<Coordinator>,
    pub(crate) reaper: Arc<ReaperCounts>,
    pub(crate) log_lines_dropped: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for ControlCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlCollector").finish_non_exhaustive()
    }
}

impl Collector for ControlCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.operations(&mut page)?;
        self.lead(&mut page)?;
        self.cluster(&mut page)?;
        self.loops(&mut page)?;
        self.reaper(&mut page)?;
        let lost = (self.log_lines_dropped)();
        page.counter("log_lines_dropped", "Log lines lost because nobody read them fast enough", lost)
    }
}

impl ControlCollector {
    fn operations(&self, page: &mut Page<'_>) -> fmt::Result {
        let operations = self.coordinator.store.operations(|_| true);
        page.operations(&operations)?;
        page.held(&operations)?;
        page.durations(&operations)
    }

    fn lead(&self, page: &mut Page<'_>) -> fmt::Result {
        let leader = self.coordinator.leader();
        let name = leader.name.as_deref().unwrap_or_default();
        let help = "Who leads, as this replica knows it: 1 if it is this replica";
        page.gauge_with("leader_info", help, &[("leader", name)], u64::from(leader.is_self))?;
        page.gauge("order_epoch", "Fencing number of the leader; 0: there is none", None, leader.epoch)
    }

    fn cluster(&self, page: &mut Page<'_>) -> fmt::Result {
        let health = Arc::clone(&self.coordinator.health().borrow());
        let reachable = health.nodes.iter().filter(|node| node.reachable).count() as u64;
        let silent = health.nodes.len() as u64 - reachable;
        let help = "Gateways that are known, by whether they answer";
        page.gauges("agents", help, "state", &[("reachable", reachable), ("unreachable", silent)])?;
        page.gauge("nodes_ready", "Gateways that take new clients", None, health.nodes_ready)?;
        let help = "Whether clients are well served: 1, or 0 with the reasons in the health document";
        page.gauge("cluster_serves_well", help, None, u64::from(health.serves_well))?;
        let budget = health.budget;
        let tokens =
            [("rate", whole(budget.rate)), ("allowed", whole(budget.allowed)), ("used", whole(budget.used))];
        let help = "Clients a second: that peers can take now, that nodes were allowed, that were sent away";
        page.gauges("drain_budget_tokens", help, "kind", &tokens)?;
        let help = "Sessions that were sent away and were not seen elsewhere yet";
        page.gauge("displaced_sessions", help, None, budget.displaced)?;
        page.gauge("displaced_sessions_max", "Sessions that may be away", None, budget.max_displaced)
    }

    fn loops(&self, page: &mut Page<'_>) -> fmt::Result {
        let (counts, agents) = (&self.coordinator.counts, &self.coordinator.agents.counts);
        page.counter("ticks", "Rounds of gathering, planning and telling", read(&counts.ticks))?;
        let help = "Time that all rounds took together";
        page.seconds_counter("tick_duration", help, read(&counts.tick_us))?;
        let help = "Time that the last round took";
        page.seconds_gauge("tick_last_duration", help, read(&counts.last_tick_us))?;
        page.counter("orders", "Orders to gateways", read(&counts.orders))?;
        page.counter("orders_refused", "Orders that a gateway did not take", read(&agents.refused))?;
        let calls = [("answered", read(&agents.answered)), ("failed", read(&agents.failed))];
        page.counters("agent_calls", "Calls to gateways, by how they ended", "outcome", &calls)?;
        let help = "Operations found on nodes that the store had forgotten";
        page.counter("operations_found_again", help, read(&counts.adopted_again))?;
        let help = "Operations that were over and are forgotten";
        page.counter("operations_pruned", help, read(&counts.pruned))
    }

    fn reaper(&self, page: &mut Page<'_>) -> fmt::Result {
        let reaper = &self.reaper;
        page.counter(
            "reaper_rounds",
            "Times that it was looked for what dead nodes left",
            read(&reaper.rounds),
        )?;
        page.counter(
            "reaper_failures",
            "Of these, cut short because the store was away",
            read(&reaper.failures),
        )?;
        let given_back = [("route", read(&reaper.routes)), ("member", read(&reaper.members))];
        page.counters("reaped", "What dead nodes left and was given back", "what", &given_back)?;
        let help = "How long something that a dead node left has been waiting, as far as is known";
        page.seconds_gauge("reaper_lateness", help, read(&reaper.lateness_ms).saturating_mul(1_000))
    }
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clients a second, far below 2^53"
)]
fn whole(rate: f64) -> u64 {
    rate.max(0.0).round() as u64
}
