//! Metrics of the process itself, read at each scrape; names as in Prometheus' client libraries.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::process::Usage;

#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // Without /proc there is nothing to tell, and the rest of the scrape is still worth having.
        let Some(usage) = Usage::read() else { return Ok(()) };
        let cpu = ConstCounter::new(usage.cpu_seconds);
        let help = "CPU time spent, user and system.";
        cpu.encode(encoder.encode_descriptor(
            "process_cpu",
            help,
            Some(&Unit::Seconds),
            cpu.metric_type(),
        )?)?;

        let mut gauge = |name, help, unit: Option<&Unit>, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        let (bytes, seconds) = (Some(&Unit::Bytes), Some(&Unit::Seconds));
        gauge("process_resident_memory", "Memory held in RAM.", bytes, usage.resident_bytes as f64)?;
        gauge("process_virtual_memory", "Address space.", bytes, usage.virtual_bytes as f64)?;
        gauge("process_open_fds", "Open file descriptors.", None, usage.open_descriptors as f64)?;
        if let Some(allowed) = usage.descriptors_max {
            gauge("process_max_fds", "File descriptors that may be open.", None, allowed as f64)?;
        }
        gauge("process_threads", "Threads.", None, usage.threads as f64)?;
        let help = "When the process started, in seconds since 1970.";
        gauge("process_start_time", help, seconds, usage.start_seconds)
    }
}
