//! Proof that loops turn: each worker marks every turn, the liveness probe looks how long ago the last one was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When each worker's loop last turned. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Heartbeats {
    started: Instant,
    stalled_after: Duration,
    /// One for each worker: milliseconds from `started` to its last turn. Each on a cache line of its own, as workers
    /// write them all the time.
    beats: Arc<[Beat]>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Beat(AtomicU64);

impl Heartbeats {
    /// For `workers` loops that must turn at least once in `stalled_after`, also when nothing happens.
    pub fn new(workers: usize, stalled_after: Duration, now: Instant) -> Self {
        let beats = (0..workers).map(|_| Beat::default()).collect();
        Self { started: now, stalled_after, beats }
    }

    /// Marks a turn of `worker`.
    pub fn beat(&self, worker: usize, now: Instant) {
        self.beats[worker].0.store(self.since_start(now), Ordering::Relaxed);
    }

    /// How long ago `worker` last turned.
    pub fn age(&self, worker: usize, now: Instant) -> Duration {
        let last = self.beats[worker].0.load(Ordering::Relaxed);
        Duration::from_millis(self.since_start(now).saturating_sub(last))
    }

    /// Names every worker whose loop stands still.
    pub fn check(&self, now: Instant) -> Result<(), String> {
        let stuck: Vec<String> = (0..self.beats.len())
            .map(|worker| (worker, self.age(worker, now)))
            .filter(|(_, age)| *age > self.stalled_after)
            .map(|(worker, age)| {
                let (age, allowed) = (age.as_secs_f64(), self.stalled_after.as_secs_f64());
                format!("worker {worker} has not turned its loop for {age:.1} s (allowed: {allowed:.1} s)")
            })
            .collect();
        if stuck.is_empty() { Ok(()) } else { Err(stuck.join("\n")) }
    }

    fn since_start(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_named() {
        let start = Instant::now();
        let heartbeats = Heartbeats::new(3, Duration::from_secs(10), start);
        let later = start + Duration::from_secs(12);

        heartbeats.beat(0, later);
        heartbeats.beat(2, start + Duration::from_secs(2));

        assert_eq!(heartbeats.check(start + Duration::from_secs(10)), Ok(()));
        let stuck = heartbeats.check(later).unwrap_err();
        assert_eq!(stuck, "worker 1 has not turned its loop for 12.0 s (allowed: 10.0 s)");
        assert_eq!(heartbeats.age(2, later), Duration::from_secs(10));
    }
}
