//! Latencies in an HDR histogram, and the summary that reports show.
//!
//! Place in the data path: a scenario records one value per message; nothing here allocates after construction.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest latency kept exactly; more is recorded as this.
const LATENCY_MAX_NS: u64 = 600_000_000_000;
/// Three significant digits: a relative error of at most 0.1 %.
const SIGNIFICANT_DIGITS: u8 = 3;

/// A histogram of nanoseconds.
#[derive(Debug)]
pub(crate) struct Latency {
    histogram: Histogram<u64>,
}

/// What a report says about one histogram, in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LatencySummary {
    /// What was timed, for example `echo`.
    pub(crate) name: &'static str,
    /// How many values were recorded.
    pub(crate) count: u64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p99_9_us: f64,
    pub(crate) max_us: f64,
}

impl Latency {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX_NS, SIGNIFICANT_DIGITS)
            .expect("the bounds are constants that the histogram accepts");
        Self { histogram }
    }

    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.histogram.saturating_record(nanoseconds.max(1));
    }

    pub(crate) fn summary(&self, name: &'static str) -> LatencySummary {
        let at = |quantile| microseconds(self.histogram.value_at_quantile(quantile));
        LatencySummary {
            name,
            count: self.histogram.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            max_us: microseconds(self.histogram.max()),
        }
    }
}

/// The worst of each hundred values in a row. The median of these is what a 99th percentile is as a rule: rare stalls of the
/// whole machine, however long, do not move it.
#[derive(Debug)]
pub(crate) struct WorstOfHundreds {
    hundreds: Latency,
    worst_ns: u64,
    count: u32,
}

impl WorstOfHundreds {
    pub(crate) fn new() -> Self {
        Self { hundreds: Latency::new(), worst_ns: 0, count: 0 }
    }

    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.worst_ns = self.worst_ns.max(nanoseconds);
        self.count += 1;
        if self.count == 100 {
            self.hundreds.record(self.worst_ns);
            (self.worst_ns, self.count) = (0, 0);
        }
    }

    pub(crate) fn summary(&self, name: &'static str) -> LatencySummary {
        self.hundreds.summary(name)
    }
}

#[expect(clippy::cast_precision_loss, reason = "ten minutes of nanoseconds are exact in an f64")]
fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_stall_is_the_worst_of_one_hundred_only() {
        let mut worst = WorstOfHundreds::new();
        for value in 1..=350 {
            worst.record(if value == 150 { 1_000_000_000 } else { value * 1_000 });
        }

        let summary = worst.summary("worst of 100");

        assert_eq!(summary.count, 3, "what is left over is no hundred");
        assert!((summary.p50_us - 300.0).abs() <= 0.5, "{summary:?}");
    }

    #[test]
    fn quantiles_are_those_of_the_values_recorded() {
        let mut latency = Latency::new();
        for value in 1..=1_000 {
            latency.record(value * 1_000);
        }

        let summary = latency.summary("echo");

        assert_eq!(summary.count, 1_000);
        assert!((summary.p50_us - 500.0).abs() <= 0.5, "{summary:?}");
        assert!((summary.p99_us - 990.0).abs() <= 1.0, "{summary:?}");
        assert!((summary.max_us - 1_000.0).abs() <= 1.0, "{summary:?}");
    }

    #[test]
    fn values_out_of_range_are_kept_at_the_edge_not_lost() {
        let mut latency = Latency::new();
        latency.record(0);
        latency.record(u64::MAX);
        assert_eq!(latency.summary("echo").count, 2);
    }
}
