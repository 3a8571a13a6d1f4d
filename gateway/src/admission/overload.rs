//! The overload gate: refuses new clients before those that are here are hurt.
//!
//! Place in the data path: asked once for each handshake, which reads one atomic. A task samples the node a few times
//! a second and moves the gate. It closes at once and opens late: only after all is well below the bounds for a while,
//! so that it does not swing with every wave of clients that come back.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tidegate_protocol::time::Millis;

use crate::config::overload::Overload;

/// Below this part of its bound a value counts as calm again, in percent.
const CALM_PERCENT: u64 = 80;

/// What the node looks like at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// How late the latest loop of a worker is.
    pub(crate) loop_lag: Duration,
    /// Memory that the cgroup counts; `None`: it does not say.
    pub(crate) memory_bytes: Option<u64>,
    /// What waits for all clients together.
    pub(crate) outbox_bytes: u64,
}

/// What the node may look like. `None`: not looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    loop_lag_us: Option<u64>,
    memory_bytes: Option<u64>,
    outbox_bytes: Option<u64>,
    recovery: Duration,
}

/// Why the gate is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    /// A worker's loop is late.
    LoopLag,
    /// The cgroup's memory is nearly used up.
    Memory,
    /// Too much waits for clients.
    Outboxes,
}

/// What a handshake is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Verdict {
    /// Come in.
    Accept,
    /// 503 with this `Retry-After`.
    Refuse { reason: Reason, retry_after: Duration },
}

/// Whether the node is overloaded, and since when no longer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Pressure {
    #[default]
    Calm,
    Over {
        reason: Reason,
        /// Since when every value is well below its bound.
        calm_since: Option<Millis>,
    },
}

/// The gate. Shared by all workers and the task that samples.
#[derive(Debug)]
pub(crate) struct Gate {
    bounds: Bounds,
    pressure: Mutex<Pressure>,
    /// 0: open; else the reason's index plus one.
    closed_by: AtomicU8,
    /// Times the gate closed, by reason.
    closed: [AtomicU64; Reason::ALL.len()],
}

impl Bounds {
    /// `memory_limit` is what the cgroup grants; without one there is no bound on memory.
    pub(crate) fn new(config: &Overload, memory_limit: Option<u64>) -> Self {
        let lag_us = u64::try_from(config.loop_lag.as_micros()).unwrap_or(u64::MAX);
        let percent = u64::from(config.memory_percent);
        let outbox_bytes = config.outbox_total_bytes as u64;
        Self {
            loop_lag_us: Some(lag_us).filter(|lag| *lag > 0),
            memory_bytes: memory_limit.map(|limit| limit / 100 * percent).filter(|bytes| *bytes > 0),
            outbox_bytes: Some(outbox_bytes).filter(|bytes| *bytes > 0),
            recovery: config.recovery,
        }
    }

    /// The first value above `percent` of its bound.
    fn exceeded(&self, sample: &Sample, percent: u64) -> Option<Reason> {
        let is_over = |value: Option<u64>, bound: Option<u64>| match (value, bound) {
            (Some(value), Some(bound)) => u128::from(value) * 100 > u128::from(bound) * u128::from(percent),
            (None, _) | (_, None) => false,
        };
        let lag_us = u64::try_from(sample.loop_lag.as_micros()).unwrap_or(u64::MAX);
        let values = [
            (Reason::Memory, sample.memory_bytes, self.memory_bytes),
            (Reason::Outboxes, Some(sample.outbox_bytes), self.outbox_bytes),
            (Reason::LoopLag, Some(lag_us), self.loop_lag_us),
        ];
        values.into_iter().find(|(_, value, bound)| is_over(*value, *bound)).map(|(reason, ..)| reason)
    }
}

impl Pressure {
    /// What follows from one more sample, taken at `now` (monotonic).
    #[must_use]
    pub(crate) fn evaluate(self, sample: &Sample, bounds: &Bounds, now: Millis) -> Self {
        if let Some(reason) = bounds.exceeded(sample, 100) {
            return Self::Over { reason, calm_since: None };
        }
        let Self::Over { reason, calm_since } = self else { return Self::Calm };
        if let Some(reason) = bounds.exceeded(sample, CALM_PERCENT) {
            return Self::Over { reason, calm_since: None };
        }
        let since = calm_since.unwrap_or(now);
        if now.since(since) >= bounds.recovery {
            return Self::Calm;
        }
        Self::Over { reason, calm_since: Some(since) }
    }
}

impl Gate {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, pressure: Mutex::default(), closed_by: AtomicU8::new(0), closed: Default::default() }
    }

    /// Moves the gate by one more sample, taken at `now` (monotonic).
    pub(crate) fn observe(&self, sample: &Sample, now: Millis) {
        let mut pressure = self.pressure.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *pressure;
        *pressure = before.evaluate(sample, &self.bounds, now);
        let closed_by = match *pressure {
            Pressure::Calm => 0,
            Pressure::Over { reason, .. } => reason.index() + 1,
        };
        self.closed_by.store(closed_by, Ordering::Relaxed);
        match (before, *pressure) {
            (Pressure::Calm, Pressure::Over { reason, .. }) => {
                self.closed[usize::from(reason.index())].fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    reason = reason.name(),
                    loop_lag_ms = u64::try_from(sample.loop_lag.as_millis()).unwrap_or(u64::MAX),
                    memory_bytes = sample.memory_bytes,
                    outbox_bytes = sample.outbox_bytes,
                    "overloaded: new clients are refused"
                );
            }
            (Pressure::Over { .. }, Pressure::Calm) => {
                tracing::info!("no longer overloaded: new clients are taken")
            }
            (Pressure::Calm, Pressure::Calm) | (Pressure::Over { .. }, Pressure::Over { .. }) => {}
        }
    }

    /// Whether a new client may come in. An atomic read.
    pub(crate) fn verdict(&self) -> Verdict {
        let closed_by = self.closed_by.load(Ordering::Relaxed);
        match closed_by.checked_sub(1).and_then(|index| Reason::ALL.get(usize::from(index))) {
            None => Verdict::Accept,
            Some(reason) => {
                let retry_after = self.bounds.recovery.max(Duration::from_secs(1));
                Verdict::Refuse { reason: *reason, retry_after }
            }
        }
    }

    /// Times the gate closed.
    pub(crate) fn closed(&self, reason: Reason) -> u64 {
        self.closed[usize::from(reason.index())].load(Ordering::Relaxed)
    }
}

impl Reason {
    pub(crate) const ALL: [Self; 3] = [Self::LoopLag, Self::Memory, Self::Outboxes];

    const fn index(self) -> u8 {
        match self {
            Self::LoopLag => 0,
            Self::Memory => 1,
            Self::Outboxes => 2,
        }
    }

    /// Metric label and log field.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::LoopLag => "loop_lag",
            Self::Memory => "memory",
            Self::Outboxes => "outboxes",
        }
    }
}
