//! What one worker counts, for others to read at any time.
//!
//! Each number has one writer, its worker, so that counting is a plain load and store: no locked instruction on the
//! data path. Readers see each number whole, but not all of them at the same instant.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_protocol::cause::CloseCause;
use tidegate_wire::decode::State;

use crate::ending::{HandshakeOutcome, Stage};

/// A number with one writer and any readers: a counter or a gauge.
#[derive(Debug, Default)]
pub(crate) struct Single(AtomicU64);

impl Single {
    pub(crate) fn add(&self, amount: u64) {
        self.0.store(self.get().wrapping_add(amount), Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, amount: u64) {
        self.0.store(self.get().wrapping_sub(amount), Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Durations by upper bound in seconds, with one writer.
#[derive(Debug)]
pub(crate) struct Durations<const N: usize> {
    bounds_s: &'static [f64; N],
    counts: [Single; N],
    over: Single,
    sum_us: Single,
}

impl<const N: usize> Durations<N> {
    fn new(bounds_s: &'static [f64; N]) -> Self {
        Self {
            bounds_s,
            counts: std::array::from_fn(|_| Single::default()),
            over: Single::default(),
            sum_us: Single::default(),
        }
    }

    pub(crate) fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = self.bounds_s.iter().position(|&bound| seconds <= bound);
        bucket.map_or(&self.over, |index| &self.counts[index]).add(1);
        self.sum_us.add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds these durations to a total over all workers.
    pub(crate) fn add_to(&self, total: &mut DurationTotal) {
        total.sum_s += Duration::from_micros(self.sum_us.get()).as_secs_f64();
        total.buckets.resize(N + 1, (f64::INFINITY, 0));
        for (bucket, (bound, count)) in total.buckets.iter_mut().zip(self.bounds_s.iter().zip(&self.counts)) {
            *bucket = (*bound, bucket.1 + count.get());
        }
        total.buckets[N].1 += self.over.get();
    }
}

/// Durations with any writers: of what does not happen for every message.
#[derive(Debug, Default)]
pub(crate) struct SharedDurations {
    /// By [`SHORT_S`]; the last one is over all bounds.
    counts: [AtomicU64; SHORT_S.len() + 1],
    sum_us: AtomicU64,
}

impl SharedDurations {
    pub(crate) fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = SHORT_S.iter().position(|&bound| seconds <= bound).unwrap_or(SHORT_S.len());
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn total(&self) -> DurationTotal {
        let bounds = SHORT_S.into_iter().chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        DurationTotal {
            sum_s: Duration::from_micros(self.sum_us.load(Ordering::Relaxed)).as_secs_f64(),
            buckets: bounds.zip(counts).collect(),
        }
    }
}

/// Durations of all workers: observations by upper bound in seconds, not cumulative; the last bound is infinite.
#[derive(Debug, Default)]
pub(crate) struct DurationTotal {
    pub(crate) sum_s: f64,
    pub(crate) buckets: Vec<(f64, u64)>,
}

impl DurationTotal {
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

/// Bounds for what should take milliseconds.
const SHORT_S: [f64; 12] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 10.0];
/// Bounds for the life of a connection.
const LIFE_S: [f64; 10] = [0.01, 0.1, 1.0, 10.0, 60.0, 300.0, 1_800.0, 7_200.0, 28_800.0, 86_400.0];

/// Everything a worker counts.
#[derive(Debug)]
pub(crate) struct WorkerStats {
    /// Milliseconds after the node's start at which the loop last turned.
    pub(crate) turned_at_ms: Single,
    pub(crate) turns: Durations<12>,
    /// Letters read that only want to know how late the loop is.
    pub(crate) probes_read: Single,
    /// How long the last one of them waited.
    pub(crate) loop_lag_us: Single,

    pub(crate) accepted: Single,
    /// Connections closed at accept without a word: far over the node's limit.
    pub(crate) accept_dropped: Single,
    pub(crate) accept_pauses: Single,
    pub(crate) accept_errors: Single,
    /// Sockets that were given to a less loaded worker.
    pub(crate) handed_over: Single,

    pub(crate) handshaking: Single,
    pub(crate) open_plain: Single,
    pub(crate) open_tls: Single,
    pub(crate) closing: Single,
    pub(crate) handshakes: [Single; HandshakeOutcome::ALL.len()],
    pub(crate) handshakes_reaped: [Single; Stage::ALL.len()],
    pub(crate) handshake_durations: Durations<12>,
    pub(crate) closed: [Single; CloseCause::ALL.len()],
    pub(crate) connection_durations: [Durations<10>; CloseCause::ALL.len()],
    pub(crate) parser_states: [Single; State::ALL.len()],

    pub(crate) messages_in: Single,
    pub(crate) messages_out: Single,
    pub(crate) message_bytes_in: Single,
    pub(crate) message_bytes_out: Single,
    pub(crate) pings_sent: Single,
    /// Times a client that does not read its echoes was no longer read.
    pub(crate) reads_paused: Single,

    /// Of clients of the native dialect, those that are still asked for included.
    pub(crate) subscriptions: Single,
    /// Publications of clients that were accepted, and not for the second time.
    pub(crate) publications: Single,
    pub(crate) directs_delivered: Single,
    /// Direct messages for clients whose `connect` was not answered yet.
    pub(crate) directs_dropped: Single,
    /// Messages left out for slow readers, oldest first.
    pub(crate) messages_dropped: Single,
    /// Messages that a later one replaced for a slow reader.
    pub(crate) messages_conflated: Single,
    /// Times that members of a channel were told of a loss.
    pub(crate) gaps_told: Single,
    /// Publications that came more than once.
    pub(crate) publications_duplicate: Single,
    /// Times that missing publications were read from history.
    pub(crate) gaps_repaired: Single,

    /// Clients told to leave that are still there.
    pub(crate) drain_asked: Single,
    /// Clients that a drain told to leave or closed.
    pub(crate) drain_moved: Single,
    /// Of these, gone by themselves after they were told.
    pub(crate) drain_left: Single,
    /// Of these, closed in pace.
    pub(crate) drain_closed: Single,
    /// Of these, closed in a hurry.
    pub(crate) drain_forced: Single,

    pub(crate) outbox_bytes: Single,
    pub(crate) pool_in_use_bytes: Single,
    pub(crate) pool_free_bytes: Single,
    pub(crate) pool_allocations: Single,
    pub(crate) pool_refusals: Single,
    /// Batches that waited because another worker's mailbox was full.
    pub(crate) mail_waits: Single,
}

impl WorkerStats {
    pub(crate) fn new() -> Self {
        Self {
            turned_at_ms: Single::default(),
            turns: Durations::new(&SHORT_S),
            probes_read: Single::default(),
            loop_lag_us: Single::default(),
            accepted: Single::default(),
            accept_dropped: Single::default(),
            accept_pauses: Single::default(),
            accept_errors: Single::default(),
            handed_over: Single::default(),
            handshaking: Single::default(),
            open_plain: Single::default(),
            open_tls: Single::default(),
            closing: Single::default(),
            handshakes: Default::default(),
            handshakes_reaped: Default::default(),
            handshake_durations: Durations::new(&SHORT_S),
            closed: Default::default(),
            connection_durations: std::array::from_fn(|_| Durations::new(&LIFE_S)),
            parser_states: Default::default(),
            messages_in: Single::default(),
            messages_out: Single::default(),
            message_bytes_in: Single::default(),
            message_bytes_out: Single::default(),
            pings_sent: Single::default(),
            reads_paused: Single::default(),
            subscriptions: Single::default(),
            publications: Single::default(),
            directs_delivered: Single::default(),
            directs_dropped: Single::default(),
            messages_dropped: Single::default(),
            messages_conflated: Single::default(),
            gaps_told: Single::default(),
            publications_duplicate: Single::default(),
            gaps_repaired: Single::default(),
            drain_asked: Single::default(),
            drain_moved: Single::default(),
            drain_left: Single::default(),
            drain_closed: Single::default(),
            drain_forced: Single::default(),
            outbox_bytes: Single::default(),
            pool_in_use_bytes: Single::default(),
            pool_free_bytes: Single::default(),
            pool_allocations: Single::default(),
            pool_refusals: Single::default(),
            mail_waits: Single::default(),
        }
    }

    /// Connections of this worker in any state.
    pub(crate) fn connections(&self) -> u64 {
        self.handshaking.get() + self.open_plain.get() + self.open_tls.get() + self.closing.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_under_the_first_bound_that_holds_it() {
        static BOUNDS: [f64; 2] = [0.1, 1.0];
        let durations = Durations::new(&BOUNDS);
        for ms in [100, 101, 1_000, 1_001] {
            durations.observe(Duration::from_millis(ms));
        }
        let mut total = DurationTotal::default();
        durations.add_to(&mut total);
        durations.add_to(&mut total);
        assert_eq!(total.buckets, [(0.1, 2), (1.0, 4), (f64::INFINITY, 2)]);
        assert_eq!(total.count(), 8);
        assert!((total.sum_s - 4.404).abs() < 1e-9);
    }

    #[test]
    fn many_may_observe_and_nothing_is_counted_twice() {
        let durations = SharedDurations::default();
        std::thread::scope(|scope| {
            for ms in [1, 2, 20_000] {
                let durations = &durations;
                scope.spawn(move || (0..100).for_each(|_| durations.observe(Duration::from_millis(ms))));
            }
        });
        let total = durations.total();
        assert_eq!(total.count(), 300);
        assert_eq!(
            (total.buckets[3], total.buckets[4], total.buckets[12].1),
            ((0.001, 100), (0.002_5, 100), 100)
        );
    }
}
