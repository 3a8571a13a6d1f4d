//! One scrape while it is written: the shapes that all families have in common.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::model::{ConditionKind, Kind, Operation};

/// Upper bounds in seconds of how long operations take.
const BOUNDS_S: [f64; 9] = [5.0, 15.0, 60.0, 180.0, 480.0, 900.0, 1_800.0, 3_600.0, 14_400.0];

const KINDS: [(Kind, &str); 3] =
    [(Kind::Drain, "drain"), (Kind::Rollout, "rollout"), (Kind::Rebalance, "rebalance")];
/// Conditions in which an operation waits for somebody.
const HELD: [(ConditionKind, &str); 4] = [
    (ConditionKind::Paused, "paused"),
    (ConditionKind::Blocked, "blocked"),
    (ConditionKind::AgentUnreachable, "agent_unreachable"),
    (ConditionKind::DeadlineAtRisk, "deadline_at_risk"),
];
const STATES: [&str; 6] = ["Pending", "Planning", "Running", "Succeeded", "Failed", "Aborted"];

pub(super) struct Page<'e>(pub(super) DescriptorEncoder<'e>);

impl Page<'_> {
    /// `tidegate_operations{kind,state}`: those that are kept.
    pub(super) fn operations(&mut self, operations: &[Operation]) -> fmt::Result {
        let mut counts = BTreeMap::<(Kind, &str), u64>::new();
        for operation in operations {
            *counts.entry((operation.spec.kind(), operation.state.name())).or_default() += 1;
        }
        let help = "Operations that are known, those that are over included";
        let mut descriptor = self.0.encode_descriptor("operations", help, None, MetricType::Gauge)?;
        for (kind, name) in KINDS {
            for state in STATES {
                let count = counts.get(&(kind, state)).copied().unwrap_or(0);
                let labels = [("kind", name), ("state", state)];
                ConstGauge::new(signed(count)).encode(descriptor.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    /// `tidegate_operations_held{kind,condition}`: those that wait for somebody.
    pub(super) fn held(&mut self, operations: &[Operation]) -> fmt::Result {
        let help = "Operations that are under way and wait, by what holds them up";
        let mut descriptor = self.0.encode_descriptor("operations_held", help, None, MetricType::Gauge)?;
        for (kind, name) in KINDS {
            for (condition, word) in HELD {
                let is_held = |operation: &&Operation| {
                    operation.spec.kind() == kind
                        && !operation.state.is_terminal()
                        && operation.condition(condition).is_some()
                };
                let count = operations.iter().filter(is_held).count();
                let labels = [("kind", name), ("condition", word)];
                ConstGauge::new(signed(count as u64)).encode(descriptor.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    /// `tidegate_operation_duration_seconds`: of those that are over and kept.
    pub(super) fn durations(&mut self, operations: &[Operation]) -> fmt::Result {
        let mut buckets = BOUNDS_S.map(|bound| (bound, 0_u64)).to_vec();
        buckets.push((f64::MAX, 0));
        let mut sum_s = 0.0;
        for operation in operations {
            let Some((started, finished)) = operation.started_at.zip(operation.finished_at) else { continue };
            let seconds = finished.since(started).as_secs_f64();
            sum_s += seconds;
            if let Some((_, count)) = buckets.iter_mut().find(|(bound, _)| seconds <= *bound) {
                *count += 1;
            }
        }
        let count = buckets.iter().map(|(_, count)| count).sum();
        let help = "From start to end of the operations that are kept";
        let mut encoder = self.0.encode_descriptor(
            "operation_duration",
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        encoder.encode_histogram::<NoLabelSet>(sum_s, count, &buckets, None)
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        let counter = ConstCounter::new(count);
        counter.encode(self.0.encode_descriptor(name, help, None, counter.metric_type())?)
    }

    pub(super) fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &[(&str, u64)],
    ) -> fmt::Result {
        let mut descriptor = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for &(value, count) in values {
            ConstCounter::new(count).encode(descriptor.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: u64) -> fmt::Result {
        let gauge = ConstGauge::new(signed(value));
        gauge.encode(self.0.encode_descriptor(name, help, unit, gauge.metric_type())?)
    }

    pub(super) fn gauge_with(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        value: u64,
    ) -> fmt::Result {
        let mut descriptor = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        let labels = labels.to_vec();
        ConstGauge::new(signed(value)).encode(descriptor.encode_family(&labels)?)
    }

    pub(super) fn gauges(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &[(&str, u64)],
    ) -> fmt::Result {
        let mut descriptor = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for &(value, amount) in values {
            ConstGauge::new(signed(amount)).encode(descriptor.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }

    pub(super) fn seconds_counter(&mut self, name: &str, help: &str, microseconds: u64) -> fmt::Result {
        let counter = ConstCounter::new(seconds(microseconds));
        counter.encode(self.0.encode_descriptor(name, help, Some(&Unit::Seconds), counter.metric_type())?)
    }

    pub(super) fn seconds_gauge(&mut self, name: &str, help: &str, microseconds: u64) -> fmt::Result {
        let gauge = ConstGauge::new(seconds(microseconds));
        gauge.encode(self.0.encode_descriptor(name, help, Some(&Unit::Seconds), gauge.metric_type())?)
    }
}

#[expect(clippy::cast_precision_loss, reason = "285 years of microseconds are exact")]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1_000_000.0
}

/// Gauges are signed on the wire.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
