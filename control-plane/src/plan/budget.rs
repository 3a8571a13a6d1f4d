//! The reconnect budget: how many clients may be sent away a second, over all nodes, and how many may be away at a time.
//!
//! A closed loop with three parts. A *bucket* of `max_rate` that pays for what nodes really sent away, also for those that
//! nobody ordered. A *window* of `max_displaced`: sessions count from being sent away until a node reports them seen
//! elsewhere, or `resume_timeout` ends. And a *rate* within `max_rate` that falls by a factor while peers are busy with
//! handshakes, and rises slowly while they are not (AIMD). See docs/decisions/0010-reconnect-budget.md.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::drain::{BackendHealth, OperationId};

use crate::index::{Fleet, Peers};
use crate::model::{BudgetHealth, Millis};

/// How fast clients may move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetConfig {
    /// Most clients sent away a second, over all nodes.
    pub max_rate: f64,
    /// Most sessions that are away at any time.
    pub max_displaced: u64,
    /// How long a session counts as away if nobody sees it again.
    pub resume_timeout: Duration,
    /// Peers whose handshakes take longer (99th percentile) are busy.
    pub handshake_p99: Duration,
}

#[derive(Debug)]
pub(super) struct Budget {
    config: BudgetConfig,
    /// Clients a second that peers can take, as far as is known.
    rate: f64,
    /// At most zero: what nodes sent away beyond the rate, and the next ticks make up for.
    balance: f64,
    observed_at: Millis,
    /// When the rate may fall again: what a cut does shows only after a while.
    may_fall_at: Millis,
    /// What each node sent away lately.
    sent: BTreeMap<Arc<str>, Sent>,
    /// Clients of nodes that died, and until when they count as away.
    stranded: Vec<(Millis, u64)>,
    used: f64,
    displaced: u64,
}

/// A node's count of clients sent away, as it was at some moments within `resume_timeout`.
#[derive(Debug, Default)]
struct Sent {
    op: Option<OperationId>,
    counts: Vec<(Millis, u64)>,
    displaced: u64,
    /// Clients that it has.
    connections: u64,
}

impl Sent {
    fn last(&self) -> Option<u64> {
        self.counts.last().map(|(_, count)| *count)
    }
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            max_rate: 500.0,
            max_displaced: 5_000,
            resume_timeout: Duration::from_secs(30),
            handshake_p99: Duration::from_millis(500),
        }
    }
}

impl Budget {
    pub(super) fn new(config: BudgetConfig, now: Millis) -> Self {
        Self {
            rate: config.max_rate,
            config,
            balance: 0.0,
            observed_at: now,
            may_fall_at: now,
            sent: BTreeMap::new(),
            stranded: Vec::new(),
            used: 0.0,
            displaced: 0,
        }
    }

    /// Takes in what nodes report.
    pub(super) fn observe(&mut self, fleet: &Fleet, peers: &Peers, now: Millis) {
        let passed = now.since(self.observed_at).as_secs_f64();
        self.observed_at = now;
        let sent = self.observe_nodes(fleet, passed, now);
        self.stranded.retain(|(until, _)| *until > now);
        let stranded: u64 = self.stranded.iter().map(|(_, count)| count).sum();
        self.displaced = stranded + self.sent.values().map(|sent| sent.displaced).sum::<u64>();
        self.used = if passed > 0.0 { sent / passed } else { self.used };
        let debt_max = self.config.max_rate * DEBT_SECONDS_MAX;
        self.balance = (self.balance + self.rate * passed - sent).clamp(-debt_max, 0.0);
        self.adapt(peers, passed, now);
    }

    /// Clients that may be sent away a second until the next tick.
    pub(super) fn allowance(&self) -> f64 {
        let room = real(self.config.max_displaced.saturating_sub(self.displaced));
        (self.rate + self.balance).min(room / WINDOW_HORIZON_SECONDS).max(0.0)
    }

    /// As [`Budget::allowance`] for those who cannot wait: peers that are busy would be busier still with a burst.
    pub(super) fn pressing_allowance(&self) -> f64 {
        self.config.max_rate
    }

    pub(super) fn config(&self) -> &BudgetConfig {
        &self.config
    }

    pub(super) fn is_slowed(&self) -> bool {
        self.rate < self.config.max_rate * 0.99
    }

    pub(super) fn health(&self, allowed: f64) -> BudgetHealth {
        BudgetHealth {
            max_rate: self.config.max_rate,
            rate: self.rate,
            allowed,
            used: self.used,
            max_displaced: self.config.max_displaced,
            displaced: self.displaced,
            slowed: self.is_slowed(),
        }
    }

    /// What all nodes sent away since the last look, by what they say.
    fn observe_nodes(&mut self, fleet: &Fleet, passed: f64, now: Millis) -> f64 {
        let horizon = now - self.config.resume_timeout;
        let mut sum = 0.0;
        for node in fleet.nodes() {
            let Some(report) = &node.report else { continue };
            let sent = self.sent.entry(Arc::clone(&node.name)).or_default();
            if node.unreachable_since.is_none() {
                // It counts from zero again: another drain. Who is away stays away.
                let is_other = sent.op != report.op || report.moved < sent.last().unwrap_or(0);
                if is_other && sent.last().is_some() {
                    self.stranded.push((now + self.config.resume_timeout, sent.displaced));
                    *sent = Sent { counts: vec![(now, 0)], ..Sent::default() };
                }
                // Of a node that this leader sees for the first time, what it did before is not this tick's; of one that
                // was silent, it was kept free in the ticks before.
                if let Some((at, last)) = sent.counts.last() {
                    let part = (passed / now.since(*at).as_secs_f64()).min(1.0);
                    sum += real(report.moved - last) * if part.is_finite() { part } else { 1.0 };
                }
                sent.op.clone_from(&report.op);
                sent.counts.push((now, report.moved));
                sent.connections = report.connections;
            }
            // The last one before the horizon says how much was sent away since.
            let old = sent.counts.iter().filter(|(at, _)| *at <= horizon).count();
            sent.counts.drain(..old.saturating_sub(1));
            let before = if old > 0 { sent.counts.first().map_or(0, |(_, count)| *count) } else { 0 };
            sent.displaced = report.displaced.min(sent.last().unwrap_or(0) - before);
        }
        self.observe_deaths(fleet, now);
        sum
    }

    /// The clients of a node that is gone are away, like those that it had sent away.
    fn observe_deaths(&mut self, fleet: &Fleet, now: Millis) {
        let until = now + self.config.resume_timeout;
        let is_gone = |name: &Arc<str>| fleet.node(name).is_none_or(|node| node.report.is_none());
        for (_, sent) in self.sent.extract_if(.., |name, _| is_gone(name)) {
            self.stranded.push((until, sent.displaced + sent.connections));
        }
    }

    fn adapt(&mut self, peers: &Peers, passed: f64, now: Millis) {
        let max = self.config.max_rate;
        if self.is_busy(peers) {
            if now >= self.may_fall_at {
                self.rate = (self.rate * FALL).max(max * FLOOR);
                self.may_fall_at = now + FALL_EVERY;
            }
        } else {
            self.rate = (self.rate + max * RISE_PER_SECOND * passed).min(max);
        }
    }

    fn is_busy(&self, peers: &Peers) -> bool {
        let slow = peers.handshake_p99_ms > self.config.handshake_p99.as_secs_f64() * 1_000.0;
        let full = peers.free_permits.is_some_and(|free| peers.nodes > 0 && real(free) < self.rate / 2.0);
        slow || full || peers.store == BackendHealth::Slow
    }
}

pub(super) fn real(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a cluster has far fewer than 2^52 clients")]
    let real = count as f64;
    real
}

/// What is left of the rate after a cut.
const FALL: f64 = 0.7;
const FALL_EVERY: Duration = Duration::from_secs(2);
/// Share of `max_rate` that the rate wins back each second.
const RISE_PER_SECOND: f64 = 0.05;
/// Share of `max_rate` that is always left: a cluster that is busy for other reasons must not keep a drain for ever.
const FLOOR: f64 = 0.05;
/// What was sent away unasked is made up for within this time, or not at all.
const DEBT_SECONDS_MAX: f64 = 5.0;
/// The window is never filled faster than in this time: reports are a second old, and so are orders.
const WINDOW_HORIZON_SECONDS: f64 = 2.0;
