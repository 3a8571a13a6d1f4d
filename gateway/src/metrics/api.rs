//! The server API: requests by call and outcome, and how long they took.

use std::fmt;

use prometheus_client::encoding::NoLabelSet;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::page::Page;
use crate::http::api::{ApiStats, Call, Outcome};

impl Page<'_, '_> {
    pub(super) fn api(&mut self, stats: &ApiStats) -> fmt::Result {
        let requests: Vec<_> = Call::ALL
            .into_iter()
            .flat_map(|call| Outcome::ALL.map(|outcome| (call, outcome)))
            .map(|(call, outcome)| ([call.row().name, outcome.name()], stats.requests(call, outcome)))
            .collect();
        self.counters_by("api_requests", "Requests to the server API", ["call", "outcome"], &requests)?;

        let (name, help) = ("api_request_duration", "From a request's head to its answer");
        let mut descriptor =
            self.encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for call in Call::ALL {
            let total = stats.durations(call);
            let labels = [("call", call.row().name)];
            let mut family = descriptor.encode_family(&labels)?;
            family.encode_histogram::<NoLabelSet>(total.sum_s, total.count(), &total.buckets, None)?;
        }
        Ok(())
    }
}
