//! `GET /drain`: all that a coordinator needs to know of this node, drawn up when it asks.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tidegate_protocol::drain::{BackendHealth, DrainLoad, DrainReport, SlowAddress};
use tidegate_wire::decode::State;
use tokio::sync::oneshot;

use super::Drain;
use crate::broker::modes::Mode;
use crate::node::Node;
use crate::worker::mail::Mail;

/// With fewer handshakes in progress nobody can hold many open, and workers are not asked who does.
const HANDSHAKES_MIN: u64 = 16;
/// How long a worker may take to name the addresses.
const ADDRESSES_TIMEOUT: Duration = Duration::from_millis(500);

impl Drain {
    /// The node's state now. `reasons`: why no new client should come.
    pub(crate) fn report(&self, node: &Node, reasons: Vec<String>) -> DrainReport {
        let now = Instant::now();
        let (baseline, counts) = (self.baseline().clone(), self.counts(&node.stats));
        let counts = counts.since(baseline.counts);
        let seconds = |at: Instant| at.saturating_duration_since(now).as_secs_f64();
        let (epoch, seq, expires_at, deadline) = {
            let machine = self.lock();
            (machine.epoch(), machine.seq(), machine.order_expires_at(), machine.deadline())
        };
        let modes = node.broker.modes();
        let health = |slow, down| match () {
            () if modes.contains(&down) => BackendHealth::Down,
            () if modes.contains(&slow) => BackendHealth::Slow,
            () => BackendHealth::Up,
        };
        DrainReport {
            node: node.broker.node.as_str().into(),
            version: env!("CARGO_PKG_VERSION").into(),
            phase: self.phase().word(),
            source: baseline.source,
            op: baseline.op,
            epoch,
            seq,
            order_expires_in: expires_at.map(seconds),
            shutting_down: self.is_shutting_down(),
            ready: reasons.is_empty(),
            reasons: reasons.into_iter().map(Into::into).collect(),
            connections: node.connections(),
            sessions: node.broker.roster.len() as u64,
            capacity: node.limits.connections,
            remaining: node.open_connections(),
            moved: counts.moved,
            left: counts.left,
            closed: counts.closed,
            forced: counts.forced,
            displaced: self.displaced.len() as u64,
            resumed: counts.resumed,
            lost: counts.lost,
            rate: self.rate(),
            deadline_in: deadline.map(seconds),
            repeat_displacements: counts.repeats,
            load: self.load(node),
            store: health(Mode::StoreSlow, Mode::StoreDown),
            bus: health(Mode::BusSlow, Mode::BusDown),
            modes: modes.into_iter().map(|mode| mode.name().into()).collect(),
            slow_addresses: Vec::new(),
        }
    }

    fn load(&self, node: &Node) -> DrainLoad {
        let sum = |read: fn(&crate::metrics::stats::WorkerStats) -> u64| -> u64 {
            node.stats.iter().map(|stats| read(stats)).sum()
        };
        let pace = self.rates.lock().unwrap_or_else(PoisonError::into_inner).pace();
        let (open, most) = (node.connections(), node.limits.connections);
        let parser_states: BTreeMap<Arc<str>, u64> = State::ALL
            .into_iter()
            .map(|state| {
                let count = node.stats.iter().map(|stats| stats.parser_states[state as usize].get()).sum();
                (state.name().into(), count)
            })
            .collect();
        let sessions = node.broker.outside.stats().sessions;
        DrainLoad {
            permille: u16::try_from(open * 1_000 / most.max(1)).unwrap_or(u16::MAX),
            handshakes_per_second: pace.handshakes_per_second,
            refused_per_second: pace.refused_per_second,
            handshake_p99_ms: pace.handshake_p99_ms,
            handshaking: sum(|stats| stats.handshaking.get()),
            parser_states,
            buffer_pool_in_use_bytes: sum(|stats| stats.pool_in_use_bytes.get()),
            buffer_pool_free_bytes: sum(|stats| stats.pool_free_bytes.get()),
            outbox_bytes: sum(|stats| stats.outbox_bytes.get()),
            messages_in_per_second: pace.messages_in_per_second,
            messages_out_per_second: pace.messages_out_per_second,
            free_connections: most.saturating_sub(open),
            free_permits: node.rate.as_ref().map(|rate| rate.free(Instant::now())),
            resumed_total: sessions.resumed_total,
            not_resumed_total: sessions.not_resumable_total,
            resume_p99_ms: pace.resume_p99_ms,
        }
    }
}

/// Who holds handshakes open on this node, most first.
pub(super) async fn slow_addresses(node: &Node) -> Vec<SlowAddress> {
    let handshaking: u64 = node.stats.iter().map(|stats| stats.handshaking.get()).sum();
    if handshaking < HANDSHAKES_MIN {
        return Vec::new();
    }
    let mut counts: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    for post in node.posts() {
        let (reply, answer) = oneshot::channel();
        if post.try_send(Mail::Handshakes(reply)).is_err() {
            continue;
        }
        if let Ok(Ok(found)) = tokio::time::timeout(ADDRESSES_TIMEOUT, answer).await {
            for SlowAddress { address, handshaking } in found {
                *counts.entry(address).or_default() += handshaking;
            }
        }
    }
    let mut slow: Vec<_> =
        counts.into_iter().map(|(address, handshaking)| SlowAddress { address, handshaking }).collect();
    slow.sort_by_key(|one| std::cmp::Reverse(one.handshaking));
    slow.truncate(tidegate_protocol::drain::SLOW_ADDRESSES_MAX);
    slow
}
