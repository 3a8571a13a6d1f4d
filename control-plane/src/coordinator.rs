//! The loop: gather what the cluster says → index it → plan → tell the nodes and write it down, once a second.
//!
//! Place in the path: the middle of everything. Every replica gathers, so that any of them may be asked; only the leader
//! plans and tells. All that a tick needs is in the store and in the nodes' reports: whoever leads next goes on from there.

mod act;
mod control;
mod cordon;
mod gather;
mod pods;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_cluster::Clock;
use tidegate_protocol::time::whole_ms;
use tidegate_service::trace::Tracer;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::agents::Agents;
use crate::config::Config;
use crate::election::{Elector, Standing};
use crate::health;
use crate::index::Fleet;
use crate::model::{BudgetHealth, ClusterHealth, LeaderHealth};
use crate::outside::Outside;
use crate::plan::{PlanConfig, Planner};
use crate::store::Store;

pub(crate) use self::pods::Pods;

/// A change over the API makes a tick come at once, but not sooner than this after the last one.
const TICK_GAP_MIN: Duration = Duration::from_millis(100);
/// How long a node that nobody says anything of stays known.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// How often operations that are over are looked through.
const PRUNE_EVERY: Duration = Duration::from_secs(30);

/// One replica's view of the cluster, and what it does about it as the leader.
pub(crate) struct Coordinator {
    name: String,
    interval: Duration,
    static_urls: Vec<Arc<str>>,
    plan: PlanConfig,
    clock: Clock,
    pub(crate) outside: Outside,
    pub(crate) store: Store,
    pub(crate) agents: Agents,
    pub(crate) elector: Elector,
    pods: Option<Pods>,
    state: Mutex<State>,
    health: watch::Sender<Arc<ClusterHealth>>,
    /// Something was changed over the API.
    changed: Notify,
    tracer: Tracer,
    made_at: Instant,
    pub(crate) counts: Counts,
}

/// What is known besides the operations.
#[derive(Default)]
struct State {
    fleet: Fleet,
    /// Admin ports of the nodes that are known, by name.
    urls: BTreeMap<Arc<str>, Arc<str>>,
    budget: BudgetHealth,
}

/// What the loop has done.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) ticks: AtomicU64,
    pub(crate) tick_us: AtomicU64,
    pub(crate) last_tick_us: AtomicU64,
    /// When the last round ended, from the loop's making: milliseconds.
    turned_after_ms: AtomicU64,
    pub(crate) orders: AtomicU64,
    pub(crate) adopted_again: AtomicU64,
    pub(crate) pruned: AtomicU64,
    /// The store was read at least once: without that nothing is known of operations.
    pub(crate) has_read: AtomicBool,
}

/// A time of leading.
struct Lead {
    planner: Planner,
    epoch: u64,
    /// Orders so far in this epoch.
    seq: u64,
}

impl Coordinator {
    pub(crate) fn new(
        config: &Config,
        outside: Outside,
        pods: Option<Pods>,
        clock: Clock,
        tracer: Tracer,
    ) -> Self {
        let (leadership, lease, renew) = match &pods {
            Some(pods) => {
                (pods.leadership(), config.kubernetes.lease_duration, config.kubernetes.lease_renew)
            }
            None => (Arc::clone(&outside.leadership), config.election.lease, config.election.renew),
        };
        let history = &config.history;
        let health = health::unknown(clock.now());
        Self {
            name: config.node.name.clone(),
            interval: config.agents.interval,
            static_urls: config.agents.urls.iter().map(|url| url.as_str().into()).collect(),
            plan: config.plan(),
            clock,
            store: Store::new(Arc::clone(&outside.documents), history.keep, history.keep_max),
            outside,
            agents: Agents::new(&config.agents),
            elector: Elector::new(leadership, config.node.name.clone(), lease, renew),
            pods,
            state: Mutex::default(),
            health: watch::Sender::new(Arc::new(health)),
            changed: Notify::new(),
            tracer,
            made_at: Instant::now(),
            counts: Counts::default(),
        }
    }

    /// Takes part in the cluster for as long as the process runs.
    pub(crate) async fn run(&self) {
        // What the gateways have seen of earlier leaders is known before the lead is asked for.
        self.gather().await;
        tokio::select! {
            () = self.elector.run() => {}
            () = self.tick_on() => {}
        }
    }

    /// The newest health document, and those to come.
    pub(crate) fn health(&self) -> watch::Receiver<Arc<ClusterHealth>> {
        self.health.subscribe()
    }

    /// How long after it was made the loop turned last.
    pub(crate) fn turned_after(&self) -> Duration {
        Duration::from_millis(self.counts.turned_after_ms.load(Ordering::Relaxed))
    }

    /// Whether the store was read at least once.
    pub(crate) fn has_read(&self) -> bool {
        self.counts.has_read.load(Ordering::Relaxed)
    }

    async fn tick_on(&self) {
        let mut lead = None;
        let mut pruned_at = Instant::now();
        loop {
            let began = Instant::now();
            self.tick(&mut lead).await;
            if lead.is_some() && pruned_at.elapsed() >= PRUNE_EVERY {
                pruned_at = Instant::now();
                self.prune().await;
            }
            let spent_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.counts.ticks.fetch_add(1, Ordering::Relaxed);
            self.counts.tick_us.fetch_add(spent_us, Ordering::Relaxed);
            self.counts.last_tick_us.store(spent_us, Ordering::Relaxed);
            self.counts.turned_after_ms.store(whole_ms(self.made_at.elapsed()), Ordering::Relaxed);
            sleep_until(began + TICK_GAP_MIN).await;
            // Either ends the wait.
            let _ = timeout_at(began + self.interval, self.changed.notified()).await;
        }
    }

    async fn tick(&self, lead: &mut Option<Lead>) {
        self.gather().await;
        match self.elector.leading() {
            Some(epoch) => {
                if lead.as_ref().is_none_or(|lead| lead.epoch != epoch) {
                    let planner = Planner::new(self.plan.clone(), epoch, self.clock.now());
                    *lead = Some(Lead { planner, epoch, seq: 0 });
                }
                if lead.as_ref().is_some_and(|lead| self.is_epoch_taken(lead)) {
                    // The store forgot its counter, and gateways remember: the next claim goes on above them.
                    tracing::warn!(epoch, "gateways have obeyed another leader under this epoch");
                    self.elector.note_epoch(epoch + 1);
                    self.elector.campaign().await;
                    *lead = None;
                }
                if let Some(lead) = lead
                    && self.counts.has_read.load(Ordering::Relaxed)
                {
                    self.act(lead).await;
                }
            }
            None => *lead = None,
        }
        self.publish_health();
    }

    /// Whether somebody else gave orders under this leader's epoch.
    fn is_epoch_taken(&self, lead: &Lead) -> bool {
        let state = self.state();
        let mut reports = state.fleet.nodes().filter_map(|node| node.report.as_ref());
        reports.any(|report| report.epoch == lead.epoch && report.seq > lead.seq)
    }

    async fn prune(&self) {
        match self.store.prune(self.clock.now()).await {
            Ok(0) => {}
            Ok(pruned) => {
                self.counts.pruned.fetch_add(pruned as u64, Ordering::Relaxed);
                tracing::debug!(pruned, "operations that were over for long are forgotten");
            }
            Err(unavailable) => tracing::debug!(%unavailable, "operations that are over stay for now"),
        }
    }

    fn publish_health(&self) {
        let now = self.clock.now();
        let live = self.store.live();
        let state = self.state();
        let sight = health::Sight {
            fleet: &state.fleet,
            operations: &live,
            leader: self.leader(),
            budget: state.budget,
            plan: &self.plan,
            store: self.outside.store_state(),
            now,
        };
        let document = Arc::new(health::document(&sight));
        drop(state);
        self.health.send_replace(document);
    }

    pub(crate) fn leader(&self) -> LeaderHealth {
        match self.elector.standing() {
            Standing::Leading { epoch, .. } if self.elector.leading().is_some() => {
                LeaderHealth { name: Some(self.name.clone()), epoch, is_self: true }
            }
            Standing::Following { leader, epoch } => {
                LeaderHealth { name: Some(leader.to_string()), epoch, is_self: false }
            }
            Standing::Leading { .. } | Standing::Nobody => LeaderHealth::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
