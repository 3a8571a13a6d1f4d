//! The overload gate: refuses new clients before those that are here are hurt.
//!
//! Place in the data path: asked once for each handshake and each new session, which reads one atomic. A task samples
//! the node a few times a second ([`watch`]) and moves the gate. Near a bound only clients that come back to a session are
//! taken, which costs less than to leave them outside; above it nobody is. It closes at once and opens late: only after
//! all is well below the bounds for a while, so that it does not swing with every wave of clients that come back.

#[cfg(test)]
mod tests;
pub(crate) mod watch;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tidegate_protocol::time::Millis;

use crate::config::overload::Overload;

/// Above this part of its bound a value leaves room for clients that come back only, in percent.
const STRAINED_PERCENT: u64 = 90;
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

/// Who is still let in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Level {
    /// Everybody.
    #[default]
    Open,
    /// Clients that come back to a session; they are told from others only after the handshake.
    Strained,
    /// Nobody.
    Closed,
}

/// Who wants to come in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Newcomer {
    /// A connection, of which it is not known yet what it is for.
    Handshake,
    /// A client of the native dialect that does not come back to a session.
    Session,
}

/// Why the gate is closed, or nearly.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    /// A worker's loop is late.
    LoopLag,
    /// The cgroup's memory is nearly used up.
    Memory,
    /// Too much waits for clients.
    Outboxes,
}

/// What who wants to come in is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Verdict {
    /// Come in.
    Accept,
    /// A handshake with 503 and this `Retry-After`, a session with 4051.
    Refuse { reason: Reason, retry_after: Duration },
}

/// Whether the node is overloaded, and since when no longer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Pressure {
    #[default]
    Calm,
    Over {
        reason: Reason,
        /// Never [`Level::Open`].
        level: Level,
        /// Since when every value is well below its bound.
        calm_since: Option<Millis>,
    },
}

/// The gate. Shared by all workers and the task that samples.
#[derive(Debug)]
pub(crate) struct Gate {
    bounds: Bounds,
    pressure: Mutex<Pressure>,
    /// 0: open; else the reason's index plus one, and [`CLOSED`] if nobody is let in.
    closed_by: AtomicU8,
    counts: [Counts; Reason::ALL.len()],
}

/// What a reason has led to.
#[derive(Debug, Default)]
struct Counts {
    /// Times the gate was no longer open.
    entered: AtomicU64,
    handshakes_refused: AtomicU64,
    sessions_refused: AtomicU64,
}

/// Bit of [`Gate::closed_by`].
const CLOSED: u8 = 0x80;

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

    /// Whether the workers' loops are looked at.
    pub(crate) const fn look_at_lag(&self) -> bool {
        self.loop_lag_us.is_some()
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
            return Self::Over { reason, level: Level::Closed, calm_since: None };
        }
        if self == Self::Calm {
            return match bounds.exceeded(sample, STRAINED_PERCENT) {
                Some(reason) => Self::Over { reason, level: Level::Strained, calm_since: None },
                None => Self::Calm,
            };
        }
        let Self::Over { reason, level, calm_since } = self else { return Self::Calm };
        if let Some(reason) = bounds.exceeded(sample, CALM_PERCENT) {
            return Self::Over { reason, level, calm_since: None };
        }
        let since = calm_since.unwrap_or(now);
        if now.since(since) >= bounds.recovery {
            return Self::Calm;
        }
        Self::Over { reason, level, calm_since: Some(since) }
    }

    const fn level(self) -> Level {
        match self {
            Self::Calm => Level::Open,
            Self::Over { level, .. } => level,
        }
    }
}

impl Gate {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let (pressure, closed_by) = (Mutex::default(), AtomicU8::new(0));
        Self { bounds, pressure, closed_by, counts: Default::default() }
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Moves the gate by one more sample, taken at `now` (monotonic).
    pub(crate) fn observe(&self, sample: &Sample, now: Millis) {
        let mut pressure = self.pressure.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *pressure;
        *pressure = before.evaluate(sample, &self.bounds, now);
        let closed_by = match *pressure {
            Pressure::Calm => 0,
            Pressure::Over { reason, level: Level::Closed, .. } => CLOSED | (reason.index() + 1),
            Pressure::Over { reason, .. } => reason.index() + 1,
        };
        self.closed_by.store(closed_by, Ordering::Relaxed);
        if let (Pressure::Calm, Pressure::Over { reason, .. }) = (before, *pressure) {
            self.counts[usize::from(reason.index())].entered.fetch_add(1, Ordering::Relaxed);
        }
        if before.level() != pressure.level() {
            tell(*pressure, sample);
        }
    }

    /// Whether somebody may come in; a refusal is counted. An atomic read.
    pub(crate) fn judge(&self, newcomer: Newcomer) -> Verdict {
        let Some((reason, level)) = self.closed_by() else { return Verdict::Accept };
        let counts = &self.counts[usize::from(reason.index())];
        match newcomer {
            Newcomer::Handshake if level == Level::Strained => return Verdict::Accept,
            Newcomer::Handshake => counts.handshakes_refused.fetch_add(1, Ordering::Relaxed),
            Newcomer::Session => counts.sessions_refused.fetch_add(1, Ordering::Relaxed),
        };
        Verdict::Refuse { reason, retry_after: self.bounds.recovery.max(Duration::from_secs(1)) }
    }

    /// Why it is closed, or nearly; `None`: it is open.
    pub(crate) fn closed_by(&self) -> Option<(Reason, Level)> {
        let closed_by = self.closed_by.load(Ordering::Relaxed);
        let reason = Reason::ALL.get(usize::from((closed_by & !CLOSED).checked_sub(1)?))?;
        Some((*reason, if closed_by & CLOSED == 0 { Level::Strained } else { Level::Closed }))
    }

    pub(crate) fn level(&self) -> Level {
        self.closed_by().map_or(Level::Open, |(_, level)| level)
    }

    /// Times the gate was no longer open.
    pub(crate) fn entered(&self, reason: Reason) -> u64 {
        self.counts[usize::from(reason.index())].entered.load(Ordering::Relaxed)
    }

    /// How many were refused.
    pub(crate) fn refused(&self, reason: Reason, newcomer: Newcomer) -> u64 {
        let counts = &self.counts[usize::from(reason.index())];
        let count = match newcomer {
            Newcomer::Handshake => &counts.handshakes_refused,
            Newcomer::Session => &counts.sessions_refused,
        };
        count.load(Ordering::Relaxed)
    }
}

/// Says in the log that the gate has moved.
fn tell(pressure: Pressure, sample: &Sample) {
    let Pressure::Over { reason, level, .. } = pressure else {
        return tracing::info!("no longer overloaded: new clients are taken");
    };
    let taken = match level {
        Level::Open => "everybody",
        Level::Strained => "clients that come back",
        Level::Closed => "nobody",
    };
    tracing::warn!(
        reason = reason.name(),
        taken,
        loop_lag_ms = u64::try_from(sample.loop_lag.as_millis()).unwrap_or(u64::MAX),
        memory_bytes = sample.memory_bytes,
        outbox_bytes = sample.outbox_bytes,
        "overloaded: new clients are refused"
    );
}

impl Level {
    pub(crate) const ALL: [Self; 3] = [Self::Open, Self::Strained, Self::Closed];

    /// Metric label, and the word of `GET /info`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Strained => "strained",
            Self::Closed => "closed",
        }
    }
}

impl Newcomer {
    pub(crate) const ALL: [Self; 2] = [Self::Handshake, Self::Session];

    /// Metric label.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Session => "session",
        }
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
