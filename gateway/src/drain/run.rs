//! The drain's task: looks at the node, asks the machine, and tells the workers.
//!
//! Place in the data path: none; it runs beside the node's other upkeep. It waits for nobody: calls to the store run
//! beside it, and a worker whose mailbox is full is told again at the next look.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::drain::DrainSource;
use tidegate_service::lifecycle::{self, Lifecycle};
use tokio::task::JoinHandle;

use super::PEERS_EVERY;
use super::log::Record;
use super::machine::{Course, Machine, Manner, Phase, Sight};
use super::pace::{Pacer, share};
use crate::node::Node;
use crate::worker::evict::Eviction;
use crate::worker::mail::Mail;

/// Between two looks while nobody is sent away.
const IDLE: Duration = Duration::from_millis(100);
/// Over what time clients come back at most that were sent away together.
const SPREAD_MAX: Duration = Duration::from_millis(200);
/// Between two looks while the node serves.
const SERVING: Duration = Duration::from_secs(1);
/// Between two looks for sessions elsewhere.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a session is looked for at least, however short `drain.settle` is: clients need time to come back.
const PATIENCE_MIN: Duration = Duration::from_secs(10);

/// Everything the task keeps to itself.
pub(crate) struct Task {
    node: Arc<Node>,
    pacer: Pacer,
    record: Record,
    /// What each worker was told of the port.
    closed: Vec<bool>,
    phase: Phase,
    looked_at: Instant,
    peers_at: Instant,
    sampled_at: Instant,
    look: Option<JoinHandle<()>>,
    peers: Option<JoinHandle<()>>,
    announcing: Option<JoinHandle<()>>,
    announced: Phase,
    gap: Duration,
}

/// When what is left of the node has to end, once it was drained after a signal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) last_moment: Instant,
}

impl Task {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        let now = Instant::now();
        let workers = node.stats.len();
        Self {
            record: Record::new(&node),
            node,
            pacer: Pacer::new(now),
            closed: vec![false; workers],
            phase: Phase::Serving,
            looked_at: now,
            peers_at: now,
            sampled_at: now,
            look: None,
            peers: None,
            announcing: None,
            announced: Phase::Serving,
            gap: SERVING,
        }
    }

    /// Runs until the process has drained after a signal.
    pub(crate) async fn run(mut self, lifecycle: Lifecycle) -> Ending {
        loop {
            let is_told = lifecycle.phase() >= lifecycle::Phase::Draining;
            if let Some(ending) = self.step(is_told, Instant::now()) {
                self.record.finish(&self.node);
                return ending;
            }
            tokio::select! {
                () = tokio::time::sleep(self.gap) => {}
                () = self.node.drain.bell.notified() => {}
                () = lifecycle.reached(lifecycle::Phase::Draining), if !is_told => {}
            }
        }
    }

    /// One look.
    fn step(&mut self, is_told: bool, now: Instant) -> Option<Ending> {
        let node = Arc::clone(&self.node);
        let drain = &node.drain;
        if now.saturating_duration_since(self.sampled_at) >= SERVING {
            self.sampled_at = now;
            drain.rates.lock().unwrap_or_else(std::sync::PoisonError::into_inner).look(&node, now);
        }
        let sight = self.sight();
        let (course, ending) = {
            let mut machine = drain.lock();
            if is_told {
                machine.handle_signal(now);
            }
            let course = machine.tick(now, sight);
            self.publish(&machine, course);
            let over = machine.is_over().then(|| machine.last_moment().unwrap_or(now));
            (course, over.map(|last_moment| Ending { last_moment }))
        };
        self.note_phase(drain.phase(), now);
        self.close_port();
        let due = self.pacer.take(now, course.rate, course.most);
        if due > 0 {
            self.hand_out(due, course);
        }
        if self.phase != Phase::Serving {
            self.watch_peers(now);
        }
        self.look_for_displaced(now);
        self.announce();
        self.gap = match (self.phase, course.most) {
            (Phase::Serving, _) => SERVING,
            (_, 0) => IDLE,
            _ => Pacer::gap(course.rate, random()),
        };
        ending
    }

    fn sight(&self) -> Sight {
        let (node, drain) = (&self.node, &self.node.drain);
        let outstanding = drain.outstanding();
        let asked: u64 = node.stats.iter().map(|stats| stats.drain_asked.get()).sum();
        let counts = drain.counts(&node.stats).since(drain.baseline().counts);
        let draining = drain.draining_nodes.load(Ordering::Relaxed);
        Sight {
            open: node.open_connections(),
            asked: asked + outstanding,
            displaced: drain.displaced.len() as u64,
            moved: counts.moved + outstanding,
            share: share(f64::from(drain.max_rate), usize::try_from(draining).unwrap_or(usize::MAX)),
        }
    }

    /// Lets the rest of the node see what the machine has decided.
    fn publish(&mut self, machine: &Machine, course: Course) {
        let drain = &self.node.drain;
        let begins = self.phase == Phase::Serving && machine.phase() != Phase::Serving;
        {
            let mut baseline = drain.baseline();
            if begins {
                baseline.counts = drain.counts(&self.node.stats);
                (baseline.source, baseline.op) = (DrainSource::None, None);
            }
            if machine.phase() == Phase::Serving {
                baseline.source = DrainSource::None;
            } else if machine.is_led() {
                baseline.source = DrainSource::Order;
            } else if machine.is_shutting_down() {
                baseline.source = DrainSource::Signal;
            }
            if let Some(op) = machine.op() {
                baseline.op = Some(op.clone());
            }
        }
        if begins {
            self.record.begin(machine);
        }
        drain.phase.store(machine.phase() as u8, Ordering::Release);
        drain.is_ready.store(machine.is_ready(), Ordering::Release);
        drain.is_shut.store(!machine.accepts(), Ordering::Release);
        drain.is_shutting_down.store(machine.is_shutting_down(), Ordering::Release);
        let rate = if course.most > 0 { course.rate } else { 0.0 };
        drain.rate.store(rate.to_bits(), Ordering::Relaxed);
    }

    fn note_phase(&mut self, phase: Phase, now: Instant) {
        if phase == self.phase {
            return;
        }
        // What was not done in another phase is not made up for in this one.
        self.pacer = Pacer::new(now);
        let before = std::mem::replace(&mut self.phase, phase);
        self.record.enter(&self.node, before, phase);
        self.node.broker.phase.store(phase as u8, Ordering::Relaxed);
        if matches!(phase, Phase::Serving | Phase::Announcing) {
            self.tell_all(|| Mail::Spare);
        }
        if phase == Phase::Drained {
            self.node.drain.displaced.give_up();
        }
        if phase == Phase::Serving {
            self.record.finish(&self.node);
            self.node.drain.draining_nodes.store(1, Ordering::Relaxed);
        }
    }

    /// Closes the port after a signal, worker by worker, until each knows.
    fn close_port(&mut self) {
        if !self.node.drain.lock().closes_port() {
            return;
        }
        for (post, is_closed) in self.node.posts().iter().zip(&mut self.closed) {
            if !*is_closed {
                *is_closed = post.try_send(Mail::CloseDoor).is_ok();
            }
        }
    }

    /// Divides some clients to be sent away among the workers, by how many each has left.
    fn hand_out(&mut self, due: u64, course: Course) {
        let cause = match self.phase {
            Phase::Rebalancing => CloseCause::Rebalance,
            _ if self.node.drain.is_shutting_down() => CloseCause::Shutdown,
            _ => CloseCause::Drain,
        };
        let is_forced = course.manner == Manner::Force;
        let mut left: Vec<u64> = self
            .node
            .stats
            .iter()
            .map(|stats| {
                let open = stats.open_plain.get() + stats.open_tls.get();
                if is_forced { open } else { open.saturating_sub(stats.drain_asked.get()) }
            })
            .collect();
        let mut handed = 0;
        for (index, count) in shares(due, &mut left).into_iter().enumerate().filter(|(_, count)| *count > 0) {
            let eviction = Eviction { count, manner: course.manner, cause, spread: self.gap.min(SPREAD_MAX) };
            self.node.drain.evictions_given(count);
            match self.node.posts()[index].try_send(Mail::Evict(eviction)) {
                Ok(()) => handed += count,
                // Its mailbox is full; they are still there at the next look.
                Err(_) => self.node.drain.evictions_done(count),
            }
        }
        self.record.batch(handed, course);
    }

    fn tell_all(&self, letter: impl Fn() -> Mail) {
        for post in self.node.posts() {
            // A worker that cannot be told closes those whom it has told to leave: they were told.
            let _ = post.try_send(letter());
        }
    }

    /// Counts the nodes that drain, this one among them.
    fn watch_peers(&mut self, now: Instant) {
        let is_due = now.saturating_duration_since(self.peers_at) >= PEERS_EVERY;
        if !is_due || is_running(self.peers.as_ref()) || !self.node.broker.outside.is_store_shared() {
            return;
        }
        self.peers_at = now;
        let node = Arc::clone(&self.node);
        self.peers = Some(tokio::spawn(async move {
            let Ok(nodes) = node.broker.outside.places.nodes().await else { return };
            let own = &node.broker.node;
            let is_draining =
                |phase: &str| matches!(phase, "announcing" | "evicting" | "bursting" | "paused");
            let others = nodes.iter().filter(|other| other.name != *own && is_draining(&other.phase)).count();
            node.drain.draining_nodes.store(1 + others as u64, Ordering::Relaxed);
        }));
    }

    fn look_for_displaced(&mut self, now: Instant) {
        let is_due = now.saturating_duration_since(self.looked_at) >= LOOK_EVERY;
        if !is_due || is_running(self.look.as_ref()) || self.node.drain.displaced.len() == 0 {
            return;
        }
        self.looked_at = now;
        let node = Arc::clone(&self.node);
        let op = node.drain.baseline().op.clone();
        let patience = node.drain.lock().settle().max(PATIENCE_MIN);
        self.look = Some(tokio::spawn(async move {
            node.drain.displaced.look(&node.broker.outside, op.as_ref(), patience).await;
        }));
    }

    /// Shows the others where this node stands, one change after the other.
    fn announce(&mut self) {
        if self.announced == self.phase || is_running(self.announcing.as_ref()) {
            return;
        }
        self.announced = self.phase;
        let node = Arc::clone(&self.node);
        self.announcing = Some(tokio::spawn(async move {
            let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
            node.broker.announce(count(node.limits.connections), count(node.connections())).await;
        }));
    }
}

fn is_running(task: Option<&JoinHandle<()>>) -> bool {
    task.is_some_and(|task| !task.is_finished())
}

/// `due` clients over workers that have so many left, in proportion; nobody gets more than it has left.
fn shares(due: u64, left: &mut [u64]) -> Vec<u64> {
    let total: u64 = left.iter().sum();
    let mut shares: Vec<u64> =
        left.iter().map(|&count| (due * count).checked_div(total).unwrap_or(0).min(count)).collect();
    left.iter_mut().zip(&shares).for_each(|(count, share)| *count -= share);
    let mut rest = due.min(total) - shares.iter().sum::<u64>();
    while rest > 0 {
        let Some(most) = (0..left.len()).max_by_key(|&index| left[index]).filter(|&index| left[index] > 0)
        else {
            break;
        };
        shares[most] += 1;
        left[most] -= 1;
        rest -= 1;
    }
    shares
}

/// A number from 0 to 1. What comes of it only keeps nodes from beating together: without randomness, they do.
fn random() -> f64 {
    let mut bytes = [0; 4];
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn everyone_who_is_due_is_handed_out_and_no_worker_gets_more_than_it_has(
            due in 0_u64..5_000,
            left in prop::collection::vec(0_u64..2_000, 1..9),
        ) {
            let shares = shares(due, &mut left.clone());
            prop_assert!(shares.iter().zip(&left).all(|(share, left)| share <= left));
            prop_assert_eq!(shares.iter().sum::<u64>(), due.min(left.iter().sum()));
        }
    }
}
