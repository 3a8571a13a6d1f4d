//! Looks at the node a few times a second, and moves the gate.
//!
//! Place in the data path: beside it, on the tokio runtime. How late a worker's loop is, is found out as a client would: by
//! a letter that waits until the worker comes to read it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_protocol::time::Millis;
use tidegate_service::process::MemoryMeter;

use super::Sample;
use crate::metrics::stats::WorkerStats;
use crate::node::Node;
use crate::worker::mail::Mail;

/// How often the node is looked at.
const EVERY: Duration = Duration::from_millis(250);

/// One worker's loop, as seen from outside.
#[derive(Debug, Default)]
struct Probe {
    sent: u64,
    /// Since when a letter waits to be read, or to be sent.
    waits_since: Option<Instant>,
    /// The mailbox was full.
    is_unsent: bool,
    /// What was found the time before.
    before: Duration,
}

/// Watches until the process is told to end: then nobody is let in anyway.
pub(crate) async fn watch(node: Arc<Node>, memory: Option<MemoryMeter>) {
    let mut probes: Vec<Probe> = node.stats.iter().map(|_| Probe::default()).collect();
    while !node.drain.is_shutting_down() {
        tokio::time::sleep(EVERY).await;
        let now = Instant::now();
        let loop_lag = match node.gate.bounds().look_at_lag() {
            true => latest(&node, &mut probes, now),
            false => Duration::ZERO,
        };
        let sample = Sample {
            loop_lag,
            memory_bytes: memory.as_ref().and_then(MemoryMeter::used_bytes),
            outbox_bytes: node.stats.iter().fold(0, |sum, stats| sum + stats.outbox_bytes.get()),
        };
        let uptime = now.saturating_duration_since(node.started);
        node.gate.observe(&sample, Millis::ZERO + uptime);
    }
}

/// How late the latest loop is.
fn latest(node: &Node, probes: &mut [Probe], now: Instant) -> Duration {
    let workers = node.posts().iter().zip(&node.stats).zip(probes);
    let lags = workers.map(|((post, stats), probe)| {
        probe.observe(stats, now, |since| post.try_send(Mail::Probe(since)).is_ok())
    });
    lags.max().unwrap_or_default()
}

impl Probe {
    /// How late the loop was both now and the time before: one pause, of the machine or of a large turn, is no overload.
    fn observe(
        &mut self,
        stats: &WorkerStats,
        now: Instant,
        try_send: impl FnOnce(Instant) -> bool,
    ) -> Duration {
        let is_read = stats.probes_read.get() >= self.sent;
        let waits_since = self.waits_since.filter(|_| self.is_unsent || !is_read);
        let lag = match waits_since {
            Some(since) => now.saturating_duration_since(since),
            None => Duration::from_micros(stats.loop_lag_us.get()),
        };
        if is_read {
            let since = waits_since.unwrap_or(now);
            self.waits_since = Some(since);
            self.is_unsent = !try_send(since);
            self.sent += u64::from(!self.is_unsent);
        }
        let steady = lag.min(self.before);
        self.before = lag;
        steady
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker that reads a letter, this late.
    fn read(stats: &WorkerStats, lag_ms: u64) {
        stats.probes_read.add(1);
        stats.loop_lag_us.set(lag_ms * 1_000);
    }

    #[test]
    fn a_loop_is_late_when_it_was_so_twice_in_a_row() {
        let (mut probe, stats, start) = (Probe::default(), WorkerStats::new(), Instant::now());
        let found = [20, 300, 1, 300, 400, 350].map(|lag_ms| {
            let lag = probe.observe(&stats, start, |_| true);
            read(&stats, lag_ms);
            lag.as_millis()
        });

        assert_eq!(found, [0, 0, 20, 1, 1, 300]);
    }

    #[test]
    fn a_letter_that_nobody_reads_or_takes_says_how_late_the_loop_is() {
        let (mut probe, stats, start) = (Probe::default(), WorkerStats::new(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        probe.observe(&stats, at(0), |_| true);
        assert_eq!(probe.observe(&stats, at(250), |_| panic!("one at a time")), Duration::ZERO);
        let lag = probe.observe(&stats, at(500), |_| panic!("one at a time"));
        assert_eq!(lag, Duration::from_millis(250));

        read(&stats, 600);
        probe.observe(&stats, at(750), |_| false);
        probe.observe(&stats, at(1_000), |_| false);
        let mut since = None;
        let lag = probe.observe(&stats, at(1_250), |sent_at| since.replace(sent_at).is_none());
        assert_eq!(lag, Duration::from_millis(250));
        assert_eq!(since, Some(at(750)), "waiting began when it could not be sent");
    }
}
