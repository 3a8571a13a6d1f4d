//! Sending a node's clients to other nodes, after SIGTERM or by order: what all parts of the node know of it.
//!
//! Place in the data path: none. [`machine`] decides, [`pace`] counts out, [`run`] looks a few times a second and tells the
//! workers, which choose the clients (`worker/evict.rs`); orders and questions come over the admin port ([`http`]).
//! It works without control plane, store and bus: what those would add is left out then.

pub(crate) mod blocked;
mod displaced;
pub(crate) mod http;
mod load;
mod log;
pub(crate) mod machine;
pub(crate) mod pace;
mod report;
pub(crate) mod run;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidegate_cluster::Fence;
use tidegate_protocol::drain::{DrainOrder, DrainSource, OperationId};
use tidegate_protocol::id::SessionId;
use tokio::sync::Notify;

use self::blocked::Blocked;
use self::displaced::Displaced;
use self::load::Rates;
use self::machine::{Machine, Phase, Refusal, Settings};
use crate::config;
use crate::metrics::stats::WorkerStats;

/// Nodes that share a store look at the directory this often while they drain.
const PEERS_EVERY: Duration = Duration::from_secs(1);

/// The drain of one node, or what there is to know while there is none.
#[derive(Debug)]
pub(crate) struct Drain {
    machine: Mutex<Machine>,
    /// Rung when an order came.
    bell: Notify,
    /// Clients that workers were told to send away and have not yet.
    outstanding: AtomicU64,
    pub(crate) displaced: Displaced,
    pub(crate) blocked: Blocked,
    rates: Mutex<Rates>,
    /// Counts at the beginning of the drain, or of the last one.
    baseline: Mutex<Baseline>,
    /// The decisions of the last tick, for those who must not wait for a lock.
    phase: AtomicU8,
    is_ready: AtomicBool,
    is_shut: AtomicBool,
    is_shutting_down: AtomicBool,
    /// The rate in force, as bits.
    rate: AtomicU64,
    /// Nodes that drain, this one among them, as the directory last had it.
    draining_nodes: AtomicU64,
    /// For all nodes that drain together, clients a second.
    max_rate: u32,
}

/// Where a drain began.
#[derive(Clone, Debug, Default)]
struct Baseline {
    source: DrainSource,
    op: Option<OperationId>,
    counts: Counts,
}

/// What workers and the table of displaced sessions have counted since the start of the process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) moved: u64,
    pub(crate) left: u64,
    pub(crate) closed: u64,
    pub(crate) forced: u64,
    pub(crate) resumed: u64,
    pub(crate) lost: u64,
    pub(crate) repeats: u64,
}

impl Drain {
    /// A node that serves. `is_shared`: other nodes can take its sessions over.
    pub(crate) fn new(config: &config::Drain, is_shared: bool) -> Self {
        let settings = Settings {
            lb_propagation: config.lb_propagation,
            // Twice as long as they look away: once for the one that looked just before, once for the call itself.
            peers_learn: if is_shared { PEERS_EVERY * 3 / 2 } else { Duration::ZERO },
            leave_grace: config.leave_grace.min(config.window / 2),
            window: config.window,
            settle: config.settle,
            margin: config.margin,
            may_burst: config.on_deadline == config::OnDeadline::Burst,
        };
        Self {
            machine: Mutex::new(Machine::new(settings)),
            bell: Notify::new(),
            outstanding: AtomicU64::new(0),
            displaced: Displaced::new(is_shared),
            blocked: Blocked::default(),
            rates: Mutex::default(),
            baseline: Mutex::default(),
            phase: AtomicU8::new(Phase::Serving as u8),
            is_ready: AtomicBool::new(true),
            is_shut: AtomicBool::new(false),
            is_shutting_down: AtomicBool::new(false),
            rate: AtomicU64::new(0),
            draining_nodes: AtomicU64::new(1),
            max_rate: config.max_rate,
        }
    }

    /// Obeys an order, or says why not.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub(crate) fn handle_order(&self, order: DrainOrder) -> Result<(), Refusal> {
        self.lock().handle_order(order, Instant::now())?;
        self.bell.notify_one();
        Ok(())
    }

    /// The phase of the last tick.
    pub(crate) fn phase(&self) -> Phase {
        Phase::of(self.phase.load(Ordering::Acquire))
    }

    /// Whether new clients may come, as far as a drain is concerned.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Whether new clients are refused.
    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::Acquire)
    }

    /// Whether the process was told to end.
    pub(crate) fn is_shutting_down(&self) -> bool {
        self.is_shutting_down.load(Ordering::Acquire)
    }

    /// Clients sent away a second, as set at the last tick.
    pub(crate) fn rate(&self) -> f64 {
        f64::from_bits(self.rate.load(Ordering::Relaxed))
    }

    /// When everyone is to be gone, during a drain.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lock().deadline()
    }

    /// Highest epoch of an order so far.
    pub(crate) fn epoch(&self) -> u64 {
        self.lock().epoch()
    }

    /// A worker is told to send so many clients away.
    pub(crate) fn evictions_given(&self, count: u64) {
        self.outstanding.fetch_add(count, Ordering::AcqRel);
    }

    /// Clients that workers were told to send away and have not yet.
    pub(crate) fn outstanding(&self) -> u64 {
        self.outstanding.load(Ordering::Acquire)
    }

    /// A worker has sent so many of the clients away that it was told to, or found none.
    pub(crate) fn evictions_done(&self, count: u64) {
        self.outstanding.fetch_sub(count, Ordering::AcqRel);
    }

    /// A session's connection was sent away: it is awaited on another node.
    pub(crate) fn displace(&self, session: SessionId, fence: Fence) {
        self.displaced.add(session, fence, Instant::now());
    }

    /// Refuses new clients, as a drain does, in tests of who asks.
    #[cfg(test)]
    pub(crate) fn shut(&self) {
        self.is_shut.store(true, Ordering::Release);
    }

    /// What was counted since the process began.
    pub(crate) fn counts(&self, workers: &[Arc<WorkerStats>]) -> Counts {
        let sum = |read: fn(&WorkerStats) -> u64| workers.iter().map(|stats| read(stats)).sum();
        let outcomes = self.displaced.outcomes();
        Counts {
            moved: sum(|stats| stats.drain_moved.get()),
            left: sum(|stats| stats.drain_left.get()),
            closed: sum(|stats| stats.drain_closed.get()),
            forced: sum(|stats| stats.drain_forced.get()),
            resumed: outcomes.resumed,
            lost: outcomes.lost,
            repeats: outcomes.repeats,
        }
    }

    fn baseline(&self) -> MutexGuard<'_, Baseline> {
        self.baseline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each call leaves the machine consistent, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// What was counted since `earlier`.
    fn since(self, earlier: Self) -> Self {
        Self {
            moved: self.moved.saturating_sub(earlier.moved),
            left: self.left.saturating_sub(earlier.left),
            closed: self.closed.saturating_sub(earlier.closed),
            forced: self.forced.saturating_sub(earlier.forced),
            resumed: self.resumed.saturating_sub(earlier.resumed),
            lost: self.lost.saturating_sub(earlier.lost),
            repeats: self.repeats.saturating_sub(earlier.repeats),
        }
    }
}
