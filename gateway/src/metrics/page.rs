//! One scrape while it is written: the shapes that all families have in common.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::stats::{DurationTotal, Single, WorkerStats};
use crate::node::Node;

pub(super) struct Page<'e, 'n> {
    pub(super) encoder: DescriptorEncoder<'e>,
    pub(super) node: &'n Node,
}

/// Reads one number of a worker.
pub(super) type Read = fn(&WorkerStats) -> &Single;

impl Page<'_, '_> {
    pub(super) fn sum(&self, read: Read) -> u64 {
        // Wrapping: a gauge's parts may be read at different instants, and single ones may be ahead of their opposites.
        self.node.stats.iter().fold(0, |sum, stats| sum.wrapping_add(read(stats).get()))
    }

    pub(super) fn sum_at(&self, read: fn(&WorkerStats) -> &[Single], index: usize) -> u64 {
        self.node.stats.iter().fold(0, |sum, stats| sum.wrapping_add(read(stats)[index].get()))
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, read: Read) -> fmt::Result {
        self.counter_of(name, help, self.sum(read))
    }

    pub(super) fn counter_of(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        let counter = ConstCounter::new(count);
        counter.encode(self.encoder.encode_descriptor(name, help, None, counter.metric_type())?)
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: u64) -> fmt::Result {
        let gauge = ConstGauge::new(signed(value));
        gauge.encode(self.encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
    }

    pub(super) fn counters(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        label: &str,
        values: &[(&str, u64)],
    ) -> fmt::Result {
        let mut descriptor = self.encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
        for &(value, count) in values {
            ConstCounter::new(count).encode(descriptor.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }

    /// A counter with two labels.
    pub(super) fn counters_by(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; 2],
        values: &[([&str; 2], u64)],
    ) -> fmt::Result {
        let mut descriptor = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for &(value, count) in values {
            let pairs = [(labels[0], value[0]), (labels[1], value[1])];
            ConstCounter::new(count).encode(descriptor.encode_family(&pairs)?)?;
        }
        Ok(())
    }

    pub(super) fn gauges(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        label: &str,
        values: &[(&str, u64)],
    ) -> fmt::Result {
        let mut descriptor = self.encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for &(value, amount) in values {
            ConstGauge::new(signed(amount)).encode(descriptor.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, total: &DurationTotal) -> fmt::Result {
        let mut encoder =
            self.encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        encoder.encode_histogram::<NoLabelSet>(total.sum_s, total.count(), &total.buckets, None)
    }
}

/// Gauges are signed on the wire; a sum of parts read at different instants may be just below zero.
pub(super) fn signed(value: u64) -> i64 {
    value.cast_signed().max(0)
}
