//! What the server API counts: requests by call and outcome, and how long they took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;

use super::call::Call;
use crate::metrics::stats::DurationTotal;

/// Upper bounds in seconds of the histogram.
const BOUNDS_S: [f64; 10] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0];

/// How a request ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Outcome {
    /// It was answered: 2xx and 3xx.
    Ok,
    /// The caller's fault: 4xx.
    ClientError,
    /// Our fault: 5xx.
    ServerError,
    /// The caller left before the answer.
    Abandoned,
}

/// Counters of one API port. Any thread may count and read.
#[derive(Debug, Default)]
pub(crate) struct ApiStats {
    calls: [CallStats; Call::ALL.len()],
}

#[derive(Debug, Default)]
struct CallStats {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    durations: [AtomicU64; BOUNDS_S.len() + 1],
    sum_us: AtomicU64,
}

impl Outcome {
    /// Every outcome, in the order of their discriminants.
    pub(crate) const ALL: [Self; 4] = [Self::Ok, Self::ClientError, Self::ServerError, Self::Abandoned];

    /// The metric label.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Abandoned => "abandoned",
        }
    }

    pub(super) fn of(status: StatusCode) -> Self {
        if status.is_server_error() {
            Self::ServerError
        } else if status.is_client_error() {
            Self::ClientError
        } else {
            Self::Ok
        }
    }
}

impl ApiStats {
    pub(super) fn count(&self, call: Call, outcome: Outcome, duration: Duration) {
        let stats = &self.calls[call as usize];
        stats.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
        let seconds = duration.as_secs_f64();
        let bucket = BOUNDS_S.iter().position(|&bound| seconds <= bound).unwrap_or(BOUNDS_S.len());
        stats.durations[bucket].fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        stats.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Requests so far: `tidegate_api_requests_total{call,outcome}`.
    pub(crate) fn requests(&self, call: Call, outcome: Outcome) -> u64 {
        self.calls[call as usize].outcomes[outcome as usize].load(Ordering::Relaxed)
    }

    /// From a request's head to its answer: `tidegate_api_request_duration_seconds{call}`.
    pub(crate) fn durations(&self, call: Call) -> DurationTotal {
        let stats = &self.calls[call as usize];
        let bounds = BOUNDS_S.into_iter().chain([f64::INFINITY]);
        let counts = stats.durations.iter().map(|count| count.load(Ordering::Relaxed));
        DurationTotal {
            sum_s: Duration::from_micros(stats.sum_us.load(Ordering::Relaxed)).as_secs_f64(),
            buckets: bounds.zip(counts).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_under_its_call_its_outcome_and_its_duration() {
        let stats = ApiStats::default();
        stats.count(Call::Publish, Outcome::of(StatusCode::OK), Duration::from_millis(1));
        stats.count(Call::Publish, Outcome::of(StatusCode::NOT_FOUND), Duration::from_millis(1_001));
        stats.count(Call::Other, Outcome::of(StatusCode::SERVICE_UNAVAILABLE), Duration::from_secs(31));

        let counted = Outcome::ALL.map(|outcome| (outcome.name(), stats.requests(Call::Publish, outcome)));
        assert_eq!(counted, [("ok", 1), ("client_error", 1), ("server_error", 0), ("abandoned", 0)]);
        assert_eq!(stats.requests(Call::Other, Outcome::ServerError), 1);
        let durations = stats.durations(Call::Publish);
        assert_eq!(durations.buckets[1], (0.001, 1));
        assert_eq!(durations.buckets[8], (5.0, 1));
        assert!((durations.sum_s - 1.002).abs() < 1e-9);
        assert_eq!(stats.durations(Call::Other).buckets[10], (f64::INFINITY, 1));
    }
}
