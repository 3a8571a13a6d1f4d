//! What the external metrics API counts: requests by how they ended, connections that came to nothing, stale certificates.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tidegate_service::metrics::Metrics;

type Labels = [(&'static str, &'static str); 1];

/// The counters. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    requests: Family<Labels, Counter>,
    handshake_failures: Counter,
    reload_failures: Counter,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Outcome {
    /// With a document.
    Ok,
    /// The query cannot be read.
    BadRequest,
    /// It did not come from the API server, or does not say for whom.
    Unauthenticated,
    /// RBAC does not let them read the metric.
    Forbidden,
    /// There is no such metric or page.
    NotFound,
    /// Nothing here can be changed.
    WrongMethod,
    /// This replica does not know the value.
    Unknown,
    /// As many requests as may be are in progress.
    Busy,
    /// The API server cannot be asked what the caller may do.
    Unreviewed,
}

impl Counts {
    /// Registers them; what has not happened is shown as 0.
    pub(crate) fn register(metrics: &mut Metrics) -> Self {
        let own = Self::default();
        for outcome in Outcome::ALL {
            drop(own.requests.get_or_create(&outcome.labels()));
        }
        let help = "Requests to the external metrics API, by how they ended";
        metrics.register("external_metrics_requests", help, None, own.requests.clone());
        let help = "Connections to the external metrics API that did not get through the TLS handshake";
        metrics.register("external_metrics_handshake_failures", help, None, own.handshake_failures.clone());
        let help = "Times that the external metrics API's certificate could not be read again";
        metrics.register("external_metrics_reload_failures", help, None, own.reload_failures.clone());
        own
    }

    pub(super) fn count_request(&self, outcome: Outcome) {
        self.requests.get_or_create(&outcome.labels()).inc();
    }

    pub(super) fn count_handshake_failure(&self) {
        self.handshake_failures.inc();
    }

    pub(super) fn count_reload_failure(&self) {
        self.reload_failures.inc();
    }
}

impl Outcome {
    const ALL: [Self; 9] = [
        Self::Ok,
        Self::BadRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::WrongMethod,
        Self::Unknown,
        Self::Busy,
        Self::Unreviewed,
    ];

    const fn labels(self) -> Labels {
        let name = match self {
            Self::Ok => "ok",
            Self::BadRequest => "bad_request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::WrongMethod => "wrong_method",
            Self::Unknown => "unknown",
            Self::Busy => "busy",
            Self::Unreviewed => "unreviewed",
        };
        [("outcome", name)]
    }
}
