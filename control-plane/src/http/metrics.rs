//! What the API counts: requests, who waits, what was refused for lack of room, whose token was known.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;
use tidegate_service::metrics::Metrics;

use super::call::Call;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Upper bounds in seconds of the histogram; waits and streams are not in it.
const BOUNDS_S: [f64; 8] = [0.001, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0];

/// The API's metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiMetrics {
    requests: Family<Labels<2>, Counter>,
    durations: Family<Labels<1>, Histogram, fn() -> Histogram>,
    watchers: Family<Labels<1>, Gauge>,
    refused: Family<Labels<1>, Counter>,
    credentials: Family<Labels<1>, Counter>,
    reload_failures: Counter,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// 2xx and 3xx.
    Ok,
    /// 4xx.
    ClientError,
    /// 5xx.
    ServerError,
    /// The caller left before the answer.
    Abandoned,
}

/// Something there is only so much of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bound {
    /// Requests in progress.
    Requests,
    /// Waits and streams.
    Watchers,
    /// Bytes of a body.
    Body,
}

/// What a request said of who sent it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Credential {
    Known,
    Unknown,
    None,
}

/// Who holds a request open: `kind` of `tidegate_api_watchers`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WatcherKind {
    Wait,
    OperationEvents,
    HealthEvents,
}

impl ApiMetrics {
    /// Registers them.
    pub fn register(metrics: &mut Metrics) -> Self {
        let own = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BOUNDS_S)),
            watchers: Family::default(),
            refused: Family::default(),
            credentials: Family::default(),
            reload_failures: Counter::default(),
        };
        own.show_zeros();
        metrics.register("api_requests", "Requests to the API", None, own.requests.clone());
        let help = "From a request's head to its answer, waits and streams left out";
        metrics.register("api_request_duration", help, Some(Unit::Seconds), own.durations.clone());
        metrics.register("api_watchers", "Waits and event streams that are open", None, own.watchers.clone());
        let help = "Requests refused because a bound was reached";
        metrics.register("api_refused", help, None, own.refused.clone());
        metrics.register("api_credentials", "Tokens that were presented", None, own.credentials.clone());
        let help = "Times that token files could not be read again";
        metrics.register("api_token_reload_failures", help, None, own.reload_failures.clone());
        own
    }

    /// What has not happened is shown as 0, so that alerts can be written on it.
    fn show_zeros(&self) {
        for kind in [WatcherKind::Wait, WatcherKind::OperationEvents, WatcherKind::HealthEvents] {
            drop(self.watchers.get_or_create(&kind.labels()));
        }
        for bound in [Bound::Requests, Bound::Watchers, Bound::Body] {
            drop(self.refused.get_or_create(&bound.labels()));
        }
        for credential in [Credential::Known, Credential::Unknown, Credential::None] {
            drop(self.credentials.get_or_create(&credential.labels()));
        }
    }

    pub(super) fn count_request(&self, call: Call, outcome: Outcome) {
        self.requests.get_or_create(&[("call", call.row().name), ("outcome", outcome.name())]).inc();
    }

    pub(super) fn time_request(&self, call: Call, duration: Duration) {
        self.durations.get_or_create(&[("call", call.row().name)]).observe(duration.as_secs_f64());
    }

    pub(super) fn count_refused(&self, bound: Bound) {
        self.refused.get_or_create(&bound.labels()).inc();
    }

    pub(super) fn count_credential(&self, credential: Credential) {
        self.credentials.get_or_create(&credential.labels()).inc();
    }

    pub(super) fn count_reload_failure(&self) {
        self.reload_failures.inc();
    }

    #[cfg(test)]
    pub(super) fn reload_failures(&self) -> u64 {
        self.reload_failures.get()
    }

    /// Counts a watcher until the answer is dropped.
    pub(super) fn watcher(&self, kind: WatcherKind) -> Watching {
        let gauge = self.watchers.get_or_create(&kind.labels()).clone();
        gauge.inc();
        Watching(gauge)
    }
}

/// One that is counted among the watchers.
#[derive(Debug)]
pub(super) struct Watching(Gauge);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Outcome {
    pub(super) const fn of_status(status: u16) -> Self {
        match status {
            500.. => Self::ServerError,
            400..=499 => Self::ClientError,
            ..=399 => Self::Ok,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Abandoned => "abandoned",
        }
    }
}

impl Bound {
    const fn labels(self) -> Labels<1> {
        let name = match self {
            Self::Requests => "requests",
            Self::Watchers => "watchers",
            Self::Body => "body",
        };
        [("bound", name)]
    }
}

impl Credential {
    const fn labels(self) -> Labels<1> {
        let name = match self {
            Self::Known => "known",
            Self::Unknown => "unknown",
            Self::None => "none",
        };
        [("result", name)]
    }
}

impl WatcherKind {
    const fn labels(self) -> Labels<1> {
        let name = match self {
            Self::Wait => "wait",
            Self::OperationEvents => "operation_events",
            Self::HealthEvents => "health_events",
        };
        [("kind", name)]
    }
}
